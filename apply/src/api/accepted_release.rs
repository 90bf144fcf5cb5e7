//! `AcceptedRelease`: what a Delivery has already accepted. It outlives the Delivery; only the controller writes it.

use kube::CustomResource;
use schemars::{JsonSchema, transform::Transform};
use sealift_verify::{
    digest::Digest,
    hold::Holding,
    memory::{Mark, Memory},
};
use serde::{Deserialize, Serialize};

use super::schema::Pruning;

/// The memory of trust of one Delivery.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "AcceptedRelease",
    derive = "PartialEq",
    category = "sealift",
    doc = "The memory of trust of one Delivery: the highest release it accepted on each stream and environment.",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.delivery.namespace"),
    printcolumn(name = "Delivery", type_ = "string", json_path = ".spec.delivery.name"),
    printcolumn(name = "Stream", type_ = "string", json_path = ".spec.marks[0].stream"),
    printcolumn(name = "Sequence", type_ = "integer", json_path = ".spec.marks[0].position.sequence"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedReleaseSpec {
    /// Whose memory it is.
    pub delivery: DeliveryName,
    /// What was accepted, one mark a stream and environment.
    #[serde(default)]
    #[schemars(transform = prune)]
    pub marks: Vec<Mark>,
    /// What was accepted before the marks, newest first: what an emergency hold may go back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), transform = prune)]
    pub earlier: Vec<Mark>,
    /// The emergency hold that was last taken note of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = prune)]
    pub holding: Option<Holding>,
    /// The record of the decision by which a mark was last raised, as `sealift audit` shows it: base64 over zstd over the
    /// evidence. Absent where it was too long to keep; the controller's audit log has it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49152))]
    pub evidence: Option<String>,
}

/// A Delivery by name, whatever its uid: memory outlives the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl AcceptedReleaseSpec {
    /// What was accepted.
    pub fn memory(&self) -> Memory {
        Memory { marks: self.marks.clone(), earlier: self.earlier.clone(), holding: self.holding.clone() }
    }
}

fn prune(schema: &mut schemars::Schema) {
    Pruning.transform(schema);
}

/// The name of the AcceptedRelease of a Delivery: a hash, since `namespace/name` may be longer than a name.
pub fn accepted_release_name(namespace: &str, name: &str) -> String {
    Digest::of(format!("{namespace}/{name}").as_bytes()).hex()[..40].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_where_namespace_and_name_differ() {
        assert_ne!(accepted_release_name("a-b", "c"), accepted_release_name("a", "b-c"));
    }
}
