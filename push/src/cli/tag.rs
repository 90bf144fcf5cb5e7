use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{RegistryAccess, address, verify::FactsArgs};
use crate::tag::channel_name;
use sealift_registry::store::Address;

const EXAMPLES: &str = "\
Examples:
  sealift tag oci://registry.example/acme/shop@sha256:… prod --policy policies/two-person.yaml
  sealift tag oci://registry.example/acme/shop@sha256:… prod --policy policy.yaml --context prod-eu --delivery shop/web

The release is judged as `sealift verify` and every cluster judge it: if the policy is not satisfied (yet), the exit
code is 3 and the tag stays. It is moved only forward: if it names a newer release that the policy trusts, the exit
code is 8.";

/// Move a channel tag to a release, once the policy accepts it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("remembered").args(["memory", "delivery"])))]
pub(crate) struct TagArgs {
    /// The release, by digest: oci://HOST/REPO@sha256:…
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// The channel that clusters follow
    #[arg(value_name = "TAG", value_parser = channel_name)]
    pub(crate) tag: String,
    /// File with SignaturePolicy documents; may be repeated, and every policy that matches must pass
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) facts: FactsArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
