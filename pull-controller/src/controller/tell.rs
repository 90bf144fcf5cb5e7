//! Saying what a reconcile came to: status, event, log line, counters. *cluster*

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::{Duration, SystemTime},
};

use kube::ResourceExt as _;
use sealift_apply::{
    api::{Delivery, DeliveryStatus},
    progress,
};

use super::{
    ReconcileError,
    context::{Context, Memo},
    drift, events,
    notify::{self, Events},
    publish,
    report::Report,
    stop::{Stop, Verdict, chain},
    trace,
};
use crate::metrics::Receipt;

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
    let events = Events {
        drift: drift::events(previous.drift.as_ref(), next.drift.as_ref()),
        standing: events::standing(previous, next),
        hold: events::hold(previous, next),
        release: events::news(previous, next, done),
    };
    // Before this one, the reconcile may have written that it began.
    let written = publish::current(delivery, memo);
    let news = notify::news(previous, next, &events, report.evidence.as_ref());
    let notifications = context.notifier.noted(delivery, written.notifications.clone(), news);
    let next = &DeliveryStatus { notifications, ..next.clone() };
    publish::status(context, delivery, memo, &written, next).await?;
    let namespace = delivery.metadata.namespace.as_deref();
    context.notifier.committed(delivery, next.notifications.as_ref());
    let Events { drift, standing, hold, release } = events;
    for event in drift {
        let note = event.note.as_deref().unwrap_or_default();
        tracing::info!(delivery = %name(delivery), namespace, reason = %event.reason, "{note}");
        context.outbox.put(delivery, event);
    }
    if let Some(event) = standing {
        let digest = next.last_applied.as_ref().map(|last| last.digest.to_string()).unwrap_or_default();
        let note = event.note.as_deref().unwrap_or_default();
        tracing::warn!(delivery = %name(delivery), namespace, %digest, reason = %event.reason, "{note}");
        context.outbox.put(delivery, event);
    }
    if let Some(event) = hold {
        let note = event.note.as_deref().unwrap_or_default();
        tracing::warn!(delivery = %name(delivery), namespace, reason = %event.reason, "{note}");
        context.outbox.put(delivery, event);
    }
    let Some(event) = release else { return Ok(()) };
    if let Some(Stop::Apply(error)) = &report.stop {
        // Condition and event hold the first few.
        for refused in error.objects() {
            tracing::warn!(delivery = %name(delivery), namespace, object = %refused.id, "refused: {}", chain(&refused.why));
        }
    }
    let digest = report.attempted.as_ref().map(|(digest, _)| digest.to_string()).unwrap_or_default();
    let verdict = next.verification.as_ref().map(|verification| verification.verdict.as_str()).unwrap_or_default();
    let (stream, trace_id) = (report.stream(), report.trace.map(|trace| trace.trace_id()));
    tracing::info!(
        delivery = %name(delivery), namespace, %digest, stream, verdict, reason = %event.reason, trace_id,
        "{}", event.note.as_deref().unwrap_or_default()
    );
    context.outbox.put(delivery, event);
    Ok(())
}

/// Tells of a release in its trace, if somebody collects traces.
pub(super) fn spans(
    context: &Context,
    delivery: &Delivery,
    memo: &mut Memo,
    next: &DeliveryStatus,
    report: &Report,
    receipt: Option<Receipt>,
) {
    let Some(exporter) = &context.exporter else { return };
    let now = SystemTime::now();
    match (receipt, &memo.unsettled) {
        (Some(receipt), _) => {
            let (spans, unsettled) = trace::spans(delivery, next, report, receipt, progress::trail(), now);
            exporter.send(spans);
            memo.unsettled = unsettled.map(Arc::new);
        }
        (None, Some(unsettled)) => {
            if let Some(span) = trace::settled(unsettled, next, report, now) {
                exporter.send([span]);
                memo.unsettled = None;
            }
        }
        (None, None) => {}
    }
}

/// Counts what it came to.
pub(super) fn count(context: &Context, report: &Report, receipt: Option<Receipt>, took: Duration) {
    if let Some(receipt) = receipt {
        context.metrics.decided(receipt);
    }
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
