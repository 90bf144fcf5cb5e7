//! A release that was applied and has not settled: what another look at its health needs, and nothing more. *pure*

use std::{sync::Arc, time::Instant};

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
    pub(super) fn after(delivery: &Delivery, policies: &Arc<Policies>, report: &Report) -> Option<Self> {
        let Report { attempted, evidence, applied, objects, changes, health, .. } = report;
        let HealthReport { healthy, rest } = health.as_ref()?;
        changes.waiting.is_empty().then(|| Self {
            generation: delivery.metadata.generation,
            requested: about(delivery).requested.map(str::to_owned),
            policies: Arc::clone(policies),
            until: Instant::now() + delivery.spec.interval.get(),
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

    /// The report of a look at those that were not healthy, and what to look at next time; `None` if it calls for more.
    ///
    /// What is gone or broken may be put right, or have been removed on purpose: that is the plan's to judge. Where objects
    /// are not `followed`, once all is settled a last plan takes note of what the cluster's own
    /// controllers have done to the objects.
    pub(super) fn looked(&self, health: HealthReport, followed: bool) -> Option<(Self, Report)> {
        let health = HealthReport { healthy: self.healthy + health.healthy, ..health };
        if health.is_degraded() || !followed && health.is_healthy() {
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
