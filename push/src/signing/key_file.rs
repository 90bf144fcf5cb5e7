//! Private keys in files: cosign's encrypted ones, PKCS#8 and SEC1.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use sealift_verify::keys::{KeyError, PublicKey};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::{
    Signatory, Signer, Signing, SigningError,
    cosign_key::{self, CosignKeyError},
    key_bundle, message,
};

/// A private key in memory. It does not print.
pub(crate) struct KeyPair {
    keys: sigstore_crypto::KeyPair,
    pkcs8: SecretSlice<u8>,
    public: PublicKey,
    signatory: Signatory,
    public_pem: String,
}

/// A key file that was read, and perhaps still needs its password.
pub(crate) enum KeyFile {
    /// Usable as it is.
    Open(Box<KeyPair>),
    /// Encrypted by cosign, or by `sealift keygen` in the same way.
    Encrypted(SecretSlice<u8>),
}

/// Why a file is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// Not PEM at all.
    #[error("not a private key in PEM form")]
    Pem(#[source] pem::PemError),
    /// The public half, or a certificate.
    #[error("a PEM block of type {0:?} is not a private key")]
    NotPrivate(String),
    /// Encrypted by openssl.
    #[error("a key encrypted by openssl is not supported")]
    OtherEncryption,
    /// cosign's container cannot be opened.
    #[error("the encrypted key cannot be opened")]
    Cosign(#[source] CosignKeyError),
    /// Another algorithm or curve, or damage.
    #[error("not an ECDSA P-256 key, which is the one sort that every verifier reads")]
    Algorithm(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The public half cannot be derived.
    #[error("the key's public half cannot be used")]
    Public(#[source] KeyError),
}

impl KeyFileError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::OtherEncryption => "decrypt it with `openssl pkey`, or make a new pair with `sealift keygen`",
            Self::Algorithm(_) => "make a pair with `sealift keygen` or `cosign generate-key-pair`",
            Self::Cosign(CosignKeyError::Password) => "set SEALIFT_PASSWORD (or COSIGN_PASSWORD) to the key's password",
            Self::NotPrivate(_) => "--key takes the private half, such as cosign.key; policies take the public one",
            Self::Pem(_) | Self::Cosign(_) | Self::Public(_) => "make a pair with `sealift keygen`",
        }
    }
}

impl KeyFile {
    /// Reads a PEM text.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyFileError> {
        // openssl puts the curve's parameters before an SEC1 key.
        let blocks = pem::parse_many(text).map_err(KeyFileError::Pem)?;
        let block = blocks.into_iter().find(|block| block.tag() != "EC PARAMETERS");
        let block = block.ok_or(KeyFileError::Pem(pem::PemError::MalformedFraming))?;
        match block.tag() {
            cosign_key::TAG | cosign_key::OLD_TAG => Ok(Self::Encrypted(block.into_contents().into())),
            "PRIVATE KEY" => KeyPair::from_pkcs8(block.into_contents().into()).map(Box::new).map(Self::Open),
            "EC PRIVATE KEY" if block.headers().iter().next().is_some() => Err(KeyFileError::OtherEncryption),
            "EC PRIVATE KEY" => {
                let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, block.contents());
                let pkcs8 = key.map_err(|error| error.to_string()).and_then(|key| {
                    key.to_pkcs8v1().map(|document| document.as_ref().to_vec()).map_err(|error| error.to_string())
                });
                let pkcs8 = pkcs8.map_err(|error| KeyFileError::Algorithm(error.into()))?;
                KeyPair::from_pkcs8(pkcs8.into()).map(Box::new).map(Self::Open)
            }
            "ENCRYPTED PRIVATE KEY" => Err(KeyFileError::OtherEncryption),
            "RSA PRIVATE KEY" => Err(KeyFileError::Algorithm("it is an RSA key".into())),
            other => Err(KeyFileError::NotPrivate(other.to_owned())),
        }
    }
}

impl KeyPair {
    /// A new ECDSA P-256 key.
    pub(crate) fn generate() -> Result<Self, KeyFileError> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|error| KeyFileError::Algorithm(error.to_string().into()))?;
        Self::from_pkcs8(pkcs8.as_ref().to_vec().into())
    }

    /// Opens an encrypted key.
    pub(crate) fn decrypt(container: &SecretSlice<u8>, password: &SecretString) -> Result<Self, KeyFileError> {
        let pkcs8 = cosign_key::decrypt(container.expose_secret(), password).map_err(KeyFileError::Cosign)?;
        Self::from_pkcs8(pkcs8)
    }

    fn from_pkcs8(pkcs8: SecretSlice<u8>) -> Result<Self, KeyFileError> {
        let algorithm = |error| KeyFileError::Algorithm(Box::new(error));
        let keys = sigstore_crypto::KeyPair::from_pkcs8_der(pkcs8.expose_secret()).map_err(algorithm)?;
        // The encoder ends lines as on Windows; cosign writes plain ones.
        let public_pem = keys.public_key_der().map_err(algorithm)?.to_pem().replace('\r', "");
        let public = PublicKey::from_pem(&public_pem).map_err(KeyFileError::Public)?;
        let signatory = Signatory::Key(public.clone());
        Ok(Self { keys, pkcs8, public, signatory, public_pem })
    }

    /// The public half.
    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The private key, to be encrypted and nothing else.
    pub(crate) fn pkcs8(&self) -> &SecretSlice<u8> {
        &self.pkcs8
    }

    /// The public half as PEM.
    pub(crate) fn public_pem(&self) -> &str {
        &self.public_pem
    }
}

impl Signer for KeyPair {
    fn signatory(&self) -> &Signatory {
        &self.signatory
    }

    fn sign<'a>(&'a self, payload: &'a [u8]) -> Signing<'a> {
        Box::pin(async {
            let signature = self.keys.sign(&message(payload)).map_err(SigningError::Key)?;
            key_bundle(&self.public, payload, signature)
        })
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({})", self.public.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(tag: &str, contents: &[u8]) -> String {
        pem::encode(&pem::Pem::new(tag, contents))
    }

    #[test]
    fn reads_the_same_key_in_pkcs8_and_sec1() {
        let key = KeyPair::generate().unwrap();
        let pkcs8 = key.pkcs8().expose_secret();
        let Ok(KeyFile::Open(read)) = KeyFile::parse(&pem("PRIVATE KEY", pkcs8)) else { panic!("PKCS#8") };
        assert_eq!(read.public_key().id(), key.public_key().id());
        // The SEC1 key is the octet string at the end of the PKCS#8 one: SEQUENCE of 0x6b or 0x77 bytes.
        let start = pkcs8.windows(5).position(|w| w[0] == 0x30 && w[2..] == [2, 1, 1]).unwrap();
        let sec1 = pem("EC PRIVATE KEY", &pkcs8[start..]);
        let Ok(KeyFile::Open(read)) = KeyFile::parse(&sec1) else { panic!("SEC1") };
        assert_eq!(read.public_key().id(), key.public_key().id());
        let with_parameters = format!("{}{sec1}", pem("EC PARAMETERS", &[6, 8]));
        assert!(matches!(KeyFile::parse(&with_parameters), Ok(KeyFile::Open(_))));
    }

    #[test]
    fn refuses_what_is_no_private_key_and_says_so() {
        let key = KeyPair::generate().unwrap();
        assert!(matches!(KeyFile::parse(key.public_pem()), Err(KeyFileError::NotPrivate(_))));
        assert!(matches!(KeyFile::parse("hello"), Err(KeyFileError::Pem(_))));
        assert!(matches!(KeyFile::parse(&pem("ENCRYPTED PRIVATE KEY", b"x")), Err(KeyFileError::OtherEncryption)));
        assert!(matches!(KeyFile::parse(&pem("PRIVATE KEY", b"x")), Err(KeyFileError::Algorithm(_))));
        let ed25519 = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
        let ed25519 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&ed25519).unwrap();
        assert!(matches!(KeyFile::parse(&pem("PRIVATE KEY", ed25519.as_ref())), Err(KeyFileError::Algorithm(_))));
    }

    #[test]
    fn knows_both_tags_of_cosign() {
        for tag in ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"] {
            assert!(matches!(KeyFile::parse(&pem(tag, b"{}")), Ok(KeyFile::Encrypted(_))), "{tag}");
        }
    }

    #[test]
    fn a_key_never_prints() {
        let key = KeyPair::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("KeyPair({})", key.public_key().id()));
    }
}
