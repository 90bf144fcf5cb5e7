//! The examples that promote, run as far as they run off their platform: released to dev with the key of dev, taken to
//! prod with the key of prod, and accepted by the policy of each.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use sealift_e2e::{Cli, KeyPair, Registry, policy, workspace};
use serde_json::{Value, json};

/// A repository with manifests, the policies of two environments, and the key of each.
struct Shop {
    cli: Cli,
    registry: Registry,
    keys: BTreeMap<&'static str, String>,
}

const STAGES: [(&str, &str); 2] = [("dev", "policies/dev.yaml"), ("prod", "policies/production.yaml")];

impl Shop {
    fn open() -> Self {
        let (cli, registry) = (Cli::new(), Registry::embedded());
        let here = format!("{}/**", registry.host());
        let keys = STAGES.map(|(stage, file)| {
            let key = KeyPair::generate(&cli, stage);
            let mut rule = policy(stage, &[&here], &key);
            rule["spec"]["release"]["environment"] = json!(stage);
            cli.write(file, rule.to_string());
            (stage, key.private().display().to_string())
        });
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "acme-shop"}});
        cli.write("manifests/web.yaml", map.to_string());
        Self { cli, registry, keys: keys.into() }
    }

    fn repository(&self) -> String {
        format!("{}/acme/shop", self.registry.host())
    }

    /// A shell as the platforms start it, with the variables of this job.
    fn shell(&self, script: &str, stage: &str, variables: &[(&str, &str)]) -> Command {
        let mut command = self.cli.program("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]);
        command.env("CI", "true").env("SEALIFT_KEY", &self.keys[stage]).env("SEALIFT_PASSWORD", "");
        command.env("REPOSITORY", self.repository()).envs(variables.iter().copied());
        command
    }

    fn run(&self, script: &str, stage: &str, variables: &[(&str, &str)]) -> String {
        done(self.shell(script, stage, variables))
    }

    /// Releases to dev as `sealift push` does, and gives the reference.
    fn release(&self) -> String {
        let to = format!("oci://{}:dev", self.repository());
        self.cli.succeed(&["push", &to, "-f", "manifests", "--key", &self.keys["dev"], "--env", "dev"])
    }

    fn accepts(&self, stage: &str) -> bool {
        let (reference, (_, policy)) =
            (format!("oci://{}:{stage}", self.repository()), STAGES.iter().find(|(name, _)| *name == stage).unwrap());
        self.cli.run(&["verify", &reference, "--policy", policy, "--env", stage]).code == 0
    }

    /// What an example has to have done in the end.
    fn assert_promoted(&self, platform: &str) {
        for (stage, _) in STAGES {
            assert!(self.accepts(stage), "{platform}: {stage} does not accept its channel");
        }
        let digest = |tag: &str| {
            let reference = format!("oci://{}:{tag}", self.repository());
            let shown = self.cli.succeed(&["inspect", &reference, "-o", "json"]);
            serde_json::from_str::<Value>(&shown).unwrap()["digest"].clone()
        };
        assert_eq!(digest("dev"), digest("prod"), "{platform}: nothing is built twice");
    }
}

fn done(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join("ci-examples").join(path)).unwrap()
}

fn documents(path: &str) -> Vec<Value> {
    read(path).split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

/// `shell/promote.sh`, and that it ends where a policy refuses.
#[test]
fn the_shell_example_promotes() {
    let shop = Shop::open();
    let script = workspace().join("ci-examples/shell/promote.sh");
    let promote = |reference: &str, from: &str| {
        let mut command = shop.shell("", "prod", &[("REFERENCE", reference), ("ENVIRONMENT", "prod")]);
        let environment: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command = shop.cli.program(&script);
        command.envs(environment.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.env("FROM_POLICY", from).env("POLICY", STAGES[1].1);
        command
    };
    let reference = shop.release();
    let refused = promote(&reference, STAGES[1].1).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("promoted"));
    assert!(done(promote(&reference, STAGES[0].1)).contains(&format!("promoted {reference}")));
    shop.assert_promoted("shell");
}

/// The `run` steps; what was typed into the form reaches them by the environment only.
#[test]
fn the_github_example_promotes() {
    let shop = Shop::open();
    let workflow: Value = serde_saphyr::from_str(&read("github-actions/promote.yaml")).unwrap();
    let job = &workflow["jobs"]["promote"];
    assert_eq!(job["environment"], "production", "its reviewers approve");
    assert_eq!(job["env"]["REFERENCE"], "${{ inputs.reference }}");
    let (reference, key) = (shop.release(), fs::read_to_string(&shop.keys["prod"]).unwrap());
    let (temp, outputs) = (shop.cli.home().display().to_string(), shop.cli.write("outputs", ""));
    let outputs = outputs.display().to_string();
    let mut promoted = String::new();
    for step in job["steps"].as_array().unwrap() {
        let Some(script) = step["run"].as_str() else { continue };
        let script = script.replace("${{ steps.promote.outputs.reference }}", &promoted);
        assert!(!script.contains("${{"), "{script}");
        let secret = if step["env"]["SEALIFT_KEY"].is_string() { &key } else { "" };
        let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", &outputs), ("RUNNER_TEMP", &temp)];
        shop.run(&script, "prod", &[&github[..], &[("REFERENCE", &reference), ("SEALIFT_KEY", secret)]].concat());
        if step["id"] == "promote" {
            let told = fs::read_to_string(&outputs).unwrap();
            promoted = told.lines().find_map(|line| line.strip_prefix("reference=")).unwrap().to_owned();
        }
    }
    assert_eq!(promoted, reference);
    shop.assert_promoted("GitHub");
}

/// Both jobs; the second one knows the first one's release by its dotenv report.
#[test]
fn the_gitlab_example_promotes() {
    let shop = Shop::open();
    let pipeline: Value = serde_saphyr::from_str(&read("gitlab/promote.gitlab-ci.yml")).unwrap();
    let script = |job: &str| {
        let lines = pipeline[job]["script"].as_array().unwrap();
        lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
    };
    shop.run(&script("release"), "dev", &[("GITLAB_CI", "true"), ("CI_COMMIT_TAG", "v1.4.2")]);
    assert_eq!(pipeline["promote"]["rules"][0]["when"], "manual", "a person lets it go on");
    let report = pipeline["release"]["artifacts"]["reports"]["dotenv"].as_str().unwrap();
    let report = fs::read_to_string(shop.cli.home().join(report)).unwrap();
    let variables: Vec<(&str, &str)> = report.lines().map(|line| line.split_once('=').unwrap()).collect();
    assert!(variables.contains(&("SEALIFT_VERSION", "1.4.2")), "{report}");
    shop.run(&script("promote"), "prod", &variables);
    shop.assert_promoted("GitLab");
}

/// Both command steps, by an agent that knows secrets and meta-data; Buildkite fills in what has one dollar.
#[test]
fn the_buildkite_example_promotes() {
    let shop = Shop::open();
    let pipeline: Value = serde_saphyr::from_str(&read("buildkite/promote.yml")).unwrap();
    let steps = pipeline["steps"].as_array().unwrap();
    let order: Vec<_> = steps.iter().map(|step| (&step["key"], &step["depends_on"])).collect();
    let (release, approve) = (json!("release"), json!("approve"));
    assert_eq!(order[1..], [(&approve, &release), (&Value::Null, &approve)], "a person is between");
    assert!(steps[1]["block"].is_string());
    for (stage, _) in STAGES {
        shop.cli.write(&format!("secrets/{}_KEY", stage.to_uppercase()), fs::read(&shop.keys[stage]).unwrap());
        shop.cli.write(&format!("secrets/{}_PASSWORD", stage.to_uppercase()), "");
    }
    shop.cli.write("meta-data/none", "");
    let agent = "#!/bin/sh\nset -eu\ncase \"$1 $2\" in\n'secret get') cat \"secrets/$3\" ;;\n\
                 'meta-data set') printf %s \"$4\" > \"meta-data/$3\" ;;\n'meta-data get') cat \"meta-data/$3\" ;;\n\
                 *) exit 1 ;;\nesac\n";
    let agent = shop.cli.write("bin/buildkite-agent", agent);
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    for step in [&steps[0], &steps[2]] {
        let script = step["command"].as_str().unwrap();
        assert_eq!(script.replace("$$", "").matches('$').count(), 0, "nothing is left to Buildkite: {script}");
        let script = script.replace("$$", "$").replace("registry.example", &shop.registry.host());
        let script = format!("PATH=\"$PWD/bin:$PATH\"\n{script}");
        // The keys come from the agent alone.
        let mut command = shop.shell(&script, "dev", &[("BUILDKITE", "true"), ("BUILDKITE_TAG", "v1.4.2")]);
        command.env_remove("SEALIFT_KEY").env_remove("SEALIFT_PASSWORD");
        done(command);
    }
    shop.assert_promoted("Buildkite");
}

/// The scripts of the `sh` steps, in order. To Groovy, as to the shell, a `\` at a line's end joins it with the next.
#[test]
fn the_jenkins_example_promotes() {
    let shop = Shop::open();
    let text = read("jenkins/Jenkinsfile");
    let scripts: Vec<&str> = text.split("sh '''").skip(1).map(|rest| rest.split("'''").next().unwrap()).collect();
    let keys: Vec<&str> =
        text.split("file(credentialsId: '").skip(1).map(|rest| rest.split('\'').next().unwrap()).collect();
    assert_eq!((scripts.len(), keys.as_slice()), (2, &["dev-key", "prod-key"][..]));
    let approve = text.find("input message:").unwrap();
    assert!(text.find("sealift push").unwrap() < approve && approve < text.find("sealift promote").unwrap());
    assert_eq!(text.matches('{').count(), text.matches('}').count());
    for (script, key) in scripts.iter().zip(keys) {
        shop.run(script, key.trim_end_matches("-key"), &[("TAG_NAME", "v1.4.2")]);
    }
    shop.assert_promoted("Jenkins");
}

/// The steps' scripts, with what Tekton fills in; results are files.
#[test]
fn the_tekton_tasks_promote() {
    let shop = Shop::open();
    let tasks = documents("tekton/release.yaml");
    let mut known = BTreeMap::from([("params.repository", shop.repository()), ("params.version", "1.4.2".to_owned())]);
    known.insert("workspaces.source.path", shop.cli.home().display().to_string());
    for (task, stage) in tasks.iter().zip(["dev", "prod"]) {
        assert_eq!((&task["apiVersion"], &task["kind"]), (&json!("tekton.dev/v1"), &json!("Task")));
        let folder = format!("secret-{stage}");
        shop.cli.write(&format!("{folder}/password"), "");
        let key = shop.cli.write(&format!("{folder}/cosign.key"), fs::read(&shop.keys[stage]).unwrap());
        known.insert("workspaces.key.path", key.parent().unwrap().display().to_string());
        let result = shop.cli.write("result", "");
        known.insert("results.reference.path", result.display().to_string());
        let fill = |text: &str| {
            known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
        };
        for step in task["spec"]["steps"].as_array().unwrap() {
            let variables: Vec<(String, String)> = step["env"]
                .as_array()
                .unwrap()
                .iter()
                .map(|variable| {
                    (variable["name"].as_str().unwrap().to_owned(), fill(variable["value"].as_str().unwrap()))
                })
                .collect();
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
            shop.run(&fill(step["script"].as_str().unwrap()), stage, &variables);
        }
        let told = fs::read_to_string(&result).unwrap();
        known.insert("params.reference", told);
    }
    shop.assert_promoted("Tekton");
}

/// Every file here is in the table, and everything in the table is here.
#[test]
fn the_table_names_every_example() {
    let folder = workspace().join("ci-examples");
    let table = read("README.md");
    let mut files = Vec::new();
    collect(&folder, &folder, &mut files);
    for file in files.iter().filter(|file| *file != "README.md") {
        assert!(table.contains(&format!("]({file})")), "{file} is not in ci-examples/README.md");
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(root, &path, files),
            false => files.push(path.strip_prefix(root).unwrap().display().to_string()),
        }
    }
}
