//! What is true and not yet written: how objects looked after an apply, and for a moment that a release has not settled. *cluster*
//!
//! Neither is needed by what comes next, nor by whoever starts anew after this process was killed: an inventory names its
//! objects before they are sent, and one that does not say how they were left has them looked at again. So the first is
//! written once there is time, and of the second often nothing is, because what settles within the second is told as such.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use sealift_apply::{
    api::{Delivery, DeliveryStatus},
    inventory::{Inventory, store},
};
use tokio::time::{Instant, timeout};

use super::{
    ReconcileError,
    context::{Context, Memo},
    notify, publish,
    report::Report,
    stop::Stop,
    tell::tell,
};
use crate::queue::Key;

/// How long an inventory may say less than is known. A release on the heels of another one makes one write of two.
const BEHIND: Duration = Duration::from_secs(5);
/// How long a release may take to settle before it is told that it has not.
const PATIENCE: Duration = Duration::from_secs(1);
/// And how long if nothing else is to be done.
const AT_LEISURE: Duration = Duration::from_millis(250);
/// How long writing all that is owed may take on the way out.
const ON_THE_WAY_OUT: Duration = Duration::from_secs(5);
/// Written at the same time then.
const AT_ONCE: usize = 16;

/// A status that is true and not written.
#[derive(Debug)]
pub(super) struct Untold {
    /// What it says.
    pub(super) status: DeliveryStatus,
    /// What was done to the objects, in words.
    pub(super) done: Option<String>,
}

/// True if the status may wait for a moment: a release was just applied or put right, and all there is to say beside is that
/// it has not settled.
pub(super) fn may_wait(report: &Report) -> bool {
    let Report { changes, health, stop, plan, hold, .. } = report;
    let waits = health.as_ref().is_some_and(|health| !health.is_healthy() && !health.is_degraded());
    let held = hold.is_in_force();
    waits && !held && stop.is_none() && plan.is_none() && changes.changed() && changes.waiting.is_empty()
}

/// Inventories whose last marks are not stored, by the uid of their Delivery. They may take as much memory as those that are
/// kept; past that nothing is put off.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<HashMap<String, (Instant, Inventory)>>);

impl Owed {
    /// Takes an inventory out.
    fn take(&self, uid: &str) -> Option<Inventory> {
        self.inner().remove(uid).map(|(_, inventory)| inventory)
    }

    /// By when the Delivery's is to be written, if one is.
    fn due(&self, uid: &str) -> Option<Instant> {
        self.inner().get(uid).map(|(due, _)| *due)
    }

    fn put(&self, inventory: Inventory, due: Instant) {
        self.inner().insert(inventory.owner().uid.clone(), (due, inventory));
    }

    fn rows(&self) -> usize {
        self.inner().values().map(|(_, inventory)| inventory.len() + 1).sum()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Inventory)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The inventory as it is known, stored by then; `None` if it is to be read.
pub(super) async fn taken(context: &Context, uid: &str) -> Result<Option<Inventory>, Stop> {
    let Some(mut inventory) = context.owed.take(uid) else { return Ok(context.inventories.take(&uid.to_owned())) };
    let failed = |source| Stop::Cluster { doing: "writing the inventory", source };
    store::write(&context.cluster, &mut inventory).await.map_err(failed)?;
    Ok(Some(inventory))
}

/// Keeps an inventory, and sees to it that it is written. True unless it had to be at once, and was not.
pub(super) async fn keep(context: &Context, mut inventory: Inventory) -> bool {
    if !inventory.is_stored() && context.may_owe(context.owed.rows() + inventory.len()) {
        context.owed.put(inventory, Instant::now() + BEHIND);
        return true;
    }
    let stored = write(context, &mut inventory).await;
    if stored {
        context.keep_inventory(inventory);
    }
    stored
}

/// Forgets what a Delivery that is gone has owed.
pub(super) fn forget(context: &Context, uid: &str) {
    context.owed.take(uid);
}

/// Wakes the Delivery when something it owes is due.
pub(super) fn remind(context: &Context, key: &Key, uid: &str, memo: &Memo) {
    let untold = memo.untold.as_ref().map(|_| Instant::now() + PATIENCE);
    if let Some(due) = untold.into_iter().chain(context.owed.due(uid)).min() {
        context.queue().owes_at(key, due);
    }
    if memo.untold.is_some() {
        context.queue().owes_at_leisure(key, Instant::now() + AT_LEISURE);
    }
}

/// Writes the inventory that a Delivery owes, if it is due.
pub(super) async fn settle(context: &Context, uid: &str) {
    if context.owed.due(uid).is_some_and(|due| due <= Instant::now())
        && let Some(mut inventory) = context.owed.take(uid)
        && write(context, &mut inventory).await
    {
        context.keep_inventory(inventory);
    }
}

/// False if it could not be written: then it is read again, and what it does not say is looked at.
pub(super) async fn write(context: &Context, inventory: &mut Inventory) -> bool {
    let written = store::write(&context.cluster, inventory).await;
    let owner = inventory.owner();
    written
        .inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(delivery = %format_args!("{}/{}", owner.namespace, owner.name), error, "the inventory was not written");
        })
        .is_ok()
}

/// Writes all that is owed, since nothing comes after.
pub(super) async fn settle_all(context: &Context) {
    let written = async {
        settle_these(context, context.deliveries.state()).await;
        context.outbox.send_all().await;
    };
    if timeout(ON_THE_WAY_OUT, written).await.is_err() {
        tracing::warn!("stopping: not all that was done is recorded; it is looked at again at the next start");
    }
}

/// Writes what these Deliveries owe, since another replica looks after them next.
pub(super) async fn settle_given(context: &Context, deliveries: Vec<Arc<Delivery>>) {
    if timeout(ON_THE_WAY_OUT, settle_these(context, deliveries)).await.is_err() {
        tracing::warn!("not all that was done is recorded before it is given away; it is looked at again");
    }
}

async fn settle_these(context: &Context, deliveries: Vec<Arc<Delivery>>) {
    let uid = |delivery: &Delivery| delivery.metadata.uid.clone().unwrap_or_default();
    let inventories: Vec<Inventory> =
        deliveries.iter().filter_map(|delivery| context.owed.take(&uid(delivery))).collect();
    let unsaved = notify::unsaved(context, &deliveries);
    let untold: Vec<(Arc<Delivery>, Memo)> = deliveries
        .into_iter()
        .map(|delivery| (context.memo(&uid(&delivery)), delivery))
        .filter(|(memo, _)| memo.untold.is_some())
        .map(|(memo, delivery)| (delivery, memo))
        .collect();
    stream::iter(inventories)
        .for_each_concurrent(AT_ONCE, |mut inventory| async move {
            write(context, &mut inventory).await;
        })
        .await;
    stream::iter(untold)
        .for_each_concurrent(AT_ONCE, |(delivery, memo)| async move {
            if let Err(error) = told(context, &delivery, memo).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(delivery = %super::tell::name(&delivery), error, "the status was not written");
            }
        })
        .await;
    stream::iter(unsaved)
        .for_each_concurrent(AT_ONCE, |delivery| async move {
            let mut memo = context.memo(&uid(&delivery));
            notify::settle(context, &delivery, &mut memo).await;
            context.remember(&uid(&delivery), memo);
        })
        .await;
}

async fn told(context: &Context, delivery: &Delivery, mut memo: Memo) -> Result<(), ReconcileError> {
    let Some(untold) = memo.untold.take() else { return Ok(()) };
    let told = publish::current(delivery, &memo);
    tell(context, delivery, &mut memo, &told, &untold.status, &Report::default(), untold.done.as_deref()).await
}

#[cfg(test)]
mod tests {
    use sealift_apply::{
        api::DriftState,
        assess::HealthReport,
        change::{Action, ChangeSet, Look},
        drift::Found,
        health::Health,
    };
    use sealift_verify::objects::ObjectId;

    use super::*;

    fn id() -> ObjectId {
        ObjectId {
            group: "apps".into(),
            version: "v1".into(),
            kind: "Deployment".into(),
            namespace: None,
            name: "a".into(),
        }
    }

    fn report(health: Option<Health>, action: Action) -> Report {
        let rest = health.into_iter().map(|health| (id(), health)).collect();
        let mut changes = ChangeSet::default();
        changes.push(id(), action, None);
        Report { changes, health: Some(HealthReport { healthy: 3, rest }), ..Report::default() }
    }

    #[test]
    fn only_what_is_about_to_settle_is_told_a_moment_later() {
        let progressing = || Some(Health::Progressing("x".into()));
        let mut drifted = report(progressing(), Action::Configured);
        let found = Found { state: DriftState::Corrected, what: "x".into(), fields: vec![], until: None };
        drifted.changes.looks.push(Look { id: id(), found: Some(found), foreign: vec![] });
        let mut held_back = report(progressing(), Action::Configured);
        held_back.changes.waiting.push(id());
        for (what, report, waits) in [
            ("a release", report(progressing(), Action::Created), true),
            ("a repair", drifted, true),
            ("what is settled", report(None, Action::Created), false),
            ("what has failed", report(Some(Health::Degraded("x".into())), Action::Created), false),
            ("what is as it was", report(progressing(), Action::Unchanged), false),
            ("what was held back", held_back, false),
        ] {
            assert_eq!(may_wait(&report), waits, "{what}");
        }
    }
}
