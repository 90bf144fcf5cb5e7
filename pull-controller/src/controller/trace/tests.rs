use sealift_trace::Value;
use sealift_verify::{digest::Digest, refusal::Refusal};
use serde_json::json;

use super::*;
use crate::controller::stop::Stop;

const PUSH: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ISSUED: &str = "2026-01-01T00:00:00Z";

fn at(seconds: u64) -> SystemTime {
    SystemTime::from(ISSUED.parse::<Timestamp>().unwrap()) + Duration::from_secs(seconds)
}

fn delivery() -> Delivery {
    let spec = json!({"repository": "registry.example/shop", "select": {"tag": "stable"}});
    let metadata = json!({"namespace": "acme", "name": "shop"});
    serde_json::from_value(
        json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": metadata, "spec": spec}),
    )
    .unwrap()
}

fn status(ready: &str, reason: &str) -> DeliveryStatus {
    let zero = format!("sha256:{}", "0".repeat(64));
    let condition =
        json!({"type": "Ready", "status": ready, "reason": reason, "message": "0 of 2", "lastTransitionTime": ISSUED});
    let last =
        json!({"digest": zero, "short": "0", "objects": zero, "at": ISSUED, "issuedAt": ISSUED, "version": "1.0.0"});
    serde_json::from_value(json!({"conditions": [condition], "lastApplied": last})).unwrap()
}

fn report(trace: Option<&str>) -> Report {
    let trace = trace.map(|text| text.parse().unwrap());
    Report { trace, attempted: Some((Digest::of(b"a"), None)), objects: Some(3), ..Report::default() }
}

fn steps(from: u64) -> Vec<(&'static str, SystemTime)> {
    let names = ["resolve", "memory", "fetch", "verify", "fetch", "verify", "plan", "apply", "prune", "health"];
    names.into_iter().zip(from..).map(|(name, second)| (name, at(second))).collect()
}

const APPLIED: Receipt = Receipt { verdict: Verdict::Applied, took: None };

#[test]
fn a_cluster_goes_on_in_the_trace_of_the_push() {
    let push: TraceParent = PUSH.parse().unwrap();
    let status = status("True", "Applied");
    let (spans, unsettled) = spans(&delivery(), &status, &report(Some(PUSH)), APPLIED, steps(60), at(70));
    let names: Vec<_> = spans.iter().map(|span| span.name).collect();
    let parts =
        ["deliver", "resolve", "verify", "fetch", "verify", "fetch", "verify", "plan", "apply", "prune", "health"];
    assert_eq!(names, parts);
    assert!(spans.iter().all(|span| span.context.trace_id() == push.trace_id()));
    assert_eq!((spans[0].parent, spans[0].link, spans[0].kind), (Some(push), None, Kind::Consumer));
    assert!(spans[1..].iter().all(|span| span.parent == Some(spans[0].context)));
    let fact =
        |name: &str| spans[0].attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    assert_eq!(fact("k8s.namespace.name"), Some(Value::Text("acme".into())));
    assert_eq!(fact("sealift.verdict"), Some(Value::Text("applied".into())));
    assert_eq!(fact("sealift.version"), Some(Value::Text("1.0.0".into())));
    assert_eq!(unsettled, None, "all is well");
}

#[test]
fn late_ones_begin_a_trace_of_their_own_and_name_the_push() {
    let push: TraceParent = PUSH.parse().unwrap();
    let status = status("True", "Applied");
    let late = 25 * 3600;
    let (late, _) = spans(&delivery(), &status, &report(Some(PUSH)), APPLIED, steps(late), at(late + 10));
    assert_ne!(late[0].context.trace_id(), push.trace_id());
    assert_eq!((late[0].parent, late[0].link), (None, Some(push)));
    let (alone, _) = spans(&delivery(), &status, &report(None), APPLIED, steps(60), at(70));
    assert_eq!((alone[0].parent, alone[0].link), (None, None));
}

#[test]
fn nobody_records_what_the_pipeline_does_not_record() {
    let unrecorded = PUSH.replace("-01", "-00");
    for begin in [60, 25 * 3600] {
        let status = status("True", "Applied");
        let (spans, _) = spans(&delivery(), &status, &report(Some(&unrecorded)), APPLIED, steps(begin), at(begin + 10));
        assert!(spans.iter().all(|span| !span.context.is_sampled()));
    }
}

#[test]
fn what_is_refused_leads_into_no_trace_and_its_last_step_failed() {
    let refused = Report { stop: Some(Stop::Refused(Refusal::Unsigned(Digest::of(b"a")))), ..report(Some(PUSH)) };
    let receipt = Receipt { verdict: Verdict::Refused, took: None };
    let (spans, unsettled) =
        spans(&delivery(), &status("False", "Unsigned"), &refused, receipt, steps(60)[..4].to_vec(), at(64));
    assert_eq!((spans[0].parent, spans[0].link), (None, None), "whoever holds the registry may have written it");
    assert!(spans[0].error.as_ref().unwrap().starts_with("Unsigned: "));
    assert!(spans.last().unwrap().name == "verify" && spans.last().unwrap().error.is_some());
    assert!(spans[1].error.is_none() && unsettled.is_none());
    assert!(!spans[0].attributes.iter().any(|(name, _)| *name == "sealift.version"), "that is what runs still");
}

#[test]
fn the_way_to_health_is_told_when_it_is_over() {
    use sealift_apply::{assess::HealthReport, health::Health};
    let id = sealift_verify::objects::ObjectId {
        group: "apps".into(),
        version: "v1".into(),
        kind: "Deployment".into(),
        namespace: Some("acme".into()),
        name: "web".into(),
    };
    let on_its_way = || Report {
        health: Some(HealthReport { healthy: 0, rest: vec![(id.clone(), Health::Progressing("0 of 2".into()))] }),
        ..report(Some(PUSH))
    };
    let (spans, unsettled) =
        spans(&delivery(), &status("Unknown", "Progressing"), &on_its_way(), APPLIED, steps(60), at(70));
    let unsettled = unsettled.unwrap();
    assert_eq!(settled(&unsettled, &status("Unknown", "Progressing"), &on_its_way(), at(80)), None);
    let well = settled(&unsettled, &status("True", "Applied"), &report(None), at(90)).unwrap();
    assert_eq!(
        (well.name, well.parent, well.took().as_secs(), well.error),
        ("health", Some(spans[0].context), 20, None)
    );
    let failed = settled(&unsettled, &status("False", "HealthCheckFailed"), &on_its_way(), at(90)).unwrap();
    assert_eq!(failed.error.as_deref(), Some("0 of 2"));
}
