//! Schemas as Kubernetes writes them: OpenAPI with its own marks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A schema. What it does not say it does not demand.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Schema {
    #[serde(rename = "$ref")]
    pub(super) reference: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) format: Option<String>,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) properties: BTreeMap<String, Schema>,
    pub(super) additional_properties: Option<Additional>,
    pub(super) required: Vec<String>,
    pub(super) min_properties: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) items: Option<Box<Schema>>,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) unique_items: bool,
    #[serde(rename = "enum")]
    pub(super) values: Option<Vec<Value>>,
    pub(super) pattern: Option<String>,
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) exclusive_maximum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) all_of: Vec<Schema>,
    pub(super) any_of: Vec<Schema>,
    pub(super) one_of: Vec<Schema>,
    pub(super) not: Option<Box<Schema>>,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(super) int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub(super) preserve_unknown_fields: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub(super) embedded_resource: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(super) list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(super) list_map_keys: Vec<String>,
}

/// What is said of fields that have no name of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Additional {
    /// That there may be some, or none.
    Allowed(bool),
    /// What each of them is.
    Each(Box<Schema>),
}

/// What every object has, whoever defines the rest.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Schema {
    /// The metadata of any object.
    pub(super) fn object_meta() -> Self {
        Self { reference: Some(OBJECT_META.to_owned()), ..Self::default() }
    }

    /// The definition that this one only points at.
    pub(super) fn target(&self) -> Option<&str> {
        let reference = match (&self.reference, self.all_of.as_slice()) {
            (Some(reference), _) => reference,
            // A reference with a default beside it is written like this.
            (None, [Self { reference: Some(reference), .. }]) if self.kind.is_none() => reference,
            _ => return None,
        };
        Some(reference.strip_prefix("#/components/schemas/").unwrap_or(reference))
    }

    /// True where anything may stand.
    pub(super) fn is_free(&self) -> bool {
        self.kind.is_none() && self.properties.is_empty() && self.additional_properties.is_none()
    }
}

/// Schemas by name.
pub(super) type Definitions = BTreeMap<String, Schema>;
