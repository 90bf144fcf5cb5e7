//! Rules for every kind: deletion, generations, and whatever a status says.

use serde_json::Value;

use super::{
    Circumstances, Health, Verdict,
    fields::{self, About},
    findings::Findings,
    progressing,
};

/// What holds for every object before anything else is looked at.
pub(super) fn settled(value: &Value) -> Verdict {
    if value["metadata"]["deletionTimestamp"].is_string() {
        return progressing("it is being deleted");
    }
    let generation = value["metadata"]["generation"].as_i64();
    let observed = &value["status"]["observedGeneration"];
    // Some controllers write it as a string.
    let observed = observed.as_i64().or_else(|| observed.as_str()?.parse().ok());
    if let (Some(generation), Some(observed)) = (generation, observed)
        && observed < generation
    {
        return progressing(format!("its controller has seen generation {observed} of {generation}"));
    }
    Ok(())
}

/// Everything that a status may say, for kinds that no other rule is about.
pub(super) fn custom(value: &Value, circumstances: &Circumstances) -> Verdict {
    if let Some(field) = fields::suspended(&value["spec"]) {
        return Err(Health::Suspended { asked: true, reason: format!("its specification says {field}") });
    }
    let said = said(value);
    // What has failed and goes away has failed all the same.
    if let (true, Some(Health::Degraded(_))) = (value["metadata"]["deletionTimestamp"].is_string(), &said) {
        return said.map_or(Ok(()), Err);
    }
    settled(value)?;
    match said {
        Some(Health::Healthy) => Ok(()),
        Some(health) => Err(health),
        // What has begun and runs to an end says when it is there.
        None if fields::runs_once(value["kind"].as_str().unwrap_or_default())
            && value["status"].as_object().is_some_and(|status| !status.is_empty()) =>
        {
            progressing("it is not done yet")
        }
        None => silent(value, circumstances),
    }
}

/// What the status says; `None` if nothing of it is understood.
pub(super) fn said(value: &Value) -> Option<Health> {
    let kind = value["kind"].as_str().unwrap_or_default();
    let about = About {
        generation: value["metadata"]["generation"].as_i64(),
        runs_once: fields::runs_once(kind),
        recurs: fields::recurs(kind),
        spec: &value["spec"],
    };
    let mut findings = Findings::default();
    if let Some(status) = value["status"].as_object() {
        fields::read(status, about, &mut findings);
    }
    fields::labels(value, &mut findings);
    findings.verdict()
}

/// A status that says nothing: its controller has not come to it yet, or there is none that would write one.
pub(super) fn silent(value: &Value, circumstances: &Circumstances) -> Verdict {
    match circumstances.may_still_speak(value) {
        true => progressing("its controller has said nothing yet"),
        false => Ok(()),
    }
}
