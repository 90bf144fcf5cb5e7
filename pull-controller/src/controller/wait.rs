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
        policies: &Arc<Policies>,
        ids: Vec<ObjectId>,
        report: &Report,
    ) -> Option<Self> {
        let Report { attempted, evidence, applied, objects, changes, .. } = report;
        changes.waiting.is_empty().then(|| Self {
            generation: delivery.metadata.generation,
            requested: about(delivery).requested.map(str::to_owned),
            policies: Arc::clone(policies),
            until: Instant::now() + delivery.spec.interval.get(),
            ids,
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

    /// The report of such a look; `None` if it calls for more. An object that is gone or broken may be put right, and
    /// once all is settled a last plan takes note of what the cluster's own controllers have done to the objects.
    pub(super) fn looked(&self, health: HealthReport) -> Option<Report> {
        if health.is_degraded() || health.is_healthy() {
            return None;
        }
        Some(Report {
            attempted: self.attempted.clone(),
            evidence: self.evidence.clone(),
            applied: self.applied.clone(),
            objects: self.objects,
            health: Some(health),
            ..Report::default()
        })
    }
}
