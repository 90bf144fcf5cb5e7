//! `sealift bootstrap` of a release that brings the admission policy: the first time, with the policy in force, and with the
//! controller that bootstrap installed taking over while it waits and bringing the next release of itself.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sealift_e2e::{ControlPlane, Output, Platform, binary};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

const NAMESPACE: &str = "sealift-system";
const POLICY: &str = "platform/policy.yaml";
/// Whom the admission policy lets change things by hand.
const ON_CALL: &str = "oncall";
const PATIENCE: Duration = Duration::from_secs(180);

struct Site<'a> {
    control_plane: &'a ControlPlane,
    platform: &'a Platform,
}

impl Site<'_> {
    /// The command as somebody of a context.
    fn words(&self, context: &str, more: &[&str]) -> Vec<String> {
        let reference = format!("oci://{}:prod", self.platform.repository());
        let words = ["bootstrap", &reference, "--policy", POLICY, "--context", context];
        words.iter().chain(more).map(|&word| word.to_owned()).collect()
    }

    fn bootstrap(&self, context: &str, more: &[&str]) -> Output {
        self.platform.cli.run(&self.words(context, more))
    }

    fn kubectl(&self, words: &[&str]) -> String {
        self.control_plane.kubectl(words).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As a member of the break-glass group.
    fn by_hand(&self, words: &[&str]) {
        self.kubectl(&[words, &["--as=dana", "--as-group=oncall"]].concat());
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> Result<(), String>) {
        let began = Instant::now();
        while let Err(state) = is_so() {
            let log = || fs::read_to_string(self.platform.path("controller.log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "{what}: {state}\n{}", log());
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    fn delivery(&self) -> Value {
        serde_json::from_str(&self.kubectl(&["get", "delivery", "sealift", "-n", NAMESPACE, "-o", "json"])).unwrap()
    }

    fn until_applied(&self, digest: Digest) {
        self.until("the release to be applied", || {
            let status = &self.delivery()["status"];
            let ready = status["conditions"].as_array().into_iter().flatten();
            let ready =
                ready.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            match ready && status["lastApplied"]["digest"] == digest.to_string() {
                true => Ok(()),
                false => Err(format!("{status:#}")),
            }
        });
    }

    /// Waits until nobody but Sealift and a break-glass group can make what looks like Sealift's.
    fn until_in_force(&self) {
        let forged = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "forged", "namespace": "default", "labels": {"sealift.dev/delivery": "u1"}}});
        let file = self.platform.cli.write("forged.json", forged.to_string()).display().to_string();
        self.until("the policy to be in force", || match self.control_plane.kubectl(&["create", "-f", &file]) {
            Err(error) if error.to_string().contains("ValidatingAdmissionPolicy") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => {
                self.kubectl(&["delete", "-f", &file]);
                Err("it was created".to_owned())
            }
        });
    }

    fn push(&self, version: &str) -> Digest {
        let (to, key) = (format!("oci://{}:prod", self.platform.repository()), self.platform.key.private());
        let key = key.display().to_string();
        let words =
            ["push", &to, "-f", "whole", "-f", "platform", "--key", &key, "--env", "prod", "--version", version];
        let output = self.platform.cli.run(&words);
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.digest()
    }
}

/// The administrator's kubeconfig, and one more context for whoever is on call.
fn contexts(control_plane: &ControlPlane, platform: &Platform) {
    let text = fs::read_to_string(control_plane.kubeconfig()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let mut user = config["users"][0].clone();
    user["name"] = json!("dana");
    user["user"]["as"] = json!("dana");
    user["user"]["as-groups"] = json!([ON_CALL, "system:authenticated"]);
    config["users"].as_array_mut().unwrap().push(user);
    let mut context = config["contexts"][0].clone();
    context["name"] = json!(ON_CALL);
    context["context"]["user"] = json!("dana");
    config["contexts"].as_array_mut().unwrap().push(context);
    platform.cli.write(".kube/config", config.to_string());
}

fn admission_policy(platform: &Platform, more: &[&str]) {
    let words = ["admission-policy", "--break-glass-group", ON_CALL];
    let printed = Command::new(binary("sealift-controller")).args(words).args(more).output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    platform.cli.write("whole/admission.yaml", printed.stdout);
}

fn assert_says(what: &str, output: &Output, code: i32, says: &[&str]) {
    let Output { stdout, stderr, .. } = output;
    let missing: Vec<_> = says.iter().filter(|text| !stderr.contains(**text)).collect();
    assert!(output.code == code && missing.is_empty(), "{what}: {} without {missing:?}\n{stdout}{stderr}", output.code);
    assert!(code == 0 || stdout.is_empty(), "{what}: {stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_with_the_admission_policy_is_bootstrapped_recovered_and_goes_on_under_it() {
    let Some(control_plane) = ControlPlane::start() else { return };
    let platform = Platform::new();
    contexts(&control_plane, &platform);
    let site = Site { control_plane: &control_plane, platform: &platform };
    let group = format!("--group={ON_CALL}");
    site.kubectl(&["create", "clusterrolebinding", ON_CALL, "--clusterrole=cluster-admin", &group]);
    platform.manifests("whole", str::to_owned);
    platform.policy(POLICY, &[&platform.key], |_| {});
    admission_policy(&platform, &[]);
    let first = site.push("1.0.0");

    // Nobody runs what the Deployment describes, so nobody takes over: everything is applied, and the wait ends.
    let alone = site.bootstrap("testenv", &["--wait", "3s"]);
    let says = [
        "applied ",
        "left      4 admission objects to the controller, once its workloads are healthy",
        "error: not there within 3s: ",
        "hint: ",
        "kubectl get pods -n sealift-system",
    ];
    assert_says("without a controller", &alone, 4, &says);
    assert!(control_plane.kubectl(&["get", "validatingadmissionpolicy", "sealift-records"]).is_err());

    // It begins while somebody waits, and brings what was left to it.
    let mut waiting = platform.cli.program(binary("sealift"));
    let waiting = waiting.args(site.words("testenv", &["--wait", "3m", "-o", "json"]));
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut controller = platform.controller(&control_plane, &[]).await;
    let waited = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&waited.stderr).into_owned();
    assert!(waited.status.success() && said.contains("has taken over"), "{said}");
    let document: Value = serde_json::from_slice(&waited.stdout).unwrap();
    assert_eq!((&document["outcome"], &document["digest"]), (&json!("ready"), &json!(first)), "{document:#}");
    site.until_applied(first);
    site.until_in_force();

    // The next release of the platform, its policies and its admission policy is brought by the one before.
    platform.manifests("whole", |text| text.replace("--log-format=json", "--log-format=text"));
    platform.cli.write(
        "whole/more.yaml",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more", "namespace": "sealift-system"}}"#,
    );
    admission_policy(&platform, &["--operator", "system:serviceaccount:backup:backup"]);
    let second = site.push("1.1.0");
    let now = format!("reconcile.sealift.dev/requestedAt={}", jiff::Timestamp::now());
    site.kubectl(&["annotate", "delivery", "sealift", "-n", NAMESPACE, &now, "--overwrite"]);
    site.until_applied(second);
    let deployment = site.kubectl(&["get", "deployment", "sealift-controller", "-n", NAMESPACE, "-o", "yaml"]);
    assert!(deployment.contains("--log-format=text"), "{deployment}");
    let policy = site.kubectl(&["get", "validatingadmissionpolicy", "sealift-managed-objects", "-o", "yaml"]);
    assert!(policy.contains("system:serviceaccount:backup:backup"), "{policy}");

    // And the new one goes on where the old one ends.
    let ended = controller.terminate(Duration::from_secs(60));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    let mut controller = platform.controller(&control_plane, &[]).await;
    site.by_hand(&["delete", "configmap", "more", "-n", NAMESPACE]);
    site.until("what was deleted", || {
        let found = control_plane.kubectl(&["get", "configmap", "more", "-n", NAMESPACE]);
        found.map(drop).map_err(|error| error.to_string())
    });

    // A recovery over what is there: the controller and its memory are gone, the policy is in force.
    controller.kill();
    for gone in [["deployment", "sealift-controller"], ["networkpolicy", "sealift-controller"], ["configmap", "more"]] {
        site.by_hand(&[&["delete"][..], &gone, &["-n", NAMESPACE]].concat());
    }
    site.by_hand(&["delete", "acceptedreleases", "--all"]);
    site.by_hand(&["delete", "inventories", "--all"]);
    let says = ["admission policy", "hint: ", "break-glass", "docs/tenants.md"];
    assert_says("an administrator", &site.bootstrap("testenv", &[]), 3, &says);
    let made = site.bootstrap(ON_CALL, &["-o", "json"]);
    assert_says("who is on call", &made, 0, &["applied "]);
    let document: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(document["objects"]["created"], 3, "{document:#}");
    let mut controller = platform.controller(&control_plane, &[]).await;
    site.until_applied(second);
    // Where nothing is missing, nothing is written, and nobody need break glass.
    assert_says("everything is there", &site.bootstrap("testenv", &["--wait", "1m"]), 0, &["has taken over"]);
    site.until_in_force();
    let ended = controller.terminate(Duration::from_secs(60));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}
