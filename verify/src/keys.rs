//! Public keys: P-256 first, then P-384 and RSA, as PEM.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use sigstore_crypto::VerificationKey;
use sigstore_types::{DerPublicKey, SignatureBytes};

use crate::digest::Digest;

/// A public key that can check signatures.
#[derive(Clone)]
pub struct PublicKey {
    key: Arc<VerificationKey>,
    der: DerPublicKey,
    id: Digest,
}

/// Why a text is not a usable public key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not one PEM block `PUBLIC KEY`.
    #[error("the key is not a PEM block of type PUBLIC KEY")]
    Pem(#[source] Option<pem::PemError>),
    /// A private key where a public one belongs.
    #[error("the key is a private key: put only the public half here")]
    Private,
    /// An algorithm that is not supported.
    #[error("the key's algorithm is not supported (use ECDSA P-256, P-384 or RSA)")]
    Algorithm(#[source] sigstore_crypto::Error),
}

impl PublicKey {
    /// Reads a PEM block of type `PUBLIC KEY` (SubjectPublicKeyInfo), such as `cosign.pub`.
    ///
    /// # Errors
    /// [`KeyError`] if it is something else or its algorithm is not supported.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let block = pem::parse(text).map_err(|error| KeyError::Pem(Some(error)))?;
        if block.tag() != "PUBLIC KEY" {
            return Err(KeyError::Pem(None));
        }
        let der = DerPublicKey::new(block.contents().to_vec());
        let key = Arc::new(VerificationKey::from_spki(&der).map_err(KeyError::Algorithm)?);
        Ok(Self { key, der, id: Digest::of(block.contents()) })
    }

    /// SHA-256 of the DER SubjectPublicKeyInfo: what names the key in evidence and deny lists.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// The id as Sigstore bundles write it in `publicKey.hint`.
    pub fn hint(&self) -> String {
        STANDARD.encode(self.id.as_bytes())
    }

    /// The DER SubjectPublicKeyInfo.
    pub(crate) fn der(&self) -> &DerPublicKey {
        &self.der
    }

    /// True if `signature` over `message` was made with the private half.
    pub fn verifies(&self, message: &[u8], signature: &SignatureBytes) -> bool {
        self.key.verify(message, signature).is_ok()
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_private_keys_and_what_is_no_key() {
        let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(PublicKey::from_pem(private), Err(KeyError::Private)));
        assert!(matches!(PublicKey::from_pem("hello"), Err(KeyError::Pem(_))));
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(PublicKey::from_pem(certificate), Err(KeyError::Pem(None))));
    }
}
