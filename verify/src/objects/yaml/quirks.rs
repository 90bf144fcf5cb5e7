//! Where the parser underneath, which is of YAML 1.2, takes what kubectl's, which is of YAML 1.1, does not.

use std::{collections::BTreeMap, ops::RangeInclusive};

use granit_parser::{ScalarStyle, Span};

use super::Problem;

/// YAML 1.1 ends a bare word in flow style at `?`, takes a `:` it starts with for an indicator, and takes a `:`
/// directly before a bracket or comma for a part of the word.
pub(super) fn check_flow(word: &str, after: &str) -> Result<(), Problem> {
    let colon = after.strip_prefix(':').is_some_and(|rest| rest.starts_with([',', '[', ']', '{', '}']));
    if colon || word.contains('?') || word.starts_with(':') {
        return Err(Problem::Flow(word.to_owned()));
    }
    Ok(())
}

/// Escapes that JSON has and YAML 1.1 has not: `\\/` and pairs of surrogates.
pub(super) fn check_escapes(quoted: &str) -> Result<(), Problem> {
    let mut rest = quoted;
    while let Some((_, escape)) = rest.split_once('\\') {
        let hex = escape.strip_prefix('u').and_then(|hex| u32::from_str_radix(hex.get(..4)?, 16).ok());
        if hex.is_some_and(|code| (0xd800..0xe000).contains(&code)) {
            return Err(Problem::Escape(format!("\\{}", &escape[..5])));
        }
        if escape.starts_with('/') {
            return Err(Problem::Escape("\\/".to_owned()));
        }
        // The escaped character is passed over, so that `\\\\/` is a backslash and a slash.
        rest = escape.get(escape.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    Ok(())
}

/// The lines whose indentation holds a tab, which kubectl refuses outside of quotes, blocks and flow style.
///
/// In bare words of several lines it takes some and not others; here none is taken.
pub(super) struct Tabs {
    /// By line, from 1: whether the tab comes after `-`, `?` or `:`, which indent what follows them.
    after_indicator: BTreeMap<usize, bool>,
}

impl Tabs {
    pub(super) fn new(text: &str) -> Self {
        if !text.contains('\t') {
            return Self { after_indicator: BTreeMap::new() };
        }
        let tab = |(i, line): (usize, &str)| {
            let after_indicator = !line.trim_start_matches(' ').starts_with('\t');
            let rest = line.trim_start_matches([' ', '-', '?', ':']);
            rest.starts_with('\t').then_some((i + 1, after_indicator))
        };
        Self { after_indicator: text.lines().enumerate().filter_map(tab).collect() }
    }

    /// Quotes may hold tabs after their first line, blocks from the first line of their content on, once it is indented.
    pub(super) fn scalar(&mut self, style: ScalarStyle, span: &Span) {
        if self.after_indicator.is_empty() || style == ScalarStyle::Plain {
            return;
        }
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        let start = span.start.line();
        if is_block && self.after_indicator.get(&start) == Some(&true) {
            self.after_indicator.remove(&start);
        }
        // A block ends where the next line begins.
        self.allow(start, span.end.line() - usize::from(span.end.col() == 0));
    }

    /// Within brackets tabs are white space like any other.
    pub(super) fn flow(&mut self, lines: RangeInclusive<usize>) {
        self.allow(*lines.start(), *lines.end());
    }

    /// Takes out the lines after `start` up to `end`.
    fn allow(&mut self, start: usize, end: usize) {
        while let Some((line, _)) = self.after_indicator.range(start + 1..).next()
            && *line <= end
        {
            let line = *line;
            self.after_indicator.remove(&line);
        }
    }

    /// A line that is left over.
    pub(super) fn outside(&self) -> Option<usize> {
        self.after_indicator.keys().next().copied()
    }
}
