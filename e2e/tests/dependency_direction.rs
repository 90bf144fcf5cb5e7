//! What each crate may link, over `cargo tree`: crates are split by I/O edge, and one TLS stack serves all.

use std::{collections::BTreeSet, process::Command};

/// The names of all packages that end up in `package` when it is built for this machine.
fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package])
        .current_dir(sealift_e2e::workspace())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("package names are text");
    let names: BTreeSet<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(names.contains(package), "cargo tree no longer prints the package itself first:\n{text}");
    names
}

/// Fails naming every linked package that `forbidden` names; a trailing `*` stands for any ending.
fn assert_free_of(package: &str, forbidden: &[&str]) {
    let matches = |name: &str, pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    let linked = linked(package);
    let found: Vec<&String> =
        linked.iter().filter(|name| forbidden.iter().any(|pattern| matches(name, pattern))).collect();
    assert!(
        found.is_empty(),
        "{package} must not link {found:?}; see it with: cargo tree -e normal -p {package} -i NAME"
    );
}

/// What speaks to a cluster. Not "kube*": kube-cel is a dialect of a language, and links none of these.
const CLUSTER: [&str; 6] = ["kube", "kube-client", "kube-core", "kube-derive", "kube-runtime", "k8s-openapi"];

#[test]
fn verify_is_pure() {
    let edges = ["tokio*", "hyper*", "reqwest*", "oci-client", "axum*", "sealift-registry", "sealift-apply"];
    assert_free_of("sealift-verify", &edges);
    assert_free_of("sealift-verify", &CLUSTER);
}

#[test]
fn apply_knows_no_registry() {
    assert_free_of("sealift-apply", &["sealift-registry", "oci-client", "sealift", "sealift-controller"]);
}

#[test]
fn registry_knows_no_cluster() {
    assert_free_of("sealift-registry", &["sealift-apply", "sealift", "sealift-controller"]);
    assert_free_of("sealift-registry", &CLUSTER);
}

#[test]
fn spans_know_nothing_of_what_they_tell_of() {
    assert_free_of("sealift-trace", &["sealift-verify", "sealift-apply", "sealift-registry", "opentelemetry*"]);
    assert_free_of("sealift-trace", &CLUSTER);
}

#[test]
fn the_two_binaries_do_not_link_each_other() {
    assert_free_of("sealift", &["sealift-controller"]);
    assert_free_of("sealift-controller", &["sealift"]);
}

#[test]
fn no_shipped_crate_links_the_tests() {
    for package in ["sealift", "sealift-controller"] {
        assert_free_of(package, &["sealift-e2e"]);
    }
}

#[test]
fn one_tls_stack_and_one_crypto_provider() {
    for package in ["sealift", "sealift-controller"] {
        assert_free_of(package, &["ring", "openssl", "openssl-sys", "native-tls", "boring*"]);
        let linked = linked(package);
        for part in ["rustls", "aws-lc-rs"] {
            assert!(linked.contains(part), "{package} no longer links {part}; this test guards nothing then");
        }
    }
}
