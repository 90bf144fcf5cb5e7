//! Plan, status and the memory of trust against a real API server.

use sealift_apply::api::accepted_release_name;
use sealift_e2e::ControlPlane;
use serde_json::json;

use crate::support::{Run, World};

/// A world, a namespace of a real cluster, and the administrator's kubeconfig.
struct Live<'a> {
    world: &'a World,
    cluster: &'a ControlPlane,
    namespace: &'a str,
}

impl Live<'_> {
    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.world.command(arguments);
        let output = command.env("KUBECONFIG", self.cluster.kubeconfig()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn apply(&self, name: &str, manifest: &serde_json::Value) {
        self.world.write(name, &manifest.to_string());
        self.cluster.kubectl(&["apply", "-f", self.world.path(name).to_str().unwrap()]).unwrap();
    }

    fn plan(&self, more: &[&str]) -> Run {
        self.run(&[&["plan", "-f", "manifests", "-n", self.namespace, "--exit-code"], more].concat())
    }
}

async fn in_cluster(test: impl AsyncFnOnce(Live<'_>)) {
    // The first to install it wins; all install the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(cluster) = ControlPlane::shared() else { return };
    let crds = sealift_e2e::workspace().join("deploy/crds");
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", crds.to_str().unwrap()]).unwrap();
    let kind =
        ["wait", "--for=condition=Established", "crd/deliveries.sealift.dev", "crd/acceptedreleases.sealift.dev"];
    cluster.kubectl(&kind).unwrap();
    let world = World::new().await;
    std::fs::remove_dir_all(world.path("manifests")).unwrap();
    world.write(
        "manifests/settings.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: blue}\n",
    );
    world.write(
        "manifests/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: hunter2}\n",
    );
    cluster
        .in_namespace("push", async |_, namespace| test(Live { world: &world, cluster, namespace: &namespace }).await)
        .await;
}

/// What a plan with changes prints above its last line, which names the plan to approve.
fn before_digest(stdout: &str) -> &str {
    let (above, digest) = stdout.trim_end().rsplit_once("\nplan sha256:").expect(stdout);
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    above
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_each_field_masks_secrets_and_writes_nothing() {
    in_cluster(async |live| {
        let namespace = live.namespace;
        let new = live.plan(&[]).exits(10);
        assert_eq!(
            before_digest(&new.stdout),
            format!("+ ConfigMap {namespace}/settings created\n+ Secret {namespace}/token created\n2 to create")
        );
        assert!(new.stderr.contains("a preview: nothing here is signed or verified"), "{}", new.stderr);
        assert_eq!(live.plan(&[]).exits(10).stdout, new.stdout, "the first plan wrote something");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": namespace},
            "stringData": {"token": "hunter1"},
        });
        let settings = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace},
            "data": {"colour": "red"},
        });
        live.apply("secret.json", &secret);
        live.apply("settings.json", &settings);
        let changed = live.plan(&[]).exits(10);
        assert_eq!(
            before_digest(&changed.stdout),
            format!(
                "~ ConfigMap {namespace}/settings configured\n    ~ /data/colour: \"red\" → \"blue\"\n\
                 ~ Secret {namespace}/token configured\n    ~ /data/token: \"***\" → \"***\"\n2 to change"
            )
        );
        let document = live.plan(&["-o", "json"]).exits(10).json();
        assert_eq!(
            (document["schema"].as_str(), document["changes"].as_bool()),
            (Some("sealift.dev/plan/v1"), Some(true))
        );
        let digest = document["digest"].as_str().unwrap();
        assert!(changed.stdout.ends_with(&format!("\nplan {digest}\n")), "{digest}: {}", changed.stdout);
        assert!(!new.stdout.contains(digest), "two plans of one digest: {digest}");
        assert!(!document.to_string().contains("hunter"));
        std::fs::remove_file(live.world.path("manifests/secret.yaml")).unwrap();
        live.world.write(
            "manifests/settings.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: red}\n",
        );
        assert_eq!(live.plan(&[]).exits(0).stdout, "1 unchanged\n");
        live.world.write("manifests/other.yaml", "apiVersion: example.com/v1\nkind: Nope\nmetadata: {name: x}\n");
        let refused = live.plan(&[]).exits(3);
        assert!(refused.stdout.contains("neither the cluster nor this release defines Nope"), "{}", refused.stdout);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_planned_shown_and_remembered() {
    in_cluster(async |live| {
        let (world, namespace) = (live.world, live.namespace);
        let name = format!("{namespace}/web");
        live.run(&["status", "-n", namespace]).exits(0).silent().says(&["no Deliveries in namespace"]);
        live.run(&["status", "-n", namespace, "web"]).exits(6).silent();
        world.push("prod", &["--sequence", "7", "--allow-secrets"]).exits(0);
        world.push("prod", &["--sequence", "8", "--allow-secrets"]).exits(0);
        let delivery = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": {"name": "web", "namespace": namespace},
            "spec": {"repository": format!("{}/acme/shop", world.registry.addr), "select": {"tag": "prod"}, "environment": "prod"},
        });
        live.apply("delivery.json", &delivery);
        let list = live.run(&["status", "-n", namespace]).exits(0).stdout;
        assert!(list.lines().nth(1).unwrap().starts_with(&format!("{namespace}  web   Unknown  Pending")), "{list}");
        let document = live.run(&["status", "-n", namespace, "web", "-o", "json"]).exits(0).json();
        assert_eq!(document["deliveries"][0]["ready"], false);

        let reference = world.oci(":prod");
        let plan = live.run(&["plan", &reference, "--policy", "policy.yaml", "--delivery", &name, "--exit-code"]).exits(10);
        assert!(before_digest(&plan.stdout).ends_with("\n2 to create") && plan.stderr.contains("\nverified "), "{plan:?}");
        let verify = ["verify", &reference, "--policy", "policy.yaml", "--delivery", &name];
        let first = live.run(&verify).exits(0);
        assert!(first.stdout.contains("pass         memory             first seen"), "{}", first.stdout);

        // Of a newer release the cluster remembers, the older one is a replay.
        let newer = format!("sha256:{}", "0".repeat(64));
        let mark = json!({
            "stream": "acme/shop", "environment": "prod", "position": {"epoch": 0, "sequence": 9},
            "statement": newer, "artifact": newer, "firstSeen": "2026-01-01T00:00:00Z",
        });
        let accepted = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "AcceptedRelease",
            "metadata": {"name": accepted_release_name(namespace, "web")},
            "spec": {"delivery": {"namespace": namespace, "name": "web"}, "marks": [mark]},
        });
        live.apply("accepted.json", &accepted);
        live.run(&verify).exits(3).says(&["error: RolledBack: release 0.8 of stream \"acme/shop\" is older than 0.9"]);
        let refused = live.run(&["plan", &reference, "--policy", "policy.yaml", "--delivery", &name]).exits(3).silent();
        refused.says(&["error: RolledBack"]);
        // As an export the same memory gives the same verdict without the cluster.
        world.write("accepted.yaml", &accepted.to_string());
        world.verify(":prod", &["--memory", "accepted.yaml"]).exits(3).says(&["error: RolledBack"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_files_takes_the_variables_that_a_push_would_declare() {
    in_cluster(async |live| {
        live.world.write(
            "manifests/variable.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: variable}\nimmutable: ${FROZEN}\ndata: {colour: \"${COLOUR}\"}\n",
        );
        let declared = ["--var", "COLOUR", "--var", "FROZEN:bool=true"];
        let plan = live.plan(&[&declared[..], &["--set", "COLOUR=red"]].concat()).exits(10);
        assert!(plan.stdout.contains("+ ConfigMap") && before_digest(&plan.stdout).ends_with("\n3 to create"), "{plan:?}");
        live.plan(&declared).exits(3).silent().says(&["BadParameter", "COLOUR", "has no value and no default"]);
        live.plan(&["--set", "COLOUR=red"]).exits(2).silent().says(&["--var"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_compared_with_what_a_cluster_runs() {
    in_cluster(async |live| {
        let (world, namespace) = (live.world, live.namespace);
        let pod = |image: &str, user: u32| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": namespace}, "spec": {
                    "automountServiceAccountToken": false, "containers": [{"name": "web", "image": image,
                        "securityContext": {"runAsUser": user}}],
                },
            })
        };
        live.apply("pod.json", &pod("registry.example/web:1", 1000));
        live.apply(
            "settings.json",
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}, "data": {"colour": "red"}}),
        );
        world.write("manifests/pod.json", &pod("registry.example/web:2", 1000).to_string());
        world.write(
            "manifests/settings.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: \"${COLOUR}\"}\n",
        );
        world.push("prod", &["--var", "COLOUR=blue", "--allow-secrets"]).exits(0);
        let (reference, context) = (world.oci(":prod"), live.cluster.kubectl(&["config", "current-context"]).unwrap());
        let diff = |more: &[&str]| {
            let words = ["diff", &reference, "--context", context.trim(), "-n", namespace, "--exit-code"];
            live.run(&[&words[..], more].concat())
        };
        let run = diff(&[]).exits(10);
        let text = run.stdout.replace(namespace, "NS");
        let (_, told) = text.split_once("+++ ").unwrap();
        let (_, told) = told.split_once('\n').unwrap();
        assert_eq!(
            told,
            "images\n  ~ registry.example/web:1 → registry.example/web:2\nobjects\n\
             ~ ConfigMap NS/settings\n    ~ data.colour: \"red\" → \"blue\"\n+ Secret NS/token\n\
             ~ Pod NS/web\n    ~ spec.containers[web].image: \"registry.example/web:1\" → \"registry.example/web:2\"\n\
             1 added, 2 changed\n"
        );
        let document = diff(&["--set", "COLOUR=red", "-o", "json"]).exits(10).json();
        assert_eq!((&document["before"]["kind"], &document["counts"]["changed"]), (&"cluster".into(), &1.into()));
        assert_eq!(document["counts"]["unchanged"], 1);
        // What the server does not take is said, and is no success.
        world.write("manifests/pod.json", &pod("registry.example/web:1", 0).to_string());
        world.push("prod", &["--var", "COLOUR=blue", "--allow-secrets"]).exits(0);
        let refused = diff(&[]).exits(3);
        assert!(refused.stdout.contains("\n! Pod ") && refused.stdout.contains("1 refused"), "{}", refused.stdout);
        assert!(!refused.stdout.contains("privileges"), "what is not taken changes nothing: {}", refused.stdout);
    })
    .await;
}
