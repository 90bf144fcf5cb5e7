//! Freeze, mix-up, replay, equivocation, rollback and the ways out of them, with the attacker holding the registry.
//! What is forged or corrupt is in `delivery.rs` and `bad_input.rs`; here everything was once signed by who may.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sealift_apply::api::condition;
use sealift_e2e::{Attacker, ControlPlane, KeyPair, World, is_ready, policy, reason};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// One ConfigMap `a` of this value: the quickest release there is.
fn release(world: &World<'_>, value: &str) -> PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value}});
    world.cli.write(&format!("{value}.yaml"), map.to_string())
}

/// What runs in a namespace.
async fn running(world: &World<'_>, namespace: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), namespace);
    maps.get_opt("a").await.unwrap()?.data?.remove("value")
}

/// A spec that is looked at again only when it is asked for.
fn quiet(mut spec: Value) -> Value {
    spec["interval"] = json!("1h");
    spec
}

fn sealift(world: &World<'_>, command: &str, path: &str, key: &KeyPair, more: &[&str]) -> String {
    let reference = format!("oci://{}", world.repository(path));
    let key = key.private().display().to_string();
    world.cli.succeed(&[&[command, &reference, "--key", &key], more].concat())
}

/// An account, a controller and a Delivery `app` of `app:stable`, which has applied this artifact.
async fn follow(world: &World<'_>, digest: Digest) -> Value {
    let account = world.namespace_account(&world.namespace);
    world.start_controller().await;
    let spec = quiet(world.following("app", "stable", account));
    world.deliver(&world.namespace, "app", spec.clone()).await;
    world.delivered((&world.namespace, "app"), digest).await;
    spec
}

/// Asked to look again, the Delivery refuses for this reason, and what runs is kept.
async fn refuses(world: &World<'_>, of: (&str, &str), wanted: &str, keeps: &str) -> String {
    world.reconcile(of).await;
    let message = world.refused(of, wanted).await;
    assert_eq!(running(world, of.0).await.as_deref(), Some(keeps), "{wanted}: {message}");
    message
}

#[tokio::test]
async fn a_frozen_release_goes_stale_is_kept_and_is_current_again_once_refreshed_without_a_tag_moving() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "freeze", async |world| {
        let first = world.push("app:stable", &[&release(world, "one")], &["--expires-in", "20s"]);
        world.trust().await;
        follow(world, first).await;
        let of = (world.namespace.as_str(), "app");
        // there is a newer release, and whoever holds the registry does not show it
        let attacker = Attacker::at(&world.repository("app"));
        world.push("app:stable", &[&release(world, "two")], &[]);
        attacker.move_tag("stable", first).await;
        let stale = world.wait_for(of, "stale", |delivery| reason(delivery) == "Stale").await;
        assert!(is_ready(&stale));
        assert_eq!(running(world, of.0).await.as_deref(), Some("one"), "what runs is kept");

        sealift(world, "refresh", &format!("app@{first}"), &world.key, &["--expires-in", "1h"]);
        assert_eq!(attacker.digest("stable").await, first, "no tag moved");
        world.reconcile(of).await;
        let current = world.wait_for(of, "current", |delivery| is_ready(delivery) && reason(delivery) != "Stale").await;
        let conditions = current.status.unwrap().conditions;
        assert_eq!(condition(&conditions, "Verified").map(|verified| verified.status.as_str()), Some("True"));
    })
    .await;
}

#[tokio::test]
async fn a_release_for_another_environment_is_no_release_here() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "mix-up", async |world| {
        let prod = world.push("app:stable", &[&release(world, "prod")], &["--env", "prod"]);
        let stage = world.push("app:stage", &[&release(world, "stage")], &["--env", "stage"]);
        world.trust().await;
        let other = world.another_namespace("mix-up-asked").await;
        let mut asking = follow(world, prod).await;
        world.namespace_account(&other);
        asking["environment"] = json!("prod");
        world.deliver(&other, "app", asking).await;
        world.delivered((&other, "app"), prod).await;

        let attacker = Attacker::at(&world.repository("app"));
        attacker.move_tag("stable", stage).await;
        // one was told which environment it is; the other remembers which one it followed
        for namespace in [&other, &world.namespace] {
            refuses(world, (namespace, "app"), "WrongEnvironment", "prod").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_release_replayed_in_another_repository_is_refused() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "replay", async |world| {
        let own = world.push("app:stable", &[&release(world, "own")], &["--stream", "shared"]);
        let foreign = world.push("other:stable", &[&release(world, "foreign")], &["--stream", "shared"]);
        world.trust().await;
        follow(world, own).await;
        let (app, other) = ["app", "other"].map(|path| Attacker::at(&world.repository(path))).into();
        other.replay_in(&app, foreign, "stable").await;
        let of = (world.namespace.as_str(), "app");
        let message = refuses(world, of, "WrongRepository", "own").await;
        assert!(message.contains(&world.repository("other")), "{message}");
    })
    .await;
}

#[tokio::test]
async fn two_statements_with_one_sequence_are_an_alarm_and_neither_is_believed() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "equivocation", async |world| {
        let first = world.push("app:stable", &[&release(world, "one")], &["--sequence", "5"]);
        let twin = ["--sequence", "5", "--version", "2.0.0"];
        let second = world.push("app:other", &[&release(world, "two")], &twin);
        world.trust().await;
        let spec = follow(world, first).await;
        let attacker = Attacker::at(&world.repository("app"));
        attacker.move_tag("stable", second).await;
        let of = (world.namespace.as_str(), "app");
        let message = refuses(world, of, "Equivocation", "one").await;
        assert!(message.contains("0.5"), "{message}");

        // both about one artifact, and nothing remembered: no order of looking at them makes one of them the first
        let again = world.push("app:third", &[&release(world, "one")], &["--sequence", "5", "--expires-in", "1h"]);
        assert_eq!(again, first);
        attacker.move_tag("stable", first).await;
        refuses(world, of, "Equivocation", "one").await;
        world.deliver(of.0, "new", spec).await;
        world.refused((of.0, "new"), "Equivocation").await;
    })
    .await;
}

#[tokio::test]
async fn a_wanted_rollback_is_a_new_statement_about_the_older_artifact() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "rollback", async |world| {
        let first = world.push("app:stable", &[&release(world, "one")], &[]);
        world.trust().await;
        follow(world, first).await;
        let of = (world.namespace.as_str(), "app");
        let second = world.push("app:stable", &[&release(world, "two")], &[]);
        world.reconcile(of).await;
        world.delivered(of, second).await;
        Attacker::at(&world.repository("app")).move_tag("stable", first).await;
        refuses(world, of, "RolledBack", "two").await;

        let back = world.push("app:stable", &[&release(world, "one")], &[]);
        assert_eq!(back, first, "the same manifests are the same artifact");
        world.reconcile(of).await;
        world.delivered(of, first).await;
        assert_eq!(running(world, of.0).await.as_deref(), Some("one"));
    })
    .await;
}

#[tokio::test]
async fn a_higher_epoch_recovers_a_burned_counter() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "epoch", async |world| {
        let burned = world.push("app:stable", &[&release(world, "burned")], &["--sequence", "9000000000000000000"]);
        world.trust().await;
        follow(world, burned).await;
        let of = (world.namespace.as_str(), "app");
        let key = world.key.private().display().to_string();
        let (to, file) = (format!("oci://{}", world.repository("app:stable")), release(world, "next"));
        let stuck = world.cli.run(&["push", &to, "--key", &key, "-f", &file.display().to_string()]);
        assert_eq!(stuck.code, 5, "{}", stuck.stderr);
        assert!(stuck.stderr.contains("--epoch"), "{}", stuck.stderr);

        let next = world.push("app:stable", &[&file], &["--epoch", "1"]);
        world.reconcile(of).await;
        world.delivered(of, next).await;
        // the epoch stays without being named, and the burned number is worth nothing any more
        let last = world.push("app:stable", &[&release(world, "last")], &[]);
        world.reconcile(of).await;
        world.delivered(of, last).await;
        Attacker::at(&world.repository("app")).move_tag("stable", burned).await;
        refuses(world, of, "RolledBack", "last").await;
    })
    .await;
}

/// The daily key is stolen: it can neither burn the counter nor reset it, and what it tries hides no release.
#[tokio::test]
async fn a_stolen_key_cannot_raise_the_epoch_that_another_authority_raises() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "raise", async |world| {
        let security = KeyPair::generate(&world.cli, "security");
        let mut policy = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
        policy["spec"]["authorities"].as_array_mut().unwrap().push(json!({
            "name": "security", "key": {"pem": security.public()},
        }));
        policy["spec"]["release"]["epochs"] = json!({"require": {"allOf": ["security"]}});
        world.put_policy(policy).await;
        let first = world.push("app:stable", &[&release(world, "one")], &[]);
        follow(world, first).await;
        let of = (world.namespace.as_str(), "app");

        let raised = world.push("app:stable", &[&release(world, "stolen")], &["--epoch", "9"]);
        let message = refuses(world, of, "EpochRaised", "one").await;
        assert!(message.contains("needs 1 of [security]"), "{message}");

        // the very same statement, signed by those who may as well
        sealift(world, "sign", &format!("app@{raised}"), &security, &[]);
        world.reconcile(of).await;
        world.delivered(of, raised).await;
        // and from there on the daily key is enough again
        let next = world.push("app:stable", &[&release(world, "next")], &[]);
        world.reconcile(of).await;
        world.delivered(of, next).await;
    })
    .await;
}

#[tokio::test]
async fn two_deliveries_of_one_stream_remember_each_for_itself() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "two", async |world| {
        let first = world.push("app:stable", &[&release(world, "one")], &[]);
        world.trust().await;
        let other = world.another_namespace("two-late").await;
        let spec = follow(world, first).await;
        let of = (world.namespace.as_str(), "app");
        let second = world.push("app:stable", &[&release(world, "two")], &[]);
        world.reconcile(of).await;
        world.delivered(of, second).await;

        // the newcomer knows of nothing newer, and what it accepts is forgiven to nobody else
        let attacker = Attacker::at(&world.repository("app"));
        attacker.move_tag("stable", first).await;
        refuses(world, of, "RolledBack", "two").await;
        world.namespace_account(&other);
        // both ask the registry as nobody, so the newcomer is given the answer that was just refused here
        world.deliver(&other, "app", spec).await;
        world.delivered((&other, "app"), first).await;
        refuses(world, of, "RolledBack", "two").await;

        attacker.move_tag("stable", second).await;
        for of in [of, (other.as_str(), "app")] {
            world.reconcile(of).await;
            world.delivered(of, second).await;
        }
        attacker.move_tag("stable", first).await;
        refuses(world, (&other, "app"), "RolledBack", "two").await;
    })
    .await;
}

#[tokio::test]
async fn a_thousand_junk_referrers_do_not_hide_a_good_one_and_at_worst_stop_the_clock() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "junk", async |world| {
        let first = world.push("app:stable", &[&release(world, "one")], &[]);
        world.trust().await;
        follow(world, first).await;
        let of = (world.namespace.as_str(), "app");
        let attacker = Attacker::at(&world.repository("app"));
        let second = world.push("app:stable", &[&release(world, "two")], &[]);
        attacker.litter(second, 1000, None).await;
        world.reconcile(of).await;
        world.delivered(of, second).await;

        // dated into the future they are looked at first, and the answer is no refusal but that there is none
        let third = world.push("app:stable", &[&release(world, "three")], &[]);
        attacker.litter(third, 100, Some("2999-01-01T00:00:00Z")).await;
        let message = refuses(world, of, "TooManySignatures", "two").await;
        assert!(message.contains("64"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn what_a_withdrawn_key_signed_is_refused_at_the_next_look_and_what_runs_is_kept() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "withdrawn", async |world| {
        let next = KeyPair::generate(&world.cli, "next");
        let mut rules = policy(&world.namespace, &[&world.repository("app")], &world.key);
        rules["spec"]["authorities"] = json!([
            {"name": "release", "key": {"pem": world.key.public()}},
            {"name": "next", "key": {"pem": next.public()}},
        ]);
        rules["spec"]["require"] = json!({"anyOf": ["release", "next"]});
        let first = world.push("app:stable", &[&release(world, "one")], &[]);
        world.put_policy(rules.clone()).await;
        follow(world, first).await;
        let of = (world.namespace.as_str(), "app");

        let id = Digest::of(pem::parse(world.key.public()).unwrap().contents());
        rules["spec"]["deny"] = json!({"keys": [id]});
        world.put_policy(rules).await;
        let message = refuses(world, of, "Denied", "one").await;
        assert!(message.contains(&id.to_string()), "{message}");
        world.push("app:stable", &[&release(world, "two")], &[]);
        refuses(world, of, "Denied", "one").await;

        let file = release(world, "three").display().to_string();
        sealift(world, "push", "app:stable", &next, &["-f", &file]);
        world.reconcile(of).await;
        world.delivered(of, Attacker::at(&world.repository("app")).digest("stable").await).await;
        assert_eq!(running(world, of.0).await.as_deref(), Some("three"));
    })
    .await;
}

#[tokio::test]
async fn a_half_approved_release_is_none_until_the_second_person_signs_the_same_statement() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "approval", async |world| {
        let second = KeyPair::generate(&world.cli, "second");
        let mut rules = policy(&world.namespace, &[&world.repository("app")], &world.key);
        rules["spec"]["authorities"] = json!([
            {"name": "build", "key": {"pem": world.key.public()}},
            {"name": "release", "key": {"pem": second.public()}},
        ]);
        rules["spec"]["require"] = json!({"allOf": ["build", "release"]});
        let file = world.put_policy(rules).await.display().to_string();
        let tag = |digest: Digest| {
            let release = format!("oci://{}@{digest}", world.repository("app"));
            world.cli.run(&["tag", &release, "stable", "--policy", &file])
        };
        let first = world.push("app:stable", &[&release(world, "one")], &["--no-tag"]);
        sealift(world, "sign", &format!("app@{first}"), &second, &[]);
        assert_eq!(tag(first).code, 0);
        follow(world, first).await;
        let of = (world.namespace.as_str(), "app");

        // one of the two signed, and whoever holds the registry lets the tag name it
        let two = release(world, "two");
        let half = world.push("app:stable", &[&two], &["--no-tag"]);
        assert_eq!(tag(half).code, 3);
        let attacker = Attacker::at(&world.repository("app"));
        attacker.move_tag("stable", half).await;
        refuses(world, of, "NoTrustedSignature", "one").await;
        // the second one signed another statement about the same artifact: these never add up
        let (_, theirs) = attacker.bundles(half).await.swap_remove(0);
        sealift(world, "push", "app", &second, &["-f", &two.display().to_string(), "--no-tag"]);
        refuses(world, of, "NoTrustedSignature", "one").await;

        let statement = Digest::of(&payload(&theirs)).to_string();
        sealift(world, "sign", &format!("app@{half}"), &second, &["--statement", &statement]);
        assert_eq!(tag(half).code, 0);
        world.reconcile(of).await;
        world.delivered(of, half).await;
        assert_eq!(running(world, of.0).await.as_deref(), Some("two"));
    })
    .await;
}

/// The bytes that a bundle's signature is about.
fn payload(bundle: &Value) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap()
}
