//! Making the fields of other managers our own, so that those which the release does not hold go with the next apply.
//!
//! Server-side apply removes a field only if nobody else owns it: what was applied by `kubectl apply` before would stay for
//! ever. As kubectl's own upgrade does, their entries in `metadata.managedFields` are merged into ours, by a JSON patch that
//! holds the version it was computed from.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value, json};

use crate::{
    FIELD_MANAGER,
    owner::{Writer, is_ours},
};

/// Names of field managers; `*` stands for any characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers(Vec<String>);

impl Managers {
    /// These.
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// True if one of them is meant by `name`. Nobody takes over from himself, whatever a pattern says.
    pub(crate) fn has(&self, name: &str) -> bool {
        name != FIELD_MANAGER && self.0.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    }

    /// True if the fields of this writer are taken over. What is written through a subresource (status, scale) never is.
    pub fn takes(&self, writer: &Writer) -> bool {
        writer.subresource.is_empty() && self.has(&writer.manager)
    }

    /// The same of an entry in full.
    pub(crate) fn take_entry(&self, entry: &ManagedFieldsEntry) -> bool {
        let is_main = entry.subresource.as_deref().unwrap_or_default().is_empty();
        is_main && entry.manager.as_deref().is_some_and(|name| self.has(name))
    }
}

pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => matches(rest, text) || !text.is_empty() && matches(pattern, &text[1..]),
        (Some((one, rest)), Some((other, more))) => one == other && matches(rest, more),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// The entries once those of `managers` are ours; `None` if there are none of theirs.
///
/// Ours keeps its API version, or has that of the first taken: a server that cannot convert a set of fields drops it.
pub fn taken(entries: &[ManagedFieldsEntry], managers: &Managers) -> Option<Vec<ManagedFieldsEntry>> {
    let theirs: Vec<_> = entries.iter().filter(|entry| managers.take_entry(entry)).collect();
    let first = *theirs.first()?;
    let ours = entries.iter().find(|entry| is_ours(entry));
    let mut whole = ours.unwrap_or(first).clone();
    whole.manager = Some(FIELD_MANAGER.to_owned());
    whole.operation = Some("Apply".to_owned());
    let mut fields = Map::new();
    for entry in ours.into_iter().chain(theirs.iter().copied()) {
        if let Some(Value::Object(set)) = entry.fields_v1.as_ref().map(|fields| &fields.0) {
            unite(&mut fields, set);
        }
    }
    if let Some(set) = &mut whole.fields_v1 {
        set.0 = Value::Object(fields);
    }
    let rest = entries.iter().filter(|entry| !is_ours(entry) && !managers.take_entry(entry)).cloned();
    Some(std::iter::once(whole).chain(rest).collect())
}

/// A set of fields is a tree of maps: its union is that of the trees.
fn unite(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => unite(into, from),
            (Some(_), _) => {}
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The JSON patch that writes `entries` over the very version they were computed from.
pub fn patch(entries: &[ManagedFieldsEntry], resource_version: &str) -> Value {
    json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(value: Value) -> Vec<ManagedFieldsEntry> {
        serde_json::from_value(value).unwrap()
    }

    fn entry(manager: &str, operation: &str, subresource: &str, fields: Value) -> Value {
        let mut entry = json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
        if !subresource.is_empty() {
            entry["subresource"] = subresource.into();
        }
        entry
    }

    fn kubectl() -> Managers {
        Managers::new(vec!["kubectl*".into(), "before-first-apply".into()])
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, wanted) in [
            ("kubectl*", "kubectl-client-side-apply", true),
            ("kubectl*", "kubectl", true),
            ("kubectl*", "my-kubectl", false),
            ("*-controller", "kustomize-controller", true),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "aXbY", false),
            ("helm", "helm3", false),
        ] {
            assert_eq!(Managers::new(vec![pattern.into()]).has(text), wanted, "{pattern} {text}");
        }
        assert!(!Managers::new(vec!["*".into()]).has(FIELD_MANAGER));
    }

    #[test]
    fn their_fields_become_ours_and_the_rest_stays() {
        let live = entries(json!([
            entry("kubectl-client-side-apply", "Update", "", json!({"f:data": {"f:a": {}, "f:old": {}}})),
            entry("sealift", "Apply", "", json!({"f:data": {".": {}, "f:a": {}}})),
            entry("kubectl-edit", "Update", "", json!({"f:metadata": {"f:labels": {"f:x": {}}}})),
            entry("kubectl", "Update", "scale", json!({"f:spec": {"f:replicas": {}}})),
            entry("kube-controller-manager", "Update", "status", json!({"f:status": {}})),
        ]));
        let taken = taken(&live, &kubectl()).unwrap();
        assert_eq!(
            taken.iter().map(|entry| entry.manager.as_deref().unwrap()).collect::<Vec<_>>(),
            ["sealift", "kubectl", "kube-controller-manager"]
        );
        assert_eq!(
            taken[0].fields_v1.as_ref().unwrap().0,
            json!({"f:data": {".": {}, "f:a": {}, "f:old": {}}, "f:metadata": {"f:labels": {"f:x": {}}}})
        );
        assert_eq!(super::taken(&taken, &kubectl()), None, "once is enough");
    }

    #[test]
    fn without_an_entry_of_ours_theirs_becomes_one() {
        let live = entries(json!([entry("before-first-apply", "Update", "", json!({"f:data": {"f:a": {}}}))]));
        let taken = taken(&live, &kubectl()).unwrap();
        assert_eq!((taken[0].manager.as_deref(), taken[0].operation.as_deref()), (Some("sealift"), Some("Apply")));
        assert_eq!(taken.len(), 1);
    }
}
