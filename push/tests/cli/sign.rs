//! Releases by more than one person, and releases that are said again: sign, tag, refresh.

use crate::support::{POD, Run, World};

/// `policies/two-person.yaml` with the keys of a test: both must have signed the very same statement.
const TWO_PERSON: &str = include_str!("../../../policies/two-person.yaml");

impl World {
    /// Two people, each with a key of their own, and a policy that wants both.
    async fn of_two_people() -> Self {
        let world = Self::new().await;
        world.run(&["keygen", "--output-prefix", "second"]).exits(0);
        let mut policy = serde_saphyr::from_str::<serde_json::Value>(TWO_PERSON).unwrap();
        assert_eq!(policy["spec"]["require"]["allOf"], serde_json::json!(["build", "release"]));
        policy["spec"]["match"]["repositories"] = serde_json::json!(["127.0.0.1:*/acme/**"]);
        for (authority, key) in ["cosign.pub", "second.pub"].into_iter().enumerate() {
            policy["spec"]["authorities"][authority]["key"]["pem"] = world.read(key).into();
        }
        world.write("two-person.yaml", &policy.to_string());
        world
    }

    /// Pushes without a tag and gives `@DIGEST` and the statement's digest.
    fn push_untagged(&self, more: &[&str]) -> (String, String) {
        let to = self.oci("");
        let push = ["push", &to, "-f", "manifests", "--key", "cosign.key", "--no-tag", "-o", "json"];
        let pushed = self.run(&[&push[..], more].concat()).exits(0).json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (format!("@{}", text(&pushed["digest"])), text(&pushed["statement"]["digest"]))
    }

    fn sign(&self, rest: &str, key: &str, more: &[&str]) -> Run {
        let what = self.oci(rest);
        self.run(&[&["sign", &what, "--key", key], more].concat())
    }

    fn tag(&self, rest: &str, tag: &str) -> Run {
        let what = self.oci(rest);
        self.run(&["tag", &what, tag, "--policy", "two-person.yaml"])
    }

    fn refresh(&self, rest: &str, more: &[&str]) -> Run {
        let what = self.oci(rest);
        self.run(&[&["refresh", &what, "--key", "cosign.key"], more].concat())
    }

    fn names(&self, tag: &str) -> Option<String> {
        let what = self.oci(&format!(":{tag}"));
        let run = self.run(&["inspect", &what]);
        (run.code == 0)
            .then(|| run.stderr.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_by_two_people_reaches_the_channel_once_both_have_signed_it() {
    let world = World::of_two_people().await;
    let (digest, statement) = world.push_untagged(&["--version", "1.0.0", "--env", "prod"]);
    let alone = world.tag(&digest, "prod").exits(3).silent();
    alone.says(&["needs 2 of [build, release]; signed by [build]", "error: NoTrustedSignature: "]);
    assert_eq!(world.names("prod"), None, "the tag stays where it was: nowhere");

    let signed = world.sign(&digest, "second.key", &["--statement", &statement]).exits(0);
    assert_eq!(signed.stdout.trim(), format!("{}{digest}", world.oci("").trim_start_matches("oci://")));
    let said = world.scrub(&signed.stderr);
    for line in [
        "statement sha256:…\n",
        "signing   stream acme/shop for prod, release 0.NOW, version 1.0.0\n",
        "objects   2: 1 ConfigMap, 1 Pod\n",
        "attached  sha256:…, key …\n",
    ] {
        assert!(said.contains(line), "{line:?} is missing from\n{said}");
    }
    let moved = world.tag(&digest, "prod").exits(0).says(&["verified  stream acme/shop for prod", "which is new"]);
    assert_eq!(moved.stdout, signed.stdout);
    assert_eq!(world.names("prod").as_deref(), digest.strip_prefix('@'));
    world.tag(&digest, "prod").exits(0).says(&["already names this artifact"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_on_different_statements_never_add_up() {
    let world = World::of_two_people().await;
    let (digest, first) = world.push_untagged(&["--sequence", "1"]);
    let to = world.oci("");
    let second = ["push", &to, "-f", "manifests", "--key", "second.key", "--no-tag", "--sequence", "2"];
    world.run(&second).exits(0);
    world.tag(&digest, "prod").exits(3).says(&["error: NoTrustedSignature: "]);

    // which one is meant has to be said
    let several = world.sign(&digest, "second.key", &[]).exits(2).silent();
    several.says(&["carries 2 release statements", "release 0.1\n", "release 0.2\n", &first, "--statement"]);
    world.sign(&digest, "second.key", &["--statement", &first]).exits(0);
    world.tag(&digest, "prod").exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_twice_with_one_key_changes_nothing() {
    let world = World::of_two_people().await;
    let (digest, statement) = world.push_untagged(&[]);
    let referrers = || {
        let what = world.oci(&digest);
        let json = world.run(&["inspect", &what, "-o", "json"]).exits(0).json();
        json["unverified"]["statements"].as_array().unwrap().len()
    };
    world.sign(&digest, "cosign.key", &[]).exits(0).says(&["has signed the statement already"]);
    assert_eq!(referrers(), 1);
    let new = world.sign(&digest, "second.key", &["-o", "json"]).exits(0).json();
    let again = world.sign(&digest, "second.key", &["-o", "json"]).exits(0).json();
    assert_eq!((&new["outcome"], &again["outcome"]), (&"signed".into(), &"already-signed".into()));
    assert_eq!((&new["statement"]["digest"], &new["signature"]), (&statement.into(), &again["signature"]));
    assert_eq!(referrers(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_statement_about_this_very_artifact_is_not_signed() {
    let world = World::of_two_people().await;
    let (digest, statement) = world.push_untagged(&[]);
    let unknown = format!("sha256:{}", "0".repeat(64));
    world.sign(&digest, "second.key", &["--statement", &unknown]).exits(6).silent().says(&["no signature on "]);
    // read as another repository, which the statement does not name
    let elsewhere = ["--as", "registry.example/acme/other"];
    world.sign(&digest, "second.key", &elsewhere).exits(3).silent().says(&["error: WrongRepository: "]);

    // the same statement hung onto another artifact by whoever holds the registry
    world.write("manifests/pod.yaml", &POD.replace("web:1", "evil:1"));
    let (evil, _) = world.push_untagged(&["--sequence", "7"]);
    world.copy_signatures(&digest, &evil).await;
    let copied = world.sign(&evil, "second.key", &["--statement", &statement]).exits(3).silent();
    copied.says(&["error: DigestMismatch: the statement's subject has digest"]);
    // and it is not even a choice: the one about this artifact is the only one
    world.sign(&evil, "second.key", &[]).exits(0).says(&["release 0.7\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_moves_only_forward_and_half_approved_releases_hold_nothing_up() {
    let world = World::of_two_people().await;
    let approved = |sequence: &str, colour: &str| {
        world.write("manifests/pod.yaml", &POD.replace("web:1", colour));
        let (digest, _) = world.push_untagged(&["--sequence", sequence]);
        world.sign(&digest, "second.key", &[]).exits(0);
        digest
    };
    let (first, second) = (approved("1", "web:1"), approved("2", "web:2"));
    world.tag(&second, "prod").exits(0);
    let late = world.tag(&first, "prod").exits(8).says(&["already names newer release 0.2"]);
    assert_eq!(late.stdout.trim(), format!("{}{first}", world.oci("").trim_start_matches("oci://")));
    assert_eq!(world.names("prod").as_deref(), second.strip_prefix('@'));

    // one of two moved the tag with a release that the other never signed
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:9"));
    world.push("prod", &["--sequence", "9"]).exits(0);
    world.tag(&second, "prod").exits(0);
    assert_eq!(world.names("prod").as_deref(), second.strip_prefix('@'));

    for bad in [["prod", "latest"], ["prod", "sha256-00"], ["prod", "seq-3"]] {
        let what = if bad[1] == "latest" { world.oci(&format!(":{}", bad[0])) } else { world.oci(&second) };
        world.run(&["tag", &what, bad[1], "--policy", "two-person.yaml"]).exits(2).silent();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_release_lasts_longer_and_no_tag_moves() {
    let world = World::new().await;
    let version = ["--version", "1.0.0", "--expires-in", "1s", "--var", "COLOUR=blue", "-o", "json"];
    world.write("manifests/settings.yaml", &crate::support::SETTINGS.replace("blue", "${COLOUR}"));
    let pushed = world.push("prod", &version).exits(0).json();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    world.verify(":prod", &[]).exits(3).says(&["error: Expired: "]);
    let tags = || {
        let what = world.oci("");
        world.run(&["inspect", &what, "-o", "json"]).exits(0).stdout
    };
    let before = tags();
    let new = world.refresh(":prod", &["--expires-in", "720h", "-o", "json"]).exits(0).json();
    assert_eq!((&new["digest"], &new["statement"]["version"]), (&pushed["digest"], &"1.0.0".into()));
    assert_eq!(new["statement"]["previous"]["statement"], pushed["statement"]["digest"]);
    assert!(new["statement"]["sequence"].as_u64() > pushed["statement"]["sequence"].as_u64());
    assert_eq!(tags(), before);
    world.verify(":prod", &["--set", "COLOUR=green"]).exits(0);
    // the newest is renewed, not the first
    let newer = world.refresh(":prod", &["--expires-in", "720h", "-o", "json"]).exits(0).json();
    assert_eq!(newer["statement"]["previous"]["statement"], new["statement"]["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_this_key_signed_is_refreshed_and_only_for_one_place() {
    let world = World::of_two_people().await;
    world.push("prod", &[]).exits(0);
    let what = world.oci(":prod");
    let other = ["refresh", &what, "--key", "second.key", "--expires-in", "1h"];
    world.run(&other).exits(6).silent().says(&["no release statement", "is signed by key "]);
    let to = world.oci(":stage");
    world.run(&["push", &to, "-f", "manifests", "--key", "cosign.key", "--env", "stage"]).exits(0);
    let both = world.refresh(":prod", &["--expires-in", "1h"]).exits(2).silent();
    both.says(&["more than one place", "for prod", "for stage", "--env"]);
    let stage = world.refresh(":prod", &["--expires-in", "1h", "--env", "stage", "-o", "json"]).exits(0).json();
    assert_eq!(stage["statement"]["environment"], "stage");
}

/// Who may release does not approve; the approval is signed by those that the policy names, and reaches the verdict.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_approved_once_by_whoever_holds_the_key() {
    let world = World::of_two_people().await;
    let (digest, _) = world.push_untagged(&[]);
    let (what, plan) = (world.oci(&digest), format!("sha256:{}", "7".repeat(64)));
    let approve = |more: &[&str]| {
        let words = ["approve", &what, "--plan", &plan, "--key", "second.key", "--delivery", "shop/web"];
        world.run(&[&words[..], more].concat())
    };
    let approved = approve(&["-o", "json"]).exits(0).json();
    assert_eq!(approved["outcome"], "approved");
    assert_eq!(approved["approval"], serde_json::json!({"plan": plan, "delivery": "shop/web"}));
    let again = approve(&[]).exits(0);
    again.says(&["approving plan sha256:7777", "unchanged this key has approved it already"]);
    // Another end is another statement.
    assert_eq!(approve(&["--expires-at", "2999-01-01T00:00:00Z", "-o", "json"]).exits(0).json()["outcome"], "approved");

    let tagged = world.oci(":prod");
    let wrong = ["approve", &tagged, "--plan", &plan, "--key", "second.key"];
    world.run(&wrong).exits(2).says(&["named by its digest"]);
    approve(&["--expires-at", "2020-01-01T00:00:00Z"]).exits(2).says(&["over already"]);
}
