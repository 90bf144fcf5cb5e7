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
#[derive(Clone, Default)]
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

/// Names of parameters, and no value: it may come from a Secret.
impl std::fmt::Debug for Rendering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { values, target_namespace, default_namespace, discovered } = self;
        f.debug_struct("Rendering")
            .field("values", &values.keys())
            .field("target_namespace", target_namespace)
            .field("default_namespace", default_namespace)
            .field("discovered", discovered)
            .finish()
    }
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
        if !namespaced {
            // Charts write a namespace into cluster-scoped objects too, where it means nothing.
            object.id.namespace = None;
            object.value["metadata"].as_object_mut().map(|metadata| metadata.remove("namespace"));
            continue;
        }
        let wanted = rendering.target_namespace.as_ref().or(object.id.namespace.as_ref());
        let wanted = wanted.or(rendering.default_namespace.as_ref()).cloned();
        if wanted != object.id.namespace {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        artifact::Limits,
        objects::yaml::{self, Source},
    };

    fn rendered(text: &str, target: Option<&str>, default: Option<&str>) -> Vec<Value> {
        let source = Source { name: "a.yaml".into(), bytes: text.as_bytes().to_vec() };
        let objects = yaml::read(&[source], &Limits::default()).unwrap();
        let rendering = Rendering {
            target_namespace: target.map(str::to_owned),
            default_namespace: default.map(str::to_owned),
            ..Rendering::default()
        };
        let (objects, _) = render::<Arc<Policy>>(objects, &[], &rendering, &[]).unwrap();
        objects.into_vec().into_iter().map(|object| object.value).collect()
    }

    #[test]
    fn values_do_not_print() {
        let rendering = Rendering { values: [("TOKEN".into(), "s3cret".into())].into(), ..Rendering::default() };
        let printed = format!("{rendering:?}");
        assert!(printed.contains("TOKEN") && !printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn namespaced_objects_go_to_the_target_or_else_to_the_default() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\
                    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: own}\n";
        let namespaces = |target, default| -> Vec<Value> {
            rendered(text, target, default).iter().map(|o| o["metadata"]["namespace"].clone()).collect()
        };
        assert_eq!(namespaces(None, None), [Value::Null, json!("own")]);
        assert_eq!(namespaces(None, Some("d")), [json!("d"), json!("own")]);
        assert_eq!(namespaces(Some("t"), Some("d")), [json!("t"), json!("t")]);
    }

    #[test]
    fn cluster_scoped_objects_lose_a_namespace_that_means_nothing() {
        let text = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a, namespace: b}\n";
        assert!(rendered(text, Some("t"), None)[0]["metadata"].get("namespace").is_none());
    }

    #[test]
    fn bindings_follow_the_accounts_of_their_release_and_no_others() {
        let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: mine, namespace: own}\n---\n\
                    apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\n\
                    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n\
                    subjects:\n- {kind: ServiceAccount, name: mine, namespace: own}\n\
                    - {kind: ServiceAccount, name: theirs, namespace: other}\n- {kind: User, name: mine, namespace: own}\n";
        let binding = rendered(text, Some("t"), None).into_iter().find(|o| o["kind"] == "ClusterRoleBinding").unwrap();
        let namespaces: Vec<_> =
            binding["subjects"].as_array().unwrap().iter().map(|s| s["namespace"].clone()).collect();
        assert_eq!(namespaces, [json!("t"), json!("other"), json!("own")]);
    }
}
