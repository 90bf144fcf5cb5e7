//! What a valid signature does not excuse: releases that delete too much, and plans that nobody approved.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ListParams};
use sealift_e2e::{Attacker, ControlPlane, KeyPair, World, is_ready, policy};
use sealift_verify::{
    approval::{Approval, PREDICATE_TYPE},
    digest::Digest,
    reference::Repository,
};
use serde_json::{Value, json};

/// So many ConfigMaps with this value.
fn maps(world: &World<'_>, count: usize, value: &str) -> PathBuf {
    let map = |n| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{n:02}")}, "data": {"value": value}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": (0..count).map(map).collect::<Vec<_>>()});
    world.cli.write(&format!("{count}-{value}.yaml"), list.to_string())
}

async fn values(world: &World<'_>) -> Vec<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let ours = ListParams::default().labels("sealift.dev/delivery");
    let all = maps.list(&ours).await.unwrap().items;
    all.into_iter().filter_map(|map| map.data?.remove("value")).collect()
}

fn quiet(mut spec: Value) -> Value {
    spec["interval"] = json!("1h");
    spec
}

#[tokio::test]
async fn a_shrunken_release_deletes_nothing_until_a_policy_allows_it() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "shrunken", async |world| {
        let first = world.push("app:stable", &[&maps(world, 24, "1")], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        world.deliver(of.0, of.1, quiet(world.following("app", "stable", account))).await;
        world.delivered(of, first).await;

        let second = world.push("app:stable", &[&maps(world, 1, "2")], &[]);
        world.request(of).await;
        let message = world.refused(of, "DeletionRefused").await;
        assert!(
            message.contains("23 of 24 objects would be deleted") && message.contains("objects.deletions.max"),
            "{message}"
        );
        assert_eq!(values(world).await, vec!["1"; 24], "not in part either");

        // what is allowed is the platform's word, and only that
        let mut budget = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
        budget["spec"]["objects"]["deletions"] = json!({"max": "50%"});
        world.put_policy(budget.clone()).await;
        world
            .until("the policy's own words", async || {
                let message = world.refused(of, "DeletionRefused").await;
                if message.contains("allows 12") { Ok(()) } else { Err(message) }
            })
            .await;
        budget["spec"]["objects"]["deletions"] = json!({"max": "100%"});
        world.put_policy(budget).await;
        world.delivered(of, second).await;
        assert_eq!(values(world).await, ["2"]);
    })
    .await;
}

/// An approval signed with `key`, attached as any signature is.
async fn approve(world: &World<'_>, key: &KeyPair, artifact: Digest, plan: Digest) {
    let repository = world.repository("app");
    let pinned = repository.parse::<Repository>().unwrap().pin(artifact);
    let approval = Approval { plan, delivery: None, expires_at: None };
    let registry = Attacker::at(&repository);
    let (mut like, mut bundle) = registry.bundles(artifact).await.swap_remove(0);
    bundle["dsseEnvelope"]["payload"] = STANDARD.encode(approval.to_payload(&pinned)).into();
    let annotations = like["annotations"].as_object_mut().unwrap();
    if annotations.contains_key("dev.sigstore.bundle.predicateType") {
        annotations.insert("dev.sigstore.bundle.predicateType".into(), PREDICATE_TYPE.into());
    }
    registry.attach(&like, &key.sign_as_well(&bundle)).await;
}

/// The digest that `sealift plan` shows for what the tag names.
fn planned(world: &World<'_>, policy: &str, of: (&str, &str)) -> Digest {
    let reference = format!("oci://{}:stable", world.repository("app"));
    let delivery = format!("{}/{}", of.0, of.1);
    let shown = world.cli.run(&["plan", &reference, "--policy", policy, "--delivery", &delivery, "-o", "json"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let plan: Value = serde_json::from_str(&shown.stdout).unwrap();
    plan["digest"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_plan_that_takes_approval_waits_for_exactly_its_digest() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "approval", async |world| {
        let lead = KeyPair::generate(&world.cli, "lead");
        let mut demanding = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
        demanding["spec"]["authorities"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "lead", "key": {"pem": lead.public()}}));
        demanding["spec"]["release"]["approval"] = json!({"require": {"anyOf": ["lead"]}});
        let file = world.put_policy(demanding).await.display().to_string();
        let first = world.push("app:stable", &[&maps(world, 3, "1")], &[]);
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        world.deliver(of.0, of.1, quiet(world.following("app", "stable", account))).await;
        let message = world.refused(of, "ApprovalRequired").await;
        let plan = planned(world, &file, of);
        assert!(message.contains(&plan.to_string()), "the same digest on both sides: {plan}, {message}");
        assert!(values(world).await.is_empty());

        // another's approval is none, and so is that of another plan
        approve(world, &world.key, first, plan).await;
        approve(world, &lead, first, Digest::of(b"another plan")).await;
        world.reconcile(of).await;
        world.refused(of, "ApprovalRequired").await;

        // a cluster that changed makes it another plan
        world.kubectl(&["create", "configmap", "map-00", "-n", of.0, "--from-literal=value=0"]);
        approve(world, &lead, first, plan).await;
        world.reconcile(of).await;
        let message = world.refused(of, "ApprovalRequired").await;
        let other = planned(world, &file, of);
        assert!(other != plan && message.contains(&other.to_string()), "{other}, {message}");
        world.kubectl(&["delete", "configmap", "map-00", "-n", of.0]);
        world.reconcile(of).await;
        let delivery = world.delivered(of, first).await;
        assert_eq!(delivery.status.unwrap().plan, Some(plan));
        assert_eq!(values(world).await, ["1"; 3]);

        // drift of what was approved is put right without asking; what is new is not
        world.kubectl(&["delete", "configmap", "map-01", "-n", of.0]);
        assert!(is_ready(&world.reconcile(of).await));
        world
            .until("the map to be back", async || {
                let values = values(world).await;
                if values.len() == 3 { Ok(()) } else { Err(format!("{values:?}")) }
            })
            .await;
        world.push("app:stable", &[&maps(world, 3, "2")], &[]);
        world.reconcile(of).await;
        world.refused(of, "ApprovalRequired").await;
        assert_eq!(values(world).await, ["1"; 3]);
    })
    .await;
}
