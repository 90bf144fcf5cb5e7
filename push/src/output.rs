//! The one writer: the product goes to stdout, everything said about it to stderr.

pub(crate) mod transfer;

use std::{
    error::Error,
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

use self::transfer::Showing;
use crate::{
    annotation,
    failure::Failure,
    table::{plain, plain_lines},
};

/// How a result is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// For people.
    #[default]
    Text,
    /// One JSON document, with the version of its schema in `schema` or `_type`.
    Json,
    /// JUnit XML, which every CI shows.
    Junit,
    /// SARIF 2.1.0, for tools that collect findings.
    Sarif,
}

/// How a result is written that is no report about checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The product could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the result cannot be written to standard output")]
pub(crate) struct OutputError(#[source] io::Error);

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const ADDED: Style = AnsiColor::Green.on_default();
pub(crate) const REMOVED: Style = AnsiColor::Red.on_default();
pub(crate) const CHANGED: Style = AnsiColor::Yellow.on_default();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// `text` in `style`; the writer takes the codes out again where colour is unwanted.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes to both streams.
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) report: Report,
    quiet: bool,
    /// A terminal that a person watches: only there, a line that rewrites itself is not noise.
    live: bool,
    status_shown: bool,
    /// GitHub shows annotations beside the code.
    annotates: bool,
    stdout: AutoStream<io::Stdout>,
    stderr: AutoStream<io::Stderr>,
}

impl Output {
    pub(crate) fn new(report: Report, color: Color, quiet: bool) -> Self {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::AlwaysAnsi,
            Color::Never => ColorChoice::Never,
        };
        let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let showing = Showing::of(report, quiet, io::stderr().is_terminal(), in_ci);
        showing.settle();
        Self {
            format: if report == Report::Text { Format::Text } else { Format::Json },
            report,
            quiet,
            live: showing == Showing::Bar,
            status_shown: false,
            annotates: std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true"),
            stdout: AutoStream::new(io::stdout(), choice),
            stderr: AutoStream::new(io::stderr(), choice),
        }
    }

    /// Writes one line, or several, of the product.
    pub(crate) fn product(&mut self, text: impl Display) -> Result<(), OutputError> {
        self.clear_status();
        match writeln!(self.stdout, "{text}").and_then(|()| self.stdout.flush()) {
            // The reader has seen enough: `sealift inspect … | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(OutputError),
        }
    }

    /// Writes a product that is no text, just as it is.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.clear_status();
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(OutputError),
        }
    }

    /// Writes the product as JSON.
    pub(crate) fn json(&mut self, document: &serde_json::Value) -> Result<(), OutputError> {
        self.product(format!("{document:#}"))
    }

    /// Says something that helps and is not the product.
    pub(crate) fn note(&mut self, text: impl Display) {
        if !self.quiet {
            self.say(format_args!("{text}"));
        }
    }

    /// Says something that a person should not miss.
    pub(crate) fn warn(&mut self, text: impl Display) {
        self.say(format_args!("{} {text}", paint(WARNING, "warning:")));
    }

    /// Asks the person at the terminal for a line. Only where there is one.
    pub(crate) fn ask(&mut self, prompt: impl Display) -> io::Result<String> {
        self.clear_status();
        write!(self.stderr, "{prompt}").and_then(|()| self.stderr.flush())?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Shows what is going on, in a line that the next one replaces; nothing where nobody watches.
    pub(crate) fn progress(&mut self, text: impl Display) {
        if self.live {
            self.status_shown = true;
            let _ = write!(self.stderr, "\r\u{1b}[K{FAINT}{text} …{FAINT:#}").and_then(|()| self.stderr.flush());
        }
    }

    /// Prints an error with its causes, once, and what to try. Registries and manifests have put words into it.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.say(format_args!("{} {}", paint(ERROR, "error:"), plain_lines(&failure.error.to_string())));
        let mut cause = failure.error.source();
        while let Some(error) = cause {
            self.say(format_args!("  caused by: {}", plain_lines(&error.to_string())));
            cause = Error::source(error);
        }
        if let Some(hint) = &failure.hint {
            self.say(format_args!("{} {hint}", paint(HINT, "hint:")));
        }
        if self.annotates {
            let title = failure.hint.as_deref().unwrap_or("sealift");
            for command in annotation::commands(title, &sealift_verify::chain(failure.error.as_ref())) {
                self.say(plain(&command));
            }
        }
    }

    fn say(&mut self, text: impl Display) {
        self.clear_status();
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(self.stderr, "{text}");
    }

    /// Takes the line of progress away.
    pub(crate) fn clear_status(&mut self) {
        if std::mem::take(&mut self.status_shown) {
            let _ = write!(self.stderr, "\r\u{1b}[K");
        }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("report", &self.report).finish_non_exhaustive()
    }
}
