//! Field by field: how an object would differ, as data. Values of Secrets never get into it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use self::{keys::by_key, place::Place};

mod keys;
mod place;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// JSON pointer (RFC 6901) of the field; in a list matched by key, the index it has afterwards, or had before.
    pub pointer: String,
    /// The same for people, with the keys of list items: `spec.template.spec.containers[web].image`; empty for the whole.
    pub path: String,
    /// The value before; `None` if the field is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value afterwards; `None` if the field goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What stands in the place of a secret value.
pub const MASK: &str = "***";

/// What kubectl keeps the whole object in, secret values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What only a server writes, and says nothing about content.
const SERVER_FIELDS: [&str; 7] =
    ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "deletionTimestamp"];

/// How `after` differs from `before`, without what servers write (status among it) and with Secret values masked.
///
/// `before` is `Null` for an object that is not there yet.
pub fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = vec![];
    let (old, new) = (without_server_fields(before), without_server_fields(after));
    compare(&Place::default(), &old, &new, &mut changes);
    if is_secret(before) || is_secret(after) {
        changes.iter_mut().for_each(mask);
    }
    changes
}

fn is_secret(value: &Value) -> bool {
    value["kind"] == "Secret" && value["apiVersion"] == "v1"
}

fn without_server_fields(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| !SERVER_FIELDS.contains(&field.as_str()));
    }
    value
}

/// Masked after comparing, so that a changed value is still seen to change.
fn mask(change: &mut FieldChange) {
    let FieldChange { pointer, path: _, before, after } = change;
    let whole = pointer.is_empty();
    let part = |field: &str| *pointer == format!("/{field}") || pointer.starts_with(&format!("/{field}/"));
    let secret = part("data") || part("stringData") || pointer.ends_with(&place::escaped(LAST_APPLIED));
    for value in [before, after].into_iter().flatten() {
        if whole {
            for field in ["data", "stringData"] {
                value.get_mut(field).into_iter().for_each(mask_leaves);
            }
        }
        if secret {
            mask_leaves(value);
        } else if let Some(last) = find_last_applied(value) {
            mask_leaves(last);
        }
    }
}

/// The annotation, wherever a change cuts the object: at its root, at metadata or at the annotations.
fn find_last_applied(value: &mut Value) -> Option<&mut Value> {
    let path: &[&str] = if value.get("metadata").is_some() {
        &["metadata", "annotations", LAST_APPLIED]
    } else if value.get("annotations").is_some() {
        &["annotations", LAST_APPLIED]
    } else {
        &[LAST_APPLIED]
    };
    path.iter().try_fold(value, |value, field| value.get_mut(field))
}

fn mask_leaves(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(mask_leaves),
        Value::Array(items) => items.iter_mut().for_each(mask_leaves),
        Value::Null => {}
        leaf => *leaf = Value::String(MASK.to_owned()),
    }
}

fn compare(at: &Place, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => compare_maps(at, before, after, changes),
        (Value::Array(before), Value::Array(after)) => compare_lists(at, before, after, changes),
        _ => changes.push(at.change(some(before), some(after))),
    }
}

fn some(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}

fn compare_maps(at: &Place, before: &Map<String, Value>, after: &Map<String, Value>, changes: &mut Vec<FieldChange>) {
    let fields: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for field in fields {
        let of = |map: &Map<String, Value>| map.get(field).cloned().unwrap_or(Value::Null);
        compare(&at.field(field), &of(before), &of(after), changes);
    }
}

/// Items that have keys are matched by them, so that one container more does not change all that follow.
fn compare_lists(at: &Place, before: &[Value], after: &[Value], changes: &mut Vec<FieldChange>) {
    let start = changes.len();
    match by_key(at.name(), before, after) {
        Some((old, new)) => {
            for (key, (index, value)) in &new {
                let old = old.get(key).map_or(&Value::Null, |(_, value)| *value);
                compare(&at.keyed(*index, key), old, value, changes);
            }
            for (key, (index, value)) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                compare(&at.keyed(*index, key), value, &Value::Null, changes);
            }
        }
        None => {
            for index in 0..before.len().max(after.len()) {
                let of = |list: &[Value]| list.get(index).cloned().unwrap_or(Value::Null);
                compare(&at.item(index), &of(before), &of(after), changes);
            }
        }
    }
    // Only the order differs.
    if changes.len() == start {
        let (before, after) = (Value::Array(before.to_vec()), Value::Array(after.to_vec()));
        changes.push(at.change(Some(before), Some(after)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: Value, after: Value) -> Vec<String> {
        let text = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
        changes(&before, &after)
            .into_iter()
            .map(|c| format!("{} {} {}", c.pointer, text(c.before), text(c.after)))
            .collect()
    }

    #[test]
    fn names_each_field_that_differs() {
        assert_eq!(
            lines(
                json!({"spec": {"replicas": 1, "gone": true, "same": [1]}}),
                json!({"spec": {"replicas": 2, "a/b~c": {"x": 1}, "same": [1]}})
            ),
            ["/spec/a~1b~0c - {\"x\":1}", "/spec/gone true -", "/spec/replicas 1 2"]
        );
    }

    #[test]
    fn hides_what_servers_write() {
        let before =
            json!({"metadata": {"resourceVersion": "1", "generation": 1, "managedFields": []}, "status": {"a": 1}});
        let after =
            json!({"metadata": {"resourceVersion": "2", "generation": 2, "managedFields": [1]}, "status": {"a": 2}});
        assert!(changes(&before, &after).is_empty());
    }

    #[test]
    fn matches_named_items_by_name() {
        let before = json!({"containers": [{"name": "app", "image": "a:1"}, {"name": "old"}]});
        let after = json!({"containers": [{"name": "sidecar"}, {"name": "app", "image": "a:2"}]});
        assert_eq!(
            lines(before, after),
            [
                "/containers/1/image \"a:1\" \"a:2\"",
                "/containers/0 - {\"name\":\"sidecar\"}",
                "/containers/1 {\"name\":\"old\"} -"
            ]
        );
    }

    #[test]
    fn matches_items_by_the_keys_that_their_lists_have() {
        let paths = |before: Value, after: Value| -> Vec<String> {
            changes(&before, &after).into_iter().map(|change| change.path).collect()
        };
        assert_eq!(
            paths(
                json!({"ports": [{"containerPort": 80}, {"containerPort": 90, "protocol": "UDP"}]}),
                json!({"ports": [{"containerPort": 90, "protocol": "UDP", "hostPort": 1}, {"containerPort": 80, "protocol": "TCP"}]})
            ),
            ["ports[80/TCP].protocol", "ports[90/UDP].hostPort"]
        );
        assert_eq!(
            paths(
                json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]}),
                json!({"volumeMounts": [{"name": "v", "mountPath": "/b", "readOnly": true}]})
            ),
            ["volumeMounts[/b].readOnly", "volumeMounts[/a]"]
        );
        assert_eq!(
            paths(
                json!({"subjects": [{"kind": "User", "name": "a"}]}),
                json!({"subjects": [{"kind": "Group", "name": "a"}, {"kind": "User", "name": "a"}]})
            ),
            ["subjects[Group//a]"]
        );
        assert_eq!(
            paths(
                json!({"metadata": {"labels": {"a.b/c": "x"}}, "args": ["a"]}),
                json!({"metadata": {"labels": {}}, "args": ["b"]})
            ),
            ["args[0]", "metadata.labels[\"a.b/c\"]"]
        );
    }

    #[test]
    fn reports_a_list_whose_order_alone_differs() {
        let (one, two) = (json!({"name": "a"}), json!({"name": "b"}));
        assert_eq!(lines(json!({"l": [one, two]}), json!({"l": [two, one]})).len(), 1);
    }

    #[test]
    fn never_shows_a_secret_value() {
        let secret = |value: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": value}, "stringData": {"token": value},
                "metadata": {"annotations": {LAST_APPLIED: format!("{{\"data\":\"{value}\"}}"), "plain": "x"}}})
        };
        for (before, after) in [
            (secret("hunter1"), secret("hunter2")),
            (Value::Null, secret("hunter2")),
            (secret("hunter1"), Value::Null),
            (json!({"apiVersion": "v1", "kind": "Secret"}), secret("hunter2")),
            (json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}}), secret("hunter2")),
        ] {
            let found = changes(&before, &after);
            assert!(!found.is_empty());
            assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
        }
        assert_eq!(
            lines(
                json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "x"}}),
                json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "y"}})
            ),
            ["/data/a \"***\" \"***\""]
        );
    }
}
