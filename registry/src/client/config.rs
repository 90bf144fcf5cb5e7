//! What a client may do and with which credentials.

use std::{fmt, sync::Arc, time::Duration};

use sealift_verify::{artifact::Limits, digest::Hasher};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::proxy::Proxies;
use crate::identity::Identity;

/// Where plain HTTP may be spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// To loopback hosts only, and there always: what a command line expects.
    #[default]
    LoopbackOnly,
    /// Nowhere.
    Never,
    /// To these hosts (`host` or `host:port`, as in a repository), and there always. Naming a host here also allows
    /// it to be a loopback or link-local address.
    Hosts(Vec<String>),
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// One request about a manifest, a tag or a token, with its whole answer.
    pub request: Duration,
    /// One transfer of a blob.
    pub transfer: Duration,
    /// All attempts at one call; no further attempt starts after this.
    pub retry: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            request: Duration::from_secs(60),
            transfer: Duration::from_secs(600),
            retry: Duration::from_secs(60),
        }
    }
}

/// A certificate to show to the registry, and to nobody else.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority, as PEM.
    pub chain_pem: Vec<u8>,
    /// Its private key, as PEM: PKCS#8, PKCS#1 or SEC 1, not encrypted.
    pub key_pem: SecretSlice<u8>,
}

/// Settings of a [`Client`](super::Client).
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where plain HTTP may be spoken.
    pub plain_http: PlainHttp,
    /// Whether the registry itself may be a loopback address. True suits a command line; in a cluster, loopback is
    /// the node's own services.
    pub allow_loopback: bool,
    /// Hosts that may be loopback or link-local addresses because the platform's configuration names them.
    pub local_hosts: Vec<String>,
    /// CA certificates trusted in addition to the system's, as PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Who to be in TLS, where the registry asks.
    pub certificate: Option<ClientCertificate>,
    /// Which proxies there are; none by default, whatever the environment says.
    pub proxies: Proxies,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// The `User-Agent`.
    pub user_agent: &'static str,
    /// How many bytes are taken.
    pub limits: Limits,
    /// Who to be.
    pub credentials: Credentials,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            plain_http: PlainHttp::default(),
            allow_loopback: true,
            local_hosts: Vec::new(),
            extra_ca_pem: None,
            certificate: None,
            proxies: Proxies::default(),
            timeouts: Timeouts::default(),
            user_agent: concat!("sealift/", env!("CARGO_PKG_VERSION")),
            limits: Limits::default(),
            credentials: Credentials::Anonymous,
        }
    }
}

impl ClientConfig {
    /// What the controller uses: nothing local, nothing plain, until platform configuration names a host.
    pub fn in_cluster() -> Self {
        Self { plain_http: PlainHttp::Never, allow_loopback: false, ..Self::default() }
    }
}

/// Who to be at a registry.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody; still asks the token service where the registry wants that.
    #[default]
    Anonymous,
    /// A user name and a password or access token.
    Basic {
        /// The user name.
        username: String,
        /// The password or access token.
        password: SecretString,
    },
    /// A refresh token, exchanged at the token service for one of the repository.
    IdentityToken(SecretString),
    /// A token sent to the registry as it is.
    RegistryToken(SecretString),
    /// Whoever this workload is in its cloud; asked when the registry wants to know, and again before that runs out.
    Workload(Arc<Identity>),
}

/// Tells equal credentials from different ones without showing them: a client is shared only between equal ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash of a weak password gives the password away.
        f.write_str("Fingerprint(..)")
    }
}

impl Credentials {
    /// True if nobody is presented.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// The fingerprint of these credentials.
    pub fn fingerprint(&self) -> Fingerprint {
        let mark = match self {
            Self::Workload(identity) => identity.mark().to_string(),
            _ => String::new(),
        };
        let (kind, user, secret) = match self {
            Self::Anonymous => ("anonymous", "", ""),
            Self::Basic { username, password } => ("basic", username.as_str(), password.expose_secret()),
            Self::IdentityToken(token) => ("identity", "", token.expose_secret()),
            Self::RegistryToken(token) => ("registry", "", token.expose_secret()),
            Self::Workload(_) => ("workload", mark.as_str(), ""),
        };
        let mut hasher = Hasher::new();
        for part in [kind, user, secret] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        Fingerprint(*hasher.finish().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic { username: username.into(), password: password.into() }
    }

    #[test]
    fn fingerprints_differ_where_credentials_differ() {
        assert_eq!(basic("a", "b").fingerprint(), basic("a", "b").fingerprint());
        assert_ne!(basic("a", "b").fingerprint(), basic("ab", "").fingerprint());
        assert_ne!(
            Credentials::IdentityToken("t".into()).fingerprint(),
            Credentials::RegistryToken("t".into()).fingerprint()
        );
    }

    #[test]
    fn credentials_do_not_print_their_secret() {
        let printed = format!("{:?} {:?}", basic("me", "hunter2"), basic("me", "hunter2").fingerprint());
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
