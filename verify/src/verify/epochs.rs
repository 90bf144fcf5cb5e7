//! Who may raise the epoch: the counter of one key is not reset by that key.

use super::payload::Payload;
use crate::{
    evidence::CheckResult,
    memory::Memory,
    policy::{Policy, Selected},
    refusal::Refusal,
    statement::Statement,
};

/// The epoch that nobody needs to raise: that of the release accepted last, or else the policy's minimum.
pub(super) fn reached(policy: &Policy, statement: &Statement, memory: &Memory) -> u64 {
    let release = &statement.release;
    let mark = memory.mark(&release.stream, release.environment.as_deref());
    let minimum = policy.release.minimum.map_or(0, |minimum| minimum.epoch);
    mark.map_or(minimum, |mark| mark.position.epoch)
}

/// Why a statement of a higher epoch does not count, if this policy says who raises it and they have not signed it.
/// Without a memory nobody knows whether an epoch is a higher one.
pub(super) fn refused(
    policy: &Policy,
    payload: &Payload,
    statement: &Statement,
    memory: Option<&Memory>,
) -> Option<Refusal> {
    let require = policy.epochs.as_ref()?;
    let reached = reached(policy, statement, memory?);
    let raised = statement.release.epoch > reached && !require.is_met(&payload.signers(policy));
    raised.then(|| Refusal::EpochRaised {
        epoch: statement.release.epoch,
        reached,
        policy: policy.name.clone(),
        unmet: require.to_string(),
    })
}

/// The row of the evidence about a statement that no policy refuses for its epoch.
pub(super) fn row(statement: &Statement, selected: &Selected, memory: Option<&Memory>) -> (CheckResult, String) {
    let epoch = statement.release.epoch;
    let asked: Vec<_> = selected.enforcing.iter().filter(|policy| policy.epochs.is_some()).collect();
    let Some(memory) = memory.filter(|_| !asked.is_empty()) else {
        return match asked.is_empty() {
            true => (CheckResult::NotPresent, "no policy says who raises it".to_owned()),
            false => (CheckResult::NotChecked, "no memory of trust was given".to_owned()),
        };
    };
    let reached = asked.iter().map(|policy| reached(policy, statement, memory)).min().unwrap_or_default();
    let detail = match epoch > reached {
        true => format!("{reached} → {epoch}, signed by those who raise it"),
        false => format!("{epoch}, not raised"),
    };
    (CheckResult::Pass, detail)
}
