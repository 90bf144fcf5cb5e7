//! Repositories that gave no answer, and from when on they are asked again. *pure*
//!
//! Failures back off by repository, however many Deliveries want something of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sealift_registry::{
    client::{ClientError, Outage},
    store::Place,
};
use tokio::time::Instant;

use super::super::{registries::Who, schedule};

/// More than so many silent repositories are not remembered one by one.
const MOST: usize = 4096;

/// The repositories that are not to be asked now.
#[derive(Debug, Default)]
pub(in super::super) struct Gate(HashMap<(Place, Who), Closed>);

#[derive(Debug)]
struct Closed {
    failures: u32,
    until: Instant,
    /// The registry itself named the time: nobody asks before.
    by_registry: bool,
    /// As it was told first: one outage has many words, and each that is told anew is a write to every Delivery's status.
    why: Arc<ClientError>,
}

impl Gate {
    /// Why the repository is not to be asked now, if so. `urgent` does not wait for our own patience.
    pub(in super::super) fn closed(&self, at: &(Place, Who), now: Instant, urgent: bool) -> Option<Arc<ClientError>> {
        let closed = self.0.get(at).filter(|closed| closed.until > now && (closed.by_registry || !urgent))?;
        Some(Arc::clone(&closed.why))
    }

    /// An error as it is to be told.
    pub(super) fn told(&self, at: &(Place, Who), error: &Arc<ClientError>) -> Arc<ClientError> {
        let first = self.0.get(at).map(|closed| &closed.why).filter(|first| is_the_same_outage(first, error));
        Arc::clone(first.unwrap_or(error))
    }

    /// When the repository is asked again, if it is not to be asked now.
    pub(in super::super) fn opens(&self, at: &(Place, Who)) -> Option<Instant> {
        self.0.get(at).map(|closed| closed.until)
    }

    /// Takes note of an answer. What was not found or not allowed is an answer.
    pub(in super::super) fn answered(
        &mut self,
        at: &(Place, Who),
        error: Option<&Arc<ClientError>>,
        now: Instant,
        random: f64,
    ) {
        let Some(why) = error.filter(|error| error.is_transient()) else {
            self.0.remove(at);
            return;
        };
        if self.0.len() >= MOST {
            self.0.retain(|_, closed| closed.until > now);
        }
        if self.0.len() >= MOST && !self.0.contains_key(at) {
            return;
        }
        let before = self.0.get(at);
        let failures = before.map_or(0, |closed| closed.failures);
        let first = before.map(|closed| &closed.why).filter(|first| is_the_same_outage(first, why));
        let told = Arc::clone(first.unwrap_or(why));
        let asked = why.retry_after();
        let pause = schedule::after_failure(failures, random).max(asked.unwrap_or_default());
        let by_registry = asked.is_some_and(|asked| asked > Duration::ZERO);
        let closed = Closed { failures: failures + 1, until: now + pause, by_registry, why: told };
        self.0.insert(at.clone(), closed);
    }
}

/// True if both say that no answer came over the network, in whatever words.
fn is_the_same_outage(one: &ClientError, other: &ClientError) -> bool {
    let of_network = |error: &ClientError| match error {
        ClientError::Unreachable { outage, .. } => matches!(**outage, Outage::Network(_) | Outage::TimedOut),
        _ => false,
    };
    of_network(one) && of_network(other)
}
