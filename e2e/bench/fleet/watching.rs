//! How far the Deliveries are, from one watch.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use sealift_apply::api::Delivery;
use sealift_e2e::is_ready;
use tokio::{sync::watch, task::JoinHandle};

use crate::Failed;

/// The Deliveries by namespace and name, as they are now.
#[derive(Debug)]
pub(crate) struct Watching {
    seen: Arc<Mutex<BTreeMap<String, Delivery>>>,
    changed: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Watching {
    pub(crate) fn new(client: Client) -> Self {
        let seen: Arc<Mutex<BTreeMap<String, Delivery>>> = Arc::default();
        let (told, changed) = watch::channel(0);
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let events = watcher(Api::<Delivery>::all(client), watcher::Config::default()).default_backoff();
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let mut seen = into.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    Ok(watcher::Event::Apply(delivery) | watcher::Event::InitApply(delivery)) => {
                        seen.insert(key(&delivery), delivery);
                    }
                    Ok(watcher::Event::Delete(delivery)) => drop(seen.remove(&key(&delivery))),
                    Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
                }
                drop(seen);
                told.send_modify(|count| *count += 1);
            }
        });
        Self { seen, changed, task }
    }

    /// Waits until so many Deliveries are as wanted; when that was.
    pub(crate) async fn until(
        &self,
        what: &str,
        wanted: usize,
        limit: Duration,
        is: impl Fn(&Delivery) -> bool,
    ) -> Result<Instant, Failed> {
        let mut changed = self.changed.clone();
        let started = Instant::now();
        loop {
            changed.mark_unchanged();
            let found = self.count(&is);
            if found >= wanted {
                return Ok(Instant::now());
            }
            let left = limit.saturating_sub(started.elapsed());
            if tokio::time::timeout(left, changed.changed()).await.is_err() {
                let odd = self.odd(&is);
                return Err(
                    format!("{found} of {wanted} Deliveries {what} after {limit:?}; one that is not: {odd}").into()
                );
            }
        }
    }

    pub(crate) fn count(&self, is: &impl Fn(&Delivery) -> bool) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|delivery| is(delivery)).count()
    }

    fn odd(&self, is: &impl Fn(&Delivery) -> bool) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let odd = seen.values().find(|delivery| !is(delivery));
        odd.map(|odd| serde_json::to_string(&odd.status).unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn key(delivery: &Delivery) -> String {
    format!("{}/{}", delivery.namespace().unwrap_or_default(), delivery.name_any())
}

/// Whether it applied the artifact whose digest its repository was given last.
pub(crate) fn applied(delivery: &Delivery, digests: &BTreeMap<String, String>) -> bool {
    let last = delivery.status.as_ref().and_then(|status| status.last_applied.as_ref());
    last.is_some_and(|last| digests.get(&delivery.spec.repository) == Some(&last.digest.to_string()))
}

/// Whether it applied that and all of it is healthy.
pub(crate) fn healthy(delivery: &Delivery, digests: &BTreeMap<String, String>) -> bool {
    applied(delivery, digests) && is_ready(delivery)
}
