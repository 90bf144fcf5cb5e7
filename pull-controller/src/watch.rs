//! What happens to applied objects, from watches of their metadata: whoever's object moved is woken, and a plan learns
//! from here what it would otherwise have to ask for.
//!
//! [`scopes`] decides which watches there are and [`state`] whom an event concerns; both only see data. Here are the lock,
//! the clock and the tasks.

mod follow;
mod scopes;
mod state;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealift_apply::{
    api::DeliveryReference, cluster::Cluster, health::Health, inventory::Key, observe::Known, owner::Meta,
};
use sealift_verify::objects::ObjectId;
use tokio::sync::Notify;

pub use self::state::{Applied, Followed, Observed, Wake};
use self::{
    follow::Task,
    scopes::{Scope, Uncovered},
    state::State,
};
use crate::{
    queue::{self, Queue, Reason},
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "objects";

/// How often what nobody needs any more is forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a plan waits for watches that have just begun, before it asks the cluster itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// All watches of objects. Clones are the same.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Shared>);

struct Shared {
    cluster: Cluster,
    state: Mutex<State>,
    tasks: Mutex<HashMap<Scope, Task>>,
    /// Something is due earlier than before.
    due: Notify,
    /// A watch has brought everything, or failed.
    listed: Notify,
    streams: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

/// What the hub knows, for one Delivery's account.
#[derive(Debug)]
pub struct View<'a> {
    hub: &'a Hub,
    account: (String, String),
}

impl Hub {
    /// No watch yet; at most so many at a time.
    pub fn new(cluster: Cluster, most_watches: usize) -> Self {
        Self(Arc::new(Shared {
            cluster,
            state: Mutex::new(State::new(most_watches)),
            tasks: Mutex::default(),
            due: Notify::new(),
            listed: Notify::new(),
            streams: AtomicBool::new(true),
        }))
    }

    /// Wakes whose object moved, for ever.
    pub(crate) async fn wake(self, queue: Queue, vitals: Vitals) {
        let mut swept = Instant::now();
        loop {
            let now = Instant::now();
            let (due, next) = {
                let mut state = self.state();
                if now >= swept + SWEEP {
                    state.sweep(now);
                }
                state.wakes(now)
            };
            if now >= swept + SWEEP {
                // What was refused is asked for again after a while.
                self.arrange();
                swept = now;
            }
            for Wake { delivery, drift } in due {
                let key = queue::Key::new(delivery.namespace, delivery.name);
                queue.wake(&key, if drift { Reason::Observed } else { Reason::Health });
            }
            vitals.beat(LOOP);
            let until = next.unwrap_or(now + BEAT).min(now + BEAT);
            tokio::select! {
                () = self.0.due.notified() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// What is known, for a Delivery of this namespace that acts as this account.
    pub fn view(&self, namespace: &str, account: &str) -> View<'_> {
        View { hub: self, account: (namespace.to_owned(), account.to_owned()) }
    }

    /// A reconcile of this Delivery begins: what is seen meanwhile is judged when it is over.
    pub fn begin(&self, delivery: &DeliveryReference) {
        self.state().begin(delivery);
    }

    /// A reconcile is over. `waits` are objects whose health is waited for.
    pub fn end(&self, delivery: &DeliveryReference, waits: HashSet<Key>) {
        self.state().end(&delivery.uid, waits, Instant::now());
        self.0.due.notify_one();
    }

    /// What an answer of the cluster says of an object.
    pub fn saw(&self, key: Key, meta: Meta) {
        self.told(key, meta, None);
    }

    /// What a watch says of an object, and how it fares where that follows from it.
    fn told(&self, key: Key, meta: Meta, told: Option<Health>) {
        self.state().seen(key, meta, told, Instant::now());
        self.0.due.notify_one();
    }

    /// What a Delivery applied from now on, and follows.
    pub fn own(&self, applied: Applied) {
        let changed = self.state().own(applied, Instant::now());
        if changed {
            self.arrange();
        }
        self.0.due.notify_one();
    }

    /// True if every one of these objects of a Delivery is followed, so that waiting for events is enough.
    pub fn follows(&self, uid: &str, keys: &HashSet<Key>) -> bool {
        self.state().follows(uid, keys, Instant::now())
    }

    /// True if something was applied for this Delivery that is followed.
    pub fn knows(&self, uid: &str) -> bool {
        self.state().knows(uid)
    }

    /// A Delivery is gone.
    pub fn disown(&self, uid: &str) {
        let changed = self.state().disown(uid);
        if changed {
            self.arrange();
        }
    }

    /// Why some of a Delivery's objects are looked at by the interval only; `None` if all are followed.
    pub fn uncovered(&self, uid: &str) -> Option<String> {
        let state = self.state();
        let uncovered = state.uncovered(uid, Instant::now());
        let why = |wanted: Uncovered, words: &str| {
            let kinds: Vec<_> = uncovered.iter().filter(|(_, why)| *why == wanted).map(|(need, _)| need).collect();
            let mut names: Vec<_> = kinds.iter().map(|need| need.kind.kind.as_str()).collect();
            names.dedup();
            (!names.is_empty()).then(|| format!("{} {words}", names.join(", ")))
        };
        let bound = format!("past the bound of {} watches", state.scopes.len());
        let reasons = [
            why(Uncovered::Bound, &bound),
            why(Uncovered::Forbidden, "may not be watched"),
            why(Uncovered::Unserved, "not served now"),
        ];
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        (!reasons.is_empty()).then(|| format!("looked at by the interval: {}", reasons.join("; ")))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts and stops watches as is needed now.
    fn arrange(&self) {
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let moves = self.state().scopes.moves(Instant::now());
        for scope in moves.stop {
            tasks.remove(&scope);
            self.state().unfollow(&scope);
        }
        for (scope, resource) in moves.start {
            let client = match &scope.account {
                None => Ok(self.0.cluster.client().clone()),
                Some((namespace, name)) => {
                    self.0.cluster.as_service_account(namespace, name).map(|cluster| cluster.client().clone())
                }
            };
            let Ok(client) = client else {
                self.state().scopes.refused(&scope, Instant::now());
                continue;
            };
            let task = Task::spawn(follow::follow(self.clone(), scope.clone(), resource, client));
            tasks.insert(scope, task);
        }
    }

    fn went(&self, key: Key, last: &Meta) {
        self.state().went(key, last, Instant::now());
        self.0.due.notify_one();
    }

    fn listed(&self, scope: &Scope, all: &HashSet<Key>) {
        self.state().listed(scope, all, Instant::now());
        self.0.listed.notify_waiters();
        self.0.due.notify_one();
    }

    fn unsure(&self, scope: &Scope) {
        self.state().scopes.unsure(scope, Instant::now());
    }

    /// Called by a watch at its end: others may take its place.
    fn refused(&self, scope: &Scope) {
        {
            let mut state = self.state();
            state.scopes.refused(scope, Instant::now());
            state.unfollow(scope);
        }
        self.arrange();
        self.0.listed.notify_waiters();
    }

    /// Called by a watch at its end: there is no such kind any more.
    fn unserved(&self, scope: &Scope) {
        {
            let mut state = self.state();
            state.scopes.unserved(scope, Instant::now());
            state.unfollow(scope);
        }
        self.0.listed.notify_waiters();
    }

    fn is_running(&self, scope: &Scope) -> bool {
        self.state().scopes.is_running(scope)
    }

    fn streams_lists(&self) -> bool {
        self.0.streams.load(Ordering::Relaxed)
    }

    /// The core kinds tell of the server; others may be served by one of their own.
    fn lists_pages(&self, scope: &Scope) {
        if scope.kind.group.is_empty() || scope.kind.group == "apps" {
            self.0.streams.store(false, Ordering::Relaxed);
        }
    }
}

impl View<'_> {
    /// How the object fares by the watch that tells of it. It says nothing of what a Delivery's own checks ask.
    pub fn told(&self, key: &Key) -> Option<Health> {
        self.hub.state().told(key, &self.account, Instant::now())
    }

    /// True if the object was found healthy and has not moved since.
    pub fn is_healthy(&self, key: &Key) -> bool {
        self.hub.state().is_healthy(key, &self.account, Instant::now())
    }

    /// True if every one of these objects is followed, so that waiting for events is enough.
    pub fn follows<'b>(&self, ids: impl IntoIterator<Item = &'b ObjectId>) -> bool {
        let state = self.hub.state();
        state.scopes.follow(ids.into_iter().map(Key::of), &self.account, Instant::now())
    }

    /// The version of an object as it was last seen.
    pub fn version(&self, key: &Key) -> Option<String> {
        self.hub.state().version(key)
    }

    /// The object was found healthy after it was seen at this version.
    pub fn healthy(&self, key: &Key, version: String) {
        self.hub.state().healthy(key, version);
    }

    /// Begins to follow what this Delivery owns, and waits a while until it is known: so that many Deliveries that begin
    /// at once cost one watch a kind, and no list each.
    pub async fn cover(&self, applied: Applied) {
        let uid = applied.owner.uid.clone();
        self.hub.own(applied);
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut listed = std::pin::pin!(self.hub.0.listed.notified());
            listed.as_mut().enable();
            let waits = {
                let state = self.hub.state();
                let now = Instant::now();
                state.uncovered(&uid, now).iter().any(|(_, why)| *why == Uncovered::Unsure)
            };
            if !waits || tokio::time::timeout_at(until, listed).await.is_err() {
                return;
            }
        }
    }
}

impl Known for View<'_> {
    fn meta(&self, key: &Key) -> Option<Meta> {
        self.hub.state().meta(key, &self.account, Instant::now())
    }

    fn is_settled(&self, key: &Key, meta: &Meta) -> bool {
        self.hub.state().is_settled(key, meta, Instant::now())
    }

    fn is_resting(&self, key: &Key, meta: &Meta) -> bool {
        self.hub.state().is_resting(key, meta, Instant::now())
    }

    fn went_with_owner(&self, key: &Key) -> bool {
        self.hub.state().went_with_owner(key)
    }
}
