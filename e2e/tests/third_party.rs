//! What somebody signs with the real cosign, who knows nothing of Sealift: with bundles and in the older form, pushed by
//! another tool, judged on the command line and delivered into a real cluster.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{fs, process::Command};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sealift_e2e::{Attacker, Cli, ControlPlane, Cosign, Output, Registry, World, policy, workspace};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// Pushes one ConfigMap `a` of a value as oras does with any archive; its digest.
fn push(cli: &Cli, oras: &sealift_e2e::Tool, reference: &str, namespace: &str, value: &str) -> Digest {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}, "data": {"value": value},
    });
    let folder = cli.write(&format!("vendor/{value}/map.yaml"), map.to_string()).parent().unwrap().to_owned();
    let run = |command: &mut Command| {
        let output = command.current_dir(&folder).env("DOCKER_CONFIG", &folder).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(Command::new("tar").args(["-czf", "release.tar.gz", "map.yaml"]));
    let layer = "release.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip";
    run(oras.command().args(["push", "--plain-http", reference, layer]));
    run(oras.command().args(["resolve", "--plain-http", reference])).trim().parse().unwrap()
}

/// Makes a key pair of that name; its public half.
fn key(cosign: &Cosign, name: &str) -> String {
    let _ = cosign.succeed(&["generate-key-pair", "--output-key-prefix", name]);
    fs::read_to_string(cosign.home().join(format!("{name}.pub"))).unwrap()
}

/// Signs without any service: in a bundle, or with `more` in the older form.
fn sign(cosign: &Cosign, key: &str, pinned: &str, more: &[&str]) {
    let key = format!("{key}.key");
    let words = ["sign", "--key", &key, "--allow-http-registry", "--tlog-upload=false", "--use-signing-config=false"];
    let _ = cosign.succeed(&[&words[..], more, &[pinned]].concat());
}

const LEGACY: &[&str] = &["--new-bundle-format=false"];

/// `policies/third-party.yaml` with this key, for this registry, changed.
fn vendors(public: &str, registry: &Registry, change: impl FnOnce(&mut Value)) -> Value {
    let text = fs::read_to_string(workspace().join("policies/third-party.yaml")).unwrap();
    let mut policy: Value = serde_saphyr::from_str(&text.replace("registry.example", &registry.host())).unwrap();
    policy["spec"]["authorities"][0]["key"]["pem"] = json!(public);
    change(&mut policy);
    policy
}

fn assert_refused(what: &str, output: &Output, reason: &str) {
    assert_eq!(output.code, 3, "{what}: {}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains(&format!("error: {reason}:")), "{what}: {}", output.stderr);
}

#[test]
fn the_third_party_policy_passes_what_cosign_signed_in_either_form_and_nothing_else() {
    let (Some(cosign), Some(oras)) = (Cosign::find(), sealift_e2e::Tool::find("oras")) else { return };
    let (cli, public) = (Cli::new(), key(&cosign, "vendor"));
    let _ = key(&cosign, "other");
    for registry in [Registry::crane(), Registry::distribution()].into_iter().flatten() {
        let repository = format!("{}/vendor/agent", registry.host());
        let pushed = |value: &str| {
            let digest = push(&cli, &oras, &format!("{repository}:{value}"), "vendor-a", value);
            format!("{repository}@{digest}")
        };
        let write = |name: &str, change: fn(&mut Value)| {
            cli.write(name, vendors(&public, &registry, change).to_string()).display().to_string()
        };
        let shipped = write("shipped.yaml", |_| ());
        let bundles_only = write("bundles.yaml", |v| {
            v["spec"]["transparency"].as_object_mut().unwrap().remove("legacySignatures");
        });
        let required = write("required.yaml", |v| {
            v["spec"].as_object_mut().unwrap().remove("transparency");
            v["spec"]["release"]["statement"] = json!("required");
        });
        let verify = |pinned: &str, policy: &str, more: &[&str]| {
            let reference = format!("oci://{pinned}");
            cli.run(&[&["verify", &reference, "--policy", policy, "--namespace", "vendor-a"], more].concat())
        };
        let unsigned = pushed("unsigned");
        assert_refused("unsigned", &verify(&unsigned, &shipped, &[]), "Unsigned");
        sign(&cosign, "other", &unsigned, &[]);
        sign(&cosign, "other", &unsigned, LEGACY);
        assert_refused("another key", &verify(&unsigned, &shipped, &[]), "NoTrustedSignature");

        let bundled = pushed("bundled");
        sign(&cosign, "vendor", &bundled, &["-a", "env=prod"]);
        let good = verify(&bundled, &bundles_only, &[]);
        assert_eq!(good.code, 0, "{}{}", good.stdout, good.stderr);
        let shown = format!("{}{}", good.stdout, good.stderr);
        assert!(shown.contains("third-party signature by vendor"), "{shown}");
        assert_refused("a statement is demanded", &verify(&bundled, &required, &[]), "NoStatement");
        assert_refused("a stream", &verify(&bundled, &shipped, &["--stream", "vendor/agent"]), "NoStatement");

        // several signatures under the one tag
        let legacy = pushed("legacy");
        for (key, annotation) in [("other", "by=other"), ("vendor", "by=vendor"), ("other", "by=again")] {
            sign(&cosign, key, &legacy, &[LEGACY, &["-a", annotation]].concat());
        }
        let good = verify(&legacy, &shipped, &[]);
        assert_eq!(good.code, 0, "{}{}", good.stdout, good.stderr);
        assert_refused("legacy, not asked for", &verify(&legacy, &bundles_only, &[]), "Unsigned");
        let inspected = cli.succeed(&["inspect", &format!("oci://{legacy}"), "-o", "json"]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        let forms = inspected["unverified"]["thirdPartySignatures"].as_array().unwrap();
        assert_eq!(forms.iter().filter(|one| one["form"] == "simple-signing").count(), 3, "{inspected:#}");
    }
}

async fn running(world: &World<'_>) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt("a").await.unwrap()?.data?.remove("value")
}

#[tokio::test]
async fn a_signed_artifact_is_delivered_until_a_release_statement_was_accepted() {
    let (Some(cosign), Some(oras)) = (Cosign::find(), sealift_e2e::Tool::find("oras")) else { return };
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "third-party", async |world| {
        let public = key(&cosign, "vendor");
        let mut trust: Value = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
        trust["spec"]["authorities"].as_array_mut().unwrap().push(json!({"name": "vendor", "key": {"pem": public}}));
        trust["spec"]["require"] = json!({"anyOf": ["release", "vendor"]});
        world.put_policy(trust.clone()).await;
        let repository = world.repository("app");
        let artifact = |value: &str| {
            let digest = push(&world.cli, &oras, &format!("{repository}:stable"), &world.namespace, value);
            sign(&cosign, "vendor", &format!("{repository}@{digest}"), LEGACY);
            digest
        };
        let first = artifact("first");
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!("1h");
        world.deliver(&world.namespace, "app", spec).await;
        let of = (world.namespace.as_str(), "app");
        world.refused(of, "Unsigned").await;

        // a policy that is changed is a look at everything
        trust["spec"]["release"]["statement"] = json!("optional");
        trust["spec"]["transparency"] = json!({"legacySignatures": true});
        world.put_policy(trust).await;
        let delivery = world.delivered(of, first).await;
        assert_eq!(running(world).await.as_deref(), Some("first"));
        let status = delivery.status.unwrap();
        let last = status.last_applied.unwrap();
        assert_eq!((last.version, last.epoch, last.sequence, last.statement), (None, None, None, None));
        let rows = status.verification.unwrap().checks;
        let row = rows.iter().find(|row| row.check == "statement").unwrap();
        assert_eq!(row.result, "not-present");
        assert!(row.detail.as_deref().unwrap().starts_with("third-party signature by vendor"), "{row:?}");

        // nothing gives artifacts an order, so the next is simply the next
        let second = artifact("second");
        world.reconcile(of).await;
        world.delivered(of, second).await;

        // a release with a statement takes over, and from then on there is no way back to artifacts without
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": "stated"}});
        let file = world.cli.write("stated.yaml", map.to_string());
        let stated = world.push("app:released", &[&file], &[]);
        Attacker::at(&repository).move_tag("stable", stated).await;
        world.reconcile(of).await;
        world.delivered(of, stated).await;
        artifact("third");
        world.reconcile(of).await;
        let message = world.refused(of, "NoStatement").await;
        assert!(message.contains("was accepted by one"), "{message}");
        assert_eq!(running(world).await.as_deref(), Some("stated"), "what runs is kept");
    })
    .await;
}
