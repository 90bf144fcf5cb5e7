//! Wake-ups at a later time, one an object. *pure*

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use super::Key;

/// What is due when. There is one entry an object at most, so it is bounded by how many objects there are.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: HashMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
}

impl Timers {
    /// Sets the object's time, whatever it was before.
    pub(super) fn set(&mut self, key: Key, at: Instant) {
        self.clear(&key);
        self.order.insert((at, key.clone()));
        self.at.insert(key, at);
    }

    /// Sets the object's time unless it is earlier already.
    pub(super) fn at_latest(&mut self, key: Key, at: Instant) {
        if self.at.get(&key).is_none_or(|set| *set > at) {
            self.set(key, at);
        }
    }

    /// Takes the object's time away.
    pub(super) fn clear(&mut self, key: &Key) {
        if let Some(at) = self.at.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
    }

    /// The earliest time there is.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes one whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }

    /// Those that have a time.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.at.keys()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_object_has_one_time_and_the_earliest_comes_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (a, b) = (Key::new("n", "a"), Key::new("n", "b"));
        let mut timers = Timers::default();
        timers.set(a.clone(), at(5));
        timers.set(b.clone(), at(3));
        timers.set(a.clone(), at(1));
        timers.at_latest(b.clone(), at(9));
        assert_eq!((timers.len(), timers.next()), (2, Some(at(1))));
        assert_eq!(timers.due(at(0)), None);
        assert_eq!((timers.due(at(4)), timers.due(at(4)), timers.due(at(99))), (Some(a), Some(b.clone()), None));
        timers.at_latest(b.clone(), at(9));
        timers.at_latest(b.clone(), at(7));
        assert_eq!(timers.next(), Some(at(7)));
        timers.clear(&b);
        assert_eq!((timers.len(), timers.next()), (0, None));
    }
}
