//! The memory of trust in the cluster. *cluster*
//!
//! Read without a cache, since a stale memory would take an old release for a new one, and written only over the very
//! version that was read.

use jiff::Timestamp;
use kube::api::ApiResource;
use sealift_apply::{
    api::{AcceptedRelease, AcceptedReleaseSpec, DeliveryName, DeliveryReference, accepted_release_name},
    cluster::{Cluster, ClusterError, Resource},
};
use sealift_verify::{
    evidence::{Evidence, packed},
    memory::Memory,
    objects::ObjectId,
    verify::Verified,
};

mod known;

pub(crate) use self::known::Known;
use self::known::Look;
use super::stop::Stop;

/// What a Delivery has accepted so far, and the version of the record it was read from.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    delivery: DeliveryName,
    pub(super) memory: Memory,
    version: Option<String>,
}

/// Reads the memory of a Delivery; empty if it has accepted nothing yet.
///
/// What is known in the version that the watch tells of is not asked for again.
pub(super) async fn read(controller: &Cluster, known: &Known, owner: &DeliveryReference) -> Result<Remembered, Stop> {
    let delivery = DeliveryName { namespace: owner.namespace.clone(), name: owner.name.clone() };
    let failed = |source| Stop::Cluster { doing: "reading the memory of trust", source };
    let name = id(&delivery).name;
    match known.look(&name) {
        Look::Absent => return Ok(Remembered { delivery, memory: Memory::default(), version: None }),
        Look::Kept(memory, version) => return Ok(Remembered { delivery, memory, version: Some(version) }),
        Look::Ask => {}
    }
    let found = controller.get(&resource(), &id(&delivery)).await.map_err(failed)?;
    let Some(value) = found else {
        known.keep(&name, None, &Memory::default());
        return Ok(Remembered { delivery, memory: Memory::default(), version: None });
    };
    // A record that cannot be read is no licence to begin anew.
    let record: AcceptedRelease = serde_json::from_value(value)
        .map_err(|source| failed(ClusterError::Unreadable { source: Box::new(source) }))?;
    if record.spec.delivery != delivery {
        return Err(Stop::Memory { name: record.metadata.name.unwrap_or_default() });
    }
    let (memory, version) = (record.spec.memory(), record.metadata.resource_version);
    known.keep(&name, version.as_deref(), &memory);
    Ok(Remembered { delivery, memory, version })
}

/// Raises the mark to a verified release, and keeps the record of why; no request if it stands there already, or if no
/// statement gives it a place.
pub(super) async fn advance(
    controller: &Cluster,
    known: &Known,
    remembered: &Remembered,
    verified: &Verified,
    evidence: Option<&Evidence>,
    now: Timestamp,
) -> Result<(), Stop> {
    let Remembered { delivery, memory, version } = remembered;
    let Some(stated) = verified.grounds().stated() else { return Ok(()) };
    let advanced = memory.advanced(stated.payload, &stated.statement, now);
    if advanced == *memory {
        return Ok(());
    }
    let failed = |source| Stop::Cluster { doing: "writing the memory of trust", source };
    let evidence = evidence.filter(|evidence| evidence.artifact == verified.digest()).and_then(packed::pack);
    let spec = AcceptedReleaseSpec { delivery: delivery.clone(), marks: advanced.marks, evidence };
    let mut record = AcceptedRelease::new(&id(delivery).name, spec);
    record.metadata.resource_version.clone_from(version);
    let value =
        serde_json::to_value(record).map_err(|source| failed(ClusterError::Unreadable { source: Box::new(source) }))?;
    let (name, stored) = (id(delivery).name, controller.store(&resource(), &id(delivery), &value).await);
    let stored = stored.inspect_err(|_| known.doubt(&name)).map_err(failed)?;
    let marks: Option<AcceptedRelease> = serde_json::from_value(stored).ok();
    match marks {
        Some(written) => {
            known.keep(&name, written.metadata.resource_version.as_deref(), &written.spec.memory());
        }
        None => known.doubt(&name),
    }
    Ok(())
}

fn resource() -> Resource {
    Resource { api: ApiResource::erase::<AcceptedRelease>(&()), namespaced: false, has_status: false }
}

fn id(delivery: &DeliveryName) -> ObjectId {
    use kube::Resource as _;
    ObjectId {
        group: AcceptedRelease::group(&()).into_owned(),
        version: AcceptedRelease::version(&()).into_owned(),
        kind: AcceptedRelease::kind(&()).into_owned(),
        namespace: None,
        name: accepted_release_name(&delivery.namespace, &delivery.name),
    }
}
