//! What a controller asks of registries to follow what its Deliveries select, without a cluster around it: so that what
//! many controllers come to at one registry can be measured. *registry*
//!
//! It is what a controller runs: its workers and their pauses, the questions that are shared, jitter, caches and clients.
//! Left out is what asks no registry: the verdict, the plan and the apply.

use std::{
    collections::HashMap,
    future::{Future, pending},
    io,
    sync::Arc,
    time::Duration,
};

use super::{
    context::budget,
    fetch::{Age, Artifacts},
    receive,
    registries::{PullSecret, Registries},
    report::Report,
    resolve::{Asker, resolve},
    schedule::{self, When},
    source::Source,
    tags::Tags,
    tell::random,
    verify::Freshness,
};
use crate::{
    metrics::Metrics,
    options::Options,
    platform::Platform,
    queue::{Key, Queue, Reason, Taken},
    vitals::{AbortOnDrop, Vitals},
    workers::{self, Bounds, Ended, Work},
};
use jiff::Timestamp;
use sealift_apply::api::{DeliveryStatus, ReceiverType, Selection};
use sealift_registry::fetch::Legacy;
use sealift_verify::{artifact::Manifest, digest::Digest, reference::Repository};

/// A tag that a Delivery follows.
#[derive(Clone, Debug)]
pub struct Follows {
    /// Where it is.
    pub repository: Repository,
    /// Its name.
    pub tag: String,
}

/// Called with the Delivery and the artifact that its tag points at, once its layer is there, each time it is looked at.
pub type Seen = Arc<dyn Fn(&Key, Digest) + Send + Sync>;

/// One controller's side of it.
pub struct Polling {
    deliveries: HashMap<Key, Follows>,
    interval: Duration,
    queue: Queue,
    tags: Arc<Tags>,
    registries: Registries,
    artifacts: Artifacts,
    metrics: Metrics,
    seen: Seen,
}

/// Where a controller is told that something is new. Clones are the same.
#[derive(Clone, Debug)]
pub struct Ear(Arc<Tags>);

impl Ear {
    /// What a Receiver of this type does once it is known who speaks. Answers how many questions are asked for that; `None` if
    /// it is not what such a sender says.
    pub fn hear(&self, kind: ReceiverType, body: &[u8]) -> Option<usize> {
        receive::heed(&self.0, kind, body)
    }
}

impl std::fmt::Debug for Polling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Polling")
    }
}

impl Polling {
    /// A controller with these Deliveries, which has asked nothing yet.
    ///
    /// # Errors
    /// If the folder of the cache cannot be made or read.
    pub fn new(
        options: &Options,
        deliveries: HashMap<Key, Follows>,
        interval: Duration,
        seen: Seen,
    ) -> io::Result<Self> {
        let (queue, metrics) = (Queue::new(options.concurrent.into()), Metrics::new());
        Ok(Self {
            tags: Arc::new(Tags::new(queue.clone(), metrics.clone())),
            registries: Registries::new(options, Platform::default()),
            artifacts: Artifacts::new(budget(options), options.cache_dir.as_deref())?,
            deliveries,
            interval,
            queue,
            metrics,
            seen,
        })
    }

    /// Where it is told that something is new.
    pub fn ear(&self) -> Ear {
        Ear(Arc::clone(&self.tags))
    }

    /// Follows them until this future is dropped.
    pub async fn run(self) {
        let (queue, vitals) = (self.queue.clone(), Vitals::default());
        let _asking = AbortOnDrop(tokio::spawn(Arc::clone(&self.tags).run(vitals.clone())));
        self.deliveries.keys().for_each(|key| queue.wake(key, Reason::Changed));
        let (stall, leave, grace) = (Duration::from_secs(600), Duration::ZERO, Duration::ZERO);
        workers::work(Arc::new(self), queue, Bounds { stall, leave, grace }, vitals, pending()).await;
    }

    async fn look_at(&self, key: &Key, follows: &Follows) -> Option<Digest> {
        let source = Source {
            repository: &follows.repository,
            places: vec![follows.repository.clone().into()],
            secret: PullSecret::default(),
            registries: &self.registries,
            legacy: Legacy::Ignored,
            tenant: &key.namespace,
            tags: &self.tags,
            metrics: &self.metrics,
        };
        let asker = Asker { key, interval: self.interval, urgent: false };
        let resolved = resolve(&source, Selection::Tag(&follows.tag), asker).await.ok()?;
        let age = Freshness::of(self.interval, false, false).confirms();
        let fetched = self.artifacts.unverified(&source, &resolved, Age::AtMost(age)).await.ok()?;
        let manifest = Manifest::parse(&fetched.unverified.manifest, &resolved.digest).ok()?;
        self.artifacts.layer(&source, &fetched.place, manifest.layers.first()?).await.ok()?;
        Some(resolved.digest)
    }
}

impl Work for Arc<Polling> {
    fn look(&self, taken: Taken) -> impl Future<Output = Option<Duration>> + Send + 'static {
        let this = Self::clone(self);
        async move {
            let follows = this.deliveries.get(&taken.key)?;
            let Some(digest) = this.look_at(&taken.key, follows).await else {
                return Some(schedule::after_failure(0, random()));
            };
            (this.seen)(&taken.key, digest);
            // As a Delivery that is ready, and has nothing to do.
            let (report, status, interval) = (Report::default(), DeliveryStatus::default(), this.interval);
            let (left, timeout, now) = (interval, interval, Timestamp::now());
            let (failures, looks, followed) = (0, 0, true);
            let status = &status;
            let when = When { interval, left, timeout, failures, looks, followed, status, now, random: random() };
            schedule::pause(&report, when)
        }
    }

    fn broke(&self, _: &Key, _: &Ended) -> Duration {
        schedule::after_failure(0, random())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use clap::Parser as _;
    use sealift_registry::server::{ServerOptions, spawn};

    use super::*;
    use crate::options::{Cli, Command};

    #[tokio::test]
    async fn twenty_deliveries_of_one_tag_ask_one_question() {
        let registry = spawn(ServerOptions::default()).await.unwrap();
        let host = registry.addr.to_string();
        let command = Cli::parse_from(["sealift-controller", "run", "--plain-http-host", &host]).command;
        let Command::Run(options) = command else { panic!("it is run") };
        let follows = Follows { repository: format!("{host}/app").parse().unwrap(), tag: "prod".into() };
        let deliveries = (0..20).map(|at| (Key::new("apps", format!("a-{at}")), follows.clone())).collect();
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&seen);
        let told: Seen = Arc::new(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let polling = Polling::new(&options, deliveries, Duration::from_secs(60), told).unwrap();
        let tags = Arc::clone(&polling.tags);
        let _running = AbortOnDrop(tokio::spawn(polling.run()));
        while tags.followed() == 0 || registry.requests().total() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((tags.followed(), registry.requests().total(), seen.load(Ordering::Relaxed)), (1, 1, 0));
    }
}
