//! The list of what a binary is made of, held against the binary itself.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{collections::BTreeSet, process::Command};

use sealift_e2e::binary;
use serde_json::Value;

fn list(package: &str) -> Value {
    let mut command = Command::new(binary("sealift-sbom"));
    let output = command.arg(package).env("CARGO", env!("CARGO")).env("CARGO_NET_OFFLINE", "true").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `NAME-VERSION` of every library that the list names.
fn listed(list: &Value) -> BTreeSet<String> {
    let components = list["components"].as_array().unwrap().iter();
    let name = |component: &Value| {
        let text = |field: &str| component[field].as_str().unwrap().to_owned();
        format!("{}-{}", text("name"), text("version"))
    };
    components.map(name).collect()
}

/// `NAME-VERSION` of every library whose source files the binary names, where it may panic. grep is many times as fast at it as
/// a test is without optimisation.
fn linked(program: &str) -> BTreeSet<String> {
    let mut grep = Command::new("grep");
    grep.env("LC_ALL", "C").args(["-aoE", "/registry/src/[^/]+/[A-Za-z0-9_.+-]+"]).arg(binary(program));
    let output = grep.output().unwrap();
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names.lines().filter_map(|line| line.rsplit('/').next()).map(str::to_owned).collect()
}

#[test]
fn the_list_names_every_library_that_the_binaries_link() {
    for (package, program) in [("sealift-controller", "sealift-controller"), ("sealift", "sealift")] {
        let list = list(package);
        assert_eq!(list["metadata"]["component"]["name"], package);
        let (listed, linked) = (listed(&list), linked(program));
        assert!(linked.len() > 60, "the binary names too few of its sources to be compared: {linked:?}");
        let missing: Vec<_> = linked.difference(&listed).collect();
        assert!(missing.is_empty(), "{program} links what its list lacks: {missing:?}");
        for ours in ["sealift-verify", "sealift-apply", "sealift-registry"] {
            assert!(listed.iter().any(|name| name.starts_with(ours)), "{ours}");
        }
    }
}

#[test]
fn the_list_names_nothing_that_only_builds_or_tests() {
    let listed = listed(&list("sealift-controller"));
    for absent in
        ["serde_derive-", "syn-", "proc-macro2-", "cc-", "tempfile-", "proptest-", "clap_mangen-", "sealift-0"]
    {
        let found: Vec<_> = listed.iter().filter(|name| name.starts_with(absent)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn everything_foreign_has_a_checksum_and_everything_a_licence() {
    let list = list("sealift-controller");
    for component in list["components"].as_array().unwrap() {
        let is_ours = component["name"].as_str().unwrap().starts_with("sealift");
        assert_eq!(component["hashes"][0]["content"].as_str().map(str::len), (!is_ours).then_some(64), "{component}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
}
