//! What is counted over all Deliveries, off their statuses, when somebody asks. *pure* but for the counters
//!
//! No series names a Delivery: their number would grow with the tenants and their names come from tenants. Whoever wants one
//! a Delivery has it from kube-state-metrics (`deploy/monitoring/kube-state-metrics.yaml`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use sealift_apply::api::{Delivery, DeliveryStatus, condition};

use super::{ByReadiness, Metrics, words};

/// What a Ready condition says: `true`, `false` or `unknown`, and why.
pub(super) type Standing = (&'static str, &'static str);

/// Counts the Deliveries as they are now.
pub fn count(deliveries: &[Arc<Delivery>], metrics: &Metrics, now: Timestamp) {
    metrics.deliveries(by_readiness(deliveries));
    metrics.standings(&standings(deliveries));
    let statuses = || deliveries.iter().filter_map(|delivery| delivery.status.as_ref());
    let refused = statuses().filter_map(|status| status.would_refuse_now.as_ref());
    metrics.would_refuse(refused.map(|refused| refused.reason.as_str()));
    metrics.frozen(deliveries.iter().filter(|delivery| is_frozen(delivery)).count());
    metrics.holds(statuses().filter_map(|status| status.hold.as_ref()).map(|hold| hold.state));
    metrics.differing(statuses().filter_map(|status| status.drift.as_ref()).map(|drift| drift.open).sum());
    metrics.managed(statuses().filter_map(|status| status.objects).sum());
    metrics.ages(&ages(statuses(), now));
}

fn by_readiness(deliveries: &[Arc<Delivery>]) -> ByReadiness {
    let mut by = ByReadiness::default();
    for delivery in deliveries {
        match standing(delivery).0 {
            "true" => by.ready += 1,
            "false" => by.not_ready += 1,
            _ => by.unknown += 1,
        }
    }
    by
}

fn standing(delivery: &Delivery) -> Standing {
    let conditions = delivery.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let Some(ready) = condition(conditions, "Ready") else { return ("unknown", words::OTHER) };
    let value = match ready.status.as_str() {
        "True" => "true",
        "False" => "false",
        _ => "unknown",
    };
    (value, words::known(&ready.reason))
}

/// True if a freeze, or that nobody knows whether there is one, keeps something from it.
fn is_frozen(delivery: &Delivery) -> bool {
    matches!(standing(delivery), ("false", "Frozen" | "FreezeUnknown"))
}

fn standings(deliveries: &[Arc<Delivery>]) -> BTreeMap<Standing, i64> {
    let mut counts = BTreeMap::new();
    for delivery in deliveries {
        *counts.entry(standing(delivery)).or_default() += 1;
    }
    counts
}

/// How long ago what runs was issued, shortest first; nothing of what no statement speaks of.
fn ages<'a>(statuses: impl Iterator<Item = &'a DeliveryStatus>, now: Timestamp) -> Vec<Duration> {
    let issued = statuses.filter_map(|status| status.last_applied.as_ref()?.issued_at);
    let mut ages: Vec<_> =
        issued.map(|issued| Duration::try_from(now.duration_since(issued)).unwrap_or_default()).collect();
    ages.sort_unstable();
    ages
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn delivery(status: Value) -> Arc<Delivery> {
        let spec = json!({"repository": "registry.example/app", "select": {"tag": "stable"}});
        let delivery = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": {"name": "a"}, "spec": spec, "status": status,
        });
        Arc::new(serde_json::from_value(delivery).unwrap())
    }

    fn ready(status: &str, reason: &str) -> Value {
        let since = "2026-01-01T00:00:00Z";
        json!([{"type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": since}])
    }

    #[test]
    fn deliveries_are_counted_by_how_they_are_and_how_old_what_runs_is() {
        let zero = format!("sha256:{}", "0".repeat(64));
        let applied = |issued: &str| json!({"digest": zero, "short": "000000000000", "objects": zero, "at": "2026-02-01T00:00:00Z", "issuedAt": issued});
        let deliveries = [
            delivery(
                json!({"conditions": ready("True", "Applied"), "objects": 7, "lastApplied": applied("2026-01-31T23:59:00Z")}),
            ),
            delivery(
                json!({"conditions": ready("True", "Applied"), "objects": 4, "lastApplied": applied("2026-01-31T23:00:00Z"),
                            "drift": {"open": 3}}),
            ),
            delivery(json!({"conditions": ready("True", "Stale"), "lastApplied": applied("2026-01-31T00:00:00Z")})),
            // A signer whose clock is ahead.
            delivery(json!({"conditions": ready("False", "Unsigned"), "lastApplied": applied("2026-02-02T00:00:00Z")})),
            delivery(json!({"conditions": ready("False", "whatever a tenant wrote")})),
            delivery(json!({"conditions": ready("False", "Frozen")})),
            delivery(json!({})),
        ];
        let metrics = Metrics::new();
        count(&deliveries, &metrics, "2026-02-01T00:00:00Z".parse().unwrap());
        let told = metrics.render().unwrap();
        for line in [
            r#"sealift_delivery_reasons{ready="true",reason="Applied"} 2"#,
            r#"sealift_delivery_reasons{ready="true",reason="Stale"} 1"#,
            r#"sealift_delivery_reasons{ready="false",reason="Unsigned"} 1"#,
            r#"sealift_delivery_reasons{ready="false",reason="Other"} 1"#,
            r#"sealift_delivery_reasons{ready="unknown",reason="Other"} 1"#,
            r#"sealift_deliveries{ready="true"} 3"#,
            "sealift_frozen 1",
            "sealift_drifted_objects 3",
            "sealift_managed_objects 11",
            r#"sealift_release_age_seconds{quantile="0.5"} 60.0"#,
            r#"sealift_release_age_seconds{quantile="0.9"} 86400.0"#,
            r#"sealift_release_age_seconds{quantile="1"} 86400.0"#,
        ] {
            assert!(told.lines().any(|other| other == line), "{line} is not in\n{told}");
        }
        assert!(!told.contains("tenant"), "{told}");

        // What was counted once is zero when it is over, not gone: an alert on it ends.
        count(&[], &metrics, Timestamp::UNIX_EPOCH);
        let told = metrics.render().unwrap();
        assert!(told.contains("sealift_delivery_reasons{ready=\"false\",reason=\"Unsigned\"} 0\n"), "{told}");
        assert!(!told.contains("sealift_release_age_seconds{"), "nothing runs: {told}");
    }
}
