//! Sending Events beside the work, as long as there is time for it. *cluster*
//!
//! What an Event says stands in the status too, so it holds up no release: it is sent when no Delivery waits for its turn, or
//! after a while all the same. What there is no room for is dropped and counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource as _,
    runtime::events::{Event, Recorder},
};
use sealift_apply::api::Delivery;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{
    metrics::{Metrics, Told},
    queue::Queue,
    shards::Shards,
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "events";
/// Events that wait at most; a few kilobytes each.
const MOST: usize = 2_000;
/// So long an Event waits for a time when nothing else is to be done.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether there is.
const LOOK: Duration = Duration::from_millis(200);
/// An Event is worth no longer wait for an answer.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Events on their way.
pub(crate) struct Outbox {
    recorder: Recorder,
    queue: Queue,
    shards: Shards,
    metrics: Metrics,
    waiting: Mutex<VecDeque<Letter>>,
    moved: Notify,
}

struct Letter {
    about: ObjectReference,
    event: Event,
    since: Instant,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    /// None yet; they give way to what waits in `queue`.
    pub(super) fn new(recorder: Recorder, queue: Queue, shards: Shards, metrics: Metrics) -> Self {
        Self { recorder, queue, shards, metrics, waiting: Mutex::default(), moved: Notify::new() }
    }

    /// Has an Event sent. The oldest go where there are too many.
    pub(super) fn put(&self, delivery: &Delivery, event: Event) {
        let letter = Letter { about: delivery.object_ref(&()), event, since: Instant::now() };
        let dropped = push(&mut self.waiting(), letter);
        if dropped {
            self.metrics.told(Told::Dropped);
        }
        self.moved.notify_one();
    }

    /// Sends them, one after the other, for ever.
    pub(crate) async fn run(self: Arc<Self>, vitals: Vitals) {
        loop {
            vitals.beat(LOOP);
            let since = self.waiting().front().map(|letter| letter.since);
            match since {
                // Without a Lease nothing is written, not even this.
                Some(_) if !self.shards.permit().lasts() => sleep(LOOK).await,
                Some(since) if self.queue.depth().waiting > 0 && since.elapsed() < PATIENCE => sleep(LOOK).await,
                Some(_) => self.send_first().await,
                None => drop(timeout(BEAT, self.moved.notified()).await),
            }
        }
    }

    /// Sends all that wait, since nothing comes after.
    pub(super) async fn send_all(&self) {
        while !self.waiting().is_empty() {
            self.send_first().await;
        }
    }

    /// That it cannot be sent (a namespace that is going away takes none) is no reason to stop.
    async fn send_first(&self) {
        let Some(Letter { about, event, .. }) = self.waiting().pop_front() else { return };
        let told = match timeout(CALL_LIMIT, self.recorder.publish(&event, &about)).await {
            Ok(Ok(())) => Told::Sent,
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(reason = %event.reason, error, "the event was not recorded");
                Told::Failed
            }
            Err(_) => {
                tracing::debug!(reason = %event.reason, "the event was not recorded in time");
                Told::Failed
            }
        };
        self.metrics.told(told);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Letter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if another one had to go for it.
fn push<T>(waiting: &mut VecDeque<T>, letter: T) -> bool {
    let full = waiting.len() >= MOST;
    if full {
        waiting.pop_front();
    }
    waiting.push_back(letter);
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let mut waiting = VecDeque::new();
        let dropped = (0..MOST + 3).filter(|n| push(&mut waiting, *n)).count();
        assert_eq!((dropped, waiting.len(), waiting.front()), (3, MOST, Some(&3)));
    }
}
