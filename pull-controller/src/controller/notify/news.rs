//! What of a change of status there is to tell, and what of it is kept until it is told. *pure*

use jiff::Timestamp;
use kube::runtime::events::{Event, EventType};
use sealift_apply::api::{
    Condition, DeliveryStatus, PendingEvent, PendingEvents, Severity, SourceRevision, Topic, condition,
};
use sealift_verify::{digest::Digest, evidence::Evidence};

use super::super::status::{READY, SUSPENDED};

/// Events that wait in one status at most: past that the oldest goes. Each is below 2 KiB.
pub(super) const MOST: usize = 20;

/// Something that became of a Delivery, before anybody asked whether somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct News {
    topic: Topic,
    severity: Severity,
    progressing: bool,
    /// Whatever trouble there was with this, is over.
    is_over: bool,
    reason: String,
    message: String,
    about: About,
}

/// Which release it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct About {
    digest: Option<Digest>,
    version: Option<String>,
    source: Option<SourceRevision>,
}

/// The Events of one change of status, by what they are about.
#[derive(Default)]
pub(in super::super) struct Events {
    pub(in super::super) drift: Vec<Event>,
    pub(in super::super) standing: Option<Event>,
    pub(in super::super) hold: Option<Event>,
    pub(in super::super) release: Option<Event>,
}

/// What there is to tell.
pub(in super::super) fn news(
    before: &DeliveryStatus,
    now: &DeliveryStatus,
    events: &Events,
    evidence: Option<&Evidence>,
) -> Vec<News> {
    let open = |status: &DeliveryStatus| status.drift.as_ref().map_or(0, |drift| drift.open);
    let running = || applied(now);
    let plain = |topic, event: &Event, is_over| News {
        topic,
        severity: if event.type_ == EventType::Warning { Severity::Error } else { Severity::Info },
        progressing: false,
        is_over,
        reason: event.reason.clone(),
        message: event.note.clone().unwrap_or_default(),
        about: running(),
    };
    let mut news: Vec<_> = events.drift.iter().map(|event| plain(Topic::Drift, event, open(now) == 0)).collect();
    if events.drift.is_empty() && open(before) > 0 && open(now) == 0 {
        let message = "nothing differs from the release any more".to_owned();
        news.push(over(Topic::Drift, "DriftEnded", message, running()));
    }
    let standing = events.standing.as_ref();
    news.extend(standing.map(|event| plain(Topic::Trust, event, event.type_ == EventType::Normal)));
    let hold = events.hold.as_ref();
    news.extend(hold.map(|event| plain(Topic::Hold, event, event.type_ == EventType::Normal)));
    let ready = condition(&now.conditions, READY);
    news.extend(events.release.as_ref().zip(ready).map(|(event, ready)| release(event, ready, now, evidence)));
    news
}

fn release(event: &Event, ready: &Condition, now: &DeliveryStatus, evidence: Option<&Evidence>) -> News {
    let is_suspended = ready.reason == SUSPENDED;
    let failed = ready.status == "False" && !is_suspended;
    News {
        topic: Topic::Delivery,
        severity: if failed { Severity::Error } else { Severity::Info },
        progressing: ready.status == "Unknown",
        is_over: ready.status == "True" && !is_suspended,
        reason: event.reason.clone(),
        message: event.note.clone().unwrap_or_default(),
        about: if failed { attempted(now, evidence) } else { applied(now) },
    }
}

/// The Delivery is gone: no trouble with it lasts.
pub(super) fn farewell(before: &DeliveryStatus) -> Vec<News> {
    let open = before.notifications.as_ref().map(|events| events.open.keys().copied().collect::<Vec<_>>());
    let others = open.unwrap_or_default().into_iter().filter(|topic| *topic != Topic::Delivery);
    let message = || "the Delivery is deleted".to_owned();
    let one = |topic| over(topic, "Deleted", message(), applied(before));
    [Topic::Delivery].into_iter().chain(others).map(one).collect()
}

fn over(topic: Topic, reason: &str, message: String, about: About) -> News {
    let reason = reason.to_owned();
    News { topic, severity: Severity::Info, progressing: false, is_over: true, reason, message, about }
}

fn applied(status: &DeliveryStatus) -> About {
    let Some(last) = &status.last_applied else { return About::default() };
    About { digest: Some(last.digest), version: last.version.clone(), source: last.source.clone() }
}

fn attempted(status: &DeliveryStatus, evidence: Option<&Evidence>) -> About {
    let digest = status.last_attempted.as_ref().map(|last| last.digest);
    let Some(digest) = digest.filter(|digest| applied(status).digest != Some(*digest)) else { return applied(status) };
    // Only what was signed by whom a policy trusts stands in there.
    let statement = evidence.filter(|evidence| evidence.artifact == digest).and_then(|found| found.statement.as_ref());
    About {
        digest: Some(digest),
        version: statement.and_then(|statement| statement.version.clone()),
        source: statement.and_then(|statement| SourceRevision::of(statement.source.as_ref()?)),
    }
}

/// What waits to be told once this is news too, and how many events went for it. Nothing where nobody wants to know.
pub(super) fn appended(
    before: Option<PendingEvents>,
    news: Vec<News>,
    now: Timestamp,
    is_wanted: impl Fn(&PendingEvent) -> bool,
) -> (Option<PendingEvents>, u64) {
    let (was_there, mut after) = (before.is_some(), before.unwrap_or_default());
    let dropped = after.dropped;
    for News { topic, severity, progressing, is_over, reason, message, about } in news {
        let About { digest, version, source } = about;
        let ends = if is_over { after.open.remove(&topic) } else { None };
        let (number, told) = (after.next, Vec::new());
        let event = PendingEvent {
            number,
            topic,
            severity,
            progressing,
            reason,
            message,
            at: now,
            ends,
            digest,
            version,
            source,
            told,
        };
        if !is_wanted(&event) {
            continue;
        }
        if severity == Severity::Error {
            after.open.insert(topic, event.reason.clone());
        }
        after.next += 1;
        after.pending.push(event);
        if after.pending.len() > MOST {
            after.pending.remove(0);
            after.dropped += 1;
        }
    }
    let dropped = after.dropped - dropped;
    ((was_there || after.next > 0).then_some(after), dropped)
}

#[cfg(test)]
mod tests {
    use sealift_apply::api::{DriftStatus, LastApplied, LastAttempted, set_condition};

    use super::*;

    fn event(type_: EventType, reason: &str) -> Event {
        let note = Some(format!("{reason} in words"));
        Event { type_, reason: reason.into(), note, action: "x".into(), secondary: None }
    }

    fn status(ready: &str, reason: &str, open: u64) -> DeliveryStatus {
        let mut status = DeliveryStatus::default();
        set_condition(&mut status.conditions, READY, ready, reason, "", None, Timestamp::UNIX_EPOCH);
        status.drift = Some(DriftStatus { open, ..DriftStatus::default() });
        status
    }

    fn told(ready: &str, reason: &str) -> Vec<News> {
        let type_ = if ready == "False" { EventType::Warning } else { EventType::Normal };
        let events = Events { release: Some(event(type_, reason)), ..Events::default() };
        news(&DeliveryStatus::default(), &status(ready, reason, 0), &events, None)
    }

    fn append(before: Option<PendingEvents>, news: Vec<News>) -> PendingEvents {
        appended(before, news, Timestamp::UNIX_EPOCH, |_| true).0.unwrap()
    }

    fn last(events: &PendingEvents) -> (&str, Severity, bool, Option<&str>) {
        let event = events.pending.last().unwrap();
        (&event.reason, event.severity, event.progressing, event.ends.as_deref())
    }

    #[test]
    fn trouble_that_was_told_is_told_to_be_over_however_it_went_on_meanwhile() {
        let mut events = append(None, told("False", "Unsigned"));
        assert_eq!(last(&events), ("Unsigned", Severity::Error, false, None));
        for (ready, reason, wanted) in [
            ("Unknown", "Progressing", ("Progressing", Severity::Info, true, None)),
            ("False", "HealthCheckFailed", ("HealthCheckFailed", Severity::Error, false, None)),
            ("False", "Suspended", ("Suspended", Severity::Info, false, None)),
            ("True", "Suspended", ("Suspended", Severity::Info, false, None)),
            ("True", "Applied", ("Applied", Severity::Info, false, Some("HealthCheckFailed"))),
            ("True", "Applied", ("Applied", Severity::Info, false, None)),
        ] {
            events = append(Some(events), told(ready, reason));
            assert_eq!(last(&events), wanted, "{ready} {reason}");
        }
        let numbers: Vec<u64> = events.pending.iter().map(|event| event.number).collect();
        assert_eq!((numbers, events.next), ((0..7).collect(), 7));
    }

    #[test]
    fn each_topic_has_trouble_of_its_own_and_drift_ends_without_an_event() {
        let events = Events {
            drift: vec![event(EventType::Warning, "DriftReported")],
            standing: Some(event(EventType::Warning, "WouldRefuseNow")),
            hold: Some(event(EventType::Warning, "EmergencyHold")),
            release: None,
        };
        let before = status("True", "Applied", 0);
        let after = status("True", "Applied", 1);
        let kept = append(None, news(&before, &after, &events, None));
        let open: Vec<_> = kept.open.iter().map(|(topic, reason)| (*topic, reason.as_str())).collect();
        let wanted =
            [(Topic::Trust, "WouldRefuseNow"), (Topic::Hold, "EmergencyHold"), (Topic::Drift, "DriftReported")];
        assert_eq!(open, wanted);
        let kept = append(Some(kept), news(&after, &before, &Events::default(), None));
        assert_eq!(last(&kept), ("DriftEnded", Severity::Info, false, Some("DriftReported")));
        let ended = Events { standing: Some(event(EventType::Normal, "AcceptedAgain")), ..Events::default() };
        let kept = append(Some(kept), news(&before, &before, &ended, None));
        assert_eq!(last(&kept), ("AcceptedAgain", Severity::Info, false, Some("WouldRefuseNow")));
        // What is left is over with the Delivery itself.
        let gone = DeliveryStatus { notifications: Some(kept.clone()), ..before };
        let kept = append(Some(kept), farewell(&gone));
        assert_eq!((last(&kept).0, last(&kept).3, kept.open.len()), ("Deleted", Some("EmergencyHold"), 0));
    }

    #[test]
    fn nothing_is_kept_that_nobody_wants_and_the_oldest_goes_where_too_much_waits() {
        let nobody = appended(None, told("False", "Unsigned"), Timestamp::UNIX_EPOCH, |_| false);
        assert_eq!(nobody, (None, 0));
        let mut events = None;
        for _ in 0..MOST + 2 {
            events = appended(events, told("False", "Unsigned"), Timestamp::UNIX_EPOCH, |_| true).0;
        }
        let events = events.unwrap();
        assert_eq!((events.pending.len(), events.pending[0].number, events.dropped), (MOST, 2, 2));
        let (unwanted, dropped) =
            appended(Some(events.clone()), told("False", "Denied"), Timestamp::UNIX_EPOCH, |_| false);
        assert_eq!((unwanted, dropped), (Some(events), 0));
    }

    #[test]
    fn what_failed_is_told_of_what_was_attempted_and_the_rest_of_what_runs() {
        let digest = |content: &str| Digest::of(content.as_bytes());
        let source = |commit: &str| Some(SourceRevision { uri: "https://git.example/a".into(), commit: commit.into() });
        let mut runs = status("True", "Applied", 0);
        runs.last_applied = Some(LastApplied {
            digest: digest("1"),
            short: String::new(),
            version: Some("1.0.0".into()),
            epoch: None,
            sequence: None,
            statement: None,
            variant: None,
            objects: digest("o"),
            parameters: None,
            issued_at: None,
            source: source("abc"),
            at: Timestamp::UNIX_EPOCH,
        });
        assert_eq!(applied(&runs).source, source("abc"));
        let attempt = |content| Some(LastAttempted { digest: digest(content), tag: None, at: Timestamp::UNIX_EPOCH });
        runs.last_attempted = attempt("1");
        assert_eq!(attempted(&runs, None), applied(&runs));
        runs.last_attempted = attempt("2");
        assert_eq!(attempted(&runs, None), About { digest: Some(digest("2")), ..About::default() });
    }
}
