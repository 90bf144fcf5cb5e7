//! Telling services what becomes of Deliveries: at least once, in order, and beside the work. *cluster*, *services*
//!
//! What is to be told is written into the Delivery's status by the very request that writes what it tells of, if some
//! Notification wants it, and is taken out of it by a later one once all who want it have it. So nothing is lost with this
//! process; what was on its way when it ended is sent again, with the same id. Of a Delivery that is deleted, what is left is
//! told as long as this process lives.

mod book;
mod filter;
mod news;
mod payload;
mod send;
mod table;
mod template;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use sealift_apply::api::{Delivery, DeliveryStatus, Notification, PendingEvents};
use sealift_registry::client::{Outbound, SetupError};
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

pub(super) use self::news::{Events, News, news};
use self::{
    book::{Book, Mark},
    filter::{Of, concerns, wants},
    news::farewell,
    table::{Due, Job, Outcome, Table, name},
};
use super::{
    context::{Context, Memo},
    publish,
    secrets::Secrets,
    tell::random,
};
use crate::{
    metrics::{Metrics, Notified},
    options::Options,
    own_watch::Own,
    platform::Platform,
    queue::{Key, Queue},
    shards::Shard,
    vitals::{BEAT, Vitals},
};

/// All Notifications.
pub(crate) type Notifications = Own<Notification>;

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "notifications";
/// What is told within so long is taken out of a status by one request.
const TOGETHER: Duration = Duration::from_secs(1);
/// The status of a Notification is worth no longer wait.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Who is told, and what is on its way.
pub(crate) struct Notifier {
    services: watch::Receiver<Arc<Notifications>>,
    table: Mutex<Table>,
    book: Mutex<Book>,
    secrets: Secrets,
    outbound: Outbound,
    cluster: String,
    platform: Option<String>,
    moved: Notify,
    queue: Queue,
    metrics: Metrics,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notifier")
    }
}

impl Notifier {
    /// Nothing to tell yet.
    ///
    /// # Errors
    /// If the platform's certificates or proxies cannot be used.
    pub(crate) fn new(
        options: &Options,
        platform: &Platform,
        services: watch::Receiver<Arc<Notifications>>,
        queue: Queue,
        metrics: Metrics,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            services,
            table: Mutex::default(),
            book: Mutex::default(),
            secrets: Secrets::default(),
            outbound: Outbound::new(platform.for_services(options))?,
            cluster: options.cluster_name.clone(),
            platform: options.platform_namespace(),
            moved: Notify::new(),
            queue,
            metrics,
        })
    }

    /// What the status is to hold with this news: less what was told meanwhile, and nothing that nobody wants to know.
    pub(super) fn noted(
        &self,
        delivery: &Delivery,
        before: Option<PendingEvents>,
        news: Vec<News>,
    ) -> Option<PendingEvents> {
        let services = self.services.borrow().clone();
        let (namespace, name) = (delivery.namespace().unwrap_or_default(), delivery.name_any());
        let of = Of { namespace: &namespace, name: &name, labels: delivery.labels() };
        let active = services.all().iter().filter(|service| !service.spec.suspend);
        let concerned: Vec<_> = active.filter(|service| concerns(service, of, self.platform.as_deref())).collect();
        let before = self.table().saved(&delivery.uid().unwrap_or_default(), before);
        let is_wanted = |event: &_| concerned.iter().any(|service| wants(&service.spec, event));
        let (after, dropped) = news::appended(before, news, Timestamp::now(), is_wanted);
        (0..dropped).for_each(|_| self.metrics.notified(Notified::Dropped));
        after
    }

    /// The status was written and holds this.
    pub(super) fn committed(&self, delivery: &Delivery, events: Option<&PendingEvents>) {
        let uid = delivery.uid().unwrap_or_default();
        self.table().keep(&uid, &Key::from(delivery), delivery.labels(), events, false);
        if events.is_some() {
            self.moved.notify_one();
        }
    }

    /// The Delivery is about to go: who was told of it is told so, without anything being written any more.
    pub(super) fn leaves(&self, delivery: &Delivery, status: &DeliveryStatus) {
        let events = self.noted(delivery, status.notifications.clone(), farewell(status));
        let uid = delivery.uid().unwrap_or_default();
        self.table().gone(&uid, &Key::from(delivery), delivery.labels(), events.as_ref());
        self.moved.notify_one();
    }

    /// How many events somebody is still to be told.
    pub(super) fn pending(&self) -> usize {
        self.table().pending()
    }

    /// Somebody else looks after the Delivery, and tells what is left to tell of it.
    pub(super) fn part(&self, uid: &str) {
        self.table().part(uid);
    }

    /// Takes in what statuses hold that a process before this one has written, and forgets Deliveries that are no more.
    /// Deliveries that others look after are theirs to tell of.
    fn look(&self, deliveries: &[Arc<Delivery>], is_ours: impl Fn(&Key) -> bool) {
        let mut table = self.table();
        let mut there = HashSet::with_capacity(deliveries.len());
        for delivery in deliveries {
            let Some(uid) = &delivery.metadata.uid else { continue };
            there.insert(uid.as_str());
            let events = delivery.status.as_ref().and_then(|status| status.notifications.as_ref());
            let Some(events) = events.filter(|events| !events.pending.is_empty()) else { continue };
            if !table.knows(uid) && is_ours(&Key::from(&**delivery)) {
                table.keep(uid, &Key::from(&**delivery), delivery.labels(), Some(events), true);
            }
        }
        table.sweep(|uid| there.contains(uid));
    }

    fn due(&self, services: &[Arc<Notification>]) -> Due {
        let due = self.table().due(services, self.platform.as_deref(), Instant::now(), Timestamp::now());
        for service in &due.given_up {
            self.gave_up(service);
        }
        for key in &due.unsaved {
            self.queue.owes_at(key, Instant::now() + TOGETHER);
        }
        due
    }

    fn gave_up(&self, service: &str) {
        tracing::warn!(notification = service, "a notification is given up");
        self.metrics.notified(Notified::Dropped);
        self.book().count(service, Mark::Dropped);
    }

    fn answered(&self, job: &Job, outcome: Outcome, standing: book::Standing) {
        let delivery = &job.of;
        let gave_up = self.table().answered(job, outcome, Instant::now(), random());
        if outcome == Outcome::Took {
            tracing::debug!(notification = job.service, %delivery, reason = job.event.reason, "told");
            self.metrics.notified(Notified::Sent);
            self.book().count(&job.service, Mark::Sent(Timestamp::now()));
        } else {
            let (reason, why) = (standing.reason, &standing.message);
            tracing::info!(notification = job.service, %delivery, reason, "not told: {why}");
            self.metrics.notified(Notified::Failed);
            self.book().count(&job.service, Mark::Failed);
        }
        if gave_up {
            self.gave_up(&job.service);
        }
        self.book().stands(&job.service, standing);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whoever is to be told, for ever.
pub(crate) async fn run(context: Arc<Context>, vitals: Vitals) {
    let notifier = Arc::clone(&context.notifier);
    let mut services = notifier.services.clone();
    let mut sending = JoinSet::new();
    notifier.table().restart();
    let mut look = Instant::now();
    loop {
        vitals.beat(LOOP);
        let known = services.borrow_and_update().clone();
        if Instant::now() >= look {
            // Without Notifications there is nothing to look for, but for what is left of those that went.
            let held = *context.shards.held().borrow();
            notifier.look(&context.deliveries.state(), |key| held.has(Shard::of(key)));
            look = Instant::now() + BEAT;
        }
        let due = notifier.due(known.all());
        for job in due.jobs {
            if job.again {
                notifier.metrics.notified(Notified::Repeated);
            }
            let context = Arc::clone(&context);
            sending.spawn(async move {
                let Notifier { outbound, secrets, cluster, .. } = &*context.notifier;
                let (outcome, standing) = send::tell(&context, outbound, secrets, cluster, &job).await;
                context.notifier.answered(&job, outcome, standing);
            });
        }
        write_statuses(&context, known.all(), &vitals).await;
        let next = due.next.unwrap_or(look).min(look);
        tokio::select! {
            // What broke off is not known to have been told.
            Some(Err(_)) = sending.join_next(), if !sending.is_empty() => notifier.table().restart(),
            () = notifier.moved.notified() => {}
            changed = services.changed() => if changed.is_err() { return },
            () = sleep_until(next) => {}
        }
    }
}

/// Writes what there is to say about the Notifications themselves. A failure is tried again with the next reason to write.
async fn write_statuses(context: &Context, services: &[Arc<Notification>], vitals: &Vitals) {
    let notifier = &context.notifier;
    let check = |service: &Notification| send::check(service, notifier.platform.as_deref());
    let due = notifier.book().due(services, Instant::now(), Timestamp::now(), check);
    for (service, next) in due {
        vitals.beat(LOOP);
        let (before, now) = (service.status.clone().unwrap_or_default(), Instant::now());
        let api: Api<Notification> =
            Api::namespaced(context.cluster.client().clone(), &service.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({"metadata": {"uid": service.uid()}, "status": next}));
        let (own, params) = (service.name_any(), PatchParams::default());
        match timeout(CALL_LIMIT, api.patch_status(&own, &params, &patch)).await {
            Ok(Ok(_)) => notifier.book().written(&name(&service), &before, &next, now),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(notification = name(&service), error, "its status was not written");
                notifier.book().written(&name(&service), &before, &before, now);
            }
            Err(_) => notifier.book().written(&name(&service), &before, &before, now),
        }
    }
}

/// Takes out of a Delivery's status what was told.
pub(super) async fn settle(context: &Context, delivery: &Delivery, memo: &mut Memo) {
    let uid = delivery.uid().unwrap_or_default();
    if !context.notifier.table().is_unsaved(&uid) {
        return;
    }
    let written = publish::current(delivery, memo);
    let notifications = context.notifier.table().saved(&uid, written.notifications.clone());
    let next = DeliveryStatus { notifications, ..written.clone() };
    match publish::status(context, delivery, memo, &written, &next).await {
        Ok(()) => context.notifier.committed(delivery, next.notifications.as_ref()),
        // It is owed as before.
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(delivery = %super::tell::name(delivery), error, "what was told is not recorded");
        }
    }
}

/// Those of which more was told than their statuses say.
pub(super) fn unsaved(context: &Context, deliveries: &[Arc<Delivery>]) -> Vec<Arc<Delivery>> {
    let table = context.notifier.table();
    let is_unsaved =
        |delivery: &&Arc<Delivery>| delivery.metadata.uid.as_ref().is_some_and(|uid| table.is_unsaved(uid));
    deliveries.iter().filter(is_unsaved).cloned().collect()
}
