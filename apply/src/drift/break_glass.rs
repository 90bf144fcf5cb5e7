//! A change by hand that is left for a while, since whoever made it says so on the object. *pure*
//!
//! Nothing here is about trust in that person: who may write the annotation is decided by RBAC and `deploy/admission.yaml`,
//! and whether any hand holds anything by the platform, which names the longest time.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    api::{BREAK_GLASS_REASON_ANNOTATION, BREAK_GLASS_UNTIL_ANNOTATION},
    health::Plain,
};

/// How far the clock of whoever wrote the annotation may be ahead.
const SLACK: Duration = Duration::from_secs(60);

/// What the annotations of a live object ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Until when the object is to be left; `None` if that cannot be read.
    pub until: Option<Timestamp>,
    /// Why, without control characters and not long.
    pub reason: Option<String>,
}

/// How far the platform lets hands go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The time now.
    pub now: Timestamp,
    /// No change is held for longer, counted from now.
    pub longest: Duration,
}

/// What becomes of an object whose annotations ask for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is left as it is until then.
    Held(Timestamp),
    /// It is put right, and the annotations go.
    Ended(Ended),
}

/// Why a change by hand is not held any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time is over.
    Past,
    /// It asks for more time than the platform gives.
    TooLong(Duration),
    /// Until when is not a time.
    Unreadable,
    /// A release changed the object since, or it is another object.
    Replaced,
}

impl Asked {
    /// What the annotations say; `None` if they ask for nothing.
    pub fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let until = annotations.get(BREAK_GLASS_UNTIL_ANNOTATION)?;
        let reason = annotations.get(BREAK_GLASS_REASON_ANNOTATION).map(|reason| Plain(reason).to_string());
        Some(Self { until: until.trim().parse().ok(), reason: reason.filter(|reason| !reason.is_empty()) })
    }

    /// What is told of an object that is held until then.
    pub(crate) fn words(&self, until: Timestamp) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("held for a break-glass change until {until}{reason}")
    }
}

/// Decides. `same` says whether the object is the one that the present release left there, with the same content.
pub(crate) fn standing(asked: Option<&Asked>, limit: Option<Limit>, same: bool) -> Option<Standing> {
    let (asked, Limit { now, longest }) = (asked?, limit?);
    let ended = match asked.until {
        _ if !same => Ended::Replaced,
        None => Ended::Unreadable,
        Some(until) if until <= now => Ended::Past,
        // What lies beyond all times is longer than any.
        Some(until) if now.checked_add(longest + SLACK).is_ok_and(|last| until > last) => Ended::TooLong(longest),
        Some(until) => return Some(Standing::Held(until)),
    };
    Some(Standing::Ended(ended))
}

/// The JSON patch that takes the annotations off an object of this version, if it has some that `released` has not.
pub(crate) fn taken_off(live: &Value, released: &Value) -> Option<Value> {
    let none = Map::new();
    let annotations = |value: &Value| value["metadata"]["annotations"].as_object().unwrap_or(&none).clone();
    let (found, wanted) = (annotations(live), annotations(released));
    let ours = [BREAK_GLASS_UNTIL_ANNOTATION, BREAK_GLASS_REASON_ANNOTATION];
    let gone = ours.into_iter().filter(|name| found.contains_key(*name) && !wanted.contains_key(*name));
    let mut patch: Vec<_> = gone
        .map(|name| json!({"op": "remove", "path": format!("/metadata/annotations/{}", name.replace('/', "~1"))}))
        .collect();
    if patch.is_empty() {
        return None;
    }
    let version = &live["metadata"]["resourceVersion"];
    patch.push(json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}));
    Some(patch.into())
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Past => f.write_str("the time of its break-glass change is over"),
            Self::TooLong(longest) => write!(
                f,
                "its break-glass annotation asks for more than the {} seconds that the platform gives",
                longest.as_secs()
            ),
            Self::Unreadable => f.write_str("its break-glass annotation is not a time such as 2026-01-31T18:00:00Z"),
            Self::Replaced => f.write_str("a release came after its break-glass change"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(until: &str, reason: &str) -> BTreeMap<String, String> {
        let pairs = [(BREAK_GLASS_UNTIL_ANNOTATION, until), (BREAK_GLASS_REASON_ANNOTATION, reason)];
        pairs.into_iter().filter(|(_, text)| !text.is_empty()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn a_change_is_held_for_as_long_as_it_asks_and_the_platform_gives() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let hour = Duration::from_secs(3600);
        let limit = Some(Limit { now, longest: hour });
        let held = |text: &str| Some(Standing::Held(text.parse().unwrap()));
        let ended = |ended| Some(Standing::Ended(ended));
        for (until, limit, same, wanted) in [
            ("2026-01-01T12:30:00Z", limit, true, held("2026-01-01T12:30:00Z")),
            ("2026-01-01T13:30:00+01:00", limit, true, held("2026-01-01T12:30:00Z")),
            ("2026-01-01T13:00:30Z", limit, true, held("2026-01-01T13:00:30Z")),
            ("2026-01-01T13:01:01Z", limit, true, ended(Ended::TooLong(hour))),
            ("9999-12-30T00:00:00Z", limit, true, ended(Ended::TooLong(hour))),
            ("2026-01-01T12:00:00Z", limit, true, ended(Ended::Past)),
            ("2025-01-01T12:30:00Z", limit, true, ended(Ended::Past)),
            ("2h", limit, true, ended(Ended::Unreadable)),
            ("2026-01-01T12:30:00Z", limit, false, ended(Ended::Replaced)),
            ("2026-01-01T12:30:00Z", None, true, None),
            ("", limit, true, None),
        ] {
            let asked = Asked::of(&annotations(until, "why"));
            assert_eq!(standing(asked.as_ref(), limit, same), wanted, "{until} {same}");
        }
    }

    #[test]
    fn a_reason_is_told_in_plain_words_and_not_without_a_time() {
        let asked = Asked::of(&annotations("2026-01-01T12:30:00Z", "disk\u{1b}[31m full\n")).unwrap();
        let words = asked.words("2026-01-01T12:30:00Z".parse().unwrap());
        assert!(words.starts_with("held for a break-glass change until 2026-01-01T12:30:00Z: disk"), "{words}");
        assert!(!words.contains(|c: char| c.is_control()), "{words:?}");
        let long = Asked::of(&annotations("2026-01-01T12:30:00Z", &"word ".repeat(1000))).unwrap();
        assert!(long.reason.unwrap().chars().count() <= 401);
        assert_eq!(Asked::of(&annotations("", "why")), None);
    }

    #[test]
    fn only_what_the_release_does_not_say_is_taken_off() {
        let object = |annotations: Value| json!({"metadata": {"resourceVersion": "7", "annotations": annotations}});
        let both = object(json!({BREAK_GLASS_UNTIL_ANNOTATION: "x", BREAK_GLASS_REASON_ANNOTATION: "y", "other": "z"}));
        let patch = taken_off(&both, &object(json!({"other": "z"}))).unwrap();
        let paths: Vec<_> = patch.as_array().unwrap().iter().map(|op| op["path"].as_str().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "/metadata/annotations/sealift.dev~1break-glass-until",
                "/metadata/annotations/sealift.dev~1break-glass-reason",
                "/metadata/resourceVersion"
            ]
        );
        assert_eq!(taken_off(&both, &both), None);
        assert_eq!(taken_off(&object(json!({})), &object(json!({}))), None);
        assert_eq!(taken_off(&json!({"metadata": {}}), &json!({})), None);
    }
}
