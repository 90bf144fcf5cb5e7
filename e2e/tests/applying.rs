//! What an application costs from its Delivery to its last object, counted in the API server's audit log; how objects
//! that others manage are taken over; and what is said of a namespace that does not go.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use kube::api::DeleteParams;
use sealift_apply::api::{Delivery, condition};
use sealift_e2e::{AuditMark, ControlPlane, World};
use serde_json::{Value, json};

/// Account, service, workload without replicas, ingress.
fn app(world: &World<'_>, cpu: &str) -> PathBuf {
    let of = |api: &str, kind: &str, body: Value| {
        let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "app"}});
        object.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        object
    };
    let container = json!({"name": "main", "image": "registry.invalid/app:1", "resources": {"requests": {"cpu": cpu}}});
    let items = [
        of("v1", "ServiceAccount", json!({})),
        of("v1", "Service", json!({"spec": {"selector": {"app": "app"}, "ports": [{"port": 80}]}})),
        of(
            "apps/v1",
            "Deployment",
            json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "app"}},
            "template": {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [container]}}}}),
        ),
        of(
            "networking.k8s.io/v1",
            "Ingress",
            json!({"spec": {"rules": [{"host": "app.example", "http": {"paths": [{"path": "/",
            "pathType": "Prefix", "backend": {"service": {"name": "app", "port": {"number": 80}}}}]}}]}}),
        ),
    ];
    world.cli.write(&format!("{cpu}.yaml"), json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

/// Writes for a Delivery, dry-runs among them, but for events: `verb resource`, sorted.
fn writes(world: &World<'_>, of: (&str, &str), uid: &str, since: AuditMark) -> Vec<String> {
    let requests = world.requests(of, uid, since);
    let ours = requests.iter().filter(|request| request.is_write() && request.resource != "events");
    let word = |request: &sealift_e2e::Request| {
        let dry = if request.is_dry_run() { "dry " } else { "" };
        let of = if request.subresource.is_empty() { String::new() } else { format!("/{}", request.subresource) };
        format!("{dry}{} {}{of}", request.verb, request.resource)
    };
    let mut words: Vec<_> = ours.map(word).collect();
    words.sort();
    words
}

fn count(words: &[String], word: &str) -> usize {
    words.iter().filter(|found| *found == word).count()
}

#[tokio::test]
async fn an_application_costs_its_objects_and_what_a_safe_controller_owes_it() {
    let Some(control_plane) = ControlPlane::start() else { return };
    World::run(&control_plane, "costs", async |world| {
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = world.following("app", "stable", account);
        (spec["interval"], spec["validation"]) = (json!("1h"), json!("none"));
        let first = world.push("app:stable", &[&app(world, "1m")], &[]);
        let mark = control_plane.audit().mark();
        let uid = world.deliver(of.0, of.1, spec.clone()).await;
        world.delivered(of, first).await;
        let install = writes(world, of, &uid, mark);
        // How the objects were left is written when there is time, and only once.
        world.confirmed(&uid).await;
        assert_eq!(count(&writes(world, of, &uid, mark), "update inventories"), 1, "{install:#?}");
        for kind in ["deployments", "ingresses", "serviceaccounts", "services"] {
            assert_eq!(count(&install, &format!("patch {kind}")), 1, "{install:#?}");
            assert_eq!(count(&install, &format!("dry patch {kind}")), 0, "{install:#?}");
        }
        for (word, most) in [
            ("create inventories", 1),
            ("create acceptedreleases", 1),
            ("patch deliveries", 1),
            // ready; where the cluster takes longer than a second, that it is begun and applied before
            ("patch deliveries/status", 3),
        ] {
            let found = count(&install, word);
            assert!((1..=most).contains(&found), "{word}: {install:#?}");
        }

        let second = world.push("app:stable", &[&app(world, "2m")], &[]);
        let mark = control_plane.audit().mark();
        world.request(of).await;
        world.delivered(of, second).await;
        let upgrade = writes(world, of, &uid, mark);
        let objects: Vec<_> = upgrade
            .iter()
            .filter(|word| !["inventories", "acceptedreleases", "deliveries"].iter().any(|own| word.contains(own)))
            .collect();
        assert_eq!(objects, ["patch deployments"], "{upgrade:#?}");
        assert_eq!(count(&upgrade, "update acceptedreleases"), 1, "{upgrade:#?}");

        spec["validation"] = json!("dryRun");
        world.deliver(of.0, of.1, spec).await;
        let third = world.push("app:stable", &[&app(world, "3m")], &[]);
        let mark = control_plane.audit().mark();
        world.request(of).await;
        world.delivered(of, third).await;
        let checked = writes(world, of, &uid, mark);
        assert_eq!(count(&checked, "patch deployments"), 1, "{checked:#?}");
        assert!(count(&checked, "dry patch deployments") >= 1, "{checked:#?}");
        assert_eq!(
            checked.iter().filter(|word| word.ends_with("services") || word.ends_with("ingresses")).count(),
            0,
            "{checked:#?}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_another_tool_manages_is_refused_and_taken_over_once_the_delivery_says_so() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "adoption", async |world| {
        let map =
            |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": data});
        let mut theirs = map(json!({"value": "0", "old": "1"}));
        theirs["metadata"]["labels"] =
            json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
        let file = world.cli.write("theirs.yaml", theirs.to_string()).display().to_string();
        world.kubectl(&[
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
            "-n",
            &world.namespace,
            "-f",
            &file,
        ]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let file = world.cli.write("app.yaml", map(json!({"value": "1"})).to_string());
        let digest = world.push("app:stable", &[&file], &[]);
        let mut spec = world.following("app", "stable", account);
        world.deliver(of.0, of.1, spec.clone()).await;
        let message = world.refused(of, "ApplyFailed").await;
        assert!(message.contains("managed by Flux Kustomization flux-system/apps"), "{message}");
        let data = || world.kubectl(&["get", "configmap", "app", "-n", of.0, "-o", "jsonpath={.data}"]);
        assert_eq!(data(), r#"{"old":"1","value":"0"}"#);

        (spec["adopt"], spec["takeOver"]) = (json!("takeOver"), json!(["kustomize-controller"]));
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;
        assert_eq!(data(), r#"{"value":"1"}"#, "what the other tool had set beside the release is gone");
    })
    .await;
}

#[tokio::test]
async fn what_holds_a_namespace_that_does_not_go_is_told_by_release_plan_and_deletion() {
    /// The server's own words.
    const HELD: &str = "finalizers remaining: example.com/never";
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "stuck", async |world| {
        world.trust().await;
        let account = world.cluster_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let inner = format!("{}-inner", world.namespace);
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": inner}});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "stuck", "namespace": inner, "finalizers": ["example.com/never"]}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [space, map]});
        let file = world.cli.write("app.yaml", list.to_string());
        let digest = world.push("app:stable", &[&file], &[]);
        let mut spec = world.following("app", "stable", account);
        (spec["interval"], spec["deletionPolicy"]) = (json!("1h"), json!("Wait"));
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;

        world.kubectl(&["delete", "namespace", &inner, "--wait=false"]);
        let come_upon = async || {
            let found = world.kubectl(&["get", "namespace", &inner, "-o", "jsonpath={.status.conditions}"]);
            if found.contains(HELD) { Ok(()) } else { Err(found) }
        };
        world.until("the server to come upon the finalizer", come_upon).await;
        let says = |delivery: &Delivery| {
            let ready = delivery.status.as_ref().and_then(|status| condition(&status.conditions, "Ready"));
            ready.is_some_and(|ready| ready.status == "False" && ready.message.contains(HELD))
        };
        world.request(of).await;
        world.wait_for(of, "a release that names what holds the namespace", says).await;
        let file = file.display().to_string();
        let plan = world.cli.run(&["plan", "-f", &file, "--delivery", &format!("{}/{}", of.0, of.1)]);
        assert!(plan.code == 4 && plan.stdout.contains(HELD), "{plan:?}");

        world.deliveries(of.0).delete(of.1, &DeleteParams::default()).await.unwrap();
        let says = |delivery: &Delivery| delivery.metadata.deletion_timestamp.is_some() && says(delivery);
        world.wait_for(of, "a deletion that names what holds the namespace", says).await;
        let free = r#"{"metadata":{"finalizers":null}}"#;
        world.kubectl(&["patch", "configmap", "stuck", "-n", &inner, "--type=merge", "-p", free]);
        world.gone(of).await;
    })
    .await;
}
