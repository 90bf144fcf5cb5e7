//! Exit codes are a contract: each is reached, and each kind of failure by its own.

use std::collections::BTreeSet;

use sealift_registry::server::{Credentials, ServerOptions};

use crate::support::{World, policy};

/// The codes that the reference lists.
fn listed(reference: &str) -> BTreeSet<i32> {
    let table = reference.split("## Exit codes").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_code_is_reached() {
    let world = World::new().await;
    world.run(&["keygen", "--output-prefix", "other"]).exits(0);
    world.write("other.yaml", &policy("other", &world.read("other.pub"), "  require: {allOf: [ci]}\n"));
    world.write("broken/pod.yaml", "kind: [\n");
    world.write("file", "");
    world.push("prod", &["--sequence", "10"]).exits(0);
    let prod = world.oci(":prod");
    // Nobody listens on port 1 of loopback, and the policy speaks for any port.
    let nowhere = "oci://127.0.0.1:1/acme/shop:prod";
    let key = ["--key", "cosign.key", "--env", "prod"];
    let verify = |what: &str, policy: &str| ["verify", what, "--policy", policy].map(str::to_owned).to_vec();
    let push = |what: &str, more: &[&str]| {
        [&["push", what][..], more, &key[..]].concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let mut cases = vec![
        (0, verify(&prod, "policy.yaml")),
        (1, ["man", "--dir", "file"].map(str::to_owned).to_vec()),
        (2, push(&world.oci(""), &["-f", "manifests"])),
        (3, verify(&prod, "other.yaml")),
        (4, verify(nowhere, "policy.yaml")),
        (5, push(&prod, &["-f", "broken"])),
        (6, verify(&world.oci(":staging"), "policy.yaml")),
        (6, push(&prod, &["-f", "nothing-there"])),
        (8, push(&prod, &["-f", "manifests/pod.yaml", "--sequence", "9"])),
        (9, [verify(&prod, "policy.yaml"), vec!["--require-complete".to_owned()]].concat()),
    ];
    let lock = format!("{}/acme/web:1", world.registry.addr);
    world.write("pinned/pod.yaml", &crate::support::POD.replace("registry.example/web:1", &lock));
    let to = world.oci(":1").replace("/acme/shop", "/acme/web");
    world.run(&["push", &to, "-f", "manifests", "--key", "cosign.key"]).exits(0);
    cases.push((10, ["pin", "-f", "pinned", "--check"].map(str::to_owned).to_vec()));
    let mut reached = BTreeSet::new();
    for (code, words) in &cases {
        world.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).exits(*code);
        reached.insert(*code);
    }
    let credentials = Credentials { user: "me".into(), password: "right".to_owned().into() };
    let locked = World::with(ServerOptions { credentials: Some(credentials), ..ServerOptions::default() }).await;
    locked.push("prod", &[]).exits(7);
    reached.insert(7);
    assert_eq!(reached, listed(&world.run(&["man", "--markdown"]).exits(0).stdout));
}
