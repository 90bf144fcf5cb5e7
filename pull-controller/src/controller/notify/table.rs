//! Who is to be told of what next, and what came of it. *pure*
//!
//! Events of one Delivery reach a service in their order, one at a time. A service that fails is asked again later each
//! time, by one event at a time, and holds up no other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use sealift_apply::api::{Notification, PendingEvent, PendingEvents};
use tokio::time::Instant;

use super::{
    super::schedule,
    filter::{Of, concerns, wants},
};
use crate::queue::Key;

/// So many requests are on their way to one service at most, and to all together.
const AT_ONCE: usize = 2;
const AT_ONCE_IN_ALL: usize = 64;
/// An event that somebody could not be told for so long is given up.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// A service that does not want an event is not asked more often to take it.
const MOST_REFUSALS: u32 = 5;
/// A service that wishes to be left alone is, for so long at most.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// `namespace/name` of a Notification.
pub(super) type Service = String;

/// Everything that is to be told.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By the uid of the Delivery.
    boxes: HashMap<String, Mailbox>,
    lines: HashMap<Service, Line>,
}

#[derive(Debug)]
struct Mailbox {
    of: Key,
    labels: BTreeMap<String, String>,
    letters: BTreeMap<u64, Letter>,
    /// The status does not say what is known here.
    unsaved: bool,
    /// The Delivery is gone, and its status with it.
    gone: bool,
}

#[derive(Debug)]
struct Letter {
    event: Arc<PendingEvent>,
    told: BTreeSet<Service>,
    tries: HashMap<Service, Tries>,
    /// It was read from a status: a process before this one may have told it.
    restored: bool,
    /// Everybody was told, or it is too late.
    over: bool,
    late: bool,
}

#[derive(Debug, Default)]
struct Tries {
    sending: bool,
    /// How often the service did not want it.
    refused: u32,
    not_before: Option<Instant>,
    /// The service may have it already.
    uncertain: bool,
}

/// How one service fares.
#[derive(Debug, Default)]
struct Line {
    /// The Notification as it was: another one deserves another try at once.
    version: (String, Option<i64>),
    sending: usize,
    failures: u32,
    not_before: Option<Instant>,
}

/// One event for one service.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) notification: Arc<Notification>,
    pub(super) service: Service,
    pub(super) uid: String,
    pub(super) of: Key,
    pub(super) event: Arc<PendingEvent>,
    /// The service may have it already.
    pub(super) again: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The service took it.
    Took,
    /// The service works and does not want this.
    Refused,
    /// The service does not work, or wishes to be left alone for so long.
    Failed { wish: Option<Duration>, uncertain: bool },
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) jobs: Vec<Job>,
    /// Deliveries whose status is behind.
    pub(super) unsaved: Vec<Key>,
    /// Who will not be told of an event any more, once for each.
    pub(super) given_up: Vec<Service>,
    /// When the next job is due, of those that wait.
    pub(super) next: Option<Instant>,
}

impl Table {
    /// True if this Delivery's events were taken in: from then on they are known here better than in any status.
    pub(super) fn knows(&self, uid: &str) -> bool {
        self.boxes.contains_key(uid)
    }

    /// Takes in what a status says. `restored` is what a process before this one has written.
    pub(super) fn keep(
        &mut self,
        uid: &str,
        of: &Key,
        labels: &BTreeMap<String, String>,
        events: Option<&PendingEvents>,
        restored: bool,
    ) {
        if events.is_none() && !self.knows(uid) {
            return;
        }
        let new = || Mailbox {
            of: of.clone(),
            labels: BTreeMap::new(),
            letters: BTreeMap::new(),
            unsaved: false,
            gone: false,
        };
        let mailbox = self.boxes.entry(uid.to_owned()).or_insert_with(new);
        mailbox.labels.clone_from(labels);
        let pending = events.map(|events| &events.pending[..]).unwrap_or_default();
        let named: BTreeSet<u64> = pending.iter().map(|event| event.number).collect();
        mailbox.letters.retain(|number, _| named.contains(number));
        for event in pending {
            let letter = mailbox.letters.entry(event.number).or_insert_with(|| Letter {
                event: Arc::new(event.clone()),
                told: BTreeSet::new(),
                tries: HashMap::new(),
                restored,
                over: false,
                late: false,
            });
            letter.told.extend(event.told.iter().cloned());
            if *letter.event != *event {
                letter.event = Arc::new(event.clone());
            }
        }
        mailbox.unsaved = mailbox.letters.values().any(|letter| letter.over);
    }

    /// The Delivery is gone; these are the last events of it, which no status holds.
    pub(super) fn gone(
        &mut self,
        uid: &str,
        of: &Key,
        labels: &BTreeMap<String, String>,
        last: Option<&PendingEvents>,
    ) {
        self.keep(uid, of, labels, last, false);
        if let Some(mailbox) = self.boxes.get_mut(uid) {
            mailbox.gone = true;
        }
    }

    /// Somebody else tells of this Delivery from now on. One that is gone is nobody else's.
    pub(super) fn part(&mut self, uid: &str) {
        self.boxes.retain(|own, mailbox| own != uid || mailbox.gone);
    }

    /// Forgets Deliveries that are no more, once their last events are told.
    pub(super) fn sweep(&mut self, is_there: impl Fn(&str) -> bool) {
        for (uid, mailbox) in &mut self.boxes {
            mailbox.gone |= !is_there(uid);
        }
        self.boxes.retain(|_, mailbox| !mailbox.gone || mailbox.letters.values().any(|letter| !letter.over));
    }

    /// True if this Delivery's status does not say what is known here.
    pub(super) fn is_unsaved(&self, uid: &str) -> bool {
        self.boxes.get(uid).is_some_and(|mailbox| mailbox.unsaved && !mailbox.gone)
    }

    /// What the status is to say in place of this.
    pub(super) fn saved(&self, uid: &str, events: Option<PendingEvents>) -> Option<PendingEvents> {
        let mut events = events?;
        if let Some(mailbox) = self.boxes.get(uid) {
            let late = |event: &PendingEvent| mailbox.letters.get(&event.number).is_some_and(|letter| letter.late);
            events.dropped += events.pending.iter().filter(|event| late(event)).count() as u64;
            events.pending.retain(|event| mailbox.letters.get(&event.number).is_none_or(|letter| !letter.over));
            for event in &mut events.pending {
                if let Some(letter) = mailbox.letters.get(&event.number) {
                    event.told = letter.told.iter().cloned().collect();
                }
            }
        }
        Some(events)
    }

    /// Events that somebody is still to be told.
    pub(super) fn pending(&self) -> usize {
        self.boxes.values().flat_map(|mailbox| mailbox.letters.values()).filter(|letter| !letter.over).count()
    }

    /// Whatever was on its way is lost sight of.
    pub(super) fn restart(&mut self) {
        self.lines.values_mut().for_each(|line| line.sending = 0);
        let letters = self.boxes.values_mut().flat_map(|mailbox| mailbox.letters.values_mut());
        for tries in letters.flat_map(|letter| letter.tries.values_mut()) {
            tries.uncertain |= tries.sending;
            tries.sending = false;
        }
    }

    /// What is to be done now, each job given out once.
    pub(super) fn due(
        &mut self,
        services: &[Arc<Notification>],
        platform: Option<&str>,
        now: Instant,
        clock: Timestamp,
    ) -> Due {
        let active: Vec<_> = services.iter().filter(|service| !service.spec.suspend).collect();
        self.take_note_of(&active);
        let Self { boxes, lines } = self;
        let (mut due, mut sending) = (Due::default(), lines.values().map(|line| line.sending).sum::<usize>());
        let later = |at: Instant, due: &mut Due| due.next = Some(due.next.map_or(at, |next| next.min(at)));
        for (uid, mailbox) in boxes.iter_mut().filter(|(_, mailbox)| !mailbox.letters.is_empty()) {
            let Mailbox { of, labels, letters, unsaved, gone } = mailbox;
            let about = Of { namespace: &of.namespace, name: &of.name, labels };
            let concerned: Vec<_> = active.iter().filter(|service| concerns(service, about, platform)).collect();
            for letter in letters.values_mut().filter(|letter| !letter.over) {
                letter.late = clock.duration_since(letter.event.at) > LONGEST;
                let wanting = concerned.iter().filter(|service| wants(&service.spec, &letter.event));
                let left: Vec<_> =
                    wanting.map(|service| name(service)).filter(|name| !letter.told.contains(name)).collect();
                if left.is_empty() {
                    (letter.over, letter.late, *unsaved) = (true, false, true);
                } else if letter.late {
                    (letter.over, *unsaved) = (true, true);
                    due.given_up.extend(left);
                }
            }
            for service in concerned {
                let name = name(service);
                let mut open = letters.values_mut().filter(|letter| !letter.over && !letter.told.contains(&name));
                let Some(letter) = open.find(|letter| wants(&service.spec, &letter.event)) else { continue };
                let Some(line) = lines.get_mut(&name) else { continue };
                let tries = letter.tries.entry(name.clone()).or_default();
                let waits = line.not_before.max(tries.not_before).filter(|at| *at > now);
                let most = if line.failures > 0 { 1 } else { AT_ONCE };
                if let Some(at) = waits {
                    // Whoever has it is noted down before the rest have it, too.
                    *unsaved |= !*gone && letter.told.len() > letter.event.told.len();
                    later(at, &mut due);
                } else if !tries.sending && line.sending < most && sending < AT_ONCE_IN_ALL {
                    tries.sending = true;
                    line.sending += 1;
                    sending += 1;
                    due.jobs.push(Job {
                        notification: Arc::clone(service),
                        service: name,
                        uid: uid.clone(),
                        of: of.clone(),
                        event: Arc::clone(&letter.event),
                        again: tries.uncertain || letter.restored,
                    });
                }
            }
            due.unsaved.extend((*unsaved && !*gone).then(|| of.clone()));
        }
        due
    }

    fn take_note_of(&mut self, active: &[&Arc<Notification>]) {
        let names: BTreeSet<Service> = active.iter().map(|service| name(service)).collect();
        self.lines.retain(|service, line| names.contains(service) || line.sending > 0);
        for service in active {
            let version = (service.metadata.uid.clone().unwrap_or_default(), service.metadata.generation);
            let line = self.lines.entry(name(service)).or_default();
            if line.version != version {
                (line.version, line.failures, line.not_before) = (version, 0, None);
            }
        }
    }

    /// Takes note of what came of a job. True if the service will not be told of it any more.
    pub(super) fn answered(&mut self, job: &Job, outcome: Outcome, now: Instant, random: f64) -> bool {
        let line = self.lines.entry(job.service.clone()).or_default();
        line.sending = line.sending.saturating_sub(1);
        match outcome {
            Outcome::Took | Outcome::Refused => (line.failures, line.not_before) = (0, None),
            Outcome::Failed { wish, uncertain: _ } => {
                let pause =
                    schedule::after_failure(line.failures, random).max(wish.unwrap_or_default().min(LONGEST_WISH));
                (line.failures, line.not_before) = (line.failures.saturating_add(1), Some(now + pause));
            }
        }
        let letter = self.boxes.get_mut(&job.uid).and_then(|mailbox| mailbox.letters.get_mut(&job.event.number));
        let Some(letter) = letter else { return false };
        let tries = letter.tries.entry(job.service.clone()).or_default();
        tries.sending = false;
        match outcome {
            Outcome::Failed { uncertain, .. } => tries.uncertain |= uncertain,
            Outcome::Refused => {
                tries.refused += 1;
                tries.not_before = Some(now + schedule::after_failure(tries.refused - 1, random));
            }
            Outcome::Took => {}
        }
        let given_up = outcome == Outcome::Refused && tries.refused >= MOST_REFUSALS;
        if outcome == Outcome::Took || given_up {
            letter.told.insert(job.service.clone());
            letter.tries.remove(&job.service);
        }
        given_up
    }
}

/// `namespace/name` of a Notification.
pub(super) fn name(notification: &Notification) -> Service {
    format!("{}/{}", notification.namespace().unwrap_or_default(), notification.name_any())
}

#[cfg(test)]
mod tests;
