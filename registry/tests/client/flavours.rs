//! What the registries that people have are known to do, one behaviour each: the same story has to come out everywhere.
//! The table in `registry/README.md` names these tests.

use std::collections::BTreeMap;

use sealift_e2e::{
    Login,
    faulty::{Accepts, Behaviour, Fault, FaultyRegistry, Gate, Referrers, TokenService, What},
};
use sealift_registry::{
    client::{AttachedBy, Client, ClientConfig, ClientError, Credentials, PlainHttp, PutAs},
    fetch::{self, Legacy},
    store::Store,
};
use sealift_verify::{
    artifact::{Descriptor, Format, IMAGE_MANIFEST, LAYER_ZSTD, Manifest},
    reference::Repository,
};

const USER: Login = Login { user: "me", password: "right" };
const SERVICE: TokenService = TokenService {
    elsewhere: false,
    path: "/token",
    service: "registry.example",
    field: "token",
    lifetime: Some(300),
    accepts: Accepts::Password(USER),
    public: false,
};

fn password(login: Login) -> Credentials {
    Credentials::Basic { username: login.user.into(), password: login.password.into() }
}

/// A client as the controller has it, with the registry and its other host named by the platform.
pub(crate) fn client(registry: &FaultyRegistry, credentials: Credentials) -> Client {
    let hosts = vec![registry.host().to_owned(), registry.elsewhere().to_owned()];
    let config = ClientConfig { plain_http: PlainHttp::Hosts(hosts), credentials, ..ClientConfig::in_cluster() };
    Client::new(registry.host(), config).unwrap()
}

/// Always without `Location` behind manifests.
fn no_location() -> Fault {
    Fault { method: "PUT", path: "/manifests/", spare: 0, times: usize::MAX, what: What::Without("location") }
}

/// Uploads, tags, signs, lists and reads back; the wrong credentials do none of it. Gives the registry to look at.
async fn story(behaviour: Behaviour, path: &str, credentials: Credentials, by: AttachedBy) -> FaultyRegistry {
    let gate = behaviour.gate;
    let registry = FaultyRegistry::start(behaviour);
    let repository: Repository = format!("{}/{path}", registry.host()).parse().unwrap();
    let writer = Store::from(client(&registry, credentials.clone()));
    let content = vec![7; 50_000];
    writer.push_blob(&repository, "application/vnd.oci.empty.v1+json", "{}".into()).await.unwrap();
    let layer = writer.push_blob(&repository, LAYER_ZSTD, content.clone().into()).await.unwrap();
    let bytes = Manifest::release(Format::Sealift, layer.clone(), BTreeMap::new()).to_bytes();
    let put = writer.put_manifest(&repository, PutAs::Tag("v1"), IMAGE_MANIFEST, bytes.clone().into()).await.unwrap();
    let subject = Descriptor::of(IMAGE_MANIFEST, &bytes);
    let attached = writer.attach_bundle(&repository, subject.clone(), "bundle".into(), BTreeMap::new()).await.unwrap();
    assert_eq!(attached.by, by);

    let reader = Store::from(client(&registry, credentials));
    assert_eq!(reader.resolve(&repository, "v1").await.unwrap(), subject.digest);
    assert!(reader.tags(&repository).await.unwrap().contains(&"v1".to_owned()));
    let found = fetch::unverified(&reader, &put.pinned, &put.pinned, Legacy::Ignored).await.unwrap();
    assert_eq!((found.candidates.len(), found.manifest, found.truncated), (1, bytes, false));
    assert_eq!(fetch::layer(&reader, &repository, &layer).await.unwrap(), content);

    if !matches!(gate, Gate::Open) {
        for wrong in [password(Login { user: "me", password: "hunter2" }), Credentials::IdentityToken("hunter2".into())]
        {
            let error = client(&registry, wrong).resolve(&repository, "v1").await.unwrap_err();
            assert!(matches!(error, ClientError::Unauthorized { .. }), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
    registry
}

/// The token says nothing about itself: no lifetime, no form.
#[tokio::test]
async fn github() {
    let service = TokenService { lifetime: None, service: "ghcr.io", public: true, ..SERVICE };
    let behaviour = Behaviour { gate: Gate::Token(service), referrers: Referrers::Missing, ..Behaviour::default() };
    let registry = story(behaviour, "acme/shop", password(USER), AttachedBy::FallbackTag).await;
    let repository: Repository = format!("{}/acme/shop", registry.host()).parse().unwrap();
    let nobody = client(&registry, Credentials::Anonymous);
    nobody.resolve(&repository, "v1").await.unwrap();
    let refused = nobody.push_blob(&repository, "text/plain", "x".into()).await;
    assert!(matches!(refused, Err(ClientError::Unauthorized { .. })), "{refused:?}");
}

/// The token service is another host, with a path of its own. It alone is shown the password.
#[tokio::test]
async fn gitlab() {
    let service = TokenService { elsewhere: true, path: "/jwt/auth", service: "container_registry", ..SERVICE };
    let behaviour = Behaviour { gate: Gate::Token(service), storage_elsewhere: true, ..Behaviour::default() };
    let registry = story(behaviour, "group/sub/project", password(USER), AttachedBy::Registry).await;
    for seen in registry.seen() {
        let is_basic = seen.authorization().is_some_and(|value| value.starts_with("Basic "));
        let is_service = seen.elsewhere && seen.path == "/jwt/auth";
        assert!(!is_basic || is_service, "{seen:?}");
        assert!(is_service || !seen.elsewhere || seen.authorization().is_none(), "storage is shown nothing: {seen:?}");
    }
    assert!(registry.seen().iter().any(|seen| seen.elsewhere && seen.query == "signature=abc"));
}

/// Basic, no token service, and no repository that nobody has made.
#[tokio::test]
async fn ecr() {
    let login = Login { user: "AWS", password: "a-token-of-twelve-hours" };
    let behaviour = Behaviour {
        gate: Gate::Basic(login),
        repositories: Some(&["acme/shop"]),
        storage_elsewhere: true,
        faults: vec![no_location()],
        ..Behaviour::default()
    };
    let registry = story(behaviour, "acme/shop", password(login), AttachedBy::Registry).await;
    let other: Repository = format!("{}/acme/new", registry.host()).parse().unwrap();
    let missing = client(&registry, password(login)).push_blob(&other, "text/plain", "x".into()).await.unwrap_err();
    let ClientError::NotFound { reply, .. } = &missing else { panic!("{missing:?}") };
    assert_eq!(reply.code, "NAME_UNKNOWN");
    assert!(reply.message.contains("'acme/new' does not exist in the registry"), "{reply}");
}

/// An access token, or the key of a service account, as the password of a user with a fixed name.
#[tokio::test]
async fn gar() {
    for login in [
        Login { user: "oauth2accesstoken", password: "ya29.token" },
        Login { user: "_json_key", password: "{\n  \"type\": \"service_account\", \"private_key\": \"a:b\"\n}" },
    ] {
        let service = TokenService {
            path: "/v2/token",
            service: "europe-docker.pkg.dev",
            accepts: Accepts::Password(login),
            ..SERVICE
        };
        let behaviour = Behaviour { gate: Gate::Token(service), storage_elsewhere: true, ..Behaviour::default() };
        drop(story(behaviour, "project/repository/shop", password(login), AttachedBy::Registry).await);
    }
}

/// A refresh token, exchanged by POST for an `access_token`.
#[tokio::test]
async fn acr() {
    let service = TokenService {
        path: "/oauth2/token",
        service: "acme.azurecr.io",
        field: "access_token",
        lifetime: None,
        accepts: Accepts::Refresh("a refresh&token"),
        ..SERVICE
    };
    let behaviour = Behaviour { gate: Gate::Token(service), storage_elsewhere: true, ..Behaviour::default() };
    let credentials = Credentials::IdentityToken("a refresh&token".into());
    let registry = story(behaviour, "shop", credentials, AttachedBy::Registry).await;
    assert_eq!(registry.seen().iter().filter(|seen| seen.query.contains("refresh")).count(), 0, "a query is logged");
}

/// A robot's name holds a `$`, and its project comes first in the path.
#[tokio::test]
async fn harbor() {
    let login = Login { user: "robot$acme+ci", password: "right:er" };
    let service = TokenService {
        path: "/service/token",
        service: "harbor-registry",
        accepts: Accepts::Password(login),
        ..SERVICE
    };
    let denied = |method, status| Fault {
        method,
        path: "/v2/secret/",
        spare: 0,
        times: usize::MAX,
        what: What::Answer {
            status,
            headers: vec![],
            body: r#"{"errors":[{"code":"DENIED","message":"project secret"}]}"#,
        },
    };
    let behaviour = Behaviour {
        gate: Gate::Token(service),
        faults: vec![denied("HEAD", 403), denied("GET", 404)],
        ..Behaviour::default()
    };
    let registry = story(behaviour, "acme/shop", password(login), AttachedBy::Registry).await;
    let secret: Repository = format!("{}/secret/shop", registry.host()).parse().unwrap();
    let client = client(&registry, password(login));
    assert!(matches!(client.resolve(&secret, "v1").await, Err(ClientError::Forbidden { .. })));
    assert!(matches!(client.tags(&secret).await, Err(ClientError::NotFound { .. })));
}

/// Repositories in the path, each with a token service of its own, and no `Location` behind a manifest.
#[tokio::test]
async fn artifactory() {
    let service =
        TokenService { path: "/artifactory/api/docker/{repository}/v2/token", service: "artifactory", ..SERVICE };
    let behaviour = Behaviour {
        gate: Gate::Token(service),
        referrers: Referrers::Missing,
        faults: vec![no_location()],
        ..Behaviour::default()
    };
    let registry = story(behaviour, "docker-local/acme/shop", password(USER), AttachedBy::FallbackTag).await;
    let client = client(&registry, password(USER));
    for path in ["docker-local/acme/shop", "docker-remote/acme/shop", "docker-local/acme/shop"] {
        let repository: Repository = format!("{}/{path}", registry.host()).parse().unwrap();
        let answer = client.resolve(&repository, "v1").await;
        assert!(
            answer.is_ok() == path.starts_with("docker-local")
                && !matches!(answer, Err(ClientError::Unauthorized { .. })),
            "one client, two token services: {path}: {answer:?}"
        );
    }
}

/// A referrers API that filters wrongly is never asked to filter.
#[tokio::test]
async fn quay() {
    let login = Login { user: "acme+robot", password: "right" };
    let service = TokenService { path: "/v2/auth", service: "quay.io", accepts: Accepts::Password(login), ..SERVICE };
    let behaviour = Behaviour { gate: Gate::Token(service), referrers: Referrers::WrongFilter, ..Behaviour::default() };
    drop(story(behaviour, "acme/shop", password(login), AttachedBy::Registry).await);
}

/// A referrers API that came after the first signatures: those are under the fallback tag, and both are found.
#[tokio::test]
async fn referrers_from_before_and_after_the_api_came_are_both_found() {
    let registry = FaultyRegistry::start(Behaviour { referrers: Referrers::Late(1), ..Behaviour::default() });
    let repository: Repository = format!("{}/acme/shop", registry.host()).parse().unwrap();
    let client = Store::from(client(&registry, Credentials::Anonymous));
    let layer = client.push_blob(&repository, LAYER_ZSTD, "layer".into()).await.unwrap();
    client.push_blob(&repository, "application/vnd.oci.empty.v1+json", "{}".into()).await.unwrap();
    let bytes = Manifest::release(Format::Sealift, layer, BTreeMap::new()).to_bytes();
    client.put_manifest(&repository, PutAs::Digest, IMAGE_MANIFEST, bytes.clone().into()).await.unwrap();
    let subject = Descriptor::of(IMAGE_MANIFEST, &bytes);
    for (bundle, by) in [("early", AttachedBy::FallbackTag), ("later", AttachedBy::Registry)] {
        let attached = client.attach_bundle(&repository, subject.clone(), bundle.into(), BTreeMap::new()).await;
        assert_eq!(attached.unwrap().by, by, "{bundle}");
    }
    let found = client.referrers(&repository.pin(subject.digest), 10).await.unwrap();
    assert_eq!((found.descriptors.len(), found.complete), (2, true));
}

/// The names of the Hub's repositories are not the host that serves them, HEAD is not counted, and who asks too often is
/// told when to come back. The host itself cannot be had on loopback: [`Client::new`] has a test that knows it.
#[tokio::test]
async fn docker_hub() {
    let service =
        TokenService { elsewhere: true, service: "registry.docker.io", public: true, field: "token", ..SERVICE };
    let limited = Fault {
        method: "GET",
        path: "/manifests/",
        spare: 0,
        times: 1,
        what: What::Answer {
            status: 429,
            headers: vec![("retry-after", "1".to_owned()), ("ratelimit-remaining", "0;w=21600".to_owned())],
            body: r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#,
        },
    };
    let behaviour = Behaviour {
        gate: Gate::Token(service),
        referrers: Referrers::Missing,
        storage_elsewhere: true,
        faults: vec![limited],
        ..Behaviour::default()
    };
    let registry = story(behaviour, "library/shop", password(USER), AttachedBy::FallbackTag).await;
    let repository: Repository = format!("{}/library/shop", registry.host()).parse().unwrap();
    let before = registry.count("GET", "/manifests/");
    client(&registry, Credentials::Anonymous).resolve(&repository, "v1").await.unwrap();
    assert_eq!(registry.count("GET", "/manifests/"), before, "a tag is looked at by HEAD");
}
