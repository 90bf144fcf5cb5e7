//! Custom resources: what their status says in words.

use super::*;

fn conditions(list: Value) -> Value {
    json!({"status": {"conditions": list}})
}

fn status(status: Value) -> Value {
    json!({ "status": status })
}

#[test]
fn a_condition_that_does_not_hold_is_judged_by_its_reason_then_its_message() {
    let with_message = |reason: &str, message: &str| {
        conditions(json!([{"type": "Ready", "status": "False", "reason": reason, "message": message}]))
    };
    holds(
        "example.com/v1/Widget",
        vec![
            ('D', "ReconcileError", with_message("ReconcileError", "")),
            ('D', "ErrRegister", with_message("ErrRegister", "")),
            ('D', "quota exceeded", with_message("", "quota exceeded")),
            ('D', "cannot reach", with_message("Reconcile", "cannot reach the host")),
            ('D', "checksum", with_message("Migrating", "Error: checksum mismatch")),
            ('D', "merge failed", with_message("ChildNotReady", "not ready because the merge failed")),
            ('D', "NotFound", with_message("DependencyNotFound", "")),
            ('P', "Creating", with_message("Creating", "")),
            ('P', "DatabaseNotReady", with_message("DatabaseNotReady", "not ready")),
            ('P', "ImportInProgress", with_message("ImportInProgress", "")),
            ('P', "Waiting for", with_message("", "Waiting for the volume")),
            ('P', "Ready is False", with_message("", "")),
            ('S', "approval", with_message("", "waiting for approval by an administrator")),
            (
                'D',
                "words",
                conditions(json!([{"type": "Ready", "status": "False", "severity": "Error", "message": "words"}])),
            ),
            (
                'P',
                "words",
                conditions(
                    json!([{"type": "Ready", "status": "False", "severity": "Info", "message": "words failed"}]),
                ),
            ),
            // a boolean, and another case
            ('H', "", conditions(json!([{"type": "Ready", "status": true}]))),
            ('H', "", conditions(json!([{"type": "ready", "status": "true"}]))),
            ('P', "", conditions(json!([{"type": "Ready", "status": "perhaps"}]))),
        ],
    );
}

#[test]
fn a_condition_means_what_its_type_means() {
    let is = |type_: &str, status: &str| conditions(json!([{"type": type_, "status": status}]));
    holds(
        "example.com/v1/Widget",
        vec![
            ('H', "", is("Synced", "True")),
            ('H', "", is("example.com/app-ready", "True")),
            ('P', "DatabaseReady", is("DatabaseReady", "False")),
            ('D', "Degraded", is("Degraded", "True")),
            ('D', "SpecError", is("SpecError", "True")),
            ('D', "NotReady", is("NotReady", "True")),
            ('H', "", is("NotReady", "False")),
            ('H', "", is("NoWarnings", "True")),
            ('P', "NoWarnings", is("NoWarnings", "False")),
            ('D', "ACK.Terminal", is("ACK.Terminal", "True")),
            ('S', "Paused", is("Paused", "True")),
            ('P', "RollingUpdate", is("RollingUpdate", "True")),
            ('P', "In-progress", is("In-progress", "True")),
            ('H', "", is("ContinuousArchiving", "True")),
            ('D', "no key could", with_reason("Synced", "no key could decrypt it")),
            ('P', "", is("Synced", "False")),
        ],
    );
}

fn with_reason(type_: &str, message: &str) -> Value {
    conditions(json!([{"type": type_, "status": "False", "message": message}]))
}

#[test]
fn conditions_are_read_together() {
    let two = |one: (&str, &str, &str), two: (&str, &str, &str)| {
        let condition = |(type_, status, reason)| json!({"type": type_, "status": status, "reason": reason});
        conditions(json!([condition(one), condition(two)]))
    };
    holds(
        "example.com/v1/Widget",
        vec![
            // the whole speaks for its parts, but not for what stands beside it
            ('H', "", two(("Ready", "True", ""), ("CronJobAvailable", "False", "OtherStrategy"))),
            ('D', "ReconcileError", two(("Ready", "True", ""), ("Synced", "False", "ReconcileError"))),
            ('P', "PodReady", two(("Ready", "True", ""), ("PodReady", "False", ""))),
            ('D', "Failed", two(("Reconciling", "True", "Retry"), ("Ready", "False", "Failed"))),
            ('P', "Issuing", two(("Issuing", "True", "DoesNotExist"), ("Ready", "False", "DoesNotExist"))),
            ('P', "DesignChanged", two(("Available", "True", ""), ("Progressing", "True", "DesignChanged"))),
            ('H', "", two(("Available", "True", ""), ("Progressing", "True", "NewReplicaSetAvailable"))),
            ('D', "DeadlineExceeded", two(("Available", "True", ""), ("Progressing", "False", "DeadlineExceeded"))),
            ('P', "NotAllPods", two(("AllReplicasReady", "False", "NotAllPods"), ("ReconcileSuccess", "True", ""))),
        ],
    );
}

#[test]
fn a_condition_about_an_older_generation_says_nothing() {
    let seen = |observed: i64, status: &str| {
        let mut value = conditions(json!([{"type": "Ready", "status": status, "observedGeneration": observed}]));
        value["metadata"]["generation"] = 2.into();
        value
    };
    holds(
        "example.com/v1/Widget",
        vec![
            ('P', "this generation", seen(1, "True")),
            ('P', "this generation", seen(1, "False")),
            ('H', "", seen(2, "True")),
            (
                'P',
                "1 of 2",
                json!({"metadata": {"generation": 2}, "status": {"observedGeneration": "1", "phase": "Ready"}}),
            ),
        ],
    );
}

#[test]
fn parts_of_a_status_are_read_as_well() {
    let parents = |list: Value| json!({"metadata": {"generation": 2}, "status": {"parents": list}});
    let part = |status: &str, observed: i64| json!({"conditions": [{"type": "Accepted", "status": status, "observedGeneration": observed, "message": "no listener"}]});
    let other = json!({"conditions": [{"type": "Strange", "status": "True"}]});
    holds(
        "example.com/v1/Route",
        vec![
            ('H', "", parents(json!([part("True", 2), part("True", 2)]))),
            ('D', "no listener", parents(json!([part("True", 2), part("False", 2)]))),
            ('H', "", parents(json!([part("False", 1), part("True", 2)]))),
            ('P', "this generation", parents(json!([part("True", 1), part("True", 2)]))),
            ('P', "one of its parents", parents(json!([part("True", 2), other]))),
            ('P', "", status(json!({"conditionedStatus": {"conditions": [{"type": "Ready", "status": "False"}]}}))),
            ('D', "health HEALTH_ERR", status(json!({"state": "Created", "ceph": {"health": "HEALTH_ERR"}}))),
            (
                'H',
                "",
                status(json!({"phase": "Ready", "history": [{"conditions": [{"type": "Failed", "status": "True"}]}]})),
            ),
        ],
    );
}

#[test]
fn phases_are_read_by_their_words() {
    let is = |field: &str, text: &str| status(json!({field: text, "message": "words"}));
    let cases = [
        ('H', "Running"),
        ('H', "READY"),
        ('H', "green"),
        ('H', "Cluster in healthy state"),
        ('H', "Provisioned"),
        ('H', "UpToDate"),
        ('P', "Creating"),
        ('P', "yellow"),
        ('P', "Pending"),
        ('P', "ScalingDown"),
        ('P', "in_progress"),
        ('P', "NotReady"),
        ('D', "Failed"),
        ('D', "CreateFailed"),
        ('D', "CrashLoopBackOff"),
        ('D', "red"),
        ('D', "TimedOut"),
        ('D', "HEALTH_WARN"),
        ('D', "RolesMaxLimitReached"),
        ('D', "NonCompliant"),
        ('S', "Paused"),
        ('S', "Hibernated"),
        ('M', "NotFound"),
        ('U', "Unknown"),
        ('H', "AtLatestKnown"),
    ];
    for field in ["phase", "state", "health", "currentState", "updateStatus"] {
        holds("example.com/v1/Widget", cases.iter().map(|(letter, text)| (*letter, "", is(field, text))).collect());
    }
    holds(
        "example.com/v1/Widget",
        vec![
            ('D', "phase Failed: words", is("phase", "Failed")),
            ('H', "", is("image", "failed")),
            ('H', "", status(json!({"applicationState": {"state": "RUNNING"}}))),
            ('P', "lastOperationStatus", status(json!({"phase": "Bound", "lastOperationStatus": "Progressing"}))),
            ('D', "out of space", status(json!({"phase": "Ready", "error": "out of space"}))),
            ('D', "out of space", status(json!({"error": {"message": "out of space"}}))),
            ('H', "", status(json!({"phase": "Ready", "error": "", "lastError": "long ago"}))),
        ],
    );
}

#[test]
fn what_runs_to_an_end_is_healthy_once_it_is_there() {
    holds(
        "example.com/v1/TrainingJob",
        vec![
            ('P', "Running", status(json!({"phase": "Running"}))),
            ('H', "", status(json!({"phase": "Completed"}))),
            (
                'P',
                "not done",
                conditions(json!([{"type": "Created", "status": "True"}, {"type": "Running", "status": "True"}])),
            ),
            (
                'H',
                "",
                conditions(json!([{"type": "Created", "status": "True"}, {"type": "Succeeded", "status": "True"}])),
            ),
            ('P', "not done", status(json!({"startTime": "2026-01-01T00:00:00Z"}))),
        ],
    );
    holds("example.com/v1/ScheduledJob", vec![('H', "", status(json!({"phase": "Scheduled"})))]);
    holds("example.com/v1/Instance", vec![('P', "", status(json!({"phase": "Scheduled"})))]);
}

#[test]
fn counts_and_booleans_are_compared() {
    let of = |spec: Value, status: Value| json!({"spec": spec, "status": status});
    holds(
        "example.com/v1/Widget",
        vec![
            ('P', "readyReplicas: 1 of 2", of(json!({"replicas": 2}), json!({"readyReplicas": 1}))),
            ('H', "", of(json!({"replicas": 2}), json!({"readyReplicas": 2}))),
            ('P', "availableNodes: 1 of 2", status(json!({"availableNodes": 1, "expectedNodes": 2}))),
            ('P', "readyMembers: 1 of 3", status(json!({"racks": {"one": {"members": 3, "readyMembers": 1}}}))),
            ('P', "tasksReady: 0 of 1", status(json!({"tasksReady": "0/1"}))),
            ('P', "readyToUse is false", status(json!({"readyToUse": false}))),
            ('D', "healthy is false", status(json!({"healthy": false}))),
            ('D', "NoMatchingInstances", status(json!({"NoMatchingInstances": true}))),
            ('H', "", status(json!({"healthy": true}))),
        ],
    );
}

#[test]
fn what_asks_to_stand_still_is_settled_and_what_waits_for_somebody_is_not() {
    let settled = |kind: &str, value: Value| health(&object(kind, value), &LATER).is_settled();
    assert!(settled("example.com/v1/Widget", json!({"spec": {"paused": true}, "status": {"phase": "Paused"}})));
    assert!(settled("batch/v1/Job", json!({"spec": {"suspend": true}})));
    assert!(!settled("example.com/v1/Widget", json!({"status": {"phase": "Paused"}})));
    assert!(!settled("argoproj.io/v1alpha1/Rollout", json!({"status": {"phase": "Paused"}})));
}

#[test]
fn silence_is_waited_for_where_a_status_is_served() {
    let made = "2026-01-01T00:00:00Z";
    let at = |seconds: i64, has_status: bool, object: &Value| {
        let now = made.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds);
        health(object, &Circumstances { now, has_status })
    };
    let silent = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"creationTimestamp": made}});
    assert!(matches!(at(29, true, &silent), Health::Progressing(_)));
    assert_eq!(at(30, true, &silent), Health::Healthy);
    assert_eq!(at(0, false, &silent), Health::Healthy);
    let monitor = object("monitoring.coreos.com/v1/ServiceMonitor", silent.clone());
    assert_eq!(at(0, true, &monitor), Health::Healthy);
}

#[test]
fn a_failure_is_told_while_the_object_goes_away() {
    let going = |status: Value| json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": status});
    holds(
        "example.com/v1/Widget",
        vec![
            ('P', "being deleted", going(json!({"phase": "Ready"}))),
            ('D', "Failed", going(json!({"phase": "Failed"}))),
        ],
    );
}

#[test]
fn a_controllers_own_labels_may_bring_bad_news() {
    let labelled = |key: &str, text: &str| json!({"metadata": {"labels": {key: text}}, "status": {"phase": "Ready"}});
    holds(
        "core.example.com/v1/Widget",
        vec![
            ('D', "unhealthy", labelled("shoot.example.com/status", "unhealthy")),
            ('H', "", labelled("shoot.example.com/status", "healthy")),
            ('H', "", labelled("other.org/status", "unhealthy")),
            ('H', "", labelled("status", "unhealthy")),
            ('H', "", labelled("shoot.example.com/name", "failed")),
        ],
    );
}

#[test]
fn tabled_kinds() {
    let rollout = |status: Value| json!({"metadata": {"generation": 1}, "spec": {}, "status": status});
    holds(
        "argoproj.io/v1alpha1/Rollout",
        vec![
            ('H', "", rollout(json!({"phase": "Healthy"}))),
            ('S', "CanaryPauseStep", rollout(json!({"phase": "Paused", "message": "CanaryPauseStep"}))),
            ('P', "more replicas", rollout(json!({"phase": "Progressing", "message": "more replicas"}))),
            ('D', "ProgressDeadline", rollout(json!({"phase": "Degraded", "message": "ProgressDeadlineExceeded"}))),
            ('D', "aborted", rollout(json!({"phase": "Degraded", "abort": true}))),
            ('S', "paused", json!({"spec": {"paused": true}})),
        ],
    );
    holds(
        "gloo.solo.io/v1/Upstream",
        vec![
            ('H', "", status(json!({"statuses": {"gloo": {"state": "Accepted"}}}))),
            ('H', "", status(json!({"state": 1}))),
            ('D', "why", status(json!({"statuses": {"gloo": {"state": "Rejected", "reason": "why"}}}))),
            ('S', "validated", status(json!({"state": 0}))),
        ],
    );
    holds(
        "apps.kruise.io/v1alpha1/CloneSet",
        vec![
            ('H', "", status(json!({"observedGeneration": 1, "replicas": 2, "updatedReadyReplicas": 2}))),
            ('D', "1 of 2", status(json!({"observedGeneration": 1, "replicas": 2, "updatedReadyReplicas": 1}))),
            ('S', "paused", json!({"spec": {"updateStrategy": {"paused": true}}})),
            (
                'S',
                "partition",
                json!({"spec": {"updateStrategy": {"partition": 3}}, "status": {"observedGeneration": 1}}),
            ),
        ],
    );
    holds(
        "elasticsearch.k8s.elastic.co/v1/Elasticsearch",
        vec![(
            'P',
            "3 of 5",
            json!({"spec": {"nodeSets": [{"count": 3}, {"count": 2}]}, "status": {"health": "green", "availableNodes": 3}}),
        )],
    );
    holds(
        "kubevirt.io/v1/VirtualMachine",
        vec![
            ('S', "does not run", json!({"spec": {"running": false}, "status": {"printableStatus": "Stopped"}})),
            ('S', "Stopped", json!({"spec": {"running": true}, "status": {"printableStatus": "Stopped"}})),
            ('D', "ErrorUnschedulable", json!({"status": {"printableStatus": "ErrorUnschedulable"}})),
            ('H', "", json!({"status": {"printableStatus": "Running", "ready": true}})),
        ],
    );
    holds(
        "source.toolkit.fluxcd.io/v1/HelmRepository",
        vec![('H', "", json!({"spec": {"type": "oci"}, "status": {}}))],
    );
}

#[test]
fn autoscalers_and_volumes() {
    let scaling = |reason: &str| with("ScalingActive", "False", reason);
    holds(
        "autoscaling/v2/HorizontalPodAutoscaler",
        vec![
            ('H', "", json!({})),
            ('P', "FailedGetResourceMetric", scaling("FailedGetResourceMetric")),
            ('H', "", scaling("ScalingDisabled")),
            ('D', "InvalidSelector", scaling("InvalidSelector")),
            ('D', "FailedGetScale", with("AbleToScale", "False", "FailedGetScale")),
        ],
    );
    holds(
        "v1/PersistentVolume",
        vec![('H', "", status(json!({"phase": "Available"}))), ('D', "", status(json!({"phase": "Failed"})))],
    );
}

#[test]
fn what_a_controller_wrote_is_told_on_one_line_of_bounded_length() {
    let message = format!("first\nsecond\u{1b}[31m\tthird {}", "x ".repeat(1000));
    let value = conditions(json!([{"type": "Ready", "status": "False", "reason": "Broken", "message": message}]));
    let told = health(&object("example.com/v1/Widget", value), &LATER).to_string();
    assert!(told.starts_with("degraded, Broken: first second [31m third x x"), "{told}");
    assert!(told.len() < 500 && told.ends_with('…') && !told.contains(char::is_control), "{told}");
}

#[test]
fn a_controller_that_is_known_to_speak_is_waited_for_however_long() {
    let at_last = |kind: &str| health(&object(kind, json!({})), &LATER);
    for kind in ["cert-manager.io/v1/Certificate", "rds.aws.crossplane.io/v1/DBCluster", "argoproj.io/v1alpha1/Rollout"]
    {
        assert!(matches!(at_last(kind), Health::Progressing(_)), "{kind}");
    }
    for kind in [
        "argoproj.io/v1alpha1/AppProject",
        "aws.upbound.io/v1beta1/ProviderConfig",
        "generators.external-secrets.io/v1alpha1/Password",
        "notcert-manager.io/v1/Certificate",
        "notification.toolkit.fluxcd.io/v1beta3/Alert",
    ] {
        assert_eq!(at_last(kind), Health::Healthy, "{kind}");
    }
}
