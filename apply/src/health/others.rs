//! Rules for the other built-in kinds that can be unhealthy.

use serde_json::Value;

use super::{Verdict, asked_to_stand_still, condition, count, degraded, progressing};

/// It is healthy by existing.
#[allow(clippy::unnecessary_wraps, reason = "a rule like the others")]
pub(super) fn existing(_: &Value) -> Verdict {
    Ok(())
}

/// What it has started is nobody's concern here; asked to start nothing, it says so.
pub(super) fn cron_job(value: &Value) -> Verdict {
    match value["spec"]["suspend"] == true {
        true => asked_to_stand_still("suspend"),
        false => Ok(()),
    }
}

pub(super) fn volume(value: &Value) -> Verdict {
    match value["status"]["phase"].as_str().unwrap_or_default() {
        "Failed" => degraded(value["status"]["message"].as_str().unwrap_or("it could not be reclaimed")),
        "Pending" => progressing("phase \"Pending\""),
        _ => Ok(()),
    }
}

/// Without metrics it scales nothing, as every new one for its first minute; a target that it cannot scale stays so.
pub(super) fn autoscaler(value: &Value) -> Verdict {
    for (type_, hopeless) in
        [("AbleToScale", &["FailedGetScale", "FailedUpdateScale"][..]), ("ScalingActive", &["InvalidSelector"])]
    {
        let Some(found) = condition(value, type_).filter(|found| found.status == "False") else { continue };
        match hopeless.contains(&found.reason) {
            true => degraded(found.says())?,
            // Scaled to zero by hand.
            false if found.reason == "ScalingDisabled" => {}
            false => progressing(found.says())?,
        }
    }
    Ok(())
}

pub(super) fn claim(value: &Value) -> Verdict {
    match value["status"]["phase"].as_str().unwrap_or_default() {
        "Bound" => Ok(()),
        "Lost" => degraded("its volume is lost"),
        phase => progressing(format!("phase {phase:?}")),
    }
}

pub(super) fn service(value: &Value) -> Verdict {
    let ingress = value["status"]["loadBalancer"]["ingress"].as_array();
    match value["spec"]["type"].as_str() {
        Some("LoadBalancer") if ingress.is_none_or(Vec::is_empty) => progressing("its load balancer has no address"),
        _ => Ok(()),
    }
}

pub(super) fn namespace(value: &Value) -> Verdict {
    match value["status"]["phase"].as_str() {
        Some("Active") => Ok(()),
        phase => progressing(format!("phase {:?}", phase.unwrap_or_default())),
    }
}

pub(super) fn definition(value: &Value) -> Verdict {
    if let Some(found) = condition(value, "NamesAccepted").filter(|found| found.status == "False") {
        return degraded(found.says());
    }
    if let Some(found) = condition(value, "Terminating").filter(|found| found.status == "True") {
        return progressing(found.says());
    }
    // It is served, but without the guarantees that a schema gives: defaults, pruning, server-side apply by field.
    if let Some(found) = condition(value, "NonStructuralSchema").filter(|found| found.status == "True") {
        return degraded(found.says());
    }
    match condition(value, "Established") {
        Some(found) if found.status == "True" => Ok(()),
        // `Installing` is the one way in which it is merely not ready yet.
        Some(found) if found.reason != "Installing" && found.status == "False" => degraded(found.says()),
        Some(found) => progressing(found.says()),
        None => progressing("it is not established yet"),
    }
}

pub(super) fn api_service(value: &Value) -> Verdict {
    match condition(value, "Available") {
        Some(found) if found.status == "True" => Ok(()),
        Some(found) => progressing(found.says()),
        None => progressing("it is not available yet"),
    }
}

pub(super) fn disruption_budget(value: &Value) -> Verdict {
    if !value["status"]["observedGeneration"].is_number() {
        return progressing("its controller has not seen it yet");
    }
    // Its conditions may name a type twice.
    let conditions = value["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if conditions.iter().any(|found| found["status"] == "False" && found["reason"] == "SyncFailed") {
        return degraded("its controller cannot count the Pods: SyncFailed");
    }
    let (have, want) = (count(value, "currentHealthy"), count(value, "desiredHealthy"));
    if have < want { progressing(format!("{have} of {want} Pods healthy")) } else { Ok(()) }
}
