//! Creating an object anew where a field that must change is immutable.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    change::Why,
    cluster::{Class, Cluster, ClusterError, Write},
    plan::{Guard, Step, Terms, Todo},
};

/// How long an object may take to be gone. Longer ones are created by a later reconcile.
const GONE: Duration = Duration::from_secs(60);

/// Makes a step that the server refused into one that replaces the object, if it may be and if the server would take its
/// successor: an object that was deleted and cannot come back would be worse than one that was refused.
pub(super) async fn instead(account: &Cluster, terms: &Terms, step: &mut Step, error: ClusterError) -> Result<(), Why> {
    let protected = || terms.deletions.judge(std::slice::from_ref(&step.id), usize::MAX).is_err();
    if !step.own.may_recreate(&step.id, &terms.options) || !step.own.recreate && protected() {
        return Err(step.own.not_recreated(&step.id, error.to_string()));
    }
    let Some(value) = step.todo.value().cloned() else { return Err(error.into()) };
    if let Some(twin) = twin(step, &value) {
        let id = sealift_verify::objects::ObjectId { name: twin_name(&step.id.name), ..step.id.clone() };
        // Whatever else is said of a name that will never be is no word about the object.
        let refused = [Class::Invalid, Class::Schema, Class::Denied];
        if let Err(error) = account.apply(&step.resource, &id, &twin, Write::DryRun).await
            && matches!(&error, ClusterError::Answer { class, .. } if refused.contains(class))
        {
            return Err(error.into());
        }
    }
    step.todo = Todo::Recreate(value);
    Ok(())
}

/// The same object under another name, for the server to judge its content. Not where the name is part of the content,
/// or where two cannot have what one has (a Service's address and ports).
fn twin(step: &Step, value: &Value) -> Option<Value> {
    let judged_by_content = step.resource.namespaced && !(step.id.group.is_empty() && step.id.kind == "Service");
    judged_by_content.then(|| {
        let mut twin = Guard::Absent.on(value);
        twin["metadata"]["name"] = twin_name(&step.id.name).into();
        twin
    })
}

fn twin_name(name: &str) -> String {
    let cut = name.char_indices().nth(40).map_or(name, |(at, _)| &name[..at]);
    format!("{}-anew", cut.trim_end_matches(['-', '.']))
}

/// Deletes the object that was planned for, waits until it is gone, and creates its successor.
pub(super) async fn replace(account: &Cluster, step: &Step, value: &Value) -> Result<Value, Why> {
    if let Guard::Uid(uid) = &step.guard {
        account.delete(&step.resource, &step.id, uid).await?;
        gone(account, step, uid).await?;
    }
    Ok(account.apply(&step.resource, &step.id, &Guard::Absent.on(value), Write::Persist).await?)
}

async fn gone(account: &Cluster, step: &Step, uid: &str) -> Result<(), Why> {
    let until = Instant::now() + GONE;
    let mut delay = Duration::from_millis(25);
    loop {
        match account.get_metadata(&step.resource, &step.id).await? {
            Some(live) if live.uid.as_deref() == Some(uid) => {}
            Some(_) | None => return Ok(()),
        }
        if Instant::now() > until {
            return Err(Why::Terminating { held: None });
        }
        sleep(delay).await;
        delay = (delay * 2).min(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::twin_name;

    #[test]
    fn a_twins_name_is_a_name() {
        assert_eq!(twin_name("web"), "web-anew");
        let long = twin_name(&format!("{}-{}", "a".repeat(39), "b".repeat(200)));
        assert_eq!(long, format!("{}-anew", "a".repeat(39)));
    }
}
