use std::path::PathBuf;

use clap::{ArgGroup, Args, builder::NonEmptyStringValueParser};
use sealift_registry::store::Address;
use sealift_verify::duration::Duration;

use super::{RegistryAccess, address, signer::SignerArgs, verify::FactsArgs};
use crate::tag::channel_name;

const EXAMPLES: &str = "\
Examples:
  sealift promote oci://registry.example/acme/shop@sha256:… --environment prod --policy staging.yaml --key prod.key
  sealift promote oci://registry.example/acme/shop:dev --environment staging --policy dev.yaml --key staging.key \\
      --from dev --expires-in 720h
  sealift promote oci://registry.example/acme/shop@sha256:… --environment prod --policy staging.yaml --key prod.key \\
      --dry-run -o json
  sealift promote oci://registry.example/acme/shop@sha256:… --environment prod --policy staging.yaml --key prod.key \\
      --no-tag && sealift sign oci://registry.example/acme/shop@sha256:… --key second.key --statement sha256:…

POLICY is that of the environment the release comes from: what it refuses, or what has expired there, is not promoted.
Nothing is packed or uploaded anew: the new statement is about the same digest, says of its content, source and build
what was verified, and names the statement it was promoted by. It goes on with the target environment's own sequence.
The tag moves last, and only forward: where it names a release that is newer in the environment promoted from, nothing
is signed and the exit code is 8. A tag in REFERENCE is the registry's word for what is meant; a digest is yours.";

/// Verify a release in one environment and sign it for the next
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("remembered").args(["memory", "delivery"])))]
#[command(mut_arg("env", |env| env.long("from").help(
    "Environment that the release is promoted from [default: the only other one that the policies accept it in]"
)))]
pub(crate) struct PromoteArgs {
    /// The artifact: oci://HOST/REPO@sha256:…, or with a :TAG, which is resolved first
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// Environment that the release is promoted to
    #[arg(long, value_name = "ENVIRONMENT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) environment: String,
    /// File with SignaturePolicy documents of the environment it comes from; may be repeated, and every policy that
    /// matches must pass
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// The channel that clusters of the target environment follow [default: the environment's name]
    #[arg(long, value_name = "TAG", value_parser = channel)]
    pub(crate) tag: Option<String>,
    /// Leave the channel tag where it is, as where others have to sign before `sealift tag`
    #[arg(long)]
    pub(crate) no_tag: bool,
    /// How long the new statement lasts, such as 720h; needed where the verified one does not last for ever
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires_in: Option<Duration>,
    /// The epoch in the target environment; a higher one beats any sequence [default: that of the previous release]
    #[arg(long, value_name = "N")]
    pub(crate) epoch: Option<u64>,
    /// Verify and say what would be signed and moved; sign and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also write SEALIFT_DIGEST, SEALIFT_REFERENCE, SEALIFT_STATEMENT, SEALIFT_VERSION and SEALIFT_SEQUENCE to this file,
    /// as GitLab's dotenv reports have them (on GitHub, $GITHUB_OUTPUT gets them by itself)
    #[arg(long, value_name = "FILE")]
    pub(crate) dotenv: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) facts: FactsArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

fn channel(text: &str) -> Result<String, String> {
    match text.contains('/') {
        true => {
            Err("not a tag: a promotion stays in its repository, `sealift copy` takes releases elsewhere".to_owned())
        }
        false => channel_name(text),
    }
}
