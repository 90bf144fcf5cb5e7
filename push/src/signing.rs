//! Signing statements: who signs, and the bundle that carries the signature.
//!
//! Every command that signs takes [`SignerArgs`](crate::cli::signer::SignerArgs), opens the [`Signer`] that they name,
//! reads what is there in the eyes of its [`Signatory`], and attaches the bundle of a [`Signed`].

mod cosign_key;
mod key_file;
mod keyless;
mod open;
mod password;
mod service;
mod signatory;
#[cfg(test)]
mod stand_in;
mod transit;

use std::pin::Pin;

use sealift_verify::{
    digest::Digest,
    keys::PublicKey,
    sigstore::{TimeSource, VerifiedTime},
    statement::PAYLOAD_TYPE,
};
use serde_json::{Value, json};
use sigstore_bundle::{BundleV03, VerificationMaterialV03};
use sigstore_types::{
    DsseEnvelope, SignatureBytes,
    bundle::SignatureContent,
    dsse::{DsseSignature, pae},
};

pub(crate) use self::{
    cosign_key::encrypt,
    key_file::KeyPair,
    open::{Opening, open, open_provable, public_pem},
    password::{Asked, password},
    service::{Ask, Service, ServiceError},
    signatory::{Identity, Signatory},
};
use self::{
    key_file::{KeyFile, KeyFileError},
    keyless::KeylessError,
    transit::TransitError,
};
use crate::{exit::Exit, failure::Failure, output::Output};

/// Holds a private key, reaches one, or has one certified, and signs statements with it.
pub(crate) trait Signer: std::fmt::Debug + Send + Sync {
    /// Who signs. Known before anything is signed.
    fn signatory(&self) -> &Signatory;

    /// Signs an in-toto statement: the payload of the bundle is these very bytes, so that several can sign the same.
    fn sign<'a>(&'a self, payload: &'a [u8]) -> Signing<'a>;
}

/// A signature in the making.
pub(crate) type Signing<'a> = Pin<Box<dyn Future<Output = Result<Signed, SigningError>> + Send + 'a>>;

/// A statement that was signed.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    /// The Sigstore bundle v0.3, to be attached.
    pub(crate) bundle: Vec<u8>,
    /// Who else stands by it; nobody where a key signed.
    witnesses: Option<Witnesses>,
}

/// What a keyless signature rests on.
#[derive(Clone, Debug)]
struct Witnesses {
    /// SHA-256 of the certificate.
    certificate: Digest,
    logged: Option<Logged>,
    /// When it was signed, verified; `None` without a trust root, and then nothing but the signature was verified.
    times: Option<Vec<VerifiedTime>>,
}

/// A place in a transparency log, as that log tells it.
#[derive(Clone, Debug)]
struct Logged {
    log: String,
    index: u64,
}

impl Signed {
    /// What is said about it.
    pub(crate) fn note(&self, output: &mut Output) {
        let Some(Witnesses { logged, times, .. }) = &self.witnesses else { return };
        if let Some(Logged { log, index }) = logged {
            output.note(format_args!("logged    entry {index} of {log}"));
        }
        for VerifiedTime { time, source } in times.iter().flatten() {
            let source = match source {
                TimeSource::TimestampAuthority => "timestamp authority",
                TimeSource::TransparencyLog => "transparency log",
            };
            output.note(format_args!("time      {time}, by the {source}"));
        }
        if times.is_none() {
            output.warn(
                "without --trusted-root, of what is published only signature and identity were verified: not \
                 certificate chain, log entry and timestamp",
            );
        }
    }

    /// The signature in a report: whose, with what, and where it is stored.
    pub(crate) fn json(&self, signatory: &Signatory, referrer: &Digest) -> Value {
        let mut document = signatory.json(referrer);
        if let Some(Witnesses { certificate, logged, times }) = &self.witnesses {
            document["certificate"] = json!(certificate);
            document["log"] = json!(logged.as_ref().map(|Logged { log, index }| json!({"url": log, "index": index})));
            document["times"] = json!(times);
            document["verified"] = json!(times.is_some());
        }
        document
    }
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
    /// A key on a server did not sign.
    #[error(transparent)]
    Transit(#[from] TransitError),
    /// An identity did not sign.
    #[error(transparent)]
    Keyless(#[from] KeylessError),
}

impl From<SigningError> for Failure {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Transit(error) => error.into(),
            SigningError::Keyless(error) => error.into(),
            SigningError::Key(_) | SigningError::Bundle(_) => Self::new(Exit::Failed, error),
        }
    }
}

/// What a key signs of a payload: its DSSE pre-authentication encoding.
fn message(payload: &[u8]) -> Vec<u8> {
    pae(PAYLOAD_TYPE, payload)
}

/// The bundle of a key's signature over [`message`], with neither log entry nor timestamp; it names the key by its hint.
fn key_bundle(key: &PublicKey, payload: &[u8], signature: SignatureBytes) -> Result<Signed, SigningError> {
    let material = VerificationMaterialV03::PublicKey { hint: key.hint() };
    let content = SignatureContent::DsseEnvelope(envelope(payload, signature));
    let bundle = BundleV03::new(material, content).into_bundle();
    let bundle = bundle.to_json().map(String::into_bytes).map_err(SigningError::Bundle)?;
    Ok(Signed { bundle, witnesses: None })
}

/// cosign writes no key id either: it is the bundle that says who signed.
fn envelope(payload: &[u8], signature: SignatureBytes) -> DsseEnvelope {
    DsseEnvelope::new(PAYLOAD_TYPE, payload.to_vec().into(), DsseSignature::new(signature, String::new().into()))
}

#[cfg(test)]
mod tests {
    use sealift_verify::{
        digest::Digest,
        signature::{Candidate, Envelope},
    };

    use super::*;

    #[tokio::test]
    async fn the_verifier_reads_what_was_signed_and_refuses_another_key() {
        let (ours, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let Signed { bundle, .. } = ours.sign(b"{\"a\":1}").await.unwrap();
        let candidate = Candidate::bundle(Digest::of(b""), bundle);
        let envelope = Envelope::parse(&candidate, 1 << 20).unwrap();
        assert_eq!(envelope.payload(), b"{\"a\":1}");
        assert_eq!(envelope.claimed_key(), Some(ours.public_key().hint().as_str()));
        assert!(ours.signatory().made(&envelope));
        assert!(!theirs.signatory().made(&envelope));
    }
}
