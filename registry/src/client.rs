//! A client for one OCI registry and one set of credentials.
//!
//! # Which part is `oci_distribution`'s
//! Its types read tag lists, tokens and error bodies (`oci_distribution` is the crate `oci-client` under its former name).
//! The requests are ours, because that crate reads manifests, tag lists and blobs without a bound, takes the token
//! service's address from the registry unchecked, keeps the first credentials per host for ever, takes "rate limited" for
//! "no referrers", follows redirects anywhere, knows no client certificates, and panics when a registry answers a manifest
//! without `Location`. Uploads were left to it until they, too, had to keep to the proxy, the guard and the certificate.
//!
//! # What is never done
//! Credentials go to the registry and to the token service it names, nowhere else: not along redirects, not to the
//! next page or the upload session on another host, not into an error. A body is read up to its limit and no byte further.

mod attach;
mod auth;
mod blob;
mod config;
mod error;
mod guard;
mod login;
mod outbound;
mod page;
mod pieces;
mod proxy;
mod pull;
mod push;
mod referrers;
mod send;
mod transport;
mod upload;

use std::sync::Arc;

use reqwest::{Certificate, Method, RequestBuilder, Url};
use sealift_verify::{artifact::Limits, reference::Repository};

pub(crate) use self::pieces::Upload;
#[cfg(test)]
pub(crate) use self::referrers::CREATED;
pub use self::{
    attach::{Attached, AttachedBy},
    config::{ClientCertificate, ClientConfig, Credentials, Fingerprint, PlainHttp, Timeouts},
    error::{At, ClientError, Fault, Outage, Refusal, Reply, SetupError},
    login::Checked,
    outbound::{Incoming, Outbound, OutboundError, Outgoing},
    proxy::Proxies,
    push::{Put, PutAs},
    referrers::Referrers,
    send::Sent,
};
use self::{auth::Authenticator, guard::Guard, transport::Transport};
pub(crate) use self::{
    proxy::Detour,
    referrers::{entries, fallback_tag, newest_first, referrer_entry, unite},
};

/// Talks to one registry as one identity. Share it between tasks by reference or `Arc`; make another for other
/// credentials.
#[derive(Debug)]
pub struct Client {
    host: String,
    base: Url,
    transport: Transport,
    auth: Authenticator,
    timeouts: Timeouts,
    limits: Limits,
}

/// Docker Hub's repositories are named after a host that does not serve them.
fn endpoint(host: &str) -> &str {
    match host {
        "docker.io" | "index.docker.io" => "registry-1.docker.io",
        _ => host,
    }
}

impl Client {
    /// A client for the registry at `host` (`host` or `host:port`, as in a repository). Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] if the host is none, or certificates, key or proxies cannot be used.
    pub fn new(host: &str, config: ClientConfig) -> Result<Self, SetupError> {
        let guard = Arc::new(Guard::new(endpoint(host), &config));
        let base = Url::parse(&format!("{}://{}/v2/", guard.scheme(), endpoint(host)))
            .ok()
            .filter(|url| url.path() == "/v2/" && url.host().is_some())
            .ok_or_else(|| SetupError::Host(host.to_owned()))?;
        let transport = Transport::new(base.clone(), guard, &config)?;
        let ClientConfig { timeouts, limits, credentials, .. } = config;
        Ok(Self { host: host.to_owned(), base, transport, auth: Authenticator::new(credentials), timeouts, limits })
    }

    /// The registry's host as given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How many bytes are taken.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The URL of `rest` in `repository`, if that is a repository of this registry.
    fn url(&self, repository: &Repository, rest: &str) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        // Repository paths, tags and digests hold no character that a URL's path would give a meaning to.
        url.set_path(&format!("/v2/{}/{rest}", repository.path()));
        if endpoint(repository.host()) == endpoint(&self.host) {
            return Ok(url);
        }
        let at = At {
            host: repository.host().to_owned(),
            repository: repository.path().to_owned(),
            path: url.path().to_owned(),
        };
        Err(ClientError::refused(at, Refusal::OtherRegistry))
    }

    /// A request to a path of the registry's host outside its API, without credentials.
    pub(crate) async fn outside(&self, method: Method, path: &str) -> Result<RequestBuilder, Refusal> {
        let mut url = self.base.clone();
        url.set_path(path);
        Ok(self.transport.request(method, &url).await?.timeout(self.timeouts.request))
    }

    fn at(&self, url: &Url, repository: &Repository) -> At {
        At { host: authority(url), repository: repository.path().to_owned(), path: url.path().to_owned() }
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, SetupError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if certificates.is_empty() => Err(SetupError::Certificates(None)),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(SetupError::Certificates(Some(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_read_are_an_error_not_a_default() {
        for pem in [&b""[..], b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let config = ClientConfig { extra_ca_pem: Some(pem.to_vec()), ..ClientConfig::default() };
            assert!(Client::new("registry.example", config).is_err(), "{}", String::from_utf8_lossy(pem));
        }
    }

    #[test]
    fn a_repository_of_another_registry_is_refused_before_anything_is_sent() {
        let client = Client::new("registry.example", ClientConfig::default()).unwrap();
        let other: Repository = "other.example/app".parse().unwrap();
        assert!(matches!(
            client.url(&other, "tags/list"),
            Err(ClientError::Refused { refusal: Refusal::OtherRegistry, .. })
        ));
        let hub = Client::new("docker.io", ClientConfig::default()).unwrap();
        let repository: Repository = "index.docker.io/library/busybox".parse().unwrap();
        assert_eq!(
            hub.url(&repository, "tags/list").unwrap().as_str(),
            "https://registry-1.docker.io/v2/library/busybox/tags/list"
        );
    }
}
