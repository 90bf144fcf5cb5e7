//! Signature candidates: Sigstore bundles v0.3 about one artifact, and what each of them says before any trust.
//!
//! A candidate is judged alone. A bad, foreign or junk one never hides a good one.

use serde::Deserialize;

pub use crate::sigstore::BundleError;
use crate::{
    digest::Digest,
    keys::PublicKey,
    sigstore::{Certificate, Signed},
};

/// One referrer that claims to carry a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Digest of the referrer's manifest, to name it in evidence.
    pub referrer: Digest,
    /// The Sigstore bundle as served.
    pub bundle: Vec<u8>,
}

/// A referrer that is not a candidate, or a candidate that cannot be read or does not count.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Skipped {
    /// Digest of the referrer's manifest.
    pub referrer: Digest,
    /// Why it was passed over.
    pub reason: String,
}

/// A bundle over a statement that has been read but not checked.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Digest of the referrer it came from.
    pub referrer: Digest,
    signed: Signed,
}

impl Envelope {
    /// Reads a candidate strictly: bundle v0.3, one DSSE signature, an in-toto payload.
    ///
    /// # Errors
    /// [`BundleError`] with the reason to skip it.
    pub fn parse(candidate: &Candidate, largest: u64) -> Result<Self, BundleError> {
        Ok(Self { referrer: candidate.referrer, signed: Signed::parse(&candidate.bundle, largest)? })
    }

    /// The signed bytes.
    pub fn payload(&self) -> &[u8] {
        self.signed.payload().unwrap_or_default()
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
