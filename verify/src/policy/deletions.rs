//! What a release may delete by no longer naming it: a budget, and kinds that are never deleted so.

use super::{
    Policy,
    matcher::{Globs, MatcherError},
    spec::{DeletionsSpec, MostSpec},
};
use crate::objects::ObjectId;

/// What one policy says about deletions.
#[derive(Clone, Debug)]
pub(super) struct DeletionRule {
    max: Option<MostSpec>,
    protected: Globs,
}

impl DeletionRule {
    pub(super) fn new(spec: &DeletionsSpec) -> Result<Self, MatcherError> {
        let DeletionsSpec { max, protected_kinds } = spec;
        Ok(Self { max: *max, protected: Globs::new(protected_kinds)? })
    }
}

/// What all enforcing policies say about deletions. The strictest decides: each of them must allow the whole plan.
#[derive(Clone, Debug, Default)]
pub struct DeletionRules(Vec<(String, DeletionRule)>);

/// Why a plan may not delete what it would delete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeletionRefused {
    /// More than the budget.
    #[error("{deleted} of {owned} objects would be deleted, and policy {policy} allows {allowed}")]
    TooMany {
        /// How many would be deleted.
        deleted: usize,
        /// Of how many.
        owned: usize,
        /// How many may be.
        allowed: usize,
        /// Whose budget it is.
        policy: String,
    },
    /// A kind that is never deleted so.
    #[error("{object} would be deleted, and policy {policy} protects its kind")]
    Protected {
        /// The object.
        object: String,
        /// Who protects it.
        policy: String,
    },
}

impl DeletionRules {
    /// The rules of these policies together.
    pub(crate) fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let rules = policies.into_iter().map(|policy| (policy.name.clone(), policy.deletions.clone()));
        Self(rules.filter(|(_, rule)| rule.max.is_some() || !rule.protected.is_empty()).collect())
    }

    /// True if a policy says how much may be deleted.
    pub fn have_budget(&self) -> bool {
        self.0.iter().any(|(_, rule)| rule.max.is_some())
    }

    /// Whether a plan may delete these objects of the `owned` ones that the Delivery owns before it, those to be deleted
    /// among them. Pure: nothing is counted from one plan to the next.
    ///
    /// A share is rounded down, but what is more than 0 % always allows one: or nothing could be renamed in a Delivery of
    /// a handful of objects.
    ///
    /// # Errors
    /// [`DeletionRefused`]: the plan may not be carried out, also not in part.
    pub fn judge(&self, deleted: &[ObjectId], owned: usize) -> Result<(), DeletionRefused> {
        for (policy, rule) in &self.0 {
            let kind = |id: &ObjectId| match id.group.as_str() {
                "" => id.kind.clone(),
                group => format!("{}.{group}", id.kind),
            };
            if let Some(id) = deleted.iter().find(|id| rule.protected.matches(&kind(id))) {
                return Err(DeletionRefused::Protected { object: id.to_string(), policy: policy.clone() });
            }
            let Some(allowed) = rule.max.map(|most| most_of(most, owned)) else { continue };
            if deleted.len() > allowed {
                let (deleted, policy) = (deleted.len(), policy.clone());
                return Err(DeletionRefused::TooMany { deleted, owned, allowed, policy });
            }
        }
        Ok(())
    }
}

fn most_of(most: MostSpec, owned: usize) -> usize {
    match most {
        MostSpec::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        MostSpec::Percent(0) => 0,
        MostSpec::Percent(share) => (owned.saturating_mul(usize::from(share)) / 100).max(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sigstore_crypto::KeyPair;

    use super::*;
    use crate::policy::tests::policy;

    fn rules(all: &[Value]) -> DeletionRules {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        let policies: Vec<_> = all
            .iter()
            .map(|rule| policy(&[("a", &key)], |v| v["spec"]["objects"]["deletions"] = rule.clone()).unwrap())
            .collect();
        DeletionRules::of(&policies)
    }

    fn ids(kind: &str, group: &str, count: usize) -> Vec<ObjectId> {
        let id = |n| ObjectId {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            namespace: Some("shop".into()),
            name: format!("n{n}"),
        };
        (0..count).map(id).collect()
    }

    #[test]
    fn a_budget_is_a_number_or_a_share_rounded_down_but_never_to_nothing() {
        for (max, owned, allowed) in [
            (json!(0), 50, 0),
            (json!(3), 50, 3),
            (json!("0%"), 50, 0),
            (json!("10%"), 50, 5),
            (json!("10%"), 59, 5),
            (json!("10%"), 9, 1),
            (json!("1%"), 1, 1),
            (json!("100%"), 7, 7),
        ] {
            let rules = rules(&[json!({"max": max})]);
            assert_eq!(rules.judge(&ids("ConfigMap", "", allowed), owned), Ok(()), "{max} of {owned}");
            let refused = rules.judge(&ids("ConfigMap", "", allowed + 1), owned);
            let expected = DeletionRefused::TooMany { deleted: allowed + 1, owned, allowed, policy: "test".into() };
            assert_eq!(refused, Err(expected), "{max} of {owned}");
        }
    }

    #[test]
    fn protected_kinds_are_never_deleted_however_large_the_budget() {
        let rules = rules(&[
            json!({"max": "100%", "protectedKinds": ["Namespace", "*.apiextensions.k8s.io", "PersistentVolume*"]}),
        ]);
        for (kind, group, refused) in [
            ("Namespace", "", true),
            ("PersistentVolumeClaim", "", true),
            ("CustomResourceDefinition", "apiextensions.k8s.io", true),
            ("Namespace", "other.example", false),
            ("ConfigMap", "", false),
        ] {
            assert_eq!(rules.judge(&ids(kind, group, 1), 10).is_err(), refused, "{kind}.{group}");
        }
    }

    #[test]
    fn every_policy_must_allow_the_whole_plan_and_none_allows_everything() {
        let both = rules(&[json!({"max": 5}), json!({"max": "2%"}), json!({"protectedKinds": ["Secret"]})]);
        assert!(matches!(both.judge(&ids("ConfigMap", "", 3), 100), Err(DeletionRefused::TooMany { allowed: 2, .. })));
        assert!(matches!(both.judge(&ids("ConfigMap", "", 6), 1000), Err(DeletionRefused::TooMany { allowed: 5, .. })));
        assert!(matches!(both.judge(&ids("Secret", "", 1), 1000), Err(DeletionRefused::Protected { .. })));
        assert_eq!(rules(&[json!({})]).judge(&ids("Secret", "", 10), 10), Ok(()));
    }

    #[test]
    fn what_is_no_budget_is_an_error() {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        for wrong in
            [json!("101%"), json!("10"), json!("-1%"), json!(-1), json!("%"), json!(1.5), json!("1.5%"), json!("+1%")]
        {
            let refused = policy(&[("a", &key)], |v| v["spec"]["objects"]["deletions"] = json!({"max": wrong}));
            assert!(refused.is_err(), "{wrong}");
        }
    }
}
