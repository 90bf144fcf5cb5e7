//! What a folder of manifests says must be in the cluster.

use std::{
    collections::BTreeSet,
    env, fmt, fs,
    path::{Path, PathBuf},
};

use sealift_verify::{
    artifact::Limits,
    objects::{
        ObjectId, Objects,
        yaml::{Source, read},
    },
};

use crate::tool::{shared_folder, skip};

/// Names one object whatever the version it is written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The API group; empty for core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// The kinds of the corpora that lie in no namespace; kubectl and the API server know, and this is a test's own table.
const CLUSTER_SCOPED: &[&str] =
    &["Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "APIService"];

impl Name {
    /// The object as it is found in a cluster: what names no namespace lies in that of its Delivery.
    #[must_use]
    pub fn placed(id: &ObjectId, namespace: &str) -> Self {
        let mut name = Self::from(id);
        if name.namespace.is_none() && !CLUSTER_SCOPED.contains(&id.kind.as_str()) {
            name.namespace = Some(namespace.to_owned());
        }
        name
    }
}

impl From<&ObjectId> for Name {
    fn from(id: &ObjectId) -> Self {
        let ObjectId { group, kind, namespace, name, version: _ } = id.clone();
        Self { group, kind, namespace, name }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, kind, namespace, name } = self;
        write!(f, "{kind}.{group} {}/{name}", namespace.as_deref().unwrap_or("_"))
    }
}

/// A folder of the corpus: below `SEALIFT_CORPUS`, else below `../shared/corpus`.
///
/// # Panics
/// With `CI=true` where it is missing.
#[must_use]
pub fn corpus(name: &str) -> Option<PathBuf> {
    let Some(root) = env::var_os("SEALIFT_CORPUS").map(PathBuf::from) else {
        return shared_folder(&format!("corpus/{name}"));
    };
    let path = root.join(name);
    if !path.is_dir() {
        skip(&format!("{name} is not in SEALIFT_CORPUS"));
        return None;
    }
    Some(path)
}

/// The objects of every manifest below these paths.
///
/// # Panics
/// Where one cannot be read.
#[must_use]
pub fn expected(paths: &[&Path]) -> Objects {
    let mut files = BTreeSet::new();
    for path in paths {
        below(path, &mut files);
    }
    let source = |path: &PathBuf| Source {
        name: path.display().to_string(),
        bytes: fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    read(&sources, &Limits::default()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn below(path: &Path, found: &mut BTreeSet<PathBuf>) {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for entry in entries.flatten() {
            below(&entry.path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "json") {
        found.insert(path.to_owned());
    }
}
