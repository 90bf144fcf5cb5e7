//! An emergency hold: what stands in for the order of releases, and for nothing else. Signatures, deny lists, times,
//! objects and images are judged as of now.

use super::{Facts, payload::Payload};
use crate::{
    evidence::{CheckId, CheckResult, Evidence},
    hold::NotHeld,
    memory::{Mark, Memory},
    policy::{Emergency, Policy, Selected},
    refusal::Refusal,
};

/// The earlier release that is meant, if there is a hold.
///
/// # Errors
/// The row of the evidence that fails, and why.
pub(super) fn meant<'a>(facts: &Facts<'a>, selected: &Selected) -> Result<Option<&'a Mark>, (CheckId, Refusal)> {
    let Some(hold) = facts.hold else { return Ok(None) };
    if let Some(refusal) = selected.enforcing.iter().find_map(|policy| forbidden(policy)) {
        return Err((CheckId::Hold, refusal));
    }
    let found = facts.memory.map_or(Err(NotHeld::Unknown { digest: hold.digest }), |m| m.held(hold, facts.now));
    found.map(Some).map_err(|why| (CheckId::Hold, Refusal::Hold(why)))
}

/// That a policy does not let anybody go back without a signature.
pub(super) fn forbidden(policy: &Policy) -> Option<Refusal> {
    let forbidden = || Refusal::Hold(NotHeld::Forbidden { policy: policy.name.clone() });
    (policy.release.emergency == Emergency::Forbid).then(forbidden)
}

/// Of what is trusted, the very statement that was accepted then. Others may have been attached since.
pub(super) fn among(
    mark: &Mark,
    payloads: Vec<Payload>,
    seen: usize,
    selected: &Selected,
) -> Result<Vec<Payload>, Refusal> {
    let found: Vec<_> = payloads.into_iter().filter(|payload| payload.digest == mark.statement).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let policy = selected.enforcing.first().map(|policy| policy.name.clone()).unwrap_or_default();
    let unmet = format!("on statement {}, by which it was accepted", mark.statement);
    Err(Refusal::NoTrustedSignature { seen, policy, unmet })
}

/// What the rows say of the order.
pub(super) fn rows(mark: &Mark, facts: &Facts<'_>, evidence: &mut Evidence) {
    let Some(hold) = facts.hold else { return };
    let current = |memory: &Memory| memory.mark(&mark.stream, mark.environment.as_deref()).map(|mark| mark.position);
    evidence.previous = facts.memory.and_then(current);
    evidence.set(CheckId::Memory, CheckResult::NotChecked, "an emergency hold stands in for the order of releases");
    let stays = evidence.previous.unwrap_or_default();
    let detail = format!("at {} until {}, the mark stays at {stays}: {}", mark.position, hold.until, hold.reason);
    evidence.pass(CheckId::Hold, detail);
}
