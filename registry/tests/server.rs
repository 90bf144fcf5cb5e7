//! The embedded registry as its clients see it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use sealift_registry::server::{self, Credentials, MANIFEST_LIMIT, Running, ServerOptions, Store};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry and a client that talks to it.
struct Setup {
    registry: Running,
    client: Client,
}

impl Setup {
    async fn new(options: ServerOptions) -> Self {
        Self { registry: server::spawn(options).await.unwrap(), client: Client::new() }
    }

    async fn in_memory() -> Self {
        Self::new(ServerOptions::default()).await
    }

    async fn in_folder(folder: &Path) -> Self {
        Self::new(ServerOptions { store: Store::Layout(folder.to_owned()), ..ServerOptions::default() }).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}/v2/{path}", self.registry.addr))
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn delete(&self, path: &str) -> StatusCode {
        self.request(Method::DELETE, path).send().await.unwrap().status()
    }

    /// Pushes a blob in one request.
    async fn blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let path = format!("{repository}/blobs/uploads/?digest={digest}");
        let response = self.request(Method::POST, &path).body(content.to_vec()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        digest
    }

    async fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, manifest: &Value) -> Response {
        let request = self.request(Method::PUT, &format!("{repository}/manifests/{reference}"));
        request.header(header::CONTENT_TYPE, media_type).body(manifest.to_string()).send().await.unwrap()
    }

    /// Pushes an image of one layer; its digest.
    async fn image(&self, repository: &str, reference: &str, layer: &[u8], subject: Option<Digest>) -> Digest {
        let config = self.blob(repository, b"{}").await;
        let layer_digest = self.blob(repository, layer).await;
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": {"mediaType": "application/vnd.example.config", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/octet-stream", "digest": layer_digest, "size": layer.len()}],
        });
        if let Some(subject) = subject {
            manifest["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
        }
        let digest = Digest::of(manifest.to_string().as_bytes());
        let reference = if reference.is_empty() { digest.to_string() } else { reference.to_owned() };
        let response = self.put_manifest(repository, &reference, IMAGE, &manifest).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["docker-content-digest"], digest.to_string().as_str());
        digest
    }

    async fn tags(&self, repository: &str) -> Value {
        self.get(&format!("{repository}/tags/list")).await.json::<Value>().await.unwrap()["tags"].clone()
    }
}

async fn code(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    (status, body["errors"][0]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_layout_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Setup::in_folder(folder.path()).await;
    let digest = first.image("team/shop", "v1", b"layer", None).await;
    let signature = first.image("team/shop", "", b"signature", Some(digest)).await;
    let other = first.image("other", "v1", b"elsewhere", None).await;
    first.registry.stop().await.unwrap();

    let second = Setup::in_folder(folder.path()).await;
    assert_eq!(second.tags("team/shop").await, json!(["v1"]));
    for reference in ["v1".to_owned(), digest.to_string(), signature.to_string()] {
        let response = second.get(&format!("team/shop/manifests/{reference}")).await;
        assert_eq!((response.status(), &response.headers()["content-type"]), (StatusCode::OK, &IMAGE.parse().unwrap()));
        let expected = if reference == signature.to_string() { signature } else { digest };
        assert_eq!(Digest::of(&response.bytes().await.unwrap()), expected);
    }
    let layer = second.get(&format!("team/shop/blobs/{}", Digest::of(b"layer"))).await;
    assert_eq!(layer.bytes().await.unwrap(), "layer");
    let referrers: Value = second.get(&format!("team/shop/referrers/{digest}")).await.json().await.unwrap();
    assert_eq!(referrers["manifests"][0]["digest"], signature.to_string());
    assert_eq!(referrers["manifests"][0]["artifactType"], "application/vnd.example.config");

    // What belongs to one repository is still not seen from another.
    for path in [format!("team/shop/manifests/{other}"), format!("other/blobs/{}", Digest::of(b"layer"))] {
        assert_eq!(second.get(&path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_layout_is_one_that_other_tools_read() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::in_folder(folder.path()).await;
    let digest = setup.image("shop", "v1", b"layer", None).await;
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap() };
    assert_eq!(read("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    let index = read("index.json");
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["manifests"][0]["digest"], digest.to_string());
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "shop:v1");
    let blob = std::fs::read(folder.path().join("blobs/sha256").join(digest.hex())).unwrap();
    assert_eq!((Digest::of(&blob), json!(blob.len())), (digest, index["manifests"][0]["size"].clone()));
}

#[tokio::test]
async fn what_another_tool_put_into_a_layout_stays() {
    let folder = tempfile::tempdir().unwrap();
    let first = Setup::in_folder(folder.path()).await;
    let digest = first.image("shop", "v1", b"layer", None).await;
    first.registry.stop().await.unwrap();
    // As `oras copy --to-oci-layout FOLDER:v1` names it: a tag and no repository.
    let path = folder.path().join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = json!("v1");
    std::fs::write(&path, index.to_string()).unwrap();

    let second = Setup::in_folder(folder.path()).await;
    assert_eq!(second.get("shop/tags/list").await.status(), StatusCode::NOT_FOUND);
    let again = second.image("shop", "v2", b"layer", None).await;
    assert_eq!(again, digest, "the same content");
    assert_eq!(second.delete(&format!("shop/manifests/{digest}")).await, StatusCode::ACCEPTED);
    assert_eq!(second.delete(&format!("shop/blobs/{}", Digest::of(b"layer"))).await, StatusCode::ACCEPTED);
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["manifests"], index["manifests"]);
    for digest in [digest, Digest::of(b"layer")] {
        assert!(folder.path().join("blobs/sha256").join(digest.hex()).exists(), "the other tool's content");
    }
}

#[tokio::test]
async fn deleted_content_leaves_the_disk_when_no_repository_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::in_folder(folder.path()).await;
    setup.blob("a", b"shared").await;
    let digest = setup.blob("b", b"shared").await;
    let file = folder.path().join("blobs/sha256").join(digest.hex());
    assert_eq!(setup.delete(&format!("a/blobs/{digest}")).await, StatusCode::ACCEPTED);
    assert!(file.exists(), "b has it");
    assert_eq!(setup.delete(&format!("b/blobs/{digest}")).await, StatusCode::ACCEPTED);
    assert!(!file.exists());
    assert_eq!(setup.delete(&format!("b/blobs/{digest}")).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn serves_ranges_from_both_stores() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    for setup in [Setup::in_memory().await, Setup::in_folder(folder.path()).await] {
        let digest = setup.blob("a", &content).await;
        let path = format!("a/blobs/{digest}");
        let ranged = async |range| setup.request(Method::GET, &path).header("range", range).send().await.unwrap();
        for (range, expected) in [
            ("bytes=100-150099", &content[100..150_100]),
            ("bytes=199990-", &content[199_990..]),
            ("bytes=-70000", &content[130_000..]),
        ] {
            let response = ranged(range).await;
            assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            assert!(response.headers()["content-range"].to_str().unwrap().ends_with("/200000"));
            assert_eq!(response.bytes().await.unwrap(), expected, "{range}");
        }
        let response = ranged("bytes=200000-").await;
        assert_eq!(response.headers()["content-range"], "bytes */200000");
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(setup.get(&path).await.bytes().await.unwrap(), content);
    }
}

#[tokio::test]
async fn refuses_content_under_a_digest_that_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::in_folder(folder.path()).await;
    let wrong = Digest::of(b"something else");
    let upload = format!("a/blobs/uploads/?digest={wrong}");
    let response = setup.request(Method::POST, &upload).body("content").send().await.unwrap();
    assert_eq!(code(response).await, (StatusCode::BAD_REQUEST, "DIGEST_INVALID".to_owned()));
    let response = setup.put_manifest("a", &wrong.to_string(), IMAGE, &json!({"schemaVersion": 2})).await;
    assert_eq!(code(response).await, (StatusCode::BAD_REQUEST, "DIGEST_INVALID".to_owned()));
    let response = setup.put_manifest("a", "sha256:short", IMAGE, &json!({})).await;
    assert_eq!(code(response).await, (StatusCode::BAD_REQUEST, "DIGEST_INVALID".to_owned()));
    assert_eq!(setup.get("a/tags/list").await.status(), StatusCode::NOT_FOUND, "nothing was stored");
    assert_eq!(std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count(), 0);
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".sealift-registry")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "only the lock, no half upload: {left:?}");
}

#[tokio::test]
async fn resumes_a_chunked_upload_where_it_ended() {
    let setup = Setup::in_memory().await;
    let digest = Digest::of(b"onetwo");
    let started = setup.request(Method::POST, "a/blobs/uploads/").send().await.unwrap();
    assert_eq!(started.status(), StatusCode::ACCEPTED);
    let location = started.headers()["location"].to_str().unwrap().strip_prefix("/v2/").unwrap().to_owned();
    let chunk = async |range, body| {
        setup.request(Method::PATCH, &location).header("content-range", range).body(body).send().await.unwrap()
    };
    assert_eq!(chunk("0-2", "one").await.status(), StatusCode::ACCEPTED);
    let ahead = chunk("5-7", "two").await;
    assert_eq!(
        (ahead.status(), &ahead.headers()["range"]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"0-2".parse().unwrap())
    );
    let status = setup.get(&location).await;
    assert_eq!((status.status(), &status.headers()["range"]), (StatusCode::NO_CONTENT, &"0-2".parse().unwrap()));
    assert_eq!(chunk("3-5", "two").await.status(), StatusCode::ACCEPTED);
    let done = setup.request(Method::PUT, &format!("{location}?digest={digest}")).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::CREATED);
    assert_eq!(setup.get(&format!("a/blobs/{digest}")).await.bytes().await.unwrap(), "onetwo");
    assert_eq!(setup.get(&location).await.status(), StatusCode::NOT_FOUND, "the upload is over");
}

#[tokio::test]
async fn read_only_serves_and_refuses_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Setup::in_folder(folder.path()).await;
    let digest = writer.image("a", "v1", b"layer", None).await;
    writer.registry.stop().await.unwrap();
    let store = Store::Layout(folder.path().to_owned());
    let setup = Setup::new(ServerOptions { store, read_only: true, ..ServerOptions::default() }).await;
    assert_eq!(setup.get("a/manifests/v1").await.status(), StatusCode::OK);
    let layer = Digest::of(b"layer");
    for (method, path) in [
        (Method::POST, "a/blobs/uploads/".to_owned()),
        (Method::POST, format!("b/blobs/uploads/?mount={layer}&from=a")),
        (Method::PUT, "a/manifests/v2".to_owned()),
        (Method::DELETE, "a/manifests/v1".to_owned()),
        (Method::DELETE, format!("a/manifests/{digest}")),
        (Method::DELETE, format!("a/blobs/{layer}")),
    ] {
        let response = setup.request(method.clone(), &path).send().await.unwrap();
        let expected = (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED".to_owned());
        assert_eq!(code(response).await, expected, "{method} {path}");
    }
    assert_eq!(setup.tags("a").await, json!(["v1"]));
    assert_eq!(setup.get("b/tags/list").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn asks_for_the_password_on_every_endpoint() {
    let credentials = Credentials { user: "robot".to_owned(), password: "s3cret".to_owned().into() };
    assert!(!format!("{credentials:?}").contains("s3cret"));
    let setup = Setup::new(ServerOptions { credentials: Some(credentials), ..ServerOptions::default() }).await;
    for path in ["", "a/tags/list", "a/manifests/v1"] {
        let response = setup.get(path).await;
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "), "{path}");
        assert_eq!(code(response).await, (StatusCode::UNAUTHORIZED, "UNAUTHORIZED".to_owned()), "{path}");
    }
    let with = async |user, password| {
        setup.request(Method::GET, "").basic_auth(user, Some(password)).send().await.unwrap().status()
    };
    assert_eq!(with("robot", "s3cret").await, StatusCode::OK);
    assert_eq!(with("robot", "wrong").await, StatusCode::UNAUTHORIZED);
    assert_eq!(with("someone", "s3cret").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_the_referrers_api_a_client_sees_an_older_registry() {
    let setup = Setup::new(ServerOptions { referrers_api: false, ..ServerOptions::default() }).await;
    let subject = Digest::of(b"subject");
    let manifest = json!({"schemaVersion": 2, "subject": {"mediaType": IMAGE, "digest": subject, "size": 1}});
    let response = setup.put_manifest("a", "signature", IMAGE, &manifest).await;
    assert_eq!((response.status(), response.headers().get("oci-subject")), (StatusCode::CREATED, None));
    assert_eq!(setup.get(&format!("a/referrers/{subject}")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lists_in_pages_that_link_to_the_next() {
    let setup = Setup::new(ServerOptions { page_limit: 2, ..ServerOptions::default() }).await;
    let subject = setup.image("a", "v1", b"subject", None).await;
    for tag in ["v2", "v3", "v4", "v5"] {
        setup.image("a", tag, tag.as_bytes(), Some(subject)).await;
    }
    for (first, key, expected) in [
        ("a/tags/list".to_owned(), "tags", 5),
        (format!("a/referrers/{subject}"), "manifests", 4),
        (format!("a/referrers/{subject}?artifactType=application/vnd.example.config"), "manifests", 4),
        (format!("a/referrers/{subject}?artifactType=none"), "manifests", 0),
    ] {
        let (mut next, mut seen) = (Some(first.clone()), std::collections::BTreeSet::new());
        while let Some(path) = next {
            let response = setup.get(&path).await;
            let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
            next = link.map(|it| it.strip_prefix("</v2/").unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned());
            let page: Value = response.json().await.unwrap();
            assert!(page[key].as_array().unwrap().len() <= 2);
            seen.extend(page[key].as_array().unwrap().iter().map(Value::to_string));
        }
        assert_eq!(seen.len(), expected, "{first}");
    }
    assert_eq!(code(setup.get("a/tags/list?n=-1").await).await.1, "PAGINATION_NUMBER_INVALID");
}

#[tokio::test]
async fn bounds_what_a_client_may_send() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::Memory, Store::Layout(folder.path().to_owned())] {
        let options = ServerOptions { store, blob_limit: 1000, open_uploads: 2, ..ServerOptions::default() };
        let setup = Setup::new(options).await;
        let large = vec![0; 1001];
        let upload = format!("a/blobs/uploads/?digest={}", Digest::of(&large));
        let response = setup.request(Method::POST, &upload).body(large.clone()).send().await.unwrap();
        assert_eq!(code(response).await, (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID".to_owned()));
        // Without a length nothing is known beforehand.
        let pieces = futures::stream::iter(
            large.chunks(100).map(<[u8]>::to_vec).map(Ok::<_, std::io::Error>).collect::<Vec<_>>(),
        );
        let request = setup.request(Method::POST, &upload).body(reqwest::Body::wrap_stream(pieces));
        assert_eq!(code(request.send().await.unwrap()).await.0, StatusCode::PAYLOAD_TOO_LARGE);

        let manifest = json!({"schemaVersion": 2, "annotations": {"a": "a".repeat(MANIFEST_LIMIT as usize)}});
        let response = setup.put_manifest("a", "v1", IMAGE, &manifest).await;
        assert_eq!(code(response).await, (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID".to_owned()));

        let start = async || setup.request(Method::POST, "a/blobs/uploads/").send().await.unwrap();
        let first = start().await;
        assert_eq!(start().await.status(), StatusCode::ACCEPTED);
        assert_eq!(code(start().await).await, (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS".to_owned()));
        let location = first.headers()["location"].to_str().unwrap().strip_prefix("/v2/").unwrap();
        assert_eq!(setup.delete(location).await, StatusCode::NO_CONTENT);
        assert_eq!(start().await.status(), StatusCode::ACCEPTED, "a cancelled upload gives its place back");
    }
}

#[tokio::test]
async fn memory_is_bounded_over_everything_and_given_back() {
    let setup = Setup::new(ServerOptions { memory_limit: 1000, ..ServerOptions::default() }).await;
    let first = setup.blob("a", &[1; 600]).await;
    let upload = format!("a/blobs/uploads/?digest={}", Digest::of(&[2; 600]));
    let response = setup.request(Method::POST, &upload).body(vec![2; 600]).send().await.unwrap();
    assert_eq!(code(response).await, (StatusCode::INSUFFICIENT_STORAGE, "DENIED".to_owned()));
    assert_eq!(setup.delete(&format!("a/blobs/{first}")).await, StatusCode::ACCEPTED);
    setup.blob("a", &[2; 600]).await;
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let setup = Setup::new(ServerOptions { idle_timeout: Duration::from_millis(50), ..ServerOptions::default() }).await;
    let stalled = reqwest::Body::wrap_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let upload = format!("a/blobs/uploads/?digest={}", Digest::of(b""));
    let response = setup.request(Method::POST, &upload).body(stalled).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn an_index_brings_its_children_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Setup::in_folder(folder.path()).await;
    let child = first.image("a", "", b"layer", None).await;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": IMAGE, "digest": child, "size": 1}]});
    assert_eq!(first.put_manifest("a", "all", INDEX, &index).await.status(), StatusCode::CREATED);
    first.registry.stop().await.unwrap();
    // Another tool's layout names the index only.
    let path = folder.path().join("index.json");
    let mut layout: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    layout["manifests"].as_array_mut().unwrap().retain(|it| it["mediaType"] == INDEX);
    std::fs::write(&path, layout.to_string()).unwrap();
    let second = Setup::in_folder(folder.path()).await;
    assert_eq!(second.get(&format!("a/manifests/{child}")).await.status(), StatusCode::OK);
    assert_eq!(second.get(&format!("a/blobs/{}", Digest::of(b"layer"))).await.status(), StatusCode::OK);
}

/// Whoever may push could otherwise keep the registry from ever starting again.
#[tokio::test]
async fn indexes_nested_without_end_do_not_stop_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    drop(Setup::in_folder(folder.path()).await);
    let blobs = folder.path().join("blobs/sha256");
    let mut child = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    for _ in 0..30_000 {
        let digest = Digest::of(child.as_bytes());
        std::fs::write(blobs.join(digest.hex()), &child).unwrap();
        let descriptor = json!({"mediaType": INDEX, "digest": digest, "size": child.len()});
        child = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}).to_string();
    }
    let digest = Digest::of(child.as_bytes());
    std::fs::write(blobs.join(digest.hex()), &child).unwrap();
    let named = json!({"org.opencontainers.image.ref.name": "a:deep"});
    let entry = json!({"mediaType": INDEX, "digest": digest, "size": child.len(), "annotations": named});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::fs::write(folder.path().join("index.json"), index).unwrap();
    let setup = Setup::in_folder(folder.path()).await;
    assert_eq!(setup.get("a/manifests/deep").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn counts_requests_by_method_and_endpoint() {
    let setup = Setup::in_memory().await;
    setup.image("a", "v1", b"layer", None).await;
    let before = setup.registry.requests();
    assert_eq!((before.get("POST", "uploads"), before.get("PUT", "manifest"), before.total()), (2, 1, 3));
    setup.get("a/manifests/v1").await;
    setup.get("nonsense").await;
    let since = setup.registry.requests().since(&before);
    assert_eq!((since.get("GET", "manifest"), since.get("GET", "other"), since.total()), (1, 1, 2));
}

#[tokio::test]
async fn a_dropped_registry_stops_listening() {
    let setup = Setup::in_memory().await;
    let Setup { registry, client: _ } = setup;
    let addr = registry.addr;
    drop(registry);
    let gone = async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
}
