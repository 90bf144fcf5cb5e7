//! Reading and writing inventories. Always as the controller: tenants can neither read nor change them.

use std::collections::{BTreeMap, BTreeSet};

use kube::{Resource as _, api::ApiResource, core::ObjectMeta};
use sealift_verify::objects::ObjectId;
use serde_json::Value;

use super::{Inventory, Key};
use crate::{
    api::{self, CLAIMS_LABEL_PREFIX, DeliveryReference, InventorySpec, OWNER_LABEL, Row},
    cluster::{Cluster, ClusterError, Resource},
};

/// Reads the inventory of a Delivery: one request.
///
/// # Errors
/// What kept the cluster from answering.
pub async fn read(controller: &Cluster, owner: &DeliveryReference) -> Result<Inventory, ClusterError> {
    let stored = list(controller, &format!("{OWNER_LABEL}={}", owner.uid)).await?;
    Ok(Inventory::from_chunks(owner.clone(), stored))
}

/// Writes the chunks that changed, one request each, and returns how many. A chunk without rows is deleted.
///
/// # Errors
/// A conflict if another process wrote in between: read again and start over.
pub async fn write(controller: &Cluster, inventory: &mut Inventory) -> Result<usize, ClusterError> {
    let mut written = 0;
    for at in 0..inventory.chunks.len() {
        if !inventory.chunks[at].dirty {
            continue;
        }
        let id = id(&inventory.owner, at);
        let chunk = &inventory.chunks[at];
        let resource_version = match (chunk.rows, &chunk.resource_version) {
            (0, None) => None,
            (0, Some(_)) => {
                if let Some(metadata) = controller.get_metadata(&resource(), &id).await? {
                    controller.delete(&resource(), &id, metadata.uid.as_deref().unwrap_or_default()).await?;
                }
                written += 1;
                None
            }
            (_, version) => {
                let value = stored(inventory, at, version.clone())?;
                written += 1;
                version_of(&controller.store(&resource(), &id, &value).await?)
            }
        };
        inventory.chunks[at].resource_version = resource_version;
        inventory.chunks[at].dirty = false;
    }
    Ok(written)
}

/// Deletes the inventory of a Delivery that is gone, with whatever rows are left.
///
/// # Errors
/// What kept the cluster from answering.
pub async fn delete(controller: &Cluster, owner: &DeliveryReference) -> Result<(), ClusterError> {
    for chunk in list(controller, &format!("{OWNER_LABEL}={}", owner.uid)).await? {
        let uid = chunk.metadata.uid.unwrap_or_default();
        controller.delete(&resource(), &id(owner, chunk.spec.chunk as usize), &uid).await?;
    }
    Ok(())
}

/// The objects of this Delivery that others are waiting for: these are handed over, not deleted.
///
/// # Errors
/// What kept the cluster from answering.
pub async fn claimed_by_others(controller: &Cluster, owner: &DeliveryReference) -> Result<BTreeSet<Key>, ClusterError> {
    let stored = list(controller, &format!("{CLAIMS_LABEL_PREFIX}{}", owner.uid)).await?;
    let rows = stored.iter().flat_map(|inventory| &inventory.spec.rows);
    Ok(rows.filter(|row| row.claimed_from.as_deref() == Some(&owner.uid)).map(|row| Key::of(&row.id())).collect())
}

/// The objects that the Delivery with this uid still wants, with its name; `None` if it has no inventory any more.
///
/// # Errors
/// What kept the cluster from answering.
pub async fn wanted_by(
    controller: &Cluster,
    uid: &str,
) -> Result<Option<(DeliveryReference, BTreeSet<Key>)>, ClusterError> {
    let stored = list(controller, &format!("{OWNER_LABEL}={uid}")).await?;
    let Some(owner) = stored.first().map(|inventory| inventory.spec.delivery.clone()) else { return Ok(None) };
    Ok(Some((owner, stored.iter().flat_map(|inventory| &inventory.spec.rows).map(|row| Key::of(&row.id())).collect())))
}

async fn list(controller: &Cluster, labels: &str) -> Result<Vec<api::Inventory>, ClusterError> {
    let values = controller.list(&resource(), None, Some(labels)).await?;
    let parsed = values.into_iter().map(serde_json::from_value).collect::<Result<Vec<_>, _>>();
    parsed.map_err(|source| ClusterError::Unreadable { source: Box::new(source) })
}

fn resource() -> Resource {
    Resource { api: ApiResource::erase::<api::Inventory>(&()), namespaced: false, has_status: false }
}

fn id(owner: &DeliveryReference, at: usize) -> ObjectId {
    ObjectId {
        group: api::Inventory::group(&()).into_owned(),
        version: api::Inventory::version(&()).into_owned(),
        kind: api::Inventory::kind(&()).into_owned(),
        namespace: None,
        name: format!("{}-{at}", owner.uid),
    }
}

fn stored(inventory: &Inventory, at: usize, resource_version: Option<String>) -> Result<Value, ClusterError> {
    let rows: Vec<Row> =
        inventory.rows.values().filter(|(chunk, _)| *chunk == at).map(|(_, row)| row.clone()).collect();
    let claims = rows.iter().filter_map(|row| row.claimed_from.as_ref());
    let labels: BTreeMap<_, _> = claims
        .map(|uid| (format!("{CLAIMS_LABEL_PREFIX}{uid}"), "true".to_owned()))
        .chain([(OWNER_LABEL.to_owned(), inventory.owner.uid.clone())])
        .collect();
    let chunk = u32::try_from(at).unwrap_or(u32::MAX);
    let spec = InventorySpec { delivery: inventory.owner.clone(), chunk, rows };
    let mut stored = api::Inventory::new(&id(&inventory.owner, at).name, spec);
    stored.metadata = ObjectMeta { labels: Some(labels), resource_version, ..stored.metadata };
    serde_json::to_value(stored).map_err(|source| ClusterError::Unreadable { source: Box::new(source) })
}

fn version_of(stored: &Value) -> Option<String> {
    stored["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}
