use clap::Args;

const EXAMPLES: &str = "\
Examples:
  sealift keygen                             asks for a password; writes cosign.key and cosign.pub
  SEALIFT_PASSWORD=… sealift keygen --output-prefix prod
  cosign public-key --key cosign.key         cosign can use the pair as well";

/// Make a key pair to sign with, in the form cosign uses
///
/// Writes PREFIX.key (encrypted, mode 0600) and PREFIX.pub. Never overwrites a file. The password comes from
/// SEALIFT_PASSWORD or COSIGN_PASSWORD, else from the terminal.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeygenArgs {
    /// Beginning of both files' names
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    pub(crate) output_prefix: String,
}
