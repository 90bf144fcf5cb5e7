//! Rules for the other built-in kinds that can be unhealthy.

use serde_json::Value;

use super::{Verdict, condition, count, degraded, progressing};

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
    let (have, want) = (count(value, "currentHealthy"), count(value, "desiredHealthy"));
    if have < want { progressing(format!("{have} of {want} Pods healthy")) } else { Ok(()) }
}
