//! A release that was applied and has not settled: what another look at its health needs, and nothing more. *pure*

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sealift_apply::{
    api::{Delivery, LastApplied},
    assess::HealthReport,
};
use sealift_verify::{digest::Digest, evidence::Evidence, objects::ObjectId};

use super::{about, policies::Policies, report::Report};

/// What a full reconcile found, kept until its interval is over or something it was based on changes.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    generation: Option<i64>,
    requested: Option<String>,
    policies: Arc<Policies>,
    until: Instant,
    /// How many were healthy when it was last looked.
    healthy: usize,
    /// The others.
    pub(super) ids: Vec<ObjectId>,
    attempted: Option<(Digest, Option<String>)>,
    evidence: Option<Evidence>,
    applied: Option<LastApplied>,
    objects: Option<usize>,
}

impl Awaited {
    /// What to look at after a full reconcile; `None` if objects were held back, since what they wait for is the plan's
    /// to judge.
    pub(super) fn after(
        delivery: &Delivery,
        interval: Duration,
        policies: &Arc<Policies>,
        report: &Report,
    ) -> Option<Self> {
        let Report { attempted, evidence, applied, objects, changes, health, .. } = report;
        let HealthReport { healthy, rest } = health.as_ref()?;
        changes.waiting.is_empty().then(|| Self {
            generation: delivery.metadata.generation,
            requested: about(delivery).requested.map(str::to_owned),
            policies: Arc::clone(policies),
            until: Instant::now() + interval,
            healthy: *healthy,
            ids: rest.iter().map(|(id, _)| id.clone()).collect(),
            attempted: attempted.clone(),
            evidence: evidence.clone(),
            applied: applied.clone(),
            objects: *objects,
        })
    }

    /// True if a look at health tells all there is to tell: nothing else has changed since.
    pub(super) fn still_stands(&self, delivery: &Delivery, policies: &Arc<Policies>) -> bool {
        self.generation == delivery.metadata.generation
            && self.requested.as_deref() == about(delivery).requested
            && Arc::ptr_eq(&self.policies, policies)
            && Instant::now() < self.until
    }

    /// How long a look at health may still stand in for one at everything.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The report of a look at those that were not healthy, and what to look at next time; `None` if it calls for more.
    ///
    /// What is gone may be put right, or have been removed on purpose: that is the plan's to judge. So is what is broken where
    /// objects are not `followed`: elsewhere a difference from what was applied is told by itself. There also, once all
    /// is settled a last plan takes note of what the cluster's own controllers have done to the objects.
    pub(super) fn looked(&self, health: HealthReport, followed: bool) -> Option<(Self, Report)> {
        let health = HealthReport { healthy: self.healthy + health.healthy, ..health };
        if health.is_incomplete() || !followed && (health.is_degraded() || health.is_healthy()) {
            return None;
        }
        let next = Self {
            healthy: health.healthy,
            ids: health.rest.iter().map(|(id, _)| id.clone()).collect(),
            ..self.clone()
        };
        let report = Report {
            attempted: self.attempted.clone(),
            evidence: self.evidence.clone(),
            applied: self.applied.clone(),
            objects: self.objects,
            health: Some(health),
            ..Report::default()
        };
        Some((next, report))
    }
}

#[cfg(test)]
mod tests {
    use sealift_apply::health::Health;

    use super::*;

    fn found(health: &[Health]) -> HealthReport {
        let mut report = HealthReport::default();
        for (at, health) in health.iter().enumerate() {
            let (group, version, kind) = ("apps".into(), "v1".into(), "Deployment".into());
            let id = ObjectId { group, version, kind, namespace: Some("shop".into()), name: at.to_string() };
            report.add(id, health.clone());
        }
        report
    }

    #[test]
    fn what_fares_badly_calls_for_a_plan_only_where_nothing_else_tells_that_it_differs() {
        let spec =
            serde_json::from_value(serde_json::json!({"repository": "registry.example/app", "select": {"tag": "a"}}));
        let delivery = Delivery::new("app", spec.unwrap());
        let (progressing, degraded) = (Health::Progressing("x".into()), Health::Degraded("x".into()));
        let report = Report { health: Some(found(&[Health::Healthy, progressing.clone()])), ..Report::default() };
        let interval = Duration::from_secs(600);
        let awaited = Awaited::after(&delivery, interval, &Arc::default(), &report).unwrap();
        assert!(awaited.left() <= interval && awaited.left() > interval / 2);
        for (health, followed, other) in [
            (progressing, true, true),
            (Health::Healthy, true, false),
            (degraded, true, false),
            (Health::Missing("x".into()), false, false),
        ] {
            let looked = |is_followed| awaited.looked(found(std::slice::from_ref(&health)), is_followed);
            assert_eq!((looked(true).is_some(), looked(false).is_some()), (followed, other), "{health}");
            if let Some((next, report)) = looked(true) {
                let rest = usize::from(health != Health::Healthy);
                assert_eq!((next.ids.len(), report.health.unwrap().healthy), (rest, 2 - rest), "{health}");
            }
        }
    }
}
