//! What was measured, as lines and as tables.

use std::{fmt, time::Duration};

/// Rows of name, value and unit, in the order they were taken.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<(String, String)>);

impl Figures {
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: &str) {
        self.0.push((name.to_owned(), format!("{value:.1} {unit}")));
    }

    pub(crate) fn count(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    /// Median with the range behind it: these machines are noisy.
    pub(crate) fn times(&mut self, name: &str, mut samples: Vec<Duration>) {
        samples.sort();
        let milliseconds = |at: usize| samples.get(at).map_or(0.0, |sample| sample.as_secs_f64() * 1e3);
        let (low, middle, high) = (milliseconds(0), milliseconds(samples.len() / 2), milliseconds(samples.len() - 1));
        self.0.push((name.to_owned(), format!("{middle:.0} ms ({low:.0} to {high:.0}, n={})", samples.len())));
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name:<width$}  {value}"))
    }
}

/// The middle one of several samples.
pub(crate) fn median(samples: &[Duration]) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// A table in Markdown, as the documents have it.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, head: &[&str]) -> Self {
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        let rule = vec!["---".to_owned(); head.len()];
        Self { title: title.into(), rows: vec![head, rule] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}
