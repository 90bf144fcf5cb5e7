//! One application, the same in the artifact, in the bare loop and in what is waited for.

use serde_json::{Value, json};

/// Requested by the Deployment's container at first.
pub(crate) const CPU_BEFORE: &str = "100m";
/// Requested after the upgrade.
pub(crate) const CPU_AFTER: &str = "200m";

/// The objects of an application; `index` is a number, or the variable that stands for it.
pub(crate) fn objects(index: &str, cpu: &str) -> Vec<Value> {
    let name = format!("app-{index}");
    let labels = json!({"app": name});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}, "automountServiceAccountToken": false}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 9898, "protocol": "TCP", "targetPort": "http"}]},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": 0, "selector": {"matchLabels": labels}, "revisionHistoryLimit": 1,
                "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": name, "containers": [{
                    "name": "app", "image": "registry.example/app:6.5.4",
                    "ports": [{"name": "http", "containerPort": 9898, "protocol": "TCP"}],
                    "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}},
                }]}},
            },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
            "spec": {"rules": [{"host": format!("{name}.example"), "http": {"paths": [{
                "path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"name": "http"}}},
            }]}}]},
        }),
    ]
}

/// A list that `sealift push -f` reads.
pub(crate) fn manifest(objects: Vec<Value>) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}
