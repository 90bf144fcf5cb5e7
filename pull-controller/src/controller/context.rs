//! What all reconciles share: the cluster, the policies, clients, caches, counters. *cluster*, *registry*

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::runtime::{
    events::{Recorder, Reporter},
    reflector::Store,
};
use sealift_apply::{
    api::{Delivery, DeliveryReference, DeliveryStatus},
    cluster::{Cluster, ClusterError},
    drift::Contention,
    inventory::Inventory,
};
use sealift_trace::Exporter;
use tokio::{sync::watch, time::Instant};

use super::{
    cache::Cache,
    fetch::{Artifacts, Budget},
    freeze::Freezing,
    images::ImageStore,
    judge::Accepted,
    memory::Known,
    named::Named,
    notify::Notifier,
    outbox::Outbox,
    owed::{self, Owed, Untold},
    policies::Policies,
    record::Told,
    registries::Registries,
    schedule,
    stop::Stop,
    tags::Tags,
    tell::random,
    trace::Unsettled,
    wait::Awaited,
};
use crate::{
    audit::AuditLog,
    metrics::Metrics,
    options::{Mirror, Options},
    platform::Platform,
    queue::{Key, Queue},
    shards::Shards,
    watch::Hub,
};

/// What a row of an inventory takes in memory, with its names.
const ROW_BYTES: usize = 600;
/// Impersonating handles kept; each holds one buffering task.
const MOST_ACCOUNTS: usize = 4096;
/// What events name as their source.
const REPORTER: &str = "sealift-controller";

/// What all reconciles share.
pub struct Context {
    /// The cluster as the controller itself sees it.
    pub(super) cluster: Cluster,
    /// The policies as of now.
    pub(super) policies: watch::Receiver<Arc<Policies>>,
    /// The freezes as of now.
    freezing: watch::Receiver<Arc<Freezing>>,
    pub(super) registries: Registries,
    pub(super) artifacts: Artifacts,
    pub(super) images: ImageStore,
    pub(super) tags: Arc<Tags>,
    pub(super) metrics: Metrics,
    pub(super) outbox: Arc<Outbox>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) audit: Option<AuditLog>,
    /// Where spans go, if anywhere.
    pub(super) exporter: Option<Exporter>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) default_account: Option<String>,
    /// The Delivery that policies must never lock out.
    pub(super) root: Option<Key>,
    /// For how long break-glass changes are held at most; none is without it.
    pub(super) break_glass: Option<Duration>,
    pub(super) deliveries: Store<Delivery>,
    /// What is known of the memory of trust.
    pub(super) known: Arc<Known>,
    /// Inventories as they were last stored: nobody else writes them, and who does makes the next write fail.
    pub(super) inventories: Cache<String, Inventory>,
    /// Those that are to be stored when there is time.
    pub(super) owed: Owed,
    /// How many rows these may hold together.
    most_owed: usize,
    /// Which Deliveries are looked after here.
    pub(super) shards: Shards,
    queue: Queue,
    /// Values and pull secrets.
    pub(super) named: Named,
    /// What happens to applied objects.
    pub(super) hub: Hub,
    /// No interval is shorter, whatever a Delivery says.
    shortest: Duration,
    accounts: Mutex<HashMap<(String, String), Cluster>>,
    memos: Mutex<HashMap<String, Memo>>,
}

/// What is remembered about a Delivery between reconciles. Losing it costs requests, nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Memo {
    /// How often in a row no answer could be had.
    pub(super) failures: u32,
    /// How often in a row health was looked at in vain.
    pub(super) looks: u32,
    /// What was applied and has not settled yet.
    pub(super) awaited: Option<Arc<Awaited>>,
    /// What admitted what is applied. Without it, what would be refused now is not repaired either.
    pub(super) accepted: Option<Arc<Accepted>>,
    /// Whether the last apply and prune of this process came to their end, so that the inventory says what is so.
    pub(super) trusted: bool,
    /// Fields that somebody takes back again and again.
    pub(super) contention: Contention,
    /// What the audit log was last told.
    pub(super) audited: Option<Told>,
    /// Whether this replica has looked at it since it got it: before, its watches may be behind what another one wrote.
    pub(super) met: bool,
    /// What is true and not written yet.
    pub(super) untold: Option<Arc<Untold>>,
    /// What of its latest release is still to be told in the release's trace.
    pub(super) unsettled: Option<Arc<Unsettled>>,
    /// When it wants to be looked at again by itself.
    pub(super) next: Option<Instant>,
    /// The status last written and the version it was written as: a watch may not have delivered it yet.
    pub(super) written: Option<(u64, DeliveryStatus)>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

/// The memory is shared out: parsed layers are what is needed most often, signatures and inventories are small.
pub(super) fn budget(options: &Options) -> Budget {
    let memory = usize::try_from(options.cache_memory.bytes()).unwrap_or(usize::MAX);
    Budget {
        layers: memory / 4,
        objects: memory / 2,
        signatures: memory / 8,
        inventories: memory / 8,
        disk: options.cache_disk.bytes(),
        time: options.fetch_timeout.get(),
    }
}

impl Context {
    /// Everything at its beginning, but for what the cache on disk holds.
    ///
    /// # Errors
    /// If the folder of the cache cannot be made or read.
    #[allow(clippy::too_many_arguments, reason = "what a run consists of, each used once")]
    pub(crate) fn new(
        cluster: Cluster,
        shards: Shards,
        hub: Hub,
        options: &Options,
        platform: Platform,
        policies: watch::Receiver<Arc<Policies>>,
        freezing: watch::Receiver<Arc<Freezing>>,
        deliveries: Store<Delivery>,
        queue: Queue,
        metrics: Metrics,
        audit: Option<AuditLog>,
        notifier: Arc<Notifier>,
    ) -> std::io::Result<Self> {
        let reporter = Reporter { controller: REPORTER.to_owned(), instance: std::env::var("HOSTNAME").ok() };
        Ok(Self {
            outbox: Arc::new(Outbox::new(
                Recorder::new(cluster.client().clone(), reporter),
                queue.clone(),
                shards.clone(),
                metrics.clone(),
            )),
            registries: Registries::new(options, platform),
            artifacts: Artifacts::new(budget(options), options.cache_dir.as_deref())?,
            images: ImageStore::new(options.mirror.clone()),
            tags: Arc::new(Tags::new(queue.clone(), metrics.clone())),
            known: Arc::default(),
            named: Named::new(queue.clone(), usize::from(options.max_watches) / 2),
            inventories: Cache::new(budget(options).inventories),
            owed: Owed::default(),
            most_owed: budget(options).inventories / ROW_BYTES,
            shortest: options.min_interval.get(),
            mirrors: options.mirror.clone(),
            default_account: options.default_service_account.clone(),
            root: options.root_delivery.clone(),
            break_glass: options.break_glass.map(|longest| longest.get()),
            cluster,
            policies,
            freezing,
            metrics,
            audit,
            exporter: None,
            notifier,
            deliveries,
            shards,
            queue,
            hub,
            accounts: Mutex::default(),
            memos: Mutex::default(),
        })
    }

    /// The same, telling of releases by spans.
    #[must_use]
    pub fn traced(self, exporter: Option<Exporter>) -> Self {
        Self { exporter, ..self }
    }

    /// Where whoever learns of something to do wakes the Delivery.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The cluster as the controller itself sees it.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What asks registries in the background.
    pub(crate) fn tags(&self) -> Arc<Tags> {
        Arc::clone(&self.tags)
    }

    /// What sends Events in the background.
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }

    /// Whether something new may come to a namespace at this moment.
    pub(super) fn may_come(&self, namespace: &str) -> Result<(), Stop> {
        self.freezing.borrow().judge(namespace, Timestamp::now())
    }

    /// How often a Delivery's selection is resolved.
    pub(super) fn interval(&self, delivery: &Delivery) -> Duration {
        delivery.spec.interval.get().max(self.shortest)
    }

    /// Sets the gauges that are only read when somebody asks.
    pub(crate) fn gauge(&self) {
        self.metrics.queue(self.queue.depth());
        self.metrics.followed(self.tags.followed());
        self.metrics.shards(self.shards.members(), self.shards.held().borrow().len());
        self.metrics.notifications_pending(self.notifier.pending());
        self.metrics.freezes(self.freezing.borrow().at(Timestamp::now()).by_state());
        let inventories = ("inventories", self.inventories.bytes() as u64);
        for (cache, bytes) in self.artifacts.bytes().into_iter().chain([inventories]) {
            self.metrics.cached(cache, bytes);
        }
    }

    /// The cluster as a service account sees it that works for this Delivery. Deliveries of one account share its client.
    pub(super) fn account(&self, delivery: &DeliveryReference, name: &str) -> Result<Cluster, ClusterError> {
        let DeliveryReference { namespace, name: delivery, uid: _ } = delivery;
        self.shared_account(namespace, name)?.for_delivery(namespace, delivery)
    }

    /// The cluster as a service account sees it, for whatever is no Delivery's.
    pub(super) fn shared_account(&self, namespace: &str, name: &str) -> Result<Cluster, ClusterError> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&key) {
            return Ok(account.clone());
        }
        if accounts.len() >= MOST_ACCOUNTS {
            accounts.clear();
        }
        let account = self.cluster.as_service_account(namespace, name)?;
        accounts.insert(key, account.clone());
        Ok(account)
    }

    /// What is remembered about the Delivery with this uid.
    pub(super) fn memo(&self, uid: &str) -> Memo {
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned().unwrap_or_default()
    }

    /// Remembers it.
    pub(super) fn remember(&self, uid: &str, memo: Memo) {
        let mut memos = self.memos.lock().unwrap_or_else(PoisonError::into_inner);
        memos.insert(uid.to_owned(), memo);
        // Deliveries that went without a finalizer leave their memo behind.
        if memos.len() > 2 * self.deliveries.len() + 64 {
            let live: std::collections::HashSet<_> =
                self.deliveries.state().iter().filter_map(|delivery| delivery.metadata.uid.clone()).collect();
            memos.retain(|uid, _| live.contains(uid));
        }
    }

    /// It went wrong in a way that could not even be recorded: the pause before it is tried again, longer each time.
    pub(super) fn failed_again(&self, uid: &str) -> Duration {
        let mut memo = self.memo(uid);
        memo.failures += 1;
        let pause = schedule::after_failure(memo.failures - 1, random());
        memo.next = Instant::now().checked_add(pause);
        self.remember(uid, memo);
        pause
    }

    /// Keeps an inventory that is stored just as it is.
    pub(super) fn keep_inventory(&self, inventory: Inventory) {
        let bytes = 256 + ROW_BYTES * inventory.len();
        self.inventories.put(inventory.owner().uid.clone(), inventory, bytes);
    }

    /// Whether so many rows may wait to be stored.
    pub(super) fn may_owe(&self, rows: usize) -> bool {
        rows <= self.most_owed
    }

    /// Writes what is true and not written yet, since nothing comes after.
    pub(crate) async fn settle(&self) {
        self.shards.permit().over(owed::settle_all(self)).await;
    }

    /// The Delivery, with the status that is true though it may not be written.
    pub(super) fn delivery(&self, key: &Key) -> Option<Arc<Delivery>> {
        let delivery = self.deliveries.get(&key.into())?;
        let memos = self.memos.lock().unwrap_or_else(PoisonError::into_inner);
        match memos.get(delivery.metadata.uid.as_deref().unwrap_or_default()).and_then(|memo| memo.untold.as_ref()) {
            Some(untold) => {
                let status = Some(untold.status.clone());
                Some(Arc::new(Delivery { status, ..Delivery::clone(&delivery) }))
            }
            None => Some(delivery),
        }
    }

    /// A Delivery wants nothing, or is gone: nothing is asked or followed for it.
    pub(super) fn leave(&self, key: &Key) {
        self.tags.follow(key, Vec::new());
        self.named.leave(key);
    }

    /// What the watch of the memory of trust fills.
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Forgets a Delivery that is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.inventories.take(&uid.to_owned());
        owed::forget(self, uid);
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.hub.disown(uid);
    }
}
