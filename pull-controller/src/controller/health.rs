//! How the objects of a release fare right now. *cluster*

use sealift_apply::{
    assess::{HealthReport, assess},
    change::ChangeSet,
    cluster::Cluster,
};
use sealift_verify::verify::Verified;

/// Looks once. Nothing waits here: an unsettled release is looked at again by the schedule, and holds no worker.
pub(super) async fn health(account: &Cluster, verified: &Verified, changes: &ChangeSet) -> HealthReport {
    let held_back = |id: &_| changes.waiting.contains(id);
    let ids: Vec<_> = verified.objects().iter().map(|object| object.id.clone()).filter(|id| !held_back(id)).collect();
    assess(account, &ids).await
}
