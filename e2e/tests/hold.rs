//! Emergency holds: without a signature a Delivery goes back only to what it has accepted, for a time, and until
//! something newer comes.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::{Api, api::ListParams};
use sealift_apply::api::{AcceptedRelease, Delivery, HoldState, accepted_release_name, condition};
use sealift_e2e::{ControlPlane, World, is_ready, policy, reason};
use sealift_verify::{digest::Digest, memory::Memory};
use serde_json::{Value, json};

fn release(world: &World<'_>, value: &str) -> PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value}});
    world.cli.write(&format!("{value}.json"), map.to_string())
}

async fn running(world: &World<'_>) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt("a").await.unwrap()?.data?.remove("value")
}

async fn memory(world: &World<'_>, of: (&str, &str)) -> Memory {
    let records: Api<AcceptedRelease> = Api::all(world.client.clone());
    records.get(&accepted_release_name(of.0, of.1)).await.unwrap().spec.memory()
}

/// The policy of a world, with what it says of holds and what it denies.
fn trusting(world: &World<'_>, emergency: &str, denied: &[Digest]) -> Value {
    let mut policy = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
    policy["spec"]["release"]["emergency"] = json!(emergency);
    policy["spec"]["deny"] = json!({"digests": denied});
    policy
}

fn state(delivery: &Delivery) -> Option<HoldState> {
    Some(delivery.status.as_ref()?.hold.as_ref()?.state)
}

fn held(delivery: &Delivery) -> String {
    let conditions = delivery.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    condition(conditions, "Held").map(|found| format!("{} {}", found.status, found.reason)).unwrap_or_default()
}

/// Asks for a hold as whoever may edit a Delivery can, past the command line, and waits for what becomes of it.
async fn ask(world: &World<'_>, of: (&str, &str), digest: Digest, seconds: i64, wanted: HoldState) -> Delivery {
    let until = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + seconds).unwrap();
    let hold = json!({"spec": {"hold": {"digest": digest, "until": until, "reason": "by hand"}}}).to_string();
    world.kubectl(&["patch", "delivery", of.1, "-n", of.0, "--type=merge", "-p", &hold]);
    let is_about = |delivery: &Delivery| {
        let status = delivery.status.as_ref();
        let told = status.and_then(|status| status.hold.as_ref());
        told.is_some_and(|told| (told.until, told.state) == (until, wanted))
            && status.and_then(|status| status.observed_generation) == delivery.metadata.generation
    };
    world.wait_for(of, &format!("a hold {wanted:?}"), is_about).await
}

#[tokio::test]
async fn a_delivery_is_held_only_at_what_it_accepted_for_a_time_and_until_something_newer_comes() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "hold", async |world| {
        let of = (world.namespace.as_str(), "app");
        world.put_policy(trusting(world, "forbid", &[])).await;
        let account = world.namespace_account(of.0);
        let log = world.cli.write("audit.jsonl", "");
        world.start_controller_with(&["--audit-log", &log.display().to_string()]).await;
        let push = |value: &str, version| world.push("app:stable", &[&release(world, value)], &["--version", version]);
        let first = push("one", "1.0.0");
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!("1h");
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, first).await;
        let second = push("two", "2.0.0");
        world.reconcile(of).await;
        world.delivered(of, second).await;
        let accepted = memory(world, of).await;

        // No policy allows it by saying nothing.
        let emergency =
            ["rollback", "delivery/app", "-n", of.0, "--emergency", "--for", "4h", "--reason", "INC-7: red"];
        let forbidden = world.cli.run(&emergency);
        assert_eq!(forbidden.code, 3, "{}", forbidden.stderr);
        assert!(forbidden.stderr.contains("release.emergency"), "{}", forbidden.stderr);
        let delivery = world.reconcile(of).await;
        assert_eq!((held(&delivery).as_str(), is_ready(&delivery)), ("False HoldRefused", true), "it goes on");
        assert_eq!(running(world).await.as_deref(), Some("two"));

        // Once it does, what is asked for is done at once.
        world.put_policy(trusting(world, "allow", &[])).await;
        let delivery = world.delivered(of, first).await;
        assert_eq!((held(&delivery).as_str(), reason(&delivery).as_str()), ("True EmergencyHold", "Held"));
        assert_eq!(running(world).await.as_deref(), Some("one"));
        let noted = memory(world, of).await;
        assert_eq!((&noted.marks, noted.holding.is_some()), (&accepted.marks, true), "the mark is not lowered");
        let shown = world.cli.succeed(&["status", "-n", of.0, of.1]);
        assert!(shown.contains("  hold        InForce since") && shown.contains("INC-7: red"), "{shown}");
        let drift = r#"{"data":{"value":"drifted"}}"#;
        world.kubectl(&["patch", "configmap", "a", "-n", of.0, "--type=merge", "-p", drift]);
        let corrected = async || match running(world).await.as_deref() {
            Some("one") => Ok(()),
            other => Err(format!("{other:?}")),
        };
        world.until("what is held to be kept in repair", corrected).await;
        world.kill_controller();
        let port = world.launch_controller(&["--audit-log", &log.display().to_string()]).await;
        let delivery = world.reconcile(of).await;
        assert_eq!((state(&delivery), running(world).await.as_deref()), (Some(HoldState::InForce), Some("one")));
        world.counts(port, "sealift_holds{state=\"in_force\"} 1").await;

        // A higher release ends it, for good.
        let third = push("three", "3.0.0");
        world.reconcile(of).await;
        world.delivered(of, third).await;
        let delivery = world.reconcile(of).await;
        assert_eq!((held(&delivery).as_str(), reason(&delivery).as_str()), ("False HoldEnded", "Applied"));
        world.counts(port, "sealift_holds{state=\"in_force\"} 0").await;
        assert_eq!(running(world).await.as_deref(), Some("three"));

        // What this Delivery never accepted is refused, whoever signed it, and so is what lasts too long.
        let foreign = world.push("other:stable", &[&release(world, "foreign")], &[]);
        let copied = world.push("app:other", &[&release(world, "never")], &[]);
        for digest in [foreign, copied] {
            let delivery = ask(world, of, digest, 3600, HoldState::Refused).await;
            assert!(is_ready(&delivery), "{:?}", delivery.status);
        }
        ask(world, of, second, 8 * 24 * 3600, HoldState::Refused).await;
        assert_eq!(running(world).await.as_deref(), Some("three"));

        // Its time ends it, and nobody needs to ask.
        ask(world, of, second, 3600, HoldState::InForce).await;
        assert_eq!(running(world).await.as_deref(), Some("two"));
        ask(world, of, second, 2, HoldState::Ended).await;
        world.delivered(of, third).await;
        assert_eq!(running(world).await.as_deref(), Some("three"));

        // What is denied is not held any longer, and not anew.
        ask(world, of, second, 1800, HoldState::InForce).await;
        world.put_policy(trusting(world, "allow", &[second])).await;
        world.wait_for(of, "the hold to be refused", |delivery| state(delivery) == Some(HoldState::Refused)).await;
        world.delivered(of, third).await;
        assert_eq!(running(world).await.as_deref(), Some("three"));
        ask(world, of, second, 1700, HoldState::Refused).await;

        // And it is taken back by hand.
        let to_first = [&emergency[..], &["--to", "1.0.0", "-o", "json"]].concat();
        let said: Value = serde_json::from_str(&world.cli.succeed(&to_first)).unwrap();
        assert_eq!((&said["hold"]["digest"], &said["answer"]["state"]), (&json!(first), &json!("InForce")));
        world.cli.succeed(&["rollback", "app", "-n", of.0, "--emergency", "--end"]);
        let delivery = world.delivered(of, third).await;
        assert_eq!((held(&delivery), state(&delivery)), (String::new(), None));

        let told = std::fs::read_to_string(&log).unwrap();
        let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let done = |line: &Value| line["predicate"]["https://sealift.dev/delivery/v1"].clone();
        let of_holds =
            lines.iter().map(done).filter(|done| done["hold"]["state"] == "InForce" && done["judged"] == "applied");
        assert!(of_holds.clone().count() >= 2 && told.contains("INC-7: red"), "{told}");
        let events: Api<Event> = Api::namespaced(world.client.clone(), of.0);
        let events = events.list(&ListParams::default()).await.unwrap().items;
        for wanted in ["EmergencyHold", "HoldEnded", "HoldRefused"] {
            assert!(events.iter().any(|event| event.reason.as_deref() == Some(wanted)), "{wanted}: {events:?}");
        }
    })
    .await;
}
