//! The HTTP clients of one registry. Every request is made here, so none gets round the guard.
//!
//! A client certificate says who is there, so only the registry itself is shown it: not the object storage that it
//! redirects to, not a token service elsewhere.

use std::{sync::Arc, time::Duration};

use reqwest::{ClientBuilder, Identity, Method, RequestBuilder, Url, redirect};
use secrecy::ExposeSecret;

use super::{
    certificates,
    config::{ClientCertificate, ClientConfig},
    error::{Refusal, SetupError},
    guard::{Guard, GuardedResolver},
    proxy::Detour,
};

/// A name that this machine cannot resolve in this time is left to the proxy.
const NAME_TIME: Duration = Duration::from_secs(2);

/// Makes requests to a registry and to where it leads.
#[derive(Debug)]
pub(crate) struct Transport {
    guard: Arc<Guard>,
    registry: Url,
    detour: Option<Detour>,
    bare: Pair,
    certified: Option<Pair>,
}

/// One client for what goes directly, one for what goes through a proxy.
#[derive(Debug)]
struct Pair {
    direct: reqwest::Client,
    detour: Option<reqwest::Client>,
}

impl Transport {
    /// For the registry at `registry`, as `config` has it.
    pub(crate) fn new(registry: Url, guard: Arc<Guard>, config: &ClientConfig) -> Result<Self, SetupError> {
        let detour = Detour::new(&config.proxies)?;
        let identity = config.certificate.as_ref().map(identity).transpose()?;
        let pair = |identity: Option<Identity>| Pair::new(config, &guard, detour.as_ref(), identity);
        let (bare, certified) = (pair(None)?, identity.map(|identity| pair(Some(identity))).transpose()?);
        Ok(Self { guard, registry, detour, bare, certified })
    }

    /// A request to `url`, unless the guard refuses it.
    pub(crate) async fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Refusal> {
        self.guard.check(url)?;
        let certified = self.certified.as_ref().filter(|_| url.origin() == self.registry.origin());
        let pair = certified.unwrap_or(&self.bare);
        let is_detour = !self.guard.is_local(url) && self.detour.as_ref().is_some_and(|detour| detour.takes(url));
        let client = match &pair.detour {
            Some(client) if is_detour => {
                self.judge_name(url).await?;
                client
            }
            _ => &pair.direct,
        };
        Ok(client.request(method, url.clone()))
    }

    /// A proxy resolves names for itself, out of the guarded resolver's sight. A name that means something local here
    /// is refused all the same; one that this machine does not know is the proxy's to judge.
    async fn judge_name(&self, url: &Url) -> Result<(), Refusal> {
        let Some(url::Host::Domain(name)) = url.host() else { return Ok(()) };
        match tokio::time::timeout(NAME_TIME, tokio::net::lookup_host((name, 0))).await {
            Ok(Ok(found)) => self.guard.check_addresses(name, found.map(|address| address.ip())),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

impl Pair {
    fn new(
        config: &ClientConfig,
        guard: &Arc<Guard>,
        detour: Option<&Detour>,
        identity: Option<Identity>,
    ) -> Result<Self, SetupError> {
        let builder = || settings(config, identity.clone());
        let direct = builder()?.no_proxy().dns_resolver(GuardedResolver(Arc::clone(guard)));
        let proxied = |detour: &Detour| {
            // Its only names are those of the proxies, which the platform chose.
            let builder = detour.proxies().fold(builder()?.no_proxy(), ClientBuilder::proxy);
            builder.build().map_err(SetupError::Http)
        };
        Ok(Self { direct: direct.build().map_err(SetupError::Http)?, detour: detour.map(proxied).transpose()? })
    }
}

fn settings(config: &ClientConfig, identity: Option<Identity>) -> Result<ClientBuilder, SetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(config.user_agent)
        .connect_timeout(config.timeouts.connect)
        .read_timeout(config.timeouts.idle)
        .redirect(redirect::Policy::none())
        // A digest is that of the bytes as stored, so nothing may be decoded on the way.
        .no_gzip();
    if let Some(pem) = &config.extra_ca_pem {
        builder = builder.tls_certs_merge(certificates(pem)?);
    }
    Ok(match identity {
        Some(identity) => builder.identity(identity),
        None => builder,
    })
}

/// Certificate and key in the one text that the HTTP client reads.
fn identity(certificate: &ClientCertificate) -> Result<Identity, SetupError> {
    let ClientCertificate { chain_pem, key_pem } = certificate;
    let both = [chain_pem.as_slice(), b"\n", key_pem.expose_secret()].concat();
    Identity::from_pem(&both).map_err(SetupError::Identity)
}
