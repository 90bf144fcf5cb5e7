//! Deleting what left the release. *cluster*

use sealift_apply::{
    api::Row,
    apply::Access,
    inventory::Inventory,
    prune::{Until, prune},
};

use super::{report::Report, stop::Stop};

/// Deletes the rows, and drops them from the inventory as each deletion is confirmed.
pub(super) async fn pruned(
    access: Access<'_>,
    rows: &[Row],
    inventory: &mut Inventory,
    report: &mut Report,
) -> Result<(), Stop> {
    let done = prune(access, rows, inventory, Until::Accepted)
        .await
        .map_err(|source| Stop::Cluster { doing: "pruning", source })?;
    report.changes.extend(done.changes);
    if done.failed.is_empty() { Ok(()) } else { Err(Stop::Prune(done.failed)) }
}
