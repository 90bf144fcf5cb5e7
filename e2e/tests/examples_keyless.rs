//! The keyless policy and CI examples: off their platforms as far as they come without a token, and on a private Sigstore
//! with the tokens that the platforms would hand out, by `make interop`.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{self, Command},
};

use sealift_e2e::{Cli, Identity, KeyPair, Registry, Sigstore, workspace};
use serde_json::{Value, json};

const TAG: &str = "refs/tags/v1.4.2";

struct Shop {
    cli: Cli,
    registry: Registry,
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}

/// The workflow that the policy is about, on GitHub's own machines.
fn workflow(environment: Option<&str>) -> Identity {
    Identity::github("acme/shop", TAG, environment)
}

impl Shop {
    fn open() -> Self {
        let shop = Self { cli: Cli::new(), registry: Registry::embedded() };
        let map = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web","namespace":"acme-shop"}}"#;
        shop.cli.write("manifests/map.yaml", map);
        shop
    }

    /// The policy with our registry and, in place of GitHub and the public instance, the test's Sigstore.
    fn policy(&self, sigstore: &Sigstore, identity: &Identity) -> Value {
        let mut policy = yaml("policies/keyless.yaml");
        let host = self.registry.host();
        policy["spec"]["match"]["repositories"] = json!([format!("{host}/acme/**")]);
        policy["spec"]["transparency"] = json!({"sct": "off"});
        let keyless = &mut policy["spec"]["authorities"][0]["keyless"];
        keyless["issuer"] = json!({"exact": sigstore.issuer(identity)});
        keyless["trustRoot"] = json!("lab");
        policy
    }

    fn write_policy(&self, policy: &Value, sigstore: &Sigstore) -> String {
        let text = format!("{policy}\n---\n{}\n", sigstore.trust_root("lab"));
        self.cli.write("policies/keyless.yaml", text).display().to_string()
    }

    /// A script of an example, with our registry in place of its own.
    fn script(&self, text: &str) -> Command {
        let text = text.replace("ghcr.io", &self.registry.host()).replace("registry.example", &self.registry.host());
        let mut command = self.cli.program("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", &text]).env("CI", "true");
        for (name, value) in [
            ("REPOSITORY", format!("{}/acme/shop", self.registry.host()).as_str()),
            ("GITHUB_REF_NAME", "v1.4.2"),
            ("CI_COMMIT_TAG", "v1.4.2"),
            ("CI_PROJECT_PATH", "acme/shop"),
            ("BUILDKITE_TAG", "v1.4.2"),
            ("TAG_NAME", "v1.4.2"),
            ("VERSION", "1.4.2"),
        ] {
            command.env(name, value);
        }
        command
    }
}

/// The arguments that name the test's Sigstore, as they stand in the examples' variable.
fn private(sigstore: &Sigstore) -> String {
    let (config, root) = (sigstore.signing_config_file(), sigstore.trusted_root_file());
    format!("--signing-config {} --trusted-root {}", config.display(), root.display())
}

fn said(output: &process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The job of an example.
struct Push {
    platform: &'static str,
    script: String,
    /// What marks the platform; nothing does on one that hands the token to whoever asks for a variable.
    variable: Option<&'static str>,
}

/// What pushes in each example, as its platform would run it.
fn pushes() -> [Push; 5] {
    let github = yaml("ci-examples/github-actions/release-keyless.yaml");
    let steps = github["jobs"]["release"]["steps"].as_array().unwrap();
    let push = steps.iter().find(|step| step["id"] == "push").unwrap()["run"].as_str().unwrap();
    assert_eq!(github["permissions"]["id-token"], "write");
    assert_eq!(github["jobs"]["release"]["environment"], "production");
    let gitlab = yaml("ci-examples/gitlab/.gitlab-ci.yml");
    let script = gitlab["release"]["script"].as_array().unwrap();
    let script: Vec<&str> = script.iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(gitlab["release"]["id_tokens"]["SIGSTORE_ID_TOKEN"]["aud"], "sigstore");
    let buildkite = yaml("ci-examples/buildkite/pipeline.yml");
    // Buildkite fills in what has one dollar before the job runs.
    let command = buildkite["steps"][0]["command"].as_str().unwrap().replace("$$", "$");
    let jenkins = read("ci-examples/jenkins/Jenkinsfile.keyless");
    assert!(jenkins.contains("string(credentialsId: 'sigstore', variable: 'SIGSTORE_ID_TOKEN')"));
    assert_eq!(jenkins.matches('{').count(), jenkins.matches('}').count());
    // What joins lines is Groovy's as much as the shell's.
    let jenkins = jenkins.split("sh '''").nth(1).unwrap().split("'''").next().unwrap();
    let tekton = yaml("ci-examples/tekton/release-keyless.yaml");
    let token = &tekton["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    let step = &tekton["spec"]["steps"][0];
    assert_eq!((&token["audience"], &token["path"]), (&json!("sigstore"), &json!("token")));
    assert_eq!(step["volumeMounts"][0]["mountPath"], "/var/run/sigstore");
    assert_eq!(step["env"][2], json!({"name": "TOKEN_FILE", "value": "/var/run/sigstore/token"}));
    let filled = [("workspaces.sigstore.path", "sigstore"), ("results.reference.path", "result")];
    let tekton = filled.iter().fold(step["script"].as_str().unwrap().to_owned(), |script, (name, value)| {
        script.replace(&format!("$({name})"), value)
    });
    [
        Push { platform: "GitHub", script: push.to_owned(), variable: Some("GITHUB_ACTIONS") },
        Push { platform: "GitLab", script: script.join("\n"), variable: Some("GITLAB_CI") },
        Push { platform: "Buildkite", script: command, variable: Some("BUILDKITE") },
        Push { platform: "Jenkins", script: jenkins.to_owned(), variable: None },
        Push { platform: "Tekton", script: tekton, variable: None },
    ]
}

#[test]
fn the_examples_come_as_far_as_the_token_that_only_their_platform_has() {
    let shop = Shop::open();
    for (push, hint) in
        pushes().into_iter().zip(["permissions: {id-token: write}", "SIGSTORE_ID_TOKEN", "buildkite-agent"])
    {
        let Push { platform, script, variable } = push;
        let variable = variable.expect("these come first");
        let output = shop.script(&script).env(variable, "true").env("SIGSTORE", "").output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{platform}: {}", said(&output));
        assert!(said(&output).contains(hint), "{platform}: {}", said(&output));
    }
}

#[test]
fn the_keyless_policy_is_usable_as_it_stands_and_no_key_satisfies_it() {
    let shop = Shop::open();
    let file = workspace().join("policies/keyless.yaml").display().to_string();
    shop.cli.succeed(&["policy", "check", &file]);
    let key = KeyPair::generate(&shop.cli, "release").private().display().to_string();
    let to = format!("oci://{}/acme/shop:prod", shop.registry.host());
    let logical = ["--repository", "registry.example/acme/shop"];
    let push = ["push", &to, "-f", "manifests", "--key", &key, "--env", "prod"];
    shop.cli.succeed(&[&push[..], &logical].concat());
    let explain = ["policy", "explain", &to, "--as", "registry.example/acme/shop", "--policy", &file];
    let output = shop.cli.run(&[&explain[..], &["--namespace", "acme-shop"]].concat());
    assert_eq!(output.code, 0, "an explanation is no verdict: {}", output.stderr);
    assert!(output.stdout.contains("release.yaml@refs/tags/v*"), "{}", output.stdout);
    assert!(output.stdout.contains("NoTrustedSignature"), "{}", output.stdout);
}

#[test]
fn the_keyless_policy_accepts_its_workflow_on_a_private_sigstore_and_nobody_else() {
    let Some(sigstore) = Sigstore::shared() else { return };
    let shop = Shop::open();
    let good = workflow(Some("production"));
    let policy = shop.write_policy(&shop.policy(sigstore, &good), sigstore);
    let to = format!("oci://{}/acme/shop:prod", shop.registry.host());
    let services = private(sigstore);
    for (nth, (what, identity, code)) in [
        ("the workflow", good, 0),
        ("no environment", workflow(None), 3),
        ("another environment", workflow(Some("staging")), 3),
        ("a branch", Identity::github("acme/shop", "refs/heads/main", Some("production")), 3),
        ("another repository", Identity::github("acme/other", TAG, Some("production")), 3),
        ("a person", Identity::email("releaser@acme.example"), 3),
    ]
    .into_iter()
    .enumerate()
    {
        let (token, annotation) = (sigstore.token(&identity), format!("case={nth}"));
        let push = ["push", &to, "-f", "manifests", "--env", "prod", "--annotation", &annotation];
        let keyless = ["--keyless", "--identity-token", &token].into_iter().chain(services.split(' '));
        let pinned = shop.cli.succeed(&push.into_iter().chain(keyless).collect::<Vec<_>>());
        let verify = ["verify", &format!("oci://{pinned}"), "--policy", &policy, "--namespace", "acme-shop"];
        let output = shop.cli.run(&verify);
        assert_eq!(output.code, code, "{what}: {}{}", output.stdout, output.stderr);
    }
}

#[test]
fn the_examples_release_on_a_private_sigstore() {
    let Some(sigstore) = Sigstore::shared() else { return };
    for Push { platform, script, variable } in pushes() {
        let shop = Shop::open();
        let identity = match platform {
            "GitLab" => Identity::gitlab("acme/shop", "main", Some("production")),
            "Jenkins" => Identity::jenkins("acme-shop"),
            "Tekton" => Identity::service_account("ci", "releaser"),
            _ => workflow(Some("production")),
        };
        let mut policy = shop.policy(sigstore, &identity);
        if ["GitLab", "Jenkins", "Tekton"].contains(&platform) {
            let keyless = &mut policy["spec"]["authorities"][0]["keyless"];
            keyless["subject"] = json!({"exact": identity.subject()});
            // Which claims become extensions of the certificate, Fulcio knows of CI systems only.
            keyless["claims"] = match platform {
                "GitLab" => json!({"deploymentEnvironment": {"exact": "production"}}),
                _ => json!({}),
            };
        }
        let policy = shop.write_policy(&policy, sigstore);
        let mut command = shop.script(&script);
        if let Some(variable) = variable {
            command.env(variable, "true");
        }
        command.env("SIGSTORE", private(sigstore));
        let token = sigstore.token(&identity);
        match platform {
            "GitHub" => {
                command.envs(sigstore.github_variables(&identity));
            }
            "GitLab" | "Jenkins" => {
                command.env("SIGSTORE_ID_TOKEN", &token);
            }
            "Tekton" => {
                command.env("TOKEN_FILE", shop.cli.write("token", &token));
                for (name, file) in [
                    ("signing_config.json", sigstore.signing_config_file()),
                    ("trusted_root.json", sigstore.trusted_root_file()),
                ] {
                    shop.cli.write(&format!("sigstore/{name}"), fs::read(file).unwrap());
                }
            }
            _ => {
                let agent =
                    format!("#!/bin/sh\ntest \"$*\" = 'oidc request-token --audience sigstore' && echo {token}\n");
                let agent = shop.cli.write("bin/buildkite-agent", agent);
                fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
                let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
                let path = path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
                command.env("PATH", format!("{}:{path}", agent.parent().unwrap().display()));
            }
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{platform}: {}", said(&output));
        // GitHub's last step, which the other examples have in the same script
        let to = format!("oci://{}/acme/shop:prod", shop.registry.host());
        shop.cli.succeed(&["verify", &to, "--policy", &policy, "--env", "prod", "--namespace", "acme-shop"]);
    }
}
