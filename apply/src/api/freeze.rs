//! `Freeze`: for a time nothing new comes to this cluster, or to some of its namespaces.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Until when nothing new is brought, why, and where. What runs is kept in repair meanwhile.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "Freeze",
    plural = "freezes",
    category = "sealift",
    derive = "PartialEq",
    doc = "Keeps every Delivery, or those of some namespaces, from bringing anything new until a time. Repair goes on.",
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.until"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct FreezeSpec {
    /// When it ends by itself.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: jiff::Timestamp,
    /// Why, on one line: it is told in the status of every Delivery that waits.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
    /// Names of namespaces, in which `*` stands for any characters; all namespaces if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 253), regex(pattern = r"^[-a-z0-9*?]+$")))]
    pub namespaces: Option<Vec<String>>,
}
