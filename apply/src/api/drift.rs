//! `spec.drift` and `status.drift`: what is done about changes that others make to applied objects, and what was found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done about changes that others make to applied objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftSpec {
    /// Whether drift is put right or only told. A new release is applied in either mode.
    #[serde(default)]
    pub mode: DriftMode,
    /// Fields that are left as they are in the cluster once the object exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore: Vec<IgnoreRule>,
}

/// Whether drift is put right or only told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftMode {
    /// Drift is put right as soon as it is seen.
    #[default]
    Correct,
    /// Drift is told in status, Events and metrics, and stays.
    Report,
}

/// Fields of some objects that are left as they are in the cluster. An object is meant if every glob given matches it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IgnoreRule {
    /// A glob over API versions, such as `apps/v1` or `example.com/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub api_version: Option<String>,
    /// A glob over kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub kind: Option<String>,
    /// A glob over names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// JSON pointers (RFC 6901) as in the released object. Items of a list count from 0 and are found again by their name.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 2, max = 1024), regex(pattern = r"^(/([^~/]|~[01])*)+$"))
    )]
    pub paths: Vec<String>,
}

/// What was found to differ, and what was done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// How many objects differ from the release now.
    #[serde(default)]
    pub open: u64,
    /// The latest findings, at most one an object: what is open first, then the most recent. At most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub objects: Vec<DriftedObject>,
    /// What others have added to applied objects beside the release, and what stays. At most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub foreign: Vec<ForeignFields>,
}

/// One object that was found to differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftedObject {
    /// Its API version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What was done.
    pub state: DriftState,
    /// What was seen, in words.
    pub what: String,
    /// JSON pointers of fields that differed; at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub fields: Vec<String>,
    /// The field managers that wrote them, as far as the cluster says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub by: Vec<String>,
    /// When it was seen.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    /// Until when it is left as it is, of a break-glass change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<jiff::Timestamp>,
}

/// What was done about drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DriftState {
    /// It is told and stays, since `spec.drift.mode` is `report`.
    Reported,
    /// One manager has taken a field back three times in ten minutes: it is left alone until the release changes.
    Contended,
    /// A break-glass change: it is left alone until the time beside it, or until a release changes the object.
    Held,
    /// It was put right.
    Corrected,
}

/// What a manager has added to an applied object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForeignFields {
    /// The object: kind, namespace and name.
    pub object: String,
    /// The field manager.
    pub manager: String,
    /// JSON pointers of the fields; at most five.
    #[schemars(length(max = 5))]
    pub fields: Vec<String>,
}

impl DriftSpec {
    /// True if nothing differs from what holds without it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl DriftState {
    /// The word in status and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "Reported",
            Self::Contended => "Contended",
            Self::Held => "Held",
            Self::Corrected => "Corrected",
        }
    }

    /// True if the object differs from the release still.
    pub fn is_open(self) -> bool {
        self != Self::Corrected
    }
}
