//! What becomes of the objects when their Delivery is deleted. *cluster*
//!
//! The inventory goes last and the memory of trust stays: a Delivery made anew under the same name takes nothing older.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    ResourceExt as _,
    runtime::events::{Event, EventType},
};
use sealift_apply::{
    api::{DeletionPolicy, Delivery, DeliveryReference, DeliveryStatus, FINALIZER, Row},
    apply::Access,
    cluster::ClusterError,
    inventory::{Inventory, store},
    prune::{Pruned, Until, prune},
    terminating,
};

use super::{
    ReconcileError, about,
    context::{Context, Memo},
    events, publish, read, self_refusal, status,
    stop::{chain, listed},
    tell::{name, random},
};

/// How long objects are tried to be deleted once the account or the namespace is going away. The finalizer goes within a
/// minute, since a namespace that hangs is worse than an object that is named and left.
const GRACE: Duration = Duration::from_secs(40);
/// How often gone objects are looked for, and failed deletions tried again at first.
const AGAIN: Duration = Duration::from_secs(3);

/// Why nothing outside of it is deleted any more, once a namespace goes.
const NAMESPACE_GOES: &str = "its namespace is being deleted";

/// The reason while deletions take their time.
pub(super) const DELETING: &str = "Deleting";

/// True if nothing is wrong where a deletion is not over for this reason.
pub(super) fn takes_its_time(reason: &str) -> bool {
    matches!(reason, DELETING | "Frozen" | "FreezeUnknown")
}

/// What is still to be done.
enum Left {
    /// Nothing: the Delivery may go.
    Nothing,
    /// These objects stay in the cluster, and nobody looks after them any more.
    Orphans { rows: Vec<Row>, why: &'static str },
    /// Not yet done.
    Work { reason: &'static str, message: String },
}

/// One step towards the end of a Delivery.
pub(super) async fn finalize(
    context: &Context,
    delivery: &Delivery,
    memo: &mut Memo,
    previous: &DeliveryStatus,
) -> Result<Option<Duration>, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    let ours = delivery.finalizers().iter().any(|name| name == FINALIZER);
    let Some(owner) = delivery.reference().filter(|_| ours) else {
        context.forget(&uid);
        return Ok(None);
    };
    let left = match work(context, delivery, &owner).await {
        Ok(left) => left,
        Err(error) => Left::Work { reason: "DeletionFailed", message: chain(&error) },
    };
    match left {
        Left::Work { reason, message } => {
            let next = status::deleting(previous, about(delivery), reason, &message);
            match previous != &next {
                true if takes_its_time(reason) => tracing::info!(delivery = %name(delivery), reason, "{message}"),
                true => tracing::warn!(delivery = %name(delivery), reason, "{message}"),
                false => {}
            }
            publish::status(context, delivery, memo, previous, &next).await?;
            memo.failures += 1;
            let pause = AGAIN.saturating_mul(memo.failures.min(10)).mul_f64(1.0 + 0.2 * random());
            context.remember(&uid, memo.clone());
            return Ok(Some(pause));
        }
        Left::Orphans { rows, why } => orphaned(context, delivery, &rows, why).await,
        Left::Nothing => tracing::info!(delivery = %name(delivery), reason = "Deleted", "its objects are deleted"),
    }
    store::delete(&context.cluster, &owner).await?;
    context.notifier.leaves(delivery, previous);
    release(context, delivery).await?;
    context.forget(&uid);
    Ok(None)
}

/// Takes the finalizer off. The version that was watched may be behind our own status writes.
async fn release(context: &Context, delivery: &Delivery) -> Result<(), ClusterError> {
    match publish::fresh(context, delivery).await? {
        Some(fresh) if fresh.uid() == delivery.uid() => publish::finalizer(context, &fresh, false).await,
        _ => Ok(()),
    }
}

async fn work(context: &Context, delivery: &Delivery, owner: &DeliveryReference) -> Result<Left, ClusterError> {
    let mut inventory = store::read(&context.cluster, owner).await?;
    if inventory.is_empty() {
        return Ok(Left::Nothing);
    }
    let rows: Vec<Row> = inventory.rows().cloned().collect();
    let policy = delivery.spec.deletion_policy;
    if policy == DeletionPolicy::Orphan {
        return Ok(Left::Orphans { rows, why: "spec.deletionPolicy is Orphan" });
    }
    let named = delivery.spec.service_account_name.as_deref().filter(|name| !name.is_empty());
    let going = going_away(context, owner, named.or(context.default_account.as_deref())).await?;
    // A freeze is about what runs, so that is not deleted; what goes with its namespace goes whatever anybody says.
    let goes_anyway = policy != DeletionPolicy::Wait && going == Some(NAMESPACE_GOES);
    if let Err(stop) = context.may_come(&owner.namespace).or_else(|stop| if goes_anyway { Ok(()) } else { Err(stop) }) {
        let message = format!(
            "its objects stay until then: {stop} (hint: with spec.deletionPolicy Orphan it goes at once, without them)"
        );
        return Ok(Left::Work { reason: stop.reason(), message });
    }
    // Where only what is in its namespace goes, policies and trust roots stay: they are in none.
    if (going.is_none() || policy == DeletionPolicy::Wait)
        && let Err(stop) = self_refusal::by_deletion(context, owner, &rows).await
    {
        let message = format!(
            "its objects stay: {} (hint: let another Delivery bring these policies first, or set spec.deletionPolicy to Orphan)",
            chain(&stop)
        );
        return Ok(Left::Work { reason: stop.reason(), message });
    }
    let (Some(account), going) = (named.or(context.default_account.as_deref()), going) else {
        return Ok(orphans_after_grace(delivery, &inventory, "there is no service account to delete them as"));
    };
    let account = context.account(owner, account)?;
    let access = Access { account: &account, controller: &context.cluster };
    let Some(why) = going.filter(|_| policy != DeletionPolicy::Wait) else {
        let until = if policy == DeletionPolicy::Wait { Until::Gone } else { Until::Accepted };
        let pruned = prune(access, &rows, &mut inventory, until).await?;
        context.metrics.changed(&pruned.changes);
        return Ok(if pruned.is_complete() { Left::Nothing } else { unfinished(context, &pruned).await });
    };
    // Whoever goes away may no longer say what happens elsewhere.
    let within: Vec<Row> = rows.into_iter().filter(|row| row.namespace.as_ref() == Some(&owner.namespace)).collect();
    let pruned = prune(access, &within, &mut inventory, Until::Accepted).await;
    if let Ok(pruned) = &pruned {
        context.metrics.changed(&pruned.changes);
    }
    Ok(match pruned {
        Ok(pruned) if pruned.is_complete() && inventory.is_empty() => Left::Nothing,
        Ok(pruned) if pruned.is_complete() => Left::Orphans { rows: inventory.rows().cloned().collect(), why },
        _ => orphans_after_grace(delivery, &inventory, why),
    })
}

fn orphans_after_grace(delivery: &Delivery, inventory: &Inventory, why: &'static str) -> Left {
    let began = delivery.metadata.deletion_timestamp.as_ref().map(|time| time.0).unwrap_or_default();
    let waited = Duration::try_from(Timestamp::now().duration_since(began)).unwrap_or_default();
    if waited >= GRACE {
        return Left::Orphans { rows: inventory.rows().cloned().collect(), why };
    }
    Left::Work { reason: DELETING, message: format!("{} objects are left, and {why}", inventory.len()) }
}

async fn unfinished(context: &Context, pruned: &Pruned) -> Left {
    if pruned.failed.is_empty() {
        let ids: Vec<_> = pruned.deleting.iter().take(5).map(ToString::to_string).collect();
        let mut message = format!("{} objects are on their way out: {}", pruned.deleting.len(), ids.join(", "));
        for held in terminating::told(&context.cluster, &pruned.deleting).await {
            message = format!("{message}; {held}");
        }
        return Left::Work { reason: DELETING, message };
    }
    let message = format!("{} objects were not deleted: {}", pruned.failed.len(), listed(&pruned.failed));
    Left::Work { reason: "DeletionFailed", message }
}

/// Why nothing outside the namespace may be deleted any more, if that is so.
async fn going_away(
    context: &Context,
    owner: &DeliveryReference,
    account: Option<&str>,
) -> Result<Option<&'static str>, ClusterError> {
    let namespace = read::namespace(&context.cluster, &owner.namespace).await?;
    if namespace.is_none_or(|namespace| namespace.deletion_timestamp.is_some()) {
        return Ok(Some(NAMESPACE_GOES));
    }
    let Some(account) = account else { return Ok(None) };
    let account: Option<ServiceAccount> = read::object(&context.cluster, &owner.namespace, account).await?;
    let gone = account.is_none_or(|account| account.metadata.deletion_timestamp.is_some());
    Ok(gone.then_some("its service account is gone"))
}

/// Names what is left, in the log in full and in an event as far as it holds.
async fn orphaned(context: &Context, delivery: &Delivery, rows: &[Row], why: &'static str) {
    let names: Vec<_> = rows.iter().map(|row| row.id().to_string()).collect();
    let message = format!("{} objects stay in the cluster, since {why}: {}", names.len(), names.join(", "));
    tracing::warn!(delivery = %name(delivery), reason = "Orphaned", "{message}");
    let event = Event {
        type_: EventType::Warning,
        reason: "Orphaned".to_owned(),
        note: Some(events::cut(message)),
        action: "Finalize".to_owned(),
        secondary: None,
    };
    context.outbox.put(delivery, event);
}
