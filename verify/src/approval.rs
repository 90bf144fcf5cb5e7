//! Approvals: a signed statement that a plan, known by its digest, may be carried out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{attestation, digest::Digest, reference::Pinned};

/// The predicate type of an approval.
pub const PREDICATE_TYPE: &str = "https://sealift.dev/approval/v1";

/// What an approval says of the artifact that is its subject. A field that is not known here could be a condition, so it is
/// an error and the approval counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// Digest of the plan: what is done to which object, and the objects as they are applied.
    pub plan: Digest,
    /// The one Delivery it is meant for, `NAMESPACE/NAME`; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Not to be acted on later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Approval {
    /// The bytes to sign: an in-toto statement about this artifact.
    pub fn to_payload(&self, artifact: &Pinned) -> Vec<u8> {
        attestation::to_payload(artifact, PREDICATE_TYPE, self)
    }
}

/// Which plans are approved, for each policy that demands it. Those whose time was over are not among them.
#[derive(Clone, Debug, Default)]
pub struct Approvals(pub(crate) Vec<Demanded>);

/// What one policy demands and has.
#[derive(Clone, Debug)]
pub(crate) struct Demanded {
    pub(crate) policy: String,
    /// Its threshold, in words.
    pub(crate) require: String,
    /// The approvals that meet it.
    pub(crate) approved: Vec<Approval>,
}

/// Why a plan may not be carried out yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy {policy} wants plan {plan} approved ({require})")]
pub struct NotApproved {
    /// The policy.
    pub policy: String,
    /// The plan that is not approved.
    pub plan: Digest,
    /// Whose approval it takes.
    pub require: String,
}

impl Approvals {
    /// True if a policy demands that plans be approved.
    pub fn are_demanded(&self) -> bool {
        !self.0.is_empty()
    }

    /// The plans that are approved for one policy at least and this Delivery, each with when that ends.
    pub fn plans(&self, delivery: &str) -> BTreeMap<Digest, Option<Timestamp>> {
        let all = self.0.iter().flat_map(|demanded| &demanded.approved);
        all.filter(|approval| is_for(approval, delivery)).map(|approval| (approval.plan, approval.expires_at)).collect()
    }

    /// Whether a plan may be carried out on `delivery`, written `NAMESPACE/NAME`: every policy that demands approval has
    /// one of this very plan, that is meant for this Delivery or any, and has not run out.
    ///
    /// # Errors
    /// [`NotApproved`], naming the first policy that has none. Nothing of the plan may be carried out.
    pub fn judge(&self, plan: &Digest, delivery: &str, now: Timestamp) -> Result<(), NotApproved> {
        let approves = |approval: &Approval| {
            approval.plan == *plan && is_for(approval, delivery) && approval.expires_at.is_none_or(|end| now <= end)
        };
        match self.0.iter().find(|demanded| !demanded.approved.iter().any(approves)) {
            None => Ok(()),
            Some(Demanded { policy, require, .. }) => {
                Err(NotApproved { policy: policy.clone(), plan: *plan, require: require.clone() })
            }
        }
    }
}

fn is_for(approval: &Approval, delivery: &str) -> bool {
    approval.delivery.as_deref().is_none_or(|meant| meant == delivery)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn demanded(policy: &str, approved: Vec<Approval>) -> Demanded {
        Demanded { policy: policy.into(), require: "needs 1 of [lead]".into(), approved }
    }

    #[test]
    fn every_policy_that_demands_it_has_an_approval_of_this_very_plan_for_this_delivery_and_now() {
        let (plan, other) = (Digest::of(b"plan"), Digest::of(b"other"));
        let approval = |delivery: Option<&str>, end: Option<i64>| Approval {
            plan,
            delivery: delivery.map(str::to_owned),
            expires_at: end.map(at),
        };
        for (approvals, approved) in [
            (vec![], true),
            (vec![demanded("a", vec![])], false),
            (vec![demanded("a", vec![approval(None, None)])], true),
            (vec![demanded("a", vec![approval(Some("shop/web"), Some(100))])], true),
            (vec![demanded("a", vec![approval(Some("shop/other"), None)])], false),
            (vec![demanded("a", vec![approval(None, Some(99))])], false),
            (vec![demanded("a", vec![approval(None, Some(99)), approval(None, None)])], true),
            (vec![demanded("a", vec![approval(None, None)]), demanded("b", vec![])], false),
        ] {
            let approvals = Approvals(approvals);
            assert_eq!(approvals.judge(&plan, "shop/web", at(100)).is_ok(), approved, "{approvals:?}");
            assert_eq!(approvals.judge(&other, "shop/web", at(100)).is_ok(), !approvals.are_demanded());
        }
    }

    #[test]
    fn a_field_that_is_not_known_may_be_a_condition_and_is_an_error() {
        let plan = Digest::of(b"plan").to_string();
        assert!(serde_json::from_value::<Approval>(json!({"plan": plan})).is_ok());
        assert!(serde_json::from_value::<Approval>(json!({"plan": plan, "cluster": "east"})).is_err());
        assert!(serde_json::from_value::<Approval>(json!({})).is_err());
    }
}
