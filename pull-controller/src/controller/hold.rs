//! An emergency hold: whether what was accepted before runs again in the place of what is selected. *pure*, but for the
//! verdict about what is held: *registry*
//!
//! ```text
//! asked ─policies, memory→ meant ─selected is higher?→ ended
//!                              └─judged as of now→ in force | pending | refused
//! ```

use jiff::Timestamp;
use sealift_apply::api::{HoldSpec, HoldState, HoldStatus};
use sealift_verify::{
    digest::Digest,
    hold::{Hold, NotHeld},
    memory::{Mark, Memory, Standing},
    policy::{Emergency, Selected},
};

use super::{
    judge::{Judge, Judged},
    report::Report,
    stop::{Stop, Verdict},
    verify::Freshness,
};

/// A hold that policies and memory allow, and the release it is to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meant {
    pub(super) hold: Hold,
    pub(super) mark: Mark,
}

/// What was found about a hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing: what was found last still holds.
    #[default]
    Unjudged,
    /// Nobody asks for one.
    Absent,
    /// Somebody does.
    Found { hold: Hold, state: HoldState, message: String },
}

impl Finding {
    fn of(hold: &Hold, state: HoldState, message: String) -> Self {
        Self::Found { hold: hold.clone(), state, message }
    }

    fn not(hold: &Hold, why: &NotHeld) -> Self {
        let state = if why.is_end() { HoldState::Ended } else { HoldState::Refused };
        Self::of(hold, state, why.to_string())
    }

    pub(super) fn is_in_force(&self) -> bool {
        matches!(self, Self::Found { state: HoldState::InForce, .. })
    }

    /// When what was found is another, if nothing else happens.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Found { hold, state: HoldState::InForce | HoldState::Pending, .. } => Some(hold.until),
            _ => None,
        }
    }

    /// What the status says of it. `since` moves only with what is said.
    pub(super) fn told(&self, previous: Option<&HoldStatus>, now: Timestamp) -> Option<HoldStatus> {
        let (hold, state, message) = match self {
            Self::Unjudged => return previous.cloned(),
            Self::Absent => return None,
            Self::Found { hold, state, message } => (hold.clone(), *state, message.clone()),
        };
        let Hold { digest, until, reason } = hold;
        let next = HoldStatus { state, digest, until, reason, message, since: now };
        Some(previous.filter(|last| last.is_same_but_for_when(&next)).cloned().unwrap_or(next))
    }
}

/// What is asked for, as far as policies and memory allow it; what was found stands in the second.
pub(super) fn meant(
    spec: Option<&HoldSpec>,
    policies: &Selected,
    memory: &Memory,
    now: Timestamp,
) -> (Option<Meant>, Finding) {
    let Some(hold) = spec.map(HoldSpec::asked) else { return (None, Finding::Absent) };
    let forbidding = policies.enforcing.iter().find(|policy| policy.release.emergency == Emergency::Forbid);
    let finding = match (memory.held(&hold, now), forbidding) {
        // That a hold is over is so whatever policies say by now.
        (Err(why), _) if why.is_end() => Finding::not(&hold, &why),
        (_, Some(policy)) => Finding::not(&hold, &NotHeld::Forbidden { policy: policy.name.clone() }),
        (Err(why), None) => Finding::not(&hold, &why),
        (Ok(mark), None) => return (Some(Meant { hold, mark: mark.clone() }), Finding::Unjudged),
    };
    (None, finding)
}

/// What runs: what is selected, what is held, or what ran so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Selected,
    Held,
    Kept,
}

/// Whether what is selected ends the hold.
fn ends(selected: Option<Standing>) -> bool {
    matches!(selected, Some(Standing::Advance | Standing::First))
}

/// What follows from the verdict about what is held; `None` is an acceptance.
fn course(held: Option<Verdict>) -> (Course, HoldState) {
    match held {
        None => (Course::Held, HoldState::InForce),
        Some(Verdict::Refused) => (Course::Selected, HoldState::Refused),
        Some(Verdict::CouldNotCheck | Verdict::Untouched) => (Course::Kept, HoldState::Pending),
    }
}

/// What runs while there is a hold, and whether it is the held release. A stop beside it says why what is selected does
/// not.
pub(super) async fn held(
    judge: &Judge<'_>,
    meant: &Meant,
    freshness: Freshness,
    selected: Result<Judged, Stop>,
    report: &mut Report,
) -> Result<(Judged, Option<Stop>), Stop> {
    let Meant { hold, mark } = meant;
    let stated = selected.as_ref().ok().and_then(|judged| judged.verified.grounds().stated());
    if let Some(stated) = stated.filter(|stated| ends(Some(stated.standing))) {
        let by = stated.statement.release.position();
        report.hold = Finding::not(hold, &NotHeld::Superseded { by });
        return selected.map(|judged| (judged, None));
    }
    let mut evidence = None;
    let outcome = judge.earlier(meant, freshness, &mut evidence).await;
    let (course, state) = course(outcome.as_ref().err().map(Stop::verdict));
    let said = match &outcome {
        Ok(_) => format!("release {} runs in the place of what was accepted last", mark.position),
        Err(stop) => stop.message(),
    };
    report.hold = Finding::of(hold, state, said);
    match (course, outcome) {
        (Course::Held, Ok(judged)) => {
            report.applied_evidence = evidence;
            let is_held = report.attempted.as_ref().is_some_and(|(digest, _): &(Digest, _)| *digest == mark.artifact);
            // That the very release which is held is older than the mark is what the hold is for.
            Ok((judged, selected.err().filter(|_| !is_held)))
        }
        (Course::Kept, Err(stop)) => Err(stop),
        _ => {
            report.held_evidence = evidence;
            selected.map(|judged| (judged, None))
        }
    }
}

#[cfg(test)]
mod tests;
