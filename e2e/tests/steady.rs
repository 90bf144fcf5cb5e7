//! What the controller does while there is nothing to do, and what wakes it.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sealift_apply::api::{accepted_release_name, condition};
use sealift_e2e::{ControlPlane, Registry, Request, World, policy};
use serde_json::{Value, json};

fn map(world: &World<'_>, file: &str, name: &str, value: &str) -> PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
    world.cli.write(&format!("{file}.yaml"), map.to_string())
}

/// A workload: it is healthy a moment after it was applied.
fn workload(world: &World<'_>, name: &str) -> PathBuf {
    let labels = json!({"app": name});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
        }},
    });
    world.cli.write(&format!("{name}-workload.yaml"), deployment.to_string())
}

async fn value(world: &World<'_>, name: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt(name).await.unwrap()?.data?.remove("value")
}

/// The counter with this name and label, as the controller tells it now.
async fn counter(port: u16, line: &str) -> u64 {
    for _ in 0..100 {
        if let Ok(answer) = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await {
            let text = answer.text().await.unwrap_or_default();
            let found = text.lines().find_map(|found| found.strip_prefix(line));
            return found.map_or(0, |number| number.trim().parse().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("no metrics at port {port}");
}

/// Waits until a counter has grown by so much since `before`.
async fn grown(port: u16, line: &str, before: u64, by: u64) {
    for _ in 0..600 {
        if counter(port, line).await >= before + by {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{line} did not grow by {by}");
}

const DUE: &str = "sealift_wake_total{reason=\"due\"}";
const ASKED: &str = "sealift_resolves_total{how=\"asked\"}";
const FOLLOWED: &str = "sealift_resolves_total{how=\"followed\"}";
const SHARED: &str = "sealift_resolves_total{how=\"shared\"}";
const HEALTH: &str = "sealift_wake_total{reason=\"health\"}";
const ANSWERED: &str = "sealift_registry_requests_total{result=\"ok\"}";

#[tokio::test]
async fn twenty_deliveries_of_a_tag_ask_once_an_interval_and_a_new_release_wakes_them() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "steady", async |world| {
        let artifact = |value: &str| {
            let name = "settings-${INDEX}";
            let labels = json!({"app": name});
            // What can be unhealthy, and what a look would ask for.
            let deployment = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                    "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
                }},
            });
            let service = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"selector": labels, "ports": [{"port": 80}]},
            });
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
            let list = json!({"apiVersion": "v1", "kind": "List", "items": [deployment, service, map]});
            world.cli.write(&format!("{value}.yaml"), list.to_string())
        };
        let variable = ["--var", "INDEX"];
        let first = world.push("app:stable", &[&artifact("1")], &variable);
        let mut trusted = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
        trusted["spec"]["objects"] = json!({"parameters": ["names"]});
        world.put_policy(trusted).await;
        let account = world.namespace_account(&world.namespace);
        let port = world.launch_controller(&["--min-interval=1s"]).await;
        let names: Vec<String> = (0..20).map(|n| format!("app-{n}")).collect();
        // Of what has no namespace, which tests beside this one have too: the names of inventories and of trust's memory.
        let mut records: Vec<String> = names.iter().map(|name| accepted_release_name(&world.namespace, name)).collect();
        let mut uids = vec![];
        for (n, name) in names.iter().enumerate() {
            let mut spec = world.following("app", "stable", account);
            spec["interval"] = json!("2s");
            spec["parameters"] = json!([{"name": "INDEX", "value": n.to_string()}]);
            uids.push(world.deliver(&world.namespace, name, spec).await);
        }
        for name in &names {
            world.delivered((&world.namespace, name), first).await;
        }
        // Signatures, layer and tag were fetched once for all of them, however many were at it at once.
        let first_round = counter(port, ANSWERED).await;
        assert!(first_round < 20, "{first_round} requests for one artifact");

        records.extend(uids.iter().cloned());
        // What is written when there is time: how the objects were left, and what happened.
        for uid in &uids {
            world.confirmed(uid).await;
        }
        world.event_of_each("Applied", names.len()).await;

        let (looks, asked, followed) =
            (counter(port, DUE).await, counter(port, ASKED).await, counter(port, FOLLOWED).await);
        let mark = control_plane.audit().mark();
        grown(port, DUE, looks, 20 * 10).await;
        let looks = counter(port, DUE).await - looks;
        let requests = control_plane.audit().since(mark);
        assert_eq!(counter(port, ASKED).await, asked, "nobody asks for himself");
        let heads = counter(port, FOLLOWED).await - followed;
        assert!(heads >= 1 && heads * 20 <= 2 * looks, "{heads} times asked in {looks} looks of 20 Deliveries");
        let own = |request: &&Request| {
            request.user_agent.starts_with("sealift-controller/")
                && request.verb != "watch"
                && (request.namespace == world.namespace || records.iter().any(|name| request.uri.contains(name)))
        };
        // Drift and health are told by watches.
        let own: Vec<_> = requests.iter().filter(own).collect();
        assert!(own.is_empty(), "{} requests in {looks} looks at what is as it should be: {own:#?}", own.len());

        let second = world.push("app:stable", &[&artifact("2")], &variable);
        for name in &names {
            world.delivered((&world.namespace, name), second).await;
        }
        assert_eq!(value(world, "settings-7").await.as_deref(), Some("2"));
        assert_eq!(counter(port, ASKED).await, asked, "the answer that was had in the background is the one they take");
    })
    .await;
}

#[tokio::test]
async fn values_and_pull_secrets_are_read_once_and_wake_whoever_names_them_when_they_change() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "named", async |world| {
        let file = map(world, "map", "app-${INDEX}", "${DOMAIN} ${TOKEN}");
        let first = world.push("app:stable", &[&file], &["--var", "INDEX", "--var", "DOMAIN", "--var", "TOKEN"]);
        let mut trusted = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
        trusted["spec"]["objects"] = json!({"parameters": ["names"]});
        world.put_policy(trusted).await;
        let namespace = world.namespace.clone();
        let account = world.namespace_account(&namespace);
        // It may read what it is told the name of, and neither list nor watch it.
        world.kubectl(&["create", "serviceaccount", "reader", "-n", &namespace]);
        let verbs = "--verb=get,create,patch,delete";
        world.kubectl(&["create", "role", "reader", "-n", &namespace, verbs, "--resource=configmaps,secrets"]);
        let reader = format!("--serviceaccount={namespace}:reader");
        world.kubectl(&["create", "rolebinding", "reader", "-n", &namespace, "--role=reader", &reader]);
        world.kubectl(&["create", "configmap", "settings", "-n", &namespace, "--from-literal=domain=a.example"]);
        world.kubectl(&["create", "secret", "generic", "token", "-n", &namespace, "--from-literal=token=one"]);
        let login = ["--docker-server=other.example", "--docker-username=u", "--docker-password=p"];
        world.kubectl(&[&["create", "secret", "docker-registry", "login", "-n", &namespace][..], &login].concat());
        let port = world.launch_controller(&["--min-interval=1s"]).await;
        let deliver = async |name: &str, account: &str, interval: &str| {
            let mut spec = world.following("app", "stable", account);
            spec["interval"] = json!(interval);
            spec["pullSecretName"] = json!("login");
            spec["parameters"] = json!([
                {"name": "INDEX", "value": name},
                {"name": "DOMAIN", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "domain"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}},
            ]);
            let uid = world.deliver(&namespace, name, spec).await;
            world.delivered((&namespace, name), first).await;
            world.confirmed(&uid).await;
        };
        let becomes = async |name: &str, wanted: &str| {
            for _ in 0..600 {
                if value(world, name).await.as_deref() == Some(wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            panic!("{name} is {:?}, not {wanted:?}", value(world, name).await);
        };
        let reads = |requests: &[Request]| {
            let named = |request: &&Request| {
                request.user_agent.starts_with("sealift-controller/")
                    && request.namespace == namespace
                    && request.verb != "watch"
                    && ["settings", "token", "login"].iter().any(|name| request.uri.contains(name))
            };
            requests.iter().filter(named).count()
        };
        deliver("slow", account, "1h").await;
        deliver("quick", account, "1s").await;
        grown(port, DUE, counter(port, DUE).await, 2).await;
        let (looks, mark) = (counter(port, DUE).await, control_plane.audit().mark());
        grown(port, DUE, looks, 5).await;
        let idle = control_plane.audit().since(mark);
        assert_eq!(reads(&idle), 0, "nothing has changed: {idle:#?}");

        // Nobody asks, and the interval of one is far away.
        for (kind, patch, wanted) in [
            ("configmap/settings", r#"{"data":{"domain":"b.example"}}"#, "b.example one"),
            ("secret/token", r#"{"stringData":{"token":"two"}}"#, "b.example two"),
        ] {
            world.kubectl(&["patch", kind, "-n", &namespace, "--type=merge", "-p", patch]);
            becomes("app-slow", wanted).await;
            becomes("app-quick", wanted).await;
        }

        // Whoever may not watch reads at the interval, as before.
        deliver("reader", "reader", "1s").await;
        let mark = control_plane.audit().mark();
        world.kubectl(&[
            "patch",
            "configmap/settings",
            "-n",
            &namespace,
            "--type=merge",
            "-p",
            r#"{"data":{"domain":"c.example"}}"#,
        ]);
        becomes("app-reader", "c.example two").await;
        assert!(reads(&control_plane.audit().since(mark)) > 0);
    })
    .await;
}

#[tokio::test]
async fn an_event_on_what_fares_badly_costs_a_look_at_its_health_and_no_reconcile() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "degraded", async |world| {
        let labels = json!({"app": "bad", "testenv.sealift.dev/pod": "never-ready"});
        let bad = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bad"},
            "spec": {"progressDeadlineSeconds": 1, "selector": {"matchLabels": {"app": "bad"}}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
            }},
        });
        world.push("app:stable", &[&world.cli.write("bad.yaml", bad.to_string())], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        let port = world.launch_controller(&[]).await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = world.following("app", "stable", account);
        (spec["interval"], spec["timeout"]) = (json!("1h"), json!("2s"));
        let uid = world.deliver(of.0, of.1, spec).await;
        world
            .wait_for(of, "a release that has failed", |delivery| {
                let ready = delivery.status.as_ref().and_then(|status| condition(&status.conditions, "Ready"));
                ready.is_some_and(|ready| ready.reason == "HealthCheckFailed" && ready.message.contains("degraded"))
            })
            .await;
        world.confirmed(&uid).await;

        let resolves = async || counter(port, SHARED).await + counter(port, ASKED).await;
        let moves = async |note: &str| {
            let looks = counter(port, HEALTH).await;
            let conditions = json!([{"type": "example.com/Note", "status": "True", "message": note}]);
            let patch = json!({"status": {"conditions": conditions}}).to_string();
            world.kubectl(&["patch", "deployment", "bad", "-n", of.0, "--subresource=status", "-p", &patch]);
            grown(port, HEALTH, looks, 1).await;
        };
        // By now it is followed, and what it was that made it fail has been looked at.
        moves("0").await;
        moves("1").await;
        let (before, mark) = (resolves().await, control_plane.audit().mark());
        assert!(before > 0, "a reconcile asks what the tag names");
        // Of these looks, all but the last one are over.
        for note in ["2", "3", "4"] {
            moves(note).await;
        }
        assert_eq!(resolves().await, before, "nothing but the health of an object can have changed");
        let requests = control_plane.audit().since(mark);
        let own = |request: &&Request| {
            request.user_agent.starts_with("sealift-controller/")
                && request.namespace == of.0
                && request.verb != "watch"
                && request.resource != "events"
        };
        let own: Vec<_> = requests.iter().filter(own).collect();
        assert!(own.is_empty(), "the watch tells how it fares: {own:#?}");
    })
    .await;
}

fn depending(mut spec: Value, on: &[&str]) -> Value {
    spec["interval"] = json!("1h");
    spec["dependsOn"] = on.iter().map(|name| json!({"name": name})).collect();
    spec
}

#[tokio::test]
async fn a_chain_of_ten_is_delivered_in_order_without_waiting_for_an_interval() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "chain", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let names: Vec<String> = (0..10).map(|n| format!("link-{n}")).collect();
        let digests: Vec<_> = names
            .iter()
            .map(|name| {
                let files = [map(world, name, name, "1"), workload(world, name)];
                world.push(&format!("{name}:stable"), &files.each_ref().map(|file| file.as_path()), &[])
            })
            .collect();
        world.start_controller().await;
        for n in (0..10).rev() {
            let on: Vec<&str> = if n == 0 { vec![] } else { vec![&names[n - 1]] };
            let spec = depending(world.following(&names[n], "stable", account), &on);
            world.deliver(&world.namespace, &names[n], spec).await;
            if n == 9 {
                let message = world.refused((&world.namespace, &names[9]), "DependencyNotReady").await;
                assert!(message.contains("link-8 does not exist"), "{message}");
                assert_eq!(value(world, "link-9").await, None);
            }
        }
        for (name, digest) in names.iter().zip(digests) {
            world.delivered((&world.namespace, name), digest).await;
        }
        let made = |name: &str| {
            let name = name.to_owned();
            async move {
                let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
                maps.get(&name).await.unwrap().metadata.resource_version.unwrap().parse::<u64>().unwrap()
            }
        };
        let mut versions = vec![];
        for name in &names {
            versions.push(made(name).await);
        }
        assert!(versions.is_sorted(), "each after the one it depends on: {versions:?}");

        // A circle is told with its way, and holds up nobody else.
        for (name, on) in [("tail", "head"), ("head", "tail")] {
            world.deliver(&world.namespace, name, depending(world.following("link-0", "stable", account), &[on])).await;
        }
        world.reconcile((&world.namespace, "tail")).await;
        let message = world.refused((&world.namespace, "tail"), "DependencyCycle").await;
        assert!(message.contains("tail → ") && message.ends_with("tail"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn with_the_registry_down_repair_goes_on_after_a_restart() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "restart", async |world| {
        let mut registry = Registry::embedded();
        let reference = format!("{}/app", registry.host());
        let key = world.key.private().display().to_string();
        let file = map(world, "1", "a", "1").display().to_string();
        let pushed = world.cli.run(&["push", &format!("oci://{reference}:stable"), "--key", &key, "-f", &file]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        world.put_policy(policy(&world.namespace, &[&reference], &world.key)).await;
        let account = world.namespace_account(&world.namespace);
        let cache = world.cli.home().join("cache").display().to_string();
        let host = registry.host();
        let arguments = ["--plain-http-host", &host, "--cache-dir", &cache];
        world.start_controller_with(&arguments).await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = world.following("app", "stable", account);
        spec["repository"] = json!(reference);
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, pushed.digest()).await;

        registry.stop();
        world.kill_controller();
        world.kubectl(&["delete", "configmap", "a", "-n", of.0]);
        world.start_controller_with(&arguments).await;
        world.refused(of, "SourceUnavailable").await;
        assert_eq!(value(world, "a").await.as_deref(), Some("1"));
    })
    .await;
}
