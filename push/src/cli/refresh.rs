use clap::{Args, builder::NonEmptyStringValueParser};
use sealift_registry::store::Address;
use sealift_verify::duration::Duration;

use super::{RegistryAccess, address, signer::SignerArgs};

const EXAMPLES: &str = "\
Examples:
  sealift refresh oci://registry.example/acme/shop:prod --key cosign.key --expires-in 720h
  sealift refresh oci://registry.example/acme/shop@sha256:… --key cosign.key --expires-in 720h --env prod
  sealift refresh oci://registry.example/acme/shop:prod --keyless --trusted-root trusted_root.json --expires-in 720h \\
      --signing-config signing_config.json

The new statement is about the same artifact and says what the newest one of the same signer says, with a higher
sequence and a new expiry. No tag moves: clusters that called the release stale find the statement at their next look.
Where a policy wants several signatures, the others follow with `sealift sign`. Refresh only what should run: the
statement makes this artifact the newest of its stream, and with it the one a cluster may be sent back to.";

/// Renew a release's expiry by a new statement about the same artifact
///
/// What is renewed is the newest statement about it by the same signer.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RefreshArgs {
    /// The artifact: oci://HOST/REPO@sha256:…, or with a :TAG, which is resolved first
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// How long the new statement lasts, such as 720h
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires_in: Duration,
    /// The stream, if the key signed the artifact for several
    #[arg(long, value_name = "STREAM", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stream: Option<String>,
    /// The environment, if the key signed the artifact for several
    #[arg(long, value_name = "ENVIRONMENT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) env: Option<String>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
