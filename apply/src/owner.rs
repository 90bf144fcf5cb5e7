//! Who a live object belongs to, and what its metadata tells about what happened to it since.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use sealift_verify::digest::Digest;
use serde_json::Value;

use crate::{
    FIELD_MANAGER,
    api::{DeliveryReference, Mark, OWNER_LABEL, OWNER_NAME_ANNOTATION, PRUNE_ANNOTATION},
    drift::Asked,
};

/// Who a live object belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveOwner {
    /// Nobody who says so: it is adopted.
    Nobody,
    /// The Delivery with this uid, named so for people.
    Delivery {
        /// The uid in the label: what decides.
        uid: String,
        /// `namespace/name` in the annotation: what people read.
        name: String,
    },
    /// Another delivery tool.
    Elsewhere(String),
}

/// What is kept of a live object's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What is compared with the inventory.
    pub mark: Mark,
    /// The version in etcd.
    pub resource_version: String,
    /// Whether its deletion was accepted.
    pub deleting: bool,
    /// Who it belongs to.
    pub owner: LiveOwner,
    /// Whether it says that it must not be pruned.
    pub keep: bool,
    /// Whether it goes with an owner of its own, by the cluster's garbage collection.
    pub owned: bool,
    /// Who else wrote to it outside status.
    pub writers: Vec<Writer>,
    /// Until when hands ask it to be left alone. Rare, and there is a `Meta` for each followed object.
    pub break_glass: Option<Box<Asked>>,
}

/// Somebody else's entry in the managed fields, reduced to what tells whether it moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Writer {
    /// The field manager.
    pub manager: String,
    /// Such as `scale`; empty for the object itself.
    pub subresource: String,
    /// When it last wrote.
    pub time: Option<jiff::Timestamp>,
    /// Short digest of the set of fields it owns.
    pub fields: String,
}

impl Meta {
    /// What the metadata of a live object says.
    pub fn of(metadata: &ObjectMeta) -> Self {
        let empty = BTreeMap::new();
        let annotations = metadata.annotations.as_ref().unwrap_or(&empty);
        Self {
            mark: mark(metadata),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            owner: owner(metadata.labels.as_ref().unwrap_or(&empty), annotations),
            keep: annotations.get(PRUNE_ANNOTATION).is_some_and(|value| value.eq_ignore_ascii_case("disabled")),
            owned: metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()),
            writers: writers(metadata),
            break_glass: Asked::of(annotations).map(Box::new),
        }
    }

    /// The uid of the Delivery whose label it carries.
    pub fn delivery(&self) -> Option<&str> {
        match &self.owner {
            LiveOwner::Delivery { uid, .. } => Some(uid),
            LiveOwner::Nobody | LiveOwner::Elsewhere(_) => None,
        }
    }

    /// Equal for observations between which nobody wrote outside status. Not stable over versions of this program.
    pub fn fingerprint(&self) -> u64 {
        let Self { mark, resource_version: _, deleting, owner: _, keep: _, owned: _, writers, break_glass } = self;
        let mut hasher = DefaultHasher::new();
        (mark, deleting, self.delivery(), writers, break_glass).hash(&mut hasher);
        hasher.finish()
    }

    /// True if the object carries this Delivery's label and fields we applied: only such an object is ever deleted.
    pub fn is_ours(&self, owner: &DeliveryReference) -> bool {
        self.mark.fields.is_some() && matches!(&self.owner, LiveOwner::Delivery { uid, .. } if *uid == owner.uid)
    }
}

/// Marks of other tools, most telling first: Flux, Helm, Argo CD. The label `app.kubernetes.io/managed-by` alone says
/// nothing, since `helm template` writes it into plain manifests.
fn owner(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> LiveOwner {
    if let Some(uid) = labels.get(OWNER_LABEL) {
        let name = annotations.get(OWNER_NAME_ANNOTATION).cloned().unwrap_or_else(|| uid.clone());
        return LiveOwner::Delivery { uid: uid.clone(), name };
    }
    let pair = |map: &BTreeMap<String, String>, kind: &str, prefix: &str| {
        let name = map.get(&format!("{prefix}/name"))?;
        let namespace = map.get(&format!("{prefix}/namespace")).map_or("", String::as_str);
        Some(LiveOwner::Elsewhere(format!("{kind} {namespace}/{name}")))
    };
    let helm = || {
        let name = annotations.get("meta.helm.sh/release-name")?;
        let namespace = annotations.get("meta.helm.sh/release-namespace").map_or("", String::as_str);
        Some(LiveOwner::Elsewhere(format!("Helm release {namespace}/{name}")))
    };
    let argo = || {
        let id = annotations.get("argocd.argoproj.io/tracking-id")?;
        Some(LiveOwner::Elsewhere(format!("Argo CD application {}", id.split(':').next().unwrap_or(id))))
    };
    pair(labels, "Flux Kustomization", "kustomize.toolkit.fluxcd.io")
        .or_else(|| pair(labels, "Flux HelmRelease", "helm.toolkit.fluxcd.io"))
        .or_else(helm)
        .or_else(argo)
        .unwrap_or(LiveOwner::Nobody)
}

/// The object as it is sent: with the owner's label and annotation, without what only a server writes.
pub fn stamped(value: &Value, owner: Option<&DeliveryReference>) -> Value {
    let mut value = value.clone();
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else { return value };
    // Server-side apply answers 400 to managedFields and takes a resourceVersion or uid for a precondition.
    for field in ["managedFields", "creationTimestamp", "resourceVersion", "uid", "generation", "selfLink"] {
        metadata.remove(field);
    }
    let Some(owner) = owner else { return value };
    let mut set = |map: &str, key: &str, text: String| {
        let slot = metadata.entry(map).or_insert_with(|| Value::Object(serde_json::Map::new()));
        if slot.is_null() {
            *slot = Value::Object(serde_json::Map::new());
        }
        // A map of the wrong type stays, and is the API server's to refuse.
        if let Some(entries) = slot.as_object_mut() {
            entries.insert(key.to_owned(), Value::String(text));
        }
    };
    set("labels", OWNER_LABEL, owner.uid.clone());
    set("annotations", OWNER_NAME_ANNOTATION, format!("{}/{}", owner.namespace, owner.name));
    value
}

/// The mark of an object as a server answered it.
pub fn mark_of(value: &Value) -> Option<Mark> {
    let metadata: ObjectMeta = serde_json::from_value(value.get("metadata")?.clone()).ok()?;
    Some(mark(&metadata))
}

/// Who else wrote to an object as a server answered it, outside status.
pub(crate) fn writers_of(value: &Value) -> Vec<Writer> {
    let metadata: Option<ObjectMeta> = value.get("metadata").and_then(|m| serde_json::from_value(m.clone()).ok());
    metadata.as_ref().map(writers).unwrap_or_default()
}

fn mark(metadata: &ObjectMeta) -> Mark {
    let entries = metadata.managed_fields.as_deref().unwrap_or_default();
    let ours = entries.iter().find(|entry| is_ours(entry));
    let others = || {
        let mut hash = String::new();
        for entry in entries.iter().filter(|entry| !is_ours(entry) && entry.subresource.as_deref() != Some("status")) {
            hash += &format!("{:?}{:?}{}", entry.manager, entry.time.as_ref().map(|time| time.0), set(entry));
        }
        (!hash.is_empty()).then(|| short(hash.as_bytes()))
    };
    Mark {
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation,
        fields: ours.map(set),
        time: ours.and_then(|entry| entry.time.as_ref()).map(|time| time.0.to_string()),
        others: if metadata.generation.is_none() { others() } else { None },
    }
}

/// Entries of others outside status.
fn writers(metadata: &ObjectMeta) -> Vec<Writer> {
    let entries = metadata.managed_fields.as_deref().unwrap_or_default();
    let others = entries.iter().filter(|entry| !is_ours(entry) && entry.subresource.as_deref() != Some("status"));
    let writer = |entry: &ManagedFieldsEntry| Writer {
        manager: entry.manager.clone().unwrap_or_default(),
        subresource: entry.subresource.clone().unwrap_or_default(),
        time: entry.time.as_ref().map(|time| time.0),
        fields: set(entry),
    };
    others.map(writer).collect()
}

pub(crate) fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn set(entry: &ManagedFieldsEntry) -> String {
    short(entry.fields_v1.as_ref().map(|fields| fields.0.to_string()).unwrap_or_default().as_bytes())
}

/// Enough of a digest to notice a change; nothing is decided on it that an attacker could gain by.
fn short(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meta(value: Value) -> Meta {
        Meta::of(&serde_json::from_value(value).unwrap())
    }

    fn delivery() -> DeliveryReference {
        DeliveryReference { namespace: "apps".into(), name: "shop".into(), uid: "u1".into() }
    }

    #[test]
    fn knows_who_an_object_belongs_to() {
        for (metadata, owner) in [
            (json!({}), LiveOwner::Nobody),
            (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), LiveOwner::Nobody),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "a", "kustomize.toolkit.fluxcd.io/namespace": "b"}}),
                LiveOwner::Elsewhere("Flux Kustomization b/a".into()),
            ),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "a", "meta.helm.sh/release-namespace": "b"}}),
                LiveOwner::Elsewhere("Helm release b/a".into()),
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "guestbook:apps/Deployment:ns/x"}}),
                LiveOwner::Elsewhere("Argo CD application guestbook".into()),
            ),
            (
                json!({"labels": {OWNER_LABEL: "u2"}, "annotations": {OWNER_NAME_ANNOTATION: "x/y"}}),
                LiveOwner::Delivery { uid: "u2".into(), name: "x/y".into() },
            ),
        ] {
            assert_eq!(meta(metadata.clone()).owner, owner, "{metadata}");
        }
    }

    #[test]
    fn takes_only_a_label_and_an_apply_entry_together_for_ours() {
        let entry = |manager: &str, operation: &str| json!([{"manager": manager, "operation": operation, "fieldsV1": {"f:data": {}}}]);
        let labels = json!({OWNER_LABEL: "u1"});
        for (metadata, ours) in [
            (json!({"labels": labels, "managedFields": entry("sealift", "Apply")}), true),
            (json!({"labels": labels, "managedFields": entry("sealift", "Update")}), false),
            (json!({"labels": labels, "managedFields": entry("kubectl", "Apply")}), false),
            (json!({"labels": labels}), false),
            (json!({"labels": {OWNER_LABEL: "u2"}, "managedFields": entry("sealift", "Apply")}), false),
            (json!({"managedFields": entry("sealift", "Apply")}), false),
        ] {
            assert_eq!(meta(metadata.clone()).is_ours(&delivery()), ours, "{metadata}");
        }
    }

    #[test]
    fn notices_what_others_write_outside_status_only_where_no_generation_tells() {
        let with = |generation: Option<i64>, subresource: &str| {
            let entry =
                json!([{"manager": "x", "operation": "Update", "subresource": subresource, "fieldsV1": {"f:a": {}}}]);
            meta(json!({"generation": generation, "managedFields": entry})).mark.others.is_some()
        };
        assert_eq!((with(None, ""), with(None, "status"), with(Some(1), "")), (true, false, false));
    }

    #[test]
    fn sends_the_owner_and_nothing_a_server_writes() {
        let value = json!({"kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": null, "resourceVersion": "7",
            "managedFields": [], "labels": null, "annotations": {"x": "y"}}});
        assert_eq!(
            stamped(&value, Some(&delivery())),
            json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": {OWNER_LABEL: "u1"},
                "annotations": {"x": "y", OWNER_NAME_ANNOTATION: "apps/shop"}}})
        );
    }
}
