//! What a CI system is told beside the product: outputs and a summary of the job on GitHub, a dotenv file elsewhere.
//! Only what the job's own environment names is written.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use sealift_verify::{
    digest::Digest,
    evidence::{CheckResult, Evidence, Outcome},
    statement::Release,
};

use crate::{channel::Moved, exit::Exit, failure::Failure, signing::Signatory};

/// A file beside the product could not be written. What was asked for is done.
#[derive(Debug, thiserror::Error)]
#[error("all is done, but {} cannot be written", path.display())]
struct Unwritable {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A release that was made, said again or moved.
#[derive(Debug)]
pub(crate) struct Done<'a> {
    /// What was done, as a heading: `Pushed`.
    pub(crate) what: &'a str,
    /// The artifact as it is shown.
    pub(crate) reference: &'a str,
    pub(crate) digest: Digest,
    pub(crate) statement: Digest,
    pub(crate) release: &'a Release,
    /// Who signed it just now.
    pub(crate) signatory: Option<&'a Signatory>,
    pub(crate) channel: Option<(&'a str, &'a Moved)>,
}

impl Done<'_> {
    /// Writes the outputs and the summary that GitHub wants, and the dotenv file that was named.
    pub(crate) fn tell(&self, dotenv: Option<&Path>) -> Result<(), Failure> {
        if let Some(path) = dotenv {
            write(path, |path| fs::write(path, self.dotenv()))?;
        }
        if let Some(path) = named("GITHUB_OUTPUT") {
            let lines: String = self.values().iter().map(|(name, value)| output(name, value, &delimiter())).collect();
            write(&path, |path| append(path, &lines))?;
        }
        summarise(&self.summary())
    }

    /// What later steps use.
    fn values(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![
            ("digest", self.digest.to_string()),
            ("reference", self.reference.to_string()),
            ("statement", self.statement.to_string()),
        ];
        values.extend(self.release.version.clone().map(|version| ("version", version)));
        values.push(("sequence", self.release.sequence.to_string()));
        values
    }

    /// A statement's texts hold no control characters, so every value is one line.
    fn dotenv(&self) -> String {
        let line = |(name, value): &(&str, String)| format!("SEALIFT_{}={value}\n", name.to_uppercase());
        self.values().iter().map(line).collect()
    }

    fn summary(&self) -> String {
        let Self { what, reference, digest: _, statement, release, signatory, channel } = self;
        let environment = release.environment.as_deref().map(|name| format!(" for {}", code(name)));
        let version = release.version.as_deref().map(|version| format!(" {}", code(version)));
        let heading = format!(
            "### {what} {}{}{}",
            code(&release.stream),
            version.unwrap_or_default(),
            environment.unwrap_or_default()
        );
        let expires = release.expires_at.map(|time| format!(", expires {time}")).unwrap_or_default();
        let mut rows = vec![
            ("artifact", code(reference)),
            ("statement", format!("{}, release {}{expires}", code(&statement.to_string()), release.position())),
        ];
        rows.extend(signatory.map(|signatory| ("signed by", code(&signatory.to_string()))));
        rows.extend(channel.map(|(tag, moved)| {
            let became = match moved {
                Moved::To { from: Some(from) } => format!("moved from {}", code(&from.short())),
                Moved::To { from: None } => "new".to_owned(),
                Moved::AlreadyThere => "named this artifact already".to_owned(),
                Moved::Superseded { by, .. } => format!("**left at the newer release {by}**"),
            };
            ("channel", format!("{}, {became}", code(tag)))
        }));
        table(&heading, &rows)
    }
}

/// Adds a verdict to the job's summary, with what else is not as it should be.
pub(crate) fn verdict(evidence: &Evidence, more: &[(&str, String)]) -> Result<(), Failure> {
    summarise(&judged(evidence, more))
}

fn judged(evidence: &Evidence, more: &[(&str, String)]) -> String {
    let heading = match (evidence.outcome, &evidence.reason) {
        (Outcome::Accepted, _) => format!("### Accepted {}", code(&evidence.reference)),
        (_, Some(reason)) => format!("### Refused {}: {reason}", code(&evidence.reference)),
        (_, None) => format!("### Refused {}", code(&evidence.reference)),
    };
    let failed = evidence.checks.iter().filter(|row| row.result == CheckResult::Fail);
    let rows: Vec<_> = failed.map(|row| (row.check.as_str(), code(&row.detail))).collect();
    let passed = evidence.checks.iter().filter(|row| row.result == CheckResult::Pass).count();
    let count = format!("{passed} of {} checks passed", evidence.checks.len());
    let more = more.iter().map(|(name, value)| (*name, code(value)));
    let rows: Vec<_> = rows.into_iter().chain([("checks", count)]).chain(more).collect();
    table(&heading, &rows)
}

fn table(heading: &str, rows: &[(&str, String)]) -> String {
    let rows: String = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    format!("{heading}\n\n| | |\n|---|---|\n{rows}\n")
}

/// A text that others wrote, as code that cannot end the span, the cell or the line it stands in.
fn code(text: &str) -> String {
    let tame = |c: char| match c {
        '`' => '\'',
        c if c.is_control() => ' ',
        c => c,
    };
    let text: String = text.chars().map(tame).collect();
    format!("`{}`", text.replace('|', "\\|"))
}

/// One output of a GitHub job. What has several lines is put between delimiters that nobody can know before.
fn output(name: &str, value: &str, delimiter: &str) -> String {
    match value.contains(['\n', '\r']) {
        false => format!("{name}={value}\n"),
        true => format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"),
    }
}

fn delimiter() -> String {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).expect("the system has random numbers");
    random.iter().fold("sealift_".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn summarise(text: &str) -> Result<(), Failure> {
    match named("GITHUB_STEP_SUMMARY") {
        Some(path) => write(&path, |path| append(path, text)),
        None => Ok(()),
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

/// Writes a file beside the product.
pub(crate) fn write(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Failure> {
    how(path).map_err(|source| Failure::new(Exit::Failed, Unwritable { path: path.to_owned(), source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_reaches_the_next_output() {
        assert_eq!(output("version", "1.4.2", "d"), "version=1.4.2\n");
        let evil = "1\nreference=evil";
        let text = output("version", evil, &delimiter());
        let (first, rest) = text.split_once('\n').unwrap();
        let delimiter = first.strip_prefix("version<<").unwrap();
        assert_eq!(rest, format!("{evil}\n{delimiter}\n"));
        assert!(!evil.contains(delimiter) && delimiter.len() > 32);
        assert_ne!(super::delimiter(), super::delimiter());
    }

    #[test]
    fn nothing_breaks_out_of_its_cell() {
        assert_eq!(code("a`b|c\n# d"), "`a'b\\|c # d`");
    }
}
