//! Why a reconcile ended before its last step: the reason, the words and when to try again. *pure*

use std::{error::Error, time::Duration};

use sealift_apply::{apply::ApplyError, budget::OverBudget, change::Refused, cluster::ClusterError, freeze::Frozen};
use sealift_registry::client::ClientError;
use sealift_verify::{approval::NotApproved, refusal::Refusal};

use super::{parameters::ParameterError, registries::PullSecretError, source::SourceError};

/// Why a reconcile ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A field of the Delivery cannot be used.
    #[error("{0}")]
    Spec(String),
    /// Nobody to apply as.
    #[error(
        "spec.serviceAccountName is not set and the platform names no default: nothing is applied as the controller itself"
    )]
    NoServiceAccount,
    /// A policy that may speak for this repository cannot be used, so nothing may be authorised.
    #[error("SignaturePolicy {policy} cannot be used and may be about this repository: {problem}")]
    PolicyInvalid {
        /// The policy.
        policy: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The release is refused.
    #[error("{0}")]
    Refused(Refusal),
    /// Trust in what runs was withdrawn, and a policy suspends it. What is selected cannot run either.
    #[error(
        "policy {policy} suspends what runs, since it would be refused now: {refusal}; it is neither repaired nor deleted"
    )]
    Revoked {
        /// The policy that says so.
        policy: String,
        /// Why what runs would be refused.
        refusal: Box<Refusal>,
        /// Why what is selected does not take its place.
        selected: Box<Self>,
    },
    /// Something it depends on is not ready.
    #[error("waits for what it depends on: {0}")]
    Dependency(String),
    /// A Freeze is in force. What runs is kept in repair.
    #[error("nothing new is applied: {0}")]
    Frozen(Frozen),
    /// Whether there is a Freeze cannot be said.
    #[error("nothing new is applied, since it is not known whether there is a Freeze: {0}")]
    FreezeUnknown(String),
    /// It waits for itself.
    #[error("depends on itself: {0}")]
    DependencyCycle(String),
    /// A parameter's value cannot be had.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The artifact cannot be had.
    #[error(transparent)]
    Source(SourceError),
    /// The memory of trust belongs to another Delivery: two names with one hash, or a record moved by hand.
    #[error("AcceptedRelease {name} is about another Delivery")]
    Memory {
        /// The record.
        name: String,
    },
    /// The cluster did not do its part.
    #[error("{doing} failed")]
    Cluster {
        /// What was tried.
        doing: &'static str,
        /// The cluster's words.
        #[source]
        source: ClusterError,
    },
    /// The release would delete more than it may, so nothing of it is applied.
    #[error("nothing was applied")]
    Deletion(#[source] Box<OverBudget>),
    /// A policy demands that the plan be approved, and it is not. Nothing of it is applied.
    #[error("nothing was applied")]
    NotApproved(#[source] Box<NotApproved>),
    /// It changes policies or trust roots so that it, or the root Delivery, would be refused. Nothing of it is applied.
    #[error(
        "nothing was applied: with the policies and trust roots that it leaves behind, Delivery {whose} {} ({})",
        if why.verdict() == Verdict::Refused { "would be refused" } else { "cannot be judged" }, why.reason()
    )]
    SelfRefusing {
        /// Which Delivery would be refused.
        whose: String,
        /// Why, or why that cannot be said.
        #[source]
        why: Box<Self>,
    },
    /// Not everything was applied.
    #[error(transparent)]
    Apply(Box<ApplyError>),
    /// Not everything was pruned.
    #[error("{} objects that left the release were not deleted: {}", .0.len(), listed(.0))]
    Prune(Vec<Refused>),
    /// There was no verdict in time: the expressions of policies took too long, or many were asked at once.
    #[error("no verdict was reached within {} seconds", .0.as_secs())]
    Late(Duration),
    /// The work itself broke off.
    #[error("an internal task ended early")]
    Internal(#[source] tokio::task::JoinError),
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Soon, later each time.
    Backoff,
    /// After so long at least.
    After(Duration),
    /// With the interval: only a change elsewhere helps.
    Interval,
    /// With the interval, or when the registry gives an answer: it is asked for all who want it.
    Followed,
    /// Not before the Delivery, a policy or the platform's configuration is another.
    Change,
}

impl Retry {
    /// True if it is tried again before the interval is over.
    pub fn is_soon(self) -> bool {
        matches!(self, Self::Backoff | Self::After(_))
    }

    /// True if somebody tries again without a change.
    pub fn is_tried_again(self) -> bool {
        matches!(self, Self::Backoff | Self::After(_) | Self::Followed)
    }
}

/// What a stop says about the release's verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was refused.
    Refused,
    /// It could not be judged.
    CouldNotCheck,
    /// It is not about verification.
    Untouched,
}

impl From<ApplyError> for Stop {
    fn from(error: ApplyError) -> Self {
        Self::Apply(Box::new(error))
    }
}

impl Stop {
    /// The stable word for log, condition and metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Spec(_) => "InvalidSpec",
            Self::NoServiceAccount => "NoServiceAccount",
            Self::PolicyInvalid { .. } => "PolicyInvalid",
            Self::Refused(refusal) => refusal.reason().as_str(),
            Self::Revoked { .. } => "Revoked",
            Self::Dependency(_) => "DependencyNotReady",
            Self::DependencyCycle(_) => "DependencyCycle",
            Self::Frozen(_) => "Frozen",
            Self::FreezeUnknown(_) => "FreezeUnknown",
            Self::Parameter(error) if error.is_transient() => "ClusterUnavailable",
            Self::Parameter(_) => "BadParameter",
            Self::Source(error) => source_reason(error),
            Self::Memory { .. } => "MemoryUnusable",
            Self::Late(_) => "VerdictLate",
            Self::Cluster { source, .. } if source.is_forbidden() => "Forbidden",
            Self::Cluster { source, .. } if source.is_transient() => "ClusterUnavailable",
            Self::Cluster { .. } | Self::Internal(_) => "ApplyFailed",
            Self::Deletion(_) => "DeletionRefused",
            Self::NotApproved(_) => "ApprovalRequired",
            Self::SelfRefusing { why, .. } if why.verdict() == Verdict::Refused => "SelfRefusing",
            Self::SelfRefusing { why, .. } => why.reason(),
            Self::Apply(error) if error.done().changed() => "PartlyApplied",
            Self::Apply(_) => "ApplyFailed",
            Self::Prune(_) => "PruneFailed",
        }
    }

    /// The stop as far as it is about what was selected, which a verdict is about.
    pub fn about_selected(&self) -> &Self {
        match self {
            Self::Revoked { selected, .. } => selected.about_selected(),
            other => other,
        }
    }

    /// What it says about the release.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Revoked { selected, .. } => selected.verdict(),
            Self::Refused(refusal) if refusal.is_undecided() => Verdict::CouldNotCheck,
            Self::Refused(_) | Self::PolicyInvalid { .. } => Verdict::Refused,
            Self::Parameter(error) if !error.is_transient() => Verdict::Refused,
            Self::Source(_) | Self::Memory { .. } | Self::Parameter(_) | Self::Late(_) => Verdict::CouldNotCheck,
            Self::Spec(_)
            | Self::NoServiceAccount
            | Self::Dependency(_)
            | Self::DependencyCycle(_)
            | Self::Frozen(_)
            | Self::FreezeUnknown(_)
            | Self::Cluster { .. }
            | Self::Deletion(_)
            | Self::NotApproved(_)
            | Self::SelfRefusing { .. }
            | Self::Apply(_)
            | Self::Prune(_)
            | Self::Internal(_) => Verdict::Untouched,
        }
    }

    /// When to try again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Spec(_) | Self::NoServiceAccount | Self::PolicyInvalid { .. } => Retry::Change,
            Self::Memory { .. } | Self::Deletion(_) | Self::NotApproved(_) | Self::DependencyCycle(_) => {
                Retry::Interval
            }
            // Whatever becomes ready wakes those that depend on it.
            Self::Dependency(_) => Retry::Followed,
            // The end of a freeze wakes those that wait for it.
            Self::Frozen(_) | Self::FreezeUnknown(_) => Retry::Followed,
            Self::Revoked { selected, .. } => selected.retry(),
            Self::SelfRefusing { why, .. } => why.retry(),
            Self::Refused(refusal) if refusal.is_undecided() => Retry::Backoff,
            Self::Refused(_) => Retry::Interval,
            // It is asked again for all who want to know, and the answer wakes them.
            Self::Source(SourceError::Client { followed: true, .. }) => Retry::Followed,
            Self::Source(SourceError::Client { error, followed: false }) => match error.retry_after() {
                Some(asked) => Retry::After(asked),
                None => Retry::Backoff,
            },
            Self::Source(SourceError::TooSlow { .. }) => Retry::Backoff,
            Self::Source(SourceError::NoVersion { .. }) => Retry::Interval,
            Self::Source(SourceError::Setup(_) | SourceError::Range(_) | SourceError::Nowhere) => Retry::Change,
            // Accounts, secrets and grants are often created a moment after the Delivery that needs them.
            Self::Source(SourceError::PullSecret(_))
            | Self::Parameter(_)
            | Self::Cluster { .. }
            | Self::Apply(_)
            | Self::Prune(_)
            | Self::Late(_)
            | Self::Internal(_) => Retry::Backoff,
        }
    }

    /// True if nobody but a person helps.
    pub fn is_stalled(&self) -> bool {
        match self {
            Self::Apply(error) => !error.is_transient(),
            Self::Parameter(error) => !error.is_transient(),
            Self::Cluster { source, .. } => !source.is_transient() && !source.is_conflict(),
            Self::Source(error) => !error.is_transient(),
            Self::SelfRefusing { why, .. } => why.is_stalled(),
            Self::Prune(_) | Self::Revoked { .. } => true,
            Self::Internal(_) | Self::Late(_) => false,
            _ => !self.retry().is_tried_again(),
        }
    }

    /// The message with its causes, on one line.
    pub fn message(&self) -> String {
        let text = chain(self);
        match self {
            Self::Refused(refusal) => format!("{text} (hint: {})", refusal.hint()),
            Self::Revoked { refusal, .. } => format!("{text} (hint: {})", refusal.hint()),
            Self::SelfRefusing { why, .. } if why.verdict() == Verdict::Refused => format!(
                "{text} (hint: release first what is accepted under the old and the new policies, such as one signed by both keys, or add the new authority before the old one goes)"
            ),
            Self::Deletion(_) => format!(
                "{text} (hint: if it is meant, allow it with objects.deletions.max in a SignaturePolicy that matches, or release in smaller steps)"
            ),
            Self::NotApproved(_) => format!(
                "{text} (hint: `sealift plan` shows what it would do and this digest; whoever the policy names approves that digest)"
            ),
            _ => text,
        }
    }
}

fn source_reason(error: &SourceError) -> &'static str {
    match error {
        SourceError::Client { error, .. } => match &**error {
            ClientError::NotFound { .. } => "NotFound",
            ClientError::Identity { source, .. } if source.is_transient() => "SourceUnavailable",
            ClientError::Unauthorized { .. } | ClientError::Forbidden { .. } | ClientError::Identity { .. } => {
                "AuthenticationFailed"
            }
            ClientError::Refused { .. } => "HostNotAllowed",
            ClientError::RateLimited { .. }
            | ClientError::Unreachable { .. }
            | ClientError::Contended { .. }
            | ClientError::TooLarge { .. }
            | ClientError::DigestMismatch { .. }
            | ClientError::Unusable { .. }
            | ClientError::Protocol { .. } => "SourceUnavailable",
        },
        SourceError::TooSlow { .. } => "SourceUnavailable",
        SourceError::NoVersion { .. } => "NotFound",
        SourceError::PullSecret(PullSecretError::Cluster { source, .. }) if source.is_transient() => {
            "ClusterUnavailable"
        }
        SourceError::PullSecret(_) => "AuthenticationFailed",
        SourceError::Setup(_) | SourceError::Range(_) | SourceError::Nowhere => "InvalidSpec",
    }
}

impl SourceError {
    /// True if trying again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client { error, .. } => error.is_transient(),
            Self::TooSlow { .. } => true,
            Self::PullSecret(PullSecretError::Cluster { source, .. }) => source.is_transient(),
            Self::PullSecret(PullSecretError::Unusable { .. })
            | Self::NoVersion { .. }
            | Self::Setup(_)
            | Self::Range(_)
            | Self::Nowhere => false,
        }
    }
}

/// Bytes other than the ones asked for are the registry's lie, hence a refusal and not an outage.
impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Client { error, followed } => match &*error {
                ClientError::DigestMismatch { at, expected, actual } => {
                    let what = if at.path.contains("/blobs/") { "the layer" } else { "the manifest" };
                    Self::Refused(Refusal::DigestMismatch { what, expected: *expected, actual: *actual })
                }
                ClientError::TooLarge { .. } => Self::Refused(Refusal::BadLayer(error.to_string())),
                _ => Self::Source(SourceError::Client { error, followed }),
            },
            other => Self::Source(other),
        }
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // A transparent error repeats its source's words.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// The first few in full.
pub(super) fn listed(refused: &[Refused]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<_> =
        refused.iter().take(SHOWN).map(|refused| format!("{}: {}", refused.id, chain(&refused.why))).collect();
    text.extend((refused.len() > SHOWN).then(|| format!("and {} more", refused.len() - SHOWN)));
    text.join("; ")
}

#[cfg(test)]
mod tests {
    use sealift_verify::digest::Digest;

    use super::*;

    #[test]
    fn a_refusal_keeps_its_word_and_waits_for_a_change() {
        let stop = Stop::Refused(Refusal::Unsigned(Digest::of(b"")));
        assert_eq!(
            (stop.reason(), stop.retry(), stop.verdict(), stop.is_stalled()),
            ("Unsigned", Retry::Interval, Verdict::Refused, true)
        );
        assert!(stop.message().contains("hint:"));
    }

    #[test]
    fn what_a_registry_was_not_asked_for_is_told_with_its_cause() {
        use sealift_registry::client::{At, Refusal};
        let at = At { host: "a.example".into(), repository: "b".into(), path: "/v2/b".into() };
        let error = ClientError::Refused { at: Box::new(at), refusal: Refusal::Loopback };
        let stop = Stop::from(SourceError::Client { error: std::sync::Arc::new(error), followed: true });
        let message = "a request to a.example/v2/b is refused: the host is a loopback address, which the configuration does not allow";
        assert_eq!((stop.message().as_str(), stop.reason()), (message, "HostNotAllowed"));
    }

    #[test]
    fn no_answer_is_not_a_no() {
        let stop = Stop::Refused(Refusal::TooManySignatures { seen: 64 });
        assert_eq!((stop.retry(), stop.verdict(), stop.is_stalled()), (Retry::Backoff, Verdict::CouldNotCheck, false));
    }
}
