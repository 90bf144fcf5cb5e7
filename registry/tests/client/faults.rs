//! One misbehaviour at a time.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use sealift_registry::{
    client::{AttachedBy, ClientError, Credentials, Fault, Outage, PutAs},
    fetch::{self, Legacy},
    store::Store,
};
use sealift_verify::{
    artifact::{BUNDLE, Descriptor, IMAGE_INDEX, IMAGE_MANIFEST, Manifest},
    digest::Digest,
    signature::Content,
    sigstore::SIMPLE_SIGNING,
};
use serde_json::json;

use crate::fake::{Fake, complain, reply};

fn endless() -> Body {
    Body::from_stream(stream::repeat(Bytes::from(vec![b'x'; 1 << 16])).map(Ok::<_, std::io::Error>))
}

#[tokio::test]
async fn an_endless_body_is_cut_at_its_limit() {
    let fake = Fake::start(|_| reply(200, &[], endless())).await;
    let (client, repository) = (fake.client(Credentials::Anonymous), fake.repository());
    let digest = Digest::of(b"x");
    let manifest = client.manifest(&repository.pin(digest)).await;
    assert!(matches!(manifest, Err(ClientError::TooLarge { limit, .. }) if limit == client.limits().manifest));
    let blob = Descriptor { size: 10, ..Descriptor::of("text/plain", b"x") };
    assert!(matches!(client.blob(&repository, &blob).await, Err(ClientError::TooLarge { limit: 10, .. })));
    let huge = Descriptor { size: u64::MAX, ..blob };
    let before = fake.seen().len();
    assert!(matches!(client.blob(&repository, &huge).await, Err(ClientError::TooLarge { .. })));
    assert_eq!(fake.seen().len(), before, "nothing is asked for what is too large by its own description");
}

#[tokio::test]
async fn other_bytes_than_asked_for_are_refused() {
    let fake =
        Fake::start(|_| reply(200, &[("docker-content-digest", &Digest::of(b"good").to_string())], "evil")).await;
    let (client, repository) = (fake.client(Credentials::Anonymous), fake.repository());
    let manifest = client.manifest(&repository.pin(Digest::of(b"good"))).await;
    assert!(matches!(manifest, Err(ClientError::DigestMismatch { actual, .. }) if actual == Digest::of(b"evil")));
    let blob = client.blob(&repository, &Descriptor::of("text/plain", b"good")).await;
    assert!(matches!(blob, Err(ClientError::DigestMismatch { .. })));
    let stored = client.put_manifest(&repository, PutAs::Digest, IMAGE_MANIFEST, Bytes::from_static(b"mine")).await;
    assert!(matches!(stored, Err(ClientError::DigestMismatch { .. })));
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let fake = Fake::start(|_| {
        let body = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"x")) }).chain(stream::pending());
        reply(200, &[], Body::from_stream(body))
    })
    .await;
    let mut config = fake.config();
    config.timeouts.retry = Duration::ZERO;
    let client = sealift_registry::client::Client::new(&fake.host, config).unwrap();
    let error = client.manifest(&fake.repository().pin(Digest::of(b"x"))).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Unreachable { outage, .. } if matches!(**outage, Outage::TimedOut)),
        "{error:?}"
    );
    assert!(error.is_transient());
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_stays_is_not() {
    for (status, attempts) in [(503, 3), (502, 3), (504, 3), (429, 3), (500, 1), (401, 1), (403, 1), (404, 1), (400, 1)]
    {
        let count = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            2 => reply(200, &[], "x"),
            _ => complain(status, "WHATEVER"),
        })
        .await;
        let got = fake.client(Credentials::Anonymous).manifest(&fake.repository().pin(Digest::of(b"x"))).await;
        assert_eq!((fake.seen().len(), got.is_ok()), (attempts, attempts == 3), "{status}: {got:?}");
        let matches = match (status, &got) {
            (401, Err(ClientError::Unauthorized { .. })) | (403, Err(ClientError::Forbidden { .. })) => true,
            (404, Err(ClientError::NotFound { .. })) | (500, Err(ClientError::Unreachable { .. })) => true,
            (400, Err(ClientError::Protocol { .. })) => true,
            (_, got) => got.is_ok(),
        };
        assert!(matches, "{status}: {got:?}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_and_handed_on_when_it_is_too_long() {
    let count = AtomicUsize::new(0);
    let fake = Fake::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => reply(429, &[("retry-after", "1")], ""),
        _ => reply(200, &[], "x"),
    })
    .await;
    let begun = Instant::now();
    let client = fake.client(Credentials::Anonymous);
    client.manifest(&fake.repository().pin(Digest::of(b"x"))).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let fake = Fake::start(|_| reply(429, &[("retry-after", "3600")], "")).await;
    let error = fake.patient_client().resolve(&fake.repository(), "v1").await.unwrap_err();
    assert!(matches!(error, ClientError::RateLimited { .. }));
    assert_eq!((error.retry_after(), fake.seen().len()), (Some(Duration::from_secs(3600)), 1));
}

#[tokio::test]
async fn a_tag_is_resolved_without_a_digest_header_and_without_head() {
    let fake = Fake::start(|seen| match (seen.method.as_str(), seen.path.ends_with("/nohead")) {
        ("HEAD", true) => reply(405, &[], ""),
        ("HEAD", false) => reply(200, &[], ""),
        _ => reply(200, &[], "content"),
    })
    .await;
    let (client, repository) = (fake.client(Credentials::Anonymous), fake.repository());
    for tag in ["nohead", "noheader"] {
        assert_eq!(client.resolve(&repository, tag).await.unwrap(), Digest::of(b"content"), "{tag}");
    }
}

#[tokio::test]
async fn only_a_registry_that_says_so_has_no_referrers() {
    let subject = Digest::of(b"subject");
    for (answer, is_none) in [
        ((404, "NOT_FOUND"), true),
        ((405, "UNSUPPORTED"), true),
        ((400, "UNSUPPORTED"), true),
        ((400, "OTHER"), false),
        ((401, "UNAUTHORIZED"), false),
        ((403, "DENIED"), false),
        ((429, "TOOMANYREQUESTS"), false),
        ((500, "UNKNOWN"), false),
    ] {
        for broken in ["/referrers/", "/manifests/"] {
            let fake = Fake::start(move |seen| match seen.path.contains(broken) {
                true => reply(answer.0, &[("retry-after", "60")], complain(answer.0, answer.1).into_body()),
                false => complain(404, "NOT_FOUND"),
            })
            .await;
            let found = fake.client(Credentials::Anonymous).referrers(&fake.repository().pin(subject), 10).await;
            // The fallback tag is an ordinary manifest: only 404 says that there is none.
            let expected = is_none && (broken == "/referrers/" || answer.0 == 404);
            assert_eq!(found.is_ok(), expected, "{answer:?} at {broken}: {found:?}");
            if let Ok(found) = found {
                assert!(found.complete && found.descriptors.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_web_page_is_no_referrers_api_and_junk_under_the_tag_stops_nobody() {
    let fake = Fake::start(|seen| match seen.path.contains("/referrers/") {
        true => reply(200, &[("content-type", "text/html; charset=utf-8")], "<html>"),
        false => reply(200, &[("content-type", IMAGE_MANIFEST)], "junk"),
    })
    .await;
    let client = fake.client(Credentials::Anonymous);
    let found = client.referrers(&fake.repository().pin(Digest::of(b"s")), 10).await.unwrap();
    assert_eq!((found.descriptors.len(), found.unreadable, found.complete), (0, 1, true));
}

/// Whoever may push can attach a few manifests with annotations of megabytes, or a fallback tag beyond any limit.
#[tokio::test]
async fn a_list_of_referrers_beyond_the_limit_is_an_incomplete_one() {
    for wide in ["/referrers/", "/manifests/"] {
        let fake = Fake::start(move |seen| match seen.path.contains(wide) {
            true => reply(200, &[("content-type", IMAGE_INDEX)], endless()),
            false if seen.path.contains("/manifests/") => complain(404, "MANIFEST_UNKNOWN"),
            false => reply(200, &[("content-type", IMAGE_INDEX)], r#"{"manifests":[]}"#),
        })
        .await;
        let client = Store::from(fake.client(Credentials::Anonymous));
        let found =
            fetch::signatures(&client, &fake.repository().pin(Digest::of(b"x")), client.limits(), Legacy::Ignored)
                .await;
        assert!(found.unwrap().truncated, "{wide}");
    }
}

#[tokio::test]
async fn pages_are_followed_here_and_nowhere_else() {
    let entry = |n: u32| Descriptor::of(IMAGE_MANIFEST, &n.to_be_bytes());
    let fake = Fake::start(move |seen| {
        let number: u32 =
            seen.query.split('&').find_map(|part| part.strip_prefix("page=")).map_or(0, |n| n.parse().unwrap());
        let next = format!("<{}?page={}>; rel=\"next\"", seen.path, number + 1);
        let body = json!({"name": "app", "tags": [format!("t{number}")], "manifests": [entry(number)]}).to_string();
        match seen.path.as_str() {
            path if path.contains("sha256-") => complain(404, "NOT_FOUND"),
            path if path.starts_with("/v2/away/") => {
                reply(200, &[("link", "<https://away.example/x>; rel=\"next\"")], body)
            }
            path if path.starts_with("/v2/loop/") => {
                reply(200, &[("link", &format!("<?{}>; rel=next", seen.query))], body)
            }
            _ if number == 2 => reply(200, &[("content-type", IMAGE_INDEX)], body),
            _ => reply(200, &[("link", &next), ("content-type", IMAGE_INDEX)], body),
        }
    })
    .await;
    let (client, repository) = (fake.client(Credentials::Anonymous), fake.repository());
    assert_eq!(client.tags(&repository).await.unwrap(), ["t0", "t1", "t2"]);
    let subject = repository.pin(Digest::of(b"s"));
    let all = client.referrers(&subject, 10).await.unwrap();
    assert_eq!((all.descriptors.len(), all.complete), (3, true));
    let some = client.referrers(&subject, 2).await.unwrap();
    assert_eq!((some.descriptors.len(), some.complete), (2, false));
    let other = |path: &str| format!("{}/{path}", fake.host).parse().unwrap();
    assert!(matches!(client.tags(&other("away")).await, Err(ClientError::Refused { .. })));
    assert!(matches!(client.tags(&other("loop")).await, Err(ClientError::Protocol { .. })));
}

#[tokio::test]
async fn an_upload_without_a_place_succeeds_only_if_the_blob_is_there() {
    for (case, place, stored, expected) in [
        ("no session", None, false, "NoLocation"),
        ("no place afterwards", Some("/upload"), true, ""),
        ("no place and no blob", Some("/upload"), false, "NoLocation"),
        ("a place that is no URL", Some("https://["), false, "UploadTarget"),
    ] {
        let put = AtomicUsize::new(0);
        let fake = Fake::start(move |seen| match seen.method.as_str() {
            "HEAD" if stored && put.load(Ordering::SeqCst) > 0 => reply(200, &[], ""),
            "POST" => reply(202, &place.map(|place| vec![("location", place)]).unwrap_or_default(), ""),
            "PUT" => {
                put.fetch_add(1, Ordering::SeqCst);
                reply(201, &[], "")
            }
            "GET" => reply(200, &[], ""),
            _ => reply(404, &[], ""),
        })
        .await;
        let client = fake.client(Credentials::Anonymous);
        let got = client.push_blob(&fake.repository(), "text/plain", Bytes::from_static(b"x")).await;
        match got {
            Ok(blob) => assert_eq!((expected, blob), ("", Descriptor::of("text/plain", b"x")), "{case}"),
            Err(ClientError::Protocol { fault, .. }) => assert_eq!(format!("{fault:?}"), expected, "{case}"),
            Err(other) => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_manifest_put_without_location_is_put() {
    let fake = Fake::start(|_| reply(201, &[], "")).await;
    let (client, repository) = (fake.client(Credentials::Anonymous), fake.repository());
    for name in [PutAs::Digest, PutAs::Tag("v1")] {
        let put = client.put_manifest(&repository, name, IMAGE_MANIFEST, Bytes::from_static(b"{}")).await.unwrap();
        assert_eq!((put.pinned, put.subject_acknowledged), (repository.pin(Digest::of(b"{}")), false));
    }
}

#[tokio::test]
async fn an_entry_lost_to_another_writer_is_entered_again() {
    let subject = Descriptor::of(IMAGE_MANIFEST, b"subject");
    let other = Descriptor::of(IMAGE_MANIFEST, b"another writer's");
    let (held, puts) = (Mutex::new(None::<Bytes>), AtomicUsize::new(0));
    let theirs = other.clone();
    let fake = Fake::start(move |seen| {
        let mut held = held.lock().unwrap();
        match (seen.method.as_str(), seen.path.contains("/manifests/sha256-")) {
            ("PUT", true) => {
                // The other writer had read before and writes after us, once.
                *held = Some(match puts.fetch_add(1, Ordering::SeqCst) {
                    0 => json!({"schemaVersion": 2, "manifests": [theirs]}).to_string().into(),
                    _ => seen.body.clone(),
                });
                reply(201, &[], "")
            }
            ("GET", true) => held.clone().map_or_else(|| reply(404, &[], ""), |body| reply(200, &[], body)),
            ("PUT", false) => reply(201, &[], ""),
            _ => reply(404, &[], ""),
        }
    })
    .await;
    let (client, repository) = (fake.client(Credentials::Anonymous), fake.repository());
    let manifest = Manifest::bundle(Descriptor::of(BUNDLE, b"b"), subject.clone(), Default::default());
    let attached = client.attach(&repository, &manifest).await.unwrap();
    assert_eq!(attached.by, AttachedBy::FallbackTag);
    let listed = client.referrers(&repository.pin(subject.digest), 10).await.unwrap();
    let mut digests: Vec<_> = listed.descriptors.iter().map(|one| one.digest).collect();
    digests.sort();
    let mut expected = vec![other.digest, attached.pinned.digest];
    expected.sort();
    assert_eq!(digests, expected);
}

#[tokio::test]
async fn a_tag_that_is_no_index_is_not_overwritten() {
    let fake = Fake::start(|seen| match seen.method.as_str() {
        "GET" => reply(200, &[], json!({"schemaVersion": 2, "mediaType": IMAGE_MANIFEST}).to_string()),
        _ => reply(201, &[], ""),
    })
    .await;
    let manifest =
        Manifest::bundle(Descriptor::of(BUNDLE, b"b"), Descriptor::of(IMAGE_MANIFEST, b"s"), Default::default());
    let error = fake.client(Credentials::Anonymous).attach(&fake.repository(), &manifest).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { fault, .. } if matches!(*fault, Fault::NotAnIndex)));
    assert!(!fake.lines().iter().any(|line| line.starts_with("PUT") && line.contains("sha256-")));
}

#[tokio::test]
async fn junk_among_signatures_is_listed_and_an_outage_is_not_junk() {
    let subject = Descriptor::of(IMAGE_MANIFEST, b"subject");
    let manifest = |bundle: &[u8], size: u64| {
        let layer = Descriptor { size, ..Descriptor::of(BUNDLE, bundle) };
        Manifest::bundle(layer, Descriptor::of(IMAGE_MANIFEST, b"subject"), Default::default()).to_bytes()
    };
    let manifests = [manifest(b"good", 4), manifest(b"huge", 1 << 40), manifest(b"gone", 4), b"no manifest".to_vec()];
    for outage in [false, true] {
        let manifests = manifests.clone();
        let fake = Fake::start(move |seen| {
            let find = || manifests.iter().find(|bytes| seen.path.ends_with(&Digest::of(bytes).hex()));
            match seen.path.as_str() {
                path if path.contains("/referrers/") => {
                    let list: Vec<_> = manifests.iter().map(|bytes| Descriptor::of(IMAGE_MANIFEST, bytes)).collect();
                    reply(200, &[("content-type", IMAGE_INDEX)], json!({"manifests": list}).to_string())
                }
                path if path.ends_with(&Digest::of(b"good").hex()) => reply(200, &[], "good"),
                path if path.ends_with(&Digest::of(b"gone").hex()) && outage => complain(500, "UNKNOWN"),
                path if path.contains("/manifests/sha256:") => {
                    find().map_or_else(|| complain(404, "NOT_FOUND"), |bytes| reply(200, &[], bytes.clone()))
                }
                _ => complain(404, "NOT_FOUND"),
            }
        })
        .await;
        let client = Store::from(fake.client(Credentials::Anonymous));
        let place = fake.repository().pin(subject.digest);
        let found = fetch::signatures(&client, &place, client.limits(), Legacy::Ignored).await;
        if outage {
            assert!(matches!(found, Err(ClientError::Unreachable { .. })));
            continue;
        }
        let found = found.unwrap();
        let bundles: Vec<_> = found.candidates.iter().map(|one| one.content.clone()).collect();
        assert_eq!(bundles, [Content::Bundle(b"good".to_vec())]);
        assert!(!fake.lines().iter().any(|line| line.contains(".sig")), "nobody asked for legacy signatures");
        let mut reasons: Vec<_> = found.skipped.iter().map(|one| one.reason.as_str()).collect();
        reasons.sort_unstable();
        assert!(reasons[0].contains("does not exist") && reasons[1].contains("is larger than"), "{reasons:?}");
        assert!(reasons[2].contains("cannot be read as an OCI image manifest"), "{reasons:?}");
        let limits = sealift_verify::artifact::Limits { candidates: 2, ..*client.limits() };
        assert!(fetch::signatures(&client, &place, &limits, Legacy::Ignored).await.unwrap().truncated);
    }
}

/// A registry that has nothing but one manifest under the tag `sha256-<hex>.sig`, and the blobs it may name.
async fn with_legacy(manifest: Vec<u8>, outage: bool) -> Fake {
    let tag = format!("/manifests/sha256-{}.sig", Digest::of(b"subject").hex());
    Fake::start(move |seen| {
        let (digest, hex) = (Digest::of(&manifest).to_string(), Digest::of(b"payload").hex());
        match (seen.method.as_str(), seen.path.as_str()) {
            (_, path) if path.ends_with(&tag) && outage => complain(500, "UNKNOWN"),
            ("HEAD", path) if path.ends_with(&tag) => reply(200, &[("docker-content-digest", &digest)], ""),
            (_, path) if path.ends_with(&digest) => reply(200, &[], manifest.clone()),
            (_, path) if path.ends_with(&hex) => reply(200, &[], "payload"),
            (_, path) if path.contains("/referrers/") => {
                reply(200, &[("content-type", IMAGE_INDEX)], json!({"manifests": []}).to_string())
            }
            _ => complain(404, "NOT_FOUND"),
        }
    })
    .await
}

#[tokio::test]
async fn every_legacy_signature_is_a_candidate_of_its_own_and_junk_among_them_is_listed() {
    let layer = |annotations: &[(&str, &str)]| Descriptor {
        annotations: annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Descriptor::of(SIMPLE_SIGNING, b"payload")
    };
    let signed = ("dev.cosignproject.cosign/signature", "c2ln");
    let good = layer(&[signed, ("dev.sigstore.cosign/certificate", "PEM"), ("dev.sigstore.cosign/bundle", "{}")]);
    let layers = vec![
        good.clone(),
        layer(&[signed]),
        layer(&[]),
        Descriptor { media_type: "text/plain".to_owned(), ..good.clone() },
        Descriptor { size: 1 << 40, ..good.clone() },
        Descriptor { digest: Digest::of(b"gone"), ..good.clone() },
    ];
    let manifest = Manifest { layers, artifact_type: None, ..Manifest::bundle(good.clone(), good, Default::default()) };
    let (bytes, limits) = (manifest.to_bytes(), sealift_verify::artifact::Limits::default());
    let look = async |manifest: &[u8], outage, limits: &sealift_verify::artifact::Limits, legacy| {
        let fake = with_legacy(manifest.to_vec(), outage).await;
        let place = fake.repository().pin(Digest::of(b"subject"));
        fetch::signatures(&fake.client(Credentials::Anonymous).into(), &place, limits, legacy).await
    };
    let found = look(&bytes, false, &limits, Legacy::Included).await.unwrap();
    let read: Vec<_> = found.candidates.iter().map(|one| (one.referrer, &one.content)).collect();
    let [(first, Content::SimpleSigning(one)), (_, Content::SimpleSigning(two))] = read[..] else { panic!("{read:?}") };
    assert_eq!((first, one.payload.as_slice(), one.signature.as_str()), (Digest::of(&bytes), &b"payload"[..], "c2ln"));
    assert_eq!((one.certificate.as_deref(), one.promise.as_deref()), (Some("PEM"), Some("{}")));
    assert_eq!((&two.certificate, &two.promise, &two.timestamp), (&None, &None, &None));
    let reasons: Vec<_> = found.skipped.iter().map(|one| one.reason.as_str()).collect();
    for (reason, wanted) in reasons.iter().zip(["carries no signature", "media type", "larger than", "does not exist"])
    {
        assert!(reason.contains(wanted), "{reasons:?}");
    }
    assert_eq!((reasons.len(), found.truncated), (4, false));

    let two = sealift_verify::artifact::Limits { candidates: 2, ..limits };
    let cut = look(&bytes, false, &two, Legacy::Included).await.unwrap();
    assert_eq!((cut.candidates.len(), cut.truncated), (2, true));
    let junk = look(b"no manifest", false, &limits, Legacy::Included).await.unwrap();
    assert_eq!((junk.candidates.len(), junk.skipped.len()), (0, 1));
    assert!(matches!(look(&bytes, true, &limits, Legacy::Included).await, Err(ClientError::Unreachable { .. })));
    assert_eq!(look(&bytes, true, &limits, Legacy::Ignored).await.unwrap(), fetch::Signatures::default());
}
