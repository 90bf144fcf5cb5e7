//! The CI examples, read by the code of the platforms that they are for, where that can be built. Run by `make interop`.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{fs, path::PathBuf, process::Output};

use sealift_e2e::{Cli, Tool, workspace};
use serde_json::Value;

/// The examples of a platform, by their folder.
fn examples(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(workspace().join("ci-examples").join(folder)).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a checker on each example, and on each with one change that it must find.
fn check(folder: &str, run: impl Fn(&PathBuf) -> Output, right: &str, wrong: &str) {
    let cli = Cli::new();
    for path in examples(folder) {
        let done = run(&path);
        assert!(done.status.success(), "{}: {}", path.display(), said(&done));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(right), "{}: nothing to change", path.display());
        let broken = cli.write("broken.yaml", text.replacen(right, wrong, 1));
        assert!(!run(&broken).status.success(), "{}: whatever it is, it is fine", path.display());
    }
}

#[test]
fn actionlint_finds_nothing_in_the_github_workflows() {
    let Some(actionlint) = Tool::for_interop("actionlint") else { return };
    // Other checkers that may be installed have opinions of their own.
    let run = |path: &PathBuf| {
        actionlint.command().args(["-no-color", "-shellcheck=", "-pyflakes="]).arg(path).output().unwrap()
    };
    check("github-actions", run, "runs-on:", "run-on:");
    check("github-actions", run, "secrets.GITHUB_TOKEN", "secret.GITHUB_TOKEN");
}

#[test]
fn tekton_takes_the_tasks() {
    let Some(lint) = Tool::for_interop("ci-lint") else { return };
    let run = |path: &PathBuf| lint.command().arg("tekton").arg(path).output().unwrap();
    check("tekton", run, "      script: |", "      scripts: |");
    check("tekton", run, "$(params.repository)", "$(params.repositories)");
}

#[test]
fn the_parser_of_buildkites_agent_takes_the_pipelines_and_leaves_to_the_shell_what_is_the_shells() {
    let Some(lint) = Tool::for_interop("ci-lint") else { return };
    let run = |path: &PathBuf| lint.command().env_clear().arg("buildkite").arg(path).output().unwrap();
    check("buildkite", run, "    command: |", "    comand: |");
    for path in examples("buildkite") {
        let parsed: Value = serde_json::from_slice(&run(&path).stdout).unwrap();
        let written: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let commands = |pipeline: &Value| -> Vec<String> {
            let steps = pipeline["steps"].as_array().unwrap();
            steps.iter().filter_map(|step| step["command"].as_str()).map(str::to_owned).collect()
        };
        let expected: Vec<_> = commands(&written).iter().map(|text| text.replace("$$", "$")).collect();
        assert!(!expected.is_empty());
        assert_eq!(commands(&parsed), expected, "{}: as the other tests play it", path.display());
    }
}
