//! When a Delivery is looked at again. *pure*

use std::time::Duration;

use jiff::Timestamp;
use sealift_apply::api::{DeliveryStatus, condition};

use super::{
    drift,
    report::Report,
    status::{self, READY},
    stop::Retry,
};

/// The first pause after a failure; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(2);
/// No pause is longer, however long the interval.
const LONGEST: Duration = Duration::from_secs(300);
/// Pauses between looks at health: short at first, when most releases settle.
const LOOKS: [u64; 5] = [1, 2, 3, 5, 10];

/// What the next time depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct When<'a> {
    pub(super) interval: Duration,
    /// What is left of it: all, unless only health was looked at since it began.
    pub(super) left: Duration,
    pub(super) timeout: Duration,
    /// How often in a row it was tried in vain before.
    pub(super) failures: u32,
    /// How often in a row health was looked at in vain before.
    pub(super) looks: u32,
    /// Whether whoever is not healthy yet wakes the Delivery by itself.
    pub(super) followed: bool,
    pub(super) status: &'a DeliveryStatus,
    pub(super) now: Timestamp,
    /// Between 0 and 1: Deliveries made at once must not ask at once for ever.
    pub(super) random: f64,
}

/// The pause before the next reconcile; `None` if it waits for a change.
pub(super) fn pause(report: &Report, when: When<'_>) -> Option<Duration> {
    let next = pause_by_outcome(report, when);
    // Nobody tells that the time of a hold, or of a break-glass change, is over.
    let by_hand = drift::ends(when.status.drift.as_ref(), when.now);
    let end = report.hold.ends().into_iter().chain(by_hand).min();
    let held = end.map(|end| Duration::try_from(end.duration_since(when.now)).unwrap_or_default());
    let held = held.map(|left| left + Duration::from_secs(1));
    match (next, held) {
        (Some(next), Some(held)) => Some(next.min(held)),
        (next, held) => next.or(held),
    }
}

fn pause_by_outcome(report: &Report, when: When<'_>) -> Option<Duration> {
    let settled = when.left + when.interval.mul_f64(0.05 + 0.05 * when.random);
    Some(match &report.stop {
        Some(stop) => match stop.retry() {
            Retry::Change => return None,
            Retry::Interval | Retry::Followed => settled,
            Retry::After(asked) => {
                stretched(asked.max(backoff(when.failures)), 0.2 * when.random).min(LONGEST.max(asked))
            }
            Retry::Backoff => after_failure(when.failures, when.random).min(settled),
        },
        None if report.is_settled() => settled.min(until_expiry(report, when.now).unwrap_or(settled)),
        // Events tell of health; that its time is over is told by nobody else.
        None if when.followed => match status::deadline(when.status, status::patience(report, when.timeout)) {
            Some(end) if when.now < end => {
                let left = Duration::try_from(end.duration_since(when.now)).unwrap_or(settled);
                (left + Duration::from_secs(1)).min(settled)
            }
            _ => settled,
        },
        None => {
            let look = Duration::from_secs(LOOKS[(when.looks as usize).min(LOOKS.len() - 1)]);
            let waits =
                condition(&when.status.conditions, READY).is_some_and(|ready| ready.reason == status::PROGRESSING);
            let in_time = status::deadline(when.status, when.timeout).is_some_and(|end| when.now < end);
            if waits || in_time { stretched(look, 0.2 * when.random).min(settled) } else { settled }
        }
    })
}

/// The pause after so many failures in a row before this one.
pub(super) fn after_failure(failures: u32, random: f64) -> Duration {
    stretched(backoff(failures), 0.2 * random)
}

fn backoff(failures: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(LONGEST)
}

pub(super) fn stretched(duration: Duration, part: f64) -> Duration {
    duration + duration.mul_f64(part.clamp(0.0, 1.0))
}

/// A statement that runs out before the next look is looked at when it does.
fn until_expiry(report: &Report, now: Timestamp) -> Option<Duration> {
    let evidence = report.evidence.as_ref().filter(|evidence| !evidence.stale)?;
    let end = evidence.statement.as_ref()?.expires_at?;
    let left = Duration::try_from(end.duration_since(now)).ok()?;
    Some(left + Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use sealift_apply::{api::HoldState, assess::HealthReport, health::Health};
    use sealift_registry::client::SetupError;
    use sealift_verify::{digest::Digest, refusal::Refusal};

    use super::*;
    use crate::controller::{hold::Finding, source::SourceError, stop::Stop};

    fn pause_of(stop: Option<Stop>, failures: u32, random: f64) -> Option<Duration> {
        let status = DeliveryStatus::default();
        let report = Report { stop, ..Report::default() };
        let (interval, timeout) = (Duration::from_secs(600), Duration::from_secs(300));
        pause(
            &report,
            When {
                interval,
                left: interval,
                timeout,
                failures,
                looks: 0,
                followed: false,
                status: &status,
                now: Timestamp::UNIX_EPOCH,
                random,
            },
        )
    }

    #[test]
    fn who_waits_for_events_is_looked_at_again_when_its_time_or_interval_is_over() {
        let (now, timeout) = (Timestamp::UNIX_EPOCH, Duration::from_secs(300));
        let mut status = DeliveryStatus::default();
        let conditions = &mut status.conditions;
        sealift_apply::api::set_condition(conditions, "Healthy", "Unknown", "Progressing", "", None, now);
        let id = sealift_verify::objects::ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: "Pod".into(),
            namespace: None,
            name: "a".into(),
        };
        let report = |health| {
            let rest = vec![(id.clone(), health)];
            Report { health: Some(HealthReport { healthy: 1, rest }), ..Report::default() }
        };
        let progressing = report(Health::Progressing("x".into()));
        let degraded = report(Health::Degraded("x".into()));
        let pause = |report, followed, seconds, left| {
            let (interval, left, status) = (Duration::from_secs(600), Duration::from_secs(left), &status);
            let now = now + jiff::SignedDuration::from_secs(seconds);
            let when = When { interval, left, timeout, failures: 0, looks: 0, followed, status, now, random: 0.0 };
            super::pause(report, when).unwrap().as_secs()
        };
        let pauses = |report, seconds| [true, false].map(|followed| pause(report, followed, seconds, 600));
        assert_eq!((pauses(&progressing, 0), pauses(&progressing, 400)), ([301, 1], [630, 630]));
        // What is degraded counts as failed sooner.
        assert_eq!((pauses(&degraded, 0), pauses(&degraded, 400)), ([21, 1], [630, 630]));
        // However often health is looked at, everything is when the interval is over.
        assert_eq!(pause(&degraded, true, 400, 50), 80);
    }

    #[test]
    fn the_end_of_a_hold_is_not_missed() {
        let hold = |hours| sealift_verify::hold::Hold {
            digest: Digest::of(b""),
            until: Timestamp::from_second(hours).unwrap(),
            reason: "x".into(),
        };
        let found = |seconds, state| Finding::Found { hold: hold(seconds), state, message: String::new() };
        let status = DeliveryStatus::default();
        let pause = |stop, seconds, state| {
            let report = Report { stop, hold: found(seconds, state), ..Report::default() };
            let (interval, timeout) = (Duration::from_secs(600), Duration::from_secs(300));
            let (now, followed, random) = (Timestamp::UNIX_EPOCH, false, 0.0);
            let left = interval;
            let when = When { interval, left, timeout, failures: 0, looks: 0, followed, status: &status, now, random };
            super::pause(&report, when).map(|pause| pause.as_secs())
        };
        assert_eq!(pause(None, 60, HoldState::InForce), Some(61));
        assert_eq!(pause(Some(Stop::NoServiceAccount), 60, HoldState::Pending), Some(61));
        assert_eq!(pause(None, 6000, HoldState::InForce), Some(630));
        assert_eq!(pause(None, 60, HoldState::Ended), Some(630));
    }

    #[test]
    fn the_end_of_a_break_glass_change_is_not_missed_and_asked_for_once() {
        let pause = |until: i64| {
            let object = sealift_apply::api::DriftedObject {
                api_version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: None,
                name: "a".into(),
                state: sealift_apply::api::DriftState::Held,
                what: "x".into(),
                fields: vec![],
                by: vec![],
                at: Timestamp::UNIX_EPOCH,
                until: Some(Timestamp::from_second(until).unwrap()),
            };
            let drift = sealift_apply::api::DriftStatus { open: 1, objects: vec![object], foreign: vec![] };
            let status = DeliveryStatus { drift: Some(drift), ..DeliveryStatus::default() };
            let (interval, timeout) = (Duration::from_secs(600), Duration::from_secs(300));
            let (left, now, status) = (interval, Timestamp::from_second(100).unwrap(), &status);
            let (followed, random) = (false, 0.0);
            let when = When { interval, left, timeout, failures: 0, looks: 0, followed, status, now, random };
            super::pause(&Report::default(), when).map(|pause| pause.as_secs())
        };
        assert_eq!(pause(160), Some(61));
        assert_eq!(pause(6000), Some(630));
        // Whatever keeps it from being put right does not make this a busy loop.
        assert_eq!((pause(100), pause(50)), (Some(630), Some(630)));
    }

    #[test]
    fn an_interval_is_stretched_by_five_to_ten_percent() {
        assert_eq!(pause_of(None, 0, 0.0), Some(Duration::from_secs(630)));
        assert_eq!(pause_of(None, 0, 1.0), Some(Duration::from_secs(660)));
    }

    #[test]
    fn a_refusal_waits_for_the_interval_what_is_wrong_for_a_change_and_no_answer_backs_off() {
        let refused = || Stop::Refused(Refusal::Unsigned(Digest::of(b"")));
        assert_eq!(pause_of(Some(refused()), 3, 0.0), Some(Duration::from_secs(630)));
        let undecided = || Stop::Refused(Refusal::TooManySignatures { seen: 1 });
        let pauses = [0, 1, 2, 20].map(|failures| pause_of(Some(undecided()), failures, 0.0));
        assert_eq!(pauses.map(|pause| pause.unwrap().as_secs()), [2, 4, 8, 300]);
        let setup = Stop::Source(SourceError::Setup(SetupError::Host("x y".into())));
        assert_eq!(pause_of(Some(setup), 0, 0.0), None);
        assert_eq!(pause_of(Some(Stop::NoServiceAccount), 0, 0.0), None);
    }
}
