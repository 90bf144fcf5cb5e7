//! Transfers that break off, and what is asked of which host on the way.

use std::sync::{Arc, Mutex};

use sealift_e2e::{
    Login,
    faulty::{Accepts, Behaviour, Fault, FaultyRegistry, Gate, TokenService, What},
};
use sealift_registry::client::{ClientError, Credentials};
use sealift_verify::{artifact::Descriptor, digest::Digest, reference::Repository};

use crate::flavours::client;

const LAYER: &str = "application/octet-stream";

/// Half a mebibyte in which no two places are alike.
fn content() -> Vec<u8> {
    (0..131_072_u32).flat_map(u32::to_be_bytes).collect()
}

fn fault(method: &'static str, path: &'static str, times: usize, what: What) -> Fault {
    Fault { method, path, spare: 0, times, what }
}

async fn with(faults: Vec<Fault>) -> (FaultyRegistry, Repository) {
    let registry = FaultyRegistry::start(Behaviour { faults, ..Behaviour::default() });
    let repository = format!("{}/acme/shop", registry.host()).parse().unwrap();
    (registry, repository)
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let (registry, repository) = with(vec![fault("GET", "/blobs/", 3, What::Cut(150_000))]).await;
    let client = client(&registry, Credentials::Anonymous);
    let blob = client.push_blob(&repository, LAYER, content().into()).await.unwrap();
    assert_eq!(client.blob(&repository, &blob).await.unwrap(), content());
    let ranges: Vec<_> = registry
        .seen()
        .iter()
        .filter(|seen| seen.method == "GET")
        .map(|seen| seen.headers.get("range").map(|range| range.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(ranges[0], None);
    let from = |range: &Option<String>| {
        range.as_ref().unwrap()["bytes=".len()..].trim_end_matches('-').parse::<usize>().unwrap()
    };
    let starts: Vec<_> = ranges[1..].iter().map(from).collect();
    assert!(starts.len() == 3 && starts.is_sorted() && starts[0] > 0, "{ranges:?}");
}

#[tokio::test]
async fn a_registry_that_knows_no_ranges_is_asked_for_all_of_it() {
    let refuses = What::Answer { status: 416, headers: vec![], body: "" };
    for second in [What::Whole, refuses] {
        let late = Fault { spare: 1, ..fault("GET", "/blobs/", 1, second.clone()) };
        let (registry, repository) = with(vec![fault("GET", "/blobs/", 1, What::Cut(100_000)), late]).await;
        let client = client(&registry, Credentials::Anonymous);
        let blob = client.push_blob(&repository, LAYER, content().into()).await.unwrap();
        assert_eq!(client.blob(&repository, &blob).await.unwrap(), content(), "{second:?}");
    }
}

#[tokio::test]
async fn halves_that_do_not_fit_are_fetched_again_as_one_and_lies_stay_refused() {
    let lie = What::Answer {
        status: 206,
        headers: vec![("content-range", "bytes 100000-100003/524288".to_owned())],
        body: "lies",
    };
    for (times, is_fine) in [(1, true), (usize::MAX, false)] {
        let late = Fault { spare: 1, times, ..fault("GET", "/blobs/", 1, lie.clone()) };
        let (registry, repository) = with(vec![fault("GET", "/blobs/", 1, What::Cut(100_000)), late]).await;
        let client = client(&registry, Credentials::Anonymous);
        let blob = client.push_blob(&repository, LAYER, content().into()).await.unwrap();
        let got = client.blob(&repository, &blob).await;
        match got {
            Ok(bytes) => assert!(is_fine && bytes == content()),
            Err(error) => assert!(!is_fine && matches!(error, ClientError::DigestMismatch { .. }), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let (registry, repository) = with(vec![fault("PUT", "/blobs/uploads/", 1, What::CutUpload(200_000))]).await;
    let client = client(&registry, Credentials::Anonymous);
    let blob = client.push_blob(&repository, LAYER, content().into()).await.unwrap();
    assert_eq!(client.blob(&repository, &blob).await.unwrap(), content());
    let lines: Vec<_> = registry
        .seen()
        .iter()
        .map(|seen| (seen.method.to_string(), seen.headers.get("content-range").cloned()))
        .collect();
    let patch = lines.iter().find(|(method, _)| method == "PATCH").unwrap();
    assert_eq!(patch.1.as_ref().unwrap().to_str().unwrap(), "200000-524287");
    assert_eq!(registry.count("POST", "/blobs/uploads/"), 1, "one session");
}

#[tokio::test]
async fn an_upload_whose_session_is_gone_begins_anew() {
    let gone = What::Answer { status: 404, headers: vec![], body: "" };
    let (registry, repository) = with(vec![
        fault("PUT", "/blobs/uploads/", 1, What::CutUpload(200_000)),
        fault("GET", "/blobs/uploads/", 1, gone),
    ])
    .await;
    let client = client(&registry, Credentials::Anonymous);
    let blob = client.push_blob(&repository, LAYER, content().into()).await.unwrap();
    assert_eq!(client.blob(&repository, &blob).await.unwrap(), content());
    assert_eq!(registry.count("POST", "/blobs/uploads/"), 2);
}

fn tokens() -> (Gate, Credentials) {
    let login = Login { user: "me", password: "right" };
    let service = TokenService {
        elsewhere: true,
        path: "/token",
        service: "registry.example",
        field: "token",
        lifetime: Some(3600),
        accepts: Accepts::Password(login),
        public: false,
    };
    (Gate::Token(service), Credentials::Basic { username: login.user.into(), password: login.password.into() })
}

#[tokio::test]
async fn a_token_that_is_taken_back_half_way_is_replaced() {
    for (method, path, tokens_given) in
        [("PUT", "/blobs/uploads/", 3), ("PUT", "/manifests/", 3), ("GET", "/blobs/", 4)]
    {
        let (gate, credentials) = tokens();
        let faults = vec![fault(method, path, 1, What::Expire)];
        let registry = FaultyRegistry::start(Behaviour { gate, faults, ..Behaviour::default() });
        let repository: Repository = format!("{}/acme/shop", registry.host()).parse().unwrap();
        let client = client(&registry, credentials);
        let blob = client.push_blob(&repository, LAYER, content().into()).await.unwrap();
        assert_eq!(client.blob(&repository, &blob).await.unwrap(), content());
        let name = sealift_registry::client::PutAs::Digest;
        client.put_manifest(&repository, name, LAYER, "{\"schemaVersion\":2}".into()).await.ok();
        let asked = registry.seen().iter().filter(|seen| seen.path == "/token").count();
        assert_eq!(
            asked, tokens_given,
            "one for pulling, one for pushing, and each again that is still needed: {method} {path}"
        );
    }
}

#[tokio::test]
async fn a_blob_is_mounted_where_it_may_be_read_and_uploaded_where_not() {
    let (gate, credentials) = tokens();
    let registry = FaultyRegistry::start(Behaviour { gate, ..Behaviour::default() });
    let repository = |path: &str| -> Repository { format!("{}/{path}", registry.host()).parse().unwrap() };
    let client = client(&registry, credentials);
    client.push_blob(&repository("acme/base"), LAYER, content().into()).await.unwrap();
    let puts = || registry.count("PUT", "/blobs/uploads/");
    let before = puts();
    let source = repository("acme/base");
    let taken = client.push_blob_from(&repository("acme/shop"), Some(&source), LAYER, content().into()).await.unwrap();
    assert_eq!((taken.digest, puts()), (Digest::of(&content()), before), "not a byte was sent");
    let scopes = registry.seen().iter().rev().find(|seen| seen.path == "/token").unwrap().query.clone();
    assert!(
        scopes.contains("acme%2Fshop%3Apull%2Cpush") && scopes.contains("acme%2Fbase%3Apull&")
            || scopes.ends_with("acme%2Fbase%3Apull"),
        "{scopes}"
    );

    // What is not there is answered 202: the session is used.
    let empty = repository("acme/empty");
    client.push_blob_from(&repository("acme/other"), Some(&empty), LAYER, "else".into()).await.unwrap();
    assert_eq!(puts(), before + 1);
    let there = client.blob(&repository("acme/other"), &Descriptor::of(LAYER, b"else")).await.unwrap();
    assert_eq!(there, "else");
    let elsewhere: Repository = "other.example/acme/base".parse().unwrap();
    let refused = client.push_blob_from(&repository("acme/third"), Some(&elsewhere), LAYER, "third".into()).await;
    assert!(matches!(refused, Err(ClientError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_upload_that_is_told_about_arrives_whole_and_with_its_length_even_if_it_broke_off() {
    let breaks = vec![fault("PUT", "/blobs/uploads/", 1, What::CutUpload(200_000))];
    for (faults, broken) in [(vec![], false), (breaks, true)] {
        let (registry, repository) = with(faults).await;
        let client = client(&registry, Credentials::Anonymous);
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let hears = Arc::clone(&told);
        let hear = Arc::new(move |bytes| hears.lock().unwrap().push(bytes));
        let blob = client.push_blob_telling(&repository, LAYER, content().into(), hear).await.unwrap();
        assert_eq!(client.blob(&repository, &blob).await.unwrap(), content());
        let seen = registry.seen();
        let whole = seen.iter().find(|seen| seen.method == "PUT").unwrap();
        let length = |name: &str| whole.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!((length("content-length"), length("transfer-encoding")), (Some("524288"), None));
        let told = told.lock().unwrap().clone();
        assert_eq!(told[..2], [0, 262_144]);
        // What is sent again is told from where it goes on.
        assert_eq!(told.len() > 2, broken, "{told:?}");
        assert!(told.iter().all(|bytes| *bytes < 524_288), "{told:?}");
        assert!(!broken || told[2] == 200_000, "{told:?}");
    }
}
