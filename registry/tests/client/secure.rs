//! TLS with a private authority, with client certificates, and through a proxy; all of it against distribution's registry.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sealift_registry::client::{
    AttachedBy, Client, ClientCertificate, ClientConfig, ClientError, PlainHttp, Proxies, Refusal,
};
use sealift_verify::{artifact::Descriptor, reference::Repository};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::peers::{Tls, distribution, whole_story};

/// An authority, and what it certifies.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = authority.self_signed(&key).unwrap().pem();
        Self { pem, issuer: rcgen::Issuer::new(authority, key) }
    }

    /// A certificate for `name`, and its key.
    fn certify(&self, name: &str, usage: rcgen::ExtendedKeyUsagePurpose) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut asked = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        asked.extended_key_usages = vec![usage];
        (asked.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self, name: &str, clients: Option<String>) -> Tls {
        let (certificate, key) = self.certify(name, rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        Tls { certificate, key, clients }
    }

    fn trusting(&self) -> ClientConfig {
        let mut config = ClientConfig {
            plain_http: PlainHttp::Never,
            extra_ca_pem: Some(self.pem.clone().into_bytes()),
            ..ClientConfig::default()
        };
        config.timeouts.retry = Duration::ZERO;
        config
    }
}

async fn is_unreachable(host: &str, config: ClientConfig) {
    let client = Client::new(host, config).unwrap();
    let repository: Repository = format!("{host}/acme/shop").parse().unwrap();
    let error = client.resolve(&repository, "v1").await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(client.push_blob(&repository, "text/plain", "x".into()).await.is_err());
}

#[tokio::test]
async fn works_over_tls_with_a_private_authority_and_only_with_it() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Some(registry) = distribution(Some(authority.server("127.0.0.1", None))).await else { return };
    // Two certificates, the right one last: a bundle is read to its end.
    let both = format!("# private\n{}{}", other.pem, authority.pem).into_bytes();
    let trusting = ClientConfig { extra_ca_pem: Some(both), ..authority.trusting() };
    whole_story(&registry.host, AttachedBy::FallbackTag, trusting).await;
    is_unreachable(&registry.host, other.trusting()).await;
    is_unreachable(&registry.host, ClientConfig { extra_ca_pem: None, ..authority.trusting() }).await;
}

#[tokio::test]
async fn a_registry_that_asks_for_client_certificates_takes_ours_and_no_other() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = authority.server("127.0.0.1", Some(authority.pem.clone()));
    let Some(registry) = distribution(Some(tls)).await else { return };
    let showing = |authority: &Authority| {
        let (chain, key) = authority.certify("ci.acme.example", rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        Some(ClientCertificate { chain_pem: chain.into_bytes(), key_pem: key.into_bytes().into() })
    };
    let config = ClientConfig { certificate: showing(&authority), ..authority.trusting() };
    whole_story(&registry.host, AttachedBy::FallbackTag, config).await;
    is_unreachable(&registry.host, authority.trusting()).await;
    is_unreachable(&registry.host, ClientConfig { certificate: showing(&other), ..authority.trusting() }).await;

    let (chain, _) = authority.certify("ci.acme.example", rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let keyless = Some(ClientCertificate { chain_pem: chain.into_bytes(), key_pem: b"no key".to_vec().into() });
    assert!(Client::new(&registry.host, ClientConfig { certificate: keyless, ..authority.trusting() }).is_err());
}

/// A proxy on loopback that takes every connection to `target`, whatever it is for, and remembers the first lines.
/// What is not CONNECT it answers with a redirect to a cloud's metadata service.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, target.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn config(&self) -> Proxies {
        let address = || Some(format!("http://me:hunter2@{}", self.address).into());
        Proxies { http: address(), https: address(), except: "192.0.2.7".to_owned() }
    }
}

async fn serve(mut stream: TcpStream, target: String, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    asked.lock().unwrap().push(line.clone());
    let is_known = head.to_ascii_lowercase().contains("proxy-authorization: basic bwu6ahvudgvymg==");
    if !is_known {
        let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    } else if line.starts_with("CONNECT ") {
        let mut registry = TcpStream::connect(target).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut registry).await;
    } else {
        let answer = "HTTP/1.1 307 Moved\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

/// An address that is nobody's (RFC 5737): only the proxy can make it mean something.
const FAR: &str = "192.0.2.1";

#[tokio::test]
async fn everything_goes_through_the_proxy_that_is_configured() {
    let authority = Authority::new();
    let Some(registry) = distribution(Some(authority.server(FAR, None))).await else { return };
    let proxy = Proxy::start(registry.host.clone()).await;
    let config = ClientConfig { proxies: proxy.config(), ..authority.trusting() };
    whole_story(FAR, AttachedBy::FallbackTag, config).await;
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|line| line == "CONNECT 192.0.2.1:443 HTTP/1.1"), "{asked:?}");
}

#[tokio::test]
async fn the_guard_holds_through_a_proxy() {
    let proxy = Proxy::start("127.0.0.1:9".to_owned()).await;
    let config = || {
        let mut config = ClientConfig {
            proxies: proxy.config(),
            plain_http: PlainHttp::Hosts(vec![FAR.to_owned()]),
            ..ClientConfig::in_cluster()
        };
        config.timeouts.retry = Duration::ZERO;
        config.timeouts.connect = Duration::from_millis(200);
        config
    };
    for (host, expected) in [
        ("169.254.169.254", Refusal::LinkLocal),
        ("metadata.google.internal", Refusal::LinkLocal),
        ("127.0.0.1:5000", Refusal::Loopback),
        ("localhost", Refusal::Loopback),
    ] {
        let client = Client::new(host, config()).unwrap();
        let error = client.tags(&format!("{host}/app").parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { refusal, .. } if refusal == expected), "{host}: {error:?}");
    }
    assert_eq!(proxy.asked(), [""; 0]);

    // What comes back through the proxy is judged as well.
    let client = Client::new(FAR, config()).unwrap();
    let repository: Repository = format!("{FAR}/app").parse().unwrap();
    let error = client.blob(&repository, &Descriptor::of("text/plain", b"x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { refusal: Refusal::LinkLocal, .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(proxy.asked().len(), 1, "{:?}", proxy.asked());

    // NO_PROXY, and what is local by name of the platform, goes straight.
    let direct = Client::new("192.0.2.7", config()).unwrap();
    assert!(direct.tags(&"192.0.2.7/app".parse().unwrap()).await.is_err());
    let named = ClientConfig { local_hosts: vec!["127.0.0.1:9".to_owned()], ..config() };
    let local = Client::new("127.0.0.1:9", named).unwrap();
    assert!(local.tags(&"127.0.0.1:9/app".parse().unwrap()).await.is_err());
    assert_eq!(proxy.asked().len(), 1);
}
