//! What the platform hands over for registries: certificates, and who the controller is in its cloud. Read once.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sealift_registry::{
    client::{ClientCertificate, ClientConfig, PlainHttp, Proxies, Timeouts},
    identity::{Identity, IdentityRule, IdentitySetupError, Provider},
};
use sealift_verify::reference::Repository;

use crate::options::{Options, RegistryCertificate};

/// Certificates, proxies and identities for registries.
#[derive(Clone, Default)]
pub struct Platform {
    /// CA certificates trusted in addition to the system's, as PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Which proxies there are.
    pub proxies: Proxies,
    certificates: HashMap<String, ClientCertificate>,
    rules: Vec<IdentityRule>,
    identities: HashMap<Provider, Arc<Identity>>,
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Why something that the platform names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// A file of certificates or a key cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The environment does not say who this is.
    #[error("the identity in {provider} cannot be used")]
    Identity {
        /// The cloud.
        provider: Provider,
        /// Why.
        #[source]
        source: IdentitySetupError,
    },
}

impl Platform {
    /// What the options and the environment name.
    ///
    /// # Errors
    /// [`PlatformError`] if something is named and cannot be used.
    pub fn load(options: &Options) -> Result<Self, PlatformError> {
        let extra_ca_pem = options.registry_ca.as_deref().map(read).transpose()?;
        let mut certificates = HashMap::new();
        for RegistryCertificate { host, certificate, key } in &options.registry_cert {
            let pair = ClientCertificate { chain_pem: read(certificate)?, key_pem: read(key)?.into() };
            certificates.insert(host.clone(), pair);
        }
        let (proxies, mut identities) = (Proxies::from_environment(), HashMap::new());
        for rule in &options.registry_identity {
            let provider = rule.provider();
            let identity = Identity::from_environment(provider, extra_ca_pem.as_deref(), &proxies);
            let identity = identity.map_err(|source| PlatformError::Identity { provider, source })?;
            identities.insert(provider, Arc::new(identity));
        }
        Ok(Self { extra_ca_pem, proxies, certificates, rules: options.registry_identity.clone(), identities })
    }

    /// The certificate to show to the registry at `host`.
    pub fn certificate(&self, host: &str) -> Option<ClientCertificate> {
        self.certificates.get(host).cloned()
    }

    /// How services are reached that tenants name: with what the platform has for registries, and no credentials of its own.
    pub fn for_services(&self, options: &Options) -> ClientConfig {
        let plain_http = match options.plain_http_service.as_slice() {
            [] => PlainHttp::Never,
            hosts => PlainHttp::Hosts(hosts.to_vec()),
        };
        ClientConfig {
            plain_http,
            extra_ca_pem: self.extra_ca_pem.clone(),
            proxies: self.proxies.clone(),
            timeouts: Timeouts { connect: Duration::from_secs(5), ..Timeouts::default() },
            user_agent: concat!("sealift-controller/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::in_cluster()
        }
    }

    /// Who to be at the registry of `place`, where nobody says otherwise.
    pub fn identity(&self, place: &Repository) -> Option<Arc<Identity>> {
        self.identities.get(&IdentityRule::choose(&self.rules, place)?).cloned()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PlatformError> {
    std::fs::read(path).map_err(|source| PlatformError::Read { path: path.to_owned(), source })
}
