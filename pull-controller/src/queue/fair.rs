//! Whose turn it is. *pure*
//!
//! Namespaces take turns, whatever is waiting in each, and none holds all the workers: a tenant with five thousand
//! Deliveries delays another's one by no more than a turn.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::{Key, Reason, Reasons};

/// What waits and what runs. An object is here once at most; what wakes it while it runs makes it run once more.
#[derive(Debug)]
pub(super) struct Fair {
    limit: usize,
    share: usize,
    running: usize,
    waiting: usize,
    items: HashMap<Key, Item>,
    spaces: HashMap<String, Space>,
    /// The namespaces that have something waiting and are below their share, each once, whose turn is next first.
    turns: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Item {
    runs: bool,
    /// Since when and why it is to run, if it is.
    wanted: Option<(Instant, Reasons)>,
}

#[derive(Debug, Default)]
struct Space {
    waiting: VecDeque<Key>,
    /// Those that end what was begun. They take every other turn: what is new does not hold them up, nor they what is new.
    ending: VecDeque<Key>,
    /// Whether the last turn was one of theirs.
    ended: bool,
    running: usize,
    has_turn: bool,
}

impl Space {
    fn take(&mut self) -> Option<Key> {
        let (first, second) = match self.ended {
            true => (&mut self.waiting, &mut self.ending),
            false => (&mut self.ending, &mut self.waiting),
        };
        let key = first.pop_front();
        self.ended = key.is_some() != self.ended;
        key.or_else(|| second.pop_front())
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.ending.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What may begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) key: Key,
    pub(super) reasons: Reasons,
    pub(super) since: Instant,
}

/// The most workers that one namespace may hold: with one worker all, else at least one is always left to the others.
fn share(limit: usize) -> usize {
    if limit == 1 { 1 } else { limit - (limit / 4).max(1) }
}

impl Fair {
    /// For so many workers, of which there is at least one.
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self {
            limit,
            share: share(limit),
            running: 0,
            waiting: 0,
            items: HashMap::new(),
            spaces: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// Wants the object to run. One that waits already waits on where it stands.
    pub(super) fn wake(&mut self, key: &Key, reason: Reason, now: Instant) {
        let item = self.items.entry(key.clone()).or_default();
        match &mut item.wanted {
            Some((_, reasons)) => reasons.add(reason),
            None => {
                item.wanted = Some((now, reason.into()));
                if !item.runs {
                    self.line_up(key, reason.ends_what_was_begun());
                }
            }
        }
    }

    /// Whose turn it is, if there is a worker for it.
    pub(super) fn next(&mut self) -> Option<Turn> {
        if self.running >= self.limit {
            return None;
        }
        let namespace = self.turns.pop_front()?;
        let space = self.spaces.get_mut(&namespace)?;
        space.has_turn = false;
        let key = space.take()?;
        space.running += 1;
        self.running += 1;
        self.waiting -= 1;
        self.give_turn(namespace);
        let item = self.items.get_mut(&key)?;
        item.runs = true;
        let (since, reasons) = item.wanted.take()?;
        Some(Turn { key, reasons, since })
    }

    /// The object's run has ended. It waits again if it was woken meanwhile.
    pub(super) fn done(&mut self, key: &Key) {
        let Some(item) = self.items.get_mut(key).filter(|item| item.runs) else { return };
        item.runs = false;
        let again = item.wanted.map(|(_, reasons)| reasons.end_what_was_begun());
        if again.is_none() {
            self.items.remove(key);
        }
        self.running -= 1;
        if let Some(space) = self.spaces.get_mut(&key.namespace) {
            space.running -= 1;
        }
        match again {
            Some(ends) => self.line_up(key, ends),
            None => self.give_turn(key.namespace.clone()),
        }
    }

    /// The object is gone. What runs is not stopped, but does not run again.
    pub(super) fn forget(&mut self, key: &Key) {
        let Some(item) = self.items.get_mut(key) else { return };
        item.wanted = None;
        if item.runs {
            return;
        }
        self.items.remove(key);
        let Some(space) = self.spaces.get_mut(&key.namespace) else { return };
        let before = space.len();
        space.waiting.retain(|waiting| waiting != key);
        space.ending.retain(|waiting| waiting != key);
        self.waiting -= before - space.len();
        if space.is_empty() && std::mem::take(&mut space.has_turn) {
            self.turns.retain(|namespace| *namespace != key.namespace);
        }
        self.give_turn(key.namespace.clone());
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// All that wait or run.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.items.keys()
    }

    /// Those that run.
    pub(super) fn running_keys(&self) -> impl Iterator<Item = &Key> {
        self.items.iter().filter(|(_, item)| item.runs).map(|(key, _)| key)
    }

    fn line_up(&mut self, key: &Key, ends: bool) {
        let space = self.spaces.entry(key.namespace.clone()).or_default();
        let line = if ends { &mut space.ending } else { &mut space.waiting };
        line.push_back(key.clone());
        self.waiting += 1;
        self.give_turn(key.namespace.clone());
    }

    /// Lets the namespace take turns if it can use one, and drops it once it has nothing left.
    fn give_turn(&mut self, namespace: String) {
        let Some(space) = self.spaces.get_mut(&namespace) else { return };
        if space.is_empty() && space.running == 0 {
            self.spaces.remove(&namespace);
        } else if !space.is_empty() && space.running < self.share && !space.has_turn {
            space.has_turn = true;
            self.turns.push_back(namespace);
        }
    }
}

#[cfg(test)]
mod tests;
