//! Records that a cluster keeps beside its memory of trust. *cluster*

use sealift_apply::{
    api::{AcceptedRelease, AcceptedReleaseSpec},
    cluster::ClusterError,
};
use sealift_verify::{
    evidence::packed::{PackedError, unpack},
    reference::Pinned,
};

use super::{CHANGED, NoRecord, Record, contradicts};
use crate::{
    cluster::{Connected, resource},
    delivery::accepted_record,
    exit::Exit,
    failure::Failure,
    output::Output,
};

/// Why what a cluster keeps is no evidence.
#[derive(Debug, thiserror::Error)]
enum KeptError {
    #[error("the record of Delivery {0} is not evidence")]
    Packed(String, #[source] PackedError),
    #[error("the record of Delivery {0} is about another release than the memory beside it")]
    Other(String),
}

impl From<KeptError> for Failure {
    fn from(error: KeptError) -> Self {
        let changed = match &error {
            KeptError::Packed(_, PackedError::Record(source)) => contradicts(source),
            KeptError::Packed(..) => false,
            KeptError::Other(_) => true,
        };
        let failure = Self::new(if changed { Exit::Refused } else { Exit::InvalidInput }, error);
        if changed { failure.hint(CHANGED) } else { failure }
    }
}

/// The decision by which a Delivery took the latest release it took.
pub(super) async fn of_delivery(
    connected: &Connected,
    namespace: &str,
    name: &str,
    output: &mut Output,
) -> Result<Record, Failure> {
    let nothing = || {
        let place = format!("the cluster of context {}", connected.context);
        let error = NoRecord { place, what: format!("Delivery {namespace}/{name}") };
        Failure::new(Exit::NotFound, error)
    };
    let Some(accepted) = accepted_record(&connected.cluster, namespace, name).await? else {
        return Err(nothing().hint("it has accepted nothing so far; `sealift status` says why a release was refused"));
    };
    let record = kept(&accepted.spec)?;
    output.note(format_args!("what was accepted; `sealift status -n {namespace} {name}` tells what was refused since"));
    record.ok_or_else(|| nothing().hint("records too long to keep stand in the controller's --audit-log alone"))
}

/// The decisions by which Deliveries of this cluster took this artifact, by namespace and name.
pub(super) async fn about_artifact(
    connected: &Connected,
    artifact: &Pinned,
    output: &mut Output,
) -> Result<Vec<Record>, Failure> {
    let found = connected.cluster.list(&resource::<AcceptedRelease>(false), None, None).await?;
    let mut accepted = Vec::new();
    for value in found {
        let record: AcceptedRelease =
            serde_json::from_value(value).map_err(|source| ClusterError::Unreadable { source: Box::new(source) })?;
        // Of those, the ones whose record cannot be read are told; others are not asked about.
        if record.spec.marks.iter().any(|mark| mark.artifact == artifact.digest) {
            accepted.push(record.spec);
        }
    }
    accepted.sort_by_cached_key(whose);
    let mut records = Vec::new();
    for spec in &accepted {
        match kept(spec)? {
            Some(record) if record.evidence.reference == artifact.to_string() => records.push(record),
            Some(_) => {}
            None => output.warn(format_args!("Delivery {} took it, and keeps no record of why", whose(spec))),
        }
    }
    if records.is_empty() {
        let error = NoRecord {
            place: format!("the cluster of context {}", connected.context),
            what: format!("{artifact} as the release that a Delivery took last"),
        };
        return Err(Failure::new(Exit::NotFound, error)
            .hint("earlier decisions are in the controller's --audit-log: name it with --records"));
    }
    Ok(records)
}

/// The record beside a memory, if one was kept. It is evidence of the mark it was written with and of nothing else.
fn kept(spec: &AcceptedReleaseSpec) -> Result<Option<Record>, KeptError> {
    let Some(packed) = &spec.evidence else { return Ok(None) };
    let evidence = unpack(packed).map_err(|source| KeptError::Packed(whose(spec), source))?;
    let statement = evidence.statement.as_ref().map(|statement| statement.digest);
    let is_marked =
        spec.marks.iter().any(|mark| Some(mark.statement) == statement && mark.artifact == evidence.artifact);
    match is_marked {
        true => Ok(Some(Record::of_delivery(evidence, &spec.delivery.namespace, &spec.delivery.name))),
        false => Err(KeptError::Other(whose(spec))),
    }
}

fn whose(spec: &AcceptedReleaseSpec) -> String {
    format!("{}/{}", spec.delivery.namespace, spec.delivery.name)
}
