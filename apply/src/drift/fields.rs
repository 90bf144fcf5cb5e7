//! Who owns which field: the sets in `metadata.managedFields`, walked beside the values they are about. *pure*

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use crate::owner::is_ours;

/// The managed fields of a live object.
pub(crate) fn entries(live: &Value) -> Vec<ManagedFieldsEntry> {
    let entries = live["metadata"].get("managedFields").cloned();
    entries.and_then(|entries| serde_json::from_value(entries).ok()).unwrap_or_default()
}

/// The managers other than ours that own the field at `pointer` of `live`, or something below it.
pub(crate) fn owners<'a>(
    entries: &'a [ManagedFieldsEntry],
    live: &Value,
    pointer: &str,
) -> impl Iterator<Item = &'a ManagedFieldsEntry> {
    let steps: Vec<String> = segments(pointer).collect();
    entries.iter().filter(|entry| !is_ours(entry)).filter(move |entry| {
        let set = entry.fields_v1.as_ref().map(|fields| &fields.0);
        set.is_some_and(|set| owns(set, live, &steps))
    })
}

/// JSON pointers of the fields in `set` that the release does not say, as they lie in `live`; at most so many.
pub(crate) fn beside(set: &Value, released: &Value, live: &Value, most: usize) -> Vec<String> {
    let mut found = vec![];
    collect(set, released, live, String::new(), most, &mut found);
    found
}

/// The parts of a JSON pointer, unescaped.
pub(crate) fn segments(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"))
}

fn owns(set: &Value, live: &Value, steps: &[String]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    let Some(members) = set.as_object() else { return false };
    // A leaf of the set stands for all below it: an atomic list or map.
    if members.is_empty() {
        return true;
    }
    match live {
        Value::Array(items) => {
            let Some(item) = step.parse::<usize>().ok().and_then(|at| items.get(at)) else { return false };
            let member = members.iter().find(|(key, _)| is_item(key, item));
            member.is_some_and(|(_, below)| owns(below, item, rest))
        }
        _ => members.get(&format!("f:{step}")).is_some_and(|below| owns(below, &live[step.as_str()], rest)),
    }
}

/// `k:{"name":"app"}` is the item with these values, `v:"x"` the item that is this value.
fn is_item(key: &str, item: &Value) -> bool {
    if let Some(keys) = key.strip_prefix("k:") {
        let keys: Option<Map<String, Value>> = serde_json::from_str(keys).ok();
        return keys.is_some_and(|keys| keys.iter().all(|(name, value)| item.get(name) == Some(value)));
    }
    key.strip_prefix("v:").and_then(|value| serde_json::from_str::<Value>(value).ok()).as_ref() == Some(item)
}

fn collect(set: &Value, released: &Value, live: &Value, at: String, most: usize, found: &mut Vec<String>) {
    let Some(members) = set.as_object() else { return };
    for (key, below) in members.iter().filter(|(key, _)| *key != ".") {
        if found.len() >= most {
            return;
        }
        let item = |list: &Value| list.as_array().and_then(|items| items.iter().position(|item| is_item(key, item)));
        let (place, value, said) = match key.strip_prefix("f:") {
            Some(name) => (name.replace('~', "~0").replace('/', "~1"), live.get(name), released.get(name)),
            None => match item(live) {
                Some(at) => (at.to_string(), live.get(at), item(released).and_then(|at| released.get(at))),
                None => continue,
            },
        };
        let at = format!("{at}/{place}");
        match said {
            // All that lies below is beside the release where the whole of it is.
            None => found.push(at),
            Some(said) => collect(below, said, value.unwrap_or(&Value::Null), at, most, found),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> Value {
        let ours = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers":
            {"k:{\"name\":\"app\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}});
        let patch = json!({"f:spec": {"f:template": {"f:spec": {"f:containers":
            {"k:{\"name\":\"side\"}": {".": {}, "f:name": {}, "f:image": {}}}}}},
            "f:metadata": {"f:finalizers": {"v:\"x/y\"": {}}, "f:annotations": {"f:a/b": {}}}});
        let scale = json!({"f:spec": {"f:replicas": {}}});
        let entry = |manager: &str, operation: &str, subresource: &str, fields: &Value| {
            json!({"manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "apps/v1",
                "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        json!({
            "metadata": {"finalizers": ["x/y"], "annotations": {"a/b": "1"}, "managedFields": [
                entry("sealift", "Apply", "", &ours),
                entry("kubectl-patch", "Update", "", &patch),
                entry("kube-controller-manager", "Update", "scale", &scale),
            ]},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "side", "image": "s"}, {"name": "app", "image": "a"}]}}},
        })
    }

    #[test]
    fn tells_who_else_owns_a_field() {
        let live = deployment();
        let entries = entries(&live);
        for (pointer, wanted) in [
            ("/spec/replicas", vec!["kube-controller-manager"]),
            ("/spec/template/spec/containers/0/image", vec!["kubectl-patch"]),
            ("/spec/template/spec/containers/1/image", vec![]),
            ("/spec/template/spec/containers/7", vec![]),
            ("/metadata/finalizers/0", vec!["kubectl-patch"]),
            ("/metadata/annotations/a~1b", vec!["kubectl-patch"]),
            ("/spec", vec!["kubectl-patch", "kube-controller-manager"]),
        ] {
            let found: Vec<_> =
                owners(&entries, &live, pointer).map(|entry| entry.manager.as_deref().unwrap()).collect();
            assert_eq!(found, wanted, "{pointer}");
        }
    }

    #[test]
    fn names_what_the_release_does_not_say() {
        let live = deployment();
        let entries = entries(&live);
        let set = |at: usize| &entries[at].fields_v1.as_ref().unwrap().0;
        let released = json!({"metadata": {"annotations": {"x": "y"}},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "app", "image": "a"}]}}}});
        let mut found = beside(set(1), &released, &live, 10);
        found.sort();
        let wanted = ["/metadata/annotations/a~1b", "/metadata/finalizers", "/spec/template/spec/containers/0"];
        assert_eq!(found, wanted);
        assert_eq!(beside(set(1), &released, &live, 1).len(), 1);
        assert!(beside(set(0), &released, &live, 10).is_empty() && beside(set(2), &released, &live, 10).is_empty());
    }
}
