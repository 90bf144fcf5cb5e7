use clap::Args;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  source <(sealift completion bash)
  sealift completion zsh > \"${fpath[1]}/_sealift\"
  sealift completion fish > ~/.config/fish/completions/sealift.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// The shell
    pub(crate) shell: Shell,
}
