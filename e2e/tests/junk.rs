//! Junk that calls itself a signature, in real registries: it costs little, hides no good signature that is among the
//! newest, and at worst leaves the question open. It never makes a good release a refused one.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::time::Duration;

use sealift_e2e::{Attacker, Cli, KeyPair, Measured, Registry, binary, fallback_tag, interop, policy};
use sealift_verify::digest::Digest;
use serde_json::Value;

/// Where the releases are for, wherever the bytes lie.
const PLACE: &str = "registry.example/acme/shop";
/// Bytes that a verification may take. It takes 25 MiB without junk.
const MEMORY: u64 = 128 << 20;
/// Far more than it takes on a busy machine, far less than reading everything would.
const TIME: Duration = Duration::from_secs(60);

struct Ground {
    cli: Cli,
    key: KeyPair,
}

impl Ground {
    fn new() -> Self {
        let cli = Cli::new();
        let key = KeyPair::generate(&cli, "release");
        cli.write("policy.yaml", policy("p", &["registry.example/**"], &key).to_string());
        cli.write("map.yaml", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop"}}"#);
        Self { cli, key }
    }

    fn push(&self, registry: &Registry) -> Digest {
        let (to, key) = (format!("oci://{}/acme/shop:prod", registry.host()), self.key.private().display().to_string());
        let output = self.cli.run(&["push", &to, "-f", "map.yaml", "--key", &key, "--repository", PLACE]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.digest()
    }

    /// The exit code, and the reason if there was anything to judge, within what a verification may take.
    fn verify(&self, registry: &Registry, release: Digest) -> (i32, Option<String>) {
        let pinned = format!("oci://{}/acme/shop@{release}", registry.host());
        let mut command = self.cli.program(binary("sealift"));
        command.args(["verify", &pinned, "--as", PLACE, "--policy", "policy.yaml", "-o", "json"]);
        let Measured { output, memory, time } = Measured::run(&mut command).unwrap();
        assert!(memory > 0 && memory < MEMORY, "{memory} bytes");
        assert!(time < TIME, "{time:?}");
        let record: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let reason = record["predicate"]["https://sealift.dev/evidence/v1"]["reason"].as_str().map(str::to_owned);
        (output.code, reason)
    }
}

fn at(registry: &Registry) -> Attacker {
    Attacker::at(&format!("{}/acme/shop", registry.host()))
}

fn open() -> (i32, Option<String>) {
    (4, Some("TooManySignatures".to_owned()))
}

#[tokio::test]
async fn a_thousand_junk_referrers_hide_no_good_signature_with_or_without_the_referrers_api() {
    let (Some(with), Some(without)) = (Registry::crane(), Registry::distribution()) else { return };
    let ground = Ground::new();
    for registry in [with, without] {
        let release = ground.push(&registry);
        at(&registry).litter(release, 1000, None).await;
        assert_eq!(ground.verify(&registry, release), (0, None));
        // dated into the future they are looked at first
        at(&registry).litter(release, 100, Some("2999-01-01T00:00:00Z")).await;
        assert_eq!(ground.verify(&registry, release), open());
    }
}

#[tokio::test]
async fn a_hundred_thousand_junk_referrers_in_pages_leave_the_question_open() {
    if !interop() {
        return;
    }
    let (ground, mut registry) = (Ground::new(), Registry::embedded());
    let release = ground.push(&registry);
    let good = at(&registry).listed(release).await[0];
    let junk = at(&registry).junk(release, 100_000, None).await;
    registry.seed_manifests("acme/shop", &junk);
    // pages are in order of digests, a thousand each, and reading stops with the second
    let before = junk.iter().filter(|bytes| Digest::of(bytes) < good).count();
    let wanted = if before < 2000 { (0, None) } else { open() };
    assert_eq!(ground.verify(&registry, release), wanted, "{before} are listed before the good one");
}

#[tokio::test]
async fn a_hundred_thousand_junk_referrers_under_the_fallback_tag_leave_the_question_open() {
    if !interop() {
        return;
    }
    let Some(registry) = Registry::distribution() else { return };
    let ground = Ground::new();
    let release = ground.push(&registry);
    let attacker = at(&registry);
    let junk = attacker.junk(release, 100_000, None).await;
    let most = attacker.fallback_index(release, &junk).await;
    // what the registry itself takes from a client is less
    assert!(attacker.offer_manifest(&fallback_tag(release), &most).await.is_client_error());
    // as many as fit: the good one is the newest of them
    let fitting = junk.len() * (4 << 20) / most.len() - 10;
    let index = attacker.fallback_index(release, &junk[..fitting]).await;
    assert!(index.len() < 4 << 20 && fitting > 10_000, "{fitting}");
    registry.seed_tag("acme/shop", &fallback_tag(release), &index);
    assert_eq!(ground.verify(&registry, release), (0, None));
    // and where somebody who holds its disk lists them all, the registry itself does not get through
    registry.seed_tag("acme/shop", &fallback_tag(release), &most);
    assert_eq!(ground.verify(&registry, release), (4, None));
}
