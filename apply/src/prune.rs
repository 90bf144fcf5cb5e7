//! Deleting what no release wants any more, and only what is provably ours.
//!
//! An object is deleted only if it carries our label *and* fields that we applied, and only if it still has the uid that
//! was looked at. Everything else leaves the inventory and stays in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use sealift_verify::objects::ObjectId;

use crate::{
    IN_FLIGHT,
    api::{DeliveryReference, Row},
    apply::Access,
    change::{Action, ChangeSet, Refused},
    cluster::{Cluster, ClusterError},
    inventory::{Inventory, Key, store},
    observe::{Seen, Unknown, look_at},
    order::Stage,
};

/// When an object counts as deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Once the server has accepted the deletion, which cannot be taken back.
    Accepted,
    /// Once it is gone; until then its row stays, and earlier stages are not touched.
    Gone,
}

/// What a prune did, and what it could not do yet.
#[derive(Debug, Default)]
pub struct Pruned {
    /// What was deleted, and what was left in the cluster and why.
    pub changes: ChangeSet,
    /// What is still in the inventory because its deletion failed.
    pub failed: Vec<Refused>,
    /// What is still in the inventory because it is still in the cluster.
    pub deleting: Vec<ObjectId>,
}

impl Pruned {
    /// True if nothing is left to do.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.deleting.is_empty()
    }
}

/// Deletes the objects of `rows`, last stage first, and drops each row once its deletion is confirmed.
///
/// With every row of the inventory it is what a finalizer does. It holds nothing while objects go: call it again.
///
/// # Errors
/// If the cluster cannot be asked at all or the inventory cannot be stored; what concerns one object is in [`Pruned`].
pub async fn prune(
    access: Access<'_>,
    rows: &[Row],
    inventory: &mut Inventory,
    until: Until,
) -> Result<Pruned, ClusterError> {
    let mut pruned = Pruned::default();
    if rows.is_empty() {
        return Ok(pruned);
    }
    let claimed = store::claimed_by_others(access.controller, inventory.owner()).await?;
    let mut stages: BTreeMap<Stage, Vec<ObjectId>> = BTreeMap::new();
    for id in rows.iter().map(Row::id) {
        stages.entry(Stage::of(&id)).or_default().push(id);
    }
    for (_, ids) in stages.into_iter().rev() {
        let outcomes = prune_stage(access, ids, inventory, &claimed, until).await?;
        for (id, outcome) in outcomes {
            pruned.take(id, outcome, inventory);
        }
        if until == Until::Gone && !pruned.is_complete() {
            break;
        }
    }
    store::write(access.controller, inventory).await?;
    Ok(pruned)
}

/// What became of one row.
enum Outcome {
    Gone,
    Deleted,
    Deleting,
    Left(String),
    Failed(ClusterError),
}

impl Pruned {
    fn take(&mut self, id: ObjectId, outcome: Outcome, inventory: &mut Inventory) {
        let key = Key::of(&id);
        let (action, reason) = match outcome {
            Outcome::Failed(error) => return self.failed.push(Refused { id, why: error.into() }),
            Outcome::Deleting => return self.deleting.push(id),
            Outcome::Deleted => (Action::Deleted, None),
            Outcome::Gone => (Action::Skipped, Some("it was gone already".to_owned())),
            Outcome::Left(reason) => (Action::Skipped, Some(reason)),
        };
        inventory.forget(&key);
        self.changes.push(id, action, reason);
    }
}

async fn prune_stage(
    access: Access<'_>,
    ids: Vec<ObjectId>,
    inventory: &Inventory,
    claimed: &BTreeSet<Key>,
    until: Until,
) -> Result<Vec<(ObjectId, Outcome)>, ClusterError> {
    let mut seen = look_at(access.account, &ids.iter().collect::<Vec<_>>(), Some(inventory), &Unknown).await?;
    let unknown = ids.iter().filter(|id| matches!(seen.get(&Key::of(id)), Some(Seen::UnknownKind)));
    let mut unknown: Vec<_> = unknown.cloned().collect();
    if !unknown.is_empty() {
        // A stale answer must not make us forget objects, nor must a version that moved on: objects outlive it.
        access.controller.refresh_kinds([]).await?;
        for id in &mut unknown {
            if let Ok(resource) = access.account.resolve_any_version(id).await {
                id.version = resource.api.version;
            }
        }
        seen.extend(look_at(access.account, &unknown.iter().collect::<Vec<_>>(), Some(inventory), &Unknown).await?);
    }
    let outcomes = ids.into_iter().map(|id| {
        let key = Key::of(&id);
        let (seen, taken) = (seen.remove(&key), claimed.contains(&key));
        async move {
            let outcome = prune_one(access, &id, seen, taken, inventory.owner(), until).await;
            (id, outcome)
        }
    });
    // Collected: a closure that lives on in the stream would make the future one that cannot be spawned.
    let outcomes: Vec<_> = outcomes.collect();
    Ok(stream::iter(outcomes).buffered(IN_FLIGHT).collect().await)
}

async fn prune_one(
    access: Access<'_>,
    id: &ObjectId,
    seen: Option<Seen>,
    taken: bool,
    owner: &DeliveryReference,
    until: Until,
) -> Outcome {
    let (resource, meta) = match seen {
        Some(Seen::Present(resource, meta)) => (resource, meta),
        Some(Seen::Absent(_)) => return Outcome::Gone,
        Some(Seen::Unknown(error)) => return Outcome::Failed(error),
        Some(Seen::UnknownKind | Seen::Unseen(_)) | None => return kind_is_gone(access.controller, id).await,
    };
    if !meta.is_ours(owner) {
        return Outcome::Left("NotOurs: it carries no label and fields of this Delivery".to_owned());
    }
    if taken {
        return Outcome::Left("handed over: another Delivery wants it".to_owned());
    }
    if meta.keep {
        return Outcome::Left("its annotation sealift.dev/prune says disabled".to_owned());
    }
    let deleted = match meta.deleting {
        true => Ok(true),
        false => access.account.delete(&resource, id, &meta.mark.uid).await,
    };
    match (deleted, until) {
        (Err(error), _) => Outcome::Failed(error),
        (Ok(false), _) => Outcome::Gone,
        (Ok(true), Until::Accepted) => Outcome::Deleted,
        (Ok(true), Until::Gone) => match access.account.get_metadata(&resource, id).await {
            Ok(Some(live)) if live.uid.as_deref() == Some(&meta.mark.uid) => Outcome::Deleting,
            Ok(_) => Outcome::Deleted,
            Err(error) => Outcome::Failed(error),
        },
    }
}

/// A kind nobody serves has no objects, unless its server is merely down: then its APIService is still there.
async fn kind_is_gone(controller: &Cluster, id: &ObjectId) -> Outcome {
    let service = ObjectId {
        group: "apiregistration.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "APIService".to_owned(),
        namespace: None,
        name: format!("{}.{}", id.version, id.group),
    };
    let answer = match controller.resolve(&service).await {
        Ok(resource) => controller.get_metadata(&resource, &service).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(None) => Outcome::Gone,
        Ok(Some(_)) => {
            Outcome::Failed(ClusterError::UnknownKind { api_version: id.api_version(), kind: id.kind.clone() })
        }
        Err(error) => Outcome::Failed(error),
    }
}
