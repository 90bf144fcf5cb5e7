//! What becomes of a release that runs once trust in it is withdrawn: it is judged again at once, and told.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sealift_apply::api::{Delivery, WouldRefuse, condition};
use sealift_e2e::{Attacker, ControlPlane, KeyPair, World, is_ready, policy};
use sealift_verify::{
    digest::Digest,
    evidence::{CheckId, CheckResult, Evidence, Outcome, record},
};
use serde_json::{Value, json};

/// The field of an audit line that says whose decision it was.
const WHOSE: &str = "https://sealift.dev/delivery/v1";
/// Far longer than any of these tests: nothing here happens because an interval was over.
const INTERVAL: &str = "1h";
/// A changed policy is acted on at once, not at the next interval; generous, since the machine may be busy.
const AT_ONCE: Duration = Duration::from_secs(15);

fn map(world: &World<'_>, value: &str) -> PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value, "token": "${TOKEN}"}});
    world.cli.write(&format!("{value}.json"), map.to_string())
}

async fn value(world: &World<'_>) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt("a").await.unwrap()?.data?.remove("value")
}

fn change_by_hand(world: &World<'_>) {
    let drift = r#"{"data": {"value": "drift"}}"#;
    world.kubectl(&["patch", "configmap", "a", "-n", &world.namespace, "--type=merge", "-p", drift]);
}

fn would_refuse(delivery: &Delivery) -> Option<&WouldRefuse> {
    delivery.status.as_ref()?.would_refuse_now.as_ref()
}

fn ready(delivery: &Delivery) -> String {
    let conditions = delivery.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    condition(conditions, "Ready").map(|found| format!("{} {}", found.status, found.reason)).unwrap_or_default()
}

fn key_id(key: &KeyPair) -> Digest {
    Digest::of(pem::parse(key.public()).unwrap().contents())
}

/// The policy of a world, with what it denies and what it does about it.
fn denying(world: &World<'_>, keys: &[Digest], on_revocation: &str) -> Value {
    let mut policy = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
    policy["spec"]["deny"] = json!({"keys": keys});
    policy["spec"]["release"]["onRevocation"] = json!(on_revocation);
    policy
}

/// Puts a policy and waits until the Delivery says what it is waited for, at once.
async fn changed(world: &World<'_>, policy: Value, of: (&str, &str), what: &str, done: impl Fn(&Delivery) -> bool) {
    let began = Instant::now();
    world.put_policy(policy).await;
    world.wait_for(of, what, done).await;
    assert!(began.elapsed() < AT_ONCE, "{what} took {:?}", began.elapsed());
}

fn denied(delivery: &Delivery) -> bool {
    would_refuse(delivery).is_some_and(|refused| refused.reason == "Denied")
}

/// Every line: the evidence it is, read back as an auditor reads it, and whose decision it was.
fn lines(log: &Path) -> Vec<(Evidence, Value)> {
    let text = fs::read_to_string(log).unwrap();
    assert!(text.ends_with('\n'), "a line is written whole");
    let read = |line: &str| {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let evidence = record::read(&document).unwrap_or_else(|error| panic!("{error}: {line}"));
        (evidence, document["predicate"][WHOSE].clone())
    };
    text.lines().map(read).collect()
}

/// What each line decided about which artifact, with which reason.
fn verdicts(log: &Path) -> Vec<(Digest, Outcome, Option<String>)> {
    let verdict = |(evidence, _): (Evidence, Value)| {
        (evidence.artifact, evidence.outcome, evidence.reason.map(|reason| reason.to_string()))
    };
    lines(log).into_iter().map(verdict).collect()
}

#[tokio::test]
async fn a_key_denied_later_is_told_at_once_and_what_runs_is_kept_in_repair() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "revoked-keep", async |world| {
        let log = world.cli.home().join("audit.jsonl");
        let digest = world.push("app:stable", &[&map(world, "signed")], &["--var", "TOKEN"]);
        let trusting = denying(world, &[], "keep");
        world.put_policy(trusting.clone()).await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller_with(&["--audit-log", &log.display().to_string()]).await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!(INTERVAL);
        world.kubectl(&["create", "secret", "generic", "token", "-n", of.0, "--from-literal=token=hunter2"]);
        let secret = json!({"secretKeyRef": {"name": "token", "key": "token"}});
        spec["parameters"] = json!([{"name": "TOKEN", "valueFrom": secret}]);
        let uid = world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;
        assert_eq!(verdicts(&log), [(digest, Outcome::Accepted, None)]);
        let (_, done) = lines(&log).remove(0);
        assert_eq!((&done["namespace"], &done["name"], &done["uid"]), (&json!(of.0), &json!(of.1), &json!(uid)));
        assert_eq!((&done["changes"]["created"], &done["applied"]["digest"]), (&json!(1), &json!(digest)));
        world.reconcile(of).await;
        assert_eq!(lines(&log).len(), 1, "an interval in which nothing was decided anew writes nothing");

        let keys = [key_id(&world.key)];
        changed(world, denying(world, &keys, "keep"), of, "refused after the fact", denied).await;
        let told = world.deliveries(of.0).get(of.1).await.unwrap();
        assert_eq!(ready(&told), "False Denied");
        let since = would_refuse(&told).unwrap().since;
        assert_eq!(told.status.as_ref().unwrap().last_applied.as_ref().unwrap().digest, digest);
        assert_eq!(value(world).await.as_deref(), Some("signed"), "nothing is torn down");
        change_by_hand(world);
        let again = world.reconcile(of).await;
        assert_eq!(value(world).await.as_deref(), Some("signed"), "what runs is put right as it was accepted");
        assert_eq!(would_refuse(&again).unwrap().since, since, "since when, not when it was last looked at");
        world.kubectl(&["delete", "configmap", "a", "-n", of.0]);
        world.reconcile(of).await;
        assert_eq!(value(world).await.as_deref(), Some("signed"));

        // neither anything new of the key, nor other objects under cover of repair
        let second = world.push("app:stable", &[&map(world, "newer")], &["--var", "TOKEN"]);
        let newer = world.reconcile(of).await;
        assert_eq!(newer.status.unwrap().last_attempted.unwrap().digest, second);
        assert_eq!(value(world).await.as_deref(), Some("signed"));
        let selected = (second, Outcome::Refused, Some("Denied".to_owned()));
        assert!(verdicts(&log).contains(&selected), "{:?}", verdicts(&log));
        Attacker::at(&world.repository("app")).move_tag("stable", digest).await;
        // a changed policy judges what the tag was last known to point at, and does not ask for that anew
        world.reconcile(of).await;

        changed(world, trusting, of, "accepted again", |delivery| {
            is_ready(delivery) && would_refuse(delivery).is_none()
        })
        .await;
        for reason in ["Applied", "Denied", "WouldRefuseNow", "AcceptedAgain"] {
            world.event(reason).await;
        }
        let lines = lines(&log);
        let (refusal, done) = lines.iter().find(|(evidence, _)| evidence.outcome == Outcome::Refused).unwrap();
        assert_eq!((refusal.artifact, refusal.check(CheckId::Signature).result), (digest, CheckResult::Fail));
        assert_eq!((&done["wouldRefuseNow"]["reason"], &done["applied"]["digest"]), (&json!("Denied"), &json!(digest)));
        let (last, _) = lines.last().unwrap();
        assert_eq!((last.artifact, last.outcome), (digest, Outcome::Accepted));

        // once more after each start, and appended to what stands there
        let before = lines.len();
        world.kill_controller();
        world.start_controller_with(&["--audit-log", &log.display().to_string()]).await;
        world.reconcile(of).await;
        let after = verdicts(&log);
        assert_eq!(after[before..], [(digest, Outcome::Accepted, None)]);
        let shown = world.cli.run(&["audit", &log.display().to_string()]);
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        assert!(shown.stdout.contains("REFUSED") && shown.stdout.contains("ACCEPTED"), "{}", shown.stdout);
        assert!(!fs::read_to_string(&log).unwrap().contains("hunter2"), "a secret value is in the audit log");
    })
    .await;
}

#[tokio::test]
async fn where_a_policy_says_so_a_revoked_release_is_left_as_it_is_until_it_or_another_is_accepted() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "revoked-suspend", async |world| {
        let digest = world.push("app:stable", &[&map(world, "signed")], &[]);
        world.put_policy(denying(world, &[], "keep")).await;
        let account = world.namespace_account(&world.namespace);
        let port = world.launch_controller(&[]).await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!(INTERVAL);
        let uid = world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;
        let owned = world.owned_names(&uid).await;

        // a second policy that matches too: any that suspends is enough, though the first one keeps and denies
        let mut second = denying(world, &[], "suspend");
        let name = format!("{}-second", of.0);
        second["metadata"]["name"] = json!(name);
        world.put_policy(second).await;
        let keys = [key_id(&world.key)];
        let revoked = |delivery: &Delivery| denied(delivery) && ready(delivery) == "False Revoked";
        changed(world, denying(world, &keys, "keep"), of, "suspended", revoked).await;
        let message = world.refused(of, "Revoked").await;
        assert!(message.contains(&name) && message.contains("hint:"), "{message}");
        world.counts(port, "sealift_would_refuse{reason=\"Denied\"} 1").await;
        change_by_hand(world);
        assert!(revoked(&world.reconcile(of).await));
        assert_eq!(value(world).await.as_deref(), Some("drift"), "nothing is repaired");
        assert_eq!(world.owned_names(&uid).await, owned, "and nothing deleted");
        world.push("app:stable", &[&map(world, "newer")], &[]);
        assert!(revoked(&world.reconcile(of).await), "nothing new of a key that is denied");
        assert_eq!(value(world).await.as_deref(), Some("drift"));
        let attacker = Attacker::at(&world.repository("app"));
        attacker.move_tag("stable", digest).await;
        assert!(revoked(&world.reconcile(of).await), "nor the old one before it is accepted again");

        // who holds the registry deletes what was revoked, so that nobody finds it denied any more
        let hidden = attacker.hide_referrers(digest).await;
        for _ in 0..2 {
            let delivery = world.reconcile(of).await;
            assert_eq!(ready(&delivery), "False Revoked", "{delivery:?}");
            assert_eq!(value(world).await.as_deref(), Some("drift"), "still as it is");
        }
        attacker.put_back(&hidden).await;
        assert!(revoked(&world.reconcile(of).await));

        // a policy that cannot be read withdraws no trust; it does stop everything
        let mut broken = denying(world, &[], "suspend");
        broken["spec"]["release"]["maxAgee"] = json!("1h");
        let invalid = |delivery: &Delivery| {
            ready(delivery) == "False PolicyInvalid"
                && would_refuse(delivery).is_some_and(|refused| refused.reason == "PolicyInvalid")
        };
        changed(world, broken, of, "not to be judged", invalid).await;

        let accepted = |delivery: &Delivery| is_ready(delivery) && would_refuse(delivery).is_none();
        changed(world, denying(world, &[], "keep"), of, "normal again", accepted).await;
        assert_eq!(value(world).await.as_deref(), Some("signed"), "and repaired");

        // a key that is no longer trusted is the same to what it signed; a release by the new one is the way out
        let next = KeyPair::generate(&world.cli, "next");
        let mut rotated = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &next);
        rotated["spec"]["release"]["onRevocation"] = json!("suspend");
        world.kubectl(&["delete", "signaturepolicy", &name]);
        let untrusted = |delivery: &Delivery| {
            ready(delivery) == "False Revoked"
                && would_refuse(delivery).is_some_and(|refused| refused.reason == "NoTrustedSignature")
        };
        changed(world, rotated, of, "untrusted", untrusted).await;
        let reference = format!("oci://{}", world.repository("app:stable"));
        let key = next.private().display().to_string();
        let file = map(world, "rotated").display().to_string();
        let pushed = world.cli.run(&["push", &reference, "--key", &key, "-f", &file]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        world.reconcile(of).await;
        let delivered = world.delivered(of, pushed.digest()).await;
        assert_eq!((value(world).await.as_deref(), would_refuse(&delivered)), (Some("rotated"), None));
    })
    .await;
}
