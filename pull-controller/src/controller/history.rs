//! What a Delivery has brought so far. *pure*

use jiff::Timestamp;
use sealift_apply::{
    api::{ChangeCounts, DeliveryStatus, HELD, HistoryEntry, REMEMBERED},
    change::{Action, ChangeSet},
};

use super::{
    report::Report,
    stop::{Stop, Verdict},
};

/// The history once a reconcile is over: a release that was applied to the end, or refused for another reason than the
/// last one, comes first. Repairs and further looks at the same are no news.
pub(super) fn after(
    previous: &DeliveryStatus,
    next: &DeliveryStatus,
    report: &Report,
    now: Timestamp,
) -> Vec<HistoryEntry> {
    let mut history = next.history.clone();
    let begin = report.began.unwrap_or(now);
    let entry = brought(previous, next, report, begin, now).or_else(|| refused(&history, report, now));
    if let Some(entry) = entry {
        history.insert(0, entry);
        history.truncate(REMEMBERED);
    }
    history
}

fn brought(
    previous: &DeliveryStatus,
    next: &DeliveryStatus,
    report: &Report,
    began: Timestamp,
    now: Timestamp,
) -> Option<HistoryEntry> {
    report.applied.as_ref()?;
    let (before, last) = (previous.last_applied.as_ref(), next.last_applied.as_ref()?);
    if before.is_some_and(|before| before.is_same_but_for_when(last)) {
        return None;
    }
    // An earlier reconcile may have begun it. Of other values for what runs already, only this one is known.
    let is_upgrade = before.is_none_or(|before| before.digest != last.digest);
    let attempted = previous.last_attempted.as_ref().filter(|attempted| is_upgrade && attempted.digest == last.digest);
    let first = attempted.map_or(began, |attempted| attempted.at.min(began));
    Some(HistoryEntry {
        digest: last.digest,
        version: last.version.clone(),
        epoch: last.epoch,
        sequence: last.sequence,
        statement: last.statement,
        verdict: "Applied".to_owned(),
        reason: report.hold.is_in_force().then(|| HELD.to_owned()),
        at: now,
        milliseconds: u64::try_from(now.duration_since(first).as_millis()).ok(),
        changes: Some(counts(&report.changes)),
    })
}

fn refused(history: &[HistoryEntry], report: &Report, now: Timestamp) -> Option<HistoryEntry> {
    let stop = report.stop.as_ref().map(Stop::about_selected).filter(|stop| stop.verdict() == Verdict::Refused)?;
    let (digest, _) = report.attempted.as_ref()?;
    let evidence = report.evidence.as_ref().filter(|evidence| evidence.artifact == *digest);
    let statement = evidence.and_then(|evidence| evidence.statement.as_ref());
    let entry = HistoryEntry {
        digest: *digest,
        version: statement.and_then(|statement| statement.version.clone()),
        epoch: statement.map(|statement| statement.position.epoch),
        sequence: statement.map(|statement| statement.position.sequence),
        statement: statement.map(|statement| statement.digest),
        verdict: "Refused".to_owned(),
        reason: Some(stop.reason().to_owned()),
        at: now,
        milliseconds: None,
        changes: None,
    };
    let same = |last: &HistoryEntry| HistoryEntry { at: now, ..last.clone() } == entry;
    (!history.first().is_some_and(same)).then_some(entry)
}

/// How many objects fared how.
pub(super) fn counts(changes: &ChangeSet) -> ChangeCounts {
    let count = |action| changes.count(action) as u64;
    ChangeCounts {
        created: count(Action::Created),
        configured: count(Action::Configured),
        unchanged: count(Action::Unchanged),
        deleted: count(Action::Deleted),
        skipped: count(Action::Skipped),
    }
}

#[cfg(test)]
mod tests {
    use sealift_apply::api::{LastApplied, LastAttempted};
    use sealift_verify::{digest::Digest, refusal::Refusal};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn applied(name: &str, sequence: u64, objects: &str) -> LastApplied {
        let digest = Digest::of(name.as_bytes());
        LastApplied {
            digest,
            short: digest.short(),
            version: Some(name.to_owned()),
            epoch: Some(0),
            sequence: Some(sequence),
            statement: Some(Digest::of(&sequence.to_be_bytes())),
            variant: None,
            objects: Digest::of(objects.as_bytes()),
            parameters: None,
            issued_at: None,
            source: None,
            at: at(0),
        }
    }

    /// One reconcile that ends at `second` after two seconds of work.
    fn reconcile(status: &DeliveryStatus, last: LastApplied, second: i64) -> DeliveryStatus {
        let mut next = status.clone();
        next.last_applied = Some(last.clone());
        let report = Report { applied: Some(last), began: Some(at(second - 2)), ..Report::default() };
        next.history = after(status, &next, &report, at(second));
        next
    }

    fn told(status: &DeliveryStatus) -> Vec<(&str, &str, Option<u64>)> {
        status
            .history
            .iter()
            .map(|entry| (entry.version.as_deref().unwrap_or_default(), entry.verdict.as_str(), entry.milliseconds))
            .collect()
    }

    #[test]
    fn each_release_that_was_applied_stands_there_once_newest_first() {
        let first = reconcile(&DeliveryStatus::default(), applied("1", 1, "a"), 10);
        let again = reconcile(&first, applied("1", 1, "a"), 20);
        assert_eq!(told(&again), [("1", "Applied", Some(2000))], "a repair is no news");
        let second = reconcile(&again, applied("2", 2, "b"), 30);
        assert_eq!(told(&second), [("2", "Applied", Some(2000)), ("1", "Applied", Some(2000))]);
        let values = reconcile(&second, applied("2", 2, "other values"), 40);
        assert_eq!(told(&values).len(), 3, "other objects of the same release are");
        let back = reconcile(&values, applied("1", 3, "a"), 50);
        assert_eq!(told(&back)[0].0, "1", "and so is an older artifact under a newer statement");
    }

    #[test]
    fn what_an_earlier_reconcile_began_is_counted_from_there() {
        let digest = Digest::of(b"1");
        let begun = DeliveryStatus {
            last_attempted: Some(LastAttempted { digest, tag: None, at: at(3) }),
            ..DeliveryStatus::default()
        };
        assert_eq!(told(&reconcile(&begun, applied("1", 1, "a"), 10)), [("1", "Applied", Some(7000))]);
    }

    #[test]
    fn a_refusal_is_told_once_until_its_reason_changes() {
        let digest = Digest::of(b"1");
        let refuse = |status: &DeliveryStatus, refusal: Refusal, second| {
            let report = Report {
                attempted: Some((digest, None)),
                stop: Some(Stop::Refused(refusal)),
                began: Some(at(second)),
                ..Report::default()
            };
            DeliveryStatus { history: after(status, status, &report, at(second)), ..status.clone() }
        };
        let first = refuse(&DeliveryStatus::default(), Refusal::Unsigned(digest), 1);
        let again = refuse(&first, Refusal::Unsigned(digest), 2);
        assert_eq!(first.history, again.history);
        let reasons = |status: &DeliveryStatus| {
            status.history.iter().filter_map(|entry| entry.reason.clone()).collect::<Vec<_>>()
        };
        let denied = Refusal::Denied { policy: "p".into(), what: "key".into() };
        assert_eq!(reasons(&refuse(&again, denied, 3)), ["Denied", "Unsigned"]);
        let undecided = refuse(&again, Refusal::TooManySignatures { seen: 64 }, 4);
        assert_eq!(undecided.history, again.history, "no answer is no refusal");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut status = DeliveryStatus::default();
        for n in 0..30_u64 {
            status = reconcile(&status, applied(&n.to_string(), n, "a"), 100 + i64::try_from(n).unwrap());
        }
        assert_eq!(status.history.len(), REMEMBERED);
        assert_eq!(told(&status)[0].0, "29");
    }
}
