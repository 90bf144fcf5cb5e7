//! What the status of each Notification is to say, and when it is worth a request. *pure*

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use sealift_apply::api::{Notification, NotificationStatus, condition, set_condition};
use tokio::time::Instant;

use super::table::{Service, name};

const READY: &str = "Ready";
/// Counts alone are written no more often.
const COUNTS: Duration = Duration::from_secs(60);
/// Nothing is: by then a watch has told what was written before, which the counts go on from.
const LEAST: Duration = Duration::from_secs(10);

/// Whether telling works, with the reason and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) works: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What is known and not written.
#[derive(Debug, Default)]
pub(super) struct Book(HashMap<Service, Page>);

#[derive(Debug, Default)]
struct Page {
    sent: u64,
    failed: u64,
    dropped: u64,
    last_sent: Option<Timestamp>,
    standing: Option<Standing>,
    generation: Option<i64>,
    written: Option<Instant>,
}

/// What happened to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Sent(Timestamp),
    Failed,
    Dropped,
}

impl Book {
    /// Counts something.
    pub(super) fn count(&mut self, service: &str, mark: Mark) {
        let page = self.0.entry(service.to_owned()).or_default();
        match mark {
            Mark::Sent(at) => (page.sent, page.last_sent) = (page.sent + 1, Some(at)),
            Mark::Failed => page.failed += 1,
            Mark::Dropped => page.dropped += 1,
        }
    }

    /// Takes note of whether telling works.
    pub(super) fn stands(&mut self, service: &str, standing: Standing) {
        self.0.entry(service.to_owned()).or_default().standing = Some(standing);
    }

    /// The statuses to write now. Of a specification that is new, `check` says whether it can be used.
    pub(super) fn due(
        &mut self,
        services: &[Arc<Notification>],
        now: Instant,
        clock: Timestamp,
        check: impl Fn(&Notification) -> Standing,
    ) -> Vec<(Arc<Notification>, NotificationStatus)> {
        let names: Vec<Service> = services.iter().map(|service| name(service)).collect();
        self.0.retain(|service, _| names.contains(service));
        let mut due = Vec::new();
        for (service, name) in services.iter().zip(names) {
            let page = self.0.entry(name).or_default();
            let known = service.status.clone().unwrap_or_default();
            if page.generation != service.metadata.generation {
                page.generation = service.metadata.generation;
                if known.observed_generation != service.metadata.generation || page.standing.is_some() {
                    page.standing = Some(check(service));
                }
            }
            let next = page.over(&known, clock);
            let since = page.written.map(|written| now.duration_since(written));
            let turned = condition(&known.conditions, READY) != condition(&next.conditions, READY);
            let least = if turned { LEAST } else { COUNTS };
            if next != known && since.is_none_or(|since| since >= least) {
                due.push((Arc::clone(service), next));
            }
        }
        due
    }

    /// A status was written: what it counts is counted.
    pub(super) fn written(
        &mut self,
        service: &str,
        before: &NotificationStatus,
        after: &NotificationStatus,
        now: Instant,
    ) {
        let Some(page) = self.0.get_mut(service) else { return };
        page.sent = page.sent.saturating_sub(after.sent.saturating_sub(before.sent));
        page.failed = page.failed.saturating_sub(after.failed.saturating_sub(before.failed));
        page.dropped = page.dropped.saturating_sub(after.dropped.saturating_sub(before.dropped));
        page.written = Some(now);
    }
}

impl Page {
    fn over(&self, known: &NotificationStatus, clock: Timestamp) -> NotificationStatus {
        let mut next = known.clone();
        next.sent += self.sent;
        next.failed += self.failed;
        next.dropped += self.dropped;
        next.last_sent_at = self.last_sent.max(known.last_sent_at);
        if let Some(Standing { works, reason, message }) = &self.standing {
            let status = if *works { "True" } else { "False" };
            next.observed_generation = self.generation;
            set_condition(&mut next.conditions, READY, status, reason, message, self.generation, clock);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::filter::tests::notification, *};

    fn standing(works: bool, reason: &'static str) -> Standing {
        Standing { works, reason, message: String::new() }
    }

    #[test]
    fn a_turn_is_told_soon_and_counts_once_a_minute() {
        let mut service = notification("apps", "a", json!({"type": "generic", "address": "https://a.example"}));
        let (mut book, start) = (Book::default(), Instant::now());
        let mut write = |book: &mut Book, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let services = [Arc::new(service.clone())];
            let due = book.due(&services, now, Timestamp::UNIX_EPOCH, |_| standing(true, "Accepted"));
            let next = due.into_iter().next()?.1;
            book.written("apps/a", &service.status.clone().unwrap_or_default(), &next, now);
            service.status = Some(next.clone());
            let reason = condition(&next.conditions, READY).unwrap().reason.clone();
            Some((reason, next.sent, next.failed))
        };
        assert_eq!(write(&mut book, 0), Some(("Accepted".into(), 0, 0)));
        assert_eq!(write(&mut book, 100), None, "nothing is new");
        book.count("apps/a", Mark::Sent(Timestamp::UNIX_EPOCH));
        book.stands("apps/a", standing(true, "Sent"));
        assert_eq!(write(&mut book, 100), Some(("Sent".into(), 1, 0)));
        book.count("apps/a", Mark::Sent(Timestamp::UNIX_EPOCH));
        assert_eq!(write(&mut book, 120), None);
        book.count("apps/a", Mark::Failed);
        book.stands("apps/a", standing(false, "Unreachable"));
        assert_eq!(write(&mut book, 105), None, "not so soon after the last");
        assert_eq!(write(&mut book, 120), Some(("Unreachable".into(), 2, 1)));
        book.count("apps/a", Mark::Failed);
        assert_eq!(write(&mut book, 179), None);
        assert_eq!(write(&mut book, 180), Some(("Unreachable".into(), 2, 2)));
        assert_eq!(write(&mut book, 999), None);
    }
}
