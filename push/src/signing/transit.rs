//! Keys that never leave a server: the transit engine of HashiCorp Vault and of OpenBao.
//!
//! Addressed as cosign does it: `hashivault://KEY` or `openbao://KEY`, the server and what opens it in the environment.

use std::{env, fmt, fs, io, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sealift_verify::{
    digest::Digest,
    duration::Duration,
    keys::{KeyError, PublicKey},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sigstore_types::SignatureBytes;

use super::{
    Signatory, Signer, Signing, SigningError, key_bundle, message,
    service::{Ask, Service, ServiceError},
};
use crate::{exit::Exit, failure::Failure};

/// What every verifier reads, and the type of the transit key that makes it.
const KEY_TYPE: &str = "ecdsa-p256";

const RIGHTS: &str = "the token needs `read` on keys/KEY and `update` on sign/KEY/sha2-256 of the transit engine, in the right namespace";

/// Why a transit key cannot sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransitError {
    /// No server is named.
    #[error("neither VAULT_ADDR nor BAO_ADDR says where the server is")]
    NoAddress,
    /// Nothing opens it.
    #[error("there is no token for the server: VAULT_TOKEN and BAO_TOKEN are not set, and there is no ~/.vault-token")]
    NoToken,
    /// A token or namespace that no HTTP header can hold.
    #[error("the {0} holds characters that no request can carry")]
    Header(&'static str),
    /// A mount that is no path.
    #[error("TRANSIT_SECRET_ENGINE_PATH={0:?} is no path of a secrets engine")]
    Mount(String),
    /// A file that the environment names.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server does not say or does what it should.
    #[error("transit key {key:?} cannot be used")]
    Service {
        /// Which key.
        key: String,
        /// Why.
        #[source]
        source: ServiceError,
    },
    /// The engine is not there, or has no such key.
    #[error("there is no key {key:?} in the transit engine at {mount:?}")]
    Missing {
        /// Which key.
        key: String,
        /// Where.
        mount: String,
    },
    /// It cannot make the signatures that every verifier reads.
    #[error("transit key {key:?} is of type {found:?}, not {KEY_TYPE}")]
    Type {
        /// Which key.
        key: String,
        /// What it is.
        found: String,
    },
    /// What the server calls its public half is none.
    #[error("the public half of transit key {key:?} cannot be used")]
    Public {
        /// Which key.
        key: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The server signed with something else than it said it would.
    #[error("what the server signed with transit key {0:?} does not verify with that key's public half")]
    NotItsSignature(String),
}

impl From<TransitError> for Failure {
    fn from(error: TransitError) -> Self {
        let (exit, hint) = match error {
            TransitError::Service { ref source, .. } if source.status() == Some(403) => {
                (Exit::Credentials, Some(RIGHTS))
            }
            TransitError::Service { ref source, .. } => source.meaning(),
            TransitError::NoAddress => (Exit::Usage, Some("set VAULT_ADDR=https://…")),
            TransitError::NoToken => (Exit::Credentials, Some("set VAULT_TOKEN, or log in with `vault login`")),
            TransitError::Header(_) | TransitError::Mount(_) => (Exit::InvalidInput, None),
            TransitError::File { ref source, .. } if source.kind() == io::ErrorKind::NotFound => (Exit::NotFound, None),
            TransitError::File { .. } => (Exit::InvalidInput, None),
            TransitError::Missing { .. } => (
                Exit::NotFound,
                Some(
                    "make one with `vault write -f transit/keys/KEY type=ecdsa-p256`; TRANSIT_SECRET_ENGINE_PATH names another engine",
                ),
            ),
            TransitError::Type { .. } => {
                (Exit::InvalidInput, Some("make one with `vault write -f transit/keys/KEY type=ecdsa-p256`"))
            }
            TransitError::Public { .. } => (Exit::Failed, None),
            TransitError::NotItsSignature(_) => (Exit::Refused, Some("nothing was published")),
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(exit, error) }
    }
}

/// Where the server is and what opens it.
struct Access {
    address: String,
    token: SecretString,
    namespace: Option<String>,
    mount: String,
    ca_file: Option<PathBuf>,
}

impl Access {
    /// From variables, Vault's before OpenBao's as cosign reads them, and the file that `vault login` writes.
    fn find(
        variable: impl Fn(&str) -> Option<String>,
        login: impl FnOnce() -> Option<String>,
    ) -> Result<Self, TransitError> {
        let either = |name: &str| {
            [format!("VAULT_{name}"), format!("BAO_{name}")]
                .iter()
                .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        let address = either("ADDR").ok_or(TransitError::NoAddress)?;
        let token = either("TOKEN").or_else(login).map(|token| token.trim().to_owned());
        let token = token.filter(|token| !token.is_empty()).ok_or(TransitError::NoToken)?.into();
        let mount = variable("TRANSIT_SECRET_ENGINE_PATH").filter(|mount| !mount.is_empty());
        let mount = mount.unwrap_or_else(|| "transit".to_owned());
        let mount = mount.trim_matches('/').to_owned();
        let segment = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !mount.split('/').all(segment) {
            return Err(TransitError::Mount(mount));
        }
        let (namespace, ca_file) = (either("NAMESPACE"), either("CACERT").map(PathBuf::from));
        Ok(Self { address, token, namespace, mount, ca_file })
    }

    fn headers(&self) -> Result<HeaderMap, TransitError> {
        let value = |text: &str, what| HeaderValue::from_str(text).map_err(|_| TransitError::Header(what));
        let mut token = value(self.token.expose_secret(), "token")?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static("x-vault-token"), token)]);
        // The server refuses requests without it where a proxy could have been tricked into sending them.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert("x-vault-namespace", value(namespace, "namespace")?);
        }
        Ok(headers)
    }
}

/// A key of a transit engine, at the version that is its latest.
pub(super) struct TransitKey {
    service: Service,
    headers: HeaderMap,
    mount: String,
    name: String,
    version: u64,
    public: PublicKey,
    public_pem: String,
    signatory: Signatory,
}

/// What the server says about a key, as far as it matters.
#[derive(Deserialize)]
struct Described {
    data: Description,
}

#[derive(Deserialize)]
struct Description {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    latest_version: u64,
    /// Symmetric keys have numbers here.
    #[serde(default)]
    keys: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Answered {
    data: Signature,
}

#[derive(Deserialize)]
struct Signature {
    signature: String,
}

impl TransitKey {
    /// Reads the key's public half from the server.
    pub(super) async fn open(name: &str, timeout: Duration) -> Result<Self, TransitError> {
        let access = Access::find(|name| env::var(name).ok(), logged_in)?;
        let ca = access
            .ca_file
            .as_ref()
            .map(|path| fs::read(path).map_err(|source| TransitError::File { path: path.clone(), source }));
        let failed = |source| TransitError::Service { key: name.to_owned(), source };
        let service = Service::new("Vault", &access.address, ca.transpose()?.as_deref(), timeout).map_err(failed)?;
        let headers = access.headers()?;
        let path = format!("/v1/{}/keys/{name}", access.mount);
        let described: Described = match service.ask_json(&Ask::get(&path, headers.clone())).await {
            Ok(described) => described,
            Err(error) if error.status() == Some(404) => {
                return Err(TransitError::Missing { key: name.to_owned(), mount: access.mount });
            }
            Err(error) => return Err(failed(error)),
        };
        let (version, public_pem) = public_half(name, described.data)?;
        let public =
            PublicKey::from_pem(&public_pem).map_err(|source| TransitError::Public { key: name.to_owned(), source })?;
        let signatory = Signatory::Key(public.clone());
        let Access { mount, .. } = access;
        Ok(Self { service, headers, mount, name: name.to_owned(), version, public, public_pem, signatory })
    }

    /// The public half as PEM, for policies.
    pub(super) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    async fn signature(&self, payload: &[u8]) -> Result<SignatureBytes, TransitError> {
        let message = message(payload);
        let request = serde_json::json!({
            "input": STANDARD.encode(Digest::of(&message).as_bytes()),
            "prehashed": true,
            "marshaling_algorithm": "asn1",
            // A rotation since the public half was read does not come between.
            "key_version": self.version,
        });
        let path = format!("/v1/{}/sign/{}/sha2-256", self.mount, self.name);
        let ask = Ask::post(&path, self.headers.clone(), "application/json", request.to_string().into_bytes());
        let failed = |source| TransitError::Service { key: self.name.clone(), source };
        let answered: Answered = self.service.ask_json(&ask).await.map_err(failed)?;
        let signature = bytes(&answered.data.signature, self.version);
        let signature =
            signature.ok_or_else(|| failed(self.service.unusable("no signature by the version asked for")))?;
        match self.public.verifies(&message, &signature) {
            true => Ok(signature),
            false => Err(TransitError::NotItsSignature(self.name.clone())),
        }
    }
}

/// The latest version and its public half.
fn public_half(name: &str, description: Description) -> Result<(u64, String), TransitError> {
    let Description { kind, latest_version, keys } = description;
    if kind != KEY_TYPE {
        return Err(TransitError::Type { key: name.to_owned(), found: kind });
    }
    let pem = keys.get(&latest_version.to_string()).and_then(|version| version.get("public_key")?.as_str());
    let none = || TransitError::Public { key: name.to_owned(), source: KeyError::Pem(None) };
    Ok((latest_version, format!("{}\n", pem.ok_or_else(none)?.trim())))
}

/// `vault:vVERSION:BASE64`.
fn bytes(signature: &str, version: u64) -> Option<SignatureBytes> {
    let encoded = signature.strip_prefix("vault:v")?.strip_prefix(&version.to_string())?.strip_prefix(':')?;
    STANDARD.decode(encoded).ok().map(|bytes| SignatureBytes::from_bytes(&bytes))
}

/// The token of `vault login` and `bao login`.
fn logged_in() -> Option<String> {
    fs::read_to_string(env::home_dir()?.join(".vault-token")).ok()
}

impl Signer for TransitKey {
    fn signatory(&self) -> &Signatory {
        &self.signatory
    }

    fn sign<'a>(&'a self, payload: &'a [u8]) -> Signing<'a> {
        Box::pin(async {
            let signature = self.signature(payload).await.map_err(SigningError::Transit)?;
            key_bundle(&self.public, payload, signature)
        })
    }
}

impl fmt::Debug for TransitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransitKey({}, {:?})", self.name, self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)], login: Option<&str>) -> Result<Access, TransitError> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Access::find(variable, || login.map(str::to_owned))
    }

    #[test]
    fn access_is_read_as_cosign_reads_it() {
        let access = find(
            &[("VAULT_ADDR", "https://v"), ("BAO_ADDR", "https://b"), ("BAO_TOKEN", "t"), ("BAO_NAMESPACE", "team")],
            Some("other"),
        );
        let access = access.unwrap();
        assert_eq!(
            (access.address.as_str(), access.token.expose_secret(), access.mount.as_str()),
            ("https://v", "t", "transit")
        );
        let headers = access.headers().unwrap();
        assert_eq!(headers["x-vault-namespace"], "team");
        assert!(headers["x-vault-token"].is_sensitive() && !format!("{headers:?}").contains("\"t\""));

        let at =
            [("VAULT_ADDR", "https://v"), ("TRANSIT_SECRET_ENGINE_PATH", "/teams/a/transit/"), ("VAULT_TOKEN", "")];
        let access = find(&at, Some("logged-in\n")).unwrap();
        assert_eq!((access.token.expose_secret(), access.mount.as_str()), ("logged-in", "teams/a/transit"));
    }

    #[test]
    fn access_that_is_no_access_is_refused() {
        let at = ("VAULT_ADDR", "https://v");
        assert!(matches!(find(&[("VAULT_TOKEN", "t")], None), Err(TransitError::NoAddress)));
        assert!(matches!(find(&[at], Some(" \n")), Err(TransitError::NoToken)));
        for mount in ["a//b", "../sys", "a/..", "a?b", "/"] {
            let found = find(&[at, ("TRANSIT_SECRET_ENGINE_PATH", mount)], Some("t"));
            assert!(matches!(found, Err(TransitError::Mount(_))), "{mount}");
        }
        let headers = find(&[at, ("VAULT_TOKEN", "a\nb")], None).unwrap().headers();
        assert!(matches!(headers, Err(TransitError::Header("token"))));
    }

    #[test]
    fn a_signature_of_another_version_is_none() {
        assert_eq!(bytes("vault:v2:AQI=", 2).unwrap().as_bytes(), [1, 2]);
        for wrong in ["vault:v1:AQI=", "vault:v22:AQI=", "vault:v2:!", "AQI=", "vault:v2"] {
            assert!(bytes(wrong, 2).is_none(), "{wrong}");
        }
    }
}
