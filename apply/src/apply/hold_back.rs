//! What the API server calls into comes last: after the workloads that answer it are healthy.

use sealift_verify::objects::ObjectId;

use crate::{
    assess::assess,
    change::{Action, ChangeSet},
    cluster::Cluster,
    health::HealthChecks,
    plan::{Step, Todo},
};

/// The workloads of a release. Custom resources are not among them: their health may be what the webhook is needed for.
pub(super) fn backends(steps: &[Step]) -> Vec<ObjectId> {
    let is_backend = |id: &&ObjectId| matches!((id.group.as_str(), id.kind.as_str()), ("apps", _) | ("", "Pod"));
    steps.iter().map(|step| &step.id).filter(is_backend).cloned().collect()
}

/// Leaves out what the API server would call into until the workloads of this Delivery are healthy. Only what is new
/// waits: a webhook that is there may be what keeps the workloads from getting healthy.
pub(super) async fn hold_back(account: &Cluster, workloads: &[ObjectId], steps: &mut Vec<Step>, done: &mut ChangeSet) {
    if !steps.iter().any(|step| matches!(step.todo, Todo::Create(_))) {
        return;
    }
    if assess(account, workloads, &HealthChecks::default()).await.is_healthy() {
        return;
    }
    steps.retain(|step| {
        let waits = matches!(step.todo, Todo::Create(_));
        if waits {
            let reason = "waits until the release's workloads are healthy".to_owned();
            done.push(step.id.clone(), Action::Skipped, Some(reason));
            done.waiting.push(step.id.clone());
        }
        !waits
    });
}
