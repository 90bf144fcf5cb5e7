use std::path::PathBuf;

use clap::Args;

/// Who signs; spelled alike on every command that does.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Signing options")]
pub(crate) struct SignerArgs {
    /// Private key to sign with: cosign's encrypted cosign.key, PKCS#8 or SEC1 PEM (ECDSA P-256)
    #[arg(long, value_name = "FILE", env = "SEALIFT_KEY")]
    pub(crate) key: PathBuf,
}
