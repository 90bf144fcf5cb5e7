//! Where requests go, and where they do not.

use sealift_registry::client::{Client, ClientConfig, ClientError, Credentials, PlainHttp, Refusal};
use sealift_verify::{artifact::Descriptor, digest::Digest};

use crate::fake::{Fake, reply};

fn basic() -> Credentials {
    Credentials::Basic { username: "me".into(), password: "hunter2".into() }
}

#[tokio::test]
async fn a_redirect_to_an_unnamed_loopback_port_is_refused_and_nothing_arrives() {
    let inner = Fake::start(|_| reply(200, &[], "x")).await;
    let target = format!("http://{}/secret?token=abc", inner.host);
    let fake = Fake::start(move |_| reply(307, &[("location", &target)], "")).await;
    let client = fake.client(Credentials::Anonymous);
    let blob = Descriptor::of("text/plain", b"x");
    let error = client.blob(&fake.repository(), &blob).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { refusal: Refusal::Loopback, .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("abc"), "a query is a secret: {error:?}");
    assert!(client.resolve(&fake.repository(), "v1").await.is_err() && client.tags(&fake.repository()).await.is_err());
    assert_eq!(inner.lines(), [""; 0]);
}

#[tokio::test]
async fn a_redirect_to_a_named_host_is_followed_without_credentials() {
    let storage = Fake::start(|_| reply(200, &[], "x")).await;
    let target = format!("http://{}/bucket/x?signature=abc", storage.host);
    let fake = Fake::start(move |seen| match seen.authorization() {
        None => reply(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
        Some(_) => reply(307, &[("location", &target)], ""),
    })
    .await;
    let hosts = vec![fake.host.clone(), storage.host.clone()];
    let config = ClientConfig { plain_http: PlainHttp::Hosts(hosts), credentials: basic(), ..fake.config() };
    let client = Client::new(&fake.host, config).unwrap();
    client.blob(&fake.repository(), &Descriptor::of("text/plain", b"x")).await.unwrap();
    let (there, here) = (storage.seen(), fake.seen());
    assert_eq!(there.iter().map(|seen| seen.authorization()).collect::<Vec<_>>(), [None]);
    assert_eq!(there[0].query, "signature=abc");
    assert_eq!(here.len(), 2);
}

#[tokio::test]
async fn redirects_without_an_end_are_given_up() {
    let fake = Fake::start(|_| reply(302, &[("location", "/again")], "")).await;
    let error =
        fake.client(Credentials::Anonymous).manifest(&fake.repository().pin(Digest::of(b"x"))).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { refusal: Refusal::TooManyRedirects, .. }));
    assert_eq!(fake.seen().len(), 6);
}

#[tokio::test]
async fn a_write_is_not_redirected() {
    let fake = Fake::start(|_| reply(307, &[("location", "/elsewhere")], "")).await;
    let name = sealift_registry::client::PutAs::Tag("v1");
    let put = fake.client(basic()).put_manifest(&fake.repository(), name, "text/plain", "x".into()).await;
    assert!(matches!(put, Err(ClientError::Protocol { .. })) && fake.seen().len() == 1);
}

#[tokio::test]
async fn in_a_cluster_an_unnamed_loopback_registry_is_never_contacted() {
    let fake = Fake::start(|_| reply(200, &[], "x")).await;
    let client = Client::new(&fake.host, ClientConfig::in_cluster()).unwrap();
    let error = client.tags(&fake.repository()).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { refusal: Refusal::Loopback, .. }));
    assert_eq!(fake.lines(), [""; 0]);
}

#[tokio::test]
async fn a_token_service_the_guard_refuses_gets_no_credentials() {
    let service = Fake::start(|_| reply(200, &[], r#"{"token":"t"}"#)).await;
    for (realm, refusal) in [
        (format!("http://{}/token", service.host), Refusal::Loopback),
        ("http://auth.example/token".to_owned(), Refusal::PlainHttp),
        ("https://169.254.169.254/token".to_owned(), Refusal::LinkLocal),
        ("https://me@auth.example/token".to_owned(), Refusal::Url),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
        let fake = Fake::start(move |_| reply(401, &[("www-authenticate", &challenge)], "")).await;
        for credentials in [basic(), Credentials::IdentityToken("refresh".into())] {
            let error = fake.client(credentials).tags(&fake.repository()).await.unwrap_err();
            assert!(
                matches!(error, ClientError::Refused { refusal: found, .. } if found == refusal),
                "{realm}: {error:?}"
            );
        }
        let push = fake.client(basic()).push_blob(&fake.repository(), "text/plain", "x".into()).await;
        assert!(matches!(push, Err(ClientError::Refused { .. })), "{push:?}");
    }
    assert_eq!(service.lines(), [""; 0]);
}

#[tokio::test]
async fn a_tag_that_is_a_path_is_refused() {
    let fake = Fake::start(|_| reply(200, &[], "x")).await;
    let client = fake.client(basic());
    for tag in ["../../../other/manifests/v1", "v1?x=y", "", "sha256:00"] {
        let error = client.resolve(&fake.repository(), tag).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { refusal: Refusal::Tag, .. }), "{tag}: {error:?}");
    }
    assert_eq!(fake.lines(), [""; 0]);
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut config = ClientConfig::default();
    config.timeouts.retry = std::time::Duration::ZERO;
    let client = Client::new(&host, config).unwrap();
    let error = client.resolve(&format!("{host}/app").parse().unwrap(), "v1").await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(error.at().repository, "app");
}
