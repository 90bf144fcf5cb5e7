//! What a Delivery has brought so far, newest first.

use schemars::JsonSchema;
use sealift_verify::digest::Digest;
use serde::{Deserialize, Serialize};

/// How many releases a Delivery's status tells of.
pub const REMEMBERED: usize = 10;

/// One release that was applied to the end, or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The artifact.
    pub digest: Digest,
    /// The release's version, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The release's epoch, where a release statement says which release it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The release's sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Digest of the statement's payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// `Applied` or `Refused`.
    pub verdict: String,
    /// The stable reason of a refusal; [`HELD`](super::HELD) of a release that an emergency hold brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was applied or refused.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    /// From the first attempt to the last write, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// What the reconcile that finished it did with the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeCounts>,
}

/// How many objects fared how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeCounts {
    /// Made.
    pub created: u64,
    /// Changed.
    pub configured: u64,
    /// Left as they were.
    pub unchanged: u64,
    /// Deleted.
    pub deleted: u64,
    /// Left out.
    pub skipped: u64,
}
