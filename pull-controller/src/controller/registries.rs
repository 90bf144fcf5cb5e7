//! Clients of registries, one for each host and identity, and what a Delivery presents there. *cluster*, *registry*

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use sealift_apply::cluster::ClusterError;
use sealift_registry::{
    client::{Client, ClientConfig, Credentials, Fingerprint, PlainHttp, Timeouts},
    docker_config::{parse_legacy_pull_secret, parse_pull_secret},
    identity::Identity,
    store::{Layout, Location, Place, Store},
};
use sealift_verify::reference::Repository;
use secrecy::{ExposeSecret, SecretSlice};

use super::{named::Reader, source::SourceError};
use crate::{options::Options, platform::Platform};

/// More clients than this are not kept; each holds connections and tokens.
const MOST_CLIENTS: usize = 512;
/// Where a pull secret holds its Docker configuration.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// Where one of the older type does.
const LEGACY_DOCKER_CONFIG: &str = ".dockercfg";

/// As whom a registry is asked. Answers and artifacts are shared only between equal ones, and between tenants only those
/// that anybody gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Who {
    pub(super) fingerprint: Fingerprint,
    /// The namespace, unless nobody is presented.
    pub(super) tenant: Option<String>,
}

/// The clients in use. Nothing local and nothing plain is spoken to unless platform configuration names the host.
#[derive(Debug)]
pub(super) struct Registries {
    config: ClientConfig,
    platform: Platform,
    stores: Mutex<HashMap<(String, Fingerprint), Arc<Store>>>,
}

impl Registries {
    /// Clients that keep to the platform's configuration.
    pub(super) fn new(options: &Options, platform: Platform) -> Self {
        let plain_http = match options.plain_http_host.as_slice() {
            [] => PlainHttp::Never,
            hosts => PlainHttp::Hosts(hosts.to_vec()),
        };
        // A registry that is down must not hold workers for long: the reconcile is what tries again.
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(20),
            request: Duration::from_secs(30),
            transfer: Duration::from_secs(300),
            retry: Duration::from_secs(10),
        };
        let config = ClientConfig {
            plain_http,
            local_hosts: options.allow_host.clone(),
            extra_ca_pem: platform.extra_ca_pem.clone(),
            proxies: platform.proxies.clone(),
            timeouts,
            user_agent: concat!("sealift-controller/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::in_cluster()
        };
        Self { config, platform, stores: Mutex::default() }
    }

    /// Who to be at `place` where a Delivery has nothing of its own.
    pub(super) fn identity(&self, place: &Repository) -> Option<Arc<Identity>> {
        self.platform.identity(place)
    }

    /// What lies at `place`, asked with these credentials: one for each host, and for each layout.
    pub(super) fn store(&self, place: &Place, credentials: Credentials) -> Result<Arc<Store>, SourceError> {
        let named = match &place.location {
            Location::Registry(repository) => repository.host().to_owned(),
            layout => layout.to_string(),
        };
        let key = (named, credentials.fingerprint());
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&key) {
            return Ok(Arc::clone(store));
        }
        if stores.len() >= MOST_CLIENTS {
            stores.clear();
        }
        let store = match Layout::at(&place.location, &self.config)? {
            Some(layout) => Store::from(layout),
            None => {
                let host = place.repository.host();
                let certificate = self.platform.certificate(host);
                Client::new(host, ClientConfig { certificate, credentials, ..self.config.clone() })?.into()
            }
        };
        let store = Arc::new(store);
        stores.insert(key, Arc::clone(&store));
        Ok(store)
    }
}

/// The content of a Delivery's pull secret, if it names one. Never printed.
#[derive(Clone, Default)]
pub(super) struct PullSecret(Option<Named>);

#[derive(Clone)]
struct Named {
    name: String,
    /// Uid and version of the Secret: other ones, other credentials.
    version: String,
    form: Form,
    content: SecretSlice<u8>,
}

/// How the content is written.
#[derive(Clone, Copy)]
enum Form {
    DockerConfig,
    Legacy,
}

impl fmt::Debug for PullSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PullSecret(..)")
    }
}

/// Why a pull secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PullSecretError {
    /// The account may not read it, or the cluster did not answer.
    #[error("the pull secret {name} cannot be read")]
    Cluster {
        /// The Secret.
        name: String,
        /// The cluster's words.
        #[source]
        source: ClusterError,
    },
    /// It is missing or holds no Docker configuration.
    #[error("the pull secret {name} {problem}")]
    Unusable {
        /// The Secret.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl PullSecret {
    /// Reads the secret as the Delivery's account: whoever may not read it may not use it.
    pub(super) async fn read(reader: Reader<'_>, name: Option<&str>) -> Result<Self, PullSecretError> {
        let Some(name) = name else { return Ok(Self(None)) };
        let unusable = |problem: String| PullSecretError::Unusable { name: name.to_owned(), problem };
        let secret: Arc<Secret> = reader
            .object(name)
            .await
            .map_err(|source| PullSecretError::Cluster { name: name.to_owned(), source })?
            .ok_or_else(|| unusable("does not exist".to_owned()))?;
        let take = |key: &str, form: Form| Some((secret.data.as_ref()?.get(key)?.clone(), form));
        let found = take(DOCKER_CONFIG, Form::DockerConfig).or_else(|| take(LEGACY_DOCKER_CONFIG, Form::Legacy));
        let (content, form) =
            found.ok_or_else(|| unusable(format!("has neither a key {DOCKER_CONFIG} nor {LEGACY_DOCKER_CONFIG}")))?;
        let ObjectMeta { uid, resource_version, .. } = &secret.metadata;
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let version = format!("{}/{}", text(uid), text(resource_version));
        Ok(Self(Some(Named { name: name.to_owned(), version, form, content: content.0.into() })))
    }

    /// What tells it from every other Secret and every other version of it; `None` if none is named.
    pub(super) fn version(&self) -> Option<String> {
        self.0.as_ref().map(|Named { name, version, .. }| format!("{name}/{version}"))
    }

    #[cfg(test)]
    pub(super) fn for_test(name: &str, version: &str) -> Self {
        let content = SecretSlice::from(b"{}".to_vec());
        Self(Some(Named { name: name.to_owned(), version: version.to_owned(), form: Form::DockerConfig, content }))
    }

    /// What it has for a place: credentials go to no host it does not name.
    pub(super) fn credentials(&self, place: &Repository) -> Result<Credentials, PullSecretError> {
        let Some(Named { name, version: _, form, content }) = &self.0 else { return Ok(Credentials::Anonymous) };
        let parse = match form {
            Form::DockerConfig => parse_pull_secret,
            Form::Legacy => parse_legacy_pull_secret,
        };
        parse(content.expose_secret(), place).map_err(|error| PullSecretError::Unusable {
            name: name.clone(),
            problem: format!("cannot be used: {error}"),
        })
    }
}
