//! Kustomizations: what they may read, and that all of it lies here. What kustomize does with it is kustomize's.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Names of a kustomization, in the order in which kustomize looks for them.
pub(super) const NAMES: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// More bases than this are a circle, or no release.
const MOST_ROOTS: usize = 1_000;
/// Larger files are no kustomization.
const LARGEST: u64 = 4 << 20;

/// Why a kustomization is not rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KustomizationError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no YAML.
    #[error("{} is no kustomization", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It would be fetched while rendering, and nothing would hold it to what it is today.
    #[error("{} refers to {reference:?}, which is not a file here", path.display())]
    Remote {
        /// The file.
        path: PathBuf,
        /// What it names.
        reference: String,
    },
    /// It has charts inflated.
    #[error("{} inflates Helm charts, which kustomize does with --enable-helm only", .0.display())]
    Charts(PathBuf),
    /// Bases of bases without end.
    #[error("{} refers to more than {MOST_ROOTS} folders", .0.display())]
    TooMany(PathBuf),
}

impl KustomizationError {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Remote { .. } => Some(
                "what is signed must not depend on what a server says today: copy it here, at the revision you mean, and \
                 name the copy",
            ),
            Self::Charts(_) => Some(
                "push the chart itself, or render with --render-cmd 'kustomize build --enable-helm .', whose inputs \
                 are not all known",
            ),
            Self::Read { .. } | Self::Yaml { .. } | Self::TooMany(_) => None,
        }
    }
}

/// The kustomization in a folder, if there is one.
pub(super) fn in_folder(folder: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Every folder that kustomize may read files from: that of the kustomization, and those of its bases and components.
/// It reads none from elsewhere, unless it is told to. `folder` is canonical, and so is what comes out.
pub(super) fn roots(folder: &Path) -> Result<BTreeSet<PathBuf>, KustomizationError> {
    let mut roots = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(root) = open.pop() {
        if !roots.insert(root.clone()) {
            continue;
        }
        if roots.len() > MOST_ROOTS {
            return Err(KustomizationError::TooMany(folder.to_owned()));
        }
        // Without one kustomize has the better message.
        let Some(path) = in_folder(&root) else { continue };
        let document = read(&path)?;
        if ["helmCharts", "helmChartInflationGenerator"].iter().any(|field| document[*field].is_array()) {
            return Err(KustomizationError::Charts(path));
        }
        let references = references(&document);
        if let Some(reference) = references.iter().find(|reference| is_remote(reference)) {
            return Err(KustomizationError::Remote { path, reference: reference.clone() });
        }
        let folders = references.iter().filter(|reference| !reference.contains('\n')).map(|name| root.join(name));
        open.extend(folders.filter(|path| path.is_dir()).filter_map(|path| path.canonicalize().ok()));
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Value, KustomizationError> {
    use io::Read as _;
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    read.map_err(|source| KustomizationError::Read { path: path.to_owned(), source })?;
    let options = serde_saphyr::options! { strict_booleans: true };
    let value = serde_saphyr::from_str_with_options(&text, options);
    value.map_err(|source| KustomizationError::Yaml { path: path.to_owned(), source: Box::new(source) })
}

/// Everything that kustomize would load by name, wherever a kustomization has names. Some of it is no name but the
/// content itself, over several lines.
fn references(document: &Value) -> Vec<String> {
    let lists = [
        "resources",
        "bases",
        "components",
        "crds",
        "configurations",
        "generators",
        "transformers",
        "validators",
        "patchesStrategicMerge",
    ];
    let texts = lists.iter().flat_map(|field| items(&document[*field])).filter_map(Value::as_str);
    let mut found: Vec<String> = texts.map(str::to_owned).collect();
    for field in ["patches", "patchesJson6902", "replacements"] {
        found.extend(items(&document[field]).filter_map(|item| item["path"].as_str()).map(str::to_owned));
    }
    found.extend(document["openapi"]["path"].as_str().map(str::to_owned));
    for generator in ["configMapGenerator", "secretGenerator"].iter().flat_map(|field| items(&document[*field])) {
        found.extend(generator["env"].as_str().map(str::to_owned));
        found.extend(items(&generator["envs"]).filter_map(Value::as_str).map(str::to_owned));
        let files = items(&generator["files"]).filter_map(Value::as_str);
        found.extend(files.map(|file| file.split_once('=').map_or(file, |(_, path)| path).to_owned()));
    }
    found
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// True for what kustomize would fetch: an address, in any of the forms that it takes for a repository, whether or not
/// there is a file of that name.
fn is_remote(reference: &str) -> bool {
    if reference.contains('\n') {
        return false;
    }
    let lower = reference.trim().to_ascii_lowercase();
    let first = lower.split('/').next().unwrap_or_default();
    lower.contains("://")
        || first.contains(':')
        || first.contains('@')
        || lower.contains("?ref=")
        || lower.contains(".git/")
        || lower.ends_with(".git")
        || lower.contains("_git/")
        || ["github.com", "www.github.com", "gitlab.com", "bitbucket.org", "dev.azure.com"].contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let at = folder.path().canonicalize().unwrap();
        (folder, at)
    }

    #[test]
    fn bases_and_components_are_followed_wherever_they_lie() {
        let (_kept, at) = folder(&[
            ("overlays/prod/kustomization.yaml", "resources: [../../base, ns.yaml]\ncomponents: [../../parts/tls]\n"),
            ("base/kustomization.yml", "resources: [web.yaml, db/]\n"),
            ("base/db/Kustomization", "bases: ['../../overlays/prod']\n"),
            ("parts/tls/kustomization.yaml", "kind: Component\npatches: [{path: a.yaml}]\n"),
            ("other/kustomization.yaml", ""),
        ]);
        let roots = roots(&at.join("overlays/prod")).unwrap();
        let expected = ["overlays/prod", "base", "base/db", "parts/tls"].map(|name| at.join(name));
        assert_eq!(roots, BTreeSet::from(expected));
    }

    #[test]
    fn what_would_be_fetched_is_refused_wherever_it_is_named() {
        for text in [
            "resources: ['https://example.com/a.yaml']",
            "resources: ['github.com/acme/shop//deploy?ref=v1']",
            "resources: ['git@git.example:acme/shop.git']",
            "resources: ['git::https://example.com/a']",
            "resources: ['gh:acme/shop']",
            "bases: ['GitHub.com/acme/shop']",
            "components: ['ssh://git.example/a']",
            "crds: ['http://example.com/a.json']",
            "patches: [{path: 'https://example.com/p.yaml'}]",
            "patchesStrategicMerge: ['https://example.com/p.yaml']",
            "configMapGenerator: [{name: a, files: ['k=https://example.com/p']}]",
            "secretGenerator: [{name: a, envs: ['https://example.com/p']}]",
            "openapi: {path: 'https://example.com/p'}",
            "transformers: ['https://example.com/p']",
        ] {
            let (_kept, at) = folder(&[("kustomization.yaml", text)]);
            assert!(matches!(roots(&at), Err(KustomizationError::Remote { .. })), "{text}");
        }
        let (_kept, at) = folder(&[
            ("kustomization.yaml", "resources: [base]"),
            ("base/kustomization.yaml", "resources: ['https://example.com/a.yaml']"),
        ]);
        let path = at.join("base/kustomization.yaml");
        assert!(matches!(roots(&at), Err(KustomizationError::Remote { path: found, .. }) if found == path));
    }

    #[test]
    fn what_is_written_in_place_is_no_address() {
        let (_kept, at) = folder(&[(
            "kustomization.yaml",
            "patchesStrategicMerge:\n- |\n  apiVersion: v1\n  url: https://example.com\npatches: [{patch: 'a: https://b'}]\n\
             resources: [a.yaml, ./b, ../c/d.yaml]\nimages: [{name: github.com/a/b}]\n",
        )]);
        assert_eq!(roots(&at).unwrap().len(), 1);
    }

    #[test]
    fn charts_in_a_kustomization_are_explained_and_no_yaml_is_an_error() {
        let (_kept, at) = folder(&[("kustomization.yaml", "helmCharts: [{name: a}]")]);
        assert!(matches!(roots(&at), Err(KustomizationError::Charts(_))));
        let (_kept, at) = folder(&[("kustomization.yaml", "resources: [a")]);
        assert!(matches!(roots(&at), Err(KustomizationError::Yaml { .. })));
    }
}
