//! The two limits: what the API server takes for the objects alone, and with the writes that are owed.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Failed, application};

/// Both, as they were taken last.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Limits {
    /// A.
    pub(crate) bare: Duration,
    /// B.
    pub(crate) owed: Duration,
}

/// Requests in flight.
const AT_ONCE: usize = 16;

/// A: one server-side apply an object, 16 in flight.
pub(crate) async fn bare(client: &Client, namespace: &str, apps: usize) -> Result<Duration, Failed> {
    let started = Instant::now();
    let objects = (0..apps).flat_map(|app| application::objects(&app.to_string(), application::CPU_BEFORE));
    stream::iter(objects.map(Ok)).try_for_each_concurrent(AT_ONCE, |object| apply(client, namespace, object)).await?;
    Ok(started.elapsed())
}

/// B: A, with finalizer, inventory, mark and status of each application, 16 applications at a time.
pub(crate) async fn with_owed(client: &Client, namespace: &str, apps: usize) -> Result<Duration, Failed> {
    let deliveries = (0..apps).map(|app| Ok(delivery(app)));
    stream::iter(deliveries).try_for_each_concurrent(AT_ONCE, |object| apply(client, namespace, object)).await?;
    let started = Instant::now();
    stream::iter((0..apps).map(Ok)).try_for_each_concurrent(AT_ONCE, |app| owed(client, namespace, app)).await?;
    Ok(started.elapsed())
}

async fn owed(client: &Client, namespace: &str, app: usize) -> Result<(), Failed> {
    let name = format!("limit-{app}");
    let deliveries = api(client, Some(namespace), "sealift.dev/v1alpha1", "Delivery", "deliveries");
    let merge = PatchParams::default();
    let finalizer = json!({"metadata": {"finalizers": ["limit.example/held"]}});
    deliveries.patch(&name, &merge, &Patch::Merge(finalizer)).await?;
    apply(client, "", inventory(namespace, app)).await?;
    apply(client, "", mark(namespace, app)).await?;
    let objects = application::objects(&format!("limit-{app}"), application::CPU_BEFORE);
    stream::iter(objects).then(|object| apply(client, namespace, object)).try_collect::<()>().await?;
    deliveries.patch_status(&name, &merge, &Patch::Merge(status())).await?;
    Ok(())
}

/// Takes the finalizers off again, so that the namespace can end.
pub(crate) async fn release(client: &Client, namespace: &str, apps: usize) -> Result<(), Failed> {
    let deliveries = api(client, Some(namespace), "sealift.dev/v1alpha1", "Delivery", "deliveries");
    let none = json!({"metadata": {"finalizers": null}});
    let names = (0..apps).map(|app| Ok(format!("limit-{app}")));
    stream::iter(names)
        .try_for_each_concurrent(AT_ONCE, async |name: String| {
            deliveries.patch(&name, &PatchParams::default(), &Patch::Merge(none.clone())).await?;
            deliveries.delete(&name, &kube::api::DeleteParams::default()).await?;
            Ok(())
        })
        .await
}

async fn apply(client: &Client, namespace: &str, object: Value) -> Result<(), Failed> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text("/kind");
    let plural = match kind.as_str() {
        "Delivery" => "deliveries".to_owned(),
        "Inventory" => "inventories".to_owned(),
        "Ingress" => "ingresses".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    let scope = (!namespace.is_empty()).then_some(namespace);
    let api = api(client, scope, &text("/apiVersion"), &kind, &plural);
    api.patch(&text("/metadata/name"), &PatchParams::apply("limit").force(), &Patch::Apply(&object)).await?;
    Ok(())
}

fn api(client: &Client, namespace: Option<&str>, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn delivery(app: usize) -> Value {
    json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": {"name": format!("limit-{app}")},
        "spec": {"repository": "registry.example/limit", "select": {"tag": "prod"}, "suspend": true},
    })
}

fn inventory(namespace: &str, app: usize) -> Value {
    let rows: Vec<Value> = application::objects(&format!("limit-{app}"), application::CPU_BEFORE)
        .iter()
        .map(|object| {
            let (group, version) = match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
                Some((group, version)) => (group, version),
                None => ("", "v1"),
            };
            json!({"group": group, "version": version, "kind": object["kind"], "namespace": namespace, "name": object["metadata"]["name"]})
        })
        .collect();
    json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "Inventory", "metadata": {"name": format!("limit-{app}")},
        "spec": {"delivery": {"namespace": namespace, "name": format!("limit-{app}"), "uid": "limit"}, "chunk": 0, "rows": rows},
    })
}

/// As long as a real one: the record of a decision beside it takes two kilobytes.
fn mark(namespace: &str, app: usize) -> Value {
    json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "AcceptedRelease", "metadata": {"name": format!("limit-{app}")},
        "spec": {
            "delivery": {"namespace": namespace, "name": format!("limit-{app}")},
            "marks": [{
                "stream": "limit", "environment": "prod", "position": {"epoch": 0, "sequence": 1},
                "statement": DIGEST, "artifact": DIGEST, "firstSeen": "2026-01-01T00:00:00Z",
            }],
            "evidence": "A".repeat(2048),
        },
    })
}

fn status() -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "Applied", "observedGeneration": 1,
            "message": "release 1.0.0 (44136fa355b3) is applied, 4 objects (4 created)",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions = ["Ready", "Verified", "Healthy", "Reconciling", "Stalled"].map(condition);
    json!({"status": {
        "observedGeneration": 1,
        "conditions": conditions,
        "lastApplied": {
            "digest": DIGEST, "short": "44136fa355b3", "epoch": 0, "sequence": 1, "statement": DIGEST, "objects": DIGEST,
            "at": "2026-01-01T00:00:00Z",
        },
        "objects": 4,
    }})
}
