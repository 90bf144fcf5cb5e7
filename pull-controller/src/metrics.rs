//! What is counted. Every label comes from a closed set, so the number of series has a bound. `docs/metrics.md` has all of it.

mod census;
mod labels;
mod process;
mod receipt;
mod record;
#[cfg(test)]
mod table;
mod words;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry},
};
use sealift_apply::change::ChangeSet;
use sealift_trace::Fate;
use sealift_verify::refusal::Reason;

use self::{
    census::Standing,
    labels::{
        ActionLabel, CacheLabel, DRIFT, FromLabel, HowLabel, LINES, OutcomeLabel, QuantileLabel, REQUESTS, ReadyLabel,
        ReasonLabel, ResultLabel, StandingLabel, StateLabel, TO_APPLIED, VerdictLabel, WhatLabel, drift,
    },
    process::Process,
};
pub use self::{
    census::count,
    labels::{ByReadiness, Hinted, Notified, Outcome, Resolve, Stalled, TakenFrom, Told},
    receipt::{Receipt, Verdict},
};
use crate::queue;

/// The counters of a run. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    reconciles: Family<OutcomeLabel, Counter>,
    verdicts: Family<ReasonLabel, Counter>,
    seconds: Histogram,
    deliveries: Family<ReadyLabel, Gauge>,
    objects: Family<ActionLabel, Counter>,
    requests: Family<ResultLabel, Counter>,
    refused: Family<ReasonLabel, Gauge>,
    holds: Family<StateLabel, Gauge>,
    frozen: Gauge,
    trust_root_age: Gauge,
    freezes: Family<StateLabel, Gauge>,
    audited: Family<ResultLabel, Counter>,
    drifted: Family<ResultLabel, Counter>,
    events: Family<ResultLabel, Counter>,
    queue: Family<StateLabel, Gauge>,
    waited: Histogram,
    wakes: Family<ReasonLabel, Counter>,
    stalls: Family<WhatLabel, Counter>,
    resolves: Family<HowLabel, Counter>,
    followed: Gauge,
    cached: Family<CacheLabel, Gauge>,
    receipts: Family<VerdictLabel, Counter>,
    to_applied: Histogram,
    standings: Family<StandingLabel, Gauge>,
    /// What a standing was counted for once is told from then on, if only as zero.
    stood: Mutex<BTreeSet<Standing>>,
    differing: Gauge,
    managed: Gauge,
    spans: Family<ResultLabel, Counter>,
    ages: Family<QuantileLabel, Gauge<f64, AtomicU64>>,
    members: Gauge,
    shards: Gauge,
    shards_taken: Family<FromLabel, Counter>,
    leases_lost: Counter,
    notifications: Family<ResultLabel, Counter>,
    notifications_pending: Gauge,
    hints: Family<ResultLabel, Counter>,
}

/// What says of a binary which one it is. `SEALIFT_COMMIT` and `SOURCE_DATE_EPOCH` are those of the build's environment: a build asks no
/// clock, so that equal input gives an equal binary.
const BUILD: [(&str, &str); 3] = [
    ("version", env!("CARGO_PKG_VERSION")),
    (
        "commit",
        match option_env!("SEALIFT_COMMIT") {
            Some(commit) => commit,
            None => "unknown",
        },
    ),
    (
        "source_date_epoch",
        match option_env!("SOURCE_DATE_EPOCH") {
            Some(epoch) => epoch,
            None => "unknown",
        },
    ),
];

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        let mut every = Registry::default();
        every.register_collector(Box::new(Process::new()));
        let registry = every.sub_registry_with_prefix("sealift");
        registry.register("build", "The running version", Info::new(BUILD));
        let metrics = Self(Arc::new(Inner {
            reconciles: add(registry, "reconcile", "Reconciles by how they ended"),
            verdicts: add(registry, "verdict", "Verdicts by reason; Verified if a release was accepted"),
            seconds: add_as(
                registry,
                "reconcile_seconds",
                "How long reconciles took",
                Histogram::new(exponential_buckets(0.005, 2.5, 12)),
            ),
            deliveries: add(registry, "deliveries", "Deliveries by their Ready condition"),
            objects: add(registry, "applied_objects", "Objects by what was done with them"),
            requests: add(registry, "registry_requests", "Calls to registries by result"),
            refused: add(registry, "would_refuse", "Deliveries whose applied release would be refused now"),
            holds: add(registry, "holds", "Deliveries with an emergency hold, by what becomes of it"),
            frozen: add(registry, "frozen", "Deliveries that a freeze keeps something new from"),
            trust_root_age: add(
                registry,
                "trust_root_age_seconds",
                "Time since the oldest trust root was fetched, the built-in one too where a policy relies on it; 0 without any",
            ),
            freezes: add(registry, "freezes", "Freezes by what becomes of them; unknown if that cannot be said"),
            drifted: add(registry, "drift", "Objects found to differ by what was done about it"),
            events: add(registry, "events", "Kubernetes Events by what became of them"),
            audited: add(registry, "audit_lines", "Lines of the audit log by what became of them"),
            queue: add(registry, "queue", "Deliveries by where they are in the queue"),
            waited: add_as(
                registry,
                "queue_wait_seconds",
                "How long Deliveries waited for their turn",
                Histogram::new(exponential_buckets(0.001, 4.0, 10)),
            ),
            wakes: add(registry, "wake", "Turns by the reasons that led to them"),
            stalls: add(registry, "stalls", "What made no progress for its bound and was ended"),
            resolves: add(registry, "resolves", "Answers to what a tag points at, by how they were had"),
            followed: add(registry, "followed_tags", "Distinct tags that are followed"),
            cached: add(registry, "cache_bytes", "Bytes held by cache"),
            receipts: add(registry, "receipts", "Releases that were decided about, each with a record for auditors"),
            to_applied: add_as(
                registry,
                "push_to_applied_seconds",
                "From a release's issue until it was applied",
                Histogram::new(TO_APPLIED.iter().copied()),
            ),
            standings: add(registry, "delivery_reasons", "Deliveries by their Ready condition and its reason"),
            differing: add(registry, "drifted_objects", "Objects that differ from their release now"),
            managed: add(registry, "managed_objects", "Objects that inventories hold"),
            ages: add(registry, "release_age_seconds", "How long ago what runs was issued, over Deliveries"),
            spans: add(registry, "spans", "Spans of traces by what became of them"),
            members: add(registry, "shard_members", "Replicas that share the Deliveries, as this one sees it"),
            shards: add(registry, "shards", "Shards that this replica holds, of 256"),
            shards_taken: add(registry, "shards_taken", "Shards that this replica took, by whose they were"),
            leases_lost: add(registry, "leases_lost", "Times that others took what this replica held"),
            notifications: add(registry, "notifications", "Notifications by what became of them"),
            notifications_pending: add(
                registry,
                "notifications_pending",
                "Events that some service is still to be told",
            ),
            hints: add(registry, "hints", "What was said to Receivers by what became of it"),
            stood: Mutex::default(),
            registry: every,
        }));
        metrics.begin();
        metrics
    }

    /// What can happen stands at zero before it does: of a counter that begins with its first event, Prometheus sees no
    /// increase.
    fn begin(&self) {
        let inner = &*self.0;
        for outcome in Outcome::ALL {
            let _ = inner.reconciles.get_or_create(&OutcomeLabel { outcome: outcome.as_str() });
        }
        let refusals = Reason::ALL.iter().map(|reason| reason.as_str());
        for reason in refusals.chain(words::UNDECIDED.iter().copied()).chain([words::VERIFIED]) {
            let _ = inner.verdicts.get_or_create(&ReasonLabel { reason });
        }
        for verdict in Verdict::ALL {
            let _ = inner.receipts.get_or_create(&VerdictLabel { verdict: verdict.as_str() });
        }
        for state in DRIFT {
            let _ = inner.drifted.get_or_create(&ResultLabel { result: drift(*state) });
        }
        for result in REQUESTS {
            let _ = inner.requests.get_or_create(&ResultLabel { result });
        }
        for result in LINES {
            let _ = inner.audited.get_or_create(&ResultLabel { result });
        }
        for fate in Fate::ALL {
            self.traced(*fate, 0);
        }
        for told in [Told::Sent, Told::Failed, Told::Dropped] {
            let _ = inner.events.get_or_create(&ResultLabel { result: told.as_str() });
        }
        for from in [TakenFrom::Giver, TakenFrom::Gone, TakenFrom::Nobody] {
            self.shards_taken(from, 0);
        }
        for what in [Notified::Sent, Notified::Repeated, Notified::Failed, Notified::Dropped] {
            let _ = inner.notifications.get_or_create(&ResultLabel { result: what.as_str() });
        }
        for what in [Hinted::Taken, Hinted::Refused, Hinted::Limited, Hinted::Unreadable] {
            let _ = inner.hints.get_or_create(&ResultLabel { result: what.as_str() });
        }
        for what in [Stalled::Reconcile, Stalled::Loop] {
            let _ = inner.stalls.get_or_create(&WhatLabel { what: what.as_str() });
        }
        for how in [Resolve::Asked, Resolve::Shared, Resolve::Followed] {
            let _ = inner.resolves.get_or_create(&HowLabel { how: how.as_str() });
        }
        for (_, reason) in queue::Reason::ALL {
            let _ = inner.wakes.get_or_create(&ReasonLabel { reason });
        }
        self.changed(&ChangeSet::default());
    }

    /// The OpenMetrics text.
    ///
    /// # Errors
    /// None in practice: text is written to memory.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A metric that is registered, from zero.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add_as(registry, name, help, M::default())
}

fn add_as<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
