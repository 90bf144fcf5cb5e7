//! Fields of a release that are left as they are in the cluster. *pure*
//!
//! A field that only we own is applied with its live value: left out it would be removed, and `spec.replicas` for one would
//! become 1. A field that somebody else owns too is left out, and we let go of it.

use std::collections::BTreeSet;

use sealift_verify::objects::{ObjectId, Objects};
use serde_json::Value;

use super::fields;
use crate::{api::IgnoreRule, inventory::Key, owner::Writer, takeover::matches};

const REPLICAS: &str = "/spec/replicas";

/// The pointers that `rules` name for an object.
pub(crate) fn ignored(rules: &[IgnoreRule], id: &ObjectId) -> Vec<String> {
    let fits =
        |glob: &Option<String>, text: &str| glob.as_ref().is_none_or(|glob| matches(glob.as_bytes(), text.as_bytes()));
    let meant = rules.iter().filter(|rule| {
        fits(&rule.api_version, &id.api_version()) && fits(&rule.kind, &id.kind) && fits(&rule.name, &id.name)
    });
    meant.flat_map(|rule| rule.paths.iter().cloned()).collect()
}

/// The objects of a release that an autoscaler of the same release scales.
pub fn autoscaled(objects: &Objects) -> BTreeSet<Key> {
    let scalers = objects.iter().filter(|object| {
        let ObjectId { group, kind, .. } = &object.id;
        matches!(
            (group.as_str(), kind.as_str()),
            ("autoscaling", "HorizontalPodAutoscaler") | ("keda.sh", "ScaledObject")
        )
    });
    let target = |namespace: &Option<String>, spec: &Value| {
        let target = &spec["scaleTargetRef"];
        // KEDA's default is a Deployment.
        let kind = target["kind"].as_str().unwrap_or("Deployment");
        let version = target["apiVersion"].as_str().unwrap_or("apps/v1");
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let name = target["name"].as_str()?;
        Some(Key { group: group.into(), kind: kind.into(), namespace: namespace.clone(), name: name.into() })
    };
    scalers.filter_map(|object| target(&object.id.namespace, &object.value["spec"])).collect()
}

/// True if the live object is scaled by somebody whose fields are not taken over.
pub(crate) fn is_scaled(writers: &[Writer], takes: &dyn Fn(&str) -> bool) -> bool {
    writers.iter().any(|writer| writer.subresource == "scale" && !takes(&writer.manager))
}

/// Adds the replicas of an object that an autoscaler owns.
pub(crate) fn with_replicas(mut pointers: Vec<String>, scaled: bool, value: &Value) -> Vec<String> {
    if scaled && value.pointer(REPLICAS).is_some() && !pointers.iter().any(|pointer| pointer == REPLICAS) {
        pointers.push(REPLICAS.to_owned());
    }
    pointers
}

/// What is sent for `value` so that these fields stay as they are in `live`.
pub(crate) fn left(value: &Value, live: &Value, pointers: &[String], takes: &dyn Fn(&str) -> bool) -> Value {
    let entries = fields::entries(live);
    let mut sent = value.clone();
    // From behind, so that what goes out of a list moves nothing that is still to come.
    let mut pointers: Vec<_> = pointers.iter().collect();
    pointers.sort();
    for pointer in pointers.into_iter().rev() {
        let Some(place) = place(value, live, pointer) else { continue };
        let mut others = fields::owners(&entries, live, &place);
        let shared = others.any(|entry| !takes(entry.manager.as_deref().unwrap_or_default()));
        match live.pointer(&place) {
            Some(found) if !shared => {
                if let Some(field) = sent.pointer_mut(pointer) {
                    *field = found.clone();
                }
            }
            _ => remove(&mut sent, pointer),
        }
    }
    sent
}

/// Where the field at `pointer` of `value` lies in `live`: items of lists are found again by their name. `None` if the
/// release does not say it.
pub(super) fn place(value: &Value, live: &Value, pointer: &str) -> Option<String> {
    let (mut value, mut live, mut place) = (Some(value), Some(live), String::new());
    for segment in fields::segments(pointer) {
        let step = match value? {
            Value::Array(items) => {
                let item = items.get(segment.parse::<usize>().ok()?)?;
                value = Some(item);
                let others = live.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let same = |other: &&Value| item.get("name").is_some() && other.get("name") == item.get("name");
                let at = others
                    .iter()
                    .position(|other| same(&other))
                    .or_else(|| item.get("name").is_none().then(|| segment.parse().ok()).flatten());
                live = at.and_then(|at| others.get(at));
                at.map_or(segment, |at| at.to_string())
            }
            other => {
                value = other.get(&segment);
                live = live.and_then(|live| live.get(&segment));
                segment
            }
        };
        value?;
        place.push('/');
        place += &step.replace('~', "~0").replace('/', "~1");
    }
    Some(place)
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let last = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&last)),
        Some(Value::Array(items)) => {
            if let Some(at) = last.parse::<usize>().ok().filter(|at| *at < items.len()) {
                items.remove(at);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kubectl(manager: &str) -> bool {
        manager.starts_with("kubectl")
    }

    fn live(others: &[(&str, Value)]) -> Value {
        let entry = |(manager, fields): &(&str, Value)| json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
        json!({"metadata": {"managedFields": others.iter().map(entry).collect::<Vec<_>>()},
            "spec": {"replicas": 5, "containers": [{"name": "side", "image": "s:1"}, {"name": "app", "image": "a:9"}]}})
    }

    fn release() -> Value {
        json!({"spec": {"replicas": 2, "paused": true, "containers": [{"name": "app", "image": "a:1"}]}})
    }

    #[test]
    fn a_field_only_we_own_is_sent_with_its_live_value_and_one_that_others_own_is_not_sent() {
        let image = json!({"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {"f:image": {}}}}});
        for (what, live, pointer, wanted) in [
            ("ours alone", live(&[]), "/spec/replicas", json!(5)),
            ("the scaler's", live(&[("hpa", json!({"f:spec": {"f:replicas": {}}}))]), "/spec/replicas", Value::Null),
            ("taken over", live(&[("kubectl", json!({"f:spec": {"f:replicas": {}}}))]), "/spec/replicas", json!(5)),
            ("by name", live(&[]), "/spec/containers/0/image", json!("a:9")),
            ("another's, by name", live(&[("updater", image)]), "/spec/containers/0/image", Value::Null),
            ("gone", live(&[]), "/spec/paused", Value::Null),
            ("not in the release", live(&[]), "/spec/other", Value::Null),
        ] {
            let sent = left(&release(), &live, &[pointer.to_owned()], &kubectl);
            assert_eq!(sent.pointer(pointer).cloned().unwrap_or_default(), wanted, "{what}");
        }
        assert_eq!(left(&release(), &live(&[]), &[], &kubectl), release());
    }

    #[test]
    fn a_rule_is_about_the_objects_that_all_its_globs_match() {
        let rule = |api: &str, kind: &str, name: &str| IgnoreRule {
            api_version: Some(api.to_owned()).filter(|text| !text.is_empty()),
            kind: Some(kind.to_owned()).filter(|text| !text.is_empty()),
            name: Some(name.to_owned()).filter(|text| !text.is_empty()),
            paths: vec!["/spec/replicas".into()],
        };
        let id = ObjectId {
            group: "apps".into(),
            version: "v1".into(),
            kind: "Deployment".into(),
            namespace: Some("a".into()),
            name: "shop-web".into(),
        };
        for (rule, meant) in [
            (rule("", "", ""), true),
            (rule("apps/*", "Deployment", "shop-*"), true),
            (rule("apps/v1", "Stateful*", ""), false),
            (rule("batch/*", "", ""), false),
            (rule("", "", "shop"), false),
        ] {
            assert_eq!(!ignored(std::slice::from_ref(&rule), &id).is_empty(), meant, "{rule:?}");
        }
    }

    #[test]
    fn replicas_are_left_to_whoever_scales() {
        let writer = |manager: &str, subresource: &str| Writer {
            manager: manager.into(),
            subresource: subresource.into(),
            time: None,
            fields: String::new(),
        };
        assert!(is_scaled(&[writer("kube-controller-manager", "scale")], &kubectl));
        assert!(!is_scaled(&[writer("kubectl", "scale")], &kubectl), "that is a person");
        assert!(!is_scaled(&[writer("kube-controller-manager", "")], &kubectl));
        assert_eq!(with_replicas(vec![], true, &release()), [REPLICAS]);
        assert!(with_replicas(vec![], true, &json!({})).is_empty());
    }
}
