//! How old the trust roots of the cluster are. *pure*
//!
//! Sigstore instances rotate their keys: a root that nobody fetches any more knows neither new keys nor that old ones were
//! withdrawn, and one day signatures by new keys are refused everywhere at once.

use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::events::{Event, EventType};
use sealift_verify::sigstore::{BUILT_IN_SINCE, PUBLIC_GOOD};
use serde_json::Value;

/// A root that was not fetched for so long is told of.
pub(crate) const OLD: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// A trust root, and when it was last known to be what its instance distributes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fetched {
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
    pub(crate) at: Timestamp,
}

impl Fetched {
    /// When a TrustRoot says that it was fetched; one that does not say is as old as its object.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let said = object["spec"]["fetchedAt"].as_str().and_then(|text| text.parse().ok());
        let made = || metadata["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
        Some(Self {
            name: metadata["name"].as_str()?.to_owned(),
            uid: metadata["uid"].as_str().map(str::to_owned),
            at: said.or_else(made)?,
        })
    }

    /// The root that the program has brought along, as it was then.
    pub(crate) fn built_in() -> Self {
        Self { name: PUBLIC_GOOD.to_owned(), uid: None, at: BUILT_IN_SINCE }
    }

    pub(crate) fn is_old(&self, now: Timestamp) -> bool {
        Duration::try_from(now.duration_since(self.at)).is_ok_and(|age| age > OLD)
    }

    /// What the Event about an old one says.
    pub(crate) fn event(&self) -> Event {
        let days = OLD.as_secs() / 86_400;
        Event {
            type_: EventType::Warning,
            reason: "TrustRootOld".to_owned(),
            note: Some(format!(
                "TrustRoot {} is of {}, more than {days} days ago: `sealift trust update` fetches it anew, to be shipped as a signed release",
                self.name, self.at
            )),
            action: "Read".to_owned(),
            secondary: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_root_is_as_old_as_it_says_or_as_its_object() {
        let (made, now) = ("2026-01-01T00:00:00Z", "2026-03-02T00:00:01Z".parse().unwrap());
        let fetched = |spec: Value, made: Value| {
            Fetched::of(&json!({"metadata": {"name": "a", "creationTimestamp": made}, "spec": spec}))
        };
        for (what, spec, made, old) in [
            ("no word of it", json!({}), json!(made), Some(true)),
            ("a day less", json!({"fetchedAt": "2026-01-02T00:00:00Z"}), json!(made), Some(false)),
            ("older than its object", json!({"fetchedAt": "2025-12-31T00:00:00Z"}), json!(made), Some(true)),
            ("what cannot be read", json!({"fetchedAt": "lately"}), json!(made), Some(true)),
            ("from a clock that is ahead", json!({"fetchedAt": "2027-01-01T00:00:00Z"}), json!(made), Some(false)),
            ("neither", json!({}), Value::Null, None),
        ] {
            assert_eq!(fetched(spec, made).map(|fetched| fetched.is_old(now)), old, "{what}");
        }
        let event = fetched(json!({}), json!(made)).unwrap().event();
        let note = event.note.unwrap();
        assert!(note.contains("TrustRoot a ") && note.contains("more than 60 days ago"), "{note}");
    }
}
