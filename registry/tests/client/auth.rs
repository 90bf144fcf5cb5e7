//! The token flow.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{body::Body, http::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use sealift_registry::client::{Checked, ClientError, Credentials};
use sealift_verify::{artifact::Descriptor, reference::Repository};

use crate::fake::{Fake, Seen, complain, reply};

fn basic(password: &str) -> Credentials {
    Credentials::Basic { username: "me".into(), password: password.into() }
}

fn header(password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("me:{password}")))
}

/// A registry and token service in one. Tokens are numbered per scope; only those at least `oldest` are accepted.
async fn registry(oldest: impl Fn() -> usize + Send + Sync + 'static, lifetime: &'static str) -> Fake {
    let count = AtomicUsize::new(0);
    Fake::start(move |seen| match seen.path.as_str() {
        "/token" => token(seen, count.fetch_add(1, Ordering::SeqCst), lifetime),
        _ => {
            let host = seen.headers["host"].to_str().unwrap();
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"reg\",scope=\"everything\"");
            let number = seen.authorization().and_then(|value| value.strip_prefix("Bearer token-"));
            match number.map(|number| number.split(':').next().unwrap().parse::<usize>().unwrap()) {
                Some(number) if number >= oldest() => content(seen),
                _ => reply(401, &[("www-authenticate", &challenge)], ""),
            }
        }
    })
    .await
}

fn content(seen: &Seen) -> Response<Body> {
    match seen.method.as_str() {
        "HEAD" if seen.path.contains("/blobs/") => reply(404, &[], ""),
        "POST" => reply(202, &[("location", "/upload?session=1")], ""),
        "PUT" => reply(201, &[("location", "/there")], ""),
        _ => reply(200, &[], r#"{"name":"app","tags":["v1"]}"#),
    }
}

fn token(seen: &Seen, number: usize, lifetime: &str) -> Response<Body> {
    let form = |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<HashMap<_, _>>();
    let (asked, allowed) = match seen.method.as_str() {
        "POST" => {
            let asked = form(std::str::from_utf8(&seen.body).unwrap());
            let allowed = asked["grant_type"] == "refresh_token" && asked["refresh_token"] == "refresh&me";
            (asked, allowed && seen.authorization().is_none())
        }
        _ => (form(&seen.query), seen.authorization().is_none_or(|value| value == header("right"))),
    };
    let name = if seen.method == "POST" { "access_token" } else { "token" };
    match allowed && asked["service"] == "reg" {
        true => {
            let scope = asked.get("scope").map(|scope| scope.replace(':', ".")).unwrap_or_default();
            reply(200, &[], format!(r#"{{"{name}":"token-{number}:{scope}"{lifetime}}}"#))
        }
        false => complain(401, "UNAUTHORIZED"),
    }
}

async fn ask(fake: &Fake, credentials: Credentials, times: usize) -> Result<Vec<String>, ClientError> {
    let client = fake.client(credentials);
    for _ in 0..times {
        client.tags(&fake.repository()).await?;
    }
    Ok(fake.lines().iter().filter(|line| line.ends_with("/token")).cloned().collect())
}

#[tokio::test]
async fn one_token_serves_many_requests_for_every_kind_of_credentials() {
    for (credentials, line) in [
        (Credentials::Anonymous, "GET /token"),
        (basic("right"), "GET /token"),
        (Credentials::IdentityToken("refresh&me".into()), "POST /token"),
    ] {
        let fake = registry(|| 0, r#","expires_in":300"#).await;
        assert_eq!(ask(&fake, credentials, 4).await.unwrap(), [line]);
        assert_eq!(fake.seen().len(), 4 + 2);
        let shown = fake.seen().last().unwrap().authorization().unwrap().to_owned();
        assert_eq!(shown, "Bearer token-0:repository.app.pull", "our own scope, not the one the challenge wishes for");
    }
}

#[tokio::test]
async fn tasks_that_start_together_ask_for_one_token() {
    let fake = registry(|| 0, "").await;
    let (client, repository) = (fake.client(basic("right")), fake.repository());
    let all = futures::future::join_all((0..8).map(|_| client.tags(&repository))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.lines().iter().filter(|line| line.ends_with("/token")).count(), 1);
}

#[tokio::test]
async fn a_token_is_not_kept_beyond_its_life_and_one_that_is_refused_is_replaced_once() {
    let fake = registry(|| 0, r#","expires_in":1"#).await;
    let client = fake.client(basic("right"));
    client.tags(&fake.repository()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(950)).await;
    client.tags(&fake.repository()).await.unwrap();
    assert_eq!(fake.lines().iter().filter(|line| line.ends_with("/token")).count(), 2);

    static OLDEST: AtomicUsize = AtomicUsize::new(0);
    let fake = registry(|| OLDEST.load(Ordering::SeqCst), r#","expires_in":300"#).await;
    let client = fake.client(basic("right"));
    client.tags(&fake.repository()).await.unwrap();
    OLDEST.store(1, Ordering::SeqCst);
    client.tags(&fake.repository()).await.unwrap();
    assert_eq!(fake.lines().iter().filter(|line| line.ends_with("/token")).count(), 2);
    OLDEST.store(usize::MAX, Ordering::SeqCst);
    let before = fake.seen().len();
    let error = client.tags(&fake.repository()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }));
    assert_eq!(fake.seen().len() - before, 3, "the request, one new token, the request");
}

#[tokio::test]
async fn refused_credentials_are_unauthorized_and_never_shown() {
    for credentials in [basic("hunter2"), Credentials::IdentityToken("hunter2".into())] {
        let fake = registry(|| 0, "").await;
        let error = ask(&fake, credentials, 1).await.unwrap_err();
        assert!(matches!(error, ClientError::Unauthorized { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(&BASE64_STANDARD.encode("me:hunter2")), "{shown}");
    }
}

#[tokio::test]
async fn credentials_are_tried_without_naming_a_repository() {
    let fake = registry(|| 0, "").await;
    assert_eq!(fake.client(basic("right")).check_credentials().await.unwrap(), Checked::Taken);
    let asked = fake.seen().into_iter().find(|seen| seen.path == "/token").unwrap();
    assert!(!asked.query.contains("scope"), "{}", asked.query);
    let refused = fake.client(basic("wrong")).check_credentials().await.unwrap_err();
    assert!(matches!(refused, ClientError::Unauthorized { .. }), "{refused:?}");
    let open = Fake::start(|_| reply(200, &[], "{}")).await;
    assert_eq!(open.client(basic("any")).check_credentials().await.unwrap(), Checked::NotAsked);
}

#[tokio::test]
async fn credentials_that_cannot_answer_the_challenge_are_unauthorized() {
    let fake = Fake::start(|_| reply(401, &[("www-authenticate", "Basic realm=\"r\"")], "")).await;
    for credentials in [Credentials::Anonymous, Credentials::IdentityToken("t".into()), basic("wrong")] {
        let error = fake.client(credentials).tags(&fake.repository()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unauthorized { .. }));
    }
}

#[tokio::test]
async fn an_upload_uses_a_token_for_pushing() {
    for (credentials, asks) in [(basic("right"), 1), (Credentials::IdentityToken("refresh&me".into()), 1)] {
        let fake = registry(|| 0, "").await;
        let client = fake.client(credentials);
        let repository: Repository = fake.repository();
        client.push_blob(&repository, "text/plain", "blob".into()).await.unwrap();
        let seen = fake.seen();
        let put = seen.iter().find(|seen| seen.method == "PUT").unwrap();
        assert_eq!(put.authorization(), Some("Bearer token-0:repository.app.pull,push"));
        assert_eq!(put.body, "blob");
        let digest = Descriptor::of("", b"blob").digest.to_string().replace(':', "%3A");
        assert_eq!(put.query, format!("session=1&digest={digest}"));
        assert_eq!(seen.iter().filter(|seen| seen.path == "/token").count(), asks);
    }
}

#[tokio::test]
async fn an_upload_to_a_registry_that_shows_blobs_to_everyone_learns_the_challenge_first() {
    let fake = Fake::start(|seen| match (seen.method.as_str(), seen.authorization()) {
        ("HEAD", _) => reply(404, &[], ""),
        (_, Some(value)) if value == header("right") => content(seen),
        _ => reply(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
    })
    .await;
    fake.client(basic("right")).push_blob(&fake.repository(), "text/plain", "x".into()).await.unwrap();
    let error = fake.client(basic("wrong")).push_blob(&fake.repository(), "text/plain", "x".into()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }), "{error:?}");
}
