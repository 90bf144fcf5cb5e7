//! `sealift man`: the manual, made from what the parser knows.

mod markdown;

use std::{fs, io, path::PathBuf};

use clap::CommandFactory;
use serde_json::json;

use crate::{
    cli::{Cli, man::ManArgs},
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
};

/// The manual could not be written.
#[derive(Debug, thiserror::Error)]
#[error("man pages cannot be written to {}", dir.display())]
struct Unwritable {
    dir: PathBuf,
    #[source]
    source: io::Error,
}

pub(crate) fn run(args: &ManArgs, output: &mut Output) -> Result<Exit, Failure> {
    let Some(dir) = &args.dir else {
        let text = markdown::reference(Cli::command());
        match output.format {
            Format::Text => output.product(text.trim_end())?,
            Format::Json => output.json(&json!({"schema": "sealift.dev/man/v1", "markdown": text}))?,
        }
        return Ok(Exit::Done);
    };
    let written = pages(dir).map_err(|source| Failure::new(Exit::Failed, Unwritable { dir: dir.clone(), source }))?;
    match output.format {
        Format::Text => output.product(written.join("\n"))?,
        Format::Json => output.json(&json!({"schema": "sealift.dev/man/v1", "dir": dir, "pages": written}))?,
    }
    Ok(Exit::Done)
}

/// Writes a page a command, and gives their names.
fn pages(dir: &PathBuf) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    let mut names = Vec::new();
    // Each under its whole name, `sealift-policy-check`: that is what `man` is asked for.
    let mut open = vec![Cli::command().disable_help_subcommand(true)];
    while let Some(command) = open.pop() {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        for nested in command.get_subcommands() {
            let whole = format!("{name}-{}", nested.get_name());
            let line = format!("{} {}", command.get_bin_name().unwrap_or(command.get_name()), nested.get_name());
            open.push(nested.clone().display_name(&whole).bin_name(line).disable_help_subcommand(true));
        }
        let page = clap_mangen::Man::new(command);
        let file = page.get_filename();
        let mut text = Vec::new();
        page.render(&mut text)?;
        fs::write(dir.join(&file), text)?;
        names.push(file);
    }
    names.sort();
    Ok(names)
}
