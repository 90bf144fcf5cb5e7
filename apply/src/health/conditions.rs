//! Conditions by what their types mean, whichever controller wrote them.

use serde_json::Value;

use super::{
    findings::Findings,
    words::{self, Tone, begins_badly, is_mere_absence, of_phrase, of_sentence},
};

/// Where an object goes when a condition of this type is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is what is wanted, and sums up the whole object: `Ready`.
    Whole,
    /// It is wanted, and goes beside the sum: `Synced`, `Accepted`.
    Beside,
    /// It is wanted, and tells of a part: `DatabaseReady`.
    Part,
    /// It is on its way: `Reconciling`.
    Moving,
    /// It stands still on purpose: `Paused`.
    Suspended,
    /// Something is wrong: `Failed`.
    Wrong,
}

/// Types that sum up an object.
const WHOLE: [&str; 8] =
    ["available", "complete", "completed", "established", "healthy", "ready", "succeeded", "success"];

/// Types that a sum does not include. Others that end in a good word are about a part.
#[rustfmt::skip]
const BESIDE: [&str; 18] = [
    "accepted", "applied", "bound", "compliant", "configured", "deployed", "installed", "issued", "programmed", "promoted", "provisioned", "reconciled", "registered",
    "resolved", "synced", "synchronized", "valid", "validated",
];

/// What a condition of this type means; `None` if it is only information.
pub(super) fn meaning(type_: &str) -> Option<Meaning> {
    let words = words::words(type_.rsplit('/').next().unwrap_or(type_));
    let (last, before) = words.split_last()?;
    let negated = before.iter().any(|word| ["not", "no", "non"].contains(&word.as_str()));
    let wrong = |word: &String| words::of_word(word) == Some(Tone::Degraded) && word != "warning" && word != "limit";
    if negated {
        return match words::of_word(last) {
            Some(Tone::Healthy) => Some(Meaning::Wrong),
            // NoWarnings, NoErrors
            Some(Tone::Degraded) => Some(Meaning::Part),
            _ if last == "warnings" => Some(Meaning::Part),
            _ => None,
        };
    }
    if words.iter().any(wrong) {
        return Some(Meaning::Wrong);
    }
    if words.concat() == "resolvedrefs" {
        return Some(Meaning::Beside);
    }
    match words::of_word(last) {
        _ if is_scaling(&words) => Some(Meaning::Moving),
        Some(Tone::Healthy) if before.is_empty() && WHOLE.contains(&last.as_str()) => Some(Meaning::Whole),
        Some(Tone::Healthy) if before.is_empty() && BESIDE.contains(&last.as_str()) => Some(Meaning::Beside),
        // It says that somebody is at work, not with what success.
        Some(Tone::Healthy) if last == "running" => None,
        Some(Tone::Healthy) => Some(Meaning::Part),
        _ if is_moving(&words) => Some(Meaning::Moving),
        Some(Tone::Suspended) if last != "idle" && last != "disabled" => Some(Meaning::Suspended),
        _ => None,
    }
}

/// `ContinuousArchiving` and `Serving` are not on their way anywhere: only these, and single words, are.
fn is_moving(words: &[String]) -> bool {
    #[rustfmt::skip]
    const MOVING: [&str; 31] = [
        "bootstrapping", "creating", "deleting", "deploying", "draining", "initializing", "installing", "issuing", "migrating", "moving", "pending",
        "preparing", "processing", "progress", "progressing", "promoting", "provisioning", "reconciling", "recovering", "remediating", "resizing",
        "restarting", "restoring", "rolling", "scaling", "starting", "syncing", "terminating", "updating", "upgrading", "waiting",
    ];
    let single = words.len() == 1 && words[0].ends_with("ing");
    words.last().is_some_and(|last| {
        MOVING.contains(&last.as_str()) || single && words::of_word(last) == Some(Tone::Progressing)
    })
}

/// `ScalingUp`, `RollingOut`, `RollingUpdate`.
fn is_scaling(words: &[String]) -> bool {
    words.len() == 2
        && ["scaling", "rolling"].contains(&words[0].as_str())
        && ["up", "down", "in", "out", "update"].contains(&words[1].as_str())
}

/// True for types that are a verdict: not fulfilled is not merely not yet.
fn is_verdict(type_: &str) -> bool {
    #[rustfmt::skip]
    const VERDICTS: [&str; 9] = ["accepted", "compliant", "refs", "resolved", "succeeded", "success", "synced", "valid", "validated"];
    words::words(type_).last().is_some_and(|last| VERDICTS.contains(&last.as_str()))
}

/// A condition as its controller wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition<'a> {
    pub(super) type_: &'a str,
    /// `None`: unknown.
    pub(super) holds: Option<bool>,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
    severity: &'a str,
    observed: Option<i64>,
}

impl<'a> Condition<'a> {
    pub(super) fn read(value: &'a Value) -> Option<Self> {
        let text = |field: &str| value[field].as_str().unwrap_or_default();
        let holds = match &value["status"] {
            Value::Bool(holds) => Some(*holds),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        let observed = value["observedGeneration"].as_i64();
        let (reason, message, severity) = (text("reason"), text("message"), text("severity"));
        value["type"].as_str().map(|type_| Self { type_, holds, reason, message, severity, observed })
    }

    /// What it says to people.
    pub(super) fn says(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => format!("{} is {}", self.type_, self.status()),
            ("", message) => message.to_owned(),
            (reason, "") => format!("{} is {}: {reason}", self.type_, self.status()),
            (reason, message) => format!("{reason}: {message}"),
        }
    }

    fn status(&self) -> &'static str {
        match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }

    /// Why something is not as it should be: degraded, suspended or progressing; missing if something else is not there.
    pub(super) fn why(&self) -> Option<Tone> {
        match self.severity {
            "Error" => return Some(Tone::Degraded),
            "Warning" | "Info" => return Some(Tone::Progressing),
            _ => {}
        }
        let tone = match of_phrase(self.reason).filter(|tone| *tone != Tone::Healthy) {
            Some(Tone::Progressing) if begins_badly(self.message) => Some(Tone::Degraded),
            // The message may know more than that.
            Some(Tone::Progressing) if is_mere_absence(self.reason) => {
                of_sentence(self.message).or(Some(Tone::Progressing))
            }
            None => of_sentence(self.message),
            tone => tone,
        };
        tone.map(|tone| if tone == Tone::Unknown { Tone::Progressing } else { tone })
    }

    /// True if it was written about an older specification.
    fn is_stale(&self, generation: Option<i64>) -> bool {
        generation.zip(self.observed).is_some_and(|(generation, observed)| observed < generation)
    }
}

/// Reads a list of conditions, and says whether it understood one of them.
///
/// What runs once is good when it is done, whatever of it is ready before.
pub(super) fn read(list: &[Value], generation: Option<i64>, runs_once: bool, findings: &mut Findings) -> bool {
    let conditions: Vec<_> = list.iter().filter_map(Condition::read).collect();
    let meant: Vec<_> = conditions.iter().filter_map(|found| Some((found, meaning(found.type_)?))).collect();
    let around = Around {
        whole: meant.iter().find(|(_, meaning)| *meaning == Meaning::Whole).map(|(found, _)| found.type_),
        moving: meant.iter().any(|(found, meaning)| *meaning == Meaning::Moving && found.holds == Some(true)),
    };
    for (condition, meaning) in &meant {
        if condition.is_stale(generation) && matches!(meaning, Meaning::Whole | Meaning::Beside) {
            findings
                .add(Tone::Progressing, format!("its controller has not judged this generation: {}", condition.type_));
        } else if let Some(tone) = tone(condition, *meaning, around) {
            match runs_once && tone == Tone::Healthy && *meaning != Meaning::Whole {
                true => findings.add(Tone::Progressing, "it is not done yet"),
                false => findings.add(tone, condition.says()),
            }
        }
    }
    // A type that means nothing to us, not fulfilled because something failed.
    for condition in conditions.iter().filter(|found| found.holds == Some(false) && meaning(found.type_).is_none()) {
        if around.whole.is_none() && of_phrase(condition.reason) == Some(Tone::Degraded) {
            findings.add(Tone::Degraded, condition.says());
        }
    }
    !meant.is_empty()
}

/// True if every condition of the list was written about an older specification.
pub(super) fn is_stale(list: &[Value], generation: Option<i64>) -> bool {
    let mut conditions = list.iter().filter_map(Condition::read).peekable();
    conditions.peek().is_some() && conditions.all(|condition| condition.is_stale(generation))
}

/// True if something that is wanted of it does not hold.
pub(super) fn complains(list: &[Value]) -> bool {
    let wanted = |type_: &str| matches!(meaning(type_), Some(Meaning::Whole | Meaning::Beside | Meaning::Part));
    list.iter().filter_map(Condition::read).any(|condition| condition.holds == Some(false) && wanted(condition.type_))
}

/// What stands beside a condition.
#[derive(Clone, Copy)]
struct Around<'a> {
    whole: Option<&'a str>,
    moving: bool,
}

fn tone(condition: &Condition<'_>, meaning: Meaning, around: Around<'_>) -> Option<Tone> {
    match (meaning, condition.holds) {
        // The whole speaks for its parts, unless one of them contradicts it to the word.
        (Meaning::Part, holds)
            if around.whole.is_some_and(|whole| holds != Some(false) || !condition.type_.ends_with(whole)) =>
        {
            None
        }
        (Meaning::Whole | Meaning::Beside | Meaning::Part, holds) => Some(match (holds, condition.why()) {
            (Some(true), _) => Tone::Healthy,
            // What is not there yet is being made.
            (Some(false), Some(Tone::Missing)) => {
                if around.moving {
                    Tone::Progressing
                } else {
                    Tone::Degraded
                }
            }
            (Some(false), None) if is_verdict(condition.type_) && !condition.message.is_empty() => Tone::Degraded,
            (Some(false), why) => why.unwrap_or(Tone::Progressing),
            (None, _) => Tone::Progressing,
        }),
        (Meaning::Moving, Some(true)) => match condition.why() {
            Some(Tone::Suspended) => Some(Tone::Suspended),
            _ if words::says_done(condition.reason) => None,
            _ => Some(Tone::Progressing),
        },
        // Deployment's way to say that it gave up: Progressing is False.
        (Meaning::Moving, Some(false)) => condition.why().filter(|why| *why == Tone::Degraded),
        (Meaning::Suspended, Some(true)) => Some(Tone::Suspended),
        (Meaning::Wrong, Some(true)) => Some(Tone::Degraded),
        (Meaning::Wrong, Some(false)) => Some(Tone::Healthy),
        (Meaning::Moving | Meaning::Wrong, None) | (Meaning::Suspended, Some(false) | None) => None,
    }
}
