//! `sealift wait`: a pipeline learns what becomes of a release in a cluster.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::path::PathBuf;

use sealift_e2e::{ControlPlane, KeyPair, World};
use serde_json::{Value, json};

fn write(world: &World<'_>, file: &str, object: &Value) -> PathBuf {
    world.cli.write(&format!("{file}.json"), object.to_string())
}

fn map(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value}})
}

/// Runs `sealift wait` for so long at most: the exit code, the document and what was said.
fn wait(world: &World<'_>, words: &[&str], timeout: &str) -> (i32, Value, String) {
    let run = world.cli.run(&[&["wait", "-o", "json", "--timeout", timeout], words].concat());
    let document = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr));
    (run.code, document, run.stderr)
}

#[tokio::test]
async fn a_pipeline_waits_until_a_release_is_there_and_no_longer_than_it_can_come() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "wait", async |world| {
        let of = (world.namespace.as_str(), "app");
        world.trust().await;
        let account = world.namespace_account(of.0);
        let key = world.key.private().display().to_string();
        let push = |file: &str, object: &Value| world.push("app:stable", &[&write(world, file, object)], &["--version", &format!("{file}.0.0")]);
        let stable = format!("oci://{}", world.repository("app:stable"));
        let pinned = |digest| format!("oci://{}@{digest}", world.repository("app"));
        let first = push("1", &map("one"));
        // Whoever follows it may not be there yet, but a pipeline that waits for nobody has a mistake in it.
        let (code, said, stderr) = wait(world, &[&stable, "-n", of.0], "60s");
        assert_eq!((code, &said["outcome"]), (6, &json!("nobody")), "{stderr}");
        world.start_controller().await;
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!("1h");
        world.deliver(of.0, of.1, spec).await;
        let (code, said, stderr) = wait(world, &[&stable, "-n", of.0], "120s");
        assert_eq!((code, &said["outcome"], &said["digest"]), (0, &json!("there"), &json!(first)), "{stderr}");
        assert_eq!(said["deliveries"][0]["applied"]["version"], "1.0.0");

        // It was not seen within the time, and is once somebody asks for a look.
        let second = push("2", &map("two"));
        let (code, said, stderr) = wait(world, &[&stable], "3s");
        assert_eq!((code, &said["outcome"]), (4, &json!("timeout")), "{stderr}");
        assert_eq!(said["deliveries"][0]["reason"], "NotSeen", "{said}");
        let (code, said, stderr) = wait(world, &[&pinned(second), "--reconcile", "-n", of.0], "120s");
        assert_eq!((code, &said["outcome"]), (0, &json!("there")), "{stderr}");
        let (code, _, stderr) = wait(world, &[&pinned(first), "-n", of.0], "120s");
        assert_eq!(code, 8, "it has gone on: {stderr}");

        // What was passed over before anybody waited, which the cluster has never seen, is told from what is still to come.
        let passed = push("21", &map("passed over"));
        let later = push("22", &map("later"));
        let (code, said, stderr) = wait(world, &[&stable, "--reconcile", "-n", of.0], "120s");
        assert_eq!((code, &said["digest"]), (0, &json!(later)), "{stderr}");
        let (code, said, stderr) = wait(world, &[&pinned(passed), "-n", of.0], "120s");
        assert_eq!((code, &said["outcome"]), (8, &json!("superseded")), "{stderr}");
        // The statement of a rollback is the later one, though its artifact has run before.
        let back = world.cli.run(&["rollback", "app", "-n", of.0, "--to", "2.0.0", "--key", &key]);
        assert_eq!(back.code, 0, "{}", back.stderr);
        let (code, said, stderr) = wait(world, &[&pinned(second), "-n", of.0], "3s");
        assert_eq!((code, &said["outcome"]), (4, &json!("timeout")), "{stderr}");
        let (code, said, stderr) = wait(world, &[&pinned(second), "--reconcile", "-n", of.0], "120s");
        assert_eq!((code, &said["outcome"]), (0, &json!("there")), "{stderr}");

        // What nobody trusts is refused, and what cannot be applied is not waited for.
        let other = KeyPair::generate(&world.cli, "other");
        let file = write(world, "foreign", &map("foreign")).display().to_string();
        let foreign = other.private().display().to_string();
        let pushed = world.cli.run(&["push", &stable, "-f", &file, "--key", &foreign, "--skip-validation", "all"]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        let (code, said, stderr) = wait(world, &[&stable, "--reconcile", "-n", of.0], "120s");
        assert_eq!((code, &said["outcome"]), (3, &json!("refused")), "{stderr}");
        assert_eq!(said["deliveries"][0]["reason"], "NoTrustedSignature", "{said}");
        let bad = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 70000}]}});
        let file = write(world, "bad", &bad).display().to_string();
        let pushed = world.cli.run(&["push", &stable, "-f", &file, "--key", &key, "--skip-validation", "all"]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        let (code, said, stderr) = wait(world, &[&stable, "--reconcile", "-n", of.0], "120s");
        assert_eq!((code, &said["outcome"]), (1, &json!("stalled")), "{stderr}");
        assert!(stderr.contains("70000"), "{stderr}");

        // A Delivery by its name: whatever it selects.
        let third = push("3", &map("three"));
        let (code, said, stderr) = wait(world, &["delivery/app", "-n", of.0, "--reconcile"], "120s");
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(said["deliveries"][0]["applied"]["digest"], json!(third));
        let (code, said, _) = wait(world, &[&format!("{}/nobody", of.0)], "60s");
        assert_eq!((code, &said["outcome"]), (6, &json!("nobody")));
        world.kubectl(&["patch", "delivery", of.1, "-n", of.0, "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]);
        let (code, said, _) = wait(world, &[&format!("{}/{}", of.0, of.1)], "60s");
        assert_eq!((code, &said["outcome"]), (1, &json!("suspended")));
    })
    .await;
}
