//! Signature candidates: Sigstore bundles v0.3 about one artifact, and what each of them says before any trust.
//!
//! A candidate is judged alone. A bad, foreign or junk one never hides a good one.

use serde::Deserialize;
use sigstore_types::{
    Bundle,
    bundle::{SignatureContent, VerificationMaterialContent},
    dsse::DsseEnvelope,
};

use crate::{artifact, digest::Digest, keys::PublicKey, statement::PAYLOAD_TYPE};

/// One referrer that claims to carry a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Digest of the referrer's manifest, to name it in evidence.
    pub referrer: Digest,
    /// The Sigstore bundle as served.
    pub bundle: Vec<u8>,
}

/// A referrer that is not a candidate, or a candidate that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Skipped {
    /// Digest of the referrer's manifest.
    pub referrer: Digest,
    /// Why it was passed over.
    pub reason: String,
}

/// Why a bundle cannot be a key signature over a statement.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Larger than the limit.
    #[error("the bundle is larger than {0} bytes")]
    TooLarge(u64),
    /// Not a Sigstore bundle.
    #[error("not a Sigstore bundle")]
    Parse(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The media type is unsigned, so older versions with weaker rules are not read at all.
    #[error("the bundle has media type {0:?}, not v0.3")]
    Version(String),
    /// A signature over raw bytes, which cannot carry a statement.
    #[error("the bundle holds a message signature, not a statement")]
    NoStatement,
    /// A DSSE payload of another type.
    #[error("the payload has type {0:?}, not in-toto")]
    PayloadType(String),
    /// Verification material other than a public key.
    #[error("the bundle is signed with a certificate, and no authority here is keyless")]
    NotAKey,
}

/// A bundle that has been read but not checked.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Digest of the referrer it came from.
    pub referrer: Digest,
    /// The key's id as the bundle hints at it: an order to try keys in, never a proof.
    pub hint: String,
    envelope: DsseEnvelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    media_type: String,
}

impl Envelope {
    /// Reads a candidate strictly: bundle v0.3, one DSSE signature, an in-toto payload, a public key.
    ///
    /// # Errors
    /// [`BundleError`] with the reason to skip it.
    pub fn parse(candidate: &Candidate, largest: u64) -> Result<Self, BundleError> {
        if candidate.bundle.len() as u64 > largest {
            return Err(BundleError::TooLarge(largest));
        }
        let parse = |error| BundleError::Parse(Box::new(error));
        let head: Head = serde_json::from_slice(&candidate.bundle).map_err(parse)?;
        if head.media_type != artifact::BUNDLE {
            return Err(BundleError::Version(head.media_type));
        }
        let text = std::str::from_utf8(&candidate.bundle).map_err(|error| BundleError::Parse(Box::new(error)))?;
        let bundle = Bundle::from_json(text).map_err(|error| BundleError::Parse(Box::new(error)))?;
        let VerificationMaterialContent::PublicKey(key) = &bundle.verification_material.content else {
            return Err(BundleError::NotAKey);
        };
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            return Err(BundleError::NoStatement);
        };
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(BundleError::PayloadType(envelope.payload_type.clone()));
        }
        Ok(Self { referrer: candidate.referrer, hint: key.hint.clone(), envelope: envelope.clone() })
    }

    /// The signed bytes.
    pub fn payload(&self) -> &[u8] {
        self.envelope.payload.as_bytes()
    }

    /// True if `key` made this envelope's signature over its payload.
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(&self.envelope.pae(), &self.envelope.signature.sig)
    }
}
