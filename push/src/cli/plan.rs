use std::path::PathBuf;

use clap::{ArgGroup, Args};
use sealift_registry::store::Address;
use sealift_verify::parameters::Parameter;

use super::{ClusterAccess, RegistryAccess, address, assignment, render::RenderArgs, repository, verify::delivery};

const EXAMPLES: &str = "\
Examples:
  sealift plan oci://registry.example/acme/shop:prod --policy prod.yaml --delivery shop/web
  sealift plan oci://registry.example/acme/shop:prod --policy prod.yaml --context staging --namespace shop --exit-code
  sealift plan -f rendered/ --namespace shop            a preview before any push: nothing is verified
  sealift plan -f overlays/prod --delivery shop/web     rendered as push renders it
  sealift plan -f rendered/ --delivery shop/web --var DOMAIN --var REPLICAS:int=2

Nothing is written: the API server is asked by dry-run. Values of Secrets are masked.";

/// Show what a release would change in a cluster, object by object
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("content").args(["reference", "files"]).required(true)))]
pub(crate) struct PlanArgs {
    /// The release: oci://HOST/REPO[:TAG|@DIGEST]; it is verified first
    #[arg(value_name = "REFERENCE", value_parser = address, requires = "policy")]
    pub(crate) reference: Option<Address>,
    /// Manifests not pushed yet: files, folders (rendered as push renders them), or - for standard input; may be repeated
    #[arg(long = "file", short = 'f', value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// File with SignaturePolicy documents; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    pub(crate) policy: Vec<PathBuf>,
    /// The Delivery whose inventory, memory and settings count, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = delivery)]
    pub(crate) delivery: Option<(String, String)>,
    /// Namespace of objects that name none [default: that of the Delivery]
    #[arg(long, short = 'n', value_name = "NAMESPACE", conflicts_with = "delivery")]
    pub(crate) namespace: Option<String>,
    /// Namespace that every namespaced object is put into
    #[arg(long, value_name = "NAMESPACE", conflicts_with = "delivery")]
    pub(crate) target_namespace: Option<String>,
    /// Declare a variable of the files, as `push --var` does; may be repeated
    #[arg(long, value_name = "NAME[:TYPE][=DEFAULT]", requires = "files")]
    pub(crate) var: Vec<Parameter>,
    /// Value of a parameter that the release, or --var, declares; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// The logical repository, if the bytes lie elsewhere
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository, conflicts_with = "files")]
    pub(crate) as_repository: Option<sealift_verify::reference::Repository>,
    /// Which of its variants is meant, of a release that has them [default: that of the Delivery]
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    pub(crate) variant: Option<String>,
    /// List objects that would not change as well
    #[arg(long)]
    pub(crate) show_unchanged: bool,
    /// Exit with 10 if anything would change
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) render: RenderArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
