use std::path::PathBuf;

use clap::{ArgGroup, Args};
use sealift_registry::store::Address;

use super::{RegistryAccess, address, verify::FactsArgs};
use crate::tag::tag_name;

const EXAMPLES: &str = "\
Examples:
  sealift copy oci://registry.example/acme/shop:prod shop.tar                         onto a stick, with its signatures
  sealift copy shop.tar:prod oci://edge:5000/acme/shop --as registry.example/acme/shop --policy prod.yaml
  sealift copy oci://registry.example/acme/shop s3://releases/acme/shop --all-tags
  sealift copy oci://registry.example/acme/shop oci-layout:/srv/oci --tag 1.4.2 --tag prod

A place is oci://HOST/REPO, oci-layout:FOLDER, FILE.tar (or oci-archive:FILE) or s3://BUCKET/PREFIX, where AWS_*
variables say which storage and as whom. What was signed stays signed: the same statements verify at every copy of the
same logical repository. A copy that stands for another repository than the statements name is refused.";

/// Copy artifacts with their signatures between registries, folders, tar files and buckets
///
/// Everything is read back at the destination and held against its digest. What is there already is not sent again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("remembered").args(["memory", "delivery"])))]
#[command(group(ArgGroup::new("several").args(["all_tags", "tag"])))]
pub(crate) struct CopyArgs {
    /// What is copied: a place with a :TAG or a @sha256:… digest, or without where --tag or --all-tags says it
    #[arg(value_name = "SOURCE", value_parser = address)]
    pub(crate) source: Address,
    /// Where to: a place, with a :TAG if it is to be called otherwise there
    #[arg(value_name = "DESTINATION", value_parser = address)]
    pub(crate) destination: Address,
    /// Copy every tag
    #[arg(long)]
    pub(crate) all_tags: bool,
    /// Copy what this tag names; may be repeated
    #[arg(long, value_name = "TAG", value_parser = tag_name)]
    pub(crate) tag: Vec<String>,
    /// File with SignaturePolicy documents: what was copied is judged where it is now, before any tag names it
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) facts: FactsArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
