//! How the objects of a release fare right now. *cluster*

use sealift_apply::{
    api::Delivery,
    apply::Access,
    assess::{HealthReport, assess},
    cluster::Cluster,
};
use sealift_verify::objects::ObjectId;

use super::{context::Memo, policies::Policies, report::Report};

/// Looks once. Nothing waits here: an unsettled release is looked at again by the schedule, and holds no worker.
pub(super) async fn health(account: &Cluster, ids: &[ObjectId]) -> HealthReport {
    assess(account, ids).await
}

/// Looks again at a release that was applied and has not settled, if nothing else can have changed: no registry, no
/// plan, only health.
pub(super) async fn looked_again(
    access: Access<'_>,
    delivery: &Delivery,
    memo: &Memo,
    policies: &std::sync::Arc<Policies>,
) -> Option<Report> {
    let awaited = memo.awaited.as_ref().filter(|awaited| awaited.still_stands(delivery, policies))?;
    awaited.looked(health(access.account, &awaited.ids).await)
}
