//! Doing what the plan says, with the memory of trust raised between dry-run and first write. *cluster*

use jiff::Timestamp;
use sealift_apply::{
    apply::{Access, apply, prepare},
    inventory::Inventory,
    plan::Plan,
};
use sealift_verify::verify::Verified;

use super::{
    memory::{self, Known, Remembered},
    report::Report,
    stop::Stop,
};

/// Dry-runs, remembers, applies. `may` is asked before the first write whether something new may still come; where nothing
/// is `remembered`, the memory of trust stays as it is.
///
/// Whatever ends this early: what was to be applied stands in the inventory, and a release that was begun is the oldest
/// that may follow.
#[allow(clippy::too_many_arguments, reason = "the step's inputs, each from another step")]
pub(super) async fn applied(
    access: Access<'_>,
    known: &Known,
    plan: Plan,
    inventory: &mut Inventory,
    remembered: Option<&Remembered>,
    verified: &Verified,
    now: Timestamp,
    may: impl Fn() -> Result<(), Stop>,
    report: &mut Report,
) -> Result<(), Stop> {
    let prepared = prepare(access, plan, inventory).await?;
    // The dry-run took its time.
    may()?;
    if let Some(remembered) = remembered {
        memory::advance(access.controller, known, remembered, verified, report.evidence.as_ref(), now).await?;
    }
    match apply(access, prepared, inventory).await {
        Ok(changes) => {
            report.changes.extend(changes);
            Ok(())
        }
        Err(error) => {
            report.changes.extend(error.done().clone());
            Err(error.into())
        }
    }
}
