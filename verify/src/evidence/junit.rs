//! Evidence as JUnit XML, which every CI shows: one suite a decision, one case a check.
//!
//! A check that was not made is `skipped`, never passed; so is one that found nothing to check.

use std::fmt::Write as _;

use super::{Check, CheckResult, Evidence, Outcome};

const CLASS: &str = "sealift.verify";

/// A suite of cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// What was judged.
    pub name: String,
    /// When, in RFC 3339.
    pub timestamp: String,
    /// Facts about the whole, by name.
    pub properties: Vec<(String, String)>,
    /// What was asked.
    pub cases: Vec<Case>,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What the question is about, as a name with dots.
    pub class: String,
    /// The question.
    pub name: String,
    /// The answer.
    pub result: CaseResult,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseResult {
    /// Asked, and well; with what was seen.
    Passed(String),
    /// Asked, and not well.
    Failed {
        /// A stable word.
        kind: String,
        /// What is wrong.
        message: String,
    },
    /// No answer can be had now.
    Error {
        /// A stable word.
        kind: String,
        /// Why.
        message: String,
    },
    /// Not asked, and why.
    Skipped(String),
}

/// The records of `sealift verify` as one document.
pub fn render(records: &[Evidence]) -> String {
    document("sealift verify", &records.iter().map(suite).collect::<Vec<_>>())
}

/// One record as a suite.
pub fn suite(evidence: &Evidence) -> Suite {
    let outcome = match evidence.outcome {
        Outcome::Accepted if evidence.stale => "accepted (stale)",
        Outcome::Accepted => "accepted",
        Outcome::Refused => "refused",
        Outcome::CouldNotCheck => "could-not-check",
    };
    let mut properties = vec![("outcome".to_owned(), outcome.to_owned())];
    properties.extend(evidence.reason.map(|reason| ("reason".to_owned(), reason.to_string())));
    let policies = evidence.policies.iter();
    properties.extend(policies.map(|p| (format!("policy.{}", p.name), p.digest.to_string())));
    properties.extend(evidence.statement.iter().map(|s| ("statement".to_owned(), s.digest.to_string())));
    properties.extend(evidence.third_party.iter().map(|s| ("third-party-signature".to_owned(), s.digest.to_string())));
    properties.push(("verifier".to_owned(), evidence.verifier.clone()));
    let mut cases: Vec<_> = evidence.checks.iter().map(|row| case(row, evidence)).collect();
    if evidence.outcome == Outcome::CouldNotCheck && evidence.reason.is_none() {
        // Half a verdict has no failed row, and must not look like a good one.
        let message = "no verdict was reached".to_owned();
        let result = CaseResult::Error { kind: "NoVerdict".to_owned(), message };
        cases.push(Case { class: CLASS.to_owned(), name: "verdict".to_owned(), result });
    }
    Suite { name: evidence.reference.clone(), timestamp: evidence.time.to_string(), properties, cases }
}

fn case(row: &Check, evidence: &Evidence) -> Case {
    let said = |what: &str| if row.detail.is_empty() { what.to_owned() } else { format!("{what}: {}", row.detail) };
    let kind = || evidence.reason.map(|reason| reason.to_string()).unwrap_or_default();
    let result = match (row.result, evidence.outcome) {
        (CheckResult::Pass, _) => CaseResult::Passed(row.detail.clone()),
        (CheckResult::NotChecked, _) => CaseResult::Skipped(said("not checked")),
        (CheckResult::NotPresent, _) => CaseResult::Skipped(said("not present")),
        // What runs is confirmed by a statement that has expired: no reason to fail a build, and no pass either.
        (CheckResult::Fail, Outcome::Accepted) => CaseResult::Skipped(said("does not hold")),
        (CheckResult::Fail, Outcome::Refused) => CaseResult::Failed { kind: kind(), message: row.detail.clone() },
        (CheckResult::Fail, Outcome::CouldNotCheck) => CaseResult::Error { kind: kind(), message: row.detail.clone() },
    };
    Case { class: CLASS.to_owned(), name: row.check.as_str().to_owned(), result }
}

#[derive(Clone, Copy, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Self {
        cases.into_iter().fold(Self::default(), |mut counts, case| {
            counts.tests += 1;
            match case.result {
                CaseResult::Passed(_) => {}
                CaseResult::Failed { .. } => counts.failures += 1,
                CaseResult::Error { .. } => counts.errors += 1,
                CaseResult::Skipped(_) => counts.skipped += 1,
            }
            counts
        })
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tests, failures, errors, skipped } = self;
        write!(f, "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
    }
}

/// Suites as one document.
pub fn document(name: &str, suites: &[Suite]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = Counts::of(suites.iter().flat_map(|suite| &suite.cases));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<testsuites name=\"{}\" {all}>", escape(name));
    for Suite { name, timestamp, properties, cases } in suites {
        let counts = Counts::of(cases);
        let _ = writeln!(out, "  <testsuite name=\"{}\" timestamp=\"{}\" {counts}>", escape(name), escape(timestamp));
        if !properties.is_empty() {
            out.push_str("    <properties>\n");
            for (name, value) in properties {
                let _ = writeln!(out, "      <property name=\"{}\" value=\"{}\"/>", escape(name), escape(value));
            }
            out.push_str("    </properties>\n");
        }
        cases.iter().for_each(|case| write_case(case, &mut out));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn write_case(Case { class, name, result }: &Case, out: &mut String) {
    let _ = write!(out, "    <testcase classname=\"{}\" name=\"{}\"", escape(class), escape(name));
    let inner = match result {
        CaseResult::Passed(detail) if detail.is_empty() => {
            out.push_str("/>\n");
            return;
        }
        CaseResult::Passed(detail) => format!("<system-out>{}</system-out>", escape(detail)),
        CaseResult::Failed { kind, message } => {
            format!("<failure type=\"{}\" message=\"{}\"/>", escape(kind), escape(message))
        }
        CaseResult::Error { kind, message } => {
            format!("<error type=\"{}\" message=\"{}\"/>", escape(kind), escape(message))
        }
        CaseResult::Skipped(why) => format!("<skipped message=\"{}\"/>", escape(why)),
    };
    let _ = writeln!(out, ">\n      {inner}\n    </testcase>");
}

/// Text for XML 1.0, which knows most control characters not even as references.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{assert_snapshot, records};

    #[test]
    fn the_xml_is_as_it_was() {
        let [refused, _, stale, _] = records();
        assert_snapshot("junit.xml", &render(&[refused, stale]));
    }

    #[test]
    fn nothing_of_a_strangers_making_breaks_out_of_its_text() {
        assert_eq!(
            escape("</x>\"'&\u{0}\u{1b}\r\n\t\u{ffff}é"),
            "&lt;/x&gt;&quot;&apos;&amp;\u{fffd}\u{fffd}\u{fffd}&#10;&#9;\u{fffd}é"
        );
    }

    #[test]
    fn half_a_verdict_is_an_error() {
        let [_, mut half, ..] = records();
        half.outcome = Outcome::CouldNotCheck;
        assert_eq!(Counts::of(&suite(&half).cases).errors, 1);
    }

    #[test]
    fn a_build_fails_exactly_where_a_release_is_not_accepted() {
        for record in records() {
            let suite = suite(&record);
            let counts = Counts::of(&suite.cases);
            assert_eq!(counts.failures + counts.errors == 0, record.outcome == Outcome::Accepted, "{record}");
            assert_eq!(counts.tests, record.checks.len());
            let passed = counts.tests - counts.failures - counts.errors - counts.skipped;
            assert_eq!(passed, record.checks.iter().filter(|row| row.result == CheckResult::Pass).count());
        }
    }
}
