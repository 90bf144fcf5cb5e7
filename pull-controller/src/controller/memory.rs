//! The memory of trust in the cluster. *cluster*
//!
//! Read without a cache, since a stale memory would take an old release for a new one, and written only over the very
//! version that was read.

use jiff::Timestamp;
use sealift_apply::{
    accepted,
    api::{DeliveryName, DeliveryReference},
    cluster::Cluster,
};
use sealift_verify::{
    evidence::{Evidence, packed},
    hold::Hold,
    memory::Memory,
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
    let name = accepted::id(&delivery).name;
    match known.look(&name) {
        Look::Absent => return Ok(Remembered { delivery, memory: Memory::default(), version: None }),
        Look::Kept(memory, version) => return Ok(Remembered { delivery, memory, version: Some(version) }),
        Look::Ask => {}
    }
    let Some(record) = accepted::read(controller, &delivery).await.map_err(failed)? else {
        known.keep(&name, None, &Memory::default());
        return Ok(Remembered { delivery, memory: Memory::default(), version: None });
    };
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
    let found = accepted::read(controller, delivery).await.map_err(failed)?;
    let evidence = found.and_then(|record| record.spec.evidence);
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
    let name = accepted::id(delivery).name;
    let written = accepted::write(controller, delivery, version, memory, evidence).await;
    let written = written.inspect_err(|_| known.doubt(&name)).map_err(failed)?;
    let (memory, version) = (written.spec.memory(), written.metadata.resource_version);
    known.keep(&name, version.as_deref(), &memory);
    Ok(Remembered { delivery: delivery.clone(), memory, version })
}
