//! What makes objects of a kind healthy, in a Delivery's own words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Expressions in CEL that judge objects in place of the rules for their kind: the names are those of Flux's
/// `healthCheckExprs`. They may speak of `apiVersion`, `kind`, `metadata`, `spec`, `status` and `data` of the object.
///
/// What holds first counts, in the order `inProgress`, `failed`, `current`. If none does, or one cannot be evaluated,
/// the object is in progress. What is being deleted, or whose `status.observedGeneration` is behind, is in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The API version of the objects.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Their kind. Without one, every kind of the API version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub kind: Option<String>,
    /// The name of a single object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// The namespace of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// True of an object that is as its specification asks.
    #[schemars(length(min = 1, max = 2048))]
    pub current: String,
    /// True of an object that has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub failed: Option<String>,
    /// True of an object that is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub in_progress: Option<String>,
}
