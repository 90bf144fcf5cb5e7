//! What a third party's signature says: that somebody signed this very manifest, perhaps with annotations, and nothing more.
//!
//! cosign writes two forms of it: an in-toto statement of a predicate type of its own in a bundle, and before that a text
//! called simple signing. Both are read into one [`Claim`]. Any other attestation is no signature of the artifact: it may
//! say that a scan failed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{digest::Digest, statement::STATEMENT_TYPE};

/// The predicate type of cosign's signatures.
pub const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";
/// What simple signing calls cosign's signatures.
const SIMPLE_SIGNING_TYPE: &str = "cosign container image signature";

/// What was signed. Equal claims in different bytes are the same claim: the name under which a registry was reached
/// (`docker-reference`) is no part of it, since cosign never compared it and a mirror has another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Digest of the manifest.
    pub artifact: Digest,
    /// The signed annotations as one JSON object with sorted names; `{}` if there are none. What they mean is between
    /// signer and reader, so signatures with different ones are not added up.
    pub annotations: String,
}

/// Why a payload that calls itself a signature is none.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Not of cosign's form.
    #[error("the payload is not what cosign signs")]
    Json(#[source] serde_json::Error),
    /// Simple signing of another type.
    #[error("the payload has type {0:?}, not that of a cosign signature")]
    Type(String),
    /// Not exactly one subject.
    #[error("the signature is about {0} artifacts, not one")]
    Subjects(usize),
    /// No digest, or one of another algorithm.
    #[error("the signature names no sha256 digest")]
    Digest,
    /// Something in a place that is always empty, and might take something back.
    #[error("the signature's predicate is not empty")]
    Predicate,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_type", default)]
    kind: String,
    #[serde(rename = "predicateType", default)]
    predicate_type: String,
}

#[derive(Deserialize)]
struct Wire {
    subject: Vec<Subject>,
    #[serde(default)]
    predicate: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    #[serde(default, rename = "name")]
    _name: String,
    digest: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SimpleSigning {
    critical: Critical,
    #[serde(default)]
    optional: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    #[serde(rename = "identity")]
    _identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    _reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl Claim {
    /// Reads the payload of a bundle; `None` if it is a statement of any other type.
    ///
    /// # Errors
    /// [`ClaimError`] if it has cosign's predicate type and is not what cosign writes.
    pub fn of_statement(payload: &[u8]) -> Result<Option<Self>, ClaimError> {
        match serde_json::from_slice::<Head>(payload) {
            Ok(head) if head.kind == STATEMENT_TYPE && head.predicate_type == PREDICATE_TYPE => {}
            _ => return Ok(None),
        }
        let Wire { subject, predicate } = serde_json::from_slice(payload).map_err(ClaimError::Json)?;
        if predicate.is_some_and(|predicate| !predicate.is_empty()) {
            return Err(ClaimError::Predicate);
        }
        let [subject] = <[Subject; 1]>::try_from(subject).map_err(|all| ClaimError::Subjects(all.len()))?;
        let hex = subject.digest.get("sha256").ok_or(ClaimError::Digest)?;
        let artifact = format!("sha256:{hex}").parse().map_err(|_| ClaimError::Digest)?;
        Ok(Some(Self::new(artifact, subject.annotations)))
    }

    /// Reads a simple signing payload.
    ///
    /// # Errors
    /// [`ClaimError`] for anything but a cosign signature about one SHA-256 digest.
    pub fn of_simple_signing(payload: &[u8]) -> Result<Self, ClaimError> {
        let SimpleSigning { critical, optional } = serde_json::from_slice(payload).map_err(ClaimError::Json)?;
        if critical.kind != SIMPLE_SIGNING_TYPE {
            return Err(ClaimError::Type(critical.kind));
        }
        Ok(Self::new(critical.image.digest.parse().map_err(|_| ClaimError::Digest)?, optional))
    }

    fn new(artifact: Digest, annotations: Option<BTreeMap<String, Value>>) -> Self {
        let annotations = serde_json::to_string(&annotations.unwrap_or_default());
        Self { artifact, annotations: annotations.expect("annotations hold only what JSON can hold") }
    }

    /// The annotations as they were signed.
    pub fn annotations(&self) -> Map<String, Value> {
        serde_json::from_str(&self.annotations).unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// As cosign 3.1 writes it.
    pub(crate) fn statement(artifact: Digest) -> Value {
        json!({
            "_type": STATEMENT_TYPE,
            "subject": [{"digest": {"sha256": artifact.hex()}, "annotations": {"env": "prod"}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {},
        })
    }

    /// As cosign 3.1 writes it with `--new-bundle-format=false`.
    pub(crate) fn simple_signing(artifact: Digest) -> Value {
        json!({
            "critical": {
                "identity": {"docker-reference": "registry.example/acme/shop"},
                "image": {"docker-manifest-digest": artifact},
                "type": SIMPLE_SIGNING_TYPE,
            },
            "optional": {"env": "prod"},
        })
    }

    fn changed(mut value: Value, pointer: &str, to: Value) -> Vec<u8> {
        *value.pointer_mut(pointer).unwrap() = to;
        value.to_string().into_bytes()
    }

    #[test]
    fn both_forms_say_the_same() {
        let artifact = Digest::of(b"manifest");
        let new = Claim::of_statement(statement(artifact).to_string().as_bytes()).unwrap().unwrap();
        let old = Claim::of_simple_signing(simple_signing(artifact).to_string().as_bytes()).unwrap();
        assert_eq!(new, old);
        assert_eq!((new.artifact, new.annotations.as_str()), (artifact, r#"{"env":"prod"}"#));
        let mirrored =
            changed(simple_signing(artifact), "/critical/identity/docker-reference", json!("mirror.example"));
        assert_eq!(Claim::of_simple_signing(&mirrored).unwrap(), old);
        let bare = changed(simple_signing(artifact), "/optional", Value::Null);
        assert_eq!(Claim::of_simple_signing(&bare).unwrap().annotations, "{}");
    }

    #[test]
    fn an_attestation_of_any_other_type_is_no_signature() {
        for kind in [
            "https://slsa.dev/provenance/v1",
            "https://sigstore.dev/cosign/sign/v2",
            "",
            crate::statement::PREDICATE_TYPE,
        ] {
            let payload = changed(statement(Digest::of(b"m")), "/predicateType", json!(kind));
            assert!(matches!(Claim::of_statement(&payload), Ok(None)), "{kind}");
        }
        let old = changed(statement(Digest::of(b"m")), "/_type", json!("https://in-toto.io/Statement/v0.1"));
        assert!(matches!(Claim::of_statement(&old), Ok(None)));
        assert!(matches!(Claim::of_statement(b"{}"), Ok(None)));
    }

    #[test]
    fn refuses_each_wrong_in_either_form() {
        let artifact = Digest::of(b"manifest");
        let subject = statement(artifact)["subject"][0].clone();
        for (pointer, to) in [
            ("/subject", json!([])),
            ("/subject", json!([subject, subject])),
            ("/subject/0/digest", json!({"sha512": artifact.hex()})),
            ("/subject/0/digest/sha256", json!("AA")),
            ("/subject/0/annotations", json!("env=prod")),
            ("/predicate", json!({"result": "FAILED"})),
            ("/predicate", json!([])),
        ] {
            let payload = changed(statement(artifact), pointer, to.clone());
            assert!(Claim::of_statement(&payload).is_err(), "{pointer} {to}");
        }
        for (pointer, to) in [
            ("/critical/image/docker-manifest-digest", json!("sha512:00")),
            ("/critical/image/docker-manifest-digest", json!("")),
            ("/critical/image", json!({"docker-manifest-digest": artifact, "also": artifact})),
            ("/critical/type", json!("atomic container signature")),
            ("/critical/type", json!("")),
            ("/critical/identity", json!({})),
            ("/critical", json!({})),
            ("/optional", json!(["env"])),
        ] {
            let payload = changed(simple_signing(artifact), pointer, to.clone());
            assert!(Claim::of_simple_signing(&payload).is_err(), "{pointer} {to}");
        }
        let mut more = simple_signing(artifact);
        more["except"] = json!("in production");
        assert!(Claim::of_simple_signing(more.to_string().as_bytes()).is_err());
        let twice = simple_signing(artifact).to_string().replace("\"optional\"", "\"critical\":{},\"optional\"");
        assert!(
            Claim::of_simple_signing(twice.as_bytes()).is_err(),
            "a field given twice is read differently by others"
        );
    }
}
