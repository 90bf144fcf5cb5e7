//! Attestations: what a policy and the real cosign make of what `sealift attest` signs.

use sealift_e2e::Tool;
use sealift_registry::server::ServerOptions;

use crate::support::{Run, World, policy};

const PROVENANCE: &str = r#"{"buildDefinition": {"buildType": "https://ci.example/job/v1"}, "runDetails": {"builder": {"id": "https://ci.example/builder"}}}"#;
const SCAN: &str = "https://example.com/scan/v1";

impl World {
    fn attest(&self, kind: &str, predicate: &str, more: &[&str]) -> Run {
        let what = self.oci(":prod");
        let words = ["attest", &what, "--type", kind, "--predicate", predicate];
        self.run(&[&words[..], if more.contains(&"--key") { &[] } else { &["--key", "cosign.key"] }, more].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_takes_what_was_attested_by_whom_it_names() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let demand = format!(
        "  require: {{allOf: [ci]}}\n  attestations:\n  - name: scan\n    predicateType: {SCAN}\n    require: {{allOf: [ci]}}\n    \
         expressions: [predicate.passed]\n"
    );
    world.write("policy.yaml", &policy("shop", &world.read("cosign.pub"), &demand));
    world.verify(":prod", &[]).exits(3).says(&["error: "]);
    world.run(&["keygen", "--output-prefix", "other"]).exits(0);
    world.write("good.json", r#"{"passed": true}"#);
    world.write("bad.json", r#"{"passed": false}"#);
    world.attest(SCAN, "good.json", &["--key", "other.key"]).exits(0);
    world.attest(SCAN, "bad.json", &[]).exits(0);
    world.verify(":prod", &[]).exits(3);

    let done = world.attest(SCAN, "good.json", &["-o", "json"]).exits(0).json();
    assert_eq!((&done["schema"], &done["outcome"]), (&"sealift.dev/attest/v1".into(), &"attested".into()));
    assert_eq!(done["predicateType"], SCAN);
    world.verify(":prod", &[]).exits(0);
    let again = world.attest(SCAN, "good.json", &["-o", "json"]).exits(0).json();
    assert_eq!((&again["outcome"], &again["statement"]), (&"already-attested".into(), &done["statement"]));
    assert_eq!(again["signature"]["referrer"], done["signature"]["referrer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_it_signs_and_reads_from_a_pipe() {
    let world = World::new().await;
    let pushed = world.push("prod", &[]).exits(0).stdout;
    let what = world.oci(":prod");
    let words = ["attest", &what, "--type", "slsaprovenance1", "--predicate", "-", "--key", "cosign.key"];
    let run = world.run_with(&words, PROVENANCE).exits(0);
    assert_eq!(run.stdout, pushed);
    assert_eq!(
        world.scrub(&run.stderr),
        "REGISTRY/acme/shop:prod is sha256:… now\nartifact  REGISTRY/acme/shop@sha256:…\n\
         attesting https://slsa.dev/provenance/v1\nattached  sha256:…, key …\n"
    );
    // It is no release, and hides none.
    world.verify(":prod", &[]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_release_is_attested_and_nothing_that_nobody_could_read() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    world.write("p.json", "{}");
    for (kind, said) in [
        ("https://sealift.dev/release/v1", "a release is signed by `sealift push`"),
        ("https://sealift.dev/approval/v1", "approved by `sealift approve`"),
        ("https://sigstore.dev/cosign/sign/v1", "a bare signature"),
        ("https://sealift.dev/other/v1", "Sealift's own"),
        ("custom", "neither a URI nor one of slsaprovenance"),
    ] {
        world.attest(kind, "p.json", &[]).exits(2).silent().says(&[said]);
    }
    world.attest(SCAN, "none.json", &[]).exits(6).silent();
    world.write("list.json", "[]");
    world.attest(SCAN, "list.json", &[]).exits(5).silent().says(&["holds no JSON object"]);
    world.write("large.json", &serde_json::json!({"a": "x".repeat(800 << 10)}).to_string());
    world.attest(SCAN, "large.json", &[]).exits(5).silent().says(&["the predicate is too large"]);
    let missing = world.oci(":none");
    let words = ["attest", &missing, "--type", SCAN, "--predicate", "p.json", "--key", "cosign.key"];
    world.run(&words).exits(6).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_what_was_attested() {
    let Some(cosign) = Tool::find("cosign") else { return };
    for referrers_api in [true, false] {
        let world = World::with(ServerOptions { referrers_api, ..Default::default() }).await;
        let reference = world.push("prod", &[]).exits(0).stdout;
        world.write("provenance.json", PROVENANCE);
        world.write("scan.json", r#"{"passed": true, "count": 3}"#);
        world.attest("slsaprovenance1", "provenance.json", &[]).exits(0);
        world.attest(SCAN, "scan.json", &[]).exits(0);
        let verify = |kind: &str, key: &str| {
            let arguments = [
                "verify-attestation",
                "--key",
                key,
                "--type",
                kind,
                "--private-infrastructure",
                "--allow-http-registry",
            ];
            crate::cosign::run(&cosign, &world, &[&arguments[..], &[reference.trim()]].concat())
        };
        for kind in ["slsaprovenance1", SCAN] {
            let good = verify(kind, "cosign.pub");
            assert!(good.status.success(), "{kind}: {}", String::from_utf8_lossy(&good.stderr));
        }
        let other = verify("https://example.com/other/v1", "cosign.pub");
        assert!(!other.status.success());
        world.run(&["keygen", "--output-prefix", "other"]).exits(0);
        assert!(!verify("slsaprovenance1", "other.pub").status.success());
    }
}
