//! The release statement: an in-toto Statement v1 whose predicate says what is released, where and in which order.

mod variants;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::variants::{
    Chosen, FIELD as VARIANTS, Variant, VariantsError, inventory as inventory_of_variants, is_name as is_variant,
};
use crate::{digest::Digest, parameters::Parameter, reference::Repository};

/// The `_type` of an in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The predicate type of a release statement.
pub const PREDICATE_TYPE: &str = "https://sealift.dev/release/v1";
/// The DSSE payload type of in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A release statement about one artifact.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The repository named in the subject; informative, `repositories` decides.
    pub name: String,
    /// The digest of the artifact's manifest.
    pub artifact: Digest,
    /// What is said about it.
    pub release: Release,
}

/// The predicate of a release statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The line of releases this one belongs to; order is judged per stream and environment.
    pub stream: String,
    /// Where it may run; absent = the statement names no environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The logical repositories it may be found in.
    pub repositories: Vec<Repository>,
    /// A semantic version, if the release has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Higher epochs beat any sequence; raised by another authority to recover a burned counter.
    #[serde(default)]
    pub epoch: u64,
    /// The order within the epoch.
    pub sequence: u64,
    /// The statement this one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The statement that a wanted rollback undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<Digest>,
    /// The statement by which the same artifact was promoted from another environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<Promoted>,
    /// When the signer says it was made.
    pub issued_at: Timestamp,
    /// Not to be accepted earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Nothing new is applied on its word later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What the artifact holds.
    pub content: Content,
    /// The declared variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Where its objects live, those of all variants.
    #[serde(default)]
    pub scope: Scope,
    /// Every container image named in it, in whichever variant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Those of them that name no digest, so that what they are is for a registry or a parameter to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpinned_images: Vec<String>,
    /// Sets of objects of which one is applied, by name. Where there are none, the artifact is one set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Where the manifests came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How they were made: tools, versions, input digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Value>,
    /// Names of fields a reader must understand; unknown fields not named here are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
}

/// The statement before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Digest of its payload.
    pub statement: Digest,
    /// Its sequence.
    pub sequence: u64,
}

/// Where a release was before it was promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// Digest of the payload that was verified there.
    pub statement: Digest,
    /// Its environment, if it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// The content of the artifact, down to the objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Digest of the compressed layer.
    pub layer: Digest,
    /// Digest of the layer's tar stream, which does not depend on a compressor's version.
    pub uncompressed: Digest,
    /// Number of files.
    pub files: usize,
    /// Number of objects.
    pub objects: usize,
    /// Digest of the object inventory, the same in every format; with variants, that over their inventories.
    pub inventory: Digest,
}

/// Where objects live, as far as it is known offline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// Namespaces named by namespaced objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// `Kind.group/name` of cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_scoped: Vec<String>,
    /// Kinds whose scope only a cluster knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// The source revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The repository's address.
    pub uri: String,
    /// Digests by algorithm, such as `gitCommit`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// The branch or tag.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Why a payload is not a usable release statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not JSON of the right shape.
    #[error("the payload is not a release statement")]
    Json(#[source] serde_json::Error),
    /// Another `_type` or predicate type: an attestation is not a release.
    #[error("the payload has type {0:?}, not that of a release statement")]
    Type(String),
    /// Not exactly one subject.
    #[error("the statement has {0} subjects, not one")]
    Subjects(usize),
    /// The subject's digest is missing or no SHA-256 digest.
    #[error("the statement's subject has no sha256 digest")]
    SubjectDigest,
    /// What `cosign verify -a` would check is not what the predicate says.
    #[error("annotation {name}={annotation:?} disagrees with the predicate ({predicate:?})")]
    Annotation {
        /// The annotation's name.
        name: String,
        /// Its value; empty if it is missing.
        annotation: String,
        /// The predicate's value; empty if it has none.
        predicate: String,
    },
    /// A field marked critical is not known here.
    #[error("the statement demands that field {0:?} be understood, and it is not")]
    Critical(String),
    /// Its variants contradict themselves or the rest of it.
    #[error("the statement's variants cannot be used")]
    Variants(#[from] VariantsError),
    /// A name that must not be empty is empty.
    #[error("the statement's {0} is empty")]
    Empty(&'static str),
    /// A name that is shown as it is would break the line it is shown in.
    #[error("the statement's {0} holds a control character")]
    Control(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Wire<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// Fields of [`Release`] that this version understands, by their names in JSON.
const KNOWN: &[&str] = &[
    "stream",
    "environment",
    "repositories",
    "version",
    "epoch",
    "sequence",
    "previous",
    "rollbackOf",
    "promotedFrom",
    "issuedAt",
    "notBefore",
    "expiresAt",
    "content",
    "parameters",
    "scope",
    "images",
    "unpinnedImages",
    VARIANTS,
    "source",
    "build",
];

impl Statement {
    /// The values that stand in `subject[0].annotations` too, for `cosign verify -a`.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let release = &self.release;
        let mut annotations = BTreeMap::from([
            ("stream".to_owned(), release.stream.clone()),
            ("seq".to_owned(), release.sequence.to_string()),
        ]);
        annotations.extend(release.environment.clone().map(|value| ("env".to_owned(), value)));
        annotations.extend(release.version.clone().map(|value| ("version".to_owned(), value)));
        annotations
    }

    /// The bytes to sign.
    pub fn to_payload(&self) -> Vec<u8> {
        let wire = Wire {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject {
                name: self.name.clone(),
                digest: BTreeMap::from([("sha256".to_owned(), self.artifact.hex())]),
                annotations: self.annotations(),
            }],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: &self.release,
        };
        serde_json::to_vec(&wire).expect("a statement holds only what JSON can hold")
    }

    /// True of a payload that calls itself a release statement, whether it can be read as one or not.
    pub fn is_meant(payload: &[u8]) -> bool {
        let named = serde_json::from_slice::<Value>(payload).map(|value| value["predicateType"] == PREDICATE_TYPE);
        named.unwrap_or_default()
    }

    /// Reads a payload whose signature has been checked.
    ///
    /// # Errors
    /// [`StatementError`] for anything but one self-consistent release statement.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        // The types are looked at first: an attestation has a predicate of another shape.
        let outer: Wire<Value> = serde_json::from_slice(payload).map_err(StatementError::Json)?;
        if outer.kind != STATEMENT_TYPE || outer.predicate_type != PREDICATE_TYPE {
            let found = if outer.kind == STATEMENT_TYPE { outer.predicate_type } else { outer.kind };
            return Err(StatementError::Type(found));
        }
        let [subject] = <[Subject; 1]>::try_from(outer.subject).map_err(|all| StatementError::Subjects(all.len()))?;
        let release: Release = serde_json::from_value(outer.predicate).map_err(StatementError::Json)?;
        if let Some(unknown) = release.critical.iter().find(|field| !KNOWN.contains(&field.as_str())) {
            return Err(StatementError::Critical(unknown.clone()));
        }
        if release.repositories.is_empty() {
            return Err(StatementError::Empty("list of repositories"));
        }
        for (name, text) in [
            ("stream", Some(&release.stream)),
            ("environment", release.environment.as_ref()),
            ("version", release.version.as_ref()),
        ] {
            match text {
                Some(text) if text.is_empty() => return Err(StatementError::Empty(name)),
                Some(text) if text.chars().any(char::is_control) => return Err(StatementError::Control(name)),
                _ => {}
            }
        }
        release.check_variants()?;
        let artifact = subject
            .digest
            .get("sha256")
            .and_then(|hex| format!("sha256:{hex}").parse().ok())
            .ok_or(StatementError::SubjectDigest)?;
        let statement = Self { name: subject.name, artifact, release };
        statement.agrees_with(&subject.annotations)?;
        Ok(statement)
    }

    /// Whoever checks with `cosign verify -a` and whoever checks with Sealift must not read different things.
    fn agrees_with(&self, annotations: &BTreeMap<String, String>) -> Result<(), StatementError> {
        let own = self.annotations();
        for name in ["stream", "env", "seq", "version"] {
            let (annotation, predicate) = (annotations.get(name), own.get(name));
            if annotation != predicate {
                return Err(StatementError::Annotation {
                    name: name.to_owned(),
                    annotation: annotation.cloned().unwrap_or_default(),
                    predicate: predicate.cloned().unwrap_or_default(),
                });
            }
        }
        Ok(())
    }
}

impl Release {
    /// Where the release stands in its stream.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence }
    }
}

/// A place in a stream, ordered by epoch and then sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch.
    #[serde(default)]
    pub epoch: u64,
    /// The sequence within the epoch.
    #[serde(default)]
    pub sequence: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.sequence)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn statement() -> Statement {
        let digest = Digest::of(b"layer");
        Statement {
            name: "registry.example/acme/shop".into(),
            artifact: Digest::of(b"manifest"),
            release: Release {
                stream: "acme/shop".into(),
                environment: Some("prod".into()),
                repositories: vec!["registry.example/acme/shop".parse().unwrap()],
                version: Some("1.4.2".into()),
                epoch: 0,
                sequence: 42,
                previous: None,
                rollback_of: None,
                promoted_from: None,
                issued_at: "2026-01-01T00:00:00Z".parse().unwrap(),
                not_before: None,
                expires_at: None,
                content: Content { layer: digest, uncompressed: digest, files: 1, objects: 1, inventory: digest },
                parameters: vec![],
                scope: Scope::default(),
                images: vec![],
                unpinned_images: vec![],
                variants: vec![],
                source: None,
                build: None,
                critical: vec![],
            },
        }
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<Statement, StatementError> {
        let mut value = serde_json::from_slice(&statement().to_payload()).unwrap();
        change(&mut value);
        Statement::parse(&serde_json::to_vec(&value).unwrap())
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(Statement::parse(&statement().to_payload()).unwrap(), statement());
    }

    #[test]
    fn refuses_annotations_that_disagree_with_the_predicate() {
        for name in ["stream", "env", "seq", "version"] {
            let changed = with(|v| v["subject"][0]["annotations"][name] = "other".into());
            assert!(matches!(changed, Err(StatementError::Annotation { .. })), "{name}");
            let missing = with(|v| {
                v["subject"][0]["annotations"].as_object_mut().unwrap().remove(name);
            });
            assert!(matches!(missing, Err(StatementError::Annotation { .. })), "{name}");
        }
    }

    #[test]
    fn refuses_an_attestation_offered_as_a_release() {
        let scan = with(|v| v["predicateType"] = "https://example.com/scan/v1".into());
        assert!(matches!(scan, Err(StatementError::Type(_))));
    }

    #[test]
    fn ignores_unknown_fields_unless_they_are_critical() {
        assert!(with(|v| v["predicate"]["moon"] = "full".into()).is_ok());
        let critical = with(|v| {
            v["predicate"]["moon"] = "full".into();
            v["predicate"]["critical"] = serde_json::json!(["moon"]);
        });
        assert!(matches!(critical, Err(StatementError::Critical(field)) if field == "moon"));
    }

    /// They are shown in lines of text, where a line break would be a line of its own.
    #[test]
    fn refuses_names_that_are_empty_or_hold_control_characters() {
        for (name, annotation) in [("stream", "stream"), ("environment", "env"), ("version", "version")] {
            for text in ["", "a\n  pass  memory", "\u{1b}[2K"] {
                let changed = with(|v| {
                    v["predicate"][name] = text.into();
                    v["subject"][0]["annotations"][annotation] = text.into();
                });
                assert!(changed.is_err(), "{name} {text:?}");
            }
        }
    }

    #[test]
    fn refuses_two_subjects_and_subjects_without_a_digest() {
        let two = with(|v| v["subject"] = serde_json::json!([v["subject"][0], v["subject"][0]]));
        assert!(matches!(two, Err(StatementError::Subjects(2))));
        let none = with(|v| v["subject"][0]["digest"] = serde_json::json!({"sha512": "00"}));
        assert!(matches!(none, Err(StatementError::SubjectDigest)));
    }
}
