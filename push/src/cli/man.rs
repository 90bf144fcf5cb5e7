use std::path::PathBuf;

use clap::{ArgGroup, Args};

const EXAMPLES: &str = "\
Examples:
  sealift man --dir ~/.local/share/man/man1     then: man sealift-push
  sealift man --markdown > cli.md";

/// Write the manual: a page a command, or all of it as Markdown
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("form").required(true).args(["dir", "markdown"])))]
pub(crate) struct ManArgs {
    /// Write man pages into this folder, which is made if need be
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print every command as one Markdown document
    #[arg(long)]
    pub(crate) markdown: bool,
}
