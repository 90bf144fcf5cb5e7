//! One reconcile, step by step. Each step is a file of its own and says in its first line what it touches.

mod apply;
mod cache;
mod context;
mod deliver;
mod events;
mod fetch;
mod finalize;
mod health;
mod judge;
mod memory;
mod order;
mod parameters;
mod plan;
mod policies;
mod prune;
mod publish;
mod read;
mod record;
mod registries;
mod report;
mod resolve;
mod schedule;
mod source;
mod standing;
mod status;
mod stop;
mod tell;
mod verify;
mod versions;
mod wait;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use jiff::Timestamp;
use kube::{ResourceExt as _, runtime::controller::Action};
use sealift_apply::{
    api::{Delivery, DeliveryStatus, REQUESTED_AT_ANNOTATION},
    cluster::ClusterError,
};

pub(crate) use self::events::cut;
pub use self::{
    context::Context,
    parameters::ParameterError,
    policies::{Policies, Unusable},
    registries::PullSecretError,
    source::SourceError,
    stop::{Retry, Stop, Verdict},
    versions::{Range, RangeError},
};
use self::{
    context::Memo,
    report::Report,
    schedule::When,
    status::About,
    tell::{count, name, random, tell},
};
use crate::metrics::Outcome;

/// What could not be told in the Delivery's own status. Everything else that goes wrong is written there.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The record itself could not be written.
    #[error("the status or finalizer of the Delivery cannot be written")]
    Record(#[from] ClusterError),
    /// A bug; the panic's message is in the log.
    #[error("the reconcile panicked")]
    Panicked,
}

/// One reconcile. What one Delivery trips over stops no other: a bug that panics is this Delivery's error.
///
/// # Errors
/// [`ReconcileError`]; it is tried again soon.
pub async fn reconcile(delivery: Arc<Delivery>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let outcome = AssertUnwindSafe(bring_about(delivery, context)).catch_unwind().await;
    outcome.unwrap_or(Err(ReconcileError::Panicked))
}

/// Brings the cluster to what a Delivery asks for, as far as policies allow.
async fn bring_about(delivery: Arc<Delivery>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let (began, uid) = (Instant::now(), delivery.uid().unwrap_or_default());
    let mut memo = context.memo(&uid);
    let previous = publish::current(&delivery, &memo);
    if delivery.metadata.deletion_timestamp.is_some() {
        let action = finalize::finalize(&context, &delivery, &mut memo, &previous).await?;
        context.metrics.reconciled(Outcome::Deleting, began.elapsed());
        return Ok(action);
    }
    if delivery.spec.suspend {
        let next = status::suspended(&previous, about(&delivery));
        tell(&context, &delivery, &mut memo, &previous, &next, &Report::default()).await?;
        context.remember(&uid, memo);
        context.metrics.reconciled(Outcome::Suspended, began.elapsed());
        return Ok(Action::await_change());
    }
    let delivery = with_finalizer(&context, delivery).await?;
    let mut report = Report::default();
    report.stop = deliver::deliver(&context, &delivery, &mut memo, &previous, &mut report).await.err();
    let next = status::next(&previous, about(&delivery), &report);
    memo.failures =
        if report.stop.as_ref().is_some_and(|stop| stop.retry() != Retry::Interval) { memo.failures + 1 } else { 0 };
    memo.looks = if report.stop.is_none() && !report.is_settled() { memo.looks + 1 } else { 0 };
    if report.stop.is_some() || report.is_settled() {
        memo.awaited = None;
    }
    let pause = pause(&delivery, &memo, &report, &next);
    record::record(&context, &delivery, &mut memo, &next, &report);
    let told = tell(&context, &delivery, &mut memo, &previous, &next, &report).await;
    context.remember(&uid, memo);
    told?;
    count(&context, &report, began.elapsed());
    Ok(Action::requeue(pause))
}

/// What to do when not even the status could be written.
#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub fn on_error(delivery: Arc<Delivery>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let uid = delivery.uid().unwrap_or_default();
    let mut memo = context.memo(&uid);
    memo.failures += 1;
    tracing::warn!(delivery = %name(&delivery), error = %stop::chain(error), "not recorded");
    let pause = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(memo.failures.min(6)));
    context.remember(&uid, memo);
    Action::requeue(pause)
}

/// The Delivery with our finalizer on it: before anything is applied, so that nothing is left behind unknown.
async fn with_finalizer(context: &Context, delivery: Arc<Delivery>) -> Result<Arc<Delivery>, ReconcileError> {
    if !delivery.finalizers().iter().any(|name| name == publish::FINALIZER) {
        publish::finalizer(context, &delivery, true).await?;
    }
    Ok(delivery)
}

fn about(delivery: &Delivery) -> About<'_> {
    About {
        generation: delivery.metadata.generation,
        requested: delivery.annotations().get(REQUESTED_AT_ANNOTATION).map(String::as_str),
        timeout: delivery.spec.timeout.get(),
        now: Timestamp::now(),
    }
}

fn pause(delivery: &Delivery, memo: &Memo, report: &Report, status: &DeliveryStatus) -> Duration {
    let when = When {
        interval: delivery.spec.interval.get(),
        timeout: delivery.spec.timeout.get(),
        failures: memo.failures.saturating_sub(1),
        looks: memo.looks.saturating_sub(1),
        status,
        now: Timestamp::now(),
        random: random(),
    };
    schedule::pause(report, when)
}
