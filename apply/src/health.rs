//! Whether an object is healthy, from its content alone: the rules of kstatus, as a pure function.

mod generic;
mod others;
mod workloads;

use std::fmt;

use sealift_verify::objects::ObjectId;
use serde_json::Value;

/// How an object fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is as its specification asks.
    Healthy,
    /// It is on its way; what it waits for.
    Progressing(String),
    /// It will not get there by itself; why.
    Degraded(String),
    /// It could not be looked at; why.
    Unknown(String),
}

impl Health {
    /// Worst first.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Degraded(_) => 0,
            Self::Unknown(_) => 1,
            Self::Progressing(_) => 2,
            Self::Healthy => 3,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Progressing(reason) => write!(f, "progressing, {reason}"),
            Self::Degraded(reason) => write!(f, "degraded, {reason}"),
            Self::Unknown(reason) => write!(f, "unknown, {reason}"),
        }
    }
}

/// The health of an object that has `apiVersion` and `kind`.
pub fn health(value: &Value) -> Health {
    // An error is the answer here: the first rule that finds something wrong ends it.
    match judge(value) {
        Ok(()) => Health::Healthy,
        Err(health) => health,
    }
}

/// `Err` is anything but healthy.
type Verdict = Result<(), Health>;

fn judge(value: &Value) -> Verdict {
    generic::settled(value)?;
    let group = value["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
    match (group, value["kind"].as_str().unwrap_or_default()) {
        ("apps", "Deployment") => workloads::deployment(value),
        ("apps", "StatefulSet") => workloads::stateful_set(value),
        ("apps", "DaemonSet") => workloads::daemon_set(value),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workloads::replica_set(value),
        ("", "Pod") => workloads::pod(value),
        ("batch", "Job") => workloads::job(value),
        ("batch", "CronJob") => Ok(()),
        ("", "PersistentVolumeClaim") => others::claim(value),
        ("", "Service") => others::service(value),
        ("", "Namespace") => others::namespace(value),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => others::definition(value),
        ("apiregistration.k8s.io", "APIService") => others::api_service(value),
        ("policy", "PodDisruptionBudget") => others::disruption_budget(value),
        _ => generic::conditions(value),
    }
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
