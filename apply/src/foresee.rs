//! How some objects of a plan would look once it is done, as far as a dry-run tells. Nothing is written.

use sealift_verify::objects::ObjectId;
use serde_json::Value;

use crate::{
    cluster::{Cluster, Write},
    plan::{Preview, Todo},
};

/// The objects that `chosen` picks among those a plan would change, as they would be then.
///
/// What the server cannot be asked about, or would refuse, is as the release has it; and so is what would lose the fields
/// of managers that are taken over, since a dry-run still shows those.
pub async fn foresee(account: &Cluster, preview: &Preview, chosen: impl Fn(&ObjectId) -> bool) -> Vec<Value> {
    let mut objects = Vec::new();
    for step in preview.steps().filter(|step| chosen(&step.id)) {
        let Some(sent) = step.todo.value() else { continue };
        let asked = !step.defined_here && !step.migrate && !matches!(step.todo, Todo::Recreate(_));
        let shown = match asked {
            true => account.apply(&step.resource, &step.id, sent, Write::DryRun).await.ok(),
            false => None,
        };
        objects.push(shown.unwrap_or_else(|| sent.clone()));
    }
    objects
}
