//! `spec.hold` and `status.hold`: an earlier release for a time, without a new signature.

use schemars::JsonSchema;
use sealift_verify::{digest::Digest, hold::Hold};
use serde::{Deserialize, Serialize};

/// An emergency hold: a release that this Delivery has accepted before runs again until a time, or until a higher one
/// comes. Every policy that matches must allow it (`release.emergency: allow`). It is signed by nobody: who set it stands
/// in the API server's audit log and in the managed fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldSpec {
    /// The artifact to run; or the statement, where several releases are about one artifact.
    pub digest: Digest,
    /// Until when: a week at most after the first hold under the release that was accepted last.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: jiff::Timestamp,
    /// Why, on one line.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
}

impl HoldSpec {
    /// What is asked for, to be judged.
    pub fn asked(&self) -> Hold {
        let Self { digest, until, reason } = self;
        Hold { digest: *digest, until: *until, reason: reason.clone() }
    }
}

/// What becomes of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HoldState {
    /// It is carried out.
    InForce,
    /// It would be, and cannot be judged yet. What runs is kept.
    Pending,
    /// It may not be. The Delivery goes on as if nobody had asked.
    Refused,
    /// Its time is over, or a higher release came.
    Ended,
}

/// An emergency hold and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldStatus {
    /// What becomes of it.
    pub state: HoldState,
    /// What was asked for.
    pub digest: Digest,
    /// Until when.
    #[schemars(with = "String")]
    pub until: jiff::Timestamp,
    /// Why it was asked for.
    pub reason: String,
    /// What there is to say of the state.
    pub message: String,
    /// Since when it is in this state.
    #[schemars(with = "String")]
    pub since: jiff::Timestamp,
}

impl HoldStatus {
    /// True if both say the same, whenever that began.
    pub fn is_same_but_for_when(&self, other: &Self) -> bool {
        Self { since: other.since, ..self.clone() } == *other
    }
}

/// The word in the history, at a release that a hold brought.
pub const HELD: &str = "Held";
