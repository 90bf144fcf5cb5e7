//! The sigstore conformance protocol, spoken by the binary: every case by file and by digest.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealift_verify::digest::Digest;

use crate::support::{Run, command};

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn cases() -> Option<PathBuf> {
    match std::env::var_os("SEALIFT_CONFORMANCE") {
        Some(folder) => Some(PathBuf::from(folder).join("sigstore")),
        None => Some(sealift_e2e::shared_folder("conformance")?.join("sigstore")),
    }
}

/// The arguments of a case, all but the artifact.
fn arguments(case: &Path) -> Vec<String> {
    let path = |name: &str| case.join(name).to_str().expect("a path is text").to_owned();
    let text =
        |name: &str, default: &str| fs::read_to_string(path(name)).map_or(default.to_owned(), |t| t.trim().into());
    let mut arguments = vec!["verify-bundle".to_owned(), "--bundle".into(), path("bundle.sigstore.json")];
    if case.join("key.pub").exists() {
        arguments.extend(["--key".into(), path("key.pub")]);
    } else {
        arguments.extend(["--certificate-identity".into(), text("identity", IDENTITY)]);
        arguments.extend(["--certificate-oidc-issuer".into(), text("issuer", ISSUER)]);
    }
    if case.join("trusted_root.json").exists() {
        arguments.extend(["--trusted-root".into(), path("trusted_root.json")]);
    }
    arguments
}

fn run(arguments: &[String]) -> Run {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Run::of(command(Path::new("."), &arguments).output().expect("the binary starts"))
}

#[test]
fn every_conformance_case_gets_its_verdict_as_exit_code() {
    let Some(folder) = cases() else { return };
    let entries = fs::read_dir(&folder).expect("the cases can be listed");
    let mut folders: Vec<_> = entries.map(|e| e.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let (mut accepted, mut refused) = (0, 0);
    for case in &folders {
        let name = case.file_name().expect("a folder has a name").to_string_lossy();
        let own = case.join("artifact");
        let artifact = if own.exists() { own } else { folder.join("a.txt") };
        let digest = Digest::of(&fs::read(&artifact).expect("an artifact can be read"));
        for artifact in [artifact.to_str().expect("a path is text").to_owned(), digest.to_string()] {
            let run = run(&[arguments(case), vec![artifact]].concat());
            let wanted = if name.ends_with("_fail") { 3 } else { 0 };
            assert_eq!(run.code, wanted, "{name}\n{}{}", run.stdout, run.stderr);
            *(if wanted == 0 { &mut accepted } else { &mut refused }) += 1;
        }
    }
    eprintln!("verify-bundle: {accepted} accepted, {refused} refused");
    assert_eq!(accepted + refused, 2 * folders.len());
    assert!(accepted > 0 && refused > 0, "the folder holds both kinds of cases");
}

#[test]
fn another_identity_issuer_key_or_artifact_is_refused_and_named() {
    let Some(folder) = cases() else { return };
    let good = arguments(&folder.join("happy-path-v0.3"));
    let artifact = folder.join("a.txt").to_str().expect("a path is text").to_owned();
    let with = |at: usize, value: &str, artifact: &str| {
        let mut arguments = good.clone();
        arguments[at] = value.to_owned();
        arguments.push(artifact.to_owned());
        run(&arguments)
    };
    with(4, "https://example.com/other", &artifact).exits(3).silent().says(&["issued to", "https://example.com/other"]);
    with(6, "https://issuer.example", &artifact).exits(3).silent().says(&["vouched for", "https://issuer.example"]);
    let other = Digest::of(b"other").to_string();
    with(4, IDENTITY, &other).exits(3).silent().says(&["does not verify"]);
    let accepted = with(4, IDENTITY, &artifact).exits(0);
    for part in ["pass         certificate", IDENTITY, "pass         transparency-log"] {
        assert!(accepted.stdout.contains(part), "{part:?} is missing from\n{}", accepted.stdout);
    }
    assert!(accepted.stdout.contains("not present  timestamp"), "{}", accepted.stdout);
}

#[test]
fn wrong_usage_of_verify_bundle_is_told_from_a_refusal() {
    let here = Path::new(".");
    let run = |arguments: &[&str]| Run::of(command(here, arguments).output().expect("the binary starts"));
    run(&["verify-bundle", "--bundle", "x", "artifact"]).exits(2).silent();
    run(&["verify-bundle", "--bundle", "x", "--certificate-identity", "me", "artifact"]).exits(2).silent();
    run(&["verify-bundle", "--bundle", "x", "--key", "k", "--certificate-identity", "me", "artifact"]).exits(2);
    run(&["verify-bundle", "--bundle", "x", "--key", "k", "sha256:short"]).exits(2).silent();
    run(&["verify-bundle", "--bundle", "missing", "--key", "k", &Digest::of(b"").to_string()]).exits(6).silent();
}
