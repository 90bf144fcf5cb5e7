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
    hold::Hold,
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
    let evidence = evidence.filter(|evidence| evidence.artifact == verified.digest()).and_then(packed::pack);
    write(controller, known, delivery, version.clone(), advanced, evidence).await.map(|_| ())
}

/// Takes note of an emergency hold before it is carried out: whatever becomes of the Delivery, a higher release ends it,
/// and no further hold begins its time anew. No request if it is noted already.
pub(super) async fn note(
    controller: &Cluster,
    known: &Known,
    remembered: Remembered,
    hold: &Hold,
    now: Timestamp,
) -> Result<Remembered, Stop> {
    let Remembered { delivery, memory, version } = &remembered;
    let noted = memory.holding(hold, now);
    if noted == *memory {
        return Ok(remembered);
    }
    // The record of why the mark was raised stands beside it, and stays.
    let failed = |source| Stop::Cluster { doing: "reading the memory of trust", source };
    let found = controller.get(&resource(), &id(delivery)).await.map_err(failed)?;
    let record = found.and_then(|value| serde_json::from_value::<AcceptedRelease>(value).ok());
    let evidence = record.and_then(|record| record.spec.evidence);
    write(controller, known, delivery, version.clone(), noted, evidence).await
}

/// Stores the memory over the very version that was read.
async fn write(
    controller: &Cluster,
    known: &Known,
    delivery: &DeliveryName,
    version: Option<String>,
    memory: Memory,
    evidence: Option<String>,
) -> Result<Remembered, Stop> {
    let failed = |source| Stop::Cluster { doing: "writing the memory of trust", source };
    let Memory { marks, earlier, holding } = memory.clone();
    let spec = AcceptedReleaseSpec { delivery: delivery.clone(), marks, earlier, holding, evidence };
    let (id, mut record) = (id(delivery), AcceptedRelease::new(&id(delivery).name, spec));
    record.metadata.resource_version = version;
    let value =
        serde_json::to_value(record).map_err(|source| failed(ClusterError::Unreadable { source: Box::new(source) }))?;
    let stored = controller.store(&resource(), &id, &value).await;
    let stored = stored.inspect_err(|_| known.doubt(&id.name)).map_err(failed)?;
    let written: Option<AcceptedRelease> = serde_json::from_value(stored).ok();
    let version = written.as_ref().and_then(|written| written.metadata.resource_version.clone());
    match &written {
        Some(written) => known.keep(&id.name, version.as_deref(), &written.spec.memory()),
        None => known.doubt(&id.name),
    }
    Ok(Remembered { delivery: delivery.clone(), memory, version })
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
