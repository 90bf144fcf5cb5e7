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
/// However often somebody says that there is something new, a question is asked no more often for that.
const BETWEEN_HINTS: Duration = Duration::from_secs(2);
/// And once more so much later each, as long as the answer is the same: CNCF distribution tells of a tag just before it moves.
const ECHOES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
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

/// Somebody says that a repository has something new.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Hint<'a> {
    /// The path of the repository, or its whole name: a registry may be known by another host to those who speak of it. Any
    /// may be meant if none is named.
    pub(in super::super) repository: Option<&'a str>,
    /// The tag that moved; anything may have if none is named.
    pub(in super::super) tag: Option<&'a str>,
    /// The namespace of the Deliveries that he may speak for; all if he is of the platform.
    pub(in super::super) namespace: Option<&'a str>,
    /// The repositories that he may speak of, where a `*` at the end stands for anything; all if there are none.
    pub(in super::super) among: &'a [String],
}

impl Hint<'_> {
    fn means<C>(&self, question: &Question, entry: &Entry<C>) -> bool {
        let place = &question.place.repository;
        let name = place.to_string();
        let there = self.repository.is_none_or(|meant| meant == place.path() || meant == name);
        let is_his = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => *pattern == name,
        };
        let there = there && (self.among.is_empty() || self.among.iter().any(is_his));
        let that = match (&question.what, self.tag) {
            (What::Tag(tag), Some(moved)) => tag == moved,
            (What::Tag(_), None) | (What::Tags, _) => true,
        };
        let his = |key: &Key| self.namespace.is_none_or(|namespace| namespace == key.namespace);
        there && that && entry.interested.keys().any(his)
    }
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
    /// Somebody says that the answer is another: since when, and from when on it may be asked for that.
    hinted: Option<(Instant, Instant)>,
    /// When it was asked for that last, and how often it is going to be asked once more.
    heeded: Option<Instant>,
    echoes: usize,
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
            hinted: None,
            heeded: None,
            echoes: 0,
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
        let known = entry.answer.as_ref().and_then(|(_, before)| before.as_ref().ok());
        let is_echo = entry.hinted.is_some_and(|(since, _)| since > now);
        if is_echo && answer.as_ref().is_ok_and(|found| known != Some(found)) {
            entry.hinted = None;
        }
        // Whoever was asked before that does not know better.
        if let Some((_, at)) = entry.hinted {
            entry.due = entry.due.min(opens.map_or(at, |opens| opens.max(at)));
        }
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

    /// Somebody says that there is something new: what is meant, and followed by whom he may speak for, is asked at once, but
    /// not again and again, and not where a registry wishes to be left alone. Answers how many questions that are.
    pub(super) fn hinted(&mut self, hint: &Hint<'_>, now: Instant) -> usize {
        let Self { entries, follows: _, gate } = self;
        let mut meant = 0;
        for (question, entry) in entries.iter_mut().filter(|(question, entry)| hint.means(question, entry)) {
            meant += 1;
            let at = entry.heeded.map_or(now, |heeded| now.max(heeded + BETWEEN_HINTS));
            (entry.hinted, entry.echoes) = (Some((now, at)), 0);
            let opens = gate.opens(&(question.place.clone(), question.who.clone()));
            entry.due = entry.due.min(opens.map_or(at, |opens| opens.max(at)));
        }
        meant
    }

    /// Gives out what is to be asked now, each once, and since when an answer counts.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Question, C, Option<Instant>)> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.due <= now && !entry.interested.is_empty());
        due.map(|(question, entry)| {
            entry.due = now + LEASE;
            let since = entry.hinted.take().map(|(since, _)| since);
            if since.is_some() {
                entry.heeded = Some(now);
                entry.hinted = ECHOES.get(entry.echoes).map(|pause| (now + *pause, now + *pause));
                entry.echoes += 1;
            }
            (question.clone(), entry.client.clone(), since)
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
