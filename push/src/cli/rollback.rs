use clap::{Args, builder::NonEmptyStringValueParser};
use sealift_verify::duration::Duration;

use super::{ClusterAccess, RegistryAccess, signer::SignerArgs};

const EXAMPLES: &str = "\
Examples:
  sealift rollback web -n shop --key cosign.key                 to the release before the one that runs
  sealift rollback web -n shop --key cosign.key --to 1.4.1      to a version, sequence or digest of its history
  sealift rollback web -n shop --key cosign.key --no-tag        for a second signature; `sealift tag` follows

Nobody is sent back by moving a tag: clusters refuse what is older than what they accepted. A wanted rollback is a new
statement, later in the stream, about the older artifact. It is as good for every cluster that follows the channel; the
history is read from the one whose Delivery is named. A Delivery that selects by a range of versions takes the highest
version whatever was signed last: push the older manifests under a higher version.";

/// Send those who follow a channel back to an earlier release, by a new signed statement about it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollbackArgs {
    /// The Delivery whose history is meant
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Namespace [default: that of the context]
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Version, sequence or digest of the release to go back to [default: the one before the one that runs]
    #[arg(long, value_name = "RELEASE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) to: Option<String>,
    /// How long the new statement lasts, such as 720h; needed where the older one did not last for ever
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires_in: Option<Duration>,
    /// Leave the channel tag where it is
    #[arg(long)]
    pub(crate) no_tag: bool,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
}
