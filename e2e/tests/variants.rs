//! One artifact with an overlay for each of several clusters: each Delivery applies the one it chooses, and all of it is
//! signed.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use sealift_apply::api::LastApplied;
use sealift_e2e::{Attacker, ControlPlane, KeyPair, Output, Tool, World, binary};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// Overlays of one base: the colour is theirs, and each has a ConfigMap that the other has not.
fn overlays(world: &World<'_>) {
    let map = |name: &str, data: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).to_string()
    };
    world.cli.write("base/kustomization.yaml", "resources: [settings.yaml]\n");
    world.cli.write("base/settings.yaml", map("settings", json!({"colour": "none", "shape": "round"})));
    for (name, colour) in [("eu", "blue"), ("us", "red")] {
        world.cli.write(&format!("{name}/only.yaml"), map(&format!("only-{name}"), json!({"a": "b"})));
        let patch = json!([{"op": "replace", "path": "/data/colour", "value": colour}]);
        world.cli.write(
            &format!("{name}/kustomization.yaml"),
            format!("resources: [../base, only.yaml]\npatches: [{{target: {{name: settings}}, patch: '{patch}'}}]\n"),
        );
    }
}

/// Pushes both overlays, rendered by the real kustomize, with a key.
fn push(world: &World<'_>, kustomize: &Tool, tag: &str, key: &KeyPair, overlays: [&str; 2]) -> Digest {
    let mut command = world.cli.program(binary("sealift"));
    command.env("PATH", kustomize.path().parent().unwrap());
    let [eu, us] = overlays;
    command.args(["push", &format!("oci://{}", world.repository(&format!("acme/shop:{tag}"))), "--key"]);
    command.arg(key.private()).args(["--variant", &format!("eu={eu}"), "--variant", &format!("us={us}")]);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{stderr}");
    Output { stdout, stderr, code: 0 }.digest()
}

/// The ConfigMaps of a Delivery in a namespace, and the colour that one of them tells.
async fn applied(world: &World<'_>, namespace: &str) -> (Vec<String>, Option<String>) {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), namespace);
    let listed = maps.list(&ListParams::default()).await.unwrap().items;
    let all: BTreeMap<_, _> = listed.into_iter().map(|map| (map.metadata.name.unwrap(), map.data)).collect();
    let colour = all.get("settings").and_then(|data| data.as_ref()?.get("colour").cloned());
    (all.into_keys().filter(|name| name != "kube-root-ca.crt").collect(), colour)
}

fn choosing(world: &World<'_>, account: &str, variant: Option<&str>) -> Value {
    let mut spec = world.following("acme/shop", "prod", account);
    if let Some(variant) = variant {
        spec["variant"] = json!(variant);
    }
    spec
}

/// Waits until this variant of the artifact is what runs.
async fn runs(world: &World<'_>, of: (&str, &str), digest: Digest, variant: &str) -> LastApplied {
    world
        .wait_for(of, &format!("variant {variant} applied"), |delivery| {
            let last = delivery.status.as_ref().and_then(|status| status.last_applied.as_ref());
            last.is_some_and(|last| last.variant.as_deref() == Some(variant)) && sealift_e2e::is_ready(delivery)
        })
        .await;
    let delivery = world.delivered(of, digest).await;
    delivery.status.unwrap().last_applied.unwrap()
}

/// Whoever asks about a Delivery is answered for the variant that it chooses, which here is `us`, and runs.
fn asked_about(world: &World<'_>, of: (&str, &str), policy: &str) {
    let delivery = format!("{}/{}", of.0, of.1);
    let reference = format!("oci://{}", world.repository("acme/shop:prod"));
    let asked = |command: &[&str], code: i32, says: &str| {
        let Output { stdout, stderr, code: found } = world.cli.run(&[command, &["--delivery", &delivery]].concat());
        assert_eq!(found, code, "{command:?}\n{stdout}\n{stderr}");
        assert!(format!("{stdout}\n{stderr}").contains(says), "{command:?} says no {says:?}\n{stdout}\n{stderr}");
    };
    let (plan, verify) = (["plan", &reference, "--policy", policy], ["verify", &reference, "--policy", policy]);
    let diff = ["diff", &reference, "--context", "testenv", "--exit-code"];
    asked(&[&plan[..], &["--exit-code"]].concat(), 0, "unchanged");
    asked(&[&plan[..], &["--exit-code", "--variant", "eu"]].concat(), 10, "only-eu");
    asked(&diff, 0, "unchanged");
    asked(&[&diff[..], &["--variant", "eu"]].concat(), 10, "only-eu");
    asked(&verify, 0, "us, of 2");
    let shown = world.cli.run(&["status", "-n", of.0, of.1]);
    assert!(shown.stdout.contains(" variant us release "), "{}", shown.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliveries_follow_one_artifact_and_each_applies_its_variant() {
    let (Some(control_plane), Some(kustomize)) = (ControlPlane::shared(), Tool::find("kustomize")) else { return };
    World::run(control_plane, "variants", async |world| {
        overlays(world);
        let american = world.another_namespace("variants").await;
        let (eu, us) = ((world.namespace.as_str(), "shop"), (american.as_str(), "shop"));
        let accounts = [eu, us].map(|(namespace, _)| world.namespace_account(namespace));
        let policy = world.trust().await.display().to_string();
        let digest = push(world, &kustomize, "prod", &world.key, ["eu", "us"]);
        world.start_controller().await;

        // Without a choice nothing of it is applied.
        world.deliver(eu.0, eu.1, choosing(world, accounts[0], None)).await;
        let message = world.refused(eu, "VariantRequired").await;
        assert!(message.contains("the release has the variants eu, us"), "{message}");
        assert_eq!(applied(world, eu.0).await, (vec![], None));

        world.deliver(eu.0, eu.1, choosing(world, accounts[0], Some("eu"))).await;
        world.deliver(us.0, us.1, choosing(world, accounts[1], Some("us"))).await;
        let first = runs(world, eu, digest, "eu").await;
        let other = runs(world, us, digest, "us").await;
        assert_eq!(first.statement, other.statement, "one signature");
        assert_ne!(first.objects, other.objects);
        let own = |name: &str| vec![format!("only-{name}"), "settings".to_owned()];
        assert_eq!(applied(world, eu.0).await, (own("eu"), Some("blue".into())));
        assert_eq!(applied(world, us.0).await, (own("us"), Some("red".into())));

        // Another choice of the same artifact is a change like any other.
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), eu.0);
        let uid = async || maps.get("settings").await.unwrap().metadata.uid;
        let before = uid().await;
        world.deliver(eu.0, eu.1, choosing(world, accounts[0], Some("us"))).await;
        let switched = runs(world, eu, digest, "us").await;
        assert_eq!((switched.statement, switched.objects == first.objects), (first.statement, false));
        assert_eq!(applied(world, eu.0).await, (own("us"), Some("red".into())), "what left the variant is pruned");
        assert_eq!(uid().await, before, "what both have is changed in place");

        asked_about(world, eu, &policy);

        // A choice that is none brings nothing, and takes nothing from what runs: it is put right as before.
        world.deliver(eu.0, eu.1, choosing(world, accounts[0], Some("ap"))).await;
        let message = world.refused(eu, "UnknownVariant").await;
        assert!(message.contains("variant \"ap\" is chosen, and the release has eu, us"), "{message}");
        maps.delete("only-us", &DeleteParams::default()).await.unwrap();
        world
            .until("what was deleted to be back", async || match maps.get_opt("only-us").await.unwrap() {
                Some(_) => Ok(()),
                None => Err("it is missing".to_owned()),
            })
            .await;
        assert_eq!(applied(world, eu.0).await, (own("us"), Some("red".into())));
        assert_eq!(sealift_e2e::reason(&world.reconcile(eu).await), "UnknownVariant");

        // What a Delivery does not choose is not chosen on the command line either; apart from it, all are judged.
        world.deliver(eu.0, eu.1, choosing(world, accounts[0], None)).await;
        let reference = format!("oci://{}", world.repository("acme/shop:prod"));
        let verify = ["verify", &reference, "--policy", &policy];
        let delivery = format!("{}/{}", eu.0, eu.1);
        let of_delivery = world.cli.run(&[&verify[..], &["--delivery", &delivery]].concat());
        assert_eq!(of_delivery.code, 3, "{}", of_delivery.stderr);
        assert!(of_delivery.stderr.contains("VariantRequired"), "{}", of_delivery.stderr);
        let all = world.cli.run(&verify);
        assert_eq!(all.code, 0, "{}", all.stderr);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_that_was_tampered_with_is_refused_whichever_is_chosen() {
    let (Some(control_plane), Some(kustomize)) = (ControlPlane::shared(), Tool::find("kustomize")) else { return };
    World::run(control_plane, "variants", async |world| {
        overlays(world);
        let of = (world.namespace.as_str(), "shop");
        let account = world.namespace_account(of.0);
        let policy = world.trust().await.display().to_string();
        let digest = push(world, &kustomize, "prod", &world.key, ["eu", "us"]);
        world.start_controller().await;
        world.deliver(of.0, of.1, choosing(world, account, Some("eu"))).await;
        let first = runs(world, of, digest, "eu").await;

        // Somebody who holds the registry changes one variant only, and hangs what was signed on the result.
        let stranger = KeyPair::generate(&world.cli, "stranger");
        let other = push(world, &kustomize, "other", &stranger, ["eu", "eu"]);
        let attacker = Attacker::at(&world.repository("acme/shop"));
        attacker.copy_referrers(digest, other).await;
        attacker.move_tag("prod", other).await;
        world.reconcile(of).await;
        let message = world.refused(of, "DigestMismatch").await;
        assert!(message.contains("the signed subject"), "{message}");
        for variant in ["eu", "us"] {
            let reference = format!("oci://{}@{other}", world.repository("acme/shop"));
            let judged = world.cli.run(&["verify", &reference, "--policy", &policy, "--variant", variant]);
            assert_eq!(judged.code, 3, "{variant}: {}", judged.stderr);
        }
        let status = world.deliveries(of.0).get(of.1).await.unwrap().status.unwrap();
        let last = status.last_applied.unwrap();
        assert_eq!((last.digest, last.variant), (first.digest, first.variant), "what runs is kept");
    })
    .await;
}
