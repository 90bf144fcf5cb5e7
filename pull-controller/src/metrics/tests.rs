//! Every name, once counted, in the text that Prometheus reads.

use std::time::Duration;

use sealift_apply::api::{DriftState, HoldState};

use super::*;
use crate::{controller::ByState, queue::Depth};

#[test]
fn names_are_the_documented_ones() {
    let metrics = Metrics::new();
    metrics.reconciled(Outcome::Changed, Duration::from_millis(20));
    metrics.verdict("Unsigned");
    metrics.changed(&ChangeSet::default());
    metrics.requested("ok");
    metrics.deliveries(ByReadiness { ready: 2, ..ByReadiness::default() });
    metrics.would_refuse(["Denied", "Denied", "a tenant wrote this"].into_iter());
    metrics.holds([HoldState::InForce, HoldState::InForce, HoldState::Refused].into_iter());
    metrics.holds([HoldState::InForce].into_iter());
    metrics.frozen(3);
    metrics.trust_root_age(60);
    metrics.freezes(ByState { in_force: 1, ..ByState::default() });
    metrics.audited("written");
    metrics.drifted(DriftState::Contended);
    metrics.turn(crate::queue::Reason::Due.into(), Duration::from_millis(3));
    metrics.queue(Depth { waiting: 4, running: 2, later: 1 });
    metrics.stalled(Stalled::Reconcile);
    metrics.resolved(Resolve::Followed);
    metrics.followed(3);
    metrics.cached("layers", 10);
    metrics.shards(3, 85);
    metrics.shards_taken(TakenFrom::Gone, 42);
    metrics.lease_lost();
    metrics.notified(Notified::Repeated);
    metrics.notifications_pending(2);
    metrics.hinted(Hinted::Limited);
    let text = metrics.render().unwrap();
    for line in [
        "sealift_reconcile_total{outcome=\"changed\"} 1",
        "sealift_verdict_total{reason=\"Unsigned\"} 1",
        "sealift_reconcile_seconds_count 1",
        "sealift_deliveries{ready=\"true\"} 2",
        "sealift_applied_objects_total{action=\"created\"} 0",
        "sealift_registry_requests_total{result=\"ok\"} 1",
        "sealift_would_refuse{reason=\"Denied\"} 2",
        "sealift_would_refuse{reason=\"Other\"} 1",
        "sealift_would_refuse{reason=\"Unsigned\"} 0",
        "sealift_holds{state=\"in_force\"} 1",
        "sealift_holds{state=\"refused\"} 0",
        "sealift_frozen 3",
        "sealift_trust_root_age_seconds 60",
        "sealift_freezes{state=\"in_force\"} 1",
        "sealift_freezes{state=\"unknown\"} 0",
        "sealift_drift_total{result=\"contended\"} 1",
        "sealift_audit_lines_total{result=\"written\"} 1",
        "sealift_queue{state=\"waiting\"} 4",
        "sealift_queue_wait_seconds_count 1",
        "sealift_wake_total{reason=\"due\"} 1",
        "sealift_stalls_total{what=\"reconcile\"} 1",
        "sealift_resolves_total{how=\"followed\"} 1",
        "sealift_followed_tags 3",
        "sealift_cache_bytes{cache=\"layers\"} 10",
        "sealift_shard_members 3",
        "sealift_shards 85",
        "sealift_shards_taken_total{from=\"gone\"} 42",
        "sealift_leases_lost_total 1",
        "sealift_notifications_total{result=\"repeated\"} 1",
        "sealift_notifications_pending 2",
        "sealift_hints_total{result=\"limited\"} 1",
        "sealift_build_info{version=",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
