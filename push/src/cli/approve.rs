use clap::Args;
use jiff::Timestamp;
use sealift_registry::store::Address;
use sealift_verify::{digest::Digest, reference::Repository};

use super::{RegistryAccess, address, repository, signer::SignerArgs, verify::delivery};

const EXAMPLES: &str = "\
Examples:
  sealift approve oci://registry.example/acme/shop@sha256:… --plan sha256:… --key lead.key
  sealift approve oci://registry.example/acme/shop@sha256:… --plan sha256:… --key lead.key \\
      --delivery shop/web --expires-at 2026-07-01T00:00:00Z

Where a policy says release.approval, nothing is applied before those it names have approved the plan: what would be
done to which object of that cluster, known by one digest. Where several have to approve, each gives the same --plan,
--delivery and --expires-at, since signatures on different statements never add up.";

/// Approve what a release would do to a cluster
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApproveArgs {
    /// The artifact: oci://HOST/REPO@sha256:…
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// Digest of the plan, as `sealift plan` and the Delivery's status show it
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan: Digest,
    /// The one Delivery it is meant for [default: any with this very plan]
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = delivery)]
    pub(crate) delivery: Option<(String, String)>,
    /// When the approval ends [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<Timestamp>,
    /// The logical repository, if the bytes lie elsewhere
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) as_repository: Option<Repository>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
