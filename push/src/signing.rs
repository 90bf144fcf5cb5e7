//! Signing statements: who holds the key, and the bundle that carries the signature.

mod cosign_key;
mod key_file;
mod password;
mod read;

use sealift_verify::{keys::PublicKey, statement::PAYLOAD_TYPE};
use sigstore_bundle::{BundleV03, VerificationMaterialV03};
use sigstore_types::{
    DsseEnvelope, SignatureBytes,
    bundle::SignatureContent,
    dsse::{DsseSignature, pae},
};

pub(crate) use self::{
    cosign_key::encrypt,
    key_file::{KeyFile, KeyFileError, KeyPair},
    password::{Asked, password},
    read::{Opening, read_key},
};

/// Holds a private key, or reaches one, and signs with it.
pub(crate) trait Signer: std::fmt::Debug {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The signature over `message`.
    fn sign(&self, message: &[u8]) -> Result<SignatureBytes, SigningError>;
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    /// The key did not sign.
    #[error("the key cannot sign")]
    Key(#[source] sigstore_crypto::Error),
    /// The bundle could not be written.
    #[error("the signature bundle cannot be written")]
    Bundle(#[source] sigstore_types::Error),
}

/// The signature bundle over a statement's payload: DSSE in a Sigstore bundle v0.3 that names the key by its hint.
pub(crate) fn sign_statement(signer: &dyn Signer, payload: &[u8]) -> Result<Vec<u8>, SigningError> {
    let signature = signer.sign(&pae(PAYLOAD_TYPE, payload))?;
    // cosign writes no key id either; the bundle's hint names the key.
    let signature = DsseSignature::new(signature, String::new().into());
    let envelope = DsseEnvelope::new(PAYLOAD_TYPE, payload.to_vec().into(), signature);
    let material = VerificationMaterialV03::PublicKey { hint: signer.public_key().hint() };
    let bundle = BundleV03::new(material, SignatureContent::DsseEnvelope(envelope)).into_bundle();
    bundle.to_json().map(String::into_bytes).map_err(SigningError::Bundle)
}

#[cfg(test)]
mod tests {
    use sealift_verify::{
        digest::Digest,
        signature::{Candidate, Envelope},
    };

    use super::*;

    #[test]
    fn the_verifier_reads_what_was_signed_and_refuses_another_key() {
        let (ours, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let bundle = sign_statement(&ours, b"{\"a\":1}").unwrap();
        let candidate = Candidate { referrer: Digest::of(b""), bundle };
        let envelope = Envelope::parse(&candidate, 1 << 20).unwrap();
        assert_eq!(envelope.payload(), b"{\"a\":1}");
        assert_eq!(envelope.claimed_key(), Some(ours.public_key().hint().as_str()));
        assert!(envelope.signed_by(ours.public_key()));
        assert!(!envelope.signed_by(theirs.public_key()));
    }
}
