//! Whether an object is healthy, from its content alone, as a pure function.
//!
//! Built-in kinds go by the rules of kstatus, custom resources by what their status says in the words that controllers
//! use: conditions by the meaning of their types, phases, yes and no, counts, generations. A table holds the few kinds
//! that these rules cannot reach.

mod checks;
mod conditions;
mod fields;
mod findings;
mod generic;
mod known;
mod others;
mod words;
mod workloads;

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sealift_verify::objects::ObjectId;
use serde_json::Value;

pub use self::checks::{BadHealthCheck, Check, HealthChecks};

/// How an object fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is as its specification asks.
    Healthy,
    /// It stands still on purpose.
    Suspended {
        /// True if its own specification asks for it: then it is as it should be. Otherwise it waits for somebody.
        asked: bool,
        /// By what, or what for.
        reason: String,
    },
    /// It is on its way; what it waits for.
    Progressing(String),
    /// Something is wrong with it; what. Its controller may try again, and it may recover.
    Degraded(String),
    /// It, or what it stands for, is not there.
    Missing(String),
    /// It could not be looked at, or says itself that it does not know; why.
    Unknown(String),
}

impl Health {
    /// Worst first.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Degraded(_) => 0,
            Self::Missing(_) => 1,
            Self::Unknown(_) => 2,
            Self::Progressing(_) => 3,
            Self::Suspended { .. } => 4,
            Self::Healthy => 5,
        }
    }

    /// True if nothing is left to wait for: it is healthy, or stands still because it was asked to.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Healthy | Self::Suspended { asked: true, .. })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Suspended { reason, .. } => write!(f, "suspended, {}", Plain(reason)),
            Self::Progressing(reason) => write!(f, "progressing, {}", Plain(reason)),
            Self::Degraded(reason) => write!(f, "degraded, {}", Plain(reason)),
            Self::Missing(reason) => write!(f, "missing, {}", Plain(reason)),
            Self::Unknown(reason) => write!(f, "unknown, {}", Plain(reason)),
        }
    }
}

/// A controller's words, fit for one line of a terminal: no control characters, no runs of blanks, not too long.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 400;
        let mut left = LONGEST;
        for (at, word) in self
            .0
            .split(|char: char| char.is_whitespace() || char.is_control())
            .filter(|word| !word.is_empty())
            .enumerate()
        {
            let space = usize::from(at > 0);
            let length = word.chars().count() + space;
            if length > left {
                return f.write_str("…");
            }
            left -= length;
            write!(f, "{}{word}", if at > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// What a judgement needs beside the object.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The time of the judgement.
    pub now: Timestamp,
    /// Whether the cluster serves a status of this kind. Without one nothing is to be expected in it.
    pub has_status: bool,
}

impl Circumstances {
    /// So long after an object was made its controller is expected to have said something.
    const FIRST_WORDS: SignedDuration = SignedDuration::from_secs(30);

    fn may_still_speak(&self, value: &Value) -> bool {
        let made = value["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let young = made.is_none_or(|made| self.now.duration_since(made) < Self::FIRST_WORDS);
        let (group, kind) = (group(value), value["kind"].as_str().unwrap_or_default());
        self.has_status && young || known::never_stays_silent(group, kind)
    }
}

/// The health of an object that has `apiVersion` and `kind`.
pub fn health(value: &Value, circumstances: &Circumstances) -> Health {
    // An error is the answer here: the first rule that finds something wrong ends it.
    match judge(value, circumstances) {
        Ok(()) => Health::Healthy,
        Err(health) => health,
    }
}

/// The health of an object of a built-in kind that says all there is to say itself, whatever the time; `None` of others.
pub fn by_itself(value: &Value) -> Option<Health> {
    let (group, kind) = (group(value), value["kind"].as_str().unwrap_or_default());
    let rule = builtin(group, kind).filter(|_| speaks_for_itself(group, kind))?;
    Some(generic::settled(value).and_then(|()| rule(value)).map_or_else(|health| health, |()| Health::Healthy))
}

/// True for the built-in kinds of [`by_itself`]: whoever watches them need not ask how they fare.
pub fn speaks_for_itself(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job")
            | ("", "Pod" | "ReplicationController" | "PersistentVolumeClaim" | "Service")
            | ("policy", "PodDisruptionBudget")
            | ("autoscaling", "HorizontalPodAutoscaler")
    )
}

/// `Err` is anything but healthy.
type Verdict = Result<(), Health>;

fn judge(value: &Value, circumstances: &Circumstances) -> Verdict {
    let group = group(value);
    let kind = value["kind"].as_str().unwrap_or_default();
    if let Some(rule) = builtin(group, kind) {
        generic::settled(value)?;
        return rule(value);
    }
    match known::rule(group, kind) {
        Some(rule) => rule(value, circumstances),
        None => generic::custom(value, circumstances),
    }
}

fn group(value: &Value) -> &str {
    value["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group)
}

fn builtin(group: &str, kind: &str) -> Option<fn(&Value) -> Verdict> {
    Some(match (group, kind) {
        ("apps", "Deployment") => workloads::deployment,
        ("apps", "StatefulSet") => workloads::stateful_set,
        ("apps", "DaemonSet") => workloads::daemon_set,
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workloads::replica_set,
        ("", "Pod") => workloads::pod,
        ("batch", "Job") => workloads::job,
        ("batch", "CronJob") => others::cron_job,
        ("", "PersistentVolumeClaim") => others::claim,
        ("", "PersistentVolume") => others::volume,
        ("", "Service") => others::service,
        ("", "Namespace") => others::namespace,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => others::definition,
        ("apiregistration.k8s.io", "APIService") => others::api_service,
        ("policy", "PodDisruptionBudget") => others::disruption_budget,
        ("autoscaling", "HorizontalPodAutoscaler") => others::autoscaler,
        (group, _) if is_builtin(group) => others::existing,
        _ => return None,
    })
}

/// True for the groups that the API server serves itself.
fn is_builtin(group: &str) -> bool {
    const SUFFIXED: [&str; 13] = [
        "admissionregistration.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
    ];
    ["", "apps", "batch", "policy", "autoscaling"].contains(&group)
        || group == "storage.k8s.io"
        || SUFFIXED.contains(&group)
}

/// True for built-in kinds that are healthy by existing.
pub fn always_healthy(id: &ObjectId) -> bool {
    match (id.group.as_str(), id.kind.as_str()) {
        ("rbac.authorization.k8s.io" | "admissionregistration.k8s.io" | "scheduling.k8s.io" | "node.k8s.io", _) => true,
        ("storage.k8s.io", kind) => kind != "VolumeAttachment",
        ("networking.k8s.io", "NetworkPolicy" | "IngressClass" | "Ingress") => true,
        ("batch", "CronJob") => true,
        ("", "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "ResourceQuota" | "Endpoints") => true,
        _ => false,
    }
}

fn progressing(reason: impl Into<String>) -> Verdict {
    Err(Health::Progressing(reason.into()))
}

fn degraded(reason: impl Into<String>) -> Verdict {
    Err(Health::Degraded(reason.into()))
}

fn asked_to_stand_still(field: &str) -> Verdict {
    Err(Health::Suspended { asked: true, reason: format!("its specification says {field}") })
}

/// A number in `status`, 0 if it is not there.
fn count(value: &Value, field: &str) -> i64 {
    value["status"][field].as_i64().unwrap_or(0)
}

/// A condition of `status`.
struct Condition<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    /// What it says to people.
    fn says(&self) -> String {
        match (self.reason, self.message) {
            ("", message) => message.to_owned(),
            (reason, "") => reason.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

fn condition<'a>(value: &'a Value, type_: &str) -> Option<Condition<'a>> {
    let conditions = value["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}

#[cfg(test)]
mod tests;
