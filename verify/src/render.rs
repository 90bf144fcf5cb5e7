//! From the signed objects to the final ones: parameters, then namespaces. Rules are judged on what comes out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    objects::{
        Object, ObjectId, Objects,
        scope::{self, Scope, Scopes},
    },
    parameters::{Parameter, substitute},
    policy::Policy,
    refusal::Refusal,
};

/// What a Delivery adds to the signed objects.
#[derive(Clone, Debug, Default)]
pub struct Rendering {
    /// Values of parameters, as text.
    pub values: BTreeMap<String, String>,
    /// Every namespaced object is put here.
    pub target_namespace: Option<String>,
    /// Namespaced objects that name no namespace are put here.
    pub default_namespace: Option<String>,
    /// Scopes that only a cluster knows, by group and kind.
    pub discovered: BTreeMap<(String, String), Scope>,
}

/// The final objects and what is known of their scopes.
///
/// # Errors
/// [`Refusal::BadParameter`], or [`Refusal::ObjectNotAllowed`] if two objects end up as one.
pub fn render<P: AsRef<Policy>>(
    signed: Objects,
    parameters: &[Parameter],
    rendering: &Rendering,
    policies: &[P],
) -> Result<(Objects, Scopes), Refusal> {
    let objects = substitute(signed, parameters, &rendering.values, policies)?;
    let mut scopes = scope::scopes(&objects);
    scopes.learn(&rendering.discovered);
    let moved = place(objects.into_vec(), &scopes, rendering);
    let objects = Objects::new(moved).map_err(|twice| Refusal::ObjectNotAllowed {
        policy: "(targetNamespace)".into(),
        object: twice.iter().map(|d| d.id.to_string()).collect::<Vec<_>>().join(", "),
        rule: "two objects would become one".into(),
    })?;
    Ok((objects, scopes))
}

fn place(mut objects: Vec<Object>, scopes: &Scopes, rendering: &Rendering) -> Vec<Object> {
    let accounts: BTreeSet<(Option<String>, String)> =
        objects.iter().filter(|o| is_account(&o.id)).map(|o| (o.id.namespace.clone(), o.id.name.clone())).collect();
    for object in &mut objects {
        let namespaced = match scopes.of_kind(&object.id.group, &object.id.kind) {
            Scope::Namespaced => true,
            Scope::Unknown => object.id.namespace.is_some(),
            Scope::Cluster => false,
        };
        if let Some(target) = &rendering.target_namespace {
            retarget_subjects(object, target, &accounts);
        }
        let wanted = match (&rendering.target_namespace, &object.id.namespace) {
            (Some(target), _) => Some(target.clone()),
            (None, None) => rendering.default_namespace.clone(),
            (None, Some(own)) => Some(own.clone()),
        };
        if namespaced && wanted != object.id.namespace {
            object.value["metadata"]["namespace"] = json!(wanted);
            object.id.namespace = wanted;
        }
    }
    objects
}

fn is_account(id: &ObjectId) -> bool {
    id.group.is_empty() && id.kind == "ServiceAccount"
}

/// A binding follows the service accounts of its own release to their new namespace; other subjects stay.
fn retarget_subjects(object: &mut Object, target: &str, accounts: &BTreeSet<(Option<String>, String)>) {
    if object.id.group != "rbac.authorization.k8s.io" {
        return;
    }
    let own = object.id.namespace.clone();
    for subject in object.value.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        let text = |field| subject.get(field).and_then(Value::as_str).map(str::to_owned);
        let (namespace, name) = (text("namespace"), text("name").unwrap_or_default());
        let ours = accounts.contains(&(namespace.clone(), name.clone()))
            || (namespace.is_none() || namespace == own) && accounts.contains(&(own.clone(), name));
        if text("kind").as_deref() == Some("ServiceAccount") && ours {
            subject["namespace"] = json!(target);
        }
    }
}
