//! Real registries: the embedded one with and without referrers; distribution's and crane's, which have none. Crane's
//! also answers a manifest without `Location`.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use sealift_e2e::{Login, Tool};
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
use serde_json::json;

use crate::fake::{Fake, Seen, complain, reply};

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
    let Some(Tls { certificate, key, clients }) = tls else { return distribution_with(&[], "", "").await };
    let asks = clients.as_ref().map_or("", |_| ", clientcas: [FOLDER/clients.crt]");
    let http = format!("  tls: {{certificate: FOLDER/tls.crt, key: FOLDER/tls.key{asks}}}\n");
    let files = [("tls.crt", certificate), ("tls.key", key), ("clients.crt", clients.unwrap_or_default())];
    distribution_with(&files, &http, "").await
}

/// Starts it with these files, lines of `http` and lines of its own; `FOLDER` is where the files are.
async fn distribution_with(files: &[(&str, String)], http: &str, more: &str) -> Option<Process> {
    let arguments = |host: &str, folder: &Path| {
        for (name, content) in files {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp:\n  addr: {host}\n{http}{more}\
             storage:\n  filesystem: {{rootdirectory: FOLDER/data}}\n"
        );
        let config = folder.join("config.yml");
        std::fs::write(&config, text.replace("FOLDER", &folder.display().to_string())).unwrap();
        vec!["serve".to_owned(), config.display().to_string()]
    };
    process("registry", arguments).await
}

/// A token service as distribution's documentation has it: a JWT over what was asked for.
async fn token_service(login: Login) -> (Fake, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["tokens.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (chain, pem) = (BASE64_STANDARD.encode(certificate.der()), certificate.pem());
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der()).unwrap();
    let answer = move |seen: &Seen| {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password)));
        if seen.authorization() != Some(&basic) {
            return complain(401, "UNAUTHORIZED");
        }
        let asked: Vec<(String, String)> = url::form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
        let access = asked.iter().filter(|(key, _)| key == "scope").map(|(_, scope)| {
            let parts: Vec<_> = scope.splitn(3, ':').collect();
            json!({"type": parts[0], "name": parts[1], "actions": parts[2].split(',').collect::<Vec<_>>()})
        });
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": "tokens.example", "aud": "registry.example", "sub": login.user, "jti": now.to_string(),
            "iat": now, "nbf": now - 10, "exp": now + 300, "access": access.collect::<Vec<_>>(),
        });
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ES256", "x5c": [chain]})), part(claims));
        let signature = signer.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()));
        reply(200, &[], json!({"token": token, "expires_in": 300}).to_string())
    };
    (Fake::start(answer).await, pem)
}

const LOGIN: Login = Login { user: "robot$ci", password: "right:er" };

fn as_user(login: Login, password: &str) -> ClientConfig {
    let credentials = Credentials::Basic { username: login.user.into(), password: password.into() };
    ClientConfig { credentials, ..ClientConfig::default() }
}

/// The whole story as this user, and none of it with another password.
async fn only_as(host: &str, login: Login) {
    whole_story(host, AttachedBy::FallbackTag, as_user(login, login.password)).await;
    let repository: Repository = format!("{host}/acme/shop").parse().unwrap();
    for config in [as_user(login, "wrong"), ClientConfig::default()] {
        let refused = Client::new(host, config).unwrap().resolve(&repository, "v1").await;
        assert!(matches!(refused, Err(ClientError::Unauthorized { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn works_with_distribution_and_a_token_service() {
    let (service, pem) = token_service(LOGIN).await;
    let auth = format!(
        "auth:\n  token: {{realm: 'http://{}/token', service: registry.example, issuer: tokens.example, rootcertbundle: FOLDER/tokens.pem}}\n",
        service.host
    );
    let Some(registry) = distribution_with(&[("tokens.pem", pem)], "", &auth).await else { return };
    only_as(&registry.host, LOGIN).await;
}

#[tokio::test]
async fn works_with_distribution_and_a_file_of_passwords() {
    // As htpasswd writes it: bcrypt, cost 4.
    let file = "tester:$2a$04$lM2PdtGttqo6sKr4QuqDFuNtntJQoVgNjjurGJP8xp.jd4D/vcXtW\n".to_owned();
    let auth = "auth:\n  htpasswd: {realm: tests, path: FOLDER/htpasswd}\n";
    let Some(registry) = distribution_with(&[("htpasswd", file)], "", auth).await else { return };
    only_as(&registry.host, Login { user: "tester", password: "a-password-for-tests" }).await;
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
