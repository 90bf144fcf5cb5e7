//! Which Delivery is looked at next, and when.
//!
//! Whoever learns that a Delivery may have something to do calls [`Queue::wake`]: any number of wake-ups before its turn
//! are one. Whose turn it is and when is decided by [`fair`] and [`timers`], which only see data; here are the lock, the clock and
//! the sleeping.

mod fair;
mod reason;
mod timers;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use sealift_apply::api::Delivery;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

pub use self::reason::{Reason, Reasons};
use self::{
    fair::{Fair, Turn},
    timers::Timers,
};
use crate::shards::{Shard, ShardSet};

/// Which Delivery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The Delivery of this name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<&Delivery> for Key {
    fn from(delivery: &Delivery) -> Self {
        Self::new(delivery.namespace().unwrap_or_default(), delivery.name_any())
    }
}

impl From<&Key> for ObjectRef<Delivery> {
    fn from(key: &Key) -> Self {
        Self::new(&key.name).within(&key.namespace)
    }
}

/// The queue. Clones are the same queue.
#[derive(Clone, Debug)]
pub struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// There is one who takes turns; a permit is kept while it is busy.
    moved: Notify,
}

#[derive(Debug)]
struct Inner {
    fair: Fair,
    /// When a Delivery's own pause is over. Each run sets it anew.
    pauses: Timers,
    /// When what it owes is due. A run before that does not take it away.
    alarms: Timers,
    /// From when on it may be looked at if nobody waits for a turn. Each run sets it anew.
    leisure: Timers,
    /// Nothing of other shards is looked at.
    held: ShardSet,
    closed: bool,
}

/// A turn: the Delivery may be looked at now, and is by nobody else until [`Queue::done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub key: Key,
    /// Why.
    pub reasons: Reasons,
    /// How long it waited for its turn.
    pub waited: Duration,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Deliveries that could begin if there were a worker for them.
    pub waiting: usize,
    /// Deliveries that are being looked at.
    pub running: usize,
    /// Deliveries that will be looked at later.
    pub later: usize,
}

impl Queue {
    /// An empty queue for so many workers.
    pub fn new(workers: usize) -> Self {
        let (pauses, alarms, leisure) = (Timers::default(), Timers::default(), Timers::default());
        let held = ShardSet::ALL;
        let inner = Inner { fair: Fair::new(workers), pauses, alarms, leisure, held, closed: false };
        Self(Arc::new(Shared { inner: Mutex::new(inner), moved: Notify::new() }))
    }

    /// Wants the Delivery looked at as soon as it is its turn. Cheap, and may be called as often as one likes.
    pub fn wake(&self, key: &Key, reason: Reason) {
        let mut inner = self.inner();
        if inner.holds(key) {
            inner.fair.wake(key, reason, Instant::now());
            self.0.moved.notify_one();
        }
    }

    /// From now on only Deliveries of these shards are looked at. What is being looked at is not stopped; what others is known of
    /// is forgotten. Answers which shards it were before.
    pub(crate) fn hold(&self, shards: &ShardSet) -> ShardSet {
        let inner = &mut *self.inner();
        let before = std::mem::replace(&mut inner.held, *shards);
        let Inner { fair, pauses, alarms, leisure, held, .. } = inner;
        let elsewhere = |key: &&Key| !held.has(Shard::of(key));
        let keys = fair.keys().chain([pauses, alarms, leisure].into_iter().flat_map(|timers| timers.keys()));
        let keys: Vec<Key> = keys.filter(elsewhere).cloned().collect();
        keys.iter().for_each(|key| inner.forget(key));
        before
    }

    /// True if the Delivery is looked at here.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.inner().holds(key)
    }

    /// The shards of which something is being looked at.
    pub(crate) fn busy(&self) -> ShardSet {
        self.inner().fair.running_keys().map(Shard::of).collect()
    }

    /// It owes something that is due at `at`, or earlier if that was said before.
    pub fn owes_at(&self, key: &Key, at: Instant) {
        let mut inner = self.inner();
        if inner.holds(key) {
            inner.alarms.at_latest(key.clone(), at);
            self.0.moved.notify_one();
        }
    }

    /// It owes something that may be seen to from `at` on, once nobody waits for a turn.
    pub fn owes_at_leisure(&self, key: &Key, at: Instant) {
        let mut inner = self.inner();
        if inner.holds(key) {
            inner.leisure.set(key.clone(), at);
            self.0.moved.notify_one();
        }
    }

    /// The Delivery is gone: it is not looked at any more.
    pub fn forget(&self, key: &Key) {
        self.inner().forget(key);
    }

    /// The next turn, as soon as there is one and a worker for it; `None` once the queue is closed.
    ///
    /// Dropping this future loses nothing. There may be one who waits here at a time.
    pub async fn next(&self) -> Option<Taken> {
        loop {
            let wait = {
                let (now, mut inner) = (Instant::now(), self.inner());
                if inner.closed {
                    return None;
                }
                inner.ring(now);
                if let Some(Turn { key, reasons, since }) = inner.fair.next() {
                    // What it wanted of itself is moot: this run will say anew.
                    inner.pauses.clear(&key);
                    inner.leisure.clear(&key);
                    return Some(Taken { key, reasons, waited: now - since });
                }
                let leisure = inner.leisure.next().filter(|_| inner.fair.waiting() == 0);
                [inner.pauses.next(), inner.alarms.next(), leisure].into_iter().flatten().min()
            };
            let moved = self.0.moved.notified();
            match wait {
                Some(at) => tokio::select! { () = moved => {}, () = sleep_until(at) => {} },
                None => moved.await,
            }
        }
    }

    /// The look has ended; the next one is after `pause` at the latest, or when somebody wakes it.
    pub fn done(&self, key: &Key, pause: Option<Duration>) {
        let mut inner = self.inner();
        let pause = pause.filter(|_| inner.holds(key));
        if let Some(at) = pause.and_then(|pause| Instant::now().checked_add(pause)) {
            inner.pauses.set(key.clone(), at);
        }
        inner.fair.done(key);
        drop(inner);
        self.0.moved.notify_one();
    }

    /// Gives no more turns.
    pub fn close(&self) {
        self.inner().closed = true;
        self.0.moved.notify_one();
    }

    /// How full it is.
    pub fn depth(&self) -> Depth {
        let inner = self.inner();
        Depth {
            waiting: inner.fair.waiting(),
            running: inner.fair.running(),
            later: inner.pauses.len().max(inner.alarms.len()),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn holds(&self, key: &Key) -> bool {
        self.held == ShardSet::ALL || self.held.has(Shard::of(key))
    }

    fn forget(&mut self, key: &Key) {
        self.pauses.clear(key);
        self.alarms.clear(key);
        self.leisure.clear(key);
        self.fair.forget(key);
    }

    /// Wakes all whose time has come.
    fn ring(&mut self, now: Instant) {
        while let Some(key) = self.pauses.due(now) {
            self.fair.wake(&key, Reason::Due, now);
        }
        while let Some(key) = self.alarms.due(now) {
            self.fair.wake(&key, Reason::Owed, now);
        }
        while self.fair.waiting() == 0
            && let Some(key) = self.leisure.due(now)
        {
            self.fair.wake(&key, Reason::Owed, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(taken: Option<Taken>) -> String {
        taken.map(|taken| taken.key.name).unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_by_itself_or_when_somebody_wakes_it() {
        let (queue, a) = (Queue::new(2), Key::new("n", "a"));
        queue.wake(&a, Reason::Changed);
        assert_eq!(name(queue.next().await), "a");
        queue.done(&a, Some(60 * SECOND));
        let start = Instant::now();
        let taken = queue.next().await.unwrap();
        assert_eq!((taken.reasons, start.elapsed().as_secs()), (Reason::Due.into(), 60));
        queue.done(&a, Some(60 * SECOND));

        let (start, other) = (Instant::now(), queue.clone());
        tokio::spawn(async move {
            tokio::time::sleep(5 * SECOND).await;
            other.wake(&Key::new("n", "a"), Reason::Observed);
        });
        let taken = queue.next().await.unwrap();
        assert_eq!((taken.reasons, start.elapsed().as_secs()), (Reason::Observed.into(), 5));
        queue.done(&a, None);
        assert!(tokio::time::timeout(3600 * SECOND, queue.next()).await.is_err(), "it waits for a change");
        assert_eq!(queue.depth(), Depth::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_in_between_does_not_take_away_what_is_owed_later() {
        let (queue, a) = (Queue::new(2), Key::new("n", "a"));
        let start = Instant::now();
        queue.owes_at(&a, start + 30 * SECOND);
        queue.owes_at(&a, start + 90 * SECOND);
        queue.wake(&a, Reason::Changed);
        queue.next().await.unwrap();
        queue.done(&a, Some(600 * SECOND));
        assert!(queue.next().await.unwrap().reasons.has(Reason::Owed));
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_wait_is_seen_to_once_nobody_waits_for_a_turn() {
        let (queue, [a, b, c]) = (Queue::new(1), ["a", "b", "c"].map(|name| Key::new("n", name)));
        let start = Instant::now();
        queue.wake(&b, Reason::Changed);
        queue.wake(&c, Reason::Changed);
        assert_eq!(name(queue.next().await), "b");
        queue.owes_at_leisure(&a, start);
        queue.done(&b, None);
        assert_eq!(name(queue.next().await), "c", "it was there first");
        queue.done(&c, None);
        let taken = queue.next().await.unwrap();
        assert_eq!((taken.key.name.as_str(), taken.reasons), ("a", Reason::Owed.into()));
        queue.owes_at_leisure(&a, start + 2 * SECOND);
        queue.done(&a, None);
        assert_eq!((name(queue.next().await), start.elapsed().as_secs()), ("a".into(), 2));
        queue.owes_at_leisure(&a, start + 9 * SECOND);
        queue.wake(&a, Reason::Changed);
        queue.done(&a, None);
        queue.next().await.unwrap();
        queue.done(&a, None);
        assert!(tokio::time::timeout(60 * SECOND, queue.next()).await.is_err(), "a run says anew");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_worker_is_measured_and_a_closed_queue_gives_nothing() {
        let queue = Queue::new(1);
        for name in ["a", "b"] {
            queue.wake(&Key::new("n", name), Reason::Changed);
        }
        assert_eq!(name(queue.next().await), "a");
        assert!(tokio::time::timeout(3 * SECOND, queue.next()).await.is_err());
        queue.done(&Key::new("n", "a"), None);
        assert_eq!(queue.next().await.unwrap().waited, 3 * SECOND);
        queue.wake(&Key::new("n", "a"), Reason::Changed);
        queue.close();
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_is_not_looked_at_again() {
        let (queue, a) = (Queue::new(1), Key::new("n", "a"));
        queue.wake(&a, Reason::Changed);
        queue.next().await.unwrap();
        queue.forget(&a);
        queue.done(&a, None);
        queue.owes_at(&a, Instant::now() + SECOND);
        queue.forget(&a);
        assert!(tokio::time::timeout(60 * SECOND, queue.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_of_other_shards_is_neither_woken_nor_remembered() {
        let (queue, start) = (Queue::new(4), Instant::now());
        let [a, b, c] = ["a", "b", "c"].map(|name| Key::new("n", name));
        queue.hold(&[&a, &b].map(Shard::of).into_iter().collect());
        for key in [&a, &b, &c] {
            queue.wake(key, Reason::Changed);
            queue.owes_at(key, start + SECOND);
            queue.owes_at_leisure(key, start + SECOND);
        }
        assert_eq!((name(queue.next().await), name(queue.next().await)), ("a".into(), "b".into()));
        assert_eq!(queue.busy(), [&a, &b].map(Shard::of).into_iter().collect());
        queue.wake(&a, Reason::Policy);
        queue.hold(&ShardSet::default());
        // It ends, and neither its pause nor what it owes nor the wake-up is left.
        queue.done(&a, Some(SECOND));
        queue.done(&b, Some(SECOND));
        assert!(queue.busy().is_empty() && !queue.holds(&a));
        assert!(tokio::time::timeout(60 * SECOND, queue.next()).await.is_err());
        assert_eq!(queue.depth(), Depth::default());
        queue.hold(&ShardSet::ALL);
        queue.wake(&c, Reason::Changed);
        assert_eq!(name(queue.next().await), "c");
    }
}
