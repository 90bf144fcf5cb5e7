use std::path::PathBuf;

use clap::Args;
use sealift_registry::store::Address;
use sealift_verify::{duration::Duration, reference::Repository};

use super::{ClusterAccess, RegistryAccess, address, repository, verify::delivery};

const EXAMPLES: &str = "\
Examples:
  sealift bootstrap oci://registry.example/platform/sealift:stable --policy policies/platform.yaml --context prod-eu
  sealift bootstrap oci://registry.example/platform/sealift:stable --policy policies/platform.yaml --dry-run
  sealift bootstrap sealift.tar:stable --as registry.example/platform/sealift --policy policies/platform.yaml
  sealift bootstrap oci://registry.example/platform/sealift:stable --policy policies/platform.yaml --memory memory.yaml

The artifact is a release like any other (ci-examples/shell/release-sealift.sh makes one): definitions, namespace, rights,
the controller, policies and trust roots, and the Delivery that keeps all of them in repair from then on. It is verified by
the policies given here, which is the one thing that nobody else can vouch for, by those that are in the cluster if there are
any, and by those that it brings: what the controller would refuse a moment later is refused now. Then it is applied as the person that the kubeconfig says you are.
Inventory and memory of trust are written as the controller writes them, so it takes over without changing anything.

Run it again where it was cut short, or where everything works: it makes good what is missing. It never goes back behind what
the cluster has accepted, nor behind --memory, which a lost cluster's records are given back by:

  kubectl get acceptedreleases.sealift.dev -o yaml > memory.yaml      # a backup; the records of all Deliveries";

/// Turn an empty cluster into one that delivers, from one signed artifact
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BootstrapArgs {
    /// Sealift's own artifact: oci://HOST/REPO, a folder or a tar file with an OCI layout, or a bucket, with a :TAG or @sha256:…
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// File with SignaturePolicy documents that the artifact must satisfy; may be repeated
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// The logical repository, if the bytes lie elsewhere
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) as_repository: Option<Repository>,
    /// The Delivery in the artifact that takes it over, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "sealift-system/sealift", value_parser = delivery)]
    pub(crate) delivery: (String, String),
    /// Which of its variants is meant, of a release that has them
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// What was accepted before: a memory of trust, or AcceptedReleases as kubectl prints them; those of other Deliveries are
    /// given back to the cluster
    #[arg(long, value_name = "FILE")]
    pub(crate) memory: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    /// Wait so long until the controller has taken over and everything is healthy
    #[arg(long, value_name = "DURATION")]
    pub(crate) wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
