//! How much one release may delete by no longer naming it: what policies say, and what holds where none says anything.

use sealift_verify::{
    objects::ObjectId,
    policy::{DeletionRefused, DeletionRules},
};

/// So many objects any release may delete.
const FEW: usize = 10;

/// Why a release may not delete what it would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// By a policy.
    #[error(transparent)]
    Policy(DeletionRefused),
    /// By what holds without a policy's budget.
    #[error(
        "{deleted} of {owned} objects would be deleted: more than {FEW} and more than half, which a policy must allow with objects.deletions.max"
    )]
    Most {
        /// How many would be deleted.
        deleted: usize,
        /// Of how many.
        owned: usize,
    },
}

/// Judges all deletions of a release at once, before the first of its writes.
///
/// Where no policy sets a budget, a release that deletes more than ten objects and more than half of what the Delivery owns
/// is taken for one that was packed wrongly.
///
/// # Errors
/// [`OverBudget`]: nothing of the release may be applied.
pub fn judge(rules: &DeletionRules, deleted: &[ObjectId], owned: usize) -> Result<(), OverBudget> {
    rules.judge(deleted, owned).map_err(OverBudget::Policy)?;
    let deleted = deleted.len();
    if !rules.have_budget() && deleted > FEW && deleted.saturating_mul(2) > owned {
        return Err(OverBudget::Most { deleted, owned });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<ObjectId> {
        let id = |n| ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some("shop".into()),
            name: format!("n{n}"),
        };
        (0..count).map(id).collect()
    }

    #[test]
    fn without_a_budget_most_of_many_is_too_much() {
        for (deleted, owned, allowed) in [
            (0, 0, true),
            (10, 10, true),
            (11, 11, false),
            (11, 22, true),
            (11, 21, false),
            (500, 1000, true),
            (501, 1000, false),
        ] {
            let answer = judge(&DeletionRules::default(), &ids(deleted), owned);
            assert_eq!(answer.is_ok(), allowed, "{deleted} of {owned}");
        }
    }
}
