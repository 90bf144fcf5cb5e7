//! What a Delivery's status still holds for those who want to be told: written with what it tells of, taken out once told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use sealift_verify::digest::Digest;
use serde::{Deserialize, Serialize};

use super::Severity;

/// What is to be told of a Delivery, and what was. Where no Notification is about it there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingEvents {
    /// The number of the next event. With the Delivery's uid it makes the id by which repetitions are known.
    pub next: u64,
    /// How many events went before everybody was told: too many waited, or they waited for too long.
    #[serde(default)]
    pub dropped: u64,
    /// Trouble that was told and is not over: the reason, by what it is about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<Topic, String>,
    /// The events that somebody has not been told, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingEvent>,
}

/// What an event is about: of each, one thing is so at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Topic {
    /// Whether what is selected is applied and healthy.
    Delivery,
    /// Whether what is applied would be accepted now.
    Trust,
    /// An emergency hold.
    Hold,
    /// Objects that others changed.
    Drift,
}

/// Something that became of a Delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingEvent {
    /// Its number, which no other event of this Delivery has.
    pub number: u64,
    /// What it is about.
    pub topic: Topic,
    /// How bad it is.
    pub severity: Severity,
    /// True while it is not known how it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub progressing: bool,
    /// The reason, as conditions and Events name it.
    pub reason: String,
    /// The same in words.
    pub message: String,
    /// When.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    /// The reason of the trouble that it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// The artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The release's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where its manifests came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceRevision>,
    /// `namespace/name` of the Notifications that have told it, while others have not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
}

/// A commit, as the release statement names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceRevision {
    /// The repository's address.
    pub uri: String,
    /// The commit.
    pub commit: String,
}

impl SourceRevision {
    /// The commit that a statement's source names, if it does.
    pub fn of(source: &sealift_verify::statement::Source) -> Option<Self> {
        let commit = source.digest.get("gitCommit")?;
        Some(Self { uri: source.uri.clone(), commit: commit.clone() })
    }
}
