//! `sealift bootstrap` on an API server that knows nothing of Sealift: what is refused before anything is written, what one
//! artifact makes of it, and that the controller takes over without changing anything. Then a cluster is lost and built
//! anew, without its registry.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use kube::Api;
use sealift_apply::api::{Delivery, condition};
use sealift_e2e::{Attacker, AuditMark, ControlPlane, KeyPair, Output, Platform, Process, Request, binary, is_ready};
use sealift_verify::digest::Digest;

const NAMESPACE: &str = "sealift-system";
const POLICY: &str = "policy.yaml";
const PATIENCE: Duration = Duration::from_secs(180);

struct Site<'a> {
    control_plane: &'a ControlPlane,
    platform: &'a Platform,
}

impl<'a> Site<'a> {
    fn of(control_plane: &'a ControlPlane, platform: &'a Platform) -> Self {
        platform.aim(control_plane);
        Self { control_plane, platform }
    }

    fn bootstrap(&self, reference: &str, policy: &str, more: &[&str]) -> Output {
        self.platform.cli.run(&[&["bootstrap", reference, "--policy", policy], more].concat())
    }

    /// By tag in the registry.
    fn by_tag(&self, tag: &str, policy: &str, more: &[&str]) -> Output {
        self.bootstrap(&format!("oci://{}:{tag}", self.platform.repository()), policy, more)
    }

    fn kubectl(&self, words: &[&str]) -> String {
        self.control_plane.kubectl(words).unwrap_or_else(|error| panic!("{error}"))
    }

    fn assert_untouched(&self) {
        let left = self.kubectl(&["get", "crd,namespace,clusterrole,clusterrolebinding", "-o", "name"]);
        assert!(!left.contains("sealift"), "{left}");
    }

    fn audit(&self) -> AuditMark {
        self.control_plane.audit().mark()
    }

    /// What was written since as the root Delivery's account.
    fn written_as_root(&self, mark: AuditMark) -> Vec<Request> {
        let account = format!("system:serviceaccount:{NAMESPACE}:sealift-root");
        let all = self.control_plane.audit().since(mark);
        let written = all.into_iter().filter(|request| request.is_write() && !request.is_dry_run());
        written.filter(|request| request.impersonated.as_deref() == Some(&*account)).collect()
    }

    /// The root Delivery, once it is ready with this artifact.
    async fn ready(&self, digest: Digest) -> Delivery {
        let api: Api<Delivery> = Api::namespaced(self.control_plane.client().await, NAMESPACE);
        let began = Instant::now();
        loop {
            let found = api.get_opt("sealift").await;
            if let Ok(Some(delivery)) = &found {
                let last = delivery.status.as_ref().and_then(|status| status.last_applied.as_ref());
                if is_ready(delivery) && last.is_some_and(|last| last.digest == digest) {
                    return delivery.clone();
                }
            }
            assert!(began.elapsed() < PATIENCE, "{found:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the inventory names, as lines.
    fn owned(&self) -> usize {
        let rows =
            self.kubectl(&["get", "inventories", "-o", "jsonpath={range .items[*].spec.rows[*]}{.kind}{\"\\n\"}{end}"]);
        rows.lines().count()
    }
}

fn assert_says(what: &str, output: &Output, code: i32, says: &str) {
    assert!(
        output.code == code && output.stderr.contains(says),
        "{what}: {} {}{}",
        output.code,
        output.stdout,
        output.stderr
    );
    assert!(code == 0 || output.stdout.is_empty(), "{what}: {}", output.stdout);
}

/// Pushes what lies in `folder`, and the policies beside it, under a tag of its own.
fn push(platform: &Platform, tag: &str, folder: &str, policies: &str, more: &[&str]) -> Digest {
    let to = format!("oci://{}:{tag}", platform.repository());
    let key = platform.key.private().display().to_string();
    let words = ["push", &to, "-f", folder, "-f", policies, "--key", &key, "--env", "prod"];
    let output = platform.cli.run(&[&words, more].concat());
    assert_eq!(output.code, 0, "{tag}: {}", output.stderr);
    output.digest()
}

/// A memory of trust with a mark that nothing here reaches.
fn far_ahead() -> String {
    let digest = Digest::of(b"far ahead");
    format!(
        "{{stream: platform/sealift, environment: prod, position: {{epoch: 7, sequence: 1}}, statement: '{digest}', artifact: '{digest}', firstSeen: 2026-01-01T00:00:00Z}}"
    )
}

/// Everything that may be wrong with an artifact, a policy or a memory: each is refused with its reason, and nothing is
/// written.
async fn what_is_wrong_is_refused(site: &Site<'_>, next: &KeyPair) {
    let platform = site.platform;
    let own = &platform.key;
    let same = |_: &mut serde_json::Value| {};
    platform.manifests("whole", str::to_owned);
    platform.policy("platform/policy.yaml", &[own], same);
    platform.policy("strange/policy.yaml", &[&KeyPair::generate(&platform.cli, "stranger")], same);
    platform.policy("later.yaml", &[own], |policy| {
        policy["spec"]["release"]["minimum"] = serde_json::json!({"epoch": 1, "sequence": 0});
    });
    platform.policy("refuse.yaml", &[own], |policy| {
        policy["spec"]["release"].as_object_mut().unwrap().remove("onFirstContact");
    });
    platform.policy("approval.yaml", &[own], |policy| {
        policy["spec"]["release"]["approval"] = serde_json::json!({"require": policy["spec"]["require"]});
    });
    platform
        .policy("elsewhere.yaml", &[own], |policy| policy["spec"]["match"]["namespaces"] = serde_json::json!(["a"]));
    platform.cli.write("memory.yaml", format!("marks: [{}]", far_ahead()));

    push(platform, "good", "whole", "platform", &[]);
    push(platform, "unsigned", "whole", "platform", &[]);
    Attacker::at(&platform.repository()).unsigned_twin("unsigned").await;
    platform.manifests("rootless", |text| {
        if text.contains("kind: Delivery\nmetadata") { String::new() } else { text.to_owned() }
    });
    push(platform, "rootless", "rootless", "platform", &[]);
    platform.manifests("other", |text| {
        text.replace(&format!("repository: {}", platform.repository()), "repository: registry.example/other")
    });
    push(platform, "other", "other", "platform", &[]);
    // Rotated since: what is signed by the old key brings a policy that trusts the new one alone, or no policy at all.
    platform.policy("rotated/policy.yaml", &[next], same);
    push(platform, "rotated", "whole", "rotated", &[]);
    platform.cli.write(
        "none/map.yaml",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "sealift-system"}}"#,
    );
    push(platform, "naked", "whole", "none", &[]);
    push(platform, "expired", "whole", "platform", &["--expires-in", "1s", "--annotation", "case=expired"]);
    platform.policy(POLICY, &[own], same);
    sleep(Duration::from_secs(2));

    for (what, tag, policy, more, code, says) in [
        ("unsigned", "unsigned", POLICY, &[][..], 3, "error: Unsigned:"),
        ("a key that is not trusted", "good", "strange/policy.yaml", &[], 3, "error: NoTrustedSignature:"),
        ("a policy for other namespaces", "good", "elsewhere.yaml", &[], 3, "error: NoPolicy:"),
        ("expired, and the policy refuses", "expired", "refuse.yaml", &[], 3, "error: Expired:"),
        ("older than the policy's minimum", "good", "later.yaml", &[], 3, "error: BelowMinimum:"),
        ("older than a memory", "good", POLICY, &["--memory", "memory.yaml"], 3, "error: RolledBack:"),
        ("no root Delivery", "rootless", POLICY, &[], 5, "the release does not hold Delivery sealift-system/sealift"),
        (
            "another root Delivery",
            "good",
            POLICY,
            &["--delivery", "sealift-system/other"],
            5,
            "hint: it holds sealift-system/sealift",
        ),
        ("a Delivery of something else", "other", POLICY, &[], 5, "delivers registry.example/other"),
        ("a variant that is none", "good", POLICY, &["--variant", "eu"], 3, "error: UnknownVariant:"),
        (
            "its own policy trusts another key",
            "rotated",
            POLICY,
            &[],
            3,
            "error: NoTrustedSignature: by the policies that would be in the cluster",
        ),
        (
            "it brings no policy",
            "naked",
            POLICY,
            &[],
            3,
            "error: NoPolicy: by the policies that would be in the cluster",
        ),
        (
            "approval of a plan that nobody can approve",
            "good",
            "approval.yaml",
            &[],
            3,
            "a policy demands that plans are approved",
        ),
        ("no such tag", "nowhere", POLICY, &[], 6, "nowhere"),
        ("no such memory", "good", POLICY, &["--memory", "nowhere.yaml"], 6, "nowhere.yaml is no memory of trust"),
        ("no such context", "good", POLICY, &["--context", "nowhere"], 5, "context nowhere cannot be used"),
    ] {
        assert_says(what, &site.by_tag(tag, policy, more), code, says);
    }
    let dry = site.by_tag("good", POLICY, &["--dry-run"]);
    assert_says("a dry-run", &dry, 0, "by the policies that the cluster will have");
    assert!(dry.stdout.contains("+ Deployment.apps sealift-system/sealift-controller created"), "{}", dry.stdout);
    let json = site.by_tag("good", POLICY, &["--dry-run", "-o", "json"]);
    assert!(json.stdout.contains(r#""changes": true"#), "{}", json.stdout);
    site.assert_untouched();
}

/// Everything at once that a recovery may meet: the statement is past its end, and the key was rotated since, but the policy
/// names both. Then the platform goes on: the controller brings the next release of itself.
async fn a_stale_release_by_an_old_key_recovers_and_goes_on(site: &Site<'_>, next: &KeyPair) -> Digest {
    let platform = site.platform;
    platform.policy(BOTH, &[next, &platform.key], |_| {});
    let digest = push(platform, "prod", "whole", "both", &["--expires-in", "1s"]);
    sleep(Duration::from_secs(2));
    let made = site.by_tag("prod", BOTH, &[]);
    assert_says("the first time", &made, 0, "applied ");
    assert_eq!(made.digest(), digest);
    let owned = site.owned();
    assert!(owned > 15, "{owned}");

    let mark = site.audit();
    let mut controller = platform.controller(site.control_plane, &[]).await;
    let delivery = site.ready(digest).await;
    assert_eq!(sealift_e2e::reason(&delivery), "Stale");
    assert!(site.written_as_root(mark).is_empty(), "it changed what it took over: {:#?}", site.written_as_root(mark));
    assert_eq!(site.owned(), owned);

    // Again where everything works, and waiting for what is so already.
    let again = site.by_tag("prod", BOTH, &["--wait", "120s", "-o", "json"]);
    assert_says("again", &again, 0, "has taken over");
    let document: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&document["outcome"], &document["objects"]["created"]), (&"ready".into(), &0.into()), "{document:#}");
    assert!(document["stale"].as_str().unwrap().contains("expired"), "{document:#}");

    // What others take away is brought back, and the next release of the platform is brought by the one before.
    let mark = site.audit();
    site.kubectl(&["delete", "networkpolicy", "sealift-controller", "-n", NAMESPACE]);
    let platform_next = push_by(platform, next, "whole", "both");
    request(site);
    site.ready(platform_next).await;
    site.kubectl(&["get", "networkpolicy", "sealift-controller", "-n", NAMESPACE]);
    assert!(!site.written_as_root(mark).is_empty(), "the account is known by another name");
    let back = format!("oci://{}@{digest}", platform.repository());
    assert_says("the one before", &site.bootstrap(&back, BOTH, &[]), 3, "error: RolledBack:");
    // Who brings something new by hand is held up by a freeze as well.
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let freeze = serde_json::json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "Freeze", "metadata": {"name": "quiet"},
        "spec": {"until": until, "reason": "a quiet night"}});
    let file = platform.cli.write("freeze.json", freeze.to_string()).display().to_string();
    site.kubectl(&["apply", "-f", &file]);
    push(platform, "later", "whole", "both", &["--annotation", "case=later"]);
    assert_says("while it is frozen", &site.by_tag("later", BOTH, &[]), 3, "error: Frozen: Freeze quiet is in force");
    assert_says("what runs", &site.by_tag("prod", BOTH, &[]), 0, "applied ");
    site.kubectl(&["delete", "freeze", "quiet"]);
    stop(&mut controller);
    platform_next
}

fn push_by(platform: &Platform, key: &KeyPair, folder: &str, policies: &str) -> Digest {
    let (to, key) = (format!("oci://{}:prod", platform.repository()), key.private().display().to_string());
    platform.cli.write(
        "whole/more.yaml",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more", "namespace": "sealift-system"}}"#,
    );
    let output = platform.cli.run(&["push", &to, "-f", folder, "-f", policies, "--key", &key, "--env", "prod"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.digest()
}

fn request(site: &Site<'_>) {
    let now = format!("reconcile.sealift.dev/requestedAt={}", jiff::Timestamp::now());
    site.kubectl(&["annotate", "delivery", "sealift", "-n", NAMESPACE, &now, "--overwrite"]);
}

fn stop(controller: &mut Process) {
    let ended = controller.terminate(Duration::from_secs(60));
    assert!(ended.is_some_and(|status| status.success()), "it ended otherwise: {ended:?}");
}

const BOTH: &str = "both/policy.yaml";

/// The cluster is lost, and the registry serves an older release than it had accepted.
async fn with_a_registry_that_serves_what_is_older(site: &Site<'_>, latest: Digest, older: Digest) {
    let (platform, policy) = (site.platform, BOTH);
    Attacker::at(&platform.repository()).move_tag("prod", older).await;
    let memory = ["--memory", "backup.yaml"];
    assert_says("an older release", &site.by_tag("prod", policy, &memory), 3, "error: RolledBack:");
    // An empty cluster remembers nothing: who gives it neither minimum nor memory takes the registry's word for the latest.
    assert_says(
        "without memory",
        &site.by_tag("prod", policy, &["--dry-run"]),
        0,
        "by the policies that the cluster will have",
    );
    site.assert_untouched();

    let repository = platform.repository();
    let copy = |from: &str, to: &str, more: &[&str]| platform.cli.succeed(&[&["copy", from, to], more].concat());
    let logical = ["--as", repository.as_str(), "--policy", policy, "--namespace", NAMESPACE];
    copy(&format!("oci://{repository}@{latest}"), "sealift.tar:prod", &logical);
    copy("sealift.tar:prod", "oci-layout:site/platform/sealift", &logical);
}

/// And then it is gone as well: what is left is a file with the artifact, and one with what was accepted.
async fn a_lost_cluster_comes_back_from_a_file(site: &Site<'_>, latest: Digest) {
    let (platform, policy, repository) = (site.platform, BOTH, site.platform.repository());
    let words = ["bootstrap", "sealift.tar:prod", "--as", &repository, "--policy", policy, "--memory", "backup.yaml"];
    // Cut short wherever it happens to be; what is there then is no obstacle.
    for milliseconds in [250, 500, 900, 1400] {
        let mut child = platform.cli.program(binary("sealift"));
        let mut child = child.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(milliseconds));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let made = platform.cli.run(&words);
    assert_says("from the file", &made, 0, "applied ");
    let records = site.kubectl(&["get", "acceptedreleases", "-o", "jsonpath={.items[*].spec.delivery.name}"]);
    let mut names: Vec<_> = records.split_whitespace().collect();
    names.sort_unstable();
    assert_eq!(names, ["sealift", "web"], "those of others are given back");

    let mirror = format!("{}=oci-layout:{}", platform.host(), platform.path("site").display());
    let mark = site.audit();
    let mut controller = platform.controller(site.control_plane, &["--mirror", &mirror]).await;
    let delivery = site.ready(latest).await;
    assert!(site.written_as_root(mark).is_empty(), "it changed what it took over: {:#?}", site.written_as_root(mark));
    let conditions = delivery.status.unwrap().conditions;
    assert_eq!(condition(&conditions, "Healthy").unwrap().status, "True");
    stop(&mut controller);
}

/// What the cluster has accepted, as kubectl prints it, and the record of one more Delivery.
fn backup(site: &Site<'_>) {
    let records = site.kubectl(&["get", "acceptedreleases.sealift.dev", "-o", "json"]);
    let mut records: serde_json::Value = serde_json::from_str(&records).unwrap();
    let items = records["items"].as_array_mut().unwrap();
    assert_eq!(items.len(), 1);
    let mut other = items[0].clone();
    other["spec"]["delivery"] = serde_json::json!({"namespace": "shop", "name": "web"});
    items.push(other);
    site.platform.cli.write("backup.yaml", records.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_cluster_is_made_to_deliver_and_a_lost_one_comes_back() {
    let Some(control_plane) = ControlPlane::start() else { return };
    let mut platform = Platform::new();
    let next = KeyPair::generate(&platform.cli, "next");
    let (older, latest) = {
        let site = Site::of(&control_plane, &platform);
        what_is_wrong_is_refused(&site, &next).await;
        let older = Attacker::at(&platform.repository()).digest("good").await;
        let latest = a_stale_release_by_an_old_key_recovers_and_goes_on(&site, &next).await;
        backup(&site);
        (older, latest)
    };
    drop(control_plane);

    let control_plane = ControlPlane::start().unwrap();
    with_a_registry_that_serves_what_is_older(&Site::of(&control_plane, &platform), latest, older).await;
    platform.lose_registry();
    a_lost_cluster_comes_back_from_a_file(&Site::of(&control_plane, &platform), latest).await;
}

/// The example as it stands, and what its artifact holds.
#[test]
fn the_example_releases_sealift_itself() {
    let platform = Platform::new();
    platform.policy("platform/policy.yaml", &[&platform.key], |_| {});
    let digest = platform.release("0.1.0", "platform/policy.yaml");
    let artifact = format!("oci://{}@{digest}", platform.repository());
    let held = platform.cli.succeed(&["inspect", &artifact]);
    for object in [
        "sealift-system/apps/Deployment/sealift-controller.json",
        "sealift-system/sealift.dev/Delivery/sealift.json",
        "_/sealift.dev/SignaturePolicy/platform.json",
    ] {
        assert!(held.contains(object), "{object} is not in\n{held}");
    }
    let mut words = Command::new(binary("sealift"));
    let help = words.args(["bootstrap", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("release-sealift.sh"));
}
