//! In-toto statements other than releases: what somebody says of an artifact, in a predicate of whatever type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{digest::Digest, reference::Pinned, statement::STATEMENT_TYPE};

/// The `_type` of an in-toto Statement 0.1, which `cosign attest` writes: the same fields.
const STATEMENT_TYPE_0_1: &str = "https://in-toto.io/Statement/v0.1";

/// A statement about one artifact.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    /// The type of the predicate.
    pub predicate_type: String,
    /// The subject that is the artifact: `name` and `digest`.
    pub subject: Value,
    /// What is said.
    pub predicate: Value,
}

/// Why a payload is no attestation about an artifact.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// Not JSON of the right shape.
    #[error("the payload is not an in-toto statement")]
    Json(#[source] serde_json::Error),
    /// Another `_type`.
    #[error("the payload has type {0:?}, not that of an in-toto statement")]
    Type(String),
    /// No subject has the artifact's digest.
    #[error("none of the statement's subjects is {0}")]
    Subject(Digest),
}

/// The bytes to sign: an in-toto statement about this artifact, with a predicate of this type.
pub fn to_payload(artifact: &Pinned, predicate_type: &str, predicate: &impl Serialize) -> Vec<u8> {
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": [{
            "name": artifact.repository.to_string(),
            "digest": {"sha256": artifact.digest.hex()},
        }],
        "predicateType": predicate_type,
        "predicate": predicate,
    });
    statement.to_string().into_bytes()
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: BTreeMap<String, String>,
}

impl Attestation {
    /// Reads a payload whose signature has been checked, as a statement about the manifest with this digest.
    ///
    /// # Errors
    /// [`AttestationError`].
    pub fn about(artifact: &Digest, payload: &[u8]) -> Result<Self, AttestationError> {
        let Wire { kind, subject, predicate_type, predicate } =
            serde_json::from_slice(payload).map_err(AttestationError::Json)?;
        if kind != STATEMENT_TYPE && kind != STATEMENT_TYPE_0_1 {
            return Err(AttestationError::Type(kind));
        }
        let hex = artifact.hex();
        let subject = subject.into_iter().find(|subject| subject.digest.get("sha256") == Some(&hex));
        let Subject { name, digest } = subject.ok_or(AttestationError::Subject(*artifact))?;
        Ok(Self { predicate_type, subject: json!({"name": name, "digest": digest}), predicate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let artifact = "registry.example/app".parse::<crate::reference::Repository>().unwrap().pin(Digest::of(b"ours"));
        let payload = to_payload(&artifact, "https://example.com/scan/v1", &json!({"passed": true}));
        let read = Attestation::about(&artifact.digest, &payload).unwrap();
        assert_eq!(
            (read.predicate_type.as_str(), &read.predicate["passed"]),
            ("https://example.com/scan/v1", &json!(true))
        );
        assert_eq!(read.subject["name"], "registry.example/app");
    }

    #[test]
    fn a_statement_is_about_an_artifact_if_one_of_its_subjects_is() {
        let (ours, other) = (Digest::of(b"ours"), Digest::of(b"other"));
        let statement = |kind: &str, subjects: &[Digest]| {
            let subjects: Vec<_> =
                subjects.iter().map(|d| json!({"name": "a", "digest": {"sha256": d.hex()}})).collect();
            json!({"_type": kind, "subject": subjects, "predicateType": "t", "predicate": {"a": 1}}).to_string()
        };
        for kind in [STATEMENT_TYPE, STATEMENT_TYPE_0_1] {
            let read = Attestation::about(&ours, statement(kind, &[other, ours]).as_bytes()).unwrap();
            assert_eq!(read.subject["digest"]["sha256"], ours.hex());
            assert_eq!((read.predicate_type.as_str(), &read.predicate), ("t", &json!({"a": 1})));
        }
        let about = |text: String| Attestation::about(&ours, text.as_bytes()).unwrap_err();
        assert!(matches!(about(statement(STATEMENT_TYPE, &[other])), AttestationError::Subject(_)));
        assert!(matches!(about(statement(STATEMENT_TYPE, &[])), AttestationError::Subject(_)));
        assert!(matches!(about(statement("other", &[ours])), AttestationError::Type(_)));
        assert!(matches!(about("[]".into()), AttestationError::Json(_)));
    }
}
