use std::path::PathBuf;

use clap::{ArgGroup, Args};
use sealift_registry::store::Address;
use sealift_verify::reference::Repository;

use super::{RegistryAccess, address, assignment, render::RenderArgs, repository, verify::delivery};

const EXAMPLES: &str = "\
Examples:
  sealift diff oci://registry.example/acme/shop:1.4.1 oci://registry.example/acme/shop:1.4.2
  sealift diff oci://registry.example/acme/shop:prod -f overlays/prod       what a push would change
  sealift diff oci://registry.example/acme/shop:prod --context prod-eu --delivery shop/web --exit-code
  sealift diff oci://registry.example/acme/shop:prod oci://registry.example/acme/shop:next -o json | jq .summary
  sealift diff oci-layout:/srv/oci/shop:prod shop.tar:prod --policy prod.yaml --as registry.example/acme/shop

From the first to the second; a cluster is where one comes from, and is asked by dry-run: nothing is written. First what
a release manager asks: versions, images, access, privileges, cluster-scoped objects, namespaces; then each object,
field by field. Values of Secrets are never shown. With --policy, every artifact is judged first as by `sealift verify`,
and where one is refused, nothing is shown; without, nothing is verified.";

/// Show how an artifact differs from another one, from files or from a cluster
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("other").args(["to", "files", "context"]).required(true)))]
#[command(group(ArgGroup::new("valued").args(["context", "policy"]).multiple(true)))]
pub(crate) struct DiffArgs {
    /// The artifact, in a registry or a layout: oci://HOST/REPO, oci-layout:FOLDER, FILE.tar or s3://BUCKET/PREFIX, with
    /// :TAG or @sha256:…
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) from: Address,
    /// The artifact to compare it with
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) to: Option<Address>,
    /// Files to compare it with: files, folders (rendered as push renders them), or - for standard input; may be repeated
    #[arg(long = "file", short = 'f', value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// Context of the kubeconfig whose cluster it is compared with
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The Delivery whose inventory, values and settings count in the cluster, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = delivery)]
    #[arg(requires = "context", conflicts_with_all = ["to", "files"])]
    pub(crate) delivery: Option<(String, String)>,
    /// Namespace in the cluster of objects that name none [default: that of the Delivery, or of the context]
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    #[arg(requires = "context", conflicts_with_all = ["to", "files", "delivery"])]
    pub(crate) namespace: Option<String>,
    /// Value of a parameter that the release declares, in the cluster or where it is judged; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment, requires = "valued")]
    pub(crate) set: Vec<(String, String)>,
    /// Which of its variants is meant, of a release that has them
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// File with SignaturePolicy documents that have to accept every artifact; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// The logical repository, if the bytes of an artifact lie elsewhere; a layout has no other name
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository, requires = "policy")]
    pub(crate) as_repository: Option<Repository>,
    /// Exit with 10 if any object differs; statements alone do not count
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) render: RenderArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
