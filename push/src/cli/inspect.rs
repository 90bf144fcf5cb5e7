use clap::Args;

use super::{RegistryAccess, render::RenderArgs};

const EXAMPLES: &str = "\
Examples:
  sealift inspect oci://registry.example/acme/shop:prod
  sealift inspect oci://registry.example/acme/shop:prod --object Deployment/web
  sealift inspect oci://registry.example/acme/shop:prod --variant eu
  sealift inspect oci://registry.example/acme/shop          the tags of a repository
  sealift inspect rendered/                                 what a push of these files would hold
  sealift inspect oci://registry.example/acme/shop:prod -o json | jq .unverified.statements

Nothing shown here is verified; `sealift verify` does that.";

/// Show what an artifact, or a folder of manifests, holds
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    /// oci://HOST/REPO[:TAG|@DIGEST], or files and folders, or - for standard input
    #[arg(required = true, value_name = "REFERENCE|PATH")]
    pub(crate) targets: Vec<String>,
    /// Print one object as YAML: KIND/NAME or KIND/NAMESPACE/NAME
    #[arg(long, value_name = "KIND/NAME")]
    pub(crate) object: Option<String>,
    /// Show one variant of a release that has them [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    #[command(flatten)]
    pub(crate) render: RenderArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
