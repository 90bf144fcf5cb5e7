//! Which Deliveries this replica looks after, where several share them.
//!
//! [`membership`] decides, and only sees data; here are the clock, the watch and the tasks. A replica alone (no
//! `--lease-namespace`) looks after all of them, needs no Lease and asks for none.

mod leases;
mod membership;
mod own;
mod rendezvous;
mod table;

use std::{
    collections::hash_map::RandomState,
    future::Future,
    hash::{BuildHasher as _, Hasher as _},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kube::Client;
use sealift_apply::{cluster::ClusterError, permit::Permit};
use tokio::{
    sync::{Notify, OwnedMutexGuard, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

pub(crate) use self::rendezvous::{Shard, ShardSet};
use self::{
    leases::{Event, Leases, is_not_there},
    membership::{Burial, Decision, Membership, Terms},
    own::{Ask, Own, Return},
    rendezvous::Member,
};
use crate::{
    metrics::{Metrics, TakenFrom},
    vitals::{BEAT, Vitals},
};

/// The name of the loop that decides among the [`Vitals`].
pub(crate) const LOOP: &str = "shards";
/// That of the one that renews the Lease.
pub(crate) const RENEWAL: &str = "lease";
/// And that of the watch.
pub(crate) const WATCH: &str = "leases";

/// How often it is looked whether what is to be given away has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How long giving the Lease back may take in all, with an answer that is still waited for.
const RELEASE: Duration = Duration::from_secs(5);
/// The pause before it is tried again.
const RELEASE_AGAIN: Duration = Duration::from_millis(100);

/// How a replica shares work with others.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    /// Where the Leases are.
    pub(crate) namespace: String,
    /// Who shares with whom.
    pub(crate) group: String,
    /// This replica.
    pub(crate) id: String,
    /// Nobody else has this id at the same time.
    pub(crate) is_unique: bool,
    /// How long a Lease lasts.
    pub(crate) lease: Duration,
}

/// What is told to whoever looks after Deliveries.
pub(crate) trait Shardholder: Send + Sync {
    /// Only these are looked at from now on, and those that are new among them now.
    fn hold(&self, shards: &ShardSet);

    /// Those in which something is being done.
    fn busy(&self) -> ShardSet;

    /// These are not looked at any more: what is owed is written, if it is still ours to write, and all is forgotten.
    fn part(&self, shards: &ShardSet, is_ours: bool) -> impl Future<Output = ()> + Send;
}

/// What this replica holds. Clones are the same.
#[derive(Clone)]
pub(crate) struct Shards(Arc<Inner>);

struct Inner {
    shared: Option<Shared>,
    permit: Mutex<Permit>,
    held: watch::Sender<ShardSet>,
}

struct Shared {
    leases: Leases,
    id: String,
    terms: Terms,
    /// Never locked while `own` is.
    knows: Mutex<Membership>,
    own: Mutex<Own>,
    moved: Notify,
    renew: Notify,
    /// What the own Lease was asked for is answered.
    answered: Notify,
    /// Held while shards are parted with.
    parting: Arc<tokio::sync::Mutex<()>>,
    metrics: Metrics,
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shards").field(&*self.0.held.borrow()).finish()
    }
}

impl Shards {
    /// All of them, for ever.
    pub(crate) fn alone() -> Self {
        let held = watch::channel(ShardSet::ALL).0;
        Self(Arc::new(Inner { shared: None, permit: Mutex::default(), held }))
    }

    /// None yet; they are had once [`Shards::run`] has agreed with the others.
    pub(crate) fn shared(client: Client, sharing: Sharing, metrics: Metrics) -> Self {
        let Sharing { namespace, group, id, is_unique, lease } = sharing;
        let terms = Terms(lease);
        let me = Member::new(&id, &run());
        let shared = Shared {
            leases: Leases::new(client, &namespace, &group, terms),
            id,
            terms,
            knows: Mutex::new(Membership::new(terms, me, is_unique)),
            own: Mutex::default(),
            moved: Notify::new(),
            renew: Notify::new(),
            answered: Notify::new(),
            parting: Arc::default(),
            metrics,
        };
        let held = watch::channel(ShardSet::default()).0;
        Self(Arc::new(Inner { shared: Some(shared), permit: Mutex::new(Permit::until(Instant::now())), held }))
    }

    /// True if there may be other replicas.
    pub(crate) fn are_shared(&self) -> bool {
        self.0.shared.is_some()
    }

    /// Under which to work. Each piece of work takes it when it begins, and keeps it.
    pub(crate) fn permit(&self) -> Permit {
        lock(&self.0.permit).clone()
    }

    /// True if this replica is the one that does what belongs to no Delivery.
    pub(crate) fn lead(&self) -> bool {
        self.0.held.borrow().has(Shard::OF_DUTIES) && self.permit().lasts()
    }

    /// What is held, and every change of it.
    pub(crate) fn held(&self) -> watch::Receiver<ShardSet> {
        self.0.held.subscribe()
    }

    /// How many replicas share the work.
    pub(crate) fn members(&self) -> usize {
        self.0.shared.as_ref().map_or(1, |shared| lock(&shared.knows).members())
    }

    /// Takes no more shards, and gives away what it has as it ends.
    pub(crate) fn leave(&self) {
        if let Some(shared) = &self.0.shared {
            lock(&shared.knows).leave();
            shared.moved.notify_one();
            shared.renew.notify_one();
        }
    }

    /// Waits until what is being given away is, and gives nothing more away while the answer is held.
    pub(crate) async fn ending(&self) -> Option<OwnedMutexGuard<()>> {
        Some(Arc::clone(&self.0.shared.as_ref()?.parting).lock_owned().await)
    }

    /// Deletes the own Lease, since nothing is written any more: others take over at once what they have not got yet.
    pub(crate) async fn release(&self) {
        let Some(shared) = &self.0.shared else { return };
        lock(&self.0.permit).end();
        let returned = timeout(RELEASE, shared.give_back()).await;
        if let Err(error) = returned.unwrap_or(Err(ClusterError::Timeout { seconds: RELEASE.as_secs() })) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the Lease was not released: others take over once it has run out");
        }
    }

    /// Keeps the own Lease, for ever.
    pub(crate) async fn renew(self, vitals: Vitals) {
        let Some(shared) = &self.0.shared else { return };
        while let Some((ask, is_leaving)) = shared.ask() {
            vitals.beat(RENEWAL);
            let pause = match self.renew_once(shared, &ask, is_leaving).await {
                Ok(()) => shared.terms.renewed_every(),
                Err(error) => {
                    lock(&shared.knows).unheard();
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the Lease was not renewed; it is tried again");
                    shared.terms.tried_again_after()
                }
            };
            // Replicas that were started together need not all come at once.
            let pause = pause.mul_f64(0.9 + 0.1 * fraction());
            let _ = timeout(pause, shared.renew.notified()).await;
        }
        // Not over: a loop that ends is begun anew.
        std::future::pending().await
    }

    async fn renew_once(&self, shared: &Shared, ask: &Ask, is_leaving: bool) -> Result<(), ClusterError> {
        let sent = Instant::now();
        let (member, answer) = match ask {
            Ask::Make(member) => (member, shared.leases.make(member).await),
            Ask::Renew(member, uid) => (member, shared.leases.renew(member, uid.as_deref(), is_leaving).await),
        };
        lock(&shared.own).answered(answer.as_ref().ok().cloned());
        shared.answered.notify_one();
        match answer {
            Ok(_) => self.renewed(shared, member, sent),
            // Somebody else's has the name, or there is none: either way ours is gone.
            Err(error) if (is_not_there(&error) || error.is_conflict()) && self.lost(shared, member) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn renewed(&self, shared: &Shared, member: &Member, sent: Instant) {
        let mut knows = lock(&shared.knows);
        if knows.me() != member || lock(&shared.own).is_returned() {
            return;
        }
        if !knows.has_lease() {
            tracing::info!(%member, "joined the replicas that share work");
        }
        let until = knows.renewed(sent, Instant::now());
        let permit = &mut *lock(&self.0.permit);
        permit.prolong(until);
        drop(knows);
        shared.moved.notify_one();
    }

    /// The own Lease was deleted, or was never made: what runs may not write any more, and this process begins anew. False if
    /// it had none.
    fn lost(&self, shared: &Shared, member: &Member) -> bool {
        let mut knows = lock(&shared.knows);
        if knows.me() != member || lock(&shared.own).is_returned() {
            return false;
        }
        let had = knows.has_lease();
        if had {
            let reason = "LeaseLost";
            tracing::error!(%member, reason, "the Lease is gone: what runs ends, and this replica joins anew");
            shared.metrics.lease_lost();
            shared.renew.notify_one();
        }
        knows.lost(Member::new(&shared.id, &run()));
        self.end_permit();
        drop(knows);
        shared.moved.notify_one();
        had
    }

    /// What runs may not write any more; what begins may once the Lease is renewed.
    fn end_permit(&self) {
        let mut permit = lock(&self.0.permit);
        permit.end();
        *permit = Permit::until(Instant::now());
    }

    /// Follows the Leases of all, for ever.
    pub(crate) async fn follow(self, vitals: Vitals) {
        let Some(shared) = &self.0.shared else { return };
        let mut events = pin!(shared.leases.follow());
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                _ = ticks.tick() => {
                    vitals.beat(WATCH);
                    continue;
                }
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Ok(event)) => self.saw(shared, event),
                Some(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the watch of Leases broke off; it is taken up again");
                }
            }
        }
    }

    fn saw(&self, shared: &Shared, event: Event) {
        let mut knows = lock(&shared.knows);
        let me = knows.me().clone();
        let lost = match event {
            Event::Listing => {
                knows.listing();
                return;
            }
            Event::Listed => knows.listed(Instant::now()),
            Event::Lease(member, lease) => {
                knows.saw(member, lease, Instant::now());
                false
            }
            Event::Gone(member) => knows.gone(&member),
            Event::Table(table) => {
                knows.agreed(table);
                false
            }
        };
        drop(knows);
        shared.moved.notify_one();
        if lost {
            self.lost(shared, &me);
        }
    }

    /// Does what is decided, for ever.
    pub(crate) async fn run(self, holder: Arc<impl Shardholder>, vitals: Vitals) {
        let Some(shared) = &self.0.shared else { return };
        loop {
            vitals.beat(LOOP);
            let Decision { hold, give, forget, robbed, bury, write, taken, wake } =
                lock(&shared.knows).decide(Instant::now());
            if robbed {
                tracing::error!(reason = "ShardsTaken", "shards were taken away: what runs ends, and is begun anew");
                shared.metrics.lease_lost();
                self.end_permit();
                // The Lease itself is fine, and gives a new permit at once.
                shared.renew.notify_one();
            }
            for (from, count) in
                [(TakenFrom::Giver, taken.given), (TakenFrom::Gone, taken.orphaned), (TakenFrom::Nobody, taken.fresh)]
            {
                shared.metrics.shards_taken(from, count);
            }
            let before = self.0.held.send_replace(hold);
            if before != hold {
                tracing::info!(shards = hold.len(), before = before.len(), gives = give.len(), "shards");
                holder.hold(&hold);
            }
            let is_parting = !give.is_empty() || !forget.is_empty();
            if is_parting {
                self.part(shared, &*holder, &give, &forget).await;
            }
            for burial in &bury {
                bury_one(shared, burial).await;
            }
            if let Some(writing) = write
                && let Err(error) = shared.leases.write(&writing).await
            {
                if !error.is_conflict() {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "who holds which shard was not written; it is tried again");
                }
                lock(&shared.knows).not_taken(Instant::now());
                continue;
            }
            let until = Instant::now() + if is_parting { LOOK } else { BEAT };
            tokio::select! {
                () = shared.moved.notified() => {}
                () = sleep_until(wake.map_or(until, |wake| wake.min(until))) => {}
            }
        }
    }

    /// Parts with those in which nothing is done any more.
    async fn part(&self, shared: &Shared, holder: &impl Shardholder, give: &ShardSet, forget: &ShardSet) {
        let _held = shared.parting.lock().await;
        let busy = holder.busy();
        let (give, forget) = (give.without(&busy), forget.without(&busy));
        // What is ours is written before it is given away, which takes a Lease that lasts.
        let lasts = self.permit().lasts();
        for (shards, is_ours) in [(give, true), (forget, false)] {
            if !shards.is_empty() && (lasts || !is_ours) {
                self.permit().over(holder.part(&shards, is_ours)).await;
                lock(&shared.knows).parted(&shards);
                shared.moved.notify_one();
            }
        }
    }
}

impl Shared {
    /// What to ask for next, and whether this replica is on its way out; nothing once the Lease is given back.
    fn ask(&self) -> Option<(Ask, bool)> {
        let knows = lock(&self.knows);
        let ask = lock(&self.own).ask(knows.me())?;
        Some((ask, knows.is_leaving()))
    }

    async fn give_back(&self) -> Result<(), ClusterError> {
        loop {
            let how = lock(&self.own).give_back();
            match how {
                Return::Nothing => return Ok(()),
                Return::Later => self.answered.notified().await,
                Return::Delete(member, uid) => match self.leases.release(&member, uid).await {
                    Ok(()) => {
                        tracing::info!(%member, "the Lease is released");
                        return Ok(());
                    }
                    Err(error) if error.is_transient() => {
                        let told = sealift_verify::chain(&error);
                        tracing::warn!(%member, error = told, "the Lease was not released; it is tried again");
                        sleep(RELEASE_AGAIN.mul_f64(1.0 + fraction())).await;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

async fn bury_one(shared: &Shared, burial: &Burial) {
    let member = &burial.member;
    match shared.leases.bury(burial).await {
        Ok(()) => {
            tracing::warn!(%member, reason = "ReplicaGone", "it has not renewed its Lease: its shards are taken over");
            lock(&shared.knows).gone(member);
            shared.moved.notify_one();
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(%member, error, "its Lease was not deleted");
            lock(&shared.knows).not_buried(member, Instant::now());
        }
    }
}

/// A name for this run that no other has: hash maps draw 64 random bits.
fn run() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

fn fraction() -> f64 {
    f64::from((RandomState::new().build_hasher().finish() >> 32) as u32) / f64::from(u32::MAX)
}

/// What a panicking task left locked is still what it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
