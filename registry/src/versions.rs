//! Ranges of versions and the highest tag in one. *pure*
//!
//! Written as `>=1.2.0 <2`, `~1.4`, `^1`, `1.x` or `1.4.2`, alternatives separated by `||`. A bare version means itself
//! (and `1.4` every `1.4.*`), as it does for npm, Helm and Flux; Cargo would take it for `^1.4`.

use std::str::FromStr;

use semver::{Version, VersionReq};

/// A range of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range(Vec<VersionReq>);

/// Why a text is not a range.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a range of versions")]
pub struct RangeError {
    /// The text.
    text: String,
    /// What the parser says.
    #[source]
    source: semver::Error,
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let alternatives = text.split("||").map(|part| {
            VersionReq::parse(&comparators(part)).map_err(|source| RangeError { text: text.to_owned(), source })
        });
        alternatives.collect::<Result<_, _>>().map(Self)
    }
}

/// As the semver crate writes it: separated by commas, every comparator with its operator.
fn comparators(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut operator = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        let version = word.trim_start_matches(['<', '>', '=', '~', '^']);
        operator += &word[..word.len() - version.len()];
        if version.is_empty() {
            continue;
        }
        let version = version.strip_prefix('v').unwrap_or(version);
        let bare = operator.is_empty() && !version.contains(['*', 'x', 'X']);
        parts.push(format!("{}{version}", if bare { "=" } else { &operator }));
        operator.clear();
    }
    parts.extend((!operator.is_empty()).then_some(operator));
    parts.join(", ")
}

impl Range {
    /// True of a version in the range.
    pub fn contains(&self, version: &Version) -> bool {
        self.0.iter().any(|range| range.matches(version))
    }

    /// The tag with the highest version in the range. Tags that are no versions do not count; a leading `v` is allowed.
    pub fn highest<'a>(&self, tags: &'a [String]) -> Option<&'a str> {
        let matching = tags.iter().filter_map(|tag| {
            let version = version(tag)?;
            self.contains(&version).then_some((version, tag.as_str()))
        });
        matching.max().map(|(_, tag)| tag)
    }
}

/// The version that a tag is; a leading `v` is allowed.
pub fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_highest_version_in_a_range() {
        let tags = ["latest", "1.2.0", "1.10.0", "1.9.9", "2.0.0", "2.1.0-rc.1", "v3.0.0", "sha256-00", "1.10"];
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        for (range, found) in [
            (">=1.2.0 <2", Some("1.10.0")),
            (">= 1.2.0, < 1.10.0", Some("1.9.9")),
            ("^1.2", Some("1.10.0")),
            ("~1.9", Some("1.9.9")),
            ("1.x", Some("1.10.0")),
            ("1.2.0", Some("1.2.0")),
            ("1.9", Some("1.9.9")),
            ("*", Some("v3.0.0")),
            (">=2.0.0-0 <3", Some("2.0.0")),
            (">=2.1.0-rc.0 <3", Some("2.1.0-rc.1")),
            ("1.2.0 || 2.0.0", Some("2.0.0")),
            ("v3", Some("v3.0.0")),
            ("^4", None),
        ] {
            assert_eq!(range.parse::<Range>().unwrap().highest(&tags), found, "{range}");
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in [">", "latest", "1.2.0 - 1.4.0", ">=1.2.0 <", "=>1"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
