use clap::{Args, builder::NonEmptyStringValueParser};
use sealift_verify::duration::Duration;

use super::{ClusterAccess, RegistryAccess, signer::SignerArgs};

const EXAMPLES: &str = "\
Examples:
  sealift rollback web -n shop --key cosign.key                 to the release before the one that runs
  sealift rollback web -n shop --key cosign.key --to 1.4.1      to a version, sequence or digest of its history
  sealift rollback web -n shop --key cosign.key --no-tag        for a second signature; `sealift tag` follows

  sealift rollback web -n shop --emergency --for 4h --reason 'INC-7: checkout fails'
                                                                for hours, in this cluster, without a signature
  sealift rollback web -n shop --emergency --end                take that back

Nobody is sent back by moving a tag: clusters refuse what is older than what they accepted. A wanted rollback is a new
statement, later in the stream, about the older artifact. It is as good for every cluster that follows the channel; the
history is read from the one whose Delivery is named. A Delivery that selects by a range of versions takes the highest
version whatever was signed last: push the older manifests under a higher version.

With --emergency nothing is signed or pushed: the Delivery is held at a release that it has accepted before, until the time
is over or a higher release comes. Every SignaturePolicy that matches must allow it (release.emergency: allow). Time and
reason stand in the Delivery's spec and status, who set it in the API server's audit log; a rollback that is signed
meanwhile ends the hold.";

/// Send those who follow a channel back to an earlier release, by a new signed statement about it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("key", |key| key.required_unless_present_any(["keyless", "emergency"])))]
pub(crate) struct RollbackArgs {
    /// The Delivery whose history is meant
    #[arg(value_name = "NAME", value_parser = name)]
    pub(crate) name: String,
    /// Namespace [default: that of the context]
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Version, sequence or digest of the release to go back to, or `previous` [default: the one before the one that runs]
    #[arg(long, value_name = "RELEASE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) to: Option<String>,
    /// How long the new statement lasts, such as 720h; needed where the older one did not last for ever
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires_in: Option<Duration>,
    /// Leave the channel tag where it is
    #[arg(long)]
    pub(crate) no_tag: bool,
    /// Hold this one Delivery for a time, without a signature
    #[arg(long, conflicts_with_all = ["expires_in", "no_tag"])]
    pub(crate) emergency: bool,
    /// How long the hold lasts, such as 4h; 168h at most
    #[arg(long = "for", value_name = "DURATION", requires = "emergency")]
    pub(crate) length: Option<Duration>,
    /// Why, for those who read the Delivery's status
    #[arg(long, value_name = "TEXT", requires = "emergency", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) reason: Option<String>,
    /// End the hold now
    #[arg(long, requires = "emergency", conflicts_with_all = ["length", "reason", "to"])]
    pub(crate) end: bool,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
}

/// As kubectl names objects, or the name alone.
fn name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("delivery/").unwrap_or(text);
    if name.is_empty() || name.contains('/') {
        Err("expected NAME or delivery/NAME".to_owned())
    } else {
        Ok(name.to_owned())
    }
}
