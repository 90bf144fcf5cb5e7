//! Spans of what a reconcile brought to its end, for whoever follows a release from CI into clusters. *pure* but for ids
//!
//! Only the reconcile that brings or refuses a release tells of itself, and the one in which what was brought settles: looks that find
//! nothing new would add to a trace for ever.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use kube::ResourceExt as _;
use sealift_apply::api::{Delivery, DeliveryStatus, condition};
use sealift_trace::{Kind, Span, TraceParent, span::Trail};
use sealift_verify::verify::Verified;

use super::{
    report::Report,
    status::{READY, UNHEALTHY},
};
use crate::metrics::{Receipt, Verdict};

/// So long after a release was issued a cluster goes on in the trace of its push. Later that trace is closed and put away: a
/// new one begins, with a link to it.
const OPEN: Duration = Duration::from_secs(24 * 3600);

/// A release that was brought and has not settled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unsettled {
    whole: Span,
}

/// What the release's signer says made it; nothing where that is no trace context.
pub(super) fn stated(verified: &Verified) -> Option<TraceParent> {
    let release = &verified.grounds().stated()?.statement.release;
    release.build.as_ref()?.get("traceparent")?.as_str()?.parse().ok()
}

/// The spans of a reconcile that brought a release to its end, the whole first; and what is left to be told of it later.
pub(super) fn spans(
    delivery: &Delivery,
    next: &DeliveryStatus,
    report: &Report,
    receipt: Receipt,
    steps: Vec<(&'static str, SystemTime)>,
    now: SystemTime,
) -> (Vec<Span>, Option<Unsettled>) {
    let Some((_, began)) = steps.first().copied() else { return (Vec::new(), None) };
    let issued = next.last_applied.as_ref().and_then(|last| last.issued_at);
    let is_open = issued.is_some_and(|issued| is_recent(issued, now));
    // Of what is refused nobody trusted says anything.
    let stated = report.trace.filter(|_| receipt.verdict != Verdict::Refused);
    let (parent, link) = if is_open { (stated, None) } else { (None, stated) };
    let context = match (parent, link) {
        (Some(parent), _) => parent.child(),
        (None, Some(link)) if !link.is_sampled() => link.child(),
        (None, _) => TraceParent::root(),
    };
    let (kind, ended, attributes) = (Kind::Consumer, now.max(began), attributes(delivery, next, report, receipt));
    let error = report.stop.as_ref().map(|stop| format!("{}: {}", stop.reason(), stop.message()));
    let whole = Span { name: "deliver", context, parent, link, kind, began, ended, attributes, error };
    let parts = Trail::of(steps).spans(&whole, part);
    let unsettled = (report.stop.is_none() && !report.is_settled()).then(|| Unsettled { whole: whole.clone() });
    ([whole].into_iter().chain(parts).collect(), unsettled)
}

fn is_recent(issued: Timestamp, now: SystemTime) -> bool {
    Timestamp::try_from(now).is_ok_and(|now| now.duration_since(issued).unsigned_abs() <= OPEN)
}

/// The span of a release's way to health, once a later reconcile finds that it is there or will not come there.
pub(super) fn settled(unsettled: &Unsettled, next: &DeliveryStatus, report: &Report, now: SystemTime) -> Option<Span> {
    let ready = condition(&next.conditions, READY)?;
    let failed = ready.reason == UNHEALTHY;
    if !failed && !report.is_settled() {
        return None;
    }
    let mut span = unsettled.whole.part("health", unsettled.whole.ended, now);
    span.attributes = vec![("sealift.reason", ready.reason.as_str().into())];
    span.error = failed.then(|| ready.message.clone());
    Some(span)
}

/// The spans that steps become.
fn part(step: &str) -> Option<&'static str> {
    match step {
        // Reading the memory of trust is a part of the verdict.
        "memory" => Some("verify"),
        other => {
            ["resolve", "fetch", "verify", "plan", "apply", "prune", "health"].into_iter().find(|name| *name == other)
        }
    }
}

fn attributes(
    delivery: &Delivery,
    next: &DeliveryStatus,
    report: &Report,
    receipt: Receipt,
) -> Vec<(&'static str, sealift_trace::Value)> {
    let mut attributes = vec![
        ("k8s.namespace.name", delivery.namespace().unwrap_or_default().into()),
        ("sealift.delivery", delivery.name_any().into()),
        ("sealift.repository", delivery.spec.repository.as_str().into()),
        ("sealift.verdict", receipt.verdict.as_str().into()),
    ];
    attributes.extend(report.attempted.as_ref().map(|(digest, _)| ("sealift.digest", digest.to_string().into())));
    attributes.extend(report.stream().map(|stream| ("sealift.stream", stream.into())));
    let reason = condition(&next.conditions, READY).map(|ready| ready.reason.as_str());
    attributes.extend(reason.map(|reason| ("sealift.reason", reason.into())));
    if let Some(last) = next.last_applied.as_ref().filter(|_| receipt.verdict != Verdict::Refused) {
        attributes.extend(last.version.as_deref().map(|version| ("sealift.version", version.into())));
        attributes.extend(last.sequence.map(|sequence| ("sealift.sequence", sequence.into())));
    }
    attributes.extend(report.objects.map(|objects| ("sealift.objects", (objects as u64).into())));
    attributes
}

#[cfg(test)]
mod tests;
