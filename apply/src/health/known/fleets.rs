//! Workloads of other controllers that count replicas and pause in their own words.

use serde_json::Value;

use crate::health::{
    Circumstances, Health, Verdict, asked_to_stand_still, count, degraded,
    generic::{custom, settled, silent},
    progressing,
};

fn waits_for_somebody(reason: &str) -> Verdict {
    Err(Health::Suspended { asked: false, reason: reason.to_owned() })
}

/// Argo Rollouts: it says in `phase` what its other fields add up to; older ones are counted.
pub(super) fn rollout(value: &Value, circumstances: &Circumstances) -> Verdict {
    if value["spec"]["paused"] == true {
        return asked_to_stand_still("paused");
    }
    settled(value)?;
    let status = &value["status"];
    let message = || status["message"].as_str().filter(|text| !text.is_empty());
    if status["abort"] == true {
        return degraded(message().unwrap_or("its update was aborted"));
    }
    match status["phase"].as_str() {
        Some("Healthy") => Ok(()),
        Some("Paused") => waits_for_somebody(message().unwrap_or("it waits between two steps")),
        Some("Degraded") => degraded(message().unwrap_or("its phase is Degraded")),
        Some(phase) => progressing(message().unwrap_or(phase)),
        None if status["controllerPause"] == true || status["pauseConditions"].is_array() => {
            waits_for_somebody("it waits between two steps")
        }
        None => custom(value, circumstances),
    }
}

/// OpenKruise's workloads count Pods by what is both updated and ready.
pub(super) fn kruise(value: &Value, circumstances: &Circumstances) -> Verdict {
    let strategy = &value["spec"]["updateStrategy"];
    if strategy["paused"] == true || strategy["rollingUpdate"]["paused"] == true {
        return asked_to_stand_still("paused");
    }
    settled(value)?;
    if !value["status"]["observedGeneration"].is_number() {
        return silent(value, circumstances);
    }
    let daemon = value["status"]["desiredNumberScheduled"].is_number();
    let all = count(value, if daemon { "desiredNumberScheduled" } else { "replicas" });
    let partition = &strategy["partition"];
    let held_back = if partition.is_null() { &strategy["rollingUpdate"]["partition"] } else { partition };
    if held_back.as_i64().is_some_and(|held_back| held_back > 0) {
        return waits_for_somebody("a partition keeps some replicas from being updated");
    }
    let fields = if daemon {
        ["updatedNumberScheduled", "numberAvailable"]
    } else {
        ["updatedReadyReplicas", "updatedAvailableReplicas"]
    };
    for field in fields {
        let have = count(value, field);
        if value["status"][field].is_number() && have < all {
            return degraded(format!("{field}: {have} of {all}"));
        }
    }
    Ok(())
}

/// A CronJob with other Jobs.
pub(super) fn advanced_cron_job(value: &Value, circumstances: &Circumstances) -> Verdict {
    if value["spec"]["paused"] == true {
        return asked_to_stand_still("paused");
    }
    settled(value)?;
    match value["status"]["active"].as_array().map_or(0, Vec::len) {
        0 if value["status"]["lastScheduleTime"].is_null() => silent(value, circumstances),
        0 => Ok(()),
        active => progressing(format!("{active} Jobs are running")),
    }
}

/// Grafana: its stages succeed one after the other.
pub(super) fn grafana(value: &Value, circumstances: &Circumstances) -> Verdict {
    custom(value, circumstances)?;
    match value["status"]["stage"].as_str() {
        None | Some("complete") => Ok(()),
        Some(stage) => progressing(format!("stage {stage}")),
    }
}

/// OpenKruise Rollouts: it stops at each step until somebody confirms the next.
pub(super) fn kruise_rollout(value: &Value, circumstances: &Circumstances) -> Verdict {
    if value["spec"]["disabled"] == true {
        return asked_to_stand_still("disabled");
    }
    settled(value)?;
    let message = value["status"]["message"].as_str().unwrap_or("it waits between two steps");
    let step = |of: &str| value["status"][of]["currentStepState"] == "StepPaused";
    match value["status"]["phase"].as_str() {
        Some(phase @ ("Disabled" | "Disabling" | "Terminating")) => degraded(format!("phase {phase}")),
        Some("Progressing") if step("canaryStatus") || step("blueGreenStatus") => waits_for_somebody(message),
        _ => custom(value, circumstances),
    }
}

/// Elasticsearch counts its nodes in sets; its status adds them up.
pub(super) fn elasticsearch(value: &Value, circumstances: &Circumstances) -> Verdict {
    custom(value, circumstances)?;
    let sets = value["spec"]["nodeSets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let want = sets.iter().filter_map(|set| set["count"].as_i64()).fold(0, i64::saturating_add);
    let have = count(value, "availableNodes");
    if have < want { progressing(format!("{have} of {want} nodes available")) } else { Ok(()) }
}

/// KubeVirt: a machine that nobody has switched on is not ready either.
pub(super) fn virtual_machine(value: &Value, circumstances: &Circumstances) -> Verdict {
    let (spec, status) = (&value["spec"], &value["status"]["printableStatus"]);
    let off = spec["running"] == false || spec["runStrategy"] == "Halted";
    match status.as_str() {
        Some("Stopped" | "Paused") if off => asked_to_stand_still("that it does not run"),
        Some(word @ ("Stopped" | "Paused")) => waits_for_somebody(word),
        _ => custom(value, circumstances),
    }
}
