//! Freezes: nothing new comes and nothing goes, what runs is kept in repair, and what waits comes when the freeze ends.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use sealift_apply::api::{AcceptedRelease, Delivery, accepted_release_name};
use sealift_e2e::{ControlPlane, World, policy};
use sealift_verify::{digest::Digest, memory::Memory};
use serde_json::{Value, json};

/// A release of ConfigMaps, by name and value.
fn release(world: &World<'_>, file: &str, maps: &[(&str, &str)]) -> PathBuf {
    let map = |(name, value): &(&str, &str)| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
    let items: Vec<Value> = maps.iter().map(map).collect();
    world.cli.write(&format!("{file}.json"), json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

async fn value(world: &World<'_>, name: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt(name).await.unwrap()?.data?.remove("value")
}

async fn becomes(world: &World<'_>, name: &str, wanted: Option<&str>) {
    let looked = async || match value(world, name).await {
        found if found.as_deref() == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(&format!("{name} to be {wanted:?}"), looked).await;
}

async fn memory(world: &World<'_>, of: (&str, &str)) -> Memory {
    let records: Api<AcceptedRelease> = Api::all(world.client.clone());
    records.get(&accepted_release_name(of.0, of.1)).await.unwrap().spec.memory()
}

async fn events(world: &World<'_>, namespace: &str, name: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    events.list(&about).await.unwrap().items.into_iter().filter_map(|event| event.reason).collect()
}

#[tokio::test]
async fn under_a_freeze_nothing_new_comes_repair_goes_on_and_what_waits_comes_when_it_ends() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "freeze", async |world| {
        let of = (world.namespace.as_str(), "app");
        let mut trusting = policy(of.0, &[&format!("{}/**", world.registry.host())], &world.key);
        trusting["spec"]["release"]["emergency"] = json!("allow");
        world.put_policy(trusting).await;
        let account = world.namespace_account(of.0);
        let port = world.launch_controller(&[]).await;
        let push = |file: &str, maps: &[(&str, &str)]| world.push("app:stable", &[&release(world, file, maps)], &[]);
        let first = push("one", &[("a", "one"), ("leaves", "one")]);
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!("1h");
        world.deliver(of.0, of.1, spec.clone()).await;
        world.delivered(of, first).await;
        let accepted = memory(world, of).await;

        let freeze = |name: &str, until: &str, namespaces: &[&str]| {
            world.gone_with_this_world("freeze", name);
            let mut words = vec!["freeze", name, "--until", until, "--reason", "year-end close"];
            namespaces.iter().for_each(|namespace| words.extend(["--namespace", namespace]));
            world.cli.succeed(&words)
        };
        let (own, elsewhere) = (format!("{}-f", of.0), format!("{}-elsewhere", of.0));
        // Others run on this control plane too: nobody but this world is frozen.
        freeze(&own, "2h", &[&format!("{}*", of.0)]);
        freeze(&elsewhere, "2h", &["nobody-*"]);
        world.counts(port, "sealift_freezes{state=\"in_force\"} 2").await;

        // A new release is judged, and waits; neither is the mark moved nor anything deleted.
        let second = push("two", &[("a", "two"), ("comes", "two")]);
        world.request(of).await;
        let message = world.refused(of, "Frozen").await;
        assert!(message.contains(&format!("Freeze {own} is in force until ")), "{message}");
        assert!(message.contains("year-end close"), "{message}");
        world.counts(port, "sealift_frozen 1").await;
        assert_eq!((value(world, "a").await.as_deref(), value(world, "comes").await), (Some("one"), None));
        assert_eq!(value(world, "leaves").await.as_deref(), Some("one"));
        assert_eq!(memory(world, of).await, accepted, "the mark stays");
        // What runs is kept in repair.
        let drift = r#"{"data":{"value":"drifted"}}"#;
        world.kubectl(&["patch", "configmap", "a", "-n", of.0, "--type=merge", "-p", drift]);
        becomes(world, "a", Some("one")).await;
        // A restart forgets nothing of it, and other values or objects of the Delivery are new as well.
        world.kill_controller();
        let port = world.launch_controller(&[]).await;
        world.kubectl(&["patch", "configmap", "a", "-n", of.0, "--type=merge", "-p", drift]);
        becomes(world, "a", Some("one")).await;
        let mut elsewhere_spec = spec.clone();
        elsewhere_spec["select"] = json!({"digest": first});
        elsewhere_spec["targetNamespace"] = json!("default");
        world.deliver(of.0, of.1, elsewhere_spec).await;
        world
            .wait_for(of, "the changed spec to be looked at", |delivery| {
                delivery.status.as_ref().and_then(|status| status.observed_generation) == delivery.metadata.generation
            })
            .await;
        world.refused(of, "Frozen").await;
        // While that waits, what was applied is kept in repair as it was applied; so it is beside values that are none.
        world.kubectl(&["patch", "configmap", "a", "-n", of.0, "--type=merge", "-p", drift]);
        becomes(world, "a", Some("one")).await;
        let mut unusable_spec = spec.clone();
        unusable_spec["parameters"] = json!([{"name": "NOBODY", "value": "x"}]);
        world.deliver(of.0, of.1, unusable_spec.clone()).await;
        world.refused(of, "BadParameter").await;
        world.kubectl(&["patch", "configmap", "a", "-n", of.0, "--type=merge", "-p", drift]);
        becomes(world, "a", Some("one")).await;
        let missing = json!({"configMapKeyRef": {"name": "nobody", "key": "x"}});
        unusable_spec["parameters"] = json!([{"name": "NOBODY", "valueFrom": missing}]);
        world.deliver(of.0, of.1, unusable_spec).await;
        let told = |delivery: &Delivery| serde_json::to_string(&delivery.status).unwrap().contains("ConfigMap nobody");
        world.wait_for(of, "the missing value told", told).await;
        // Another object: one that changes hands again and again is left to whoever insists.
        world.kubectl(&["patch", "configmap", "leaves", "-n", of.0, "--type=merge", "-p", drift]);
        becomes(world, "leaves", Some("one")).await;
        world.deliver(of.0, of.1, spec.clone()).await;
        world.refused(of, "Frozen").await;
        let shown = world.cli.run(&["status", "-n", of.0, of.1]);
        assert!(shown.stderr.contains(&format!("by {own}: year-end close")), "{}", shown.stderr);
        assert!(shown.stdout.contains("Frozen"), "{}", shown.stdout);
        spec["prune"] = json!(true);
        world.deliver(of.0, of.1, spec.clone()).await;
        world.refused(of, "Frozen").await;

        // A Delivery that is deleted waits with its objects; a new one brings nothing at all.
        let third = world.push("other:stable", &[&release(world, "other", &[("other", "one")])], &[]);
        let late = (of.0, "late");
        world.deliver(late.0, late.1, world.following("other", "stable", account)).await;
        world.refused(late, "Frozen").await;
        assert_eq!(value(world, "other").await, None);

        // When the freeze is taken back, what waited comes without anybody asking, and what left the release goes.
        world.cli.succeed(&["freeze", &own, "--end"]);
        world.delivered(of, second).await;
        world.delivered(late, third).await;
        assert_eq!(
            (value(world, "a").await.as_deref(), value(world, "comes").await.as_deref()),
            (Some("two"), Some("two"))
        );
        becomes(world, "leaves", None).await;
        world.counts(port, "sealift_frozen 0").await;
        assert!(events(world, of.0, of.1).await.iter().any(|reason| reason == "Frozen"));

        // Under the next one an emergency hold goes back nonetheless, and when it ends nothing follows.
        freeze(&own, "2h", &[of.0]);
        world.counts(port, "sealift_freezes{state=\"in_force\"} 2").await;
        world.cli.succeed(&["rollback", "app", "-n", of.0, "--emergency", "--for", "1h", "--reason", "INC-7"]);
        world.delivered(of, first).await;
        assert_eq!(value(world, "a").await.as_deref(), Some("one"));
        world.cli.succeed(&["rollback", "app", "-n", of.0, "--emergency", "--end"]);
        world.refused(of, "Frozen").await;
        assert_eq!(value(world, "a").await.as_deref(), Some("one"));
        // A Delivery that is deleted waits.
        world.deliveries(late.0).delete(late.1, &DeleteParams::default()).await.unwrap();
        world.refused(late, "Frozen").await;
        assert_eq!(value(world, "other").await.as_deref(), Some("one"));

        // Time ends it too.
        freeze(&own, "3s", &[of.0]);
        world.delivered(of, second).await;
        assert_eq!(value(world, "a").await.as_deref(), Some("two"));
        world.gone(late).await;
        becomes(world, "other", None).await;
        let listed: Value = serde_json::from_str(&world.cli.succeed(&["freeze", "-o", "json"])).unwrap();
        let states: Vec<_> =
            listed["freezes"].as_array().unwrap().iter().map(|f| (f["name"].clone(), f["state"].clone())).collect();
        assert!(states.contains(&(json!(own), json!("Over"))), "{listed}");
        assert!(states.contains(&(json!(elsewhere), json!("InForce"))), "{listed}");
        assert_eq!(world.cli.run(&["freeze", "nobody-knows-it", "--end"]).code, 6);
        let told = async || {
            let told = events(world, "default", &own).await;
            let wanted = ["FreezeBegun", "FreezeEnded"];
            if wanted.iter().all(|reason| told.iter().any(|told| told == reason)) {
                Ok(())
            } else {
                Err(format!("{told:?}"))
            }
        };
        world.until("the Events about the Freeze", told).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_new_comes_while_the_controller_may_not_ask_for_freezes() {
    let Some(control_plane) = ControlPlane::start() else { return };
    World::run(&control_plane, "unknown", async |world| {
        let of = (world.namespace.as_str(), "app");
        world.trust().await;
        let account = world.namespace_account(of.0);
        let rules = world.kubectl(&["get", "clusterrole", "sealift-controller", "-o", "json"]);
        let mut role: Value = serde_json::from_str(&rules).unwrap();
        let put = |role: &Value| {
            let file = world.cli.write("role.json", role.to_string()).display().to_string();
            world.kubectl(&["replace", "-f", &file]);
        };
        for rule in role["rules"].as_array_mut().unwrap() {
            rule["resources"].as_array_mut().unwrap().retain(|resource| resource != "freezes");
        }
        role["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let whole: Value = serde_json::from_str(&rules).unwrap();
        put(&role);
        let digest: Digest = world.push("app:stable", &[&release(world, "one", &[("a", "one")])], &[]);
        world.start_controller().await;
        world.deliver(of.0, of.1, world.following("app", "stable", account)).await;
        let message = world.refused(of, "FreezeUnknown").await;
        assert!(message.contains("freezes"), "{message}");
        assert_eq!(value(world, "a").await, None);
        // Where the kind is not served at all there is no freeze.
        world.kubectl(&["delete", "crd", "freezes.sealift.dev"]);
        let mut whole = whole;
        whole["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        put(&whole);
        world.delivered(of, digest).await;
    })
    .await;
}
