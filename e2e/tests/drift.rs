//! What happens to applied objects: what is seen by watches alone, what is put right, and what is left.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{io::Write as _, path::PathBuf, time::Instant};

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::ConfigMap};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use sealift_apply::{
    FIELD_MANAGER,
    api::{Delivery, DriftState},
};
use sealift_e2e::{ControlPlane, World, is_ready};
use serde_json::{Value, json};

fn file(world: &World<'_>, name: &str, objects: &[Value]) -> PathBuf {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    world.cli.write(&format!("{name}.yaml"), list.to_string())
}

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}})
}

fn deployment(name: &str) -> Value {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 1, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "registry.invalid/app:1"}]}}}})
}

/// A Delivery of these objects that is looked at again by events alone: its interval is an hour.
async fn delivered(world: &World<'_>, objects: &[Value], drift: Value) -> String {
    let digest = world.push("app:stable", &[&file(world, "release", objects)], &[]);
    world.trust().await;
    let account = world.namespace_account(&world.namespace);
    world.start_controller().await;
    let of = (world.namespace.as_str(), "app");
    let mut spec = world.following("app", "stable", account);
    (spec["interval"], spec["drift"]) = (json!("1h"), drift);
    let uid = world.deliver(of.0, of.1, spec).await;
    world.delivered(of, digest).await;
    uid
}

async fn value(world: &World<'_>, name: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt(name).await.unwrap()?.data?.remove("value")
}

/// Waits until it is so, and tells how long that took.
async fn soon(world: &World<'_>, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    world.until(what, async || if so().await { Ok(()) } else { Err("not yet".to_owned()) }).await;
    let _ = writeln!(std::io::stderr(), "{what}: after {:.1} s", began.elapsed().as_secs_f64());
}

/// What the status says of an object, once it says so.
async fn told(world: &World<'_>, name: &str, state: DriftState) -> sealift_apply::api::DriftedObject {
    let of = (world.namespace.as_str(), "app");
    let find = |delivery: &Delivery| {
        let drift = delivery.status.as_ref()?.drift.as_ref()?;
        drift.objects.iter().find(|object| object.name == name && object.state == state).cloned()
    };
    let delivery = world.wait_for(of, &format!("{name} {state:?}"), |delivery| find(delivery).is_some()).await;
    find(&delivery).unwrap()
}

#[tokio::test]
async fn what_people_do_to_objects_is_put_right_without_anybody_asking() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "drift", async |world| {
        delivered(world, &[map("a", "1"), map("b", "1"), map("c", "1"), deployment("web")], json!({})).await;
        let namespace = world.namespace.as_str();
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), namespace);
        let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), namespace);

        world.kubectl(&["patch", "configmap", "a", "-n", namespace, "-p", r#"{"data": {"value": "changed"}}"#]);
        soon(world, "a value changed by hand", async || value(world, "a").await.as_deref() == Some("1")).await;
        let found = told(world, "a", DriftState::Corrected).await;
        assert_eq!((found.fields, found.by), (vec!["/data/value".to_owned()], vec!["kubectl-patch".to_owned()]));

        world.kubectl(&["delete", "configmap", "b", "-n", namespace]);
        soon(world, "an object deleted", async || value(world, "b").await.is_some()).await;

        world.kubectl(&["delete", "configmap", "c", "-n", namespace]);
        let _ =
            world.control_plane.kubectl(&["create", "configmap", "c", "-n", namespace, "--from-literal=value=evil"]);
        soon(world, "an object made anew", async || value(world, "c").await.as_deref() == Some("1")).await;

        world.kubectl(&["label", "configmap", "a", "-n", namespace, "sealift.dev/delivery-"]);
        let labelled = async || {
            let labels = maps.get("a").await.unwrap().metadata.labels.unwrap_or_default();
            labels.contains_key("sealift.dev/delivery")
        };
        soon(world, "our label removed", labelled).await;

        // An apply under our own name: the same set of fields, another value.
        let same = maps.get("b").await.unwrap().metadata;
        let evil = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": "evil"},
            "metadata": {"name": "b", "labels": same.labels, "annotations": same.annotations}});
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await; // the times of entries have whole seconds
        maps.patch("b", &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&evil)).await.unwrap();
        assert_eq!(value(world, "b").await.as_deref(), Some("evil"));
        soon(world, "an apply by our name", async || value(world, "b").await.as_deref() == Some("1")).await;

        let side =
            r#"{"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "registry.invalid/side"}]}}}}"#;
        world.kubectl(&["patch", "deployment", "web", "-n", namespace, "-p", side]);
        let one = async || {
            let spec = deployments.get("web").await.unwrap().spec.unwrap().template.spec.unwrap();
            spec.containers.len() == 1
        };
        soon(world, "a container added by kubectl patch", one).await;
        let found = told(world, "web", DriftState::Corrected).await;
        assert_eq!(found.by, ["kubectl-patch"]);

        // What others add stays.
        let extra = json!({"metadata": {"annotations": {"operator.example/note": "x"}}});
        let operator = PatchParams { field_manager: Some("operator".into()), ..PatchParams::default() };
        maps.patch("a", &operator, &Patch::Merge(&extra)).await.unwrap();
        let delivery = world.reconcile((namespace, "app")).await;
        assert!(is_ready(&delivery));
        let annotations = maps.get("a").await.unwrap().metadata.annotations.unwrap();
        assert_eq!(annotations.get("operator.example/note").map(String::as_str), Some("x"));
        let foreign = delivery.status.unwrap().drift.unwrap().foreign;
        assert!(foreign.iter().any(|fields| fields.manager == "operator"), "{foreign:?}");
    })
    .await;
}

#[tokio::test]
async fn in_report_mode_drift_is_told_and_stays_until_a_release() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "report", async |world| {
        delivered(world, &[map("a", "1")], json!({"mode": "report"})).await;
        let of = (world.namespace.as_str(), "app");
        world.kubectl(&["patch", "configmap", "a", "-n", of.0, "-p", r#"{"data": {"value": "changed"}}"#]);
        let found = told(world, "a", DriftState::Reported).await;
        assert_eq!((found.fields, found.by), (vec!["/data/value".to_owned()], vec!["kubectl-patch".to_owned()]));
        assert_eq!(value(world, "a").await.as_deref(), Some("changed"));
        let digest = world.push("app:stable", &[&file(world, "second", &[map("a", "2")])], &[]);
        let delivery = world.reconcile(of).await;
        assert_eq!(delivery.status.as_ref().unwrap().last_applied.as_ref().unwrap().digest, digest);
        assert_eq!(value(world, "a").await.as_deref(), Some("2"));
        assert_eq!(delivery.status.unwrap().drift.map_or(0, |drift| drift.open), 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_ignored_scaled_finished_or_fought_over_is_left() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "damped", async |world| {
        let container = json!({"name": "job", "image": "registry.invalid/job"});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"ttlSecondsAfterFinished": 1,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}});
        let ignore = json!([{"kind": "ConfigMap", "name": "left", "paths": ["/data/value"]}]);
        let objects = [map("left", "1"), map("fought", "1"), deployment("scaled"), job];
        delivered(world, &objects, json!({"ignore": ignore})).await;
        let namespace = world.namespace.as_str();
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), namespace);
        let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), namespace);
        let jobs: Api<Job> = Api::namespaced(world.client.clone(), namespace);

        // As an autoscaler does.
        let scaler = PatchParams { field_manager: Some("kube-controller-manager".into()), ..PatchParams::default() };
        let scale = json!({"spec": {"replicas": 3}});
        deployments.patch_scale("scaled", &scaler, &Patch::Merge(&scale)).await.unwrap();
        world.kubectl(&["patch", "configmap", "left", "-n", namespace, "-p", r#"{"data": {"value": "mine"}}"#]);
        soon(world, "the Job removed by its TTL", async || jobs.get_opt("once").await.unwrap().is_none()).await;

        // An injector that fights: it takes the field back as often as it is put right.
        let injector = PatchParams { field_manager: Some("injector".into()), ..PatchParams::default() };
        for _ in 0..4 {
            let taken = json!({"data": {"value": "injected"}});
            maps.patch("fought", &injector, &Patch::Merge(&taken)).await.unwrap();
            let settled = async || {
                let drift = world.deliveries(namespace).get("app").await.unwrap().status.unwrap().drift;
                let contended = drift.iter().flat_map(|drift| &drift.objects).any(|o| o.state == DriftState::Contended);
                contended || value(world, "fought").await.as_deref() == Some("1")
            };
            soon(world, "a field taken back", settled).await;
        }
        let found = told(world, "fought", DriftState::Contended).await;
        assert_eq!((found.fields, found.by), (vec!["/data/value".to_owned()], vec!["injector".to_owned()]));

        let delivery = world.reconcile((namespace, "app")).await;
        assert!(is_ready(&delivery), "{:#?}", delivery.status);
        assert_eq!(value(world, "fought").await.as_deref(), Some("injected"));
        assert_eq!(value(world, "left").await.as_deref(), Some("mine"));
        assert_eq!(deployments.get("scaled").await.unwrap().spec.unwrap().replicas, Some(3));
        assert!(jobs.get_opt("once").await.unwrap().is_none(), "it ran once");

        // The next release settles the fight and leaves what is ignored.
        let mut objects = [map("left", "2"), map("fought", "2"), deployment("scaled")];
        objects[2]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.invalid/app:2");
        world.push("app:stable", &[&file(world, "second", &objects)], &[]);
        world.reconcile((namespace, "app")).await;
        assert_eq!(value(world, "fought").await.as_deref(), Some("2"));
        assert_eq!(value(world, "left").await.as_deref(), Some("mine"));
        assert_eq!(deployments.get("scaled").await.unwrap().spec.unwrap().replicas, Some(3));
    })
    .await;
}
