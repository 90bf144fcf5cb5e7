//! The way back: what a Delivery has brought is told, and a signed statement sends it to an earlier release.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sealift_apply::api::Delivery;
use sealift_e2e::{ControlPlane, World};
use serde_json::{Value, json};

fn release(world: &World<'_>, value: &str) -> PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value}});
    world.cli.write(&format!("{value}.json"), map.to_string())
}

async fn running(world: &World<'_>) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt("a").await.unwrap()?.data?.remove("value")
}

/// Version and verdict of each entry, newest first.
fn history(delivery: &Delivery) -> Vec<(String, String)> {
    let entries = delivery.status.iter().flat_map(|status| &status.history);
    entries.map(|entry| (entry.version.clone().unwrap_or_default(), entry.verdict.clone())).collect()
}

#[tokio::test]
async fn a_delivery_is_sent_back_by_a_signed_statement_and_its_history_says_so() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "back", async |world| {
        let of = (world.namespace.as_str(), "app");
        world.trust().await;
        let account = world.namespace_account(of.0);
        world.start_controller().await;
        let first = world.push("app:stable", &[&release(world, "one")], &["--version", "1.0.0"]);
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!("1h");
        world.deliver(of.0, of.1, spec.clone()).await;
        world.delivered(of, first).await;
        let second =
            world.push("app:stable", &[&release(world, "two")], &["--version", "2.0.0", "--expires-in", "720h"]);
        world.reconcile(of).await;
        let delivery = world.delivered(of, second).await;
        assert_eq!(running(world).await.as_deref(), Some("two"));
        let applied = |version: &str| (version.to_owned(), "Applied".to_owned());
        assert_eq!(history(&delivery), [applied("2.0.0"), applied("1.0.0")]);
        let entry = &delivery.status.unwrap().history[0];
        assert_eq!(entry.changes.map(|changes| (changes.created, changes.configured)), Some((0, 1)));

        let key = world.key.private().display().to_string();
        let back = ["rollback", "app", "-n", of.0, "--key", &key, "-o", "json"];
        let said: Value = serde_json::from_str(&world.cli.succeed(&back)).unwrap();
        assert_eq!((&said["digest"], &said["channel"]["moved"]), (&json!(first), &json!(true)));
        assert_eq!(said["rollbackOf"], json!(entry.statement), "the statement says what it undoes");
        world.reconcile(of).await;
        let delivery = world.delivered(of, first).await;
        assert_eq!(running(world).await.as_deref(), Some("one"));
        assert_eq!(history(&delivery), [applied("1.0.0"), applied("2.0.0"), applied("1.0.0")]);
        let shown = world.cli.succeed(&["status", "-n", of.0, of.1]);
        assert_eq!(shown.matches("\n  history ").count(), 3, "{shown}");

        // And forth again, by name; that release did not last for ever.
        let forth = ["rollback", "app", "-n", of.0, "--key", &key, "--to", "2.0.0"];
        let asked = world.cli.run(&forth);
        assert_eq!(asked.code, 2, "{}", asked.stderr);
        assert!(asked.stderr.contains("--expires-in"), "{}", asked.stderr);
        world.cli.succeed(&[&forth[..], &["--expires-in", "720h"]].concat());
        world.reconcile(of).await;
        world.delivered(of, second).await;
        assert_eq!(running(world).await.as_deref(), Some("two"));
        let nowhere = world.cli.run(&["rollback", "app", "-n", of.0, "--key", &key, "--to", "9.9.9"]);
        assert_eq!(nowhere.code, 6, "{}", nowhere.stderr);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_selects_by_range_is_not_sent_back() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "range", async |world| {
        let of = (world.namespace.as_str(), "app");
        world.trust().await;
        let account = world.namespace_account(of.0);
        world.start_controller().await;
        let digest = world.push("app:stable", &[&release(world, "one")], &["--version", "1.0.0"]);
        let mut spec = world.following("app", "stable", account);
        spec["select"] = json!({"semver": ">=1.0.0"});
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;
        let key = world.key.private().display().to_string();
        let refused = world.cli.run(&["rollback", "app", "-n", of.0, "--key", &key]);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{}", refused.stderr);
        assert!(refused.stderr.contains("highest version in \">=1.0.0\""), "{}", refused.stderr);
    })
    .await;
}
