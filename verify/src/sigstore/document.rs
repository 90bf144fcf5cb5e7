//! `kind: TrustRoot`: a `trusted_root.json` under a name that policies use. The same YAML in files and cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{TrustRoot, TrustRootError};
use crate::{objects::Object, policy::API_VERSION};

/// The kind of trust roots.
pub const TRUST_ROOT_KIND: &str = "TrustRoot";

/// What a `TrustRoot` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustRootSpec {
    /// The text of a `trusted_root.json`, as `cosign trusted-root create` writes it.
    #[schemars(length(min = 1, max = 1_048_576))]
    pub trusted_root: String,
    /// When it was fetched from the repository that distributes it, as `sealift trust update` writes it. It is no part of
    /// the trust: a controller tells of a root that is older than 60 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub fetched_at: Option<jiff::Timestamp>,
}

/// Why a `TrustRoot` document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustRootDocumentError {
    /// Another kind of object.
    #[error("{0} is not a TrustRoot of sealift.dev/v1alpha1")]
    Kind(String),
    /// A field is missing, unknown or of the wrong type.
    #[error("trust root {name}: field {path} cannot be read")]
    Field {
        /// The trust root.
        name: String,
        /// The field's path.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A field the kind does not have, next to `spec`.
    #[error("trust root {name}: unknown field {path}")]
    Unknown {
        /// The trust root.
        name: String,
        /// The field.
        path: String,
    },
    /// What is in it is no usable root.
    #[error("trust root {name} cannot be used")]
    Root {
        /// The trust root.
        name: String,
        /// Why.
        #[source]
        source: TrustRootError,
    },
}

impl TrustRoot {
    /// True if an object calls itself a trust root of ours, of whatever version.
    pub fn is_document(object: &Object) -> bool {
        object.id.group == "sealift.dev" && object.id.kind == TRUST_ROOT_KIND
    }

    /// Reads a `TrustRoot` as it stands in a file or in the cluster.
    ///
    /// # Errors
    /// [`TrustRootDocumentError`]; an unknown field is an error.
    pub fn from_object(object: &Object) -> Result<Self, TrustRootDocumentError> {
        let name = object.id.name.clone();
        if object.id.api_version() != API_VERSION || object.id.kind != TRUST_ROOT_KIND {
            return Err(TrustRootDocumentError::Kind(object.id.to_string()));
        }
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        let mut fields = object.value.as_object().into_iter().flatten();
        if let Some((path, _)) = fields.find(|(field, _)| !known.contains(&field.as_str())) {
            return Err(TrustRootDocumentError::Unknown { name, path: path.clone() });
        }
        let spec = object.value.get("spec").cloned().unwrap_or(Value::Null);
        let spec: TrustRootSpec =
            serde_path_to_error::deserialize(spec).map_err(|error| TrustRootDocumentError::Field {
                name: name.clone(),
                path: format!("spec.{}", error.path()),
                source: error.into_inner(),
            })?;
        Self::from_json(&spec.trusted_root).map_err(|source| TrustRootDocumentError::Root { name, source })
    }
}
