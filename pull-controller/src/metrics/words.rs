//! The words that labels may have. What is read from a status, which whoever may write it could have written, counts as
//! `Other` unless it stands here.

use sealift_verify::refusal::Reason;

/// What is not one of ours.
pub(super) const OTHER: &str = "Other";
/// A release that was accepted.
pub(super) const VERIFIED: &str = "Verified";

/// Reasons for which there is no verdict about a release, or that are no refusal of it: those of `Stop` that are not
/// [`Reason`]s as well.
const STOPS: &[&str] = &[
    "ApplyFailed",
    "ApprovalRequired",
    "AuthenticationFailed",
    "ClusterUnavailable",
    "DeletionRefused",
    "DependencyCycle",
    "DependencyNotReady",
    "Forbidden",
    "FreezeUnknown",
    "Frozen",
    "HostNotAllowed",
    "InvalidSpec",
    "MemoryUnusable",
    "NoServiceAccount",
    "NotFound",
    "PartlyApplied",
    "PruneFailed",
    "Revoked",
    "SelfRefusing",
    "SourceUnavailable",
    "VerdictLate",
];

/// Those of them for which there is no verdict about a release.
pub(super) const UNDECIDED: &[&str] = &[
    "AuthenticationFailed",
    "ClusterUnavailable",
    "HostNotAllowed",
    "InvalidSpec",
    "MemoryUnusable",
    "NotFound",
    "SourceUnavailable",
    "VerdictLate",
];

/// Reasons of a Ready condition that no `Stop` is behind.
const STATES: &[&str] = &["Applied", "Deleting", "Held", "HealthCheckFailed", "Progressing", "Stale", "Suspended"];

/// Every reason that a Ready condition of ours can have.
pub(super) fn reasons() -> impl Iterator<Item = &'static str> {
    let refusals = Reason::ALL.iter().map(|reason| reason.as_str());
    refusals.chain(STOPS.iter().copied()).chain(STATES.iter().copied())
}

/// The word, if it is a reason of ours.
pub(super) fn known(reason: &str) -> &'static str {
    reasons().find(|known| *known == reason).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The texts of a source file that are one word in CamelCase, in the lines that `wanted` picks.
    fn words(source: &'static str, wanted: impl Fn(&str) -> bool) -> BTreeSet<&'static str> {
        let (code, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
        let quoted = code.lines().filter(|line| wanted(line)).flat_map(|line| line.split('"').skip(1).step_by(2));
        let is_word = |text: &&str| {
            text.len() > 1
                && text.starts_with(|c: char| c.is_ascii_uppercase())
                && text.chars().all(char::is_alphanumeric)
        };
        quoted.filter(is_word).collect()
    }

    #[test]
    fn every_reason_that_the_controller_gives_is_known() {
        let stops = words(include_str!("../controller/stop.rs"), |line| !line.contains("#[error"));
        assert!(stops.contains("DeletionRefused") && stops.len() > 15, "the words are found: {stops:?}");
        let states = words(include_str!("../controller/status.rs"), |line| {
            line.contains("=> (")
                || line.contains("(\"Applied\"")
                || line.starts_with("const")
                || line.contains("pub(super) const")
        });
        let types =
            BTreeSet::from(["Ready", "Healthy", "Reconciling", "Stalled", VERIFIED, "True", "False", "Unknown"]);
        let unknown: Vec<_> = stops
            .iter()
            .chain(states.difference(&types))
            .filter(|word| known(word) == OTHER && !word.ends_with("Hold") && !word.starts_with("Hold"))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?} are in no label's words");
    }

    #[test]
    fn no_word_stands_twice_and_what_others_write_is_other() {
        let all: Vec<_> = reasons().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!((known("Unsigned"), known("acme-secret-project"), known("")), ("Unsigned", OTHER, OTHER));
    }
}
