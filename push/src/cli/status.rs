use clap::Args;

use super::ClusterAccess;

const EXAMPLES: &str = "\
Examples:
  sealift status                             the Deliveries of the context's namespace
  sealift status -A                          of all namespaces
  sealift status -n shop web                 one of them, with its checks
  sealift status -A -o json";

/// Show Deliveries: what runs, what was refused, and why one is not ready
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// One Delivery, with its conditions and checks
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Namespace [default: that of the context]
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// All namespaces
    #[arg(long, short = 'A', conflicts_with_all = ["namespace", "name"])]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
}
