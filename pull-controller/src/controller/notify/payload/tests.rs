use std::{fmt::Write as _, fs, path::Path};

use sealift_apply::api::SourceRevision;
use sealift_verify::digest::Digest;

use super::{super::filter::tests::notification, *};

const SNAPSHOT: &str = "src/controller/notify/payload/rows.txt";
const HEAD: &str = "What each sort of service is sent: trouble, then its end. Secrets are <token> and <key>.\n\
                    Generated: UPDATE_GENERATED=1 cargo test -p sealift-controller --lib notify::payload\n";

fn trouble() -> PendingEvent {
    PendingEvent {
        number: 7,
        topic: Topic::Delivery,
        severity: Severity::Error,
        progressing: false,
        reason: "HealthCheckFailed".into(),
        message: "Deployment.apps shop/web: <b>0 of 2</b> are available".into(),
        at: "2026-11-24T10:00:00Z".parse().unwrap(),
        ends: None,
        digest: Some(Digest::of(b"release")),
        version: Some("1.4.2".into()),
        source: Some(SourceRevision {
            uri: "https://git.example/acme/shop".into(),
            commit: "c0ffee".repeat(7)[..40].into(),
        }),
        told: Vec::new(),
    }
}

fn end() -> PendingEvent {
    PendingEvent {
        number: 8,
        severity: Severity::Info,
        reason: "Applied".into(),
        message: "release 1.4.2 is applied, 3 objects".into(),
        at: "2026-11-24T10:05:00Z".parse().unwrap(),
        ends: Some("HealthCheckFailed".into()),
        ..trouble()
    }
}

fn spec(kind: &str) -> NotificationSpec {
    let spec = serde_json::json!({"type": kind, "address": "https://git.example/base"});
    notification("apps", kind, spec).spec
}

fn access() -> Access {
    Access { address: None, token: Some("<token>".into()), hmac_key: Some(b"<key>".to_vec().into()) }
}

fn about(event: &PendingEvent) -> About<'_> {
    About { cluster: "eu-1", namespace: "apps", name: "shop", uid: "5d7a", event }
}

const KINDS: [&str; 8] = ["generic", "slack", "teams", "grafana", "alertmanager", "pagerduty", "github", "gitlab"];

#[test]
fn every_row_is_as_it_is_written_down() {
    let mut text = HEAD.to_owned();
    for kind in KINDS {
        for event in [trouble(), end()] {
            let Post { url, headers, body } = post(&spec(kind), &access(), &about(&event)).unwrap();
            let _ = writeln!(text, "\n== {kind}\nPOST {url}");
            let mut names: Vec<_> = headers.iter().collect();
            names.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in names {
                let _ = writeln!(text, "{name}: {}", value.to_str().unwrap());
            }
            let body: Value = serde_json::from_slice(&body).unwrap();
            let _ = writeln!(text, "{body:#}");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOT);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{SNAPSHOT} is stale:\n{text}");
}

#[test]
fn what_is_secret_does_not_print() {
    for kind in KINDS {
        let event = trouble();
        let post = post(&spec(kind), &access(), &about(&event)).unwrap();
        let printed = format!("{:?} {:?}", access(), post.headers);
        assert!(!printed.contains("<token>") && !printed.contains("<key>"), "{printed}");
    }
    let secret = Access { address: Some("https://hooks.example/T0/B0".into()), ..access() };
    assert!(!format!("{secret:?}").contains("hooks.example"));
    let event = trouble();
    let post = post(&spec("slack"), &secret, &about(&event)).unwrap();
    assert_eq!(post.url.as_str(), "https://hooks.example/T0/B0", "that of the Secret counts");
}

#[test]
fn what_cannot_be_sent_says_why_and_not_what() {
    let event = trouble();
    let nothing = Access::default();
    let fails = |spec: NotificationSpec, access: &Access| post(&spec, access, &about(&event)).unwrap_err();
    assert!(matches!(fails(spec("github"), &nothing), Unfit::NoToken));
    assert!(matches!(fails(spec("pagerduty"), &nothing), Unfit::NoToken));
    assert!(matches!(fails(NotificationSpec { address: None, ..spec("slack") }, &nothing), Unfit::NoAddress));
    for address in ["ftp://a.example", "nonsense", "https://"] {
        let access = Access { address: Some(address.into()), ..Access::default() };
        assert!(matches!(fails(spec("slack"), &access), Unfit::Address), "{address}");
    }
    let broken = Access { token: Some("a\nb".into()), ..Access::default() };
    let error = fails(spec("github"), &broken);
    assert!(matches!(error, Unfit::Token) && !error.to_string().contains("a\nb"));
    let wrong = NotificationSpec { template: Some("{nam}".into()), ..spec("slack") };
    assert!(matches!(fails(wrong, &nothing), Unfit::Template(_)));
}
