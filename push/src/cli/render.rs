use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};

/// How folders become manifests.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Rendering options")]
pub(crate) struct RenderArgs {
    /// What renders a folder: auto takes kustomize where a kustomization lies in it and helm where a Chart.yaml does,
    /// none takes the files as they are
    #[arg(long, value_enum, default_value_t, value_name = "RENDERER")]
    pub(crate) render: Renderer,
    /// Render with this program instead, run in each folder without a shell (for pipes: sh -c '…') and without a
    /// cluster; its standard output is the manifests
    #[arg(long, value_name = "COMMAND", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "render")]
    pub(crate) render_cmd: Option<String>,
    /// Values file for charts; may be repeated, and later ones win
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Vec<PathBuf>,
    /// Release name that charts are rendered with [default: the chart's name]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) release_name: Option<String>,
    /// Namespace that charts are rendered with [default: default]
    #[arg(long, value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) release_namespace: Option<String>,
    /// Kubernetes version that charts are told, such as 1.34 [default: that of helm]
    #[arg(long, value_name = "VERSION", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) kube_version: Option<String>,
    /// API that charts are told the cluster has, such as monitoring.coreos.com/v1; may be repeated
    #[arg(long, value_name = "GROUP/VERSION", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) api_versions: Vec<String>,
    /// What becomes of install and upgrade hooks of charts; test hooks are always left out
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(crate) helm_hooks: HelmHooks,
}

/// What renders folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Renderer {
    /// What the folder looks like.
    #[default]
    Auto,
    /// Nothing: files are taken as they are.
    None,
    /// kustomize, or the one in kubectl.
    Kustomize,
    /// helm template.
    Helm,
}

/// What becomes of a chart's hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum HelmHooks {
    /// Refuse to push a chart that has them.
    #[default]
    Refuse,
    /// Install and upgrade hooks become ordinary objects of the release; delete and rollback hooks are left out.
    Apply,
    /// Leave all of them out.
    Drop,
}

impl RenderArgs {
    /// The first flag that only means something where a chart is rendered.
    pub(crate) fn for_charts(&self) -> Option<&'static str> {
        let Self {
            render: _,
            render_cmd: _,
            values,
            release_name,
            release_namespace,
            kube_version,
            api_versions,
            helm_hooks,
        } = self;
        [
            (!values.is_empty(), "--values"),
            (release_name.is_some(), "--release-name"),
            (release_namespace.is_some(), "--release-namespace"),
            (kube_version.is_some(), "--kube-version"),
            (!api_versions.is_empty(), "--api-versions"),
            (*helm_hooks != HelmHooks::Refuse, "--helm-hooks"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }
}
