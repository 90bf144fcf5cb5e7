//! What one reconcile found and did, for status, events, metrics and the log to read. *pure*

use jiff::Timestamp;
use sealift_apply::{
    api::{LastApplied, SourceRevision},
    assess::HealthReport,
    change::ChangeSet,
};
use sealift_trace::TraceParent;
use sealift_verify::{digest::Digest, evidence::Evidence, verify::Verified};

use super::{hold::Finding, standing::Standing, stop::Stop};
use crate::metrics::Outcome;

/// Filled in step by step; what a reconcile did not get to stays empty.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// When the reconcile began.
    pub(super) began: Option<Timestamp>,
    /// What was selected, and the tag that pointed at it.
    pub(super) attempted: Option<(Digest, Option<String>)>,
    /// The span that made what was selected and accepted, if its signer names one.
    pub(super) trace: Option<TraceParent>,
    /// The record of the verdict.
    pub(super) evidence: Option<Evidence>,
    /// How what was applied before fares under the policies as they are now.
    pub(super) standing: Standing,
    /// The record of that verdict, where it is not the one above.
    pub(super) applied_evidence: Option<Evidence>,
    /// What was found about an emergency hold.
    pub(super) hold: Finding,
    /// The record of the verdict about what is held.
    pub(super) held_evidence: Option<Evidence>,
    /// What was applied to the end.
    pub(super) applied: Option<LastApplied>,
    /// What the plan would do, where a policy demands that it be approved.
    pub(super) plan: Option<Digest>,
    /// How many objects the inventory holds.
    pub(super) objects: Option<usize>,
    /// What was done with each object.
    pub(super) changes: ChangeSet,
    /// How objects are followed where it is not by watches.
    pub(super) watching: Option<String>,
    /// How the objects fare.
    pub(super) health: Option<HealthReport>,
    /// Why it ended early.
    pub(super) stop: Option<Stop>,
}

impl Report {
    /// True if everything was done and everything is healthy.
    pub(super) fn is_settled(&self) -> bool {
        let Self { changes, health, stop, .. } = self;
        stop.is_none() && changes.waiting.is_empty() && health.as_ref().is_none_or(HealthReport::is_healthy)
    }

    /// The stream that what was selected belongs to, as far as a trusted statement says.
    pub(super) fn stream(&self) -> Option<&str> {
        Some(self.evidence.as_ref()?.statement.as_ref()?.stream.as_str())
    }

    /// How the metrics count it.
    pub(super) fn outcome(&self) -> Outcome {
        use super::stop::Verdict;
        match self.stop.as_ref().map(Stop::verdict) {
            Some(Verdict::Refused) => Outcome::Refused,
            Some(Verdict::CouldNotCheck) => Outcome::CouldNotCheck,
            Some(Verdict::Untouched) => Outcome::Failed,
            None if !self.is_settled() => Outcome::Progressing,
            None if self.changes.changed() => Outcome::Changed,
            None => Outcome::Unchanged,
        }
    }
}

/// What status says of a release once it is applied; `at` is kept as long as the rest stays equal.
pub(super) fn last_applied(verified: &Verified, evidence: &Evidence) -> LastApplied {
    let stated = verified.grounds().stated();
    let release = stated.map(|stated| &stated.statement.release);
    LastApplied {
        digest: verified.digest(),
        short: verified.digest().short(),
        version: release.and_then(|release| release.version.clone()),
        epoch: release.map(|release| release.epoch),
        sequence: release.map(|release| release.sequence),
        statement: stated.map(|stated| stated.payload),
        variant: verified.variant().map(str::to_owned),
        objects: verified.inventory(),
        parameters: evidence.parameters,
        issued_at: release.map(|release| release.issued_at),
        source: release.and_then(|release| SourceRevision::of(release.source.as_ref()?)),
        at: evidence.time,
    }
}
