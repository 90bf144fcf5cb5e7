//! Calls in the templates of a chart that make what is rendered depend on more than the chart and its values.

use std::{fs, io::Read as _, path::Path};

use sealift_verify::{
    artifact::{Format, Limits},
    layer,
};

/// A call in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The template, by its path in the chart.
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) function: String,
}

/// What is found in all templates of a chart.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Of `lookup`, which asks a cluster and gets no answer here.
    pub(super) lookup: Vec<Call>,
    /// Of functions that answer differently each time.
    pub(super) random: Vec<Call>,
    /// Packed charts that could not be looked into.
    pub(super) unread: Vec<String>,
}

const RANDOM: &[&str] = &[
    "randAlphaNum",
    "randAlpha",
    "randAscii",
    "randNumeric",
    "randBytes",
    "randInt",
    "uuidv4",
    "genPrivateKey",
    "genCA",
    "genCAWithKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "htpasswd",
    "bcrypt",
    "encryptAES",
    "shuffle",
    "now",
    "ago",
];
/// Folders in folders, and packed charts in them.
const DEEPEST: usize = 32;
/// Larger templates are not templates.
const LARGEST: u64 = 4 << 20;

/// Looks into the templates of the chart in `folder` and of the charts it holds.
pub(super) fn calls(folder: &Path, limits: &Limits) -> Calls {
    let mut calls = Calls::default();
    walk(folder, "", 0, limits, &mut calls);
    calls
}

fn walk(folder: &Path, prefix: &str, depth: usize, limits: &Limits, calls: &mut Calls) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names.iter().filter(|_| depth < DEEPEST) {
        let (path, shown) = (folder.join(name), format!("{prefix}{name}"));
        if path.is_dir() {
            walk(&path, &format!("{shown}/"), depth + 1, limits, calls);
        } else if is_template(&shown) {
            let mut text = String::new();
            let read = fs::File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
            if read.is_ok() {
                calls.add(&shown, &text);
            }
        } else if shown.contains("charts/") && shown.ends_with(".tgz") {
            packed(&path, &shown, limits, calls);
        }
    }
}

fn packed(path: &Path, shown: &str, limits: &Limits, calls: &mut Calls) {
    let small = fs::metadata(path).is_ok_and(|found| found.len() <= limits.compressed);
    let unpacked = small.then(|| fs::read(path).ok()).flatten();
    let unpacked = unpacked.and_then(|bytes| layer::unpack(&bytes, Format::Oci, limits).ok());
    let Some(unpacked) = unpacked else { return calls.unread.push(shown.to_owned()) };
    for file in unpacked.files.iter().filter(|file| is_template(&file.path)) {
        calls.add(&format!("{shown}!{}", file.path), &String::from_utf8_lossy(&file.bytes));
    }
}

/// Whether helm runs this file, by its path in the chart.
fn is_template(path: &str) -> bool {
    path.starts_with("templates/") || path.contains("/templates/")
}

impl Calls {
    fn add(&mut self, file: &str, text: &str) {
        for (at, function) in words(text) {
            let line = || 1 + text[..at].matches('\n').count();
            let call = || Call { file: file.to_owned(), line: line(), function: function.to_owned() };
            if function == "lookup" {
                self.lookup.push(call());
            } else if RANDOM.contains(&function) {
                self.random.push(call());
            }
        }
    }
}

/// The function names in the actions of a template, each with its place: not those in texts, comments and literals, nor
/// fields and variables of that name.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("{{") {
        at += open + 2;
        let comment = text[at..].trim_start_matches('-').trim_start();
        if comment.starts_with("/*") {
            at += text[at..].find("*/").map_or(text.len() - at, |end| end + 2);
            continue;
        }
        at = action(text, at, &mut found);
    }
    found
}

/// The names in one action, which begins at `at`. Gives the place where it ends.
fn action<'a>(text: &'a str, mut at: usize, found: &mut Vec<(usize, &'a str)>) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut before = ' ';
    while let Some(letter) = text[at..].chars().next() {
        if text[at..].starts_with("}}") {
            return at + 2;
        }
        if matches!(letter, '"' | '`' | '\'') {
            at = literal(text, at, letter);
            before = letter;
            continue;
        }
        if !is_name(letter) {
            at += letter.len_utf8();
            before = letter;
            continue;
        }
        let length = text[at..].find(|c: char| !is_name(c)).unwrap_or(text.len() - at);
        // `.lookup` and `$lookup` are a field and a variable.
        if !matches!(before, '.' | '$') {
            found.push((at, &text[at..at + length]));
        }
        at += length;
        before = 'a';
    }
    at
}

/// Where the literal that begins at `at` ends.
fn literal(text: &str, at: usize, quote: char) -> usize {
    let mut escaped = false;
    for (index, letter) in text[at + 1..].char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if letter == quote => return at + 1 + index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, usize)> {
        let mut calls = Calls::default();
        calls.add("t", text);
        calls.lookup.into_iter().chain(calls.random).map(|call| (call.function, call.line)).collect()
    }

    #[test]
    fn calls_are_found_with_their_line_and_nothing_else_is() {
        for (text, expected) in [
            ("{{ lookup \"v1\" \"Secret\" \"a\" \"b\" }}", vec![("lookup", 1)]),
            ("a\n\n{{- $x := (lookup `v1` \"S\" .ns \"b\") -}}\n", vec![("lookup", 3)]),
            ("{{ if\n not (lookup \"v1\" \"S\" \"\" \"\") }}", vec![("lookup", 2)]),
            ("{{ .Values.lookup }} {{ $lookup }} lookup {{ \"lookup\" }} {{ `lookup` }}", vec![]),
            ("{{/* lookup */}} {{- /* lookup\n */ -}} {{ lookups }}", vec![]),
            ("{{ \"a\\\"lookup\" | quote }}{{ randAlphaNum 16 | b64enc }}", vec![("randAlphaNum", 1)]),
            ("{{ \"}}\" }}\n{{ now | date }}", vec![("now", 2)]),
            ("{{ lookup", vec![("lookup", 1)]),
            ("{{ \"open", vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(name, line)| (name.to_owned(), line)).collect();
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn only_templates_are_looked_into_those_of_other_charts_within_too() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["templates/a.yaml", "README.md", "charts/redis/templates/sub/b.tpl", "values.yaml"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "\n{{ lookup }}").unwrap();
        }
        fs::write(folder.path().join("charts/broken-1.0.0.tgz"), "no archive").unwrap();
        let calls = calls(folder.path(), &Limits::default());
        let files: Vec<_> = calls.lookup.iter().map(|call| (call.file.as_str(), call.line)).collect();
        assert_eq!(files, [("charts/redis/templates/sub/b.tpl", 2), ("templates/a.yaml", 2)]);
        assert_eq!(calls.unread, ["charts/broken-1.0.0.tgz"]);
    }
}
