//! Promotion, with a cluster at its end: what is for prod is what was signed for prod, wherever tags point.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sealift_e2e::{Attacker, ControlPlane, KeyPair, World, is_ready, policy, reason};
use serde_json::json;

#[tokio::test]
async fn a_cluster_takes_a_release_only_once_it_is_promoted_and_keeps_it_while_that_is_renewed() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "promote", async |world| {
        let of = (world.namespace.as_str(), "app");
        let (dev, prod) = (KeyPair::generate(&world.cli, "dev"), &world.key);
        let here = format!("{}/**", world.registry.host());
        let mut rule = policy(&world.namespace, &[&here], prod);
        rule["spec"]["release"]["environment"] = json!("prod");
        world.put_policy(rule).await;
        let source = world.cli.write("dev.yaml", policy("dev", &[&here], &dev).to_string()).display().to_string();
        let account = world.namespace_account(of.0);
        world.start_controller().await;

        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": "one"}});
        let file = world.cli.write("one.json", map.to_string());
        let reference = format!("oci://{}", world.repository("app:dev"));
        let (file, key) = (file.display().to_string(), dev.private().display().to_string());
        let pushed = world.cli.run(&["push", &reference, "-f", &file, "--key", &key, "--env", "dev"]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        let digest = pushed.digest();

        // Whoever holds the registry lets the channel of prod name it.
        let registry = Attacker::at(&world.repository("app"));
        registry.move_tag("prod", digest).await;
        let mut spec = world.following("app", "prod", account);
        (spec["environment"], spec["interval"]) = (json!("prod"), json!("1h"));
        world.deliver(of.0, of.1, spec).await;
        world.refused(of, "NoTrustedSignature").await;
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), of.0);
        assert!(maps.get_opt("a").await.unwrap().is_none(), "nothing of it was applied");

        let key = prod.private().display().to_string();
        let what = format!("oci://{}", world.repository(&format!("app@{digest}")));
        let promote = ["promote", &what, "--environment", "prod", "--policy", &source, "--key", &key];
        world.cli.succeed(&[&promote[..], &["--expires-in", "20s"]].concat());
        world.reconcile(of).await;
        world.delivered(of, digest).await;
        assert!(maps.get_opt("a").await.unwrap().is_some());

        // Of the two statements about the artifact, the one of prod is renewed.
        let stale = world.wait_for(of, "stale", |delivery| reason(delivery) == "Stale").await;
        assert!(is_ready(&stale), "what runs is kept");
        world.cli.succeed(&["refresh", &what, "--env", "prod", "--key", &key, "--expires-in", "1h"]);
        assert_eq!(registry.digest("prod").await, digest);
        world.reconcile(of).await;
        world.wait_for(of, "current", |delivery| is_ready(delivery) && reason(delivery) != "Stale").await;
    })
    .await;
}
