//! `Notification`: who is told what becomes of Deliveries, and how.

#![allow(unreachable_pub, reason = "KubeSchema copies the struct, visibility and all, into a function")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is told, of what, and how. Telling holds up no release, and no receiver holds up another.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "Notification",
    plural = "notifications",
    category = "sealift",
    namespaced,
    status = "NotificationStatus",
    derive = "PartialEq",
    doc = "Tells a service what becomes of the Deliveries of its namespace.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Sent", type_ = "integer", json_path = ".status.sent"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new(
    "has(self.address) || has(self.secretName) || self.type == 'github' || self.type == 'gitlab'"
).message("address or secretName must be given"))]
pub struct NotificationSpec {
    /// What sort of service it is.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// The service's URL. One that is secret, as those of chat services are, belongs into the Secret's key `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s@]+$"))]
    pub address: Option<String>,
    /// A Secret of this namespace with any of the keys `address`, `token` (sent as the service wants it) and `hmacKey`
    /// (signs the body for `generic`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// The service account of this namespace as which the Secret is read; the platform's default if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
    /// The repository whose commits get a status (`github`, `gitlab`), such as `acme/shop`. Without it, the one that the
    /// release statement names, if it is at the service's own host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 256), regex(pattern = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$"))]
    pub repository: Option<String>,
    /// Of what is told; of everything that becomes of the Deliveries of this namespace if it is empty.
    #[serde(default, skip_serializing_if = "NotificationFilter::is_default")]
    pub filter: NotificationFilter,
    /// The text, with any of `{cluster}`, `{namespace}`, `{name}`, `{severity}`, `{reason}`, `{message}`, `{digest}`,
    /// `{version}`, `{commit}` and `{at}` in it; `{{` and `}}` are braces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub template: Option<String>,
    /// Nothing is told, and what happens meanwhile is not told later.
    #[serde(default)]
    pub suspend: bool,
}

/// What sort of service is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotificationType {
    /// A CloudEvent in JSON, with an HMAC of the body and a bearer token where the Secret has them.
    Generic,
    /// An incoming webhook of Slack, or of what takes the same.
    Slack,
    /// A webhook of Microsoft Teams.
    Teams,
    /// Alerts of Alertmanager that begin and end.
    Alertmanager,
    /// Incidents of PagerDuty that begin and end.
    Pagerduty,
    /// Annotations of Grafana.
    Grafana,
    /// The status of a commit at GitHub.
    Github,
    /// The status of a commit at GitLab.
    Gitlab,
}

/// Of what is told. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationFilter {
    /// `error` leaves out what is no trouble, but for the end of trouble that was told.
    #[serde(default)]
    pub severity: Severity,
    /// Reasons, as conditions and Events name them; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub reasons: Vec<String>,
    /// Names of Deliveries; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
    /// Labels that a Delivery must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Namespaces of Deliveries, where `*` stands for any characters; its own if empty. Only what stands in the platform's
    /// own namespace may name others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No trouble.
    #[default]
    Info,
    /// Somebody should look.
    Error,
}

/// How telling fares. The counts are of this service and go on from where they were after a restart, but for the last
/// minute of one that was killed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationStatus {
    /// The generation this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many notifications the service took.
    #[serde(default)]
    pub sent: u64,
    /// How many attempts failed.
    #[serde(default)]
    pub failed: u64,
    /// How many notifications were given up, and are lost to this service.
    #[serde(default)]
    pub dropped: u64,
    /// When the service last took one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_sent_at: Option<jiff::Timestamp>,
}

impl NotificationFilter {
    /// True if it lets everything pass.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
