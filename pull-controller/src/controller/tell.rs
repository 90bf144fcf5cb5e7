//! Saying what a reconcile came to: status, event, log line, counters. *cluster*

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use kube::ResourceExt as _;
use sealift_apply::api::{Delivery, DeliveryStatus};

use super::{
    ReconcileError,
    context::{Context, Memo},
    drift, events, publish,
    report::Report,
    stop::{Stop, Verdict, chain},
};

/// Writes status, event and log line, if there is something new to say since `previous`, which was told. `done` is what was
/// done to objects, in words.
pub(super) async fn tell(
    context: &Context,
    delivery: &Delivery,
    memo: &mut Memo,
    previous: &DeliveryStatus,
    next: &DeliveryStatus,
    report: &Report,
    done: Option<&str>,
) -> Result<(), ReconcileError> {
    // Before this one, the reconcile may have written that it began.
    let written = publish::current(delivery, memo);
    publish::status(context, delivery, memo, &written, next).await?;
    for event in drift::events(previous.drift.as_ref(), next.drift.as_ref()) {
        let note = event.note.as_deref().unwrap_or_default();
        tracing::info!(delivery = %name(delivery), reason = %event.reason, "{note}");
        context.outbox.put(delivery, event);
    }
    if let Some(event) = events::standing(previous, next) {
        let digest = next.last_applied.as_ref().map(|last| last.digest.to_string()).unwrap_or_default();
        let note = event.note.as_deref().unwrap_or_default();
        tracing::warn!(delivery = %name(delivery), %digest, reason = %event.reason, "{note}");
        context.outbox.put(delivery, event);
    }
    if let Some(event) = events::hold(previous, next) {
        let note = event.note.as_deref().unwrap_or_default();
        tracing::warn!(delivery = %name(delivery), reason = %event.reason, "{note}");
        context.outbox.put(delivery, event);
    }
    let Some(event) = events::news(previous, next, done) else { return Ok(()) };
    if let Some(Stop::Apply(error)) = &report.stop {
        // Condition and event hold the first few.
        for refused in error.objects() {
            tracing::warn!(delivery = %name(delivery), object = %refused.id, "refused: {}", chain(&refused.why));
        }
    }
    let digest = report.attempted.as_ref().map(|(digest, _)| digest.to_string()).unwrap_or_default();
    let verdict = next.verification.as_ref().map(|verification| verification.verdict.as_str()).unwrap_or_default();
    tracing::info!(
        delivery = %name(delivery), %digest, verdict, reason = %event.reason,
        "{}", event.note.as_deref().unwrap_or_default()
    );
    context.outbox.put(delivery, event);
    Ok(())
}

/// Counts what it came to.
pub(super) fn count(context: &Context, report: &Report, took: Duration) {
    context.metrics.reconciled(report.outcome(), took);
    context.metrics.changed(&report.changes);
    let found = report.changes.looks.iter().filter_map(|look| look.found.as_ref());
    found.for_each(|found| context.metrics.drifted(found.state));
    match report.stop.as_ref().map(Stop::about_selected) {
        Some(stop) if stop.verdict() != Verdict::Untouched => context.metrics.verdict(stop.reason()),
        _ if report.evidence.is_some() => context.metrics.verdict("Verified"),
        _ => {}
    }
}

/// `namespace/name`, as logs name a Delivery.
pub(super) fn name(delivery: &Delivery) -> String {
    format!("{}/{}", delivery.namespace().unwrap_or_default(), delivery.name_any())
}

/// Between 0 and 1, from the seed that every hash map draws; spreading load needs no more.
pub(super) fn random() -> f64 {
    f64::from((RandomState::new().build_hasher().finish() >> 32) as u32) / f64::from(u32::MAX)
}
