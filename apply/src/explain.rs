//! What exactly would change, object by object: live values beside those of a dry-run.

use futures::{StreamExt, stream};
use sealift_verify::{
    digest::Digest,
    objects::{ObjectId, canonical},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    IN_FLIGHT,
    api::Row,
    change::{Action, Why},
    cluster::{Class, Cluster, ClusterError, Write},
    diff::{FieldChange, changes},
    options::Options,
    plan::{Preview, Step, Todo},
    terminating,
};

const ANEW: &str = "deleted and created anew: a field that changes is immutable";

/// What would change in one object.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The object.
    pub id: ObjectId,
    /// What would be done.
    pub action: Action,
    /// The fields that would change.
    pub fields: Vec<FieldChange>,
    /// Why the server was not asked, or why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// Digest of the object as it is sent; none if it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// Whether it is deleted first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// Why it would be refused.
    #[serde(skip)]
    pub refused: Option<Why>,
}

impl Difference {
    /// True if the cluster would change.
    pub fn is_change(&self) -> bool {
        !matches!(self.action, Action::Unchanged | Action::Skipped)
    }
}

/// Asks for a dry-run of everything that may change, and compares. Nothing is written.
///
/// In the order in which it would be done; what would be deleted comes last, what is refused first.
pub async fn explain(account: &Cluster, mut preview: Preview) -> Vec<Difference> {
    let refused = std::mem::take(&mut preview.refused).into_iter().map(|refused| Difference {
        refused: Some(refused.why),
        ..difference(refused.id, Action::Skipped, vec![], None)
    });
    let refused: Vec<_> = refused.collect();
    let prunes = preview.prunes.clone();
    let mut all: Vec<_> = refused.into_iter().chain(differences(account, &preview, &prunes).await).collect();
    let refused = all.iter_mut().filter_map(|difference| Some((&difference.id, difference.refused.as_mut()?)));
    terminating::explain(account, refused).await;
    all
}

/// The same for what the plan does not refuse already, and for these deletions.
pub async fn differences(account: &Cluster, preview: &Preview, prunes: &[Row]) -> Vec<Difference> {
    let options = &preview.terms.options;
    let steps: Vec<Step> = preview.steps().cloned().collect();
    let steps = steps.into_iter().map(|step| {
        let content = step.content;
        async move { Difference { content: Some(content), ..explain_step(account, step, options).await } }
    });
    let steps: Vec<_> = stream::iter(steps).buffered(IN_FLIGHT).collect().await;
    let prunes = prunes.iter().map(|row| difference(row.id(), Action::Deleted, vec![], None));
    steps.into_iter().chain(prunes).collect()
}

/// What a plan does, in one digest: over each change's object, action and the object as it is sent, in the order of the
/// objects. What the cluster itself has written since (versions, times, status) is not in it, so equal effects have equal
/// digests; a plan that changes nothing has one too. `None` if something would be refused.
pub fn plan_digest(differences: &[Difference]) -> Option<Digest> {
    if differences.iter().any(|difference| difference.refused.is_some()) {
        return None;
    }
    let row = |difference: &Difference| {
        let Difference { id, action, content, anew, .. } = difference;
        let action = if *anew { "replaced".to_owned() } else { action.to_string() };
        let ObjectId { group, kind, namespace, name, version: _ } = id;
        json!([group, kind, namespace, name, action, content])
    };
    let mut changes: Vec<_> = differences.iter().filter(|difference| difference.is_change()).collect();
    changes.sort_by(|one, other| one.id.cmp(&other.id));
    Some(canonical::digest(&changes.into_iter().map(row).collect()))
}

async fn explain_step(account: &Cluster, step: Step, options: &Options) -> Difference {
    let Step { id, resource, todo, defined_here, own, migrate, .. } = step;
    let value = match todo {
        Todo::Unchanged | Todo::Confirmed(_) => return difference(id, Action::Unchanged, vec![], None),
        Todo::Skip(why) => return difference(id, Action::Skipped, vec![], Some(why)),
        Todo::Create(value) if defined_here => {
            let fields = changes(&Value::Null, &value);
            return difference(
                id,
                Action::Created,
                fields,
                Some("its definition is part of this release: not dry-run"),
            );
        }
        Todo::Create(value) | Todo::Configure(value) | Todo::Check(value) | Todo::Recreate(value) => value,
    };
    let live = match account.get(&resource, &id).await {
        Ok(live) => live,
        Err(error) => return refuse(id, error),
    };
    let new = live.is_none();
    let (after, note) = match account.apply(&resource, &id, &value, Write::DryRun).await {
        Ok(after) => (after, None),
        Err(ClusterError::Answer { class: Class::NoDryRun, .. }) => {
            (value, Some("a webhook takes no dry-run: as sent"))
        }
        // A namespace that this very release creates.
        Err(ClusterError::Answer { class: Class::NotFound, .. }) if new && id.namespace.is_some() => {
            (value, Some("its namespace does not exist yet: not dry-run"))
        }
        Err(error) if error.is_immutable() && own.may_recreate(&id, options) => (value, Some(ANEW)),
        Err(error) if error.is_immutable() => {
            let why = own.not_recreated(&id, error.to_string());
            return Difference { refused: Some(why), ..difference(id, Action::Skipped, vec![], None) };
        }
        Err(error) => return refuse(id, error),
    };
    let anew = note == Some(ANEW);
    let note = note.or(migrate.then_some("fields of managers that are taken over go where the release has none"));
    let fields = changes(&live.unwrap_or(Value::Null), &after);
    let action = match (new, fields.is_empty()) {
        (true, _) => Action::Created,
        (false, true) if !migrate && !anew => Action::Unchanged,
        (false, _) => Action::Configured,
    };
    Difference { anew, ..difference(id, action, fields, note) }
}

fn difference(id: ObjectId, action: Action, fields: Vec<FieldChange>, note: Option<&'static str>) -> Difference {
    Difference { id, action, fields, note, content: None, anew: false, refused: None }
}

fn refuse(id: ObjectId, error: ClusterError) -> Difference {
    Difference { refused: Some(error.into()), ..difference(id, Action::Skipped, vec![], None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, action: Action, content: &[u8]) -> Difference {
        let id = ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some("shop".into()),
            name: name.into(),
        };
        Difference { content: Some(Digest::of(content)), ..difference(id, action, vec![], None) }
    }

    #[test]
    fn a_plans_digest_is_that_of_its_effects() {
        let plan = || vec![change("a", Action::Created, b"1"), change("b", Action::Configured, b"1")];
        let digest = plan_digest(&plan());
        let mut reordered = plan();
        reordered.reverse();
        reordered.push(change("c", Action::Unchanged, b"1"));
        reordered[0].fields = changes(&Value::Null, &json!({"live": "noise"}));
        reordered[0].note = Some("a note");
        assert_eq!(plan_digest(&reordered), digest);
        let edits: [fn(&mut Vec<Difference>); 6] = [
            |plan| plan[0].action = Action::Configured,
            |plan| plan[0].content = Some(Digest::of(b"2")),
            |plan| plan[0].id.name = "z".into(),
            |plan| plan[1].anew = true,
            |plan| drop(plan.pop()),
            |plan| plan.push(change("c", Action::Deleted, b"")),
        ];
        for (at, edit) in edits.into_iter().enumerate() {
            let mut other = plan();
            edit(&mut other);
            assert_ne!(plan_digest(&other), digest, "edit {at}");
        }
        let mut refused = plan();
        refused[0].refused = Some(Why::NoNamespace);
        assert_eq!(plan_digest(&refused), None);
        assert!(plan_digest(&[]).is_some());
    }
}
