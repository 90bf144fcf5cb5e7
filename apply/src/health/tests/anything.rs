//! Whatever a status holds, it is judged, and soon.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use serde_json::Map;

use super::*;

fn json() -> impl Strategy<Value = Value> {
    #[rustfmt::skip]
    let words = prop::sample::select(vec![
        "Ready", "True", "False", "Unknown", "Failed", "Progressing", "Paused", "not", "NotFound", "Running", "3/4", "", "/", "no", "ScalingDown",
        "-1", "İstanbul", "ß", "🦀", "2026-01-01T00:00:00Z", "HEALTH_ERR",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    #[rustfmt::skip]
    let keys = prop::sample::select(vec![
        "status", "spec", "metadata", "conditions", "type", "reason", "message", "observedGeneration", "generation", "phase", "state", "replicas",
        "readyReplicas", "error", "paused", "parents", "statuses", "labels", "deletionTimestamp", "creationTimestamp", "updateStrategy", "nodeSets",
        "count", "x.y/status",
    ]);
    leaf.prop_recursive(6, 96, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(keys.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_object_brings_it_down(value in json(), which in 0..KINDS.len()) {
        let value = match value {
            Value::Object(mut map) => {
                let (api_version, kind) = KINDS[which].rsplit_once('/').unwrap();
                map.insert("apiVersion".into(), api_version.into());
                map.insert("kind".into(), kind.into());
                Value::Object(map)
            }
            other => other,
        };
        let told = health(&value, &Circumstances { now: Timestamp::UNIX_EPOCH, has_status: true }).to_string();
        prop_assert!(!told.contains(char::is_control) && told.chars().count() < 450);
    }
}

#[rustfmt::skip]
const KINDS: [&str; 16] = [
    "example.com/v1/Widget", "example.com/v1/TrainingJob", "apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/DaemonSet", "v1/Pod", "batch/v1/Job",
    "policy/v1/PodDisruptionBudget", "autoscaling/v2/HorizontalPodAutoscaler", "apiextensions.k8s.io/v1/CustomResourceDefinition",
    "argoproj.io/v1alpha1/Rollout", "apps.kruise.io/v1alpha1/CloneSet", "gloo.solo.io/v1/Upstream", "elasticsearch.k8s.elastic.co/v1/Elasticsearch",
    "rollouts.kruise.io/v1beta1/Rollout", "kubevirt.io/v1/VirtualMachine",
];

/// A megabyte and a half is more than the API server stores. The limit is far above what it takes, even unoptimised.
#[test]
fn the_largest_status_is_judged_in_bounded_time() {
    let conditions: Vec<_> = (0..10_000)
        .map(|n| json!({"type": format!("Part{n}Ready"), "status": "False", "reason": "Waiting", "message": "w ".repeat(40)}))
        .collect();
    let parts: Vec<_> = (0..2_000)
        .map(|n| json!({"name": n.to_string(), "conditions": [conditions[n].clone()], "replicas": 1}))
        .collect();
    let wide: Map<String, Value> = (0..3_000).map(|n| (format!("readyThings{n}"), n.into())).collect();
    for status in [json!({"conditions": conditions}), json!({"parents": parts}), Value::Object(wide)] {
        let value = object("example.com/v1/Widget", json!({"status": status}));
        let started = Instant::now();
        let _ = health(&value, &LATER);
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
}
