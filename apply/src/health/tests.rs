mod anything;
mod custom;

use serde_json::json;

use super::*;

/// No object of these tables says when it was made: it may always have been a while ago.
const LATER: Circumstances = Circumstances { now: Timestamp::MAX, has_status: false };

fn object(kind: &str, mut value: Value) -> Value {
    let (api_version, kind) = kind.rsplit_once('/').unwrap();
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    value
}

fn with(type_: &str, status: &str, reason: &str) -> Value {
    json!({"status": {"conditions": [{"type": type_, "status": status, "reason": reason, "message": "words"}]}})
}

/// H, S, P, D, M, U: healthy, suspended, progressing, degraded, missing, unknown; then what the reason must hold.
fn holds(kind: &str, cases: Vec<(char, &str, Value)>) {
    for (expected, reason, value) in cases {
        let found = health(&object(kind, value.clone()), &LATER);
        let letter = match found {
            Health::Healthy => 'H',
            Health::Suspended { .. } => 'S',
            Health::Progressing(_) => 'P',
            Health::Degraded(_) => 'D',
            Health::Missing(_) => 'M',
            Health::Unknown(_) => 'U',
        };
        assert!(letter == expected && found.to_string().contains(reason), "{kind} {value}: {found}");
    }
}

#[test]
fn what_a_watch_judges_by_itself_is_what_a_look_would_say_whenever_it_comes() {
    let kinds = [
        "apps/v1/Deployment",
        "apps/v1/StatefulSet",
        "apps/v1/DaemonSet",
        "apps/v1/ReplicaSet",
        "batch/v1/Job",
        "v1/Pod",
        "v1/ReplicationController",
        "v1/PersistentVolumeClaim",
        "v1/Service",
        "policy/v1/PodDisruptionBudget",
        "autoscaling/v2/HorizontalPodAutoscaler",
    ];
    let made = json!({"creationTimestamp": "2026-01-01T00:00:00Z", "generation": 2});
    for kind in kinds {
        for status in
            [json!({}), json!({"observedGeneration": 2}), json!({"phase": "Running", "observedGeneration": 1})]
        {
            let object = object(kind, json!({"metadata": made, "spec": {"replicas": 1}, "status": status}));
            let at = |now| health(&object, &Circumstances { now, has_status: true });
            let told = by_itself(&object);
            assert_eq!((told.clone(), told), (Some(at(Timestamp::MIN)), Some(at(Timestamp::MAX))), "{object}");
        }
    }
    for kind in ["v1/ConfigMap", "v1/Secret", "apiextensions.k8s.io/v1/CustomResourceDefinition", "a.example/v1/Job"] {
        assert_eq!(by_itself(&object(kind, json!({}))), None, "{kind}");
    }
}

#[test]
fn deployments() {
    let status = |value: Value| json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": value});
    holds(
        "apps/v1/Deployment",
        vec![
            ('P', "not seen it yet", json!({})),
            ('P', "generation 1 of 2", status(json!({"observedGeneration": 1}))),
            ('P', "0 of 3 replicas updated", status(json!({"observedGeneration": 2}))),
            ('P', "1 old", status(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4}))),
            (
                'P',
                "2 of 3 replicas available",
                status(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2})),
            ),
            (
                'H',
                "",
                status(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3,
                "conditions": [{"type": "Available", "status": "True"}]})),
            ),
            (
                'P',
                "MinimumReplicasUnavailable",
                status(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3,
                "conditions": [{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}]})),
            ),
            (
                'D',
                "ProgressDeadlineExceeded",
                status(json!({"observedGeneration": 2,
                "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]})),
            ),
            ('H', "", json!({"spec": {"replicas": 0}, "status": {"observedGeneration": 1}})),
            ('S', "paused", json!({"spec": {"paused": true}, "status": {"observedGeneration": 1}})),
        ],
    );
}

#[test]
fn stateful_sets() {
    let ready = json!({"observedGeneration": 1, "readyReplicas": 2, "replicas": 2, "currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1});
    let same = json!({"observedGeneration": 1, "readyReplicas": 2, "replicas": 2, "currentRevision": "b", "updateRevision": "b"});
    holds(
        "apps/v1/StatefulSet",
        vec![
            ('P', "not seen", json!({})),
            (
                'P',
                "1 of 2 replicas ready",
                json!({"spec": {"replicas": 2}, "status": {"observedGeneration": 1, "readyReplicas": 1}}),
            ),
            ('P', "1 of 2 replicas updated", json!({"spec": {"replicas": 2}, "status": ready})),
            ('H', "", json!({"spec": {"replicas": 2}, "status": same})),
            ('H', "", json!({"spec": {"replicas": 2, "updateStrategy": {"type": "OnDelete"}}, "status": ready})),
            (
                'H',
                "",
                json!({"spec": {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}, "status": ready}),
            ),
        ],
    );
}

#[test]
fn daemon_sets_and_replica_sets() {
    let daemon = |updated: i64, available: i64| {
        json!({"status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
            "updatedNumberScheduled": updated, "numberAvailable": available}})
    };
    holds(
        "apps/v1/DaemonSet",
        vec![
            ('P', "1 of 2 nodes have an updated", daemon(1, 2)),
            ('P', "available", daemon(2, 1)),
            ('H', "", daemon(2, 2)),
        ],
    );
    holds(
        "apps/v1/ReplicaSet",
        vec![
            ('P', "0 of 1", json!({"status": {"observedGeneration": 1}})),
            (
                'P',
                "2 replicas too many",
                json!({"status": {"observedGeneration": 1, "replicas": 3, "availableReplicas": 3}}),
            ),
            ('H', "", json!({"status": {"observedGeneration": 1, "replicas": 1, "availableReplicas": 1}})),
        ],
    );
}

#[test]
fn pods() {
    let waiting = |reason: &str| json!({"status": {"phase": "Running", "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": reason}}}]}});
    holds(
        "v1/Pod",
        vec![
            ('H', "", json!({"status": {"phase": "Succeeded"}})),
            ('D', "Evicted by", json!({"status": {"phase": "Failed", "message": "Evicted by kubelet"}})),
            ('P', "Pending", json!({"status": {"phase": "Pending"}})),
            ('D', "app: CrashLoopBackOff", waiting("CrashLoopBackOff")),
            ('P', "Running", waiting("ImagePullBackOff")),
            ('H', "", json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})),
            (
                'P',
                "ContainersNotReady",
                json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}}),
            ),
        ],
    );
}

#[test]
fn jobs() {
    holds(
        "batch/v1/Job",
        vec![
            ('P', "0 of 3", json!({"spec": {"completions": 3}})),
            ('H', "", with("Complete", "True", "")),
            ('D', "BackoffLimitExceeded: words", with("Failed", "True", "BackoffLimitExceeded")),
            ('S', "suspend", json!({"spec": {"suspend": true}})),
        ],
    );
    holds("batch/v1/CronJob", vec![('H', "", json!({})), ('S', "suspend", json!({"spec": {"suspend": true}}))]);
}

#[test]
fn storage_network_and_namespaces() {
    holds(
        "v1/PersistentVolumeClaim",
        vec![
            ('P', "Pending", json!({"status": {"phase": "Pending"}})),
            ('H', "", json!({"status": {"phase": "Bound"}})),
            ('D', "lost", json!({"status": {"phase": "Lost"}})),
        ],
    );
    holds(
        "v1/Service",
        vec![
            ('H', "", json!({"spec": {"type": "ClusterIP"}})),
            ('P', "no address", json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}})),
            (
                'H',
                "",
                json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
            ),
        ],
    );
    holds(
        "v1/Namespace",
        vec![
            ('H', "", json!({"status": {"phase": "Active"}})),
            ('P', "Terminating", json!({"status": {"phase": "Terminating"}})),
        ],
    );
}

#[test]
fn definitions_and_api_services() {
    holds(
        "apiextensions.k8s.io/v1/CustomResourceDefinition",
        vec![
            ('P', "not established", json!({})),
            ('P', "Installing", with("Established", "False", "Installing")),
            ('D', "NotAccepted", with("Established", "False", "NotAccepted")),
            ('D', "PluralConflict", with("NamesAccepted", "False", "PluralConflict")),
            ('H', "", with("Established", "True", "InitialNamesAccepted")),
        ],
    );
    holds(
        "apiregistration.k8s.io/v1/APIService",
        vec![
            ('P', "not available", json!({})),
            ('P', "MissingEndpoints", with("Available", "False", "MissingEndpoints")),
            ('H', "", with("Available", "True", "Passed")),
        ],
    );
}

#[test]
fn disruption_budgets() {
    holds(
        "policy/v1/PodDisruptionBudget",
        vec![
            ('P', "not seen", json!({})),
            ('P', "1 of 2", json!({"status": {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 2}})),
            ('H', "", json!({"status": {"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2}})),
        ],
    );
}

#[test]
fn custom_resources_go_by_their_conditions() {
    holds(
        "example.com/v1/Widget",
        vec![
            ('H', "", json!({})),
            ('H', "", with("Ready", "True", "")),
            ('P', "Waiting: words", with("Ready", "False", "Waiting")),
            ('D', "QuotaExceeded: words", with("Ready", "False", "QuotaExceeded")),
            ('P', "words", with("Ready", "Unknown", "")),
            ('P', "words", with("Available", "False", "")),
            ('D', "Broken", with("Stalled", "True", "Broken")),
            ('P', "Working", with("Reconciling", "True", "Working")),
            ('D', "Gone", with("Failed", "True", "Gone")),
            ('H', "", with("Failed", "False", "")),
            ('P', "generation 1 of 2", json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}})),
            ('P', "being deleted", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        ],
    );
}

#[test]
fn a_kind_is_told_by_its_group_too() {
    let knative = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "spec": {"type": "LoadBalancer"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(health(&knative, &LATER), Health::Healthy);
}
