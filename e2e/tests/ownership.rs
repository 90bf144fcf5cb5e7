//! Whose objects are: foreign ones are never pruned, moved ones survive, and a namespace that goes is not held up.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use sealift_e2e::{ControlPlane, World};
use serde_json::{Value, json};

/// A file with ConfigMaps, each in a namespace or in that of the Delivery.
fn maps(world: &World<'_>, file: &str, maps: &[(&str, Option<&str>)]) -> PathBuf {
    let map = |(name, namespace): &(&str, Option<&str>)| {
        let mut map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"of": file}});
        if let Some(namespace) = namespace {
            map["metadata"]["namespace"] = json!(namespace);
        }
        map
    };
    let items: Vec<Value> = maps.iter().map(map).collect();
    world.cli.write(&format!("{file}.json"), json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

fn config_maps(world: &World<'_>, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(world.client.clone(), namespace)
}

async fn is_there(maps: &Api<ConfigMap>, name: &str) -> bool {
    maps.get_opt(name).await.unwrap().is_some_and(|map| map.metadata.deletion_timestamp.is_none())
}

#[tokio::test]
async fn a_foreign_object_is_never_pruned() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "foreign", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let all = maps(world, "all", &[("app-kept", None), ("app-gone", None), ("app-taken", None)]);
        let digest = world.push("acme/app:prod", &[&all], &[]);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        // Put right, what is made anew under a name of the release would be the release's own again before it is pruned.
        let mut spec = world.following("acme/app", "prod", account);
        spec["drift"] = json!({"mode": "report"});
        let uid = world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;

        // by hand, with a name of the same sort; by hand, with our label forged; and one of ours that was deleted and
        // made anew by hand under its name, label and all, which is in our inventory
        let live = config_maps(world, of.0);
        live.delete("app-taken", &DeleteParams::default()).await.unwrap();
        let forged = json!({"sealift.dev/delivery": uid});
        for (name, labels) in [("app-by-hand", json!({})), ("app-forged", forged.clone()), ("app-taken", forged)] {
            let map = json!({"metadata": {"name": name, "labels": labels,
                "annotations": {"sealift.dev/delivery-name": format!("{}/app", of.0)}}});
            let params = PostParams { field_manager: Some("kubectl-create".into()), ..PostParams::default() };
            live.create(&params, &serde_json::from_value(map).unwrap()).await.unwrap();
        }
        let fewer = maps(world, "all", &[("app-kept", None)]);
        let digest = world.push("acme/app:prod", &[&fewer], &[]);
        world.reconcile(of).await;
        world.delivered(of, digest).await;
        world
            .until("app-gone to be pruned", async || {
                if is_there(&live, "app-gone").await { Err("still there".into()) } else { Ok(()) }
            })
            .await;
        for name in ["app-kept", "app-by-hand", "app-forged", "app-taken"] {
            assert!(is_there(&live, name).await, "{name} was deleted");
        }
        assert_eq!(world.inventory(&uid).await.len(), 1, "what is not ours leaves the inventory");

        world.undeliver(of).await;
        world
            .until("app-kept to be deleted", async || {
                if is_there(&live, "app-kept").await { Err("still there".into()) } else { Ok(()) }
            })
            .await;
        for name in ["app-by-hand", "app-forged", "app-taken"] {
            assert!(is_there(&live, name).await, "{name} was deleted with the Delivery");
        }
    })
    .await;
}

#[tokio::test]
async fn an_object_that_moves_to_another_delivery_survives() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "moving", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let namespace = world.namespace.as_str();
        let (from, to) = ((namespace, "from"), (namespace, "to"));
        let first = world.push("acme/from:prod", &[&maps(world, "from", &[("moving", None), ("from-own", None)])], &[]);
        let second = world.push("acme/to:prod", &[&maps(world, "to", &[("to-own", None)])], &[]);
        world.start_controller().await;
        let from_uid = world.deliver(namespace, "from", world.following("acme/from", "prod", account)).await;
        let to_uid = world.deliver(namespace, "to", world.following("acme/to", "prod", account)).await;
        world.delivered(from, first).await;
        world.delivered(to, second).await;
        let live = config_maps(world, namespace);
        let before = live.get("moving").await.unwrap().uid();

        // the new owner asks first, and nothing is taken from the old one, who still wants it
        let second = world.push("acme/to:prod", &[&maps(world, "to", &[("moving", None), ("to-own", None)])], &[]);
        world.reconcile(to).await;
        let message = world.refused(to, "ApplyFailed").await;
        assert!(message.contains("moving") && message.contains(&format!("{namespace}/from")), "{message}");
        let owner = live.get("moving").await.unwrap().labels().get("sealift.dev/delivery").cloned();
        assert_eq!(owner.as_ref(), Some(&from_uid));

        // the old one lets go
        let first = world.push("acme/from:prod", &[&maps(world, "from", &[("from-own", None)])], &[]);
        world.reconcile(from).await;
        world.delivered(from, first).await;
        world.reconcile(to).await;
        world.delivered(to, second).await;
        let after = live.get("moving").await.unwrap();
        assert_eq!(after.uid(), before, "it was deleted on the way");
        assert_eq!(after.labels().get("sealift.dev/delivery"), Some(&to_uid));
        assert_eq!(after.data.unwrap()["of"], "to");
        assert_eq!(world.inventory(&from_uid).await.len(), 1);

        // and now it is the new owner's to delete, not the old one's
        world.undeliver(from).await;
        assert!(is_there(&live, "moving").await);
    })
    .await;
}

async fn assert_terminates(world: &World<'_>, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(namespace, &DeleteParams::default()).await.unwrap();
    world
        .until("the namespace to end", async || match namespaces.get_opt(namespace).await.unwrap() {
            None => Ok(()),
            Some(left) => Err(serde_json::to_string_pretty(&left).unwrap()),
        })
        .await;
}

#[tokio::test]
async fn a_namespace_that_is_deleted_ends_and_what_lay_elsewhere_is_deleted_or_named() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "ending", async |world| {
        let elsewhere = world.another_namespace("elsewhere").await;
        let account = world.cluster_account(&world.namespace);
        world.trust().await;
        let file = maps(world, "both", &[("here", None), ("there", Some(&elsewhere)), ("there-too", Some(&elsewhere))]);
        let digest = world.push("acme/both:prod", &[&file], &[]);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "both");
        world.deliver(of.0, of.1, world.following("acme/both", "prod", account)).await;
        world.delivered(of, digest).await;
        assert_terminates(world, of.0).await;
        let log = world.controller_log();
        let named: Vec<&str> = log.lines().filter(|line| line.contains("Orphaned")).collect();
        for name in ["there", "there-too"] {
            let deleted = !is_there(&config_maps(world, &elsewhere), name).await;
            let named = named.iter().any(|line| line.contains(&format!("{elsewhere}/{name}")));
            assert!(deleted || named, "{name} was neither deleted nor named:\n{log}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_namespace_whose_grants_go_first_ends_too() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "ungranted", async |world| {
        // the role binding lies in the namespace and goes with it, perhaps before the Delivery is looked at
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let digest =
            world.push("acme/here:prod", &[&maps(world, "here", &[("a", None), ("b", None), ("c", None)])], &[]);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "here");
        world.deliver(of.0, of.1, world.following("acme/here", "prod", account)).await;
        world.delivered(of, digest).await;
        assert_terminates(world, of.0).await;
    })
    .await;
}
