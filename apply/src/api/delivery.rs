//! `Delivery`: which repository runs in this namespace, and how.

#![allow(unreachable_pub, reason = "KubeSchema copies the struct, visibility and all, into a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use sealift_verify::{
    digest::Digest,
    duration::Duration,
    reference::{ReferenceError, Repository},
    statement::Position,
};
use serde::{Deserialize, Serialize};

use super::{
    DeliveryReference, DriftSpec, DriftStatus, HealthCheck, HistoryEntry, HoldSpec, HoldStatus, PendingEvents,
    SourceRevision,
};

/// What is delivered, from where, how often and as whom. No field can weaken a policy.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "Delivery",
    plural = "deliveries",
    shortname = "dlv",
    category = "sealift",
    namespaced,
    status = "DeliveryStatus",
    derive = "PartialEq",
    doc = "Delivers the releases of one repository to this cluster, if a SignaturePolicy is satisfied.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.lastApplied.version"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.lastApplied.short"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    )
)]
#[serde(rename_all = "camelCase")]
pub struct DeliverySpec {
    /// The logical repository, `host/path`. Where its bytes come from is the platform's configuration.
    #[schemars(length(min = 3, max = 512), regex(pattern = r"^[^/@\s]+/[^@\s]+$"))]
    pub repository: String,
    /// Which artifact of it.
    pub select: Select,
    /// The stream to follow. Without one the first that is accepted is followed from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub stream: Option<String>,
    /// The environment a release must name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Which of its variants is applied, of a release that has them; none for a release that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub variant: Option<String>,
    /// How often the selection is resolved again and what was applied is looked at for drift.
    #[serde(default = "ten_minutes")]
    pub interval: Duration,
    /// How long the objects of a release may take to become healthy.
    #[serde(default = "five_minutes")]
    pub timeout: Duration,
    /// The service account of this namespace as which everything is read and applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
    /// The namespace of every namespaced object of the release, whatever it names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub target_namespace: Option<String>,
    /// Values of parameters that the release declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub parameters: Vec<Parameter>,
    /// A Secret of this namespace, of type `kubernetes.io/dockerconfigjson`, with the registry's credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub pull_secret_name: Option<String>,
    /// What is done about changes that others make to applied objects.
    #[serde(default, skip_serializing_if = "DriftSpec::is_default")]
    pub drift: DriftSpec,
    /// Whether objects that leave the release are deleted.
    #[serde(default = "yes")]
    pub prune: bool,
    /// What happens to the objects when the Delivery is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether the API server is asked by a dry-run before anything is written.
    #[serde(default)]
    pub validation: Validation,
    /// What happens to objects that are there already and that another tool (Flux, Helm, Argo CD) manages. The annotation
    /// `sealift.dev/adopt: enabled` in the release takes over a single object. What another Delivery wants stays refused.
    #[serde(default)]
    pub adopt: Adopt,
    /// Field managers whose fields become the Delivery's own, so that what the release does not hold goes. `*` stands for
    /// any characters.
    #[serde(default = "kubectl")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    pub take_over: Vec<String>,
    /// What happens to an object whose change the API server refuses because a field is immutable. The annotation
    /// `sealift.dev/immutable: recreate` in the release says so for a single object.
    #[serde(default)]
    pub immutable: Immutable,
    /// Expressions that judge the health of objects in place of the rules for their kinds. The first about an object counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub health_checks: Vec<HealthCheck>,
    /// Deliveries that must be ready before this one brings anything new. What it has applied is kept in repair meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub depends_on: Vec<Dependency>,
    /// An earlier release that runs for a time, without a new signature; `sealift rollback --emergency` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldSpec>,
    /// Stops everything but deletion.
    #[serde(default)]
    pub suspend: bool,
    /// Names of authorities, defined by a matching policy, that must have signed as well, each with a key or identity of its
    /// own. A name that several policies define is whom all of them mean by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub require: Vec<String>,
}

/// Another Delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dependency {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace, if it is another one. It must name this one in its annotation `sealift.dev/allow-dependents`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Which artifact of a repository: exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = kube::core::Rule::new(
    "[has(self.tag), has(self.semver), has(self.digest)].filter(given, given).size() == 1"
).message("exactly one of tag, semver and digest must be given"))]
pub struct Select {
    /// Whatever this tag points at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub tag: Option<String>,
    /// The highest version tag in this range, such as `>=1.2.0 <2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub semver: Option<String>,
    /// This artifact and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// A [`Select`] that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// Whatever this tag points at.
    Tag(&'a str),
    /// The highest version tag in this range.
    Semver(&'a str),
    /// This artifact and no other.
    Digest(Digest),
}

/// The value of one declared parameter: inline or from a ConfigMap or Secret of this namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("has(self.value) != has(self.valueFrom)")
    .message("exactly one of value and valueFrom must be given"))]
pub struct Parameter {
    /// The parameter's name as the release declares it.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value; the release declares its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub value: Option<String>,
    /// Where the value is read, as the Delivery's service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ParameterSource>,
}

/// Where a parameter's value is read: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("has(self.configMapKeyRef) != has(self.secretKeyRef)")
    .message("exactly one of configMapKeyRef and secretKeyRef must be given"))]
pub struct ParameterSource {
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// A key of a Secret; its value is never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyReference {
    /// Name of the ConfigMap or Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Whether the release's default is used if the object or key is missing.
    #[serde(default)]
    pub optional: bool,
}

/// What happens to the objects when the Delivery is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They are deleted; the Delivery goes once each deletion was accepted.
    #[default]
    Delete,
    /// They stay, without an owner.
    Orphan,
    /// They are deleted; the Delivery goes once they are gone.
    Wait,
}

/// What the API server is asked before anything is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Validation {
    /// Everything that changes is dry-run first, and nothing is applied where something is refused that no earlier stage
    /// could cure.
    #[default]
    DryRun,
    /// Nothing: each object costs one request, and what is refused is refused between objects that were applied.
    None,
}

/// What happens to objects that another tool manages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Adopt {
    /// They are refused.
    #[default]
    Refuse,
    /// They become this Delivery's.
    TakeOver,
}

/// What happens to an object of which a field that must change is immutable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Immutable {
    /// It is refused.
    #[default]
    Refuse,
    /// It is deleted and created anew, but for namespaces, volumes, their claims and definitions: these only where the
    /// object's own annotation says so.
    Recreate,
}

/// What the controller found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// The generation this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Verified, Healthy, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What was last resolved, whatever became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted: Option<LastAttempted>,
    /// What was last applied completely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied: Option<LastApplied>,
    /// The verdict about what was last attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
    /// Why what was last applied would be refused if it came now. It runs on all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_refuse_now: Option<WouldRefuse>,
    /// The emergency hold that is asked for, and what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldStatus>,
    /// What was found to differ from what was applied, and what was done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// How objects are followed where it is not by watches: past the bound on watches, or for want of a right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watching: Option<String>,
    /// Digest of the last plan that a policy demanded approval of, whether it is approved or waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// The last releases that were applied or refused, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// What Notifications have not told yet. Absent where no Notification is about this Delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<PendingEvents>,
    /// How many objects the inventory holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// The last value of the reconcile-now annotation that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// What was last resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastAttempted {
    /// The artifact.
    pub digest: Digest,
    /// The tag that pointed at it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// When it was first attempted.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
}

/// What was last applied completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastApplied {
    /// The artifact.
    pub digest: Digest,
    /// The digest's first twelve digits, for the printed column.
    pub short: String,
    /// The release's version, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The release's epoch; absent, as everything a release statement says, where a third party's signature was enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The release's sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Digest of the statement's payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// The variant, of a release that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Digest of the objects as applied, after parameters and target namespace.
    pub objects: Digest,
    /// Digest of the parameters' values, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Digest>,
    /// When the release was issued, as its signer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub issued_at: Option<jiff::Timestamp>,
    /// The commit it was made from, if its statement names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceRevision>,
    /// When.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
}

/// Why what runs would be refused now, after a policy, a trust root, a deny list or a key changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WouldRefuse {
    /// The stable reason of the refusal.
    pub reason: String,
    /// The refusal in words.
    pub message: String,
    /// Since when it would be refused, whatever the reason was at first.
    #[schemars(with = "String")]
    pub since: jiff::Timestamp,
}

/// The verdict about what was last attempted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerificationStatus {
    /// `Verified`, `Refused` or `CouldNotCheck`.
    pub verdict: String,
    /// The stable reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policies that matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The authorities that were satisfied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<String>,
    /// One row per check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckRow>,
}

/// One check of the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckRow {
    /// What was checked.
    pub check: String,
    /// `pass`, `fail`, `not-checked` or `not-present`.
    pub result: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl LastApplied {
    /// True if the other says the same release with the same objects was applied, whenever that was.
    pub fn is_same_but_for_when(&self, other: &Self) -> bool {
        // The statement has one time and one source; a status of an earlier version told neither.
        Self { at: other.at, issued_at: other.issued_at, source: other.source.clone(), ..self.clone() } == *other
    }

    /// Where the release stands in its stream, if a statement says so.
    pub fn position(&self) -> Option<Position> {
        Some(Position { epoch: self.epoch?, sequence: self.sequence? })
    }
}

impl Select {
    /// The selection, if exactly one is given; the API server's validation says the same.
    pub fn selection(&self) -> Option<Selection<'_>> {
        match (&self.tag, &self.semver, self.digest) {
            (Some(tag), None, None) => Some(Selection::Tag(tag)),
            (None, Some(range), None) => Some(Selection::Semver(range)),
            (None, None, Some(digest)) => Some(Selection::Digest(digest)),
            _ => None,
        }
    }
}

impl DeliverySpec {
    /// The logical repository.
    ///
    /// # Errors
    /// If the text breaks the grammar of references.
    pub fn repository(&self) -> Result<Repository, ReferenceError> {
        self.repository.parse()
    }
}

impl Delivery {
    /// Its identity as an owner of objects, once the API server has given it a uid.
    pub fn reference(&self) -> Option<DeliveryReference> {
        Some(DeliveryReference {
            namespace: self.metadata.namespace.clone()?,
            name: self.metadata.name.clone()?,
            uid: self.metadata.uid.clone()?,
        })
    }
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

fn yes() -> bool {
    true
}

/// What people apply by hand before a tool takes over, and what an API server calls fields older than field managers.
fn kubectl() -> Vec<String> {
    vec!["kubectl*".to_owned(), "before-first-apply".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DriftMode;

    #[test]
    fn selects_exactly_one() {
        let tag = Some("stable".to_owned());
        assert_eq!(Select { tag: tag.clone(), ..Select::default() }.selection(), Some(Selection::Tag("stable")));
        assert_eq!(Select { tag, semver: Some("1".into()), digest: None }.selection(), None);
        assert_eq!(Select::default().selection(), None);
    }

    #[test]
    fn fills_in_defaults() {
        let spec = serde_json::json!({"repository": "localhost:5000/app", "select": {"tag": "stable"}});
        let spec: DeliverySpec = serde_json::from_value(spec).unwrap();
        assert_eq!((spec.interval, spec.timeout), (Duration::from_secs(600), Duration::from_secs(300)));
        assert!(spec.prune && !spec.suspend && spec.deletion_policy == DeletionPolicy::Delete);
        assert_eq!(
            (spec.validation, spec.adopt, spec.immutable),
            (Validation::DryRun, Adopt::Refuse, Immutable::Refuse)
        );
        assert_eq!(spec.take_over, ["kubectl*", "before-first-apply"]);
        assert_eq!(spec.repository().unwrap().to_string(), "localhost:5000/app");
        assert_eq!((spec.drift.mode, spec.drift.is_default()), (DriftMode::Correct, true));
        let report: DriftSpec = serde_json::from_value(serde_json::json!({"mode": "report"})).unwrap();
        assert_eq!(report.mode, DriftMode::Report);
    }
}
