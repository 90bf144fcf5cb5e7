//! Signature policies: who may release what, where. The same YAML in `policies/`, on the command line and in the cluster.
//!
//! [`PolicySpec`] is what is written; [`Policy`] is what it means once names, patterns and keys are known to be usable.
//! There is no way to make a [`Policy`] without at least one authority.

mod attestations;
mod authority;
mod deletions;
mod images;
mod matcher;
mod objects;
mod require;
mod select;
mod spec;

use serde_json::Value;

pub(crate) use self::attestations::VARIABLES;
use self::authority::authorities_of;
pub(crate) use self::matcher::anchored;
pub use self::{
    attestations::AttestationRule,
    authority::{Authority, KeySigner, KeylessSigner, Signer},
    deletions::{DeletionRefused, DeletionRules},
    images::ImageRules,
    matcher::{Globs, Matcher, MatcherError},
    objects::ObjectRules,
    require::Requirement,
    select::{Selected, might_match, select},
    spec::{
        ApprovalSpec, AtLeastSpec, AttestationSpec, AuthoritySpec, DeletionsSpec, DenySpec, Emergency, EpochsSpec,
        ImagesSpec, KeySpec, KeylessSpec, MatchSpec, MatcherSpec, Mode, MostSpec, ObjectsSpec, OnFirstContact,
        OnRevocation, ParameterPlace, PolicySpec, ReleaseSpec, RequireSpec, StatementDemand, TransparencySpec,
    },
};
use crate::{digest::Digest, objects::Object};

/// The `apiVersion` of policies.
pub const API_VERSION: &str = "sealift.dev/v1alpha1";
/// The kind of policies.
pub const KIND: &str = "SignaturePolicy";

/// A policy ready to judge with.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Digest of name and spec: what evidence records.
    pub digest: Digest,
    /// Whether it can authorise or only report.
    pub mode: Mode,
    /// Who may sign.
    pub authorities: Vec<Authority>,
    /// How many of them must.
    pub require: Requirement,
    /// What a statement must say.
    pub release: ReleaseSpec,
    /// Whether signatures of the `.sig` scheme count.
    pub legacy_signatures: bool,
    /// The streams the authorities speak for.
    pub streams: Vec<Matcher>,
    /// Who must have signed a statement that raises the epoch.
    pub epochs: Option<Requirement>,
    /// Who must have approved a plan.
    pub approval: Option<Requirement>,
    /// What else must be attested.
    pub attestations: Vec<AttestationRule>,
    /// What may be in the release.
    pub objects: ObjectRules,
    /// Which container images its objects may run.
    pub images: ImageRules,
    /// What is refused whoever signed it.
    pub deny: DenySpec,
    repositories: Globs,
    namespaces: Option<Globs>,
    deletions: deletions::DeletionRule,
}

/// Why a policy cannot be used. Nothing is trusted by a policy that cannot be read whole.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Another kind of object.
    #[error("{0} is not a SignaturePolicy of sealift.dev/v1alpha1")]
    Kind(String),
    /// A field is missing, unknown or of the wrong type.
    #[error("policy {policy}: field {path} cannot be read")]
    Field {
        /// The policy.
        policy: String,
        /// The field's path.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A field the policy language does not have, next to `spec`.
    #[error("policy {policy}: unknown field {path}")]
    Unknown {
        /// The policy.
        policy: String,
        /// The field.
        path: String,
    },
    /// A pattern cannot be used.
    #[error("policy {policy}: {path} cannot be used")]
    Matcher {
        /// The policy.
        policy: String,
        /// Where.
        path: &'static str,
        /// What is wrong.
        #[source]
        source: MatcherError,
    },
    /// A key cannot be used.
    #[error("policy {policy}: the key of authority {authority:?} cannot be used")]
    Key {
        /// The policy.
        policy: String,
        /// The authority.
        authority: String,
        /// What is wrong.
        #[source]
        source: crate::keys::KeyError,
    },
    /// A list or name that must say something is empty, or holds something empty.
    #[error("policy {policy}: {path} is empty")]
    Empty {
        /// The policy.
        policy: String,
        /// Which list.
        path: &'static str,
    },
    /// An authority that trusts nobody, or nobody in particular.
    #[error("policy {policy}: authority {authority:?} {problem}")]
    Authority {
        /// The policy.
        policy: String,
        /// The authority.
        authority: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A field that cannot be met beside another.
    #[error("policy {policy}: {path} {problem}")]
    Contradiction {
        /// The policy.
        policy: String,
        /// The field.
        path: &'static str,
        /// Why not.
        problem: &'static str,
    },
    /// Two authorities share a name.
    #[error("policy {policy}: authority {authority:?} is defined twice")]
    Twice {
        /// The policy.
        policy: String,
        /// The name.
        authority: String,
    },
    /// `images.signedBy` can never be met as written.
    #[error("policy {policy}: images.signedBy {problem}")]
    ImageSigners {
        /// The policy.
        policy: String,
        /// What is wrong.
        problem: String,
    },
    /// A place of images that cannot be read.
    #[error("policy {policy}: images.places cannot be used")]
    ImagePlace {
        /// The policy.
        policy: String,
        /// What is wrong.
        #[source]
        source: crate::objects::images::PlaceError,
    },
    /// `require` can never be met as written.
    #[error("policy {policy}: {path} {problem}")]
    Require {
        /// The policy.
        policy: String,
        /// Which.
        path: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A rule about an attestation that cannot be judged by.
    #[error("policy {policy}: attestation {attestation:?} {problem}")]
    Attestation {
        /// The policy.
        policy: String,
        /// The rule.
        attestation: String,
        /// What is wrong.
        problem: String,
    },
}

impl Policy {
    /// Reads a policy object as it stands in a file or in the cluster.
    ///
    /// # Errors
    /// [`PolicyError`]; an unknown field is an error, never a silently weaker policy.
    pub fn from_object(object: &Object) -> Result<Self, PolicyError> {
        let name = object.id.name.clone();
        if object.id.api_version() != API_VERSION || object.id.kind != KIND {
            return Err(PolicyError::Kind(object.id.to_string()));
        }
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        let fields = object.value.as_object().into_iter().flatten();
        if let Some((path, _)) = fields.into_iter().find(|(field, _)| !known.contains(&field.as_str())) {
            return Err(PolicyError::Unknown { policy: name, path: path.clone() });
        }
        let spec = object.value.get("spec").cloned().unwrap_or(Value::Null);
        let spec = serde_path_to_error::deserialize(spec).map_err(|error| PolicyError::Field {
            policy: name.clone(),
            path: match error.path().to_string().as_str() {
                // The path of the spec itself: something is missing at its top.
                "." => "spec".to_owned(),
                path => format!("spec.{path}"),
            },
            source: error.into_inner(),
        })?;
        Self::new(name, spec)
    }

    /// Gives a spec its meaning.
    ///
    /// # Errors
    /// [`PolicyError`] if a pattern or key cannot be used, a list is empty, or `require` cannot be met.
    pub fn new(name: String, spec: PolicySpec) -> Result<Self, PolicyError> {
        let digest = Digest::of(&serde_json::to_vec(&(&name, &spec)).expect("a policy holds only what JSON can hold"));
        let PolicySpec {
            mode,
            matches,
            authorities,
            require,
            transparency,
            release,
            attestations,
            objects,
            images,
            deny,
        } = spec;
        let globs = |path, patterns: &[String]| {
            Globs::new(patterns).map_err(|source| PolicyError::Matcher { policy: name.clone(), path, source })
        };
        for (path, empty) in [
            ("match.repositories", matches.repositories.is_empty()),
            ("authorities", authorities.is_empty()),
            ("release.streams", release.streams.is_empty() && release.statement == StatementDemand::Required),
            ("release.environment", release.environment.as_deref() == Some("")),
            ("deny.commits", deny.commits.iter().any(String::is_empty)),
        ] {
            if empty {
                return Err(PolicyError::Empty { policy: name, path });
            }
        }
        if let Some((path, problem)) = contradiction(&release, &transparency) {
            return Err(PolicyError::Contradiction { policy: name, path, problem });
        }
        let repositories = globs("match.repositories", &matches.repositories)?;
        let namespaces = matches.namespaces.as_deref().map(|n| globs("match.namespaces", n)).transpose()?;
        let streams = release
            .streams
            .iter()
            .map(Matcher::new)
            .collect::<Result<_, _>>()
            .map_err(|source| PolicyError::Matcher { policy: name.clone(), path: "release.streams", source })?;
        let authorities = authorities_of(&name, authorities, &transparency)?;
        let required = |path, spec| {
            Requirement::new(spec, &authorities).map_err(|problem| PolicyError::Require {
                policy: name.clone(),
                path,
                problem,
            })
        };
        let epochs =
            release.epochs.as_ref().map(|spec| required("release.epochs.require", &spec.require)).transpose()?;
        let approval =
            release.approval.as_ref().map(|spec| required("release.approval.require", &spec.require)).transpose()?;
        let attestations = attestations::rules_of(&name, &attestations, &require, &authorities)?;
        let require = required("require", &require)?;
        let deletions = deletions::DeletionRule::new(&objects.deletions).map_err(|source| PolicyError::Matcher {
            policy: name.clone(),
            path: "objects.deletions.protectedKinds",
            source,
        })?;
        let objects = ObjectRules::new(&objects).map_err(|source| PolicyError::Matcher {
            policy: name.clone(),
            path: "objects",
            source,
        })?;
        let legacy_signatures = transparency.legacy_signatures;
        let images = ImageRules::new(&name, &images, &authorities)?;
        Ok(Self {
            digest,
            mode,
            authorities,
            require,
            release,
            legacy_signatures,
            streams,
            epochs,
            approval,
            attestations,
            objects,
            images,
            deny,
            repositories,
            namespaces,
            deletions,
            name,
        })
    }

    /// True if this policy speaks for `repository` and, where it names namespaces, for the Delivery's namespace.
    /// Without a namespace (a check with no cluster) a policy that names namespaces counts as matching: stricter is safe.
    pub fn matches(&self, repository: &str, namespace: Option<&str>) -> bool {
        self.repositories.matches(repository)
            && match (&self.namespaces, namespace) {
                (Some(globs), Some(namespace)) => globs.matches(namespace),
                _ => true,
            }
    }

    /// The names of the trust roots without which it judges nothing.
    pub fn trust_roots(&self) -> impl Iterator<Item = &str> {
        self.authorities.iter().filter(|authority| authority.needs_root()).map(|authority| &*authority.trust_root)
    }

    /// The authority of this name.
    pub fn authority(&self, name: &str) -> Option<&Authority> {
        self.authorities.iter().find(|authority| authority.name == name)
    }
}

/// What only a release statement can meet is never met by an artifact without, so one of the two was not meant.
fn contradiction(release: &ReleaseSpec, transparency: &TransparencySpec) -> Option<(&'static str, &'static str)> {
    let ReleaseSpec { statement, environment, max_age, minimum, .. } = release;
    let optional = *statement == StatementDemand::Optional;
    let stated = "is what only a statement can say, and release.statement is optional";
    let legacy = "are no release statements, and release.statement is required";
    [
        (optional && environment.is_some(), "release.environment", stated),
        (optional && max_age.is_some(), "release.maxAge", stated),
        (optional && minimum.is_some(), "release.minimum", stated),
        (!optional && transparency.legacy_signatures, "transparency.legacySignatures", legacy),
    ]
    .into_iter()
    .find_map(|(contradicts, path, problem)| contradicts.then_some((path, problem)))
}

#[cfg(test)]
pub(crate) mod tests;
