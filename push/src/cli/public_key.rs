use clap::Args;
use sealift_verify::duration::Duration;

use super::signer::KeySource;

const EXAMPLES: &str = "\
Examples:
  sealift public-key --key cosign.key > cosign.pub
  VAULT_ADDR=https://… VAULT_TOKEN=… sealift public-key --key hashivault://releases

The PEM is what a policy's `key.pem` and `cosign verify --key` take.";

/// Print the public half of a signing key
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PublicKeyArgs {
    /// The key: a file, or hashivault://KEY or openbao://KEY
    #[arg(long, value_name = "FILE|URI", env = "SEALIFT_KEY")]
    pub(crate) key: KeySource,
    /// Longest wait for one answer of the server that holds the key; a failed request is tried again for twice as long
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) signing_timeout: Duration,
}
