//! A release that was applied and has not settled: what another look at its health needs, and nothing more. *pure*

use std::{sync::Arc, time::Instant};

use sealift_apply::{
    api::{Delivery, LastApplied},
    assess::HealthReport,
    change::ChangeSet,
};
use sealift_verify::{digest::Digest, evidence::Evidence, objects::ObjectId, verify::Verified};

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
    waiting: Vec<ObjectId>,
}

impl Awaited {
    /// What to look at after a full reconcile. Objects that were held back are not there to be looked at.
    pub(super) fn after(delivery: &Delivery, policies: &Arc<Policies>, verified: &Verified, report: &Report) -> Self {
        let waiting = report.changes.waiting.clone();
        let ids =
            verified.objects().iter().map(|object| object.id.clone()).filter(|id| !waiting.contains(id)).collect();
        Self {
            generation: delivery.metadata.generation,
            requested: about(delivery).requested.map(str::to_owned),
            policies: Arc::clone(policies),
            until: Instant::now() + delivery.spec.interval.get(),
            ids,
            attempted: report.attempted.clone(),
            evidence: report.evidence.clone(),
            applied: report.applied.clone(),
            objects: report.objects,
            waiting,
        }
    }

    /// True if a look at health tells all there is to tell: nothing else has changed since.
    pub(super) fn still_stands(&self, delivery: &Delivery, policies: &Arc<Policies>) -> bool {
        self.generation == delivery.metadata.generation
            && self.requested.as_deref() == about(delivery).requested
            && Arc::ptr_eq(&self.policies, policies)
            && Instant::now() < self.until
    }

    /// The report of such a look; `None` if it calls for more: held-back objects may go now, or one that is gone or
    /// broken may be put right.
    pub(super) fn looked(&self, health: HealthReport) -> Option<Report> {
        if health.is_degraded() || (health.is_healthy() && !self.waiting.is_empty()) {
            return None;
        }
        Some(Report {
            attempted: self.attempted.clone(),
            evidence: self.evidence.clone(),
            applied: self.applied.clone(),
            objects: self.objects,
            changes: ChangeSet { waiting: self.waiting.clone(), ..ChangeSet::default() },
            health: Some(health),
            stop: None,
        })
    }
}
