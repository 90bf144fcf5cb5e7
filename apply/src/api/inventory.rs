//! `Inventory`: what a Delivery applied, in chunks that fit into etcd.

use kube::CustomResource;
use schemars::JsonSchema;
use sealift_verify::{digest::Digest, objects::ObjectId};
use serde::{Deserialize, Serialize};

/// One chunk of what a Delivery applied or is about to apply. Written before anything is.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "Inventory",
    plural = "inventories",
    derive = "PartialEq",
    category = "sealift",
    doc = "One chunk of what a Delivery applied or is about to apply. Only the controller writes it.",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.delivery.namespace"),
    printcolumn(name = "Delivery", type_ = "string", json_path = ".spec.delivery.name"),
    printcolumn(name = "Chunk", type_ = "integer", json_path = ".spec.chunk"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct InventorySpec {
    /// Whose inventory it is.
    pub delivery: DeliveryReference,
    /// Which chunk, from 0.
    pub chunk: u32,
    /// The objects.
    #[serde(default)]
    pub rows: Vec<Row>,
}

/// A Delivery by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// One object that was applied or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The API group; empty for core.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The API version it was applied in.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// Digest of the object as it was applied; absent until an apply was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// How the live object looked right after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// The uid of the Delivery that still owns the object this one waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_from: Option<String>,
}

/// What metadata tells about a live object: while it stays equal, nobody touched what we own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The object's uid: a new one is another object.
    pub uid: String,
    /// Its generation, for kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Short digest of the set of fields we own; absent if we own none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
    /// When our entry last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Short digest of what others wrote outside status, for kinds without a generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<String>,
}

impl Row {
    /// A row for an object that is about to be applied.
    pub fn about_to_apply(id: &ObjectId) -> Self {
        let ObjectId { group, kind, namespace, name, version } = id.clone();
        Self { group, version, kind, namespace, name, content: None, mark: None, claimed_from: None }
    }

    /// The object it names.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            group: self.group.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
        }
    }
}
