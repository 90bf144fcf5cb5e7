//! What a cluster that runs a release already lets somebody bring by hand: to make good what runs, everything; something else,
//! as far as its controller would bring it.

use jiff::Timestamp;
use sealift_apply::{
    api::{Delivery, Freeze, LastApplied},
    cluster::Cluster,
    freeze::{Freezes, Frozen},
};
use sealift_verify::{memory::Memory, refusal::Refusal, statement::Position, verify::Verified};

use super::handover::listed;
use crate::{cluster, exit::Exit, failure::Failure};

/// Whether it is something else than what runs.
fn is_new(verified: &Verified, last: &LastApplied) -> bool {
    (last.digest, last.objects) != (verified.digest(), verified.inventory())
}

/// Where the record of what was accepted is gone, what runs still says how far the cluster was.
pub(super) fn nothing_older(verified: &Verified, last: Option<&LastApplied>, memory: &Memory) -> Result<(), Refusal> {
    let position = last.and_then(|last| Some(Position { epoch: last.epoch?, sequence: last.sequence? }));
    let (Some(last), Some(position), Some(statement)) = (last, position, verified.statement()) else { return Ok(()) };
    let release = &statement.release;
    if !memory.marks.is_empty() || last.digest == verified.digest() || release.position() >= position {
        return Ok(());
    }
    let (actual, accepted) = (release.position().to_string(), position.to_string());
    Err(Refusal::RolledBack { stream: release.stream.clone(), actual, accepted })
}

/// An expired statement may bring a cluster back to what it knows to be the latest; it changes nothing that runs.
pub(super) fn nothing_new_if_stale(verified: &Verified, last: Option<&LastApplied>) -> Result<(), Refusal> {
    match verified.stale() {
        Some(refusal) if last.is_some_and(|last| last.objects != verified.inventory()) => Err(refusal.clone()),
        _ => Ok(()),
    }
}

/// What the cluster does not let in.
#[derive(Debug, thiserror::Error)]
#[error("Frozen: {0}")]
struct Shut(Frozen);

/// A freeze holds for whoever brings something new by hand too; what runs may be made good.
pub(super) async fn nothing_new_if_frozen(
    cluster: &Cluster,
    verified: &Verified,
    there: Option<&Delivery>,
) -> Result<(), Failure> {
    let Some(there) = there else { return Ok(()) };
    let last = there.status.as_ref().and_then(|status| status.last_applied.as_ref());
    if last.is_some_and(|last| !is_new(verified, last)) {
        return Ok(());
    }
    let namespace = there.metadata.namespace.as_deref().unwrap_or_default();
    let freezes = listed(cluster.list(&cluster::resource::<Freeze>(false), None, None).await)?;
    match Freezes::read(&freezes).about(namespace, Timestamp::now()) {
        Some(frozen) => {
            Err(Failure::new(Exit::Refused, Shut(frozen)).hint("`sealift freeze --help` says how one is ended"))
        }
        None => Ok(()),
    }
}

/// A new release whose plan the cluster's own policies want approved.
#[derive(Debug, thiserror::Error)]
#[error("a policy in the cluster demands that plans are approved, and this is not the release that it runs")]
struct ApprovalThere;

/// Who brings something by hand does not get round those who approve plans.
pub(super) fn nothing_new_if_to_be_approved(
    verified: &Verified,
    by_cluster: Option<&Verified>,
    last: Option<&LastApplied>,
) -> Result<(), Failure> {
    let demanded = by_cluster.is_some_and(|verified| verified.approvals().are_demanded());
    match last {
        Some(last) if demanded && is_new(verified, last) => Err(Failure::new(Exit::Refused, ApprovalThere).hint(
            "what runs may be made good; the controller brings what is new once its plan is approved: `sealift approve --help`",
        )),
        _ => Ok(()),
    }
}
