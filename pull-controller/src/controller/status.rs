//! From what a reconcile found to what the status says. *pure*
//!
//! Equal findings give an equal status, so that a reconcile with nothing to tell writes nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sealift_apply::{
    api::{
        CheckRow, DeliveryStatus, HoldState, LastApplied, LastAttempted, VerificationStatus, condition, set_condition,
    },
    assess::HealthReport,
};
use sealift_verify::evidence::{CheckId, CheckResult, Evidence, Outcome, THIRD_PARTY};

use super::{
    drift, history,
    report::Report,
    standing::Standing,
    stop::{Stop, Verdict},
};

pub(super) const READY: &str = "Ready";
const VERIFIED: &str = "Verified";
const HEALTHY: &str = "Healthy";
const RECONCILING: &str = "Reconciling";
const STALLED: &str = "Stalled";
const HELD: &str = "Held";

/// The reason while a release is being applied or has not settled.
pub(super) const PROGRESSING: &str = "Progressing";
/// The reason once objects did not settle in time.
pub(super) const UNHEALTHY: &str = "HealthCheckFailed";
/// The reason of what is accepted though its statement has expired.
const STALE: &str = "Stale";
/// The reason while nothing is done on request.
pub(super) const SUSPENDED: &str = "Suspended";

/// What a status is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    /// The generation that was reconciled.
    pub(super) generation: Option<i64>,
    /// The reconcile-now annotation that was acted on.
    pub(super) requested: Option<&'a str>,
    /// How long objects may take to settle.
    pub(super) timeout: Duration,
    /// Now.
    pub(super) now: Timestamp,
}

struct Writer<'a> {
    status: DeliveryStatus,
    about: About<'a>,
}

impl Writer<'_> {
    fn set(&mut self, type_: &str, value: &str, reason: &str, message: &str) {
        let About { generation, now, .. } = self.about;
        set_condition(&mut self.status.conditions, type_, value, reason, message, generation, now);
    }

    fn value(&self, type_: &str) -> Option<&str> {
        condition(&self.status.conditions, type_).map(|condition| condition.status.as_str())
    }
}

fn begin<'a>(previous: &DeliveryStatus, about: About<'a>) -> Writer<'a> {
    let mut status = previous.clone();
    status.observed_generation = about.generation;
    status.last_handled_reconcile_at = about.requested.map(str::to_owned).or(status.last_handled_reconcile_at);
    Writer { status, about }
}

/// The status of a Delivery that is suspended: what runs, runs on.
pub(super) fn suspended(previous: &DeliveryStatus, about: About<'_>) -> DeliveryStatus {
    let mut writer = begin(previous, about);
    let ready = writer.value(READY).unwrap_or("Unknown").to_owned();
    let message = "suspended: nothing is resolved, verified, applied or pruned until spec.suspend is false";
    writer.set(READY, &ready, SUSPENDED, message);
    writer.set(RECONCILING, "False", SUSPENDED, message);
    writer.set(STALLED, "False", SUSPENDED, message);
    writer.status
}

/// The status while a new release is being applied.
pub(super) fn working(previous: &DeliveryStatus, about: About<'_>, report: &Report) -> DeliveryStatus {
    let mut writer = begin(previous, About { requested: None, ..about });
    let message = "the release is verified and being applied";
    attempted(&mut writer, report);
    verification(&mut writer, report);
    writer.set(READY, "Unknown", PROGRESSING, message);
    writer.set(HEALTHY, "Unknown", PROGRESSING, message);
    writer.set(RECONCILING, "True", PROGRESSING, message);
    writer.set(STALLED, "False", PROGRESSING, "");
    writer.status
}

/// The status while objects are being deleted with their Delivery.
pub(super) fn deleting(previous: &DeliveryStatus, about: About<'_>, reason: &str, message: &str) -> DeliveryStatus {
    let mut writer = begin(previous, about);
    writer.set(READY, "False", reason, message);
    writer.set(RECONCILING, "True", reason, message);
    let stalled = !super::finalize::takes_its_time(reason);
    writer.set(STALLED, if stalled { "True" } else { "False" }, reason, message);
    writer.status
}

/// The status after a reconcile.
pub(super) fn next(previous: &DeliveryStatus, about: About<'_>, report: &Report) -> DeliveryStatus {
    let mut writer = begin(previous, about);
    attempted(&mut writer, report);
    verification(&mut writer, report);
    applied(&mut writer, report);
    standing(&mut writer, report);
    held(&mut writer, report);
    if let Some(plan) = report.plan {
        writer.status.plan = Some(plan);
    }
    writer.status.drift = drift::status(writer.status.drift.as_ref(), &report.changes, writer.about.now);
    if let Some(objects) = report.objects {
        writer.status.objects = Some(objects as u64);
        writer.status.watching.clone_from(&report.watching);
    }
    match &report.stop {
        Some(stop) => stopped(&mut writer, stop, report),
        None => settled(&mut writer, report),
    }
    writer.status.history = history::after(previous, &writer.status, report, about.now);
    writer.status
}

fn attempted(writer: &mut Writer<'_>, report: &Report) {
    let Some((digest, tag)) = &report.attempted else { return };
    let known = writer.status.last_attempted.as_ref();
    if known.is_none_or(|last| last.digest != *digest || last.tag != *tag) {
        writer.status.last_attempted = Some(LastAttempted { digest: *digest, tag: tag.clone(), at: writer.about.now });
    }
}

fn applied(writer: &mut Writer<'_>, report: &Report) {
    let Some(applied) = &report.applied else { return };
    let same = writer.status.last_applied.as_ref().filter(|last| last.is_same_but_for_when(applied));
    let at = same.map_or(writer.about.now, |last| last.at);
    writer.status.last_applied = Some(LastApplied { at, ..applied.clone() });
}

/// Only what is applied can be refused after the fact; what was applied just now was accepted just now.
fn standing(writer: &mut Writer<'_>, report: &Report) {
    let now = writer.about.now;
    let status = &mut writer.status;
    let standing = match &report.standing {
        Standing::Unjudged if report.applied.is_some() => &Standing::Accepted,
        standing => standing,
    };
    let told = standing.told(status.would_refuse_now.as_ref(), now);
    status.would_refuse_now = told.filter(|_| status.last_applied.is_some());
}

/// The condition is there as long as somebody asks for a hold.
fn held(writer: &mut Writer<'_>, report: &Report) {
    writer.status.hold = report.hold.told(writer.status.hold.as_ref(), writer.about.now);
    let Some(hold) = writer.status.hold.clone() else {
        writer.status.conditions.retain(|condition| condition.type_ != HELD);
        return;
    };
    let (value, reason) = match hold.state {
        HoldState::InForce => ("True", "EmergencyHold"),
        HoldState::Pending => ("Unknown", "HoldPending"),
        HoldState::Refused => ("False", "HoldRefused"),
        HoldState::Ended => ("False", "HoldEnded"),
    };
    writer.set(HELD, value, reason, &format!("until {}, {}: {}", hold.until, hold.reason, hold.message));
}

fn verification(writer: &mut Writer<'_>, report: &Report) {
    let refused = report.stop.as_ref().map(Stop::about_selected).filter(|stop| stop.verdict() != Verdict::Untouched);
    let found = match (&report.evidence, refused) {
        (Some(evidence), _) => Some(of_evidence(evidence)),
        (None, Some(stop)) if stop.verdict() == Verdict::Refused => Some(VerificationStatus {
            verdict: "Refused".to_owned(),
            reason: Some(stop.reason().to_owned()),
            ..VerificationStatus::default()
        }),
        (None, _) => None,
    };
    if let Some(found) = found
        && !writer.status.verification.as_ref().is_some_and(|last| same_verdict(last, &found))
    {
        writer.status.verification = Some(found);
    }
    match (refused, &report.evidence) {
        (Some(stop), _) => {
            let value = if stop.verdict() == Verdict::Refused { "False" } else { "Unknown" };
            writer.set(VERIFIED, value, stop.reason(), &stop.message());
        }
        (None, Some(evidence)) if evidence.outcome == Outcome::Accepted => {
            let reason = if evidence.stale { STALE } else { VERIFIED };
            writer.set(VERIFIED, "True", reason, &summary(evidence));
        }
        (None, _) => {
            if writer.value(VERIFIED).is_none() {
                writer.set(VERIFIED, "Unknown", "NotChecked", "nothing was verified yet");
            }
        }
    }
}

/// The row about memory says "advanced" once and "at" ever after; that alone is no news.
fn same_verdict(last: &VerificationStatus, found: &VerificationStatus) -> bool {
    let without_memory = |status: &VerificationStatus| {
        let mut status = status.clone();
        for row in status.checks.iter_mut().filter(|row| row.check == CheckId::Memory.as_str()) {
            row.detail = None;
        }
        status
    };
    without_memory(last) == without_memory(found)
}

fn of_evidence(evidence: &Evidence) -> VerificationStatus {
    let mut authorities: Vec<_> =
        evidence.policies.iter().flat_map(|policy| &policy.signers).map(|signer| signer.authority.clone()).collect();
    authorities.sort();
    authorities.dedup();
    let row = |row: &sealift_verify::evidence::Check| CheckRow {
        check: row.check.as_str().to_owned(),
        result: match row.result {
            CheckResult::Pass => "pass",
            CheckResult::Fail => "fail",
            CheckResult::NotChecked => "not-checked",
            CheckResult::NotPresent => "not-present",
        }
        .to_owned(),
        detail: Some(row.detail.clone()).filter(|detail| !detail.is_empty()),
    };
    VerificationStatus {
        verdict: match evidence.outcome {
            Outcome::Accepted => "Verified",
            Outcome::Refused => "Refused",
            Outcome::CouldNotCheck => "CouldNotCheck",
        }
        .to_owned(),
        reason: evidence.reason.map(|reason| reason.as_str().to_owned()),
        policies: evidence.policies.iter().map(|policy| policy.name.clone()).collect(),
        authorities,
        checks: evidence.checks.iter().map(row).collect(),
    }
}

fn summary(evidence: &Evidence) -> String {
    let mut signers: Vec<_> = evidence.policies.iter().flat_map(|p| &p.signers).map(|s| s.authority.as_str()).collect();
    signers.sort_unstable();
    signers.dedup();
    if evidence.third_party.is_some() {
        return format!("{THIRD_PARTY}: {}", signers.join(", "));
    }
    let Some(statement) = &evidence.statement else { return String::new() };
    let version = statement.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    let stale = match (evidence.stale, statement.expires_at) {
        (true, Some(end)) => format!("; expired at {end}: what runs is kept, nothing new is applied"),
        (true, None) => "; too old by policy: what runs is kept, nothing new is applied".to_owned(),
        (false, _) => String::new(),
    };
    format!(
        "release {} of stream {}{version}, signed by {}{stale}",
        statement.position,
        statement.stream,
        signers.join(", ")
    )
}

fn stopped(writer: &mut Writer<'_>, stop: &Stop, report: &Report) {
    let (reason, message) = (stop.reason(), stop.message());
    let stalled = stop.is_stalled();
    let retrying = stop.retry().is_tried_again() && !stalled;
    writer.set(READY, "False", reason, &message);
    if let Some(health) = report.health.as_ref().filter(|health| health.is_healthy()) {
        writer.set(HEALTHY, "True", HEALTHY, &health.to_string());
    } else if writer.value(HEALTHY).is_none() {
        writer.set(HEALTHY, "Unknown", "NotApplied", "nothing was applied yet");
    }
    writer.set(
        RECONCILING,
        if retrying { "True" } else { "False" },
        reason,
        if retrying { "trying again" } else { "" },
    );
    writer.set(STALLED, if stalled { "True" } else { "False" }, reason, if stalled { &message } else { "" });
}

/// So long a degraded object may take to recover before the release counts as failed.
const RECOVERY: Duration = Duration::from_secs(20);

fn settled(writer: &mut Writer<'_>, report: &Report) {
    let stale = report.evidence.as_ref().is_some_and(|evidence| evidence.stale);
    let fares = report.health.as_ref().map(ToString::to_string).unwrap_or_default();
    if report.is_settled() {
        let release = writer.status.last_applied.as_ref().map(release_name).unwrap_or_default();
        let objects = writer.status.objects.unwrap_or_default();
        let hold = writer.status.hold.as_ref().filter(|_| report.hold.is_in_force());
        let (reason, message) = match (hold, stale, &report.evidence) {
            (Some(hold), ..) => {
                let held = format!("held in an emergency until {}: {}", hold.until, hold.reason);
                (HELD, format!("{release} is applied, {objects} objects; {held}"))
            }
            (None, true, Some(evidence)) => (STALE, format!("{release}, {objects} objects: {}", summary(evidence))),
            _ => ("Applied", format!("{release} is applied, {objects} objects")),
        };
        writer.set(READY, "True", reason, &message);
        writer.set(HEALTHY, "True", HEALTHY, &fares);
        writer.set(RECONCILING, "False", "Applied", "");
        writer.set(STALLED, "False", "Applied", "");
        return;
    }
    let waiting = match report.changes.waiting.len() {
        0 => String::new(),
        n => format!("; {n} admission objects wait for it"),
    };
    let message = format!("{fares}{waiting}");
    // Once failed, an object that is still unhealthy is no new beginning; a release applied since is.
    let failed = condition(&writer.status.conditions, HEALTHY).is_some_and(|c| c.reason == UNHEALTHY)
        && !report.changes.changed();
    if !failed {
        writer.set(HEALTHY, "Unknown", PROGRESSING, &message);
    }
    let patience = patience(report, writer.about.timeout);
    if failed || deadline(&writer.status, patience).is_none_or(|end| writer.about.now >= end) {
        writer.set(HEALTHY, "False", UNHEALTHY, &message);
        writer.set(READY, "False", UNHEALTHY, &message);
        writer.set(RECONCILING, "False", UNHEALTHY, "");
        writer.set(STALLED, "True", UNHEALTHY, &message);
    } else {
        writer.set(READY, "Unknown", PROGRESSING, &message);
        writer.set(RECONCILING, "True", PROGRESSING, &message);
        writer.set(STALLED, "False", PROGRESSING, "");
    }
}

/// How long objects that fare like this may take to settle. A controller that fails at first may find what it needs a moment
/// later: it was applied with the same release.
pub(super) fn patience(report: &Report, timeout: Duration) -> Duration {
    let degraded = report.health.as_ref().is_some_and(HealthReport::is_degraded);
    if degraded { timeout.min(RECOVERY) } else { timeout }
}

/// By when objects must have settled: counted from when they began to be unhealthy or were last applied, whichever was
/// later. Both stand in the status, so that a restart neither shortens nor prolongs the wait.
pub(super) fn deadline(status: &DeliveryStatus, timeout: Duration) -> Option<Timestamp> {
    let healthy = condition(&status.conditions, HEALTHY).filter(|condition| condition.status != "True");
    let began = healthy.map(|condition| condition.last_transition_time.0);
    let applied = status.last_applied.as_ref().map(|last| last.at);
    began.max(applied)?.checked_add(SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX)).ok()
}

fn release_name(last: &LastApplied) -> String {
    match (&last.version, last.position()) {
        (Some(version), _) => format!("release {version} ({})", last.short),
        (None, Some(position)) => format!("release {position} ({})", last.short),
        (None, None) => format!("artifact {} ({THIRD_PARTY})", last.short),
    }
}

#[cfg(test)]
mod tests;
