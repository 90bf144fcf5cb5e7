//! What holds a namespace that is being deleted.
//!
//! It takes nothing new, and the server says no more than that. What is left in it, and whose finalizers nobody takes off,
//! stands in its conditions.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ApiResource;
use sealift_verify::objects::ObjectId;

use crate::{
    change::Why,
    cluster::{Class, Cluster, ClusterError, Resource},
    health::Plain,
};

/// What tells, the cause before what follows from it.
const CONDITIONS: [&str; 5] = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
];
/// The finalizer of the server itself, which goes once the namespace is empty.
const OF_THE_SERVER: &str = "kubernetes";
/// Namespaces that are asked about at a time. A release into more of them names the others without a cause.
const MOST: usize = 5;

/// What a namespace says holds it; `None` if it says nothing, or is not being deleted.
pub fn holds(namespace: &Namespace) -> Option<String> {
    let metadata = &namespace.metadata;
    metadata.deletion_timestamp.as_ref()?;
    let conditions = namespace.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let message = |name: &&str| {
        let found = conditions.iter().find(|condition| condition.type_ == **name && condition.status == "True")?;
        let message = found.message.as_deref().or(found.reason.as_deref()).unwrap_or(name);
        Some(Plain(message).to_string())
    };
    let mut told: Vec<String> = CONDITIONS.iter().filter_map(message).collect();
    let of_spec = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref()).unwrap_or_default();
    let of_metadata = metadata.finalizers.as_deref().unwrap_or_default();
    let own: Vec<&str> =
        of_spec.iter().chain(of_metadata).map(String::as_str).filter(|name| *name != OF_THE_SERVER).collect();
    if !own.is_empty() {
        told.push(Plain(&format!("its own finalizers remain: {}", own.join(", "))).to_string());
    }
    (!told.is_empty()).then(|| told.join("; "))
}

/// Has what is refused because of such a namespace say what holds it: the first object of each.
pub(crate) async fn explain<'a>(cluster: &Cluster, refused: impl IntoIterator<Item = (&'a ObjectId, &'a mut Why)>) {
    let mut first: BTreeMap<&str, &mut Why> = BTreeMap::new();
    for (id, why) in refused {
        if let Some(namespace) = about(id, why).filter(|_| first.len() < MOST) {
            first.entry(namespace).or_insert(why);
        }
    }
    for (namespace, why) in first {
        let Some(held_by) = held_by(cluster, namespace).await else { continue };
        match why {
            Why::Cluster(ClusterError::Answer { message, .. }) => *message = format!("{message} ({held_by})"),
            Why::Terminating { held } => *held = Some(held_by),
            _ => {}
        }
    }
}

/// Of objects that take their time to go: what holds the namespaces that are among them or around them, in words.
pub async fn told(cluster: &Cluster, ids: &[ObjectId]) -> Vec<String> {
    let mut told = Vec::new();
    for name in around(ids).into_iter().take(MOST) {
        told.extend(held_by(cluster, name).await.map(|held| format!("namespace {name} is being deleted ({held})")));
    }
    told
}

fn around(ids: &[ObjectId]) -> BTreeSet<&str> {
    ids.iter().filter_map(|id| if is_namespace(id) { Some(&*id.name) } else { id.namespace.as_deref() }).collect()
}

/// The namespace whose deletion is the reason.
fn about<'a>(id: &'a ObjectId, why: &Why) -> Option<&'a str> {
    match why {
        Why::Cluster(ClusterError::Answer { class: Class::NamespaceTerminating, .. }) => id.namespace.as_deref(),
        Why::Terminating { .. } => is_namespace(id).then_some(&*id.name),
        _ => None,
    }
}

fn is_namespace(id: &ObjectId) -> bool {
    id.group.is_empty() && id.kind == "Namespace"
}

/// Where it cannot be read, nothing is told: what it was asked for has failed already, and says so.
async fn held_by(cluster: &Cluster, name: &str) -> Option<String> {
    let resource = Resource { api: ApiResource::erase::<Namespace>(&()), namespaced: false, has_status: true };
    let (group, version, kind) = (String::new(), "v1".to_owned(), "Namespace".to_owned());
    let id = ObjectId { group, version, kind, namespace: None, name: name.to_owned() };
    let found = cluster.get(&resource, &id).await.ok()??;
    holds(&serde_json::from_value(found).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FINALIZERS: &str =
        "Some content in the namespace has finalizers remaining: example.com/never in 1 resource instances";
    const CONTENT: &str = "Some resources are remaining: configmaps. has 1 resource instances";
    const DISCOVERY: &str = "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1";

    fn condition(name: &str, status: &str, message: &str) -> Value {
        json!({"type": name, "status": status, "reason": "Some", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn a_namespace_that_does_not_go_says_what_holds_it() {
        let long = "x\n".repeat(1000);
        let remaining = [
            condition("NamespaceContentRemaining", "True", CONTENT),
            condition("NamespaceDeletionDiscoveryFailure", "False", "All resources successfully discovered"),
            condition("NamespaceFinalizersRemaining", "True", FINALIZERS),
        ];
        let cases = [
            ("content and finalizers", json!(remaining), json!([]), Some(format!("{FINALIZERS}; {CONTENT}"))),
            (
                "an API that does not answer",
                json!([
                    condition(
                        "NamespaceDeletionContentFailure",
                        "True",
                        "Failed to delete all resource types, 1 remaining: no"
                    ),
                    condition("NamespaceDeletionDiscoveryFailure", "True", DISCOVERY),
                ]),
                json!([]),
                Some(format!("{DISCOVERY}; Failed to delete all resource types, 1 remaining: no")),
            ),
            ("its own", json!([]), json!(["a/b", "c/d"]), Some("its own finalizers remain: a/b, c/d".to_owned())),
            (
                "long",
                json!([condition("NamespaceContentRemaining", "True", &long)]),
                json!([]),
                Some(format!("x{}…", " x".repeat(199))),
            ),
            ("nothing yet", json!([]), json!([]), None),
            ("others", json!([condition("Ready", "True", "x")]), json!([]), None),
        ];
        for (name, conditions, finalizers, wanted) in cases {
            let mut value = json!({
                "metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Terminating", "conditions": conditions},
            });
            assert_eq!(holds(&serde_json::from_value(value.clone()).unwrap()), wanted, "{name}");
            value["metadata"]["deletionTimestamp"] = Value::Null;
            assert_eq!(holds(&serde_json::from_value(value).unwrap()), None, "{name}, not being deleted");
        }
    }

    #[test]
    fn only_what_a_namespace_is_to_blame_for_is_asked_about() {
        let id = |kind: &str, namespace: Option<&str>| ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: "a".into(),
        };
        let answer = |class| Why::Cluster(ClusterError::Answer { class, message: String::new(), retry_after: None });
        let terminating = Why::Terminating { held: None };
        assert_eq!(about(&id("ConfigMap", Some("n")), &answer(Class::NamespaceTerminating)), Some("n"));
        assert_eq!(about(&id("ConfigMap", Some("n")), &answer(Class::Forbidden)), None);
        assert_eq!(about(&id("ConfigMap", Some("n")), &terminating), None);
        assert_eq!(about(&id("Namespace", None), &terminating), Some("a"));
        let ids = [id("ConfigMap", Some("n")), id("Secret", Some("n")), id("Namespace", None), id("ClusterRole", None)];
        assert_eq!(around(&ids), BTreeSet::from(["a", "n"]));
    }
}
