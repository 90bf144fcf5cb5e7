//! Signature candidates: Sigstore bundles v0.3 about one artifact, and cosign's older form where a policy lets it count;
//! what each of them says before any trust.
//!
//! A candidate is judged alone. A bad, foreign or junk one never hides a good one.

use serde::{Deserialize, Serialize};

pub use crate::sigstore::{BundleError, SimpleSigning};
use crate::{
    digest::Digest,
    keys::PublicKey,
    sigstore::{Certificate, Signed},
    third_party::{Claim, ClaimError},
};

/// Something in the registry that claims to be a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Digest of the manifest that carries it, to name it in evidence.
    pub referrer: Digest,
    /// What it is.
    pub content: Content,
}

/// A signature as served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A Sigstore bundle.
    Bundle(Vec<u8>),
    /// One layer under the tag `sha256-<hex>.sig`.
    SimpleSigning(SimpleSigning),
}

/// Which form a signature has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A Sigstore bundle v0.3.
    #[default]
    Bundle,
    /// The `.sig` scheme that cosign used before bundles.
    SimpleSigning,
}

impl Form {
    /// True of what needs no mention.
    pub(crate) fn is_bundle(&self) -> bool {
        *self == Self::Bundle
    }
}

impl Candidate {
    /// A bundle that the manifest `referrer` carries.
    pub fn bundle(referrer: Digest, bundle: Vec<u8>) -> Self {
        Self { referrer, content: Content::Bundle(bundle) }
    }

    /// How much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        match &self.content {
            Content::Bundle(bytes) => bytes.len(),
            Content::SimpleSigning(simple) => simple.size(),
        }
    }
}

/// A referrer that is not a candidate, or a candidate that cannot be read or does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Digest of the referrer's manifest.
    pub referrer: Digest,
    /// Why it was passed over.
    pub reason: String,
}

/// A signature with its payload, read but not checked.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Digest of the referrer it came from.
    pub referrer: Digest,
    /// Its form.
    pub form: Form,
    signed: Signed,
}

impl Envelope {
    /// Reads a candidate strictly: bundle v0.3, one DSSE signature, an in-toto payload; or a signature of the older form.
    ///
    /// # Errors
    /// [`BundleError`] with the reason to skip it.
    pub fn parse(candidate: &Candidate, largest: u64) -> Result<Self, BundleError> {
        let (form, signed) = match &candidate.content {
            Content::Bundle(bytes) => (Form::Bundle, Signed::parse(bytes, largest)?),
            Content::SimpleSigning(simple) => (Form::SimpleSigning, Signed::of_simple_signing(simple, largest)?),
        };
        Ok(Self { referrer: candidate.referrer, form, signed })
    }

    /// The signed bytes.
    pub fn payload(&self) -> &[u8] {
        self.signed.payload().unwrap_or_default()
    }

    /// What is signed, if it is the artifact and nothing more; `None` for statements of any other type.
    ///
    /// # Errors
    /// [`ClaimError`] if the payload calls itself such a signature and is none.
    pub fn claim(&self) -> Result<Option<Claim>, ClaimError> {
        match self.form {
            Form::Bundle => Claim::of_statement(self.payload()),
            Form::SimpleSigning => Claim::of_simple_signing(self.payload()).map(Some),
        }
    }

    /// The key's id as the bundle hints at it, where a key signed: an order to try keys in, never a proof.
    pub fn claimed_key(&self) -> Option<&str> {
        self.signed.claimed_key()
    }

    /// The certificate as the bundle has it, where one signed: never a proof.
    pub fn claimed_certificate(&self) -> Option<&Certificate> {
        self.signed.claimed_certificate()
    }

    /// True if `key` made this envelope's signature over its payload. Says nothing of log and time.
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        self.signed.signed_by(key)
    }

    /// The whole bundle, to prove things by.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }
}
