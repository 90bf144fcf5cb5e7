//! Records read back: an evidence document becomes [`Evidence`] only if its verdict follows from its rows.
//!
//! This says that a record agrees with itself, not who wrote it.

use serde_json::Value;

use super::{Check, CheckId, CheckResult, Evidence, Outcome};
use crate::{policy::Mode, refusal::Reason};

/// The field of the predicate that holds the whole record.
pub const EXTENSION: &str = "https://sealift.dev/evidence/v1";

/// Why a document is not usable as evidence.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not a verification summary of Sealift's.
    #[error("the document holds no field predicate.\"{EXTENSION}\", so it is no evidence of Sealift's")]
    NoRecord,
    /// A field is missing, unknown or of the wrong type.
    #[error("field {path} of the record cannot be read")]
    Field {
        /// The field's path.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The summary around the record says something else than the record.
    #[error("the summary's {0} is not that of the record")]
    Summary(&'static str),
    /// The verdict does not follow from the rows.
    #[error("the record contradicts itself: {0}")]
    Contradiction(Contradiction),
}

/// How a verdict contradicts its rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A row is missing, twice there, or out of order.
    #[error("the rows are not one a check, in order, from {} on", .0.as_str())]
    Rows(CheckId),
    /// Accepted although a check failed.
    #[error("accepted, and {} failed", .0.as_str())]
    AcceptedFailure(CheckId),
    /// Accepted although a check without which nothing is accepted was not passed.
    #[error("accepted, and {} was not passed", .0.as_str())]
    AcceptedUnchecked(CheckId),
    /// Accepted with a statement and as an artifact without one, or with neither.
    #[error("accepted, and not on exactly one of a release statement and a third party's signature")]
    Grounds,
    /// A check passed that only a release statement could have passed, and there was none.
    #[error("{} passed, and there is no release statement", .0.as_str())]
    NothingStated(CheckId),
    /// Accepted although an enforcing policy is not satisfied.
    #[error("accepted, and policy {0:?} is not satisfied")]
    AcceptedUnsatisfied(String),
    /// Accepted by no enforcing policy at all.
    #[error("accepted by no enforcing policy")]
    AcceptedByNobody,
    /// Accepted, with a reason to refuse.
    #[error("accepted, with {0} as the reason of a refusal")]
    AcceptedReason(Reason),
    /// Accepted as stale although nothing is late.
    #[error("accepted as stale, and neither validity nor max-age failed")]
    Stale,
    /// Refused without a failed row that says why.
    #[error("not accepted, and no failed row says {0:?}")]
    NoFailure(String),
    /// Refused without a reason.
    #[error("refused without a reason")]
    NoReason,
    /// A reason that belongs to the other sort of no.
    #[error("{0} is not a reason for this outcome")]
    WrongReason(Reason),
    /// The artifact's digest is not the one in the reference.
    #[error("the artifact is not the one of the reference")]
    Artifact,
}

/// Rows without which nothing is ever accepted.
const ALWAYS_PASSED: &[CheckId] = &[
    CheckId::Policy,
    CheckId::ManifestDigest,
    CheckId::Manifest,
    CheckId::DenyList,
    CheckId::Signature,
    CheckId::Layer,
    CheckId::Objects,
];

/// Rows that are always looked at, though there may be nothing to find.
const ALWAYS_MADE: &[CheckId] = &[
    CheckId::Statement,
    CheckId::Subject,
    CheckId::Stream,
    CheckId::Repository,
    CheckId::Validity,
    CheckId::Attestations,
    CheckId::Inventory,
    CheckId::Images,
];

/// Rows about what only a release statement says.
const STATED: &[CheckId] = &[
    CheckId::Statement,
    CheckId::Stream,
    CheckId::Environment,
    CheckId::Repository,
    CheckId::Version,
    CheckId::Variant,
    CheckId::Validity,
    CheckId::MaxAge,
    CheckId::Minimum,
    CheckId::Epoch,
    CheckId::Memory,
    CheckId::Hold,
    CheckId::Inventory,
    CheckId::Parameters,
];

/// Reads a document as [`Evidence::to_json`] writes it.
///
/// # Errors
/// [`RecordError`]; a record whose verdict contradicts its rows is not evidence of anything.
pub fn read(document: &Value) -> Result<Evidence, RecordError> {
    let record =
        document.get("predicate").and_then(|predicate| predicate.get(EXTENSION)).ok_or(RecordError::NoRecord)?;
    let mut evidence: Evidence = serde_path_to_error::deserialize(record)
        .map_err(|error| RecordError::Field { path: error.path().to_string(), source: error.into_inner() })?;
    complete_rows(&mut evidence)?;
    if let Some(contradiction) = contradiction(&evidence) {
        return Err(RecordError::Contradiction(contradiction));
    }
    // What other tools read of the summary has to be what the rows say.
    let own = evidence.to_json();
    for (name, pointer) in [
        ("type", "/_type"),
        ("predicate type", "/predicateType"),
        ("subject", "/subject"),
        ("resource", "/predicate/resourceUri"),
        ("time", "/predicate/timeVerified"),
        ("policy", "/predicate/policy"),
        ("input attestations", "/predicate/inputAttestations"),
        ("result", "/predicate/verificationResult"),
    ] {
        if document.pointer(pointer) != own.pointer(pointer) {
            return Err(RecordError::Summary(name));
        }
    }
    Ok(evidence)
}

/// One row a check, in order. Another version knew other checks: what it did not know was not checked.
fn complete_rows(evidence: &mut Evidence) -> Result<(), RecordError> {
    let rows = std::mem::take(&mut evidence.checks);
    if let Some(pair) = rows.windows(2).find(|pair| pair[0].check >= pair[1].check) {
        return Err(RecordError::Contradiction(Contradiction::Rows(pair[1].check)));
    }
    let ours = evidence.verifier == concat!("sealift/", env!("CARGO_PKG_VERSION"));
    let mut found = rows.into_iter().peekable();
    for check in CheckId::ALL {
        match found.next_if(|row| row.check == *check) {
            Some(row) => evidence.checks.push(row),
            None if ours => return Err(RecordError::Contradiction(Contradiction::Rows(*check))),
            None => {
                let detail = format!("not known to {}", evidence.verifier);
                evidence.checks.push(Check { check: *check, result: CheckResult::NotChecked, detail });
            }
        }
    }
    Ok(())
}

/// How the verdict contradicts the rows, if it does.
pub fn contradiction(evidence: &Evidence) -> Option<Contradiction> {
    if !evidence.reference.ends_with(&format!("@{}", evidence.artifact)) {
        return Some(Contradiction::Artifact);
    }
    let passed = |check: &&CheckId| evidence.check(**check).result == CheckResult::Pass;
    if let Some(check) = STATED.iter().find(passed).filter(|_| evidence.third_party.is_some()) {
        return Some(Contradiction::NothingStated(*check));
    }
    match evidence.outcome {
        Outcome::Accepted => accepted(evidence),
        Outcome::Refused => match evidence.reason {
            None => Some(Contradiction::NoReason),
            Some(reason) if is_undecided(reason) => Some(Contradiction::WrongReason(reason)),
            Some(_) => without_failure(evidence),
        },
        Outcome::CouldNotCheck => match evidence.reason {
            Some(reason) if !is_undecided(reason) => Some(Contradiction::WrongReason(reason)),
            Some(_) => without_failure(evidence),
            // Half a verdict: the layer could not be had.
            None => None,
        },
    }
}

fn is_undecided(reason: Reason) -> bool {
    matches!(reason, Reason::TooManySignatures | Reason::ImageUnchecked)
}

fn accepted(evidence: &Evidence) -> Option<Contradiction> {
    if let Some(reason) = evidence.reason {
        return Some(Contradiction::AcceptedReason(reason));
    }
    let late = [CheckId::Validity, CheckId::MaxAge];
    let failed = |row: &&Check| row.result == CheckResult::Fail;
    let excused = |row: &Check| evidence.stale && late.contains(&row.check);
    if let Some(row) = evidence.checks.iter().filter(failed).find(|row| !excused(row)) {
        return Some(Contradiction::AcceptedFailure(row.check));
    }
    if evidence.stale && !evidence.checks.iter().any(|row| failed(&row)) {
        return Some(Contradiction::Stale);
    }
    let open = |check: &&CheckId| evidence.check(**check).result != CheckResult::Pass;
    let unmade = |check: &&CheckId| evidence.check(**check).result == CheckResult::NotChecked;
    if let Some(check) = ALWAYS_PASSED.iter().find(open).or_else(|| ALWAYS_MADE.iter().find(unmade)) {
        return Some(Contradiction::AcceptedUnchecked(*check));
    }
    let stated = evidence.check(CheckId::Statement).result == CheckResult::Pass;
    if stated != evidence.statement.is_some() || stated == evidence.third_party.is_some() {
        return Some(Contradiction::Grounds);
    }
    let mut enforcing = evidence.policies.iter().filter(|policy| policy.mode == Mode::Enforce).peekable();
    if enforcing.peek().is_none() {
        return Some(Contradiction::AcceptedByNobody);
    }
    let unsatisfied = enforcing.find(|policy| !policy.satisfied || policy.unmet.is_some());
    unsatisfied.map(|policy| Contradiction::AcceptedUnsatisfied(policy.name.clone()))
}

fn without_failure(evidence: &Evidence) -> Option<Contradiction> {
    let message = evidence.message.as_deref().unwrap_or_default();
    let said = evidence.checks.iter().any(|row| row.result == CheckResult::Fail && row.detail == message);
    (!said).then(|| Contradiction::NoFailure(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::tests::records;

    #[test]
    fn what_was_written_reads_back_as_it_was() {
        for record in records() {
            assert_eq!(read(&record.to_json()).unwrap(), record);
        }
    }

    #[test]
    fn a_verdict_that_its_rows_do_not_carry_is_refused() {
        let [refused, accepted, stale, undecided] = records().map(|record| record.to_json());
        let row = |check: CheckId, field: &str| format!("/checks/{}/{field}", check as usize);
        let cases: &[(&Value, &str, Value)] = &[
            (&refused, "/outcome", json!("accepted")),
            (&refused, "/outcome", json!("could-not-check")),
            (&refused, "/message", json!("something else")),
            (&refused, "/reason", Value::Null),
            (&refused, "/reason", json!("TooManySignatures")),
            (&refused, &row(CheckId::Manifest, "result"), json!("pass")),
            (&accepted, &row(CheckId::Memory, "result"), json!("fail")),
            (&accepted, &row(CheckId::Signature, "result"), json!("not-checked")),
            (&accepted, &row(CheckId::Inventory, "result"), json!("not-checked")),
            (&accepted, &row(CheckId::Layer, "result"), json!("not-present")),
            (&accepted, &row(CheckId::Layer, "check"), json!("memory")),
            (&accepted, "/policies", json!([])),
            (&accepted, "/policies/0/mode", json!("audit")),
            (&accepted, "/policies/0/satisfied", json!(false)),
            (&accepted, "/stale", json!(true)),
            (&accepted, "/artifact", json!(crate::digest::Digest::of(b"another"))),
            (&accepted, "/outcome", json!("refused")),
            (&stale, "/stale", json!(false)),
            (&undecided, "/outcome", json!("refused")),
        ];
        for (document, pointer, value) in cases {
            let mut changed = (*document).clone();
            let record = &mut changed["predicate"][EXTENSION];
            *record.pointer_mut(pointer).unwrap() = value.clone();
            let contradiction = read(&changed).unwrap_err();
            assert!(matches!(contradiction, RecordError::Contradiction(_)), "{pointer} {value}: {contradiction}");
        }
    }

    #[test]
    fn a_summary_that_says_something_else_than_the_rows_is_refused() {
        let [refused, accepted, ..] = records().map(|record| record.to_json());
        for (document, pointer, value) in [
            (&refused, "/predicate/verificationResult", json!("PASSED")),
            (&accepted, "/subject/0/name", json!("registry.example/other")),
            (&accepted, "/predicate/policy/digest/sha256", json!("00")),
            (&accepted, "/predicateType", json!("https://example.com/other")),
            (&accepted, "/predicate/timeVerified", json!("2020-01-01T00:00:00Z")),
        ] {
            let mut changed = document.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(matches!(read(&changed), Err(RecordError::Summary(_))), "{pointer}");
        }
    }

    #[test]
    fn rows_of_another_version_are_kept_and_what_it_did_not_know_was_not_checked() {
        let [_, accepted, ..] = records().map(|record| record.to_json());
        let without_timestamp = |verifier: &str| {
            let mut changed = accepted.clone();
            let record = &mut changed["predicate"][EXTENSION];
            record["verifier"] = verifier.into();
            record["checks"].as_array_mut().unwrap().remove(CheckId::Timestamp as usize);
            read(&changed)
        };
        let older = without_timestamp("sealift/0.0.9").unwrap();
        let row = older.check(CheckId::Timestamp);
        assert_eq!((row.result, row.detail.as_str()), (CheckResult::NotChecked, "not known to sealift/0.0.9"));
        let ours = without_timestamp(concat!("sealift/", env!("CARGO_PKG_VERSION")));
        assert!(matches!(ours, Err(RecordError::Contradiction(Contradiction::Rows(CheckId::Timestamp)))));
    }

    #[test]
    fn what_is_no_evidence_says_so() {
        assert!(matches!(read(&json!({})), Err(RecordError::NoRecord)));
        assert!(matches!(read(&json!({"predicate": {EXTENSION: {}}})), Err(RecordError::Field { .. })));
    }
}
