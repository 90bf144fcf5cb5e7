//! How the objects of a release fare right now. *cluster*

use std::collections::HashMap;

use sealift_apply::{
    api::Delivery,
    apply::Access,
    assess::{HealthReport, assess, judge_live},
    change::ChangeSet,
    cluster::Cluster,
    health::HealthChecks,
};
use sealift_verify::objects::ObjectId;

use super::{context::Memo, policies::Policies, report::Report};

/// Looks once, at what no answer to a write has shown just now. Nothing waits here: an unsettled release is looked at
/// again by the schedule, and holds no worker.
pub(super) async fn health(
    account: &Cluster,
    ids: &[ObjectId],
    changes: &ChangeSet,
    checks: &HealthChecks,
) -> HealthReport {
    let shown: HashMap<_, _> = changes
        .entries
        .iter()
        .filter_map(|change| Some((&change.id, change.live.as_ref()?.value.as_deref()?)))
        .collect();
    let unseen: Vec<_> = ids.iter().filter(|id| !shown.contains_key(id)).cloned().collect();
    let mut report = assess(account, &unseen, checks).await;
    for id in ids {
        if let Some(value) = shown.get(id) {
            report.add(id.clone(), judge_live(account, id, value, checks).await);
        }
    }
    report
}

/// Looks again at a release that was applied and has not settled, if nothing else can have changed: no registry, no
/// plan, only health.
pub(super) async fn looked_again(
    access: Access<'_>,
    delivery: &Delivery,
    memo: &Memo,
    policies: &std::sync::Arc<Policies>,
    checks: &HealthChecks,
) -> Option<Report> {
    let awaited = memo.awaited.as_ref().filter(|awaited| awaited.still_stands(delivery, policies))?;
    awaited.looked(health(access.account, &awaited.ids, &ChangeSet::default(), checks).await)
}
