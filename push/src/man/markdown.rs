//! Every command as one Markdown document: pure, from the parser's own description.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::exit;

const HEAD: &str = "\
# The command line

Printed by `sealift man --markdown`; `make generate` writes it anew, and a test holds it against the program.
What `-o json` prints is in [output.md](output.md).
";

/// The whole reference.
pub(super) fn reference(mut root: Command) -> String {
    root.build();
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "\n{}\n", about(&root));
    for command in visible(&root) {
        let _ = writeln!(text, "- [`{}`](#{}): {}", words(command), anchor(command), short(command));
    }
    let _ = writeln!(text, "\n## Exit codes\n\n| code | meaning |\n|---|---|");
    for (code, meaning) in exit::TABLE {
        let _ = writeln!(text, "| {code} | {} |", meaning.trim());
    }
    let _ = writeln!(text, "\n## Global options\n\nEvery command takes these.\n");
    options(&mut text, root.get_arguments().filter(|arg| arg.is_global_set()));
    for command in visible(&root) {
        section(&mut text, command, "##");
    }
    text
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn section(text: &mut String, command: &Command, heading: &str) {
    let _ = writeln!(text, "\n{heading} {}\n\n{}\n", words(command), about(command));
    if command.has_subcommands() {
        for nested in visible(command) {
            let _ = writeln!(text, "- [`{}`](#{}): {}", words(nested), anchor(nested), short(nested));
        }
        for nested in visible(command) {
            section(text, nested, &format!("{heading}#"));
        }
        return;
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(text, "```\n{}\n```", usage.trim_start_matches("Usage: "));
    let own = || command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set() && !is_builtin(arg));
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in own() {
        let heading = arg.get_help_heading();
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    // What belongs to this command only comes first, as in its help.
    headings.sort_by_key(Option::is_some);
    for heading in headings {
        let _ = writeln!(text, "\n**{}**\n", heading.unwrap_or("Arguments and options"));
        options(text, own().filter(|arg| arg.get_help_heading() == heading));
    }
    if let Some(more) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = writeln!(text, "\n```text\n{}\n```", more.to_string().trim_end());
    }
}

fn is_builtin(arg: &Arg) -> bool {
    use clap::ArgAction::{Help, HelpLong, HelpShort, Version};
    matches!(arg.get_action(), Help | HelpLong | HelpShort | Version)
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    for arg in args.filter(|arg| !is_builtin(arg)) {
        let _ = writeln!(text, "- `{}`: {}", name(arg), help(arg));
    }
}

/// `-f, --file <PATH>`, or `<REFERENCE>`.
fn name(arg: &Arg) -> String {
    let values: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    let values = if arg.get_action().takes_values() { values.join(" ") } else { String::new() };
    let flags = [arg.get_short().map(|short| format!("-{short}")), arg.get_long().map(|long| format!("--{long}"))];
    let flags = flags.into_iter().flatten().collect::<Vec<_>>().join(", ");
    [flags, values].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn help(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut help = prose(&help.split_whitespace().collect::<Vec<_>>().join(" "));
    let possible: Vec<String> = match arg.get_action().takes_values() && !arg.is_hide_possible_values_set() {
        true => arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect(),
        false => Vec::new(),
    };
    let default: Vec<String> = arg.get_default_values().iter().map(|v| format!("`{}`", v.to_string_lossy())).collect();
    let is_switch = !arg.get_action().takes_values();
    for (what, values) in [("one of", possible), ("default", if is_switch { Vec::new() } else { default })] {
        if !values.is_empty() {
            let _ = write!(help, " [{what}: {}]", values.join(", "));
        }
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(help, " [environment: `{}`]", variable.to_string_lossy());
    }
    match arg.is_required_set() {
        true => format!("{help} (required)"),
        false => help,
    }
}

/// The command as it is typed.
fn words(command: &Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).to_owned()
}

/// The anchor that renderers of Markdown make of its heading.
fn anchor(command: &Command) -> String {
    words(command).replace(' ', "-")
}

fn short(command: &Command) -> String {
    prose(&command.get_about().map(ToString::to_string).unwrap_or_default())
}

fn about(command: &Command) -> String {
    prose(&command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default())
}

/// Text that Markdown shows as it stands.
fn prose(text: &str) -> String {
    text.replace('<', "\\<").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn holds(text: &str, command: &Command) {
        let start = text.find(&format!("# {}\n", words(command))).unwrap_or_else(|| panic!("{}", words(command)));
        let section = text[start..].split("\n## ").next().unwrap_or_default();
        for arg in command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set() && !is_builtin(arg))
        {
            assert!(section.contains(&format!("- `{}`: ", name(arg))), "{} {}", words(command), name(arg));
        }
        visible(command).for_each(|nested| holds(text, nested));
    }

    #[test]
    fn every_command_and_option_is_in_the_reference() {
        let text = reference(Cli::command());
        let mut root = Cli::command();
        root.build();
        visible(&root).for_each(|command| holds(&text, command));
        assert!(text.contains("\n- `--version <VERSION>`: Its version"), "push has an option of that name");
    }
}
