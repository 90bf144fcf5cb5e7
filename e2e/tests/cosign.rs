//! The real cosign on what was pushed to real registries: one that has the referrers API, and the most used one, which has
//! not.

use std::process::Output;

use sealift_e2e::{Cli, Cosign, KeyPair, Registry, policy};

#[test]
fn cosign_verifies_a_push_to_registries_with_and_without_the_referrers_api() {
    let (Some(cosign), Some(with), Some(without)) = (Cosign::find(), Registry::crane(), Registry::distribution())
    else {
        return;
    };
    let cli = Cli::new().with_env("SEALIFT_PASSWORD", "a password");
    cli.succeed(&["keygen"]);
    cli.succeed(&["keygen", "--output-prefix", "other"]);
    let manifest = cli.write("map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: shop}, data: {a: b}}\n");
    let manifest = manifest.display().to_string();
    for registry in [with, without] {
        let to = format!("oci://{}/acme/shop:prod", registry.host());
        let push = ["push", &to, "-f", &manifest, "--key", "cosign.key", "--env", "prod", "--sequence", "42"];
        let pinned = cli.succeed(&push);
        let verify = |key: &str, annotations: &[&str]| -> Output {
            let key = cli.home().join(key).display().to_string();
            let mut words = vec!["verify", "--key", &key, "--private-infrastructure", "--allow-http-registry"];
            words.extend(annotations.iter().flat_map(|annotation| ["-a", annotation]));
            words.push(&pinned);
            cosign.run(&words)
        };
        let good = verify("cosign.pub", &["stream=acme/shop", "env=prod", "seq=42"]);
        let said = String::from_utf8_lossy(&good.stderr);
        assert!(good.status.success(), "{pinned}:\n{said}\n{}", registry.log());
        for wrong in ["stream=acme/other", "env=dev", "seq=41"] {
            let output = verify("cosign.pub", &[wrong]);
            assert!(!output.status.success(), "{wrong}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("annotation"), "refused, and not for {wrong}");
        }
        assert!(!verify("other.pub", &[]).status.success(), "another key");
    }
}

#[test]
fn what_is_pushed_to_either_registry_verifies_there_and_as_a_copy_in_the_other() {
    let (Some(with), Some(without)) = (Registry::crane(), Registry::distribution()) else { return };
    let cli = Cli::new();
    let key = KeyPair::generate(&cli, "release");
    let private = key.private().display().to_string();
    let manifest = cli.write("map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: shop}, data: {a: b}}\n");
    let manifest = manifest.display().to_string();
    let policy =
        cli.write("policy.yaml", policy("p", &["registry.example/**"], &key).to_string()).display().to_string();
    let mut digests = Vec::new();
    for registry in [&with, &without] {
        let to = format!("oci://{}/acme/shop:prod", registry.host());
        let push = ["push", &to, "-f", &manifest, "--key", &private, "--repository", "registry.example/acme/shop"];
        let pinned = cli.succeed(&push);
        digests.push(pinned.split_once('@').unwrap().1.to_owned());
        for reference in [to, format!("oci://{pinned}")] {
            cli.succeed(&["verify", &reference, "--as", "registry.example/acme/shop", "--policy", &policy]);
        }
    }
    assert_eq!(digests[0], digests[1], "the same manifests, the same digest, in any registry");
}
