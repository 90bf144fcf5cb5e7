//! A signing certificate: whom Fulcio says it was issued to, and for which build.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sigstore_crypto::{CertificateInfo, FulcioCiClaims, parse_certificate_info};
use sigstore_types::DerCertificate;

use crate::{digest::Digest, policy::MatcherSpec};

macro_rules! claims {
    ($($(#[doc = $doc:literal])+ $variant:ident = $field:ident $word:literal),+ $(,)?) => {
        /// Something a certificate says about the build it was issued to; the name is that of Fulcio's extension.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Claim { $($(#[doc = $doc])+ #[serde(rename = $word)] $variant),+ }

        impl Claim {
            /// Every claim.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in policies and evidence.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            fn of(self, claims: &FulcioCiClaims) -> Option<&String> {
                match self { $(Self::$variant => claims.$field.as_ref()),+ }
            }
        }

        /// What the certificate must say of the build, claim by claim. A claim that the certificate lacks never matches.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct ClaimMatchersSpec {
            $($(#[doc = $doc])+ #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<MatcherSpec>),+
        }

        impl ClaimMatchersSpec {
            pub(crate) fn is_empty(&self) -> bool {
                self.iter().next().is_none()
            }

            /// The claims that are demanded.
            pub fn iter(&self) -> impl Iterator<Item = (Claim, &MatcherSpec)> {
                [$((Claim::$variant, self.$field.as_ref())),+].into_iter().filter_map(|(claim, spec)| Some((claim, spec?)))
            }
        }
    };
}

claims! {
    /// The build instructions that ran, such as a reusable workflow at a ref.
    BuildSignerUri = build_signer_uri "buildSignerUri",
    /// The version of those build instructions.
    BuildSignerDigest = build_signer_digest "buildSignerDigest",
    /// Where the build ran, such as `github-hosted`.
    RunnerEnvironment = runner_environment "runnerEnvironment",
    /// The source repository.
    SourceRepositoryUri = source_repository_uri "sourceRepositoryUri",
    /// The commit.
    SourceRepositoryDigest = source_repository_digest "sourceRepositoryDigest",
    /// The branch or tag, such as `refs/heads/main`.
    SourceRepositoryRef = source_repository_ref "sourceRepositoryRef",
    /// The repository's unchanging id.
    SourceRepositoryIdentifier = source_repository_identifier "sourceRepositoryIdentifier",
    /// The repository's owner.
    SourceRepositoryOwnerUri = source_repository_owner_uri "sourceRepositoryOwnerUri",
    /// The owner's unchanging id.
    SourceRepositoryOwnerIdentifier = source_repository_owner_identifier "sourceRepositoryOwnerIdentifier",
    /// The top-level build instructions.
    BuildConfigUri = build_config_uri "buildConfigUri",
    /// The version of the top-level build instructions.
    BuildConfigDigest = build_config_digest "buildConfigDigest",
    /// What started the build, such as `push`.
    BuildTrigger = build_trigger "buildTrigger",
    /// The run itself.
    RunInvocationUri = run_invocation_uri "runInvocationUri",
    /// Whether the repository was public when it signed.
    SourceRepositoryVisibilityAtSigning = source_repository_visibility_at_signing "sourceRepositoryVisibilityAtSigning",
    /// The environment the job deployed to.
    DeploymentEnvironment = deployment_environment "deploymentEnvironment",
    /// The subject of the identity token.
    TokenSubject = token_subject "tokenSubject",
}

/// What a signing certificate says. Worth something only inside a [`Proof`](super::Proof), which has verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 of the DER certificate.
    pub fingerprint: Digest,
    /// SHA-256 of the DER public key, which deny lists may name.
    pub key: Digest,
    /// Whom it was issued to: an email address or a URI.
    pub identity: String,
    /// Who vouched for that, such as `https://token.actions.githubusercontent.com`.
    pub issuer: String,
    /// What it says of the build.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<Claim, String>,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
}

/// DER of the object identifier 1.3.6.1.4.1.11129.2.4.2: embedded signed certificate timestamps (RFC 6962).
const SCT_LIST: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];

impl Certificate {
    /// The commits it was issued for.
    pub fn commits(&self) -> impl Iterator<Item = &String> {
        [Claim::SourceRepositoryDigest, Claim::BuildConfigDigest]
            .into_iter()
            .filter_map(|claim| self.claims.get(&claim))
    }

    /// Reads a DER certificate; `None` if it cannot be read, or names no identity or no issuer. Nothing is verified.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Self::read(&DerCertificate::new(der.to_vec()))
    }

    /// Reads a certificate; `None` if it cannot be read, or names no identity or no issuer.
    pub(super) fn read(der: &DerCertificate) -> Option<Self> {
        let info: CertificateInfo = parse_certificate_info(der).ok()?;
        let claim = |claim: &Claim| claim.of(&info.ci_claims).map(|value| (*claim, value.clone()));
        Some(Self {
            fingerprint: Digest::of(der.as_bytes()),
            key: Digest::of(info.public_key.as_bytes()),
            identity: info.identity?.as_str().to_owned(),
            issuer: info.issuer?,
            claims: Claim::ALL.iter().filter_map(claim).collect(),
            not_before: info.not_before,
            not_after: info.not_after,
        })
    }
}

/// True if the certificate may carry an SCT. A stray match only makes the check be made, and fail.
pub(super) fn may_have_sct(der: &DerCertificate) -> bool {
    der.as_bytes().windows(SCT_LIST.len()).any(|window| window == SCT_LIST)
}
