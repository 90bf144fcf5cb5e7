//! One Event for each change of verdict or applied release. *pure*

use kube::runtime::events::{Event, EventType};
use sealift_apply::api::{Condition, DeliveryStatus, HoldState, HoldStatus, condition};

use super::status::{PROGRESSING, READY};

/// The API server refuses a longer note.
const NOTE_LIMIT: usize = 1000;

/// What there is to tell, if anything: a repetition is none. `done` is what was done to objects, in words.
pub(super) fn news(previous: &DeliveryStatus, next: &DeliveryStatus, done: Option<&str>) -> Option<Event> {
    let ready = condition(&next.conditions, READY)?;
    let word = |condition: &Condition| (condition.status.clone(), condition.reason.clone());
    let turned = condition(&previous.conditions, READY).map(word) != Some(word(ready));
    let digest = |status: &DeliveryStatus| status.last_attempted.as_ref().map(|last| last.digest);
    let other = ready.status == "False" && digest(previous) != digest(next);
    let applied =
        |status: &DeliveryStatus| status.last_applied.as_ref().map(|last| (last.digest, last.statement, last.objects));
    let released = applied(previous) != applied(next);
    if ready.reason == PROGRESSING && !released || !(turned || other || released) {
        return None;
    }
    let changes = done.map(|done| format!(" ({done})")).unwrap_or_default();
    Some(Event {
        type_: if ready.status == "False" { EventType::Warning } else { EventType::Normal },
        reason: ready.reason.clone(),
        note: Some(cut(format!("{}{changes}", ready.message))),
        // A repetition of the same action and reason only raises a count, and its note is lost: another artifact is
        // another action.
        action: digest(next).map_or_else(|| "Deliver".to_owned(), |digest| format!("Deliver-{}", digest.short())),
        secondary: None,
    })
}

/// What runs would be refused from now on, or no longer, though it is still the same.
pub(super) fn standing(previous: &DeliveryStatus, next: &DeliveryStatus) -> Option<Event> {
    let (reason, note, at) = match (&previous.would_refuse_now, &next.would_refuse_now) {
        (before, Some(now)) if before.as_ref().is_none_or(|before| before.reason != now.reason) => {
            let note = format!("what is applied would be refused now ({}): {}", now.reason, now.message);
            ("WouldRefuseNow", note, now)
        }
        (Some(before), None) => ("AcceptedAgain", "what is applied would be accepted now".to_owned(), before),
        _ => return None,
    };
    Some(Event {
        type_: if reason == "AcceptedAgain" { EventType::Normal } else { EventType::Warning },
        reason: reason.to_owned(),
        note: Some(cut(note)),
        action: format!("Judge-{}-{}", at.reason, at.since.as_second()),
        secondary: None,
    })
}

/// An emergency hold begins, ends or is refused.
pub(super) fn hold(previous: &DeliveryStatus, next: &DeliveryStatus) -> Option<Event> {
    let what = |hold: &HoldStatus| (hold.state, hold.digest, hold.until);
    let now = next.hold.as_ref().filter(|now| previous.hold.as_ref().map(what) != Some(what(now)));
    let (type_, reason, hold, note) = match (&previous.hold, now) {
        (_, Some(hold)) => {
            let (type_, reason) = match hold.state {
                HoldState::InForce => (EventType::Warning, "EmergencyHold"),
                HoldState::Pending => (EventType::Warning, "HoldPending"),
                HoldState::Refused => (EventType::Warning, "HoldRefused"),
                HoldState::Ended => (EventType::Normal, "HoldEnded"),
            };
            let HoldStatus { digest, until, reason: why, message, .. } = hold;
            (type_, reason, hold, format!("hold at {digest} until {until} ({why}): {message}"))
        }
        (Some(hold), None) if next.hold.is_none() && matches!(hold.state, HoldState::InForce | HoldState::Pending) => {
            (EventType::Normal, "HoldEnded", hold, "the hold was taken back".to_owned())
        }
        _ => return None,
    };
    Some(Event {
        type_,
        reason: reason.to_owned(),
        note: Some(cut(note)),
        action: format!("Hold-{}-{}", hold.digest.short(), hold.until.as_second()),
        secondary: None,
    })
}

/// A look that made no progress was ended.
pub(super) fn stalled(step: &str, silence: u64) -> Event {
    Event {
        type_: EventType::Warning,
        reason: "Stalled".to_owned(),
        note: Some(format!("no progress for {silence} seconds at {step}; the reconcile was ended and is tried again")),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// Cut to what the API server takes.
pub(crate) fn cut(mut note: String) -> String {
    let end = (0..=note.len().min(NOTE_LIMIT)).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
    note.truncate(end);
    note
}
