//! What exactly would change, object by object: live values beside those of a dry-run.

use futures::{StreamExt, stream};
use sealift_verify::objects::ObjectId;
use serde::Serialize;
use serde_json::Value;

use crate::{
    IN_FLIGHT,
    change::{Action, Why},
    cluster::{Class, Cluster, ClusterError, Write},
    diff::{FieldChange, changes},
    options::Options,
    plan::{Preview, Step, Todo},
};

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
pub async fn explain(account: &Cluster, preview: Preview) -> Vec<Difference> {
    let Preview { stages, prunes, refused, claims: _, terms } = preview;
    let refused = refused.into_iter().map(|refused| Difference {
        refused: Some(refused.why),
        ..difference(refused.id, Action::Skipped, vec![], None)
    });
    let steps = stages.into_values().flatten().map(|step| explain_step(account, step, &terms.options));
    let steps: Vec<_> = stream::iter(steps).buffered(IN_FLIGHT).collect().await;
    let prunes = prunes.into_iter().map(|row| difference(row.id(), Action::Deleted, vec![], None));
    refused.chain(steps).chain(prunes).collect()
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
        Err(error) if error.is_immutable() && own.may_recreate(&id, options) => {
            (value, Some("deleted and created anew: a field that changes is immutable"))
        }
        Err(error) if error.is_immutable() => {
            let why = own.not_recreated(&id, error.to_string());
            return Difference { refused: Some(why), ..difference(id, Action::Skipped, vec![], None) };
        }
        Err(error) => return refuse(id, error),
    };
    let note = note.or(migrate.then_some("fields of managers that are taken over go where the release has none"));
    let fields = changes(&live.unwrap_or(Value::Null), &after);
    let action = match (new, fields.is_empty()) {
        (true, _) => Action::Created,
        (false, true) if !migrate => Action::Unchanged,
        (false, _) => Action::Configured,
    };
    difference(id, action, fields, note)
}

fn difference(id: ObjectId, action: Action, fields: Vec<FieldChange>, note: Option<&'static str>) -> Difference {
    Difference { id, action, fields, note, refused: None }
}

fn refuse(id: ObjectId, error: ClusterError) -> Difference {
    Difference { refused: Some(error.into()), ..difference(id, Action::Skipped, vec![], None) }
}
