//! `TrustRoot`: whom certificates, logs and timestamps are trusted by, the same YAML as beside a policy file.

use std::borrow::Cow;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, transform::Transform};
use sealift_verify::sigstore::TrustRootSpec as Written;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::Preserving;

/// What a trust root in the cluster says, as it was written. Kept unread like a policy, and for the same reason.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "TrustRoot",
    plural = "trustroots",
    category = "sealift",
    derive = "PartialEq",
    doc = "Names a Sigstore instance for policies: its certificate authorities, logs and timestamp authorities.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
pub struct TrustRootSpec {
    /// The specification.
    pub written: Value,
}

impl JsonSchema for TrustRootSpec {
    fn schema_name() -> Cow<'static, str> {
        Written::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Written::json_schema(generator);
        Preserving.transform(&mut schema);
        schema
    }
}
