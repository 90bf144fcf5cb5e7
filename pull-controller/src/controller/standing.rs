//! How what is applied would fare if it came now. *pure*
//!
//! A changed policy wakes every Delivery, and each judges what it has applied as anew. What would be refused is told; it
//! is never taken down for it.

use jiff::Timestamp;
use sealift_apply::api::WouldRefuse;
use sealift_verify::{
    policy::{OnRevocation, Selected},
    refusal::{Reason, Refusal},
};

use super::stop::{Stop, chain};

/// What was found about what is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: the last finding still holds.
    #[default]
    Unjudged,
    /// It would be accepted.
    Accepted,
    /// It would be refused.
    Refused {
        /// The stable reason.
        reason: &'static str,
        /// The refusal in words.
        message: String,
    },
}

impl Standing {
    /// What a stop says about the artifact it was met on. No answer is no refusal, and neither is a value in the Delivery's
    /// own hand.
    pub(super) fn of(stop: &Stop) -> Self {
        match stop {
            Stop::Refused(refusal) if refusal.is_undecided() || refusal.reason() == Reason::BadParameter => {
                Self::Unjudged
            }
            Stop::Refused(_) | Stop::PolicyInvalid { .. } => {
                Self::Refused { reason: stop.reason(), message: chain(stop) }
            }
            _ => Self::Unjudged,
        }
    }

    /// What the status says of it. `since` is when it began, so that a second reason is no new beginning.
    pub(super) fn told(&self, previous: Option<&WouldRefuse>, now: Timestamp) -> Option<WouldRefuse> {
        match self {
            Self::Unjudged => previous.cloned(),
            Self::Accepted => None,
            Self::Refused { reason, message } => Some(WouldRefuse {
                reason: (*reason).to_owned(),
                message: message.clone(),
                since: previous.map_or(now, |previous| previous.since),
            }),
        }
    }
}

/// True if trust was withdrawn. A policy that cannot be used, or none at all, withdraws nothing from anybody.
pub(super) fn is_revocation(refusal: &Refusal) -> bool {
    matches!(refusal.reason(), Reason::Denied | Reason::NoTrustedSignature)
}

/// True if trust in what runs was withdrawn before, and the registry now has no signature at all: whoever holds it would
/// else take a revocation back by deleting what was revoked. An acceptance ends it, and so does any other refusal.
pub(super) fn is_gone_with_its_trust(
    refusal: &Refusal,
    selected: Option<&Refusal>,
    before: Option<&WouldRefuse>,
) -> bool {
    let withdrawn = [Reason::Denied, Reason::NoTrustedSignature];
    let known = before.is_some_and(|before| withdrawn.iter().any(|reason| reason.as_str() == before.reason));
    refusal.reason() == Reason::Unsigned && (known || selected.is_some_and(is_revocation))
}

/// The enforcing policy by which a revoked release is suspended, if any of them says so.
pub(super) fn suspending(policies: &Selected) -> Option<&str> {
    let suspends = policies.enforcing.iter().find(|policy| policy.release.on_revocation == OnRevocation::Suspend);
    suspends.map(|policy| policy.name.as_str())
}

#[cfg(test)]
mod tests {
    use sealift_verify::digest::Digest;

    use super::*;

    fn denied() -> Refusal {
        Refusal::Denied { policy: "prod".into(), what: "key".into() }
    }

    #[test]
    fn since_outlives_a_change_of_reason_and_ends_with_acceptance() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = Standing::of(&Stop::Refused(denied())).told(None, at(1)).unwrap();
        assert_eq!((first.reason.as_str(), first.since), ("Denied", at(1)));
        let invalid = Stop::PolicyInvalid { policy: "p".into(), problem: "x".into() };
        let second = Standing::of(&invalid).told(Some(&first), at(2)).unwrap();
        assert_eq!((second.reason.as_str(), second.since), ("PolicyInvalid", at(1)));
        assert_eq!(Standing::Unjudged.told(Some(&second), at(3)), Some(second.clone()));
        assert_eq!(Standing::Accepted.told(Some(&second), at(4)), None);
    }

    #[test]
    fn no_answer_and_the_deliverys_own_values_say_nothing_about_what_runs() {
        let parameter = Refusal::BadParameter { name: "A".into(), problem: "x".into() };
        for refusal in [Refusal::TooManySignatures { seen: 64 }, parameter] {
            assert_eq!(Standing::of(&Stop::Refused(refusal)), Standing::Unjudged);
        }
        assert_eq!(Standing::of(&Stop::NoServiceAccount), Standing::Unjudged);
    }

    #[test]
    fn a_signature_that_is_deleted_takes_no_revocation_back() {
        let gone = Refusal::Unsigned(Digest::of(b""));
        let told = |refusal| Standing::of(&Stop::Refused(refusal)).told(None, Timestamp::UNIX_EPOCH);
        let before = told(denied());
        assert!(is_gone_with_its_trust(&gone, None, before.as_ref()), "it was told before");
        assert!(is_gone_with_its_trust(&gone, Some(&denied()), None), "the very artifact that is selected is denied");
        assert!(!is_gone_with_its_trust(&gone, None, None) && !is_gone_with_its_trust(&gone, Some(&gone), None));
        assert!(!is_gone_with_its_trust(&gone, None, told(gone.clone()).as_ref()), "never revoked, only gone");
        assert!(!is_gone_with_its_trust(&Refusal::Expired(Timestamp::UNIX_EPOCH), None, before.as_ref()));
    }

    #[test]
    fn only_withdrawn_trust_is_a_revocation() {
        let untrusted = Refusal::NoTrustedSignature { seen: 1, policy: "p".into(), unmet: "x".into() };
        assert!(is_revocation(&denied()) && is_revocation(&untrusted));
        let repository = "registry.example/app".parse().unwrap();
        for refusal in [
            Refusal::NoPolicy { repository, namespace: None },
            Refusal::UnknownAuthority { policy: "p".into(), authority: "a".into() },
            Refusal::Unsigned(Digest::of(b"")),
            Refusal::Expired(Timestamp::UNIX_EPOCH),
        ] {
            assert!(!is_revocation(&refusal), "{refusal}");
        }
    }
}
