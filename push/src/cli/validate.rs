use std::path::PathBuf;

use clap::Args;
use sealift_verify::parameters::Parameter;

use super::{render::RenderArgs, variant::VariantArgs};
use crate::validate::{Skipped, Version, supported};

const EXAMPLES: &str = "\
Examples:
  sealift validate -f rendered/
  sealift validate -f overlays/prod --kubernetes-version 1.35 --namespace-exists shop
  sealift validate -f rendered/ --schemas crds/ --var REPLICAS:int -o sarif > findings.sarif
  sealift validate --variant eu=overlays/eu --variant us=overlays/us
  sealift validate --rules

Nothing is asked of any cluster. Built-in kinds are checked by the schemas of the chosen Kubernetes, as strictly as
its API server reads them, custom resources by their definitions among the manifests or in --schemas. CEL rules of
definitions and what only a server knows are not checked. The exit code is 5 if there are errors; push refuses them.";

/// Check manifests as an API server would, without one
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// Manifests as push takes them: a file, a folder, which is rendered if it is a kustomization or a chart, or - for
    /// standard input; may be repeated
    #[arg(long = "file", short = 'f', required_unless_present_any = ["rules", "variant"], value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) variants: VariantArgs,
    /// Say what is looked for, and look at nothing
    #[arg(long, conflicts_with_all = ["files", "variant"])]
    pub(crate) rules: bool,
    /// Declare a variable as push does: NAME, NAME:int, NAME:bool=true, NAME=default; may be repeated
    #[arg(long, value_name = "NAME[:TYPE][=DEFAULT]")]
    pub(crate) var: Vec<Parameter>,
    #[command(flatten)]
    pub(crate) against: ValidationArgs,
    #[command(flatten)]
    pub(crate) render: RenderArgs,
}

/// What manifests are held against.
#[derive(Debug, Args)]
#[command(next_help_heading = "Validation options")]
pub(crate) struct ValidationArgs {
    /// The Kubernetes whose kinds and schemas count
    #[arg(long, value_name = "1.NN", value_parser = supported, default_value_t = Version::NEWEST)]
    pub(crate) kubernetes_version: Version,
    /// Schemas of kinds that the manifests do not define: CustomResourceDefinitions, or OpenAPI v3 as `kubectl get --raw
    /// /openapi/v3/apis/GROUP/VERSION` writes it; a file or folder, may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) schemas: Vec<PathBuf>,
    /// A namespace that is in the cluster already; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace_exists: Vec<String>,
    /// Let Secrets with values in them pass
    #[arg(long)]
    pub(crate) allow_secrets: bool,
    /// Rules that are not looked at; may be repeated. What was skipped stands in the release statement
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RULE", hide_possible_values = true)]
    pub(crate) skip_validation: Vec<Skipped>,
}
