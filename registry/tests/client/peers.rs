//! Real registries: the embedded one with and without referrers; distribution's and crane's, which have none. Crane's
//! also answers a manifest without `Location`.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use sealift_e2e::Tool;
use sealift_registry::{
    client::{AttachedBy, Client, ClientConfig, ClientError, Credentials, PutAs},
    fetch::{self, Legacy},
    server::{self, ServerOptions},
    store::Store,
};
use sealift_verify::{
    artifact::{Descriptor, EMPTY_CONFIG, Format, IMAGE_MANIFEST, LAYER_ZSTD, Manifest},
    digest::Digest,
    reference::Repository,
    signature::Content,
};

/// A registry process that ends with the test.
pub(crate) struct Process {
    pub(crate) host: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn process(name: &str, arguments: impl Fn(&str, &Path) -> Vec<String>) -> Option<Process> {
    let tool = Tool::find(name)?;
    let folder = tempfile::tempdir().unwrap();
    let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let child = tool
        .command()
        .args(arguments(&host, folder.path()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process { host, child, _folder: folder };
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(&process.host).await.is_ok() {
            return Some(process);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} did not start listening");
}

/// Push, move a tag, read back, sign six times at once, find all six.
pub(crate) async fn whole_story(host: &str, by: AttachedBy, config: ClientConfig) {
    let repository: Repository = format!("{host}/acme/shop").parse().unwrap();
    told_by(&Client::new(host, config).unwrap().into(), &repository, by).await;
}

pub(crate) async fn told_by(client: &Store, repository: &Repository, by: AttachedBy) {
    let content = vec![7; 100_000];
    assert!(!client.blob_exists(repository, &Digest::of(&content)).await.unwrap());
    let missing = client.resolve(repository, "v1").await.unwrap_err();
    assert!(matches!(missing, ClientError::NotFound { .. }), "{missing:?}");

    client.push_blob(repository, EMPTY_CONFIG, "{}".into()).await.unwrap();
    let layer = client.push_blob(repository, LAYER_ZSTD, content.clone().into()).await.unwrap();
    client.push_blob(repository, LAYER_ZSTD, content.clone().into()).await.unwrap();
    assert!(client.blob_exists(repository, &layer.digest).await.unwrap());
    let bytes = Manifest::release(Format::Sealift, layer.clone(), BTreeMap::new()).to_bytes();
    let put = client.put_manifest(repository, PutAs::Digest, IMAGE_MANIFEST, bytes.clone().into()).await.unwrap();
    let subject = Descriptor::of(IMAGE_MANIFEST, &bytes);
    assert_eq!(put.pinned, repository.pin(subject.digest));
    for tag in ["v1", "stable"] {
        client.put_manifest(repository, PutAs::Tag(tag), IMAGE_MANIFEST, bytes.clone().into()).await.unwrap();
        assert_eq!(client.resolve(repository, tag).await.unwrap(), subject.digest);
    }
    let mut tags = client.tags(repository).await.unwrap();
    tags.sort();
    assert_eq!(tags, ["stable", "v1"]);
    assert_eq!(fetch::artifact(client, &put.pinned).await.unwrap(), bytes);
    assert_eq!(fetch::layer(client, repository, &layer).await.unwrap(), content);
    let absent = client.manifest(&repository.pin(Digest::of(b"absent"))).await;
    assert!(matches!(absent, Err(ClientError::NotFound { .. })), "{absent:?}");

    let none = client.referrers(&put.pinned, 100).await.unwrap();
    assert!(none.complete && none.descriptors.is_empty());
    let attach = |n: usize| {
        let created = ("org.opencontainers.image.created".to_owned(), format!("2026-11-0{n}T00:00:00Z"));
        client.attach_bundle(repository, subject.clone(), format!("bundle {n}").into(), BTreeMap::from([created]))
    };
    let attached = futures::future::join_all((1..=6).map(attach)).await;
    assert!(attached.iter().all(|one| one.as_ref().unwrap().by == by), "{attached:?}");
    let elsewhere: Repository = "logical.example/acme/shop".parse().unwrap();
    let found = fetch::unverified(client, &put.pinned, &elsewhere.pin(subject.digest), Legacy::Ignored).await.unwrap();
    let bundles: Vec<_> = found.candidates.iter().map(|one| one.content.clone()).collect();
    let newest_first = (1..=6).rev().map(|n| Content::Bundle(format!("bundle {n}").into()));
    assert_eq!(bundles, newest_first.collect::<Vec<_>>());
    assert_eq!((found.manifest, found.truncated, found.skipped.len()), (bytes, false, 0));
    assert_eq!(found.transport, Some(client.location(repository).to_string()));
}

#[tokio::test]
async fn works_with_the_embedded_registry() {
    let options = ServerOptions { page_limit: 1, ..ServerOptions::default() };
    let registry = server::spawn(options).await.unwrap();
    whole_story(&registry.addr.to_string(), AttachedBy::Registry, ClientConfig::default()).await;
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn works_with_a_registry_that_asks_for_a_password() {
    let credentials = server::Credentials { user: "me".into(), password: "right".into() };
    let registry = server::spawn(ServerOptions { credentials: Some(credentials), ..Default::default() }).await.unwrap();
    let config = |password: &str| ClientConfig {
        credentials: Credentials::Basic { username: "me".into(), password: password.into() },
        ..ClientConfig::default()
    };
    let host = registry.addr.to_string();
    whole_story(&host, AttachedBy::Registry, config("right")).await;
    let client = Client::new(&host, config("wrong")).unwrap();
    let refused = client.resolve(&format!("{host}/acme/shop").parse().unwrap(), "v1").await;
    assert!(matches!(refused, Err(ClientError::Unauthorized { .. })), "{refused:?}");
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn works_with_an_embedded_registry_that_keeps_no_referrers() {
    let registry = server::spawn(ServerOptions { referrers_api: false, ..Default::default() }).await.unwrap();
    whole_story(&registry.addr.to_string(), AttachedBy::FallbackTag, ClientConfig::default()).await;
    registry.stop().await.unwrap();
}

/// What a registry shows in TLS, and whose clients it takes if it asks for certificates.
pub(crate) struct Tls {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) clients: Option<String>,
}

/// Starts distribution's registry, with the certificate if there is one.
pub(crate) async fn distribution(tls: Option<Tls>) -> Option<Process> {
    let arguments = |host: &str, folder: &Path| {
        let (config, data) = (folder.join("config.yml"), folder.join("data"));
        let mut text = format!("version: 0.1\nlog: {{level: error}}\nhttp:\n  addr: {host}\n");
        if let Some(Tls { certificate, key, clients }) = &tls {
            std::fs::write(folder.join("tls.crt"), certificate).unwrap();
            std::fs::write(folder.join("tls.key"), key).unwrap();
            std::fs::write(folder.join("clients.crt"), clients.as_deref().unwrap_or_default()).unwrap();
            let folder = folder.display();
            let clients = clients.as_ref().map_or_else(String::new, |_| format!(", clientcas: [{folder}/clients.crt]"));
            text += &format!("  tls: {{certificate: {folder}/tls.crt, key: {folder}/tls.key{clients}}}\n");
        }
        text += &format!("storage:\n  filesystem: {{rootdirectory: {}}}\n", data.display());
        std::fs::write(&config, text).unwrap();
        vec!["serve".to_owned(), config.display().to_string()]
    };
    process("registry", arguments).await
}

#[tokio::test]
async fn works_with_distribution_which_keeps_no_referrers() {
    if let Some(registry) = distribution(None).await {
        whole_story(&registry.host, AttachedBy::FallbackTag, ClientConfig::default()).await;
    }
}

#[tokio::test]
async fn works_with_the_registry_of_crane() {
    let arguments = |host: &str, _: &Path| ["registry", "serve", "--address", host].map(str::to_owned).to_vec();
    if let Some(registry) = process("crane", arguments).await {
        whole_story(&registry.host, AttachedBy::FallbackTag, ClientConfig::default()).await;
    }
}
