//! Watches of applied objects on a real API server that restarts, refuses and forgets: drift is found all the same.
//! Every Delivery here is looked at by events alone: its interval is an hour, but where the bound on watches is met.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use kube::{
    ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use sealift_apply::api::Delivery;
use sealift_e2e::{ControlPlane, Says, Webhook, World};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

const CRDS: (&str, &str, &str) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions");

/// A kind that the controller itself has no right to watch.
fn definition() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]);
    json!({"apiVersion": CRDS.0, "kind": CRDS.1, "metadata": {"name": "widgets.hub.example.com"}, "spec": {
        "group": "hub.example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"}, "versions": versions}})
}

fn object(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "data": {"value": "1"}})
}

fn file(world: &World<'_>, name: &str, objects: &[Value]) -> PathBuf {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    world.cli.write(&format!("{name}.yaml"), list.to_string())
}

/// Makes the definition, and waits until it is served.
async fn define(world: &World<'_>) {
    let crds = world.objects(CRDS.0, CRDS.1, CRDS.2, None);
    let made = async || {
        let value: DynamicObject = serde_json::from_value(definition()).unwrap();
        let made = crds.create(&PostParams::default(), &value).await;
        made.map(|_| ()).map_err(|error| error.to_string())
    };
    world.until("the definition to be taken", made).await;
    world.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd/widgets.hub.example.com"]);
}

/// Changes a value as somebody, and waits until it is put right without anybody asking.
async fn drift_is_found(world: &World<'_>, what: &str, (api_version, kind, plural): (&str, &str, &str), name: &str) {
    let objects = world.objects(api_version, kind, plural, Some(&world.namespace));
    let params = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"data": {"value": what}}));
    // The server may still be starting.
    let patched = async || objects.patch(name, &params, &patch).await.map(|_| ()).map_err(|error| error.to_string());
    world.until(&format!("{what}: a change by hand"), patched).await;
    let put_right = async || match objects.get_opt(name).await {
        Ok(Some(found)) if found.data["data"]["value"] == "1" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(&format!("{what}: drift put right"), put_right).await;
}

const MAP: (&str, &str, &str) = ("v1", "ConfigMap", "configmaps");
const WIDGET: (&str, &str, &str) = ("hub.example.com/v1", "Widget", "widgets");

fn watching(delivery: &Delivery) -> Option<String> {
    delivery.status.as_ref()?.watching.clone()
}

async fn deliver(world: &World<'_>, interval: &str, account: &str) -> Digest {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "service"}, "spec": {"ports": [{"port": 80}]}});
    let objects = [
        object("v1", "ConfigMap", "map"),
        object("v1", "ConfigMap", "admitted"),
        service,
        object(WIDGET.0, WIDGET.1, "widget"),
    ];
    let digest = world.push("app:stable", &[&file(world, "release", &objects)], &[]);
    let mut spec = world.following("app", "stable", account);
    spec["interval"] = json!(interval);
    world.deliver(&world.namespace, "app", spec).await;
    digest
}

#[tokio::test]
async fn watches_outlive_restarts_refusals_and_deleted_definitions() {
    let Some(control_plane) = ControlPlane::start() else { return };
    World::run(&control_plane, "hub", async |world| {
        let of = (world.namespace.as_str(), "app");
        define(world).await;
        world.trust().await;
        let account = world.namespace_account(of.0);
        let audit = control_plane.audit();
        let start = audit.mark();
        world.start_controller().await;
        let digest = deliver(world, "1h", account).await;
        world.delivered(of, digest).await;

        // What the controller may not watch is watched as the account, in its namespace.
        drift_is_found(world, "a built-in kind", MAP, "map").await;
        drift_is_found(world, "a kind the controller may not watch", WIDGET, "widget").await;
        let as_account = format!("system:serviceaccount:{}:{account}", of.0);
        let all = audit.since(start);
        let watches = |namespace: &str, impersonated: Option<&str>, code: u16| {
            all.iter().any(|request| {
                (request.resource.as_str(), request.namespace.as_str(), request.code) == ("widgets", namespace, code)
                    && matches!(request.verb.as_str(), "watch" | "list")
                    && request.impersonated.as_deref() == impersonated
            })
        };
        assert!(watches("", None, 403) && watches(of.0, Some(&as_account), 200), "{all:?}");
        assert_eq!(watching(&world.reconcile(of).await), None, "everything is followed");

        // The server restarts: what is done while nobody watches is found by the next list, and what is done later by events.
        world.control_plane.restart_apiserver();
        drift_is_found(world, "while the watch is broken", MAP, "map").await;
        drift_is_found(world, "after a restart", WIDGET, "widget").await;
        drift_is_found(world, "again after a restart", MAP, "map").await;

        // The definition goes, with its objects, and comes back.
        let crds = world.objects(CRDS.0, CRDS.1, CRDS.2, None);
        crds.delete("widgets.hub.example.com", &DeleteParams::default()).await.unwrap();
        let gone = async || match crds.get_opt("widgets.hub.example.com").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        world.until("the definition to go", gone).await;
        define(world).await;
        let widgets = world.objects(WIDGET.0, WIDGET.1, WIDGET.2, Some(of.0));
        let back = async || match widgets.get_opt("widget").await {
            Ok(Some(found)) => Ok(found.uid()),
            other => Err(format!("{other:?}")),
        };
        world.until("the object to be made again", back).await;
        drift_is_found(world, "a definition made again", WIDGET, "widget").await;

        // Somebody else writes something that is his, and admission changes a value of ours in that write.
        let webhook = Webhook::serve(Says::Sets("/data/value", "admitted"));
        let configuration = webhook.mutating(of.0, "operator");
        let path = world.cli.write("webhook.json", configuration.to_string());
        world.kubectl(&["create", "-f", &path.display().to_string()]);
        let maps = world.objects(MAP.0, MAP.1, MAP.2, Some(of.0));
        let operator = PatchParams { field_manager: Some("operator".into()), ..PatchParams::default() };
        let note = |name: &'static str, value: Value| {
            let note = Patch::Merge(json!({"metadata": {"annotations": {"example.com/note": value}}}));
            let (maps, operator) = (&maps, &operator);
            async move { maps.patch(name, operator, &note).await.map_err(|error| error.to_string()) }
        };
        // Nobody's object tells when the server asks the webhook.
        world.kubectl(&["create", "configmap", "probe", "-n", of.0, "--from-literal=value=1"]);
        let mut tries = 0;
        let asked = async || {
            tries += 1;
            let written = note("probe", json!(tries.to_string())).await?;
            if written.data["data"]["value"] == "admitted" { Ok(()) } else { Err(written.data.to_string()) }
        };
        world.until("the webhook to be asked", asked).await;
        assert_eq!(note("admitted", json!("x")).await.unwrap().data["data"]["value"], "admitted");
        let put_right = async || match maps.get("admitted").await {
            Ok(found) if found.data["data"]["value"] == "1" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        world.until("what admission changed to be put right", put_right).await;
        assert!(
            maps.get("admitted").await.unwrap().annotations().contains_key("example.com/note"),
            "what is his stays"
        );
        world.kubectl(&["delete", "-f", &path.display().to_string()]);

        // Past the bound the rest is looked at by the interval, and the status says so.
        world.kill_controller();
        world.start_controller_with(&["--max-watches", "1", "--min-interval", "1s"]).await;
        deliver(world, "2s", account).await;
        let bounded = world.wait_for(of, "the bound to be told", |delivery| watching(delivery).is_some()).await;
        let told = watching(&bounded).unwrap();
        assert!(told.contains("past the bound of 1 watches") && !told.contains("ConfigMap"), "{told}");
        drift_is_found(world, "past the bound", WIDGET, "widget").await;
        drift_is_found(world, "within the bound", MAP, "map").await;
    })
    .await;
}
