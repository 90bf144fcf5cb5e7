//! A Sigstore bundle, read but not believed.

use serde::Deserialize;
use sigstore_crypto::{VerificationKey, parse_certificate_info};
use sigstore_types::{
    Bundle,
    bundle::{SignatureContent, VerificationMaterialContent},
    dsse::DsseEnvelope,
};

use super::Certificate;
use crate::{artifact, keys::PublicKey, statement::PAYLOAD_TYPE};

/// A bundle that has been read and not checked: signatures, certificate and log entries are claims.
#[derive(Debug, Clone)]
pub struct Signed {
    pub(super) bundle: Bundle,
    /// Read as v0.3, whose rules then hold whatever the verifier underneath would let pass.
    pub(super) strict: bool,
    certificate: Option<Certificate>,
    /// The signed bytes, where they are no statement and stand beside the signature.
    pub(super) message: Option<Vec<u8>>,
}

/// Why a text is not a bundle that could be verified.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Larger than the limit.
    #[error("the bundle is larger than {0} bytes")]
    TooLarge(u64),
    /// Not a Sigstore bundle, or not what cosign wrote before there were any.
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
    /// A log entry of another kind than signatures over raw bytes have.
    #[error("the log entry is of kind {0:?}, not hashedrekord/0.0.1")]
    Entry(String),
    /// The certificate cannot be read, or says not whom it was issued to.
    #[error("the bundle's certificate names no identity and issuer")]
    Certificate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    media_type: String,
}

impl Signed {
    /// Reads a bundle as policies want it: v0.3, one DSSE signature, an in-toto payload.
    ///
    /// # Errors
    /// [`BundleError`] with the reason to pass it over.
    pub fn parse(bytes: &[u8], largest: u64) -> Result<Self, BundleError> {
        let signed = Self::read(bytes, largest, true)?;
        match &signed.bundle.content {
            SignatureContent::DsseEnvelope(envelope) if envelope.payload_type == PAYLOAD_TYPE => Ok(signed),
            SignatureContent::DsseEnvelope(envelope) => Err(BundleError::PayloadType(envelope.payload_type.clone())),
            _ => Err(BundleError::NoStatement),
        }
    }

    /// Reads a bundle of any version and content, as Sigstore's own tools do. No policy is satisfied by one: older
    /// versions need no inclusion proof, and which version a bundle has is signed by nobody.
    ///
    /// # Errors
    /// [`BundleError`] if it is none.
    pub fn parse_any_version(bytes: &[u8], largest: u64) -> Result<Self, BundleError> {
        Self::read(bytes, largest, false)
    }

    fn read(bytes: &[u8], largest: u64, strict: bool) -> Result<Self, BundleError> {
        if bytes.len() as u64 > largest {
            return Err(BundleError::TooLarge(largest));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| BundleError::Parse(Box::new(error)))?;
        if strict && head.media_type != artifact::BUNDLE {
            return Err(BundleError::Version(head.media_type));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| BundleError::Parse(Box::new(error)))?;
        let bundle = Bundle::from_json(text).map_err(|error| BundleError::Parse(Box::new(error)))?;
        Self::of(bundle, strict, None)
    }

    pub(super) fn of(bundle: Bundle, strict: bool, message: Option<Vec<u8>>) -> Result<Self, BundleError> {
        let certificate = bundle.signing_certificate().map(Certificate::read);
        match certificate {
            Some(None) => Err(BundleError::Certificate),
            read => Ok(Self { bundle, strict, certificate: read.flatten(), message }),
        }
    }

    /// The signed bytes, where they are known: a statement, or the payload beside the signature.
    pub fn payload(&self) -> Option<&[u8]> {
        self.envelope().map(|envelope| envelope.payload.as_bytes()).or(self.message.as_deref())
    }

    /// The certificate as the bundle claims it: a reason to look closer, never a proof.
    pub fn claimed_certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The key's id as the bundle hints at it, where a key signed: an order to try keys in, never a proof.
    pub fn claimed_key(&self) -> Option<&str> {
        match &self.bundle.verification_material.content {
            VerificationMaterialContent::PublicKey(key) => Some(&key.hint),
            _ => None,
        }
    }

    /// True if `key` made the signature over this payload. Says nothing of log and time.
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        let signed = || match (&self.bundle.content, &self.message) {
            (SignatureContent::DsseEnvelope(envelope), _) => key.verifies(&envelope.pae(), &envelope.signature.sig),
            (SignatureContent::MessageSignature(signature), Some(message)) => {
                key.verifies(message, &signature.signature)
            }
            _ => false,
        };
        self.claimed_key().is_some() && signed()
    }

    /// True if the key of the claimed certificate made the signature over this statement. Whose certificate it is stays a
    /// claim: anybody can make one. For whoever has just signed, and nobody else.
    pub fn signed_by_claimed_certificate(&self) -> bool {
        let certificate = self.bundle.signing_certificate().and_then(|der| parse_certificate_info(der).ok());
        let key = certificate.and_then(|certificate| VerificationKey::from_spki(&certificate.public_key).ok());
        key.zip(self.envelope())
            .is_some_and(|(key, envelope)| key.verify(envelope.pae(), &envelope.signature.sig).is_ok())
    }

    pub(super) fn envelope(&self) -> Option<&DsseEnvelope> {
        match &self.bundle.content {
            SignatureContent::DsseEnvelope(envelope) => Some(envelope),
            _ => None,
        }
    }
}
