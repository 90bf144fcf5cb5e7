//! Charts: the one command line they are rendered with.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use sealift_verify::digest::Digest;
use serde_json::Value;

use super::inputs::{self, InputsError};
use crate::cli::render::RenderArgs;

/// What makes a folder a chart.
pub(super) const NAME: &str = "Chart.yaml";

/// A chart, and how it is rendered.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) arguments: Vec<OsString>,
    /// The same without where files lie on this machine.
    pub(super) shown: Vec<String>,
    /// Values files by name as given, with their digests, in the order in which they count.
    pub(super) values: Vec<(String, Digest)>,
}

/// Why a chart is not rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChartError {
    /// Its description cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its description has no name to render it with.
    #[error("{} names no chart", .0.display())]
    NoName(PathBuf),
    /// Its name would be an option on helm's command line, or is no name at all.
    #[error("{} names the chart {name:?}, which no release can be called", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What stands there.
        name: String,
    },
    /// A values file cannot be read.
    #[error("values file {} cannot be read", path.display())]
    Values {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A values file cannot be hashed.
    #[error(transparent)]
    Inputs(#[from] InputsError),
}

/// The chart in `folder`, where helm runs.
pub(super) fn chart(folder: &Path, args: &RenderArgs) -> Result<Chart, ChartError> {
    let name = match &args.release_name {
        Some(name) => name.clone(),
        None => own_name(&folder.join(NAME))?,
    };
    let mut shown = vec!["template".to_owned(), name, ".".to_owned(), "--include-crds".to_owned()];
    let namespace = args.release_namespace.as_deref().unwrap_or("default");
    shown.extend(["--namespace".to_owned(), namespace.to_owned()]);
    if let Some(version) = &args.kube_version {
        shown.extend(["--kube-version".to_owned(), version.clone()]);
    }
    for api in &args.api_versions {
        shown.extend(["--api-versions".to_owned(), api.clone()]);
    }
    let mut arguments: Vec<OsString> = shown.iter().map(OsString::from).collect();
    let mut values = Vec::new();
    for path in &args.values {
        let unreadable = |source| ChartError::Values { path: path.clone(), source };
        let found = fs::canonicalize(path).map_err(unreadable)?;
        let name = super::shown(path);
        values.push((name.clone(), inputs::hash(&found)?.0));
        arguments.extend(["--values".into(), found.into_os_string()]);
        shown.extend(["--values".to_owned(), name]);
    }
    Ok(Chart { arguments, shown, values })
}

fn own_name(path: &Path) -> Result<String, ChartError> {
    let text = fs::read_to_string(path).map_err(|source| ChartError::Read { path: path.to_owned(), source })?;
    let options = serde_saphyr::options! { strict_booleans: true };
    let chart: Option<Value> = serde_saphyr::from_str_with_options(&text, options).ok();
    let name = chart.and_then(|chart| chart["name"].as_str().map(str::to_owned)).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| ChartError::NoName(path.to_owned()))?;
    match is_name(&name) {
        true => Ok(name),
        false => Err(ChartError::Name { path: path.to_owned(), name }),
    }
}

/// True for what helm's command line takes for a word and not for an option; helm itself has the rest of the grammar.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// What to try after helm has failed, by what it said.
pub(super) fn advice(stderr: &str) -> Option<&'static str> {
    if stderr.contains("helm dependency build") || stderr.contains("missing in charts/") {
        return Some(
            "run `helm dependency build` in the chart first, and keep its charts/: nothing is fetched while rendering",
        );
    }
    stderr.contains("values don't meet the specifications").then_some("give what is missing with --values FILE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_rendered_by_its_own_name_and_values_are_told_by_digest() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "apiVersion: v2\nname: shop\nversion: 1.0.0\n").unwrap();
        let values = folder.path().join("prod.yaml");
        fs::write(&values, "a: 1\n").unwrap();
        let args = RenderArgs {
            values: vec![values],
            kube_version: Some("1.34".into()),
            api_versions: vec!["a/v1".into()],
            ..RenderArgs::default()
        };
        let chart = chart(folder.path(), &args).unwrap();
        let expected = "template shop . --include-crds --namespace default --kube-version 1.34 --api-versions a/v1 \
                        --values prod.yaml";
        assert_eq!(chart.shown.join(" "), expected);
        assert_eq!(chart.values, [("prod.yaml".to_owned(), Digest::of(b"a: 1\n"))]);
        assert!(Path::new(chart.arguments.last().unwrap()).is_absolute(), "helm runs in the chart's folder");
    }

    /// Whoever wrote the chart would otherwise choose how helm is run.
    #[test]
    fn a_chart_cannot_name_itself_an_option_of_helm() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["--dry-run=server", "-f", "--output-dir=out", "a b", "a=b", "../a"] {
            fs::write(folder.path().join(NAME), format!("name: {name:?}\n")).unwrap();
            let error = chart(folder.path(), &RenderArgs::default()).unwrap_err();
            assert!(matches!(&error, ChartError::Name { name: found, .. } if found == name), "{error}");
        }
    }

    #[test]
    fn what_has_no_name_or_values_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "version: 1.0.0\n").unwrap();
        assert!(matches!(chart(folder.path(), &RenderArgs::default()), Err(ChartError::NoName(_))));
        let args =
            RenderArgs { release_name: Some("a".into()), values: vec!["nowhere.yaml".into()], ..RenderArgs::default() };
        assert!(matches!(chart(folder.path(), &args), Err(ChartError::Values { .. })));
    }
}
