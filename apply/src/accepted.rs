//! Reading and writing the memory of trust. Always as whoever looks after the Delivery: tenants can neither read nor change it.

use kube::{Resource as _, api::ApiResource};
use sealift_verify::{memory::Memory, objects::ObjectId};

use crate::{
    api::{AcceptedRelease, AcceptedReleaseSpec, DeliveryName, accepted_release_name},
    cluster::{Cluster, ClusterError, Resource},
};

/// Reads the record of a Delivery; `None` if it has accepted nothing yet. Whether it is about this very Delivery is for the
/// caller to see: a record that cannot be read is an error, and no licence to begin anew.
///
/// # Errors
/// What kept the cluster from answering.
pub async fn read(cluster: &Cluster, delivery: &DeliveryName) -> Result<Option<AcceptedRelease>, ClusterError> {
    let found = cluster.get(&resource(), &id(delivery)).await?;
    found.map(serde_json::from_value).transpose().map_err(unreadable)
}

/// Stores a memory over the very version of the record that was read; without a version there must be none. Answers with the
/// record as it is then.
///
/// # Errors
/// A conflict if another process wrote in between: read again and start over.
pub async fn write(
    cluster: &Cluster,
    delivery: &DeliveryName,
    version: Option<String>,
    memory: Memory,
    evidence: Option<String>,
) -> Result<AcceptedRelease, ClusterError> {
    let Memory { marks, earlier, holding } = memory;
    let spec = AcceptedReleaseSpec { delivery: delivery.clone(), marks, earlier, holding, evidence };
    let id = id(delivery);
    let mut record = AcceptedRelease::new(&id.name, spec);
    record.metadata.resource_version = version;
    let value = serde_json::to_value(record).map_err(unreadable)?;
    serde_json::from_value(cluster.store(&resource(), &id, &value).await?).map_err(unreadable)
}

/// The record of a Delivery.
pub fn id(delivery: &DeliveryName) -> ObjectId {
    ObjectId {
        group: AcceptedRelease::group(&()).into_owned(),
        version: AcceptedRelease::version(&()).into_owned(),
        kind: AcceptedRelease::kind(&()).into_owned(),
        namespace: None,
        name: accepted_release_name(&delivery.namespace, &delivery.name),
    }
}

fn resource() -> Resource {
    Resource { api: ApiResource::erase::<AcceptedRelease>(&()), namespaced: false, has_status: false }
}

fn unreadable(source: serde_json::Error) -> ClusterError {
    ClusterError::Unreadable { source: Box::new(source) }
}
