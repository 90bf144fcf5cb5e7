//! The official conformance suite of the OCI distribution specification, run against both stores.
//!
//! The suite is `github.com/opencontainers/distribution-spec/conformance`, a Go program that `testenv/build` installs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;

use sealift_e2e::Tool;
use sealift_registry::server::{self, Credentials, ServerOptions, Store};

const SUITE: &str = "distribution-conformance";

/// Everything on: the newest draft's checks, manifests that name missing content, every digest algorithm.
const ALL: [(&str, &str); 2] = [("OCI_VERSION", "dev"), ("OCI_DATA_SPARSE", "true")];

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let report = run(ServerOptions::default(), &ALL).await;
    assert_all_passed(report, 1000);
}

#[tokio::test]
async fn the_store_in_an_image_layout_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Layout(folder.path().join("registry"));
    let report = run(ServerOptions { store, ..ServerOptions::default() }, &ALL).await;
    assert_all_passed(report, 1000);
}

#[tokio::test]
async fn a_registry_that_asks_for_a_password_conforms() {
    let credentials = Credentials { user: "robot".to_owned(), password: "s3cret".to_owned().into() };
    let options = ServerOptions { credentials: Some(credentials), ..ServerOptions::default() };
    let login = [("OCI_USERNAME", "robot"), ("OCI_PASSWORD", "s3cret")];
    let report = run(options, &[&ALL[..], &login].concat()).await;
    assert_all_passed(report, 1000);
}

/// The suite has to be able to fail here: without the referrers API, exactly its checks of that API do.
#[tokio::test]
async fn without_the_referrers_api_only_the_referrers_fail() {
    let options = || ServerOptions { referrers_api: false, ..ServerOptions::default() };
    if let Some(report) = run(options(), &ALL).await {
        assert!(report.counts["FAIL"] > 0, "{}", report.text);
    }
    let report = run(options(), &[&ALL[..], &[("OCI_API_REFERRER", "false")]].concat()).await;
    if let Some(report) = report {
        assert_eq!((report.counts["FAIL"], report.counts["Error"]), (0, 0), "{}", report.text);
        assert!(report.counts["Pass"] > 950, "{}", report.text);
    }
}

struct Report {
    /// The suite's own numbers: `Pass`, `FAIL`, `Error`, `Skip`, `Disabled`, `Total`.
    counts: BTreeMap<String, u64>,
    text: String,
}

fn assert_all_passed(report: Option<Report>, at_least: u64) {
    let Some(Report { counts, text }) = report else { return };
    for unwanted in ["FAIL", "Error", "Skip", "Disabled"] {
        assert_eq!(counts[unwanted], 0, "{unwanted}\n{text}");
    }
    assert_eq!(counts["Pass"], counts["Total"], "{text}");
    assert!(counts["Pass"] >= at_least, "only {} checks ran\n{text}", counts["Pass"]);
}

/// Runs the suite against a fresh registry; nothing, after saying so, where the suite is not installed.
async fn run(options: ServerOptions, settings: &[(&str, &str)]) -> Option<Report> {
    let mut command = Tool::find(SUITE)?.command();
    let registry = server::spawn(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    command
        .current_dir(&folder)
        .env("OCI_REGISTRY", registry.addr.to_string())
        .env("OCI_TLS", "disabled")
        .env("OCI_RESULTS_DIR", folder.path())
        .envs(settings.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let counts = counts(&text);
    let failed = counts.get("FAIL").copied().unwrap_or_default() + counts.get("Error").copied().unwrap_or_default();
    assert_eq!(output.status.success(), failed == 0, "the exit code and the counts disagree\n{text}");
    assert!(registry.requests().total() >= counts["Total"], "the suite talked to this registry\n{text}");
    Some(Report { counts, text })
}

/// The table below `OCI Conformance Result:`, lines of the form `Pass.....:   860`.
fn counts(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .skip_while(|line| !line.starts_with("OCI Conformance Result:"))
        .skip(1)
        .map_while(|line| {
            let (name, count) = line.trim().split_once(':')?;
            Some((name.trim_end_matches('.').to_owned(), count.trim().parse().ok()?))
        })
        .collect()
}

#[test]
fn reads_the_numbers_the_suite_prints() {
    let text = "x\nOCI Conformance Result: FAIL\n  Pass....:   860\n  FAIL....:     2\n  Total...: 862\n\nAPI conformance:\n  a: 1\n";
    let counts = counts(text);
    assert_eq!((counts.len(), counts["Pass"], counts["FAIL"], counts["Total"]), (3, 860, 2, 862));
}
