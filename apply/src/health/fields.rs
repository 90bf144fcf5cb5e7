//! What a status says outside its conditions: phases, yes and no, counts, errors.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    conditions,
    findings::Findings,
    words::{Tone, of_phrase, words},
};

/// Deeper than this no status is read.
const DEPTH: usize = 4;

/// More values than this are not read: a status is written by somebody else.
const VALUES: usize = 10_000;

/// What stands below these tells of the past, of a wish, or of other objects.
#[rustfmt::skip]
const ELSEWHERE: [&str; 13] = [
    "history", "last", "previous", "spec", "template", "resources", "inventory", "managed", "old", "initial", "applied", "synced", "operation",
];

/// What is known of the object beside its status.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) generation: Option<i64>,
    /// Whether it does one thing and is done: `Running` means that it is not there yet.
    pub(super) runs_once: bool,
    /// Whether it starts others at given times: `Scheduled` means that it does.
    pub(super) recurs: bool,
    pub(super) spec: &'a Value,
}

/// Kinds that run to an end.
pub(super) fn runs_once(kind: &str) -> bool {
    #[rustfmt::skip]
    const ONCE: [&str; 19] = [
        "analysis", "backup", "build", "clone", "evaluation", "experiment", "export", "import", "job", "migration",
        "promote", "request", "restore", "run", "snapshot", "task", "test", "upgrade", "workflow",
    ];
    let words = words(kind);
    words.last().is_some_and(|last| ONCE.contains(&last.as_str())) && !recurs(kind)
}

/// Kinds that start others at given times.
pub(super) fn recurs(kind: &str) -> bool {
    let words = words(kind);
    words.first().is_some_and(|first| first == "cron" || first == "scheduled")
        || words.last().is_some_and(|last| last == "schedule")
        || words.contains(&"cron".to_owned())
}

/// Reads a whole status.
pub(super) fn read(status: &Map<String, Value>, about: About<'_>, findings: &mut Findings) {
    let mut left = VALUES;
    level(status, about, 0, &mut left, findings);
    counts(status, about.spec, findings);
}

fn level(map: &Map<String, Value>, about: About<'_>, depth: usize, left: &mut usize, findings: &mut Findings) {
    for (key, value) in map {
        let Some(next) = left.checked_sub(1) else { return };
        *left = next;
        let key_words = words(key);
        if key_words
            .first()
            .is_some_and(|first| ELSEWHERE.contains(&first.as_str()) && key_words.concat() != "lastoperationstatus")
        {
            continue;
        }
        match value {
            Value::Array(list) if key == "conditions" => {
                conditions::read(list, about.generation, about.runs_once && depth == 0, findings);
            }
            Value::Array(list) if depth < DEPTH => parts(key, list, about, depth + 1, left, findings),
            Value::Object(map) if key == "error" => {
                error(key, &map.get("message").cloned().unwrap_or_default(), findings)
            }
            Value::Object(map) if depth < DEPTH => {
                // applicationState: {state: RUNNING}
                if depth == 0 && is_phase(&key_words) {
                    for field in ["state", "phase", "status"] {
                        if let Some(text) = map.get(field).and_then(Value::as_str) {
                            phase(key, text, map, about, findings);
                        }
                    }
                }
                level(map, About { spec: &Value::Null, ..about }, depth + 1, left, findings);
            }
            Value::String(text) if depth == 0 => {
                error(key, value, findings);
                if is_phase(&key_words) {
                    phase(key, text, map, about, findings);
                }
            }
            // What a part says of itself matters if it is bad.
            Value::String(text) if depth == 1 && ["health", "state", "phase"].contains(&key.as_str()) => {
                if let Some(tone @ (Tone::Degraded | Tone::Unknown)) = of_phrase(text) {
                    findings.add(tone, format!("{key} {text}"));
                }
            }
            Value::Bool(yes) if depth == 0 => boolean(key, &key_words, *yes, findings),
            _ => {}
        }
    }
    if depth > 0 {
        counts(map, &Value::Null, findings);
    }
}

/// A list of parts: listeners, parents, members.
fn parts(key: &str, list: &[Value], about: About<'_>, depth: usize, left: &mut usize, findings: &mut Findings) {
    let of = |part: &'_ Value| part["conditions"].as_array().filter(|conditions| !conditions.is_empty()).cloned();
    let stale = |part: &Value| of(part).is_some_and(|conditions| conditions::is_stale(&conditions, about.generation));
    // An old complaint is over once somebody has looked again; an old consent has to be renewed.
    let one_is_current = list.iter().any(|part| of(part).is_some() && !stale(part));
    let understood =
        |part: &Value| of(part).is_some_and(|list| conditions::read(&list, None, false, &mut Findings::default()));
    let one_is_understood = list.iter().take(*left).any(understood);
    for part in list {
        let (Some(map), Some(next)) = (part.as_object(), left.checked_sub(1)) else { continue };
        *left = next;
        if one_is_current && stale(part) && of(part).is_some_and(|conditions| conditions::complains(&conditions)) {
            continue;
        }
        if one_is_understood && of(part).is_some() && !understood(part) {
            findings.add(Tone::Progressing, format!("one of its {key} has not been judged yet"));
        }
        level(map, About { spec: &Value::Null, ..about }, depth, left, findings);
    }
}

fn error(key: &str, value: &Value, findings: &mut Findings) {
    let named =
        ["error", "errorMessage", "errorDescription", "failureMessage", "failureReason", "fault"].contains(&key);
    if let Some(text) = value.as_str().filter(|text| named && !text.trim().is_empty()) {
        findings.add(Tone::Degraded, text);
    }
}

fn is_phase(key_words: &[String]) -> bool {
    const NAMES: [&str; 8] = ["compliant", "health", "phase", "robustness", "stage", "state", "status", "verdict"];
    key_words.last().is_some_and(|last| NAMES.contains(&last.as_str()))
}

fn phase(key: &str, text: &str, map: &Map<String, Value>, about: About<'_>, findings: &mut Findings) {
    let Some(tone) = of_phrase(text) else { return };
    let tone = match tone {
        Tone::Healthy if about.runs_once && text.eq_ignore_ascii_case("running") => Tone::Progressing,
        Tone::Progressing if about.recurs && text.eq_ignore_ascii_case("scheduled") => Tone::Healthy,
        tone => tone,
    };
    let why = ["message", "reason"].iter().find_map(|field| map.get(*field)?.as_str()).filter(|why| !why.is_empty());
    findings.add(tone, why.map_or_else(|| format!("{key} {text}"), |why| format!("{key} {text}: {why}")));
}

fn boolean(key: &str, key_words: &[String], yes: bool, findings: &mut Findings) {
    let Some((last, before)) = key_words.split_last() else { return };
    let negated = before.iter().any(|word| word == "not" || word == "no");
    let says = format!("{key} is {yes}");
    match (last.as_str(), yes) {
        _ if negated && yes => findings.add(Tone::Degraded, says),
        _ if negated => {}
        ("healthy" | "pass" | "passed" | "valid" | "succeeded", false) => findings.add(Tone::Degraded, says),
        ("ready" | "available" | "synced" | "established" | "initialized" | "use" | "provisioned", false) => {
            findings.add(Tone::Progressing, says);
        }
        ("healthy" | "pass" | "passed" | "ready" | "available" | "synced" | "use", true) => {
            findings.add(Tone::Healthy, says)
        }
        ("failed" | "degraded" | "stalled" | "unhealthy", true) => findings.add(Tone::Degraded, says),
        ("paused" | "suspended", true) => findings.add(Tone::Suspended, says),
        _ => {}
    }
}

/// `readyReplicas` against `replicas`, `availableNodes` against `expectedNodes`, and `2/3`.
fn counts(map: &Map<String, Value>, spec: &Value, findings: &mut Findings) {
    let numbers = Numbers::of(map);
    let asked = spec.as_object().map(Numbers::of).unwrap_or_default();
    for (key, value) in map {
        if let Some((have, want)) = value.as_str().and_then(|text| text.split_once('/')) {
            let ready = words(key).iter().any(|word| word == "ready" || word == "replicas");
            if let (true, Ok(have), Ok(want)) = (ready, have.trim().parse::<u32>(), want.trim().parse::<u32>()) {
                compare(key, have.into(), want.into(), findings);
            }
            continue;
        }
        let key_words = words(key);
        let (Some(have), Some((first, rest))) = (value.as_i64(), key_words.split_first()) else { continue };
        if !["ready", "available", "updated", "healthy", "current"].contains(&first.as_str()) || rest.is_empty() {
            continue;
        }
        if let Some(want) = asked.wanted(rest).into_iter().chain(numbers.wanted(rest)).max() {
            compare(key, have, want, findings);
        }
    }
}

/// The numbers of a map by the words of their names.
#[derive(Default)]
struct Numbers(HashMap<String, i64>);

impl Numbers {
    fn of(map: &Map<String, Value>) -> Self {
        Self(map.iter().filter_map(|(key, value)| Some((words(key).join(" "), value.as_i64()?))).collect())
    }

    /// How many of something there are to be.
    fn wanted(&self, what: &[String]) -> Option<i64> {
        let what = what.join(" ");
        let named = |before: &str| self.0.get(&format!("{before} {what}"));
        ["desired", "expected", "total"].into_iter().find_map(named).or_else(|| self.0.get(&what)).copied()
    }
}

fn compare(key: &str, have: i64, want: i64, findings: &mut Findings) {
    match have < want {
        true => findings.add(Tone::Progressing, format!("{key}: {have} of {want}")),
        false => findings.add(Tone::Healthy, format!("{key}: {have} of {want}")),
    }
}

/// Whether a specification asks to stand still.
pub(super) fn suspended(spec: &Value) -> Option<&'static str> {
    ["suspend", "suspended", "paused"].into_iter().find(|field| spec[*field] == true)
}

/// What its controller's own labels say: `shoot.gardener.cloud/status: unhealthy`. Only bad news, and only from labels
/// of the domain that the kind belongs to.
pub(super) fn labels(value: &Value, findings: &mut Findings) {
    let group = value["apiVersion"].as_str().and_then(|text| text.split_once('/')).map_or("", |(group, _)| group);
    let domain = |name: &str| name.rsplitn(3, '.').take(2).map(str::to_owned).collect::<Vec<_>>();
    for (key, text) in value["metadata"]["labels"].as_object().into_iter().flatten() {
        let (Some((prefix, name)), Some(text)) = (key.split_once('/'), text.as_str()) else { continue };
        let own = group.contains('.') && domain(prefix) == domain(group);
        if own && is_phase(&words(name)) && of_phrase(text) == Some(Tone::Degraded) {
            findings.add(Tone::Degraded, format!("label {key} is {text}"));
        }
    }
}
