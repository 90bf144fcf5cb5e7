//! A release whose way through this cluster is over: it was applied to the end, or refused. *pure*
//!
//! Each is one entry of a Delivery's history, and its record is what `sealift audit` shows.

use std::time::Duration;

use jiff::Timestamp;
use sealift_apply::api::{DeliveryStatus, HELD};

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was applied to the end.
    Applied,
    /// It was brought back by an emergency hold.
    Held,
    /// It was refused.
    Refused,
}

/// One release that was decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What became of it.
    pub verdict: Verdict,
    /// From when its statement says that it was issued until it was applied. Of what was issued after the Delivery was made
    /// only: of an older release it would say how old the Delivery is not.
    pub took: Option<Duration>,
}

impl Verdict {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Applied, Self::Held, Self::Refused];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }
}

impl Receipt {
    /// What a reconcile has brought to its end, if anything.
    pub fn of(previous: &DeliveryStatus, next: &DeliveryStatus, made: Option<Timestamp>) -> Option<Self> {
        let entry = next.history.first().filter(|entry| previous.history.first() != Some(entry))?;
        let verdict = match (entry.verdict.as_str(), entry.reason.as_deref()) {
            ("Refused", _) => Verdict::Refused,
            (_, Some(HELD)) => Verdict::Held,
            _ => Verdict::Applied,
        };
        let issued = next.last_applied.as_ref().filter(|_| verdict == Verdict::Applied).and_then(|last| last.issued_at);
        let issued = issued.filter(|issued| made.is_some_and(|made| *issued >= made));
        // A signer's clock may be ahead of ours.
        let took = issued.map(|issued| Duration::try_from(entry.at.duration_since(issued)).unwrap_or_default());
        Some(Self { verdict, took })
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use serde_json::{Value, json};

    use super::*;

    fn status(history: &[Value], issued: Option<&str>) -> DeliveryStatus {
        let zero = format!("sha256:{}", "0".repeat(64));
        let history: Vec<_> = history
            .iter()
            .map(|entry| {
                let mut entry = entry.clone();
                entry["digest"] = json!(zero);
                entry
            })
            .collect();
        let last =
            json!({"digest": zero, "short": "0", "objects": zero, "at": "2026-01-01T00:05:00Z", "issuedAt": issued});
        serde_json::from_value(json!({"history": history, "lastApplied": last})).unwrap()
    }

    #[test]
    fn a_release_is_counted_once_with_the_time_since_it_was_issued() {
        let at = "2026-01-01T00:05:00Z";
        let applied = json!({"verdict": "Applied", "at": at});
        let refused = json!({"verdict": "Refused", "reason": "Unsigned", "at": at});
        let held = json!({"verdict": "Applied", "reason": "Held", "at": at});
        let nothing = DeliveryStatus::default();
        let made = |text: &str| Some(text.parse().unwrap());
        let of = |before: &DeliveryStatus, entries: &[Value], issued, made| {
            Receipt::of(before, &status(entries, issued), made).map(|receipt| (receipt.verdict, receipt.took))
        };
        let (before, after) = (made("2025-12-31T00:00:00Z"), made("2026-01-02T00:00:00Z"));
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        let issued = Some("2026-01-01T00:02:00Z");
        assert_eq!(of(&nothing, from_ref(&applied), issued, before), Some((Verdict::Applied, minutes(3))));
        assert_eq!(
            of(&nothing, from_ref(&applied), Some("2026-01-01T00:06:00Z"), before),
            Some((Verdict::Applied, minutes(0)))
        );
        assert_eq!(
            of(&nothing, from_ref(&applied), issued, after),
            Some((Verdict::Applied, None)),
            "older than the Delivery"
        );
        assert_eq!(of(&nothing, from_ref(&applied), None, before), Some((Verdict::Applied, None)), "nothing is stated");
        assert_eq!(of(&nothing, from_ref(&refused), issued, before), Some((Verdict::Refused, None)));
        assert_eq!(of(&nothing, &[held], issued, before), Some((Verdict::Held, None)));
        let told = status(from_ref(&applied), issued);
        assert_eq!(of(&told, from_ref(&applied), issued, before), None, "it was counted");
        assert_eq!(of(&told, &[refused, applied], issued, before), Some((Verdict::Refused, None)));
        assert_eq!(of(&told, &[], issued, before), None);
    }
}
