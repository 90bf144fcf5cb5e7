//! The network guard: which hosts may be spoken to, and how. Asked before each request, each redirect, each token
//! request, and once more about the addresses a name resolves to.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::{
    config::{ClientConfig, PlainHttp},
    error::Refusal,
};

/// What the configuration allows, and the registry it allows it for.
#[derive(Debug)]
pub(crate) struct Guard {
    registry: String,
    registry_is_loopback: bool,
    plain_http: PlainHttp,
    allow_loopback: bool,
    local_hosts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Anywhere,
    Loopback,
    LinkLocal,
}

/// Names of clouds' metadata services. They mean a link-local address wherever they are resolved, at a proxy too.
const METADATA: [&str; 3] = ["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];

/// How far an address reaches. Private networks count as anywhere: most registries of companies are in one.
fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => Reach::Loopback,
        IpAddr::V6(v6) => match v6.segments() {
            // The metadata service of AWS over IPv6, the one unique-local address every instance has.
            [0xfd00, 0x0ec2, ..] => Reach::LinkLocal,
            // NAT64: the last four bytes are the IPv4 address a gateway goes to.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => reach_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
            _ if v6.is_unicast_link_local() || v6.is_multicast() => Reach::LinkLocal,
            _ => Reach::Anywhere,
        },
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    if address.is_loopback() || address.octets()[0] == 0 {
        Reach::Loopback
    } else if address.is_link_local() || address.is_multicast() || address.is_broadcast() {
        Reach::LinkLocal
    } else {
        Reach::Anywhere
    }
}

/// What can be said of a URL's host without resolving it.
fn reach_of(url: &Url) -> Reach {
    match url.host() {
        Some(url::Host::Ipv4(address)) => reach(address.into()),
        Some(url::Host::Ipv6(address)) => reach(address.into()),
        Some(url::Host::Domain(name)) => reach_of_name(name.trim_end_matches('.')),
        _ => Reach::Anywhere,
    }
}

fn reach_of_name(name: &str) -> Reach {
    if name == "localhost" || name.ends_with(".localhost") {
        Reach::Loopback
    } else if METADATA.contains(&name) {
        Reach::LinkLocal
    } else {
        Reach::Anywhere
    }
}

/// The host name of `host` or `host:port`.
fn name_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => authority,
    }
}

/// True if `authority` (`host` or `host:port`) is what `url` points at.
fn points_at(url: &Url, authority: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (
            authority,
            match url.scheme() {
                "http" => Some(80),
                _ => Some(443),
            },
        ),
    };
    host.eq_ignore_ascii_case(name) && url.port_or_known_default() == port
}

impl Guard {
    pub(crate) fn new(registry: &str, config: &ClientConfig) -> Self {
        let registry_is_loopback =
            Url::parse(&format!("https://{registry}/")).is_ok_and(|url| reach_of(&url) == Reach::Loopback);
        Self {
            registry: registry.to_owned(),
            registry_is_loopback,
            plain_http: config.plain_http.clone(),
            allow_loopback: config.allow_loopback,
            local_hosts: config.local_hosts.clone(),
        }
    }

    /// The scheme the registry itself is spoken to in.
    pub(crate) fn scheme(&self) -> &'static str {
        let plain = match &self.plain_http {
            PlainHttp::LoopbackOnly => self.registry_is_loopback,
            PlainHttp::Never => false,
            PlainHttp::Hosts(hosts) => hosts.iter().any(|host| host.eq_ignore_ascii_case(&self.registry)),
        };
        if plain { "http" } else { "https" }
    }

    fn named(&self) -> impl Iterator<Item = &String> {
        let plain = match &self.plain_http {
            PlainHttp::Hosts(hosts) => hosts.as_slice(),
            PlainHttp::LoopbackOnly | PlainHttp::Never => &[],
        };
        plain.iter().chain(&self.local_hosts)
    }

    /// Refuses `url` if a request to it must not be sent.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !url.username().is_empty() || url.password().is_some() || url.host().is_none() {
            return Err(Refusal::Url);
        }
        let named = self.named().any(|host| points_at(url, host));
        match reach_of(url) {
            Reach::Loopback if !named && !self.may_be_loopback(points_at(url, &self.registry)) => {
                return Err(Refusal::Loopback);
            }
            Reach::LinkLocal if !named => return Err(Refusal::LinkLocal),
            _ => {}
        }
        let plain = match &self.plain_http {
            PlainHttp::LoopbackOnly => reach_of(url) == Reach::Loopback,
            PlainHttp::Never => false,
            PlainHttp::Hosts(hosts) => hosts.iter().any(|host| points_at(url, host)),
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if plain => Ok(()),
            "http" => Err(Refusal::PlainHttp),
            _ => Err(Refusal::Url),
        }
    }

    /// True if `url` says by itself that it means this machine or this link.
    pub(crate) fn is_local(&self, url: &Url) -> bool {
        reach_of(url) != Reach::Anywhere
    }

    /// Refuses a name if any of its addresses is refused: a proxy may take any of them.
    pub(crate) fn check_addresses(&self, name: &str, mut found: impl Iterator<Item = IpAddr>) -> Result<(), Refusal> {
        found.try_for_each(|address| self.check_address(name, address))
    }

    /// A registry elsewhere must not lead to the loopback interface; one on it may lead along it.
    fn may_be_loopback(&self, is_registry: bool) -> bool {
        self.allow_loopback && (is_registry || self.registry_is_loopback)
    }

    /// Refuses an address that `name` resolved to.
    fn check_address(&self, name: &str, address: IpAddr) -> Result<(), Refusal> {
        let named = self.named().any(|host| name_of(host).eq_ignore_ascii_case(name));
        let is_registry = name_of(&self.registry).eq_ignore_ascii_case(name);
        match reach(address) {
            Reach::Loopback if !named && !self.may_be_loopback(is_registry) => Err(Refusal::Loopback),
            Reach::LinkLocal if !named => Err(Refusal::LinkLocal),
            _ => Ok(()),
        }
    }
}

/// The system's resolver, without the addresses the guard refuses. Names that pass [`Guard::check`] could otherwise
/// point anywhere. A proxy resolves for itself; see [`Transport`](super::transport::Transport).
#[derive(Debug)]
pub(crate) struct GuardedResolver(pub(crate) Arc<Guard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (fine, refused): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|address| guard.check_address(name.as_str(), address.ip()).is_ok());
            match refused.first().map(|address| guard.check_address(name.as_str(), address.ip())) {
                Some(Err(refusal)) if fine.is_empty() => Err(refusal.into()),
                _ => Ok(Box::new(fine.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(registry: &str, config: ClientConfig, url: &str) -> Result<(), Refusal> {
        Guard::new(registry, &config).check(&Url::parse(url).unwrap())
    }

    #[test]
    fn in_a_cluster_nothing_local_or_plain_is_reached() {
        for (url, refusal) in [
            ("http://registry.example/v2/", Refusal::PlainHttp),
            ("https://127.0.0.1/v2/", Refusal::Loopback),
            ("https://localhost/v2/", Refusal::Loopback),
            ("https://a.localhost/v2/", Refusal::Loopback),
            ("https://[::1]/v2/", Refusal::Loopback),
            ("https://[::ffff:127.0.0.1]/v2/", Refusal::Loopback),
            ("https://0.0.0.0/v2/", Refusal::Loopback),
            ("https://0x7f000001/v2/", Refusal::Loopback),
            ("https://169.254.169.254/v2/", Refusal::LinkLocal),
            ("https://[fe80::1]/v2/", Refusal::LinkLocal),
            ("https://metadata.google.internal/v2/", Refusal::LinkLocal),
            ("https://metadata.google.internal./v2/", Refusal::LinkLocal),
            ("https://localhost./v2/", Refusal::Loopback),
            ("https://[fd00:ec2::254]/v2/", Refusal::LinkLocal),
            ("https://[64:ff9b::a9fe:a9fe]/v2/", Refusal::LinkLocal),
            ("ftp://registry.example/v2/", Refusal::Url),
            ("https://me@registry.example/v2/", Refusal::Url),
        ] {
            assert_eq!(check("registry.example", ClientConfig::in_cluster(), url), Err(refusal), "{url}");
        }
        assert_eq!(check("registry.example", ClientConfig::in_cluster(), "https://10.0.0.1/v2/"), Ok(()));
    }

    #[test]
    fn a_named_host_is_reached_on_its_own_port_only() {
        let config = || ClientConfig {
            plain_http: PlainHttp::Hosts(vec!["127.0.0.1:5000".into(), "edge.example".into()]),
            ..ClientConfig::in_cluster()
        };
        assert_eq!(check("127.0.0.1:5000", config(), "http://127.0.0.1:5000/v2/"), Ok(()));
        assert_eq!(check("127.0.0.1:5000", config(), "http://127.0.0.1:6000/v2/"), Err(Refusal::Loopback));
        assert_eq!(check("edge.example", config(), "http://edge.example/v2/"), Ok(()));
        assert_eq!(check("edge.example", config(), "http://edge.example:8080/v2/"), Err(Refusal::PlainHttp));
    }

    #[test]
    fn a_registry_elsewhere_does_not_lead_to_loopback() {
        let config = ClientConfig::default;
        assert_eq!(check("localhost:5000", config(), "http://127.0.0.1:9000/blob"), Ok(()));
        assert_eq!(check("registry.example", config(), "http://127.0.0.1:9000/blob"), Err(Refusal::Loopback));
        assert_eq!(check("registry.example", config(), "http://other.example/blob"), Err(Refusal::PlainHttp));
    }

    #[test]
    fn names_are_judged_again_by_their_addresses() {
        let guard = Guard::new("registry.example", &ClientConfig::in_cluster());
        let check = |name: &str, address: &str| guard.check_address(name, address.parse().unwrap());
        assert_eq!(check("registry.example", "127.0.0.1"), Err(Refusal::Loopback));
        assert_eq!(check("registry.example", "169.254.169.254"), Err(Refusal::LinkLocal));
        assert_eq!(check("registry.example", "10.0.0.1"), Ok(()));
        let named = ClientConfig { local_hosts: vec!["registry.example:5000".into()], ..ClientConfig::in_cluster() };
        let guard = Guard::new("registry.example:5000", &named);
        assert_eq!(guard.check_address("registry.example", "127.0.0.1".parse().unwrap()), Ok(()));
    }

    #[test]
    fn before_a_proxy_one_refused_address_refuses_the_name() {
        let guard = Guard::new("registry.example", &ClientConfig::in_cluster());
        let check = |name: &str, found: &[&str]| {
            guard.check_addresses(name, found.iter().map(|address| address.parse().unwrap()))
        };
        assert_eq!(check("a.example", &["192.0.2.1", "10.0.0.1"]), Ok(()));
        assert_eq!(check("a.example", &["192.0.2.1", "127.0.0.1"]), Err(Refusal::Loopback));
        assert_eq!(check("a.example", &["169.254.169.254"]), Err(Refusal::LinkLocal));
        assert_eq!(check("a.example", &[]), Ok(()));
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_refused_address_is_refused_not_unreachable() {
        let guard = Arc::new(Guard::new("registry.example", &ClientConfig::in_cluster()));
        let http = reqwest::Client::builder().no_proxy().dns_resolver(GuardedResolver(guard)).build().unwrap();
        let error = http.get("http://localhost:9/").send().await.unwrap_err();
        let at = super::super::At { host: String::new(), repository: String::new(), path: String::new() };
        let error = super::super::ClientError::network(at, error);
        assert!(matches!(error, super::super::ClientError::Refused { refusal: Refusal::Loopback, .. }), "{error:?}");
    }

    #[test]
    fn plain_http_is_spoken_only_where_it_is_allowed() {
        let scheme = |registry: &str, plain_http| {
            Guard::new(registry, &ClientConfig { plain_http, ..ClientConfig::default() }).scheme()
        };
        assert_eq!(scheme("localhost:5000", PlainHttp::LoopbackOnly), "http");
        assert_eq!(scheme("registry.example", PlainHttp::LoopbackOnly), "https");
        assert_eq!(scheme("localhost:5000", PlainHttp::Never), "https");
        assert_eq!(scheme("registry.example", PlainHttp::Hosts(vec!["registry.example".into()])), "http");
    }
}
