//! The labels: every one is a word of a closed list.

use prometheus_client::encoding::EncodeLabelSet;
use sealift_apply::api::DriftState;

/// Whose shards this replica took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakenFrom {
    /// Another replica gave them away.
    Giver,
    /// The replica that held them was gone.
    Gone,
    /// Nobody held them yet.
    Nobody,
}

/// What made no progress for its bound, and was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stalled {
    /// The look at one Delivery.
    Reconcile,
    /// A loop of the program; it was begun anew.
    Loop,
}

/// What became of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// It was recorded.
    Sent,
    /// The API server did not take it.
    Failed,
    /// Too many waited.
    Dropped,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notified {
    /// A service took it.
    Sent,
    /// It is sent to a service that may have it already.
    Repeated,
    /// A service did not take it, and is told again later.
    Failed,
    /// It is given up: too many waited, or it waited for too long.
    Dropped,
}

/// What became of something that was said to a Receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hinted {
    /// What it is about is asked for.
    Taken,
    /// Who said it is not known.
    Refused,
    /// He said too much.
    Limited,
    /// He is known and says what is not understood.
    Unreadable,
}

/// How a tag came to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolve {
    /// A reconcile needed the answer, and the registry was asked.
    Asked,
    /// A reconcile needed the answer, and it was known.
    Shared,
    /// The registry was asked in the background, for all who follow the tag.
    Followed,
}

impl Stalled {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Reconcile => "reconcile",
            Self::Loop => "loop",
        }
    }
}

impl Told {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Notified {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Repeated => "repeated",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Hinted {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Resolve {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Shared => "shared",
            Self::Followed => "followed",
        }
    }
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Something was changed in the cluster.
    Changed,
    /// Nothing had to be.
    Unchanged,
    /// Waiting for health.
    Progressing,
    /// The release was refused.
    Refused,
    /// No answer could be had.
    CouldNotCheck,
    /// It went wrong otherwise.
    Failed,
    /// It is suspended.
    Suspended,
    /// The Delivery is being deleted.
    Deleting,
}

/// What can become of drift.
pub(super) const DRIFT: &[DriftState] =
    &[DriftState::Corrected, DriftState::Reported, DriftState::Contended, DriftState::Held];
/// What became of a request to a registry, in words.
pub(super) const REQUESTS: &[&str] =
    &["ok", "not_found", "unauthorized", "identity", "rate_limited", "unreachable", "not_allowed", "unusable"];
/// What became of a line of the audit log, in words.
pub(super) const LINES: &[&str] = &["written", "lost"];
/// What holds bytes, in words.
pub(super) const CACHES: &[&str] = &["disk", "inventories", "layers", "objects", "signatures"];
/// Upper bounds of the times from a release's issue until it is applied: seconds with a webhook, minutes by interval, days where it waits for somebody.
pub(super) const TO_APPLIED: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];
/// Which of all ages are told.
pub(super) const QUANTILES: &[(&str, f64)] = &[("0.5", 0.5), ("0.9", 0.9), ("1", 1.0)];

impl Outcome {
    pub(super) const ALL: &[Self] = &[
        Self::Changed,
        Self::Unchanged,
        Self::Progressing,
        Self::Refused,
        Self::CouldNotCheck,
        Self::Failed,
        Self::Suspended,
        Self::Deleting,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Progressing => "progressing",
            Self::Refused => "refused",
            Self::CouldNotCheck => "could_not_check",
            Self::Failed => "failed",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StateLabel {
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WhatLabel {
    pub(super) what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HowLabel {
    pub(super) how: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FromLabel {
    pub(super) from: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CacheLabel {
    pub(super) cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReadyLabel {
    pub(super) ready: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StandingLabel {
    pub(super) ready: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VerdictLabel {
    pub(super) verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct QuantileLabel {
    pub(super) quantile: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ActionLabel {
    pub(super) action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabel {
    pub(super) result: &'static str,
}

/// How many Deliveries there are by what their Ready condition says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByReadiness {
    /// `True`.
    pub ready: i64,
    /// `False`.
    pub not_ready: i64,
    /// Anything else, or no condition yet.
    pub unknown: i64,
}

/// What was done about drift, in a word.
pub(super) fn drift(state: DriftState) -> &'static str {
    match state {
        DriftState::Corrected => "corrected",
        DriftState::Reported => "reported",
        DriftState::Contended => "contended",
        DriftState::Held => "held",
    }
}
