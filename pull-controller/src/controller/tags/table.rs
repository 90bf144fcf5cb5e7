//! What is asked of registries, for whom, how often, and what was answered. *pure*

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use sealift_registry::{client::ClientError, store::Place, versions::Range};
use sealift_verify::digest::Digest;
use tokio::time::Instant;

use super::{
    super::{registries::Who, schedule},
    gate::Gate,
};
use crate::queue::Key;

/// An answer outlives its interval by so much before a Delivery asks itself: whoever asks in the background is late by
/// jitter and by the call.
const SLACK: f64 = 1.25;
/// A question that was given out counts as unanswered for so long, then it is given out again.
const LEASE: Duration = Duration::from_secs(120);

/// A question that has one answer for all who ask it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Question {
    pub(in super::super) place: Place,
    pub(in super::super) who: Who,
    pub(in super::super) what: What,
}

/// What is asked of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum What {
    /// What a tag points at.
    Tag(String),
    /// Which tags there are.
    Tags,
}

/// What a registry said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Found {
    /// What the tag points at.
    Digest(Digest),
    /// The tags.
    Tags(Arc<[String]>),
}

/// An answer of a registry, shared by all who asked.
pub(in super::super) type Answer = Result<Found, Arc<ClientError>>;

/// What a Delivery wants to know of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Interest {
    /// How often, at most.
    pub(in super::super) interval: Duration,
    /// Of the tags only the highest version in this range matters.
    pub(in super::super) range: Option<Range>,
    /// It had to do without an answer, so the next one is news whatever it says.
    pub(in super::super) unanswered: bool,
}

/// All questions that somebody is interested in. `C` is what it takes to ask one.
#[derive(Debug)]
pub(super) struct Table<C> {
    entries: HashMap<Question, Entry<C>>,
    follows: HashMap<Key, HashSet<Question>>,
    gate: Gate,
}

#[derive(Debug)]
struct Entry<C> {
    client: C,
    answer: Option<(Instant, Answer)>,
    /// How often in a row there was none that helps.
    failures: u32,
    /// When it is to be asked again.
    due: Instant,
    interested: HashMap<Key, Interest>,
}

impl<C> Entry<C> {
    fn shortest(&self) -> Option<Duration> {
        self.interested.values().map(|interest| interest.interval).min()
    }
}

impl<C> Default for Table<C> {
    fn default() -> Self {
        Self { entries: HashMap::new(), follows: HashMap::new(), gate: Gate::default() }
    }
}

impl<C: Clone> Table<C> {
    /// The answer that is good enough for this interest now, if there is one. `urgent` takes none but a registry's own wish
    /// not to be asked.
    pub(super) fn known(&self, question: &Question, interval: Duration, now: Instant, urgent: bool) -> Option<Answer> {
        let at = (question.place.clone(), question.who.clone());
        let entry = self.entries.get(question).and_then(|entry| Some((entry, entry.answer.as_ref()?)));
        match entry {
            Some((entry, (answered, answer @ Ok(_)))) if !urgent => {
                let interval = entry.shortest().unwrap_or(interval).min(interval);
                let fresh = now.duration_since(*answered) < interval.mul_f64(SLACK);
                fresh.then(|| answer.clone()).or_else(|| self.gate.closed(&at, now, urgent).map(Err))
            }
            Some((entry, (_, answer @ Err(error)))) if !urgent && !error.is_transient() && entry.due > now => {
                Some(answer.clone())
            }
            _ => self.gate.closed(&at, now, urgent).map(Err),
        }
    }

    /// Takes note of an answer, and says whom it concerns: those for whom it is another than before. A first failure after
    /// an answer is no news yet. `interval` is that of the Delivery that asked, if it was one.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        client: C,
        answer: &Answer,
        interval: Option<Duration>,
        now: Instant,
        random: f64,
    ) -> Vec<Key> {
        let at = (question.place.clone(), question.who.clone());
        self.gate.answered(&at, answer.as_ref().err(), now, random);
        let opens = self.gate.opens(&at);
        let entry = self.entries.entry(question.clone()).or_insert_with(|| Entry {
            client: client.clone(),
            answer: None,
            failures: 0,
            due: now,
            interested: HashMap::new(),
        });
        entry.client = client;
        entry.failures = if answer.is_ok() { 0 } else { entry.failures + 1 };
        let interval = entry.shortest().into_iter().chain(interval).min().unwrap_or(LEASE);
        let pause = schedule::stretched(interval, 0.1 * random);
        entry.due = match answer {
            Ok(_) => now + pause,
            Err(_) => {
                let soon = now + schedule::after_failure(entry.failures - 1, random).min(pause);
                opens.map_or(soon, |opens| opens.max(soon))
            }
        };
        let is_blip = entry.failures == 1 && answer.as_ref().is_err_and(|error| error.is_transient());
        if is_blip && entry.answer.as_ref().is_some_and(|(_, before)| before.is_ok()) {
            // The answer before is kept, and its age with it.
            return Vec::new();
        }
        let before = entry.answer.replace((now, answer.clone())).map(|(_, before)| before);
        let concerned = entry.interested.iter().filter(|(_, interest)| interest.differs(before.as_ref(), answer));
        concerned.map(|(key, _)| key.clone()).collect()
    }

    /// The answer as whoever asked is to hear it.
    pub(super) fn told(&self, question: &Question, answer: Answer) -> Answer {
        let at = (question.place.clone(), question.who.clone());
        answer.map_err(|error| self.gate.told(&at, &error))
    }

    /// From now on the Delivery follows these questions, and no others. What nobody follows is dropped.
    pub(super) fn follow(&mut self, key: &Key, questions: Vec<(Question, Interest)>, now: Instant) {
        let mut before = self.follows.remove(key).unwrap_or_default();
        for (question, interest) in questions {
            before.remove(&question);
            let Some(entry) = self.entries.get_mut(&question) else { continue };
            if entry.answer.as_ref().is_some_and(|(_, answer)| answer.is_ok()) {
                entry.due = entry.due.min(now + interest.interval);
            }
            entry.interested.insert(key.clone(), interest);
            self.follows.entry(key.clone()).or_default().insert(question);
        }
        for question in before {
            let Some(entry) = self.entries.get_mut(&question) else { continue };
            entry.interested.remove(key);
            if entry.interested.is_empty() {
                self.entries.remove(&question);
            }
        }
    }

    /// Drops answers that nobody came to follow: whoever asked broke off.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.entries.retain(|_, entry| !entry.interested.is_empty() || entry.due + LEASE > now);
    }

    /// Gives out what is to be asked now, each once.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Question, C)> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.due <= now && !entry.interested.is_empty());
        due.map(|(question, entry)| {
            entry.due = now + LEASE;
            (question.clone(), entry.client.clone())
        })
        .collect()
    }

    /// When the next question is to be asked.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| !entry.interested.is_empty()).map(|entry| entry.due).min()
    }

    /// The gate of all repositories.
    pub(super) fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// How many questions there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Interest {
    /// True if the answer is another for whoever is interested so.
    fn differs(&self, before: Option<&Answer>, now: &Answer) -> bool {
        if self.unanswered != now.is_err() {
            return true;
        }
        match (before, now) {
            (Some(Ok(Found::Tags(before))), Ok(Found::Tags(now))) => match &self.range {
                Some(range) => range.highest(before) != range.highest(now),
                None => before != now,
            },
            (Some(Ok(before)), Ok(now)) => before != now,
            (Some(Err(before)), Err(now)) => std::mem::discriminant(&**before) != std::mem::discriminant(&**now),
            (Some(_) | None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests;
