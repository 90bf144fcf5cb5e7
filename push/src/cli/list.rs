use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;
use regex::{Regex, RegexBuilder};
use sealift_registry::{store::Location, versions::Range};
use sealift_verify::reference::Repository;

use super::{RegistryAccess, location, repository};

const EXAMPLES: &str = "\
Examples:
  sealift list oci://registry.example/acme/shop
  sealift list oci://registry.example/acme/shop --filter-semver '>=1.4 <2' --limit 10
  sealift list oci://registry.example/acme/shop --filter-regex '^(prod|stage)$' --policy prod.yaml
  sealift list oci://registry.example/acme/shop -o json | jq -r '.tags[] | select(.version == \"1.4.2\").digest'

By version, the highest first, then by time. Version, stream, environment, sequence and signer are what statements
claim, and anybody who may write to the registry could have written them. With --policy each artifact gets a verdict on
signatures, statement, order and freshness; its layer is not fetched, so `sealift verify` has the last word.";

/// List the tags of a repository, with what their artifacts claim to be
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// The repository: oci://HOST/REPO, oci-layout:FOLDER, FILE.tar or s3://BUCKET/PREFIX
    #[arg(value_name = "REPOSITORY", value_parser = location)]
    pub(crate) repository: Location,
    /// Only tags that are versions in this range, such as '>=1.4 <2' or '1.x'
    #[arg(long, value_name = "RANGE")]
    pub(crate) filter_semver: Option<Range>,
    /// Only tags in which this regular expression finds something
    #[arg(long, value_name = "REGEX", value_parser = expression)]
    pub(crate) filter_regex: Option<Regex>,
    /// At most this many: channels first, then the highest versions and sequences
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) limit: NonZeroUsize,
    /// The tags that hold signatures as well (sha256-…)
    #[arg(long)]
    pub(crate) all: bool,
    /// File with SignaturePolicy documents, for a verdict on each artifact; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// Namespace of the Delivery, for the verdict
    #[arg(long, short = 'n', value_name = "NAMESPACE", requires = "policy")]
    pub(crate) namespace: Option<String>,
    /// The logical repository, if the bytes lie elsewhere
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository, requires = "policy")]
    pub(crate) as_repository: Option<Repository>,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

fn expression(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|error| error.to_string())
}
