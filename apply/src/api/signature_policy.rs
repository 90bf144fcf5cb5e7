//! `SignaturePolicy`: the same YAML as a policy file, in the cluster.

use std::borrow::Cow;

use kube::{CustomResource, ResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, transform::Transform};
use sealift_verify::policy::{Policy, PolicyError, PolicySpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::Preserving;

/// What a policy in the cluster says, as it was written.
///
/// It is kept unread so that one policy that cannot be understood is that policy's error, and not the end of every list
/// and watch; [`SignaturePolicy::policy`] reads it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "SignaturePolicy",
    plural = "signaturepolicies",
    shortname = "sigpol",
    category = "sealift",
    derive = "PartialEq",
    doc = "Says whose releases are accepted for which repositories. None matches: nothing is applied.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Repositories", type_ = "string", json_path = ".spec.match.repositories"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
pub struct SignaturePolicySpec {
    /// The specification.
    pub written: Value,
}

impl JsonSchema for SignaturePolicySpec {
    fn schema_name() -> Cow<'static, str> {
        PolicySpec::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = PolicySpec::json_schema(generator);
        Preserving.transform(&mut schema);
        schema
    }
}

/// Why a SignaturePolicy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusablePolicy {
    /// A field is unknown, missing or of the wrong type.
    #[error("policy {name:?} cannot be read")]
    Unreadable {
        /// The policy.
        name: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// It can be read and means nothing.
    #[error(transparent)]
    Meaningless(#[from] PolicyError),
}

impl SignaturePolicy {
    /// The policy it stands for, read as strictly as a policy file.
    ///
    /// # Errors
    /// If a field is unknown, missing or wrong. What such a policy matches nobody knows: refuse everything it could.
    pub fn policy(&self) -> Result<Policy, UnusablePolicy> {
        let name = self.name_any();
        let spec = PolicySpec::deserialize(&self.spec.written)
            .map_err(|source| UnusablePolicy::Unreadable { name: name.clone(), source })?;
        Ok(Policy::new(name, spec)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_field_is_an_error_of_this_policy_alone() {
        let policy = json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "SignaturePolicy", "metadata": {"name": "p"},
            "spec": {"match": {"repositories": ["**"]}, "denyy": {}}});
        let policy: SignaturePolicy = serde_json::from_value(policy).unwrap();
        let error = policy.policy().unwrap_err();
        assert_eq!(error.to_string(), "policy \"p\" cannot be read");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("denyy"));
    }

    #[test]
    fn the_schema_keeps_unknown_fields_for_the_reader_to_refuse() {
        let crd = serde_json::to_value(<SignaturePolicy as kube::CustomResourceExt>::crd()).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        assert_eq!(spec["x-kubernetes-preserve-unknown-fields"], true);
        assert_eq!(spec["properties"]["authorities"]["items"]["x-kubernetes-preserve-unknown-fields"], true);
        assert!(!spec.to_string().contains("additionalProperties\":false"));
    }
}
