//! The examples that carry a release to a site without a network, run: out of the registry at home, and from the file to
//! where the clusters of the site read it.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{fs, process::Output};

use sealift_e2e::{Cli, KeyPair, Registry, policy, workspace};
use serde_json::{Value, json};

/// A release for prod in a registry at home, and what the site believes.
struct Home {
    cli: Cli,
    registry: Registry,
}

const POLICY: &str = "policies/production.yaml";

impl Home {
    fn open() -> Self {
        let home = Self { cli: Cli::new(), registry: Registry::embedded() };
        let key = KeyPair::generate(&home.cli, "release");
        home.trust(POLICY, &key);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}});
        home.cli.write("manifests/web.json", map.to_string());
        let (to, key) = (format!("oci://{}:prod", home.repository()), key.private().display().to_string());
        let push = ["push", &to, "-f", "manifests", "--key", &key, "--env", "prod", "--namespace-exists", "shop"];
        home.cli.succeed(&push);
        home
    }

    fn repository(&self) -> String {
        format!("{}/acme/shop/manifests", self.registry.host())
    }

    fn trust(&self, path: &str, key: &KeyPair) {
        let rule = policy("prod", &[&format!("{}/**", self.registry.host())], key);
        self.cli.write(path, rule.to_string());
    }

    /// An example of `ci-examples/shell`, with these variables.
    fn script(&self, name: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = self.cli.program(workspace().join("ci-examples/shell").join(name));
        command.envs(variables.iter().copied()).output().unwrap()
    }

    fn carry_in(&self, file: &str, place: &str, policy: &str) -> Output {
        let repository = self.repository();
        let what = [("FILE", file), ("TAG", "prod"), ("REPOSITORY", &repository), ("PLACE", place), ("POLICY", policy)];
        self.script("carry-in.sh", &what)
    }

    /// A release that the site's clusters accept lies there.
    fn assert_delivered(&self, place: &str) {
        let place = format!("{place}:prod");
        self.cli.succeed(&["verify", &place, "--as", &self.repository(), "--policy", POLICY, "--env", "prod"]);
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_shell_examples_carry_a_release_out_and_in() {
    let mut home = Home::open();
    let reference = format!("{}:prod", home.repository());
    let out = home.script("carry-out.sh", &[("REFERENCE", &reference), ("FILE", "shop.tar"), ("POLICY", POLICY)]);
    assert!(out.status.success() && said(&out).contains("to be carried: shop.tar"), "{}", said(&out));
    home.registry.stop();

    let site = Registry::embedded();
    let registry = format!("oci://{}/acme/shop", site.host());
    for place in ["oci-layout:site/acme/shop", &registry] {
        let done = home.carry_in("shop.tar", place, POLICY);
        assert!(done.status.success() && said(&done).contains("brought to"), "{place}: {}", said(&done));
        home.assert_delivered(place);
    }

    // What the site does not believe is written nowhere.
    home.trust("policies/other.yaml", &KeyPair::generate(&home.cli, "stranger"));
    let refused = home.carry_in("shop.tar", "oci-layout:refused", "policies/other.yaml");
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(!home.cli.home().join("refused").exists() && !said(&refused).contains("brought"), "{}", said(&refused));
}

/// The `run` step, and the file that the last step would upload.
#[test]
fn the_github_example_carries_a_release_out() {
    let home = Home::open();
    let text = fs::read_to_string(workspace().join("ci-examples/github-actions/carry-out.yaml")).unwrap();
    let workflow: Value = serde_saphyr::from_str(&text).unwrap();
    let job = &workflow["jobs"]["carry-out"];
    assert_eq!(job["env"]["TAG"], "${{ inputs.tag }}", "what is typed reaches the script by the environment only");
    let steps = job["steps"].as_array().unwrap();
    let scripts: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    let [script] = scripts[..] else { panic!("one step copies: {scripts:?}") };
    assert!(!script.contains("${{"), "{script}");
    let temp = home.cli.home().join("runner");
    fs::create_dir(&temp).unwrap();
    let mut command = home.cli.program("bash");
    command.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]);
    command.env("RUNNER_TEMP", &temp).env("REPOSITORY", home.repository()).env("TAG", "prod");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let path = steps.last().unwrap()["with"]["path"].as_str().unwrap();
    let path = path.replace("${{ runner.temp }}", &temp.display().to_string());
    let done = home.carry_in(&path, "oci-layout:site", POLICY);
    assert!(done.status.success(), "{}", said(&done));
    home.assert_delivered("oci-layout:site");
}
