//! Rules for every kind: generations, and the conditions that most controllers write.

use serde_json::Value;

use super::{Verdict, condition, degraded, progressing};

/// What holds for every object before anything else is looked at.
pub(super) fn settled(value: &Value) -> Verdict {
    if value["metadata"]["deletionTimestamp"].is_string() {
        return progressing("it is being deleted");
    }
    let generation = value["metadata"]["generation"].as_i64();
    let observed = value["status"]["observedGeneration"].as_i64();
    if let (Some(generation), Some(observed)) = (generation, observed)
        && observed < generation
    {
        return progressing(format!("its controller has seen generation {observed} of {generation}"));
    }
    for (type_, verdict) in [("Stalled", degraded as fn(String) -> Verdict), ("Reconciling", progressing)] {
        if let Some(found) = condition(value, type_).filter(|found| found.status == "True") {
            verdict(found.says())?;
        }
    }
    Ok(())
}

/// `Failed`, `Ready` and `Available`, as custom resources use them. None of them: it is healthy by existing.
pub(super) fn conditions(value: &Value) -> Verdict {
    if let Some(found) = condition(value, "Failed").filter(|found| found.status == "True") {
        return degraded(found.says());
    }
    // Where there is Ready, Available is a part of it.
    let Some(found) = condition(value, "Ready").or_else(|| condition(value, "Available")) else { return Ok(()) };
    match found.status {
        "True" => Ok(()),
        _ => progressing(found.says()),
    }
}
