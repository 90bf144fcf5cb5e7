//! Signing as an identity: Fulcio certifies a key that lives for one run, a transparency log and a timestamp authority
//! say when it signed. What is signed is verified here before anybody publishes it.
//!
//! Sigstore's own clients for these services bound neither the answers nor the attempts, and report errors as text; the
//! requests are a few lines each, and go through [`service`](super::service). Formats and cryptography are theirs.

mod ambient;
mod confirm;
mod fulcio;
mod rekor;
mod services;
mod timestamp;
mod token;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use sealift_verify::{
    duration::Duration,
    sigstore::{Certificate, TrustRoot, TrustRootError},
};
use sigstore_bundle::BundleV03;
use sigstore_crypto::KeyPair;
use sigstore_types::DerCertificate;

use self::{
    confirm::{ConfirmError, Expected},
    rekor::Log,
    services::ServicesError,
    token::{IdentityToken, TokenError},
};
use super::{
    Identity, Logged, Signatory, Signed, Signer, Signing, SigningError, Witnesses, envelope, message,
    service::{Service, ServiceError},
};
use crate::{cli::signer::KeylessArgs, exit::Exit, failure::Failure};

/// How often the same is signed until the log has an answer to one of the signatures.
const MOST_SIGNATURES: usize = 3;

/// Why an identity cannot sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeylessError {
    /// There is no token that could be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is not clear which services to use.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The trusted root is none.
    #[error("{} is no trusted root", path.display())]
    TrustedRoot {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TrustRootError,
    },
    /// Fulcio does not believe the token.
    #[error("no certificate is issued for this identity token")]
    Refused(#[source] ServiceError),
    /// A service did not do its part.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The key of this run cannot be made.
    #[error("no key can be made to sign with")]
    Key(#[source] sigstore_crypto::Error),
    /// The bundle is none that anybody would accept.
    #[error("the new signature does not verify, and was not published")]
    Confirm(#[from] ConfirmError),
}

impl From<KeylessError> for Failure {
    fn from(error: KeylessError) -> Self {
        let (exit, hint) = match error {
            KeylessError::Token(error) => return error.into(),
            KeylessError::Service(error) => return error.into(),
            KeylessError::Services(ref error) => error.meaning(),
            KeylessError::File { ref source, .. } if source.kind() == io::ErrorKind::NotFound => (Exit::NotFound, None),
            KeylessError::File { .. } => (Exit::InvalidInput, None),
            KeylessError::TrustedRoot { .. } => (
                Exit::InvalidInput,
                Some("--trusted-root takes a trusted_root.json, as `cosign trusted-root create` writes it"),
            ),
            KeylessError::Refused(_) => (
                Exit::Credentials,
                Some(
                    "the token has to be for the audience that this Fulcio expects (`sigstore`), from an issuer that it knows",
                ),
            ),
            KeylessError::Key(_) => (Exit::Failed, None),
            KeylessError::Confirm(_) => {
                (Exit::Refused, Some("do services and --trusted-root belong to the same instance?"))
            }
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(exit, error) }
    }
}

/// An identity with a certificate for the key of this run.
pub(super) struct Keyless {
    keys: KeyPair,
    der: DerCertificate,
    certificate: Certificate,
    log: Option<Log>,
    timestamps: Option<Service>,
    root: Option<TrustRoot>,
    public_good: bool,
    signatory: Signatory,
}

impl Keyless {
    /// Has a new key certified. The certificate lasts for minutes, so this comes last before signing.
    pub(super) async fn open(args: &KeylessArgs, timeout: Duration) -> Result<Self, KeylessError> {
        let config = args.signing_config.as_deref().map(read).transpose()?;
        let services = services::choose(args, config.as_deref())?;
        let root = match (&args.trusted_root, services.public_good) {
            (Some(path), _) => Some(
                TrustRoot::from_json(&read(path)?)
                    .map_err(|source| KeylessError::TrustedRoot { path: path.clone(), source })?,
            ),
            (None, true) => Some(TrustRoot::public_good()),
            (None, false) => None,
        };
        let connect = |service, address: &str| Service::new(service, address, None, timeout);
        let fulcio = connect("Fulcio", &services.fulcio)?;
        let log = services.rekor.map(|(address, version)| connect("Rekor", &address).map(|s| Log::new(s, version)));
        let timestamps = services.timestamp.map(|address| connect("the timestamp authority", &address));
        let (log, timestamps) = (log.transpose()?, timestamps.transpose()?);

        let token = ambient::token(args.identity_token.as_ref(), timeout).await?;
        let token = IdentityToken::parse(token, Timestamp::now())?;
        let keys = KeyPair::generate_ecdsa_p256().map_err(KeylessError::Key)?;
        let (der, certificate) = fulcio::certify(&fulcio, &token, &keys).await?;
        let identity =
            Identity { name: certificate.identity.clone(), issuer: certificate.issuer.clone(), root: root.clone() };
        let signatory = Signatory::Identity(identity);
        let public_good = services.public_good;
        Ok(Self { keys, der, certificate, log, timestamps, root, public_good, signatory })
    }

    async fn signed(&self, payload: &[u8]) -> Result<Signed, SigningError> {
        new_to_the_log(|| self.signed_once(payload)).await
    }

    async fn signed_once(&self, payload: &[u8]) -> Result<Signed, SigningError> {
        let message = message(payload);
        let signature = self.keys.sign(&message).map_err(SigningError::Key)?;
        let envelope = envelope(payload, signature);
        let entry = async {
            match &self.log {
                Some(log) => log.enter(&envelope, &message, &self.der).await.map(Some),
                None => Ok(None),
            }
        };
        let stamp = async {
            match &self.timestamps {
                Some(service) => timestamp::of(service, &envelope.signature.sig).await.map(Some),
                None => Ok(None),
            }
        };
        let (entry, stamp) = tokio::try_join!(entry, stamp).map_err(KeylessError::from)?;
        let logged = self.log.as_ref().zip(entry.as_ref());
        let logged = logged.map(|(log, entry)| Logged { log: log.address().to_owned(), index: entry.log_index.get() });
        let mut bundle = BundleV03::with_certificate_and_dsse(self.der.clone(), envelope);
        if let Some(entry) = entry {
            bundle = bundle.with_tlog_entry(entry);
        }
        if let Some(stamp) = stamp {
            bundle = bundle.with_rfc3161_timestamp(stamp);
        }
        let bundle = bundle.into_bundle().to_json().map(String::into_bytes).map_err(SigningError::Bundle)?;
        let expected = Expected {
            payload,
            certificate: &self.certificate,
            log: self.log.is_some(),
            timestamp: self.timestamps.is_some(),
            sct: self.public_good,
        };
        let times = confirm::confirm(&bundle, &expected, self.root.as_ref()).map_err(KeylessError::from)?;
        let witnesses = Witnesses { certificate: self.certificate.fingerprint, logged, times };
        Ok(Signed { bundle, witnesses: Some(witnesses) })
    }
}

/// Signs again where the log has the signature already: its answer was lost on the way, or came too late, and the same was
/// asked again. Rekor tells of no entry then, and no two signatures are the same.
async fn new_to_the_log<T, S: Future<Output = Result<T, SigningError>>>(
    mut sign: impl FnMut() -> S,
) -> Result<T, SigningError> {
    let is_there = |error: &SigningError| matches!(error, SigningError::Keyless(KeylessError::Service(error)) if error.status() == Some(409));
    for _ in 1..MOST_SIGNATURES {
        match sign().await {
            Err(error) if is_there(&error) => tracing::info!("the log has this signature already: another one is made"),
            other => return other,
        }
    }
    sign().await
}

fn read(path: impl AsRef<Path>) -> Result<String, KeylessError> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|source| KeylessError::File { path: path.to_owned(), source })
}

impl Signer for Keyless {
    fn signatory(&self) -> &Signatory {
        &self.signatory
    }

    fn sign<'a>(&'a self, payload: &'a [u8]) -> Signing<'a> {
        Box::pin(self.signed(payload))
    }
}

impl fmt::Debug for Keyless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyless({:?})", self.certificate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{
        service::Ask,
        stand_in::{Answer, StandIn},
    };

    #[tokio::test]
    async fn what_the_log_has_already_is_signed_again_and_nothing_else_is() {
        for (answers, asked, status) in [
            (vec![(201, "{}")], 1, None),
            (vec![(409, "an equivalent entry already exists"), (201, "{}")], 2, None),
            (vec![(409, ""), (409, ""), (409, ""), (201, "{}")], 3, Some(409)),
            (vec![(400, ""), (201, "{}")], 1, Some(400)),
        ] {
            let answers = answers.into_iter().map(|(status, body)| Answer::Status(status, body)).collect();
            let log = StandIn::new(answers);
            let service = Service::new("Rekor", &log.address, None, Duration::from_secs(5)).unwrap();
            let sign = || async {
                let entry =
                    Ask::post("/api/v2/log/entries", reqwest::header::HeaderMap::new(), "application/json", vec![]);
                service.ask(&entry).await.map_err(|error| SigningError::from(KeylessError::from(error)))
            };
            let signed = new_to_the_log(sign).await;
            let said = signed.err().map(|error| match error {
                SigningError::Keyless(KeylessError::Service(error)) => error.status(),
                other => panic!("{other}"),
            });
            assert_eq!((log.asked(), said.flatten()), (asked, status));
        }
    }
}
