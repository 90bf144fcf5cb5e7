use std::path::PathBuf;

use clap::{ArgGroup, Args};
use sealift_registry::store::Address;

use super::{RegistryAccess, address, verify::FactsArgs};

const EXAMPLES: &str = "\
Examples:
  sealift pull oci://registry.example/acme/shop:prod --policy prod.yaml --output-dir shop/
  sealift pull oci://registry.example/acme/shop@sha256:… --policy prod.yaml --output-dir - | kubectl diff -f -
  sealift pull oci://registry.example/acme/shop:prod --policy prod.yaml --layer --output-dir backup/
  sealift pull oci://registry.example/acme/shop:prod --unverified --output-dir look/

What is written is what was signed: the objects of the artifact, whichever format it is packed in, as YAML that YAML 1.1
and 1.2 read alike. Declared variables stay as ${NAME}; --set only gives the verdict what it needs. One of --policy and
--unverified has to be given: files that nobody verified look just like others.";

/// Write the objects of a verified release into a folder, or to standard output
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("trust").args(["policy", "unverified"]).required(true)))]
#[command(group(ArgGroup::new("remembered").args(["memory", "delivery"])))]
pub(crate) struct PullArgs {
    /// The artifact: oci://HOST/REPO@sha256:…, or with a :TAG, which is resolved first
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// Folder for one file an object, or - for one stream on standard output
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: PathBuf,
    /// File with SignaturePolicy documents; may be repeated, and every policy that matches must pass
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// Verify nothing but digests: whoever can write to the registry decides what is written here
    #[arg(long)]
    #[arg(conflicts_with_all = ["policy", "as_repository", "namespace", "env", "stream", "set", "target_namespace"])]
    #[arg(conflicts_with_all = ["memory", "context", "delivery"])]
    pub(crate) unverified: bool,
    /// Write into a folder that is not empty; files of the same names are replaced, others stay
    #[arg(long)]
    pub(crate) force: bool,
    /// Write the layer as it was uploaded, a compressed tar, in place of its objects
    #[arg(long)]
    pub(crate) layer: bool,
    #[command(flatten)]
    pub(crate) facts: FactsArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
