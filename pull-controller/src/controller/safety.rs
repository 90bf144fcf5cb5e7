//! What is judged over the whole of a new release's plan, before the first write: how much it deletes, and whether its
//! effect was approved. *pure*, but for the dry-runs that tell the effect: *cluster*

use jiff::Timestamp;
use sealift_apply::{
    api::Row,
    apply::{Access, ApplyError},
    budget,
    change::{ChangeSet, Refused},
    explain::{Difference, differences, plan_digest},
    inventory::Inventory,
    plan::Plan,
};
use sealift_verify::verify::Verified;

use super::{report::Report, stop::Stop};

/// Whether the deletions are within budget, and the plan approved where a policy demands that.
///
/// Only what is new is judged: what was applied before may always be put right, and a prune that was begun is ended.
pub(super) async fn judged(
    access: Access<'_>,
    verified: &Verified,
    plan: &Plan,
    rows: &[Row],
    inventory: &Inventory,
    now: Timestamp,
    report: &mut Report,
) -> Result<(), Stop> {
    let deleted: Vec<_> = rows.iter().map(Row::id).collect();
    budget::judge(verified.deletions(), &deleted, inventory.len()).map_err(|over| Stop::Deletion(Box::new(over)))?;
    if !verified.approvals().are_demanded() || !plan.preview().refused().is_empty() {
        // What the plan refuses already, the next step says.
        return Ok(());
    }
    let differences = differences(access.account, plan.preview(), rows).await;
    let Some(digest) = plan_digest(&differences) else {
        let refused =
            differences.into_iter().filter_map(|Difference { id, refused, .. }| refused.map(|why| Refused { id, why }));
        return Err(ApplyError::Refused { stage: None, refused: refused.collect(), done: ChangeSet::default() }.into());
    };
    report.plan = Some(digest);
    if !differences.iter().any(Difference::is_change) {
        return Ok(());
    }
    let owner = inventory.owner();
    let delivery = format!("{}/{}", owner.namespace, owner.name);
    verified.approvals().judge(&digest, &delivery, now).map_err(|why| Stop::NotApproved(Box::new(why)))
}
