//! What a Delivery's status says of what is waited for. *pure*

use sealift_apply::api::{Condition, Delivery, DeliveryStatus, Selection, condition};
use sealift_verify::{digest::Digest, reference::Repository};

use crate::exit::Exit;

/// What is waited for, and by whom.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// This artifact, by all who select it.
    Artifact { repository: Repository, tag: Option<String>, digest: Digest },
    /// Whatever is selected.
    Selected,
}

/// How far a Delivery is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is applied, and ready.
    There,
    /// Not yet.
    Underway { reason: String, message: String },
    /// It does not come unless somebody does something.
    Failed { why: Why, reason: String, message: String },
}

/// Why it does not come. The first of these that there is decides over the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    Refused,
    Superseded,
    Stalled,
    Held,
    Suspended,
    Gone,
}

impl Why {
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Refused => Exit::Refused,
            Self::Superseded => Exit::Superseded,
            Self::Stalled | Self::Held | Self::Suspended => Exit::Failed,
            Self::Gone => Exit::NotFound,
        }
    }

    /// The word in documents.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Stalled => "stalled",
            Self::Held => "held",
            Self::Suspended => "suspended",
            Self::Gone => "gone",
        }
    }
}

impl Fate {
    fn underway(reason: &str, message: impl Into<String>) -> Self {
        Self::Underway { reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn failed(why: Why, reason: &str, message: impl Into<String>) -> Self {
        Self::Failed { why, reason: reason.to_owned(), message: message.into() }
    }
}

/// True if the Delivery could take what is waited for.
pub(super) fn selects(delivery: &Delivery, wanted: &Wanted) -> bool {
    let Wanted::Artifact { repository, tag, digest } = wanted else { return true };
    let same = delivery.spec.repository.parse::<Repository>().is_ok_and(|own| own == *repository);
    same && match delivery.spec.select.selection() {
        Some(Selection::Tag(own)) => tag.as_ref().is_none_or(|tag| tag == own),
        Some(Selection::Digest(own)) => own == *digest,
        // Which versions there are is the controller's to know.
        Some(Selection::Semver(_)) => true,
        None => false,
    }
}

/// What a Delivery is at, where that is not what is waited for: the artifact, and the statement by which it runs.
pub(super) fn at_another(delivery: &Delivery, wanted: &Wanted) -> Option<(Digest, Option<Digest>)> {
    let Wanted::Artifact { digest, .. } = wanted else { return None };
    let status = delivery.status.as_ref()?;
    let attempted = status.last_attempted.as_ref()?.digest;
    let applied = status.last_applied.as_ref().filter(|applied| applied.digest == attempted);
    (attempted != *digest).then(|| (attempted, applied.and_then(|applied| applied.statement)))
}

/// How far it is. `first` is what the Delivery had attempted when the wait began, `asked` what it was asked to look by, and
/// `older` whether what is waited for is older than [what it is at](at_another), as far as anybody says.
pub(super) fn fate(
    delivery: &Delivery,
    wanted: &Wanted,
    first: Option<Digest>,
    asked: Option<&str>,
    older: Option<bool>,
) -> Fate {
    if delivery.metadata.deletion_timestamp.is_some() {
        return Fate::failed(Why::Gone, "Deleting", "the Delivery is being deleted");
    }
    if delivery.spec.suspend {
        return Fate::failed(Why::Suspended, "Suspended", "nothing is done until spec.suspend is false");
    }
    let Some(status) = &delivery.status else {
        return Fate::underway("Pending", "no controller has looked at it yet");
    };
    if status.observed_generation != delivery.metadata.generation {
        return Fate::underway("Pending", "the controller has not looked at the present spec yet");
    }
    if asked.is_some_and(|asked| status.last_handled_reconcile_at.as_deref() != Some(asked)) {
        return Fate::underway("Pending", "it was asked to look now, and has not yet");
    }
    let Some(ready) = condition(&status.conditions, "Ready") else {
        return Fate::underway("Pending", "the controller has not looked at it to the end yet");
    };
    match wanted {
        Wanted::Selected => of_attempted(status, ready),
        Wanted::Artifact { digest, .. } => of_artifact(status, ready, *digest, (first, older), delivery),
    }
}

fn of_artifact(
    status: &DeliveryStatus,
    ready: &Condition,
    wanted: Digest,
    (first, older): (Option<Digest>, Option<bool>),
    delivery: &Delivery,
) -> Fate {
    let attempted = status.last_attempted.as_ref().map(|last| last.digest);
    let applied = status.last_applied.as_ref().map(|last| last.digest);
    if attempted == Some(wanted) {
        return match (ready.status.as_str(), applied) {
            ("True", Some(applied)) if applied != wanted => Fate::failed(Why::Held, &ready.reason, &ready.message),
            _ => of_attempted(status, ready),
        };
    }
    let was_here = || status.history.iter().any(|entry| entry.digest == wanted && entry.verdict == "Applied");
    if let Some(other) = attempted {
        // Where nobody says which is older, what was left behind, or passed over while somebody waited, does not come.
        let gone_on = || was_here() || first.is_some() && first != Some(other);
        let message = match older {
            Some(true) => Some(format!("it is at {other}, which is a later release")),
            Some(false) => None,
            None => gone_on().then(|| format!("it has gone on to {other}")),
        };
        if let Some(message) = message {
            return Fate::failed(Why::Superseded, "Superseded", message);
        }
    }
    Fate::underway("NotSeen", format!("it has not seen the artifact yet, and looks every {}", delivery.spec.interval))
}

/// How far what was selected last is.
fn of_attempted(status: &DeliveryStatus, ready: &Condition) -> Fate {
    let says = |type_, value| condition(&status.conditions, type_).filter(|condition| condition.status == value);
    if ready.status == "True" {
        return Fate::There;
    }
    if let Some(refused) = says("Verified", "False") {
        return Fate::failed(Why::Refused, &refused.reason, &refused.message);
    }
    if says("Stalled", "True").is_some() {
        return Fate::failed(Why::Stalled, &ready.reason, &ready.message);
    }
    Fate::underway(&ready.reason, &ready.message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn wanted() -> Wanted {
        Wanted::Artifact {
            repository: "registry.example/acme/shop".parse().unwrap(),
            tag: Some("prod".into()),
            digest: digest("new"),
        }
    }

    fn delivery(spec: Value, status: Value) -> Delivery {
        let mut whole = json!({"repository": "registry.example/acme/shop", "select": {"tag": "prod"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
        serde_json::from_value(json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"namespace": "shop", "name": "web", "generation": 2},
            "spec": whole, "status": status,
        }))
        .unwrap()
    }

    /// `Ready`, `Verified` and `Stalled`, and what was attempted and applied.
    fn status(ready: (&str, &str), verified: &str, stalled: &str, attempted: &str, applied: Option<&str>) -> Value {
        let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let applied = applied.map(|applied| {
            json!({"digest": digest(applied), "short": "x", "objects": digest("o"), "at": "2026-01-01T00:00:00Z"})
        });
        json!({
            "observedGeneration": 2,
            "conditions": [
                condition("Ready", ready.0, ready.1), condition("Verified", verified, "NoTrustedSignature"),
                condition("Stalled", stalled, ready.1),
            ],
            "lastAttempted": {"digest": digest(attempted), "tag": "prod", "at": "2026-01-01T00:00:00Z"},
            "lastApplied": applied,
        })
    }

    fn word(fate: &Fate) -> String {
        match fate {
            Fate::There => "there".to_owned(),
            Fate::Underway { reason, .. } => format!("… {reason}"),
            Fate::Failed { why, reason, .. } => format!("{} {reason}", why.as_str()),
        }
    }

    #[test]
    fn an_artifact_is_there_once_it_is_applied_and_ready() {
        let old = Some(digest("old"));
        let mut was_here = status(("True", "Applied"), "True", "False", "other", Some("other"));
        was_here["history"] = json!([{"digest": digest("new"), "verdict": "Applied", "at": "2026-01-01T00:00:00Z"}]);
        let mut behind = status(("True", "Applied"), "True", "False", "new", Some("new"));
        behind["observedGeneration"] = json!(1);
        for (what, status, first, expected) in [
            ("ready", status(("True", "Applied"), "True", "False", "new", Some("new")), old, "there"),
            ("another spec since", behind, old, "… Pending"),
            ("no controller", Value::Null, None, "… Pending"),
            ("the one before", status(("True", "Applied"), "True", "False", "old", Some("old")), old, "… NotSeen"),
            ("settling", status(("Unknown", "Progressing"), "True", "False", "new", Some("new")), old, "… Progressing"),
            ("frozen", status(("False", "Frozen"), "True", "False", "new", Some("old")), old, "… Frozen"),
            (
                "no answer",
                status(("False", "SourceUnavailable"), "Unknown", "False", "new", None),
                old,
                "… SourceUnavailable",
            ),
            (
                "refused",
                status(("False", "NoTrustedSignature"), "False", "True", "new", Some("old")),
                old,
                "refused NoTrustedSignature",
            ),
            (
                "not applied",
                status(("False", "ApplyFailed"), "True", "True", "new", Some("old")),
                old,
                "stalled ApplyFailed",
            ),
            (
                "unhealthy",
                status(("False", "HealthCheckFailed"), "True", "True", "new", Some("new")),
                old,
                "stalled HealthCheckFailed",
            ),
            ("held", status(("True", "Held"), "True", "False", "new", Some("old")), old, "held Held"),
            (
                "gone on",
                status(("True", "Applied"), "True", "False", "other", Some("other")),
                old,
                "superseded Superseded",
            ),
            (
                "gone on, refused",
                status(("False", "x"), "False", "True", "other", Some("old")),
                old,
                "superseded Superseded",
            ),
            ("refused is another", status(("False", "x"), "False", "True", "old", None), old, "… NotSeen"),
            ("gone on before", was_here, Some(digest("other")), "superseded Superseded"),
        ] {
            let found = fate(&delivery(json!({}), status), &wanted(), first, None, None);
            assert_eq!(word(&found), expected, "{what}");
        }
        let suspended = delivery(json!({"suspend": true}), Value::Null);
        assert_eq!(word(&fate(&suspended, &wanted(), None, None, None)), "suspended Suspended");
    }

    #[test]
    fn what_is_older_than_what_a_delivery_is_at_does_not_come_and_what_is_later_may() {
        let at = |applied: &str| status(("True", "Applied"), "True", "False", applied, Some(applied));
        let mut back = at("other");
        back["history"] = json!([{"digest": digest("new"), "verdict": "Applied", "at": "2026-01-01T00:00:00Z"}]);
        let refused = status(("False", "x"), "False", "True", "other", Some("old"));
        let (old, other) = (Some(digest("old")), Some(digest("other")));
        for (what, status, first, older, expected) in [
            ("never seen, and older", at("other"), other, Some(true), "superseded Superseded"),
            ("never seen, and later", at("other"), other, Some(false), "… NotSeen"),
            ("never seen, and nobody says", at("other"), other, None, "… NotSeen"),
            ("older than what is refused there", refused, other, Some(true), "superseded Superseded"),
            ("released again: a rollback", back.clone(), other, Some(false), "… NotSeen"),
            ("it has run", back, other, None, "superseded Superseded"),
            ("one in between", at("other"), old, Some(false), "… NotSeen"),
            ("it is there", at("new"), old, Some(true), "there"),
        ] {
            let found = fate(&delivery(json!({}), status), &wanted(), first, None, older);
            assert_eq!(word(&found), expected, "{what}");
        }
    }

    #[test]
    fn which_is_later_is_asked_only_of_what_is_another() {
        let at = |attempted: &str, applied| {
            let mut status = status(("True", "Applied"), "True", "False", attempted, applied);
            if applied.is_some() {
                status["lastApplied"]["statement"] = json!(digest("statement"));
            }
            at_another(&delivery(json!({}), status), &wanted())
        };
        assert_eq!(at("new", Some("old")), None);
        assert_eq!(at("other", Some("other")), Some((digest("other"), Some(digest("statement")))));
        assert_eq!(at("other", Some("old")), Some((digest("other"), None)));
        assert_eq!(at_another(&delivery(json!({}), Value::Null), &wanted()), None);
    }

    #[test]
    fn who_was_asked_to_look_now_is_judged_by_what_it_finds_then() {
        let mut refused = status(("False", "Unsigned"), "False", "True", "new", None);
        let looked =
            |status: &Value| word(&fate(&delivery(json!({}), status.clone()), &wanted(), None, Some("now"), None));
        assert_eq!(looked(&refused), "… Pending");
        refused["lastHandledReconcileAt"] = json!("now");
        assert_eq!(looked(&refused), "refused NoTrustedSignature");
    }

    #[test]
    fn a_delivery_alone_is_waited_for_whatever_it_selects() {
        for (status, expected) in [
            (status(("True", "Applied"), "True", "False", "any", Some("any")), "there"),
            (status(("True", "Held"), "True", "False", "any", Some("other")), "there"),
            (status(("False", "Denied"), "False", "True", "any", Some("other")), "refused NoTrustedSignature"),
            (status(("Unknown", "Progressing"), "True", "False", "any", None), "… Progressing"),
        ] {
            assert_eq!(word(&fate(&delivery(json!({}), status), &Wanted::Selected, None, None, None)), expected);
        }
    }

    #[test]
    fn only_those_who_could_take_it_are_waited_for() {
        for (spec, selects_it) in [
            (json!({}), true),
            (json!({"select": {"tag": "stage"}}), false),
            (json!({"select": {"semver": ">=1"}}), true),
            (json!({"select": {"digest": digest("new")}}), true),
            (json!({"select": {"digest": digest("old")}}), false),
            (json!({"repository": "registry.example/acme/other"}), false),
        ] {
            assert_eq!(selects(&delivery(spec.clone(), Value::Null), &wanted()), selects_it, "{spec}");
        }
        let Wanted::Artifact { repository, digest, .. } = wanted() else { return };
        let by_digest = Wanted::Artifact { repository, tag: None, digest };
        assert!(selects(&delivery(json!({"select": {"tag": "stage"}}), Value::Null), &by_digest));
    }
}
