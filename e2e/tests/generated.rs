//! Files of `deploy/` that are made from others: `make generate` writes them, these tests compare them with git.

use std::{
    env,
    fs::{self, DirEntry},
    io,
    path::Path,
};

/// What `deploy/base` holds, in the order in which it is applied.
const BASE: &[&str] =
    &["namespace.yaml", "rbac.yaml", "network-policy.yaml", "pod-disruption-budget.yaml", "controller.yaml"];

const HEAD: &str = "\
# Sealift in one file: custom resources, namespace, rights, controller.
#
#   kubectl apply --server-side -f install.yaml
#
# Generated from deploy/crds and deploy/base by `make generate`.
";

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: io::Result<DirEntry>| entry.expect("a folder can be read").file_name().into_string();
    let mut names: Vec<_> = entries.map(|entry| name(entry).expect("names here are ASCII")).collect();
    names.sort();
    names
}

fn install() -> String {
    let deploy = sealift_e2e::workspace().join("deploy");
    let definitions = names(&deploy.join("crds")).into_iter().map(|name| deploy.join("crds").join(name));
    let base = BASE.iter().map(|name| deploy.join("base").join(name));
    let documents = definitions.chain(base).map(|path| format!("---\n{}\n", read(&path).trim_end()));
    documents.fold(HEAD.to_owned(), |text, document| text + &document)
}

#[test]
fn generated_install_manifest_is_up_to_date() {
    let path = sealift_e2e::workspace().join("deploy/install.yaml");
    let text = install();
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(read(&path) == text, "deploy/install.yaml is stale: make generate");
}

#[test]
fn generated_install_manifest_leaves_out_no_file() {
    let mut listed: Vec<_> = BASE.iter().map(ToString::to_string).collect();
    listed.sort();
    assert_eq!(names(&sealift_e2e::workspace().join("deploy/base")), listed);
}
