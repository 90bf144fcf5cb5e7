//! One reconcile, step by step. Each step is a file of its own and says in its first line what it touches.

mod admission;
mod apply;
mod cache;
mod context;
mod deliver;
pub(crate) mod depends;
mod drift;
mod events;
mod fetch;
mod finalize;
mod flight;
mod follow;
mod freeze;
mod health;
mod history;
mod hold;
mod images;
mod judge;
mod memory;
mod named;
pub(crate) mod notify;
mod order;
pub(crate) mod outbox;
mod owed;
mod parameters;
mod plan;
mod policies;
mod polling;
mod prune;
mod publish;
mod read;
pub(crate) mod receive;
mod record;
mod registries;
mod report;
mod resolve;
mod safety;
mod schedule;
mod secrets;
mod self_refusal;
mod shards;
mod source;
mod standing;
mod status;
mod stop;
pub(crate) mod tags;
mod tell;
mod trace;
pub(crate) mod trust_age;
mod verify;
mod wait;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;
use sealift_apply::{
    api::{Delivery, DeliveryStatus, FINALIZER, REQUESTED_AT_ANNOTATION},
    cluster::ClusterError,
    inventory::Inventory,
};

pub use self::{
    context::Context,
    freeze::Freezing,
    parameters::ParameterError,
    policies::{Policies, Unusable},
    polling::{Ear, Follows, Polling, Seen},
    registries::PullSecretError,
    source::SourceError,
    stop::{Retry, Stop, Verdict},
};
use self::{
    context::Memo,
    owed::Untold,
    report::Report,
    schedule::When,
    status::About,
    tell::{count, random, tell},
};
pub(crate) use self::{events::cut, freeze::ByState, memory::Known};
use crate::{
    metrics::{Outcome, Receipt, Stalled},
    queue::{Key, Reason, Reasons, Taken},
    workers::{Ended, Work},
};

/// What could not be told in the Delivery's own status. Everything else that goes wrong is written there.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The record itself could not be written.
    #[error("the status or finalizer of the Delivery cannot be written")]
    Record(#[from] ClusterError),
}

impl Work for Arc<Context> {
    /// One reconcile. What one Delivery trips over stops no other.
    fn look(&self, taken: Taken) -> impl Future<Output = Option<Duration>> + Send + 'static {
        let context = Self::clone(self);
        let permit = self.shards.permit();
        permit.over(async move {
            context.metrics.turn(taken.reasons, taken.waited);
            let Some(delivery) = context.deliveries.get(&(&taken.key).into()) else {
                context.leave(&taken.key);
                return None;
            };
            match bring_about(&context, Arc::clone(&delivery), taken.reasons).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(delivery = %taken.key, error = %stop::chain(&error), "not recorded");
                    Some(context.failed_again(&delivery.uid().unwrap_or_default()))
                }
            }
        })
    }

    fn broke(&self, key: &Key, ended: &Ended) -> Duration {
        let Some(delivery) = self.deliveries.get(&key.into()) else { return Duration::ZERO };
        let pause = self.failed_again(&delivery.uid().unwrap_or_default());
        let Ended::Stalled { step, silence } = ended else {
            tracing::error!(delivery = %key, "the reconcile panicked");
            self.metrics.reconciled(Outcome::Failed, Duration::ZERO);
            return pause;
        };
        self.metrics.stalled(Stalled::Reconcile);
        let (step, silence) = (*step, silence.as_secs());
        tracing::error!(delivery = %key, reason = "Stalled", step, silence, "no progress; the reconcile is ended and tried again");
        self.outbox.put(&delivery, events::stalled(step, silence));
        pause
    }
}

/// Brings the cluster to what a Delivery asks for, as far as policies allow. Answers when to look again; `None` waits for
/// a change.
async fn bring_about(
    context: &Context,
    delivery: Arc<Delivery>,
    reasons: Reasons,
) -> Result<Option<Duration>, ReconcileError> {
    let (began, uid) = (Instant::now(), delivery.uid().unwrap_or_default());
    let mut memo = context.memo(&uid);
    let Some(delivery) = shards::met(context, delivery, &mut memo).await? else { return Ok(None) };
    let is_going = delivery.metadata.deletion_timestamp.is_some();
    if reasons.are_among(&[Reason::Owed]) && memo.untold.is_none() && !is_going {
        owed::settle(context, &uid).await;
        notify::settle(context, &delivery, &mut memo).await;
        context.remember(&uid, memo.clone());
        owed::remind(context, &Key::from(&*delivery), &uid, &memo);
        return Ok(memo.next.map(|next| next.saturating_duration_since(tokio::time::Instant::now())));
    }
    let told = publish::current(&delivery, &memo);
    let untold = memo.untold.take();
    let previous = untold.as_ref().map_or_else(|| told.clone(), |untold| untold.status.clone());
    if is_going || delivery.spec.suspend {
        memo.next = None;
        context.leave(&Key::from(&*delivery));
    }
    if is_going {
        owed::forget(context, &uid);
        let pause = finalize::finalize(context, &delivery, &mut memo, &previous).await?;
        context.metrics.reconciled(Outcome::Deleting, began.elapsed());
        return Ok(pause);
    }
    if delivery.spec.suspend {
        let next = status::suspended(&previous, about(&delivery));
        tell(context, &delivery, &mut memo, &told, &next, &Report::default(), None).await?;
        context.remember(&uid, memo);
        context.metrics.reconciled(Outcome::Suspended, began.elapsed());
        return Ok(None);
    }
    let delivery = with_finalizer(context, delivery).await?;
    let mut report = Report { began: Some(Timestamp::now()), ..Report::default() };
    let reference = delivery.reference();
    reference.iter().for_each(|reference| context.hub.begin(reference));
    report.stop = deliver::deliver(context, &delivery, &mut memo, reasons, &previous, &mut report).await.err();
    let mut followed = false;
    if let Some(reference) = reference {
        let waits = follow::waits(report.health.as_ref());
        followed = context.hub.follows(&reference.uid, &waits);
        context.hub.end(&reference, waits);
        report.watching = context.hub.uncovered(&reference.uid);
    }
    let next = status::next(&previous, about(&delivery), &report);
    memo.failures = if report.stop.as_ref().is_some_and(|stop| stop.retry().is_soon()) { memo.failures + 1 } else { 0 };
    memo.looks = if report.stop.is_none() && !report.is_settled() { memo.looks + 1 } else { 0 };
    if report.stop.is_some() || report.is_settled() {
        memo.awaited = None;
    }
    let pause = pause(context, &delivery, &memo, &report, &next, followed);
    memo.next = pause.and_then(|pause| tokio::time::Instant::now().checked_add(pause));
    record::record(context, &delivery, &mut memo, &next, &report);
    let made = delivery.metadata.creation_timestamp.as_ref().map(|made| made.0);
    let receipt = Receipt::of(&previous, &next, made);
    tell::spans(context, &delivery, &mut memo, &next, &report, receipt);
    let done = report.changes.changed().then(|| report.changes.to_string());
    if untold.is_some() {
        // Whoever depends on it is woken by the write that follows, and must not find what was true before.
        context.remember(&uid, memo.clone());
    }
    let done = done.or_else(|| untold.as_ref().and_then(|untold| untold.done.clone()));
    let told = match untold.is_none() && owed::may_wait(&report) {
        true => {
            memo.untold = Some(Arc::new(Untold { status: next, done }));
            Ok(())
        }
        false => tell(context, &delivery, &mut memo, &told, &next, &report, done.as_deref()).await,
    };
    owed::remind(context, &Key::from(&*delivery), &uid, &memo);
    context.remember(&uid, memo);
    told?;
    count(context, &report, receipt, began.elapsed());
    Ok(pause)
}

/// The Delivery with our finalizer on it: before anything is applied, so that nothing is left behind unknown.
async fn with_finalizer(context: &Context, delivery: Arc<Delivery>) -> Result<Arc<Delivery>, ReconcileError> {
    if !delivery.finalizers().iter().any(|name| name == FINALIZER) {
        publish::finalizer(context, &delivery, true).await?;
        // Without it nothing was ever applied for this uid, so there is no inventory to be read.
        if let Some(owner) = delivery.reference() {
            context.keep_inventory(Inventory::empty(owner));
        }
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

fn pause(
    context: &Context,
    delivery: &Delivery,
    memo: &Memo,
    report: &Report,
    status: &DeliveryStatus,
    followed: bool,
) -> Option<Duration> {
    let interval = context.interval(delivery);
    let when = When {
        interval,
        left: memo.awaited.as_ref().map_or(interval, |awaited| awaited.left()),
        timeout: delivery.spec.timeout.get(),
        failures: memo.failures.saturating_sub(1),
        looks: memo.looks.saturating_sub(1),
        followed,
        status,
        now: Timestamp::now(),
        random: random(),
    };
    schedule::pause(report, when)
}
