//! Every state that a Delivery can be seen in, each brought about by what would cause it.

use std::path::PathBuf;

use sealift_apply::api::{Delivery, DriftState};
use sealift_e2e::{World, policy, reason};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// A registry that is not there.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// What can be seen once all of it is so, and how much of it at least in each cluster.
pub(crate) const SEEN: [(&str, f64); 13] = [
    (r#"sealift_deliveries{ready="true"}"#, 3.0),
    (r#"sealift_delivery_reasons{ready="false", reason="WrongEnvironment"}"#, 1.0),
    (r#"sealift_delivery_reasons{ready="false", reason="HealthCheckFailed"}"#, 1.0),
    (r#"sealift_delivery_reasons{ready="false", reason="SourceUnavailable"}"#, 1.0),
    (r#"sealift_delivery_reasons{ready="true", reason="Stale"}"#, 1.0),
    (r#"sealift_would_refuse{reason="Denied"}"#, 1.0),
    (r#"sealift_drift_total{result="corrected"}"#, 1.0),
    ("sealift_drifted_objects", 1.0),
    (r#"sealift_receipts_total{verdict="applied"}"#, 6.0),
    (r#"sealift_receipts_total{verdict="refused"}"#, 1.0),
    (r#"sealift_registry_requests_total{result="unreachable"}"#, 1.0),
    (r#"sealift_audit_lines_total{result="written"}"#, 7.0),
    ("sealift_push_to_applied_seconds_count", 1.0),
];

fn map(world: &World<'_>, name: &str, value: &str) -> PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
    world.cli.write(&format!("{name}-{value}.json"), map.to_string())
}

/// A Deployment whose pods fit no node.
fn homeless(world: &World<'_>) -> PathBuf {
    let labels = json!({"app": "homeless"});
    let containers = json!([{"name": "app", "image": "registry.invalid/app:1"}]);
    let spec = json!({"containers": containers, "nodeSelector": {"nobody": "has-this"}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "homeless"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}});
    world.cli.write("homeless.json", deployment.to_string())
}

/// Patches the value of a ConfigMap, and waits until its Delivery tells of it.
async fn drift(world: &World<'_>, name: &str, state: DriftState) {
    let patch = r#"{"data": {"value": "changed by hand"}}"#;
    world.kubectl(&["patch", "configmap", name, "-n", &world.namespace, "-p", patch]);
    let of = (world.namespace.as_str(), name);
    world
        .wait_for(of, "drift", |delivery| {
            let drift = delivery.status.as_ref().and_then(|status| status.drift.as_ref());
            drift.is_some_and(|drift| drift.objects.iter().any(|object| object.state == state))
        })
        .await;
}

/// Brings all of it about, and gives the Deliveries as they are then.
pub(crate) async fn all(world: &World<'_>) -> Vec<Value> {
    let account = world.namespace_account(&world.namespace);
    let namespace = world.namespace.as_str();
    let spec = |path: &str, more: Value| {
        let mut spec = world.following(path, "stable", account);
        spec["interval"] = json!("10s");
        for (name, value) in more.as_object().unwrap() {
            spec[name] = value.clone();
        }
        spec
    };
    let repositories = [format!("{}/**", world.registry.host()), format!("{NOBODY}/**")];
    world.put_policy(policy(namespace, &repositories.each_ref().map(String::as_str), &world.key)).await;
    let push = |name: &str, more: &[&str]| world.push(&format!("{name}:stable"), &[&map(world, name, "1")], more);

    // First, since it runs out on its own while the others come about.
    let stale = push("stale", &["--expires-in", "45s"]);
    world.deliver(namespace, "stale", spec("stale", json!({}))).await;
    world.delivered((namespace, "stale"), stale).await;

    // Delivered after the Delivery was made, so that the way from push to applied is measured; then changed by hand.
    world.deliver(namespace, "steady", spec("steady", json!({}))).await;
    world.refused((namespace, "steady"), "NotFound").await;
    let steady = world.push("steady:stable", &[&map(world, "steady", "1")], &["--version", "1.0.0", "--env", "prod"]);
    world.request((namespace, "steady")).await;

    let refused = push("refused", &["--env", "prod"]);
    world.deliver(namespace, "refused", spec("refused", json!({"environment": "prod"}))).await;
    let reporting = push("reporting", &[]);
    world.deliver(namespace, "reporting", spec("reporting", json!({"drift": {"mode": "report"}}))).await;
    let denied = push("denied", &[]);
    world.deliver(namespace, "denied", spec("denied", json!({}))).await;
    world.push("homeless:stable", &[&homeless(world)], &[]);
    world.deliver(namespace, "homeless", spec("homeless", json!({"timeout": "1s"}))).await;
    let mut lost = spec("lost", json!({}));
    lost["repository"] = json!(format!("{NOBODY}/lost"));
    world.deliver(namespace, "lost", lost).await;

    for (name, digest) in [("steady", steady), ("refused", refused), ("reporting", reporting), ("denied", denied)] {
        world.delivered((namespace, name), digest).await;
    }
    drift(world, "steady", DriftState::Corrected).await;
    drift(world, "reporting", DriftState::Reported).await;
    world.push("refused:stable", &[&map(world, "refused", "2")], &["--env", "moon"]);
    world.request((namespace, "refused")).await;
    world.put_policy(denying(world, denied)).await;

    world.refused((namespace, "refused"), "WrongEnvironment").await;
    world.refused((namespace, "homeless"), "HealthCheckFailed").await;
    world.refused((namespace, "lost"), "SourceUnavailable").await;
    world.wait_for((namespace, "denied"), "denied", |delivery| reason(delivery) == "Denied").await;
    world.wait_for((namespace, "stale"), "stale", |delivery| reason(delivery) == "Stale").await;
    let names = ["steady", "refused", "reporting", "denied", "homeless", "lost", "stale"];
    let mut found = Vec::new();
    for name in names {
        let delivery: Delivery = world.deliveries(namespace).get(name).await.unwrap();
        found.push(serde_json::to_value(delivery).unwrap());
    }
    found
}

/// One more policy, by which this artifact is not accepted any more.
fn denying(world: &World<'_>, digest: Digest) -> Value {
    let mut policy =
        policy(&format!("{}-deny", world.namespace), &[&format!("{}/denied", world.registry.host())], &world.key);
    policy["spec"]["deny"] = json!({"digests": [digest]});
    policy
}
