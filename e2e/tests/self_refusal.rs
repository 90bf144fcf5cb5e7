//! Policies that come as releases: one that would lock out the very release that carries it, or the root Delivery, is not
//! applied.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::DeleteParams};
use sealift_apply::api::{AcceptedRelease, Delivery, SignaturePolicy, accepted_release_name, condition};
use sealift_e2e::{ControlPlane, KeyPair, World, policy};
use serde_json::{Value, json};

fn write(world: &World<'_>, file: &str, objects: &[Value]) -> PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": file}});
    let items: Vec<&Value> = std::iter::once(&map).chain(objects).collect();
    world.cli.write(&format!("{file}.json"), json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

async fn running(world: &World<'_>) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt("a").await.unwrap()?.data?.remove("value")
}

#[tokio::test]
async fn a_release_that_would_lock_itself_or_the_root_delivery_out_is_not_applied() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "self-refusal", async |world| {
        let (of, root) = ((world.namespace.as_str(), "app"), (world.namespace.as_str(), "root"));
        let (name, host) = (world.namespace.clone(), world.registry.host());
        let other = KeyPair::generate(&world.cli, "other");
        let everything = format!("{host}/**");
        world.put_policy(policy(&name, &[&everything], &world.key)).await;
        let account = world.cluster_account(of.0);
        world.start_controller_with(&["--root-delivery", &format!("{}/{}", root.0, root.1)]).await;

        let rooted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "root"}});
        let rooted = world.cli.write("root.json", rooted.to_string());
        let digest = world.push("root:stable", &[&rooted], &[]);
        world.deliver(root.0, root.1, world.following("root", "stable", account)).await;
        world.delivered(root, digest).await;
        let first = world.push("app:stable", &[&write(world, "first", &[])], &[]);
        world.deliver(of.0, of.1, world.following("app", "stable", account)).await;
        world.delivered(of, first).await;
        let accepted = async || {
            let records: Api<AcceptedRelease> = Api::all(world.client.clone());
            records.get(&accepted_release_name(of.0, of.1)).await.unwrap().spec.memory()
        };
        let policies: Api<SignaturePolicy> = Api::all(world.client.clone());
        let (before, trusted) = (accepted().await, policies.get(&name).await.unwrap());
        let refused = async |file: &str, objects: &[Value], says: &[&str]| {
            world.push("app:stable", &[&write(world, file, objects)], &[]);
            world.request(of).await;
            world
                .wait_for(of, &format!("{file} to refuse itself"), |delivery| {
                    let status = serde_json::to_string(&delivery.status).unwrap();
                    sealift_e2e::reason(delivery) == "SelfRefusing" && says.iter().all(|words| status.contains(words))
                })
                .await;
            assert_eq!(running(world).await.as_deref(), Some("first"), "{file}: nothing is written");
            assert_eq!(accepted().await, before, "{file}: the mark stays");
            assert_eq!(policies.get(&name).await.unwrap().spec, trusted.spec, "{file}: the policy stays");
        };

        // Another key, nobody at all, a policy that nobody can read, and one that is about others only.
        let another = policy(&name, &[&everything], &other);
        refused("another-key", &[another], &["NoTrustedSignature", &format!("{}/app", of.0)]).await;
        let mut unreadable = policy(&name, &[&everything], &world.key);
        unreadable["spec"]["authoritys"] = json!([]);
        refused("unreadable", &[unreadable], &["authoritys"]).await;
        refused(
            "about-others",
            &[policy(&name, &[&format!("{host}/others/**")], &world.key)],
            &["NoPolicy", "no enforcing"],
        )
        .await;
        // A policy beside it may only tighten, and this one tightens too much.
        let beside = format!("{name}-beside");
        refused("one-more", &[policy(&beside, &[&format!("{host}/app")], &other)], &["NoTrustedSignature"]).await;
        // It accepts itself, and not what brings all others.
        refused("root", &[policy(&name, &[&format!("{host}/app")], &world.key)], &[&format!("{}/root", root.0)]).await;

        // What accepts both is applied, and from then on it may not simply leave the policy out.
        let mut both = policy(&name, &[&everything], &world.key);
        let second = policy(&name, &[&everything], &other)["spec"]["authorities"][0].clone();
        both["spec"]["authorities"].as_array_mut().unwrap().push(second);
        both["spec"]["authorities"][1]["name"] = json!("next");
        both["spec"]["require"] = json!({"anyOf": [both["spec"]["authorities"][0]["name"], "next"]});
        let rotated = world.push("app:stable", &[&write(world, "rotated", &[both])], &[]);
        world.reconcile(of).await;
        world.delivered(of, rotated).await;
        let digest = world.push("app:stable", &[&write(world, "pruned", &[])], &[]);
        world.request(of).await;
        let message = world.refused(of, "SelfRefusing").await;
        assert!(message.contains("no enforcing"), "{message}");
        assert!(policies.get_opt(&name).await.unwrap().is_some(), "{digest}");
        assert_eq!(running(world).await.as_deref(), Some("rotated"));

        // Nor does it take the policy along when it is deleted: it goes once it leaves its objects there.
        world.deliveries(of.0).delete(of.1, &DeleteParams::default()).await.unwrap();
        let held = |delivery: &Delivery| {
            let ready = condition(&delivery.status.as_ref().unwrap().conditions, "Ready").unwrap();
            ready.reason == "SelfRefusing" && ready.message.contains("its objects stay")
        };
        let delivery = world.wait_for(of, "the deletion held up", held).await;
        let status = serde_json::to_string(&delivery.status).unwrap();
        assert!(status.contains(&format!("Delivery {}/root would be refused", of.0)), "{status}");
        assert!(policies.get_opt(&name).await.unwrap().is_some_and(|kept| kept.metadata.deletion_timestamp.is_none()));
        assert_eq!(running(world).await.as_deref(), Some("rotated"));
        world.kubectl(&[
            "patch",
            "delivery",
            of.1,
            "-n",
            of.0,
            "--type=merge",
            "-p",
            r#"{"spec":{"deletionPolicy":"Orphan"}}"#,
        ]);
        world.gone(of).await;
        assert!(policies.get_opt(&name).await.unwrap().is_some_and(|kept| kept.metadata.deletion_timestamp.is_none()));
    })
    .await;
}
