//! `sealift completion`: scripts for shells.

use clap::CommandFactory;

use crate::{
    cli::{Cli, completion::CompletionArgs},
    exit::Exit,
    failure::Failure,
    output::Output,
};

pub(crate) fn run(args: &CompletionArgs, output: &mut Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sealift", &mut script);
    output.product(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
