//! Patterns over names. There is no pattern that matches by accident: regular expressions are anchored, and what
//! would match everything is an error.

use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

use super::spec::MatcherSpec;

/// Texts that have nothing in common. A pattern is judged by what it does, since there is no end of ways to write `.*`.
const PROBES: [&str; 2] = ["q", "~\u{e9} \u{3a9}/@?%/0"];

/// A pattern ready to match.
#[derive(Clone, Debug)]
pub struct Matcher(Pattern);

#[derive(Clone, Debug)]
enum Pattern {
    Exact(String),
    Glob(GlobMatcher),
    Regex(Regex),
}

/// Why a pattern cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MatcherError {
    /// None or several of `exact`, `glob`, `regex`.
    #[error("a matcher has exactly one of exact, glob and regex")]
    NotOne,
    /// An empty pattern, or one that matches everything.
    #[error("pattern {0:?} would match anything")]
    Anything(String),
    /// Not a glob.
    #[error("{0:?} is not a glob")]
    Glob(String, #[source] globset::Error),
    /// Not a regular expression.
    #[error("{0:?} is not a regular expression")]
    Regex(String, #[source] regex::Error),
}

impl Matcher {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`MatcherError`].
    pub fn new(spec: &MatcherSpec) -> Result<Self, MatcherError> {
        match (&spec.exact, &spec.glob, &spec.regex) {
            (Some(text), None, None) if !text.is_empty() => Ok(Self(Pattern::Exact(text.clone()))),
            (None, Some(text), None) => {
                if text.chars().all(|c| matches!(c, '*' | '/')) && text.contains("**") {
                    return Err(MatcherError::Anything(text.clone()));
                }
                let glob = glob(text)?;
                if PROBES.iter().all(|probe| glob.is_match(probe)) {
                    return Err(MatcherError::Anything(text.clone()));
                }
                Ok(Self(Pattern::Glob(glob)))
            }
            (None, None, Some(text)) => regex(text).map(|regex| Self(Pattern::Regex(regex))),
            (Some(_), None, None) => Err(MatcherError::Anything(String::new())),
            _ => Err(MatcherError::NotOne),
        }
    }

    /// The pattern as it was written.
    pub(super) fn as_str(&self) -> &str {
        match &self.0 {
            Pattern::Exact(exact) => exact,
            Pattern::Glob(glob) => glob.glob().glob(),
            Pattern::Regex(regex) => regex.as_str(),
        }
    }

    /// True if the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Pattern::Exact(exact) => exact == text,
            Pattern::Glob(glob) => glob.is_match(text),
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

/// A list of globs of which any may match; `**` selects everything, since a policy about everything only tightens.
#[derive(Clone, Debug)]
pub struct Globs(Vec<GlobMatcher>);

impl Globs {
    /// Compiles a list.
    ///
    /// # Errors
    /// [`MatcherError`] about the first pattern that is empty or none.
    pub fn new(patterns: &[String]) -> Result<Self, MatcherError> {
        patterns.iter().map(|pattern| glob(pattern)).collect::<Result<_, _>>().map(Self)
    }

    /// True if one of them matches the whole of `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob.is_match(text))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn glob(text: &str) -> Result<GlobMatcher, MatcherError> {
    if text.is_empty() {
        return Err(MatcherError::Anything(String::new()));
    }
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    Ok(glob.map_err(|error| MatcherError::Glob(text.to_owned(), error))?.compile_matcher())
}

fn regex(text: &str) -> Result<Regex, MatcherError> {
    let regex = anchored(text).map_err(|error| MatcherError::Regex(text.to_owned(), error))?;
    if text.is_empty() || PROBES.iter().all(|probe| regex.is_match(probe)) {
        return Err(MatcherError::Anything(text.to_owned()));
    }
    Ok(regex)
}

/// A regular expression about the whole text: anchored by us, so that a forgotten ^ or $ never widens trust.
pub(crate) fn anchored(text: &str) -> Result<Regex, regex::Error> {
    // By itself first: `a)|(?:b` is none, and would become one between our brackets, without its anchors.
    Regex::new(text)?;
    Regex::new(&format!("^(?:{text})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(exact: &str, glob: &str, regex: &str) -> Result<Matcher, MatcherError> {
        let some = |text: &str| (text != "-").then(|| text.to_owned());
        Matcher::new(&MatcherSpec { exact: some(exact), glob: some(glob), regex: some(regex) })
    }

    #[test]
    fn a_star_stays_within_a_segment() {
        let one = matcher("-", "acme/*", "-").unwrap();
        assert!(one.matches("acme/shop") && !one.matches("acme/shop/web") && !one.matches("other/shop"));
        assert!(matcher("-", "acme/**", "-").unwrap().matches("acme/shop/web"));
    }

    #[test]
    fn a_regular_expression_matches_the_whole_text_only() {
        let regex = matcher("-", "-", "acme/[a-z]+|beta").unwrap();
        assert!(regex.matches("acme/shop") && regex.matches("beta"));
        assert!(!regex.matches("evil/acme/shop") && !regex.matches("acme/shop/x") && !regex.matches("betamax"));
    }

    #[test]
    fn a_regular_expression_cannot_break_out_of_its_anchors() {
        assert!(matches!(matcher("-", "-", "acme/shop)|(?:beta"), Err(MatcherError::Regex(..))));
    }

    #[test]
    fn refuses_patterns_that_match_anything() {
        for (exact, glob, regex) in [
            ("", "-", "-"),
            ("-", "", "-"),
            ("-", "**", "-"),
            ("-", "**/*", "-"),
            ("-", "-", ""),
            ("-", "-", ".*"),
            ("-", "-", "^.*$"),
            ("-", "-", "(.+)"),
        ] {
            assert!(matches!(matcher(exact, glob, regex), Err(MatcherError::Anything(_))), "{exact} {glob} {regex}");
        }
        for regex in ["(?:.*)", "(?s).*", r"[\s\S]*", ".{0,}", "a|.*", "(.*)|b", "[^/]+(/[^/]+)*"] {
            assert!(matches!(matcher("-", "-", regex), Err(MatcherError::Anything(_))), "{regex}");
        }
        assert!(matches!(matcher("a", "b", "-"), Err(MatcherError::NotOne)));
        assert!(matches!(matcher("-", "-", "-"), Err(MatcherError::NotOne)));
    }
}
