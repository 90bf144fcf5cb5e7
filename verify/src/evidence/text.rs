//! Evidence for people, one line a row.

use std::fmt;

use super::{CheckResult, Evidence, Outcome, THIRD_PARTY};
use crate::policy::Mode;

/// A text that may be of a stranger's making, as part of a line: what would begin another line, or move a cursor, shows.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reference)?;
        if let Some(s) = &self.statement {
            let part =
                |name: &str, value: &Option<String>| value.as_ref().map(|v| format!(" {name} {v}")).unwrap_or_default();
            writeln!(
                f,
                "  stream {}{}{} release {} issued {}",
                s.stream,
                part("environment", &s.environment),
                part("version", &s.version),
                s.position,
                s.issued_at
            )?;
        }
        if self.third_party.is_some() {
            writeln!(f, "  {THIRD_PARTY}")?;
        }
        for policy in &self.policies {
            let mode = if policy.mode == Mode::Audit { " (audit)" } else { "" };
            let verdict = plain(policy.unmet.as_deref().unwrap_or("satisfied"));
            let signers: Vec<_> = policy.signers.iter().map(|s| s.authority.as_str()).collect();
            writeln!(f, "  policy {}{mode}: {verdict}; signed by [{}]", policy.name, signers.join(", "))?;
        }
        for row in &self.checks {
            let word = match row.result {
                CheckResult::Pass => "pass",
                CheckResult::Fail => "FAIL",
                CheckResult::NotChecked => "NOT CHECKED",
                CheckResult::NotPresent => "not present",
            };
            let dash = if row.detail.is_empty() { "" } else { "  " };
            writeln!(f, "  {word:<12} {:<17}{dash}{}", row.check.as_str(), plain(&row.detail))?;
        }
        for skipped in &self.skipped {
            writeln!(f, "  skipped      {}  {}", skipped.referrer, plain(&skipped.reason))?;
        }
        match (&self.outcome, &self.reason, &self.message) {
            (Outcome::Accepted, ..) if self.stale => f.write_str("ACCEPTED (stale: the statement has expired)"),
            (Outcome::Accepted, ..) => f.write_str("ACCEPTED"),
            (Outcome::Refused, Some(reason), Some(message)) => write!(f, "REFUSED {reason}: {}", plain(message)),
            (_, Some(reason), Some(message)) => write!(f, "COULD NOT CHECK {reason}: {}", plain(message)),
            _ => f.write_str("COULD NOT CHECK"),
        }
    }
}
