//! Rules for what runs Pods.

use serde_json::Value;

use super::{Verdict, asked_to_stand_still, condition, count, degraded, progressing};

fn wanted(value: &Value) -> i64 {
    value["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// Nothing observed yet: counts in `status` mean nothing.
fn observed(value: &Value) -> Verdict {
    match value["status"]["observedGeneration"].is_number() {
        true => Ok(()),
        false => progressing("its controller has not seen it yet"),
    }
}

fn at_least(have: i64, want: i64, what: &str) -> Verdict {
    if have < want { progressing(format!("{have} of {want} {what}")) } else { Ok(()) }
}

pub(super) fn deployment(value: &Value) -> Verdict {
    observed(value)?;
    if let Some(found) = condition(value, "Progressing").filter(|found| found.reason == "ProgressDeadlineExceeded") {
        return degraded(found.says());
    }
    if value["spec"]["paused"] == true {
        return asked_to_stand_still("paused");
    }
    let (want, updated, all) = (wanted(value), count(value, "updatedReplicas"), count(value, "replicas"));
    at_least(updated, want, "replicas updated")?;
    if all > updated {
        return progressing(format!("{} old replicas are still there", all - updated));
    }
    at_least(count(value, "availableReplicas"), updated, "replicas available")?;
    match condition(value, "Available") {
        Some(found) if found.status != "True" => progressing(found.says()),
        _ => Ok(()),
    }
}

pub(super) fn stateful_set(value: &Value) -> Verdict {
    observed(value)?;
    let strategy = &value["spec"]["updateStrategy"];
    let want = wanted(value);
    at_least(count(value, "readyReplicas"), want, "replicas ready")?;
    if strategy["type"] == "OnDelete" {
        return Ok(());
    }
    if count(value, "replicas") > want {
        return progressing(format!("{} replicas too many", count(value, "replicas") - want));
    }
    let partition = strategy["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
    if partition > 0 {
        return at_least(count(value, "updatedReplicas"), want - partition, "replicas of the partition updated");
    }
    let revision = |field: &str| value["status"][field].as_str().unwrap_or_default();
    match revision("currentRevision") == revision("updateRevision") {
        true => Ok(()),
        false => progressing(format!("{} of {want} replicas updated", count(value, "updatedReplicas"))),
    }
}

pub(super) fn daemon_set(value: &Value) -> Verdict {
    observed(value)?;
    let want = count(value, "desiredNumberScheduled");
    at_least(count(value, "currentNumberScheduled"), want, "nodes have a Pod")?;
    if value["spec"]["updateStrategy"]["type"] != "OnDelete" {
        at_least(count(value, "updatedNumberScheduled"), want, "nodes have an updated Pod")?;
    }
    at_least(count(value, "numberAvailable"), want, "nodes have an available Pod")
}

pub(super) fn replica_set(value: &Value) -> Verdict {
    observed(value)?;
    if let Some(found) = condition(value, "ReplicaFailure").filter(|found| found.status == "True") {
        return progressing(found.says());
    }
    at_least(count(value, "availableReplicas"), wanted(value), "replicas available")?;
    match count(value, "replicas") - wanted(value) {
        too_many @ 1.. => progressing(format!("{too_many} replicas too many")),
        _ => Ok(()),
    }
}

pub(super) fn pod(value: &Value) -> Verdict {
    let broken = |field: &str| {
        let containers = value["status"][field].as_array().map(Vec::as_slice).unwrap_or_default();
        containers.iter().find_map(|container| {
            let waiting = container["state"]["waiting"]["reason"].as_str()?;
            let hopeless = ["CrashLoopBackOff", "InvalidImageName", "ErrImageNeverPull"].contains(&waiting);
            hopeless.then(|| format!("container {}: {waiting}", container["name"].as_str().unwrap_or_default()))
        })
    };
    match value["status"]["phase"].as_str().unwrap_or_default() {
        "Succeeded" => Ok(()),
        "Failed" => {
            degraded(format!("it failed {}", value["status"]["message"].as_str().unwrap_or_default()).trim_end())
        }
        phase => match broken("initContainerStatuses").or_else(|| broken("containerStatuses")) {
            Some(reason) => degraded(reason),
            None => match condition(value, "Ready") {
                Some(found) if found.status == "True" => Ok(()),
                Some(found) => progressing(found.says()),
                None => progressing(format!("phase {phase:?}")),
            },
        },
    }
}

pub(super) fn job(value: &Value) -> Verdict {
    let is_true = |type_: &str| condition(value, type_).filter(|found| found.status == "True");
    if let Some(found) = is_true("Failed") {
        return degraded(found.says());
    }
    if is_true("Complete").is_some() {
        return Ok(());
    }
    if value["spec"]["suspend"] == true {
        return asked_to_stand_still("suspend");
    }
    let want = value["spec"]["completions"].as_i64().unwrap_or(1);
    progressing(format!("{} of {want} completions", count(value, "succeeded")))
}
