//! What is counted. Every label comes from a closed set, so the number of series has a bound. `docs/metrics.md` has all of it.

mod census;
mod process;
mod receipt;
#[cfg(test)]
mod table;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};
use sealift_apply::{
    api::{DriftState, HoldState},
    change::{Action, ChangeSet},
};
use sealift_trace::Fate;
use sealift_verify::refusal::Reason;

use self::{census::Standing, process::Process};
pub use self::{
    census::count,
    receipt::{Receipt, Verdict},
};
use crate::{
    controller::ByState,
    queue::{self, Depth, Reasons},
};

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

/// Whose shards this replica took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakenFrom {
    /// Another replica gave them away.
    Giver,
    /// The replica that held them was gone.
    Gone,
    /// Nobody held them yet.
    Nobody,
}

/// What made no progress for its bound, and was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stalled {
    /// The look at one Delivery.
    Reconcile,
    /// A loop of the program; it was begun anew.
    Loop,
}

/// What became of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// It was recorded.
    Sent,
    /// The API server did not take it.
    Failed,
    /// Too many waited.
    Dropped,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notified {
    /// A service took it.
    Sent,
    /// It is sent to a service that may have it already.
    Repeated,
    /// A service did not take it, and is told again later.
    Failed,
    /// It is given up: too many waited, or it waited for too long.
    Dropped,
}

/// What became of something that was said to a Receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hinted {
    /// What it is about is asked for.
    Taken,
    /// Who said it is not known.
    Refused,
    /// He said too much.
    Limited,
    /// He is known and says what is not understood.
    Unreadable,
}

/// How a tag came to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolve {
    /// A reconcile needed the answer, and the registry was asked.
    Asked,
    /// A reconcile needed the answer, and it was known.
    Shared,
    /// The registry was asked in the background, for all who follow the tag.
    Followed,
}

impl Stalled {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reconcile => "reconcile",
            Self::Loop => "loop",
        }
    }
}

impl Told {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Notified {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Repeated => "repeated",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Hinted {
    fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Resolve {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Shared => "shared",
            Self::Followed => "followed",
        }
    }
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Something was changed in the cluster.
    Changed,
    /// Nothing had to be.
    Unchanged,
    /// Waiting for health.
    Progressing,
    /// The release was refused.
    Refused,
    /// No answer could be had.
    CouldNotCheck,
    /// It went wrong otherwise.
    Failed,
    /// It is suspended.
    Suspended,
    /// The Delivery is being deleted.
    Deleting,
}

/// What can become of drift.
const DRIFT: &[DriftState] = &[DriftState::Corrected, DriftState::Reported, DriftState::Contended, DriftState::Held];
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
/// What became of a request to a registry, in words.
const REQUESTS: &[&str] =
    &["ok", "not_found", "unauthorized", "identity", "rate_limited", "unreachable", "not_allowed", "unusable"];
/// What became of a line of the audit log, in words.
const LINES: &[&str] = &["written", "lost"];
/// What holds bytes, in words.
const CACHES: &[&str] = &["disk", "inventories", "layers", "objects", "signatures"];
/// Upper bounds of the times from a release's issue until it is applied: seconds with a webhook, minutes by interval, days where it waits for somebody.
const TO_APPLIED: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];
/// Which of all ages are told.
const QUANTILES: &[(&str, f64)] = &[("0.5", 0.5), ("0.9", 0.9), ("1", 1.0)];

impl Outcome {
    const ALL: &[Self] = &[
        Self::Changed,
        Self::Unchanged,
        Self::Progressing,
        Self::Refused,
        Self::CouldNotCheck,
        Self::Failed,
        Self::Suspended,
        Self::Deleting,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Progressing => "progressing",
            Self::Refused => "refused",
            Self::CouldNotCheck => "could_not_check",
            Self::Failed => "failed",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HowLabel {
    how: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FromLabel {
    from: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabel {
    cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadyLabel {
    ready: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StandingLabel {
    ready: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabel {
    quantile: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// How many Deliveries there are by what their Ready condition says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByReadiness {
    /// `True`.
    pub ready: i64,
    /// `False`.
    pub not_ready: i64,
    /// Anything else, or no condition yet.
    pub unknown: i64,
}

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        let mut every = Registry::default();
        every.register_collector(Box::new(Process::new()));
        let registry = every.sub_registry_with_prefix("sealift");
        let reconciles = Family::default();
        registry.register("reconcile", "Reconciles by how they ended", reconciles.clone());
        let verdicts = Family::default();
        registry.register("verdict", "Verdicts by reason; Verified if a release was accepted", verdicts.clone());
        let seconds = Histogram::new(exponential_buckets(0.005, 2.5, 12));
        registry.register("reconcile_seconds", "How long reconciles took", seconds.clone());
        let deliveries = Family::default();
        registry.register("deliveries", "Deliveries by their Ready condition", deliveries.clone());
        let objects = Family::default();
        registry.register("applied_objects", "Objects by what was done with them", objects.clone());
        let requests = Family::default();
        registry.register("registry_requests", "Calls to registries by result", requests.clone());
        let refused = Family::default();
        registry.register("would_refuse", "Deliveries whose applied release would be refused now", refused.clone());
        let holds = Family::default();
        registry.register("holds", "Deliveries with an emergency hold, by what becomes of it", holds.clone());
        let frozen = Gauge::default();
        registry.register("frozen", "Deliveries that a freeze keeps something new from", frozen.clone());
        let trust_root_age = Gauge::default();
        let told = "Time since the oldest trust root was fetched, the built-in one too where a policy relies on it; 0 without any";
        registry.register("trust_root_age_seconds", told, trust_root_age.clone());
        let freezes = Family::default();
        registry.register(
            "freezes",
            "Freezes by what becomes of them; unknown if that cannot be said",
            freezes.clone(),
        );
        let drifted = Family::default();
        registry.register("drift", "Objects found to differ by what was done about it", drifted.clone());
        let events = Family::default();
        registry.register("events", "Kubernetes Events by what became of them", events.clone());
        let audited = Family::default();
        registry.register("audit_lines", "Lines of the audit log by what became of them", audited.clone());
        let queue = Family::default();
        registry.register("queue", "Deliveries by where they are in the queue", queue.clone());
        let waited = Histogram::new(exponential_buckets(0.001, 4.0, 10));
        registry.register("queue_wait_seconds", "How long Deliveries waited for their turn", waited.clone());
        let wakes = Family::default();
        registry.register("wake", "Turns by the reasons that led to them", wakes.clone());
        let stalls = Family::default();
        registry.register("stalls", "What made no progress for its bound and was ended", stalls.clone());
        let resolves = Family::default();
        registry.register("resolves", "Answers to what a tag points at, by how they were had", resolves.clone());
        let followed = Gauge::default();
        registry.register("followed_tags", "Distinct tags that are followed", followed.clone());
        let cached = Family::default();
        registry.register("cache_bytes", "Bytes held by cache", cached.clone());
        let receipts = Family::default();
        registry.register(
            "receipts",
            "Releases that were decided about, each with a record for auditors",
            receipts.clone(),
        );
        let to_applied = Histogram::new(TO_APPLIED.iter().copied());
        registry.register("push_to_applied_seconds", "From a release's issue until it was applied", to_applied.clone());
        let standings = Family::default();
        registry.register("delivery_reasons", "Deliveries by their Ready condition and its reason", standings.clone());
        let differing = Gauge::default();
        registry.register("drifted_objects", "Objects that differ from their release now", differing.clone());
        let managed = Gauge::default();
        registry.register("managed_objects", "Objects that inventories hold", managed.clone());
        let ages = Family::default();
        registry.register("release_age_seconds", "How long ago what runs was issued, over Deliveries", ages.clone());
        let spans = Family::default();
        registry.register("spans", "Spans of traces by what became of them", spans.clone());
        let members = Gauge::default();
        registry.register("shard_members", "Replicas that share the Deliveries, as this one sees it", members.clone());
        let shards = Gauge::default();
        registry.register("shards", "Shards that this replica holds, of 256", shards.clone());
        let shards_taken = Family::default();
        registry.register("shards_taken", "Shards that this replica took, by whose they were", shards_taken.clone());
        let leases_lost = Counter::default();
        registry.register("leases_lost", "Times that others took what this replica held", leases_lost.clone());
        let notifications = Family::default();
        registry.register("notifications", "Notifications by what became of them", notifications.clone());
        let notifications_pending = Gauge::default();
        let help = "Events that some service is still to be told";
        registry.register("notifications_pending", help, notifications_pending.clone());
        let hints = Family::default();
        registry.register("hints", "What was said to Receivers by what became of it", hints.clone());
        registry.register("build", "The running version", Info::new(BUILD));
        let metrics = Self(Arc::new(Inner {
            registry: every,
            reconciles,
            verdicts,
            seconds,
            deliveries,
            objects,
            requests,
            refused,
            holds,
            frozen,
            trust_root_age,
            freezes,
            audited,
            events,
            drifted,
            queue,
            waited,
            wakes,
            stalls,
            resolves,
            followed,
            cached,
            receipts,
            to_applied,
            standings,
            stood: Mutex::default(),
            differing,
            managed,
            spans,
            ages,
            members,
            shards,
            shards_taken,
            leases_lost,
            notifications,
            notifications_pending,
            hints,
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

    /// A reconcile ended.
    pub fn reconciled(&self, outcome: Outcome, took: Duration) {
        self.0.reconciles.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
        self.0.seconds.observe(took.as_secs_f64());
    }

    /// A verdict was reached; `reason` is `Verified` or one of the closed set of refusals.
    pub fn verdict(&self, reason: &'static str) {
        self.0.verdicts.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Objects were applied or pruned.
    pub fn changed(&self, changes: &ChangeSet) {
        for (action, name) in [
            (Action::Created, "created"),
            (Action::Configured, "configured"),
            (Action::Unchanged, "unchanged"),
            (Action::Deleted, "deleted"),
            (Action::Skipped, "skipped"),
        ] {
            self.0.objects.get_or_create(&ActionLabel { action: name }).inc_by(changes.count(action) as u64);
        }
    }

    /// An object was found to differ.
    pub fn drifted(&self, state: DriftState) {
        self.0.drifted.get_or_create(&ResultLabel { result: drift(state) }).inc();
    }

    /// A registry was asked.
    pub fn requested(&self, result: &'static str) {
        self.0.requests.get_or_create(&ResultLabel { result }).inc();
    }

    /// An Event was sent, or was not.
    pub fn told(&self, told: Told) {
        self.0.events.get_or_create(&ResultLabel { result: told.as_str() }).inc();
    }

    /// Something became of a notification.
    pub fn notified(&self, what: Notified) {
        self.0.notifications.get_or_create(&ResultLabel { result: what.as_str() }).inc();
    }

    /// Somebody said something to a Receiver.
    pub fn hinted(&self, what: Hinted) {
        self.0.hints.get_or_create(&ResultLabel { result: what.as_str() }).inc();
    }

    /// How many events some service is still to be told now.
    pub fn notifications_pending(&self, events: usize) {
        self.0.notifications_pending.set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    /// A line of the audit log was written or lost.
    pub fn audited(&self, result: &'static str) {
        self.0.audited.get_or_create(&ResultLabel { result }).inc();
    }

    /// A Delivery got its turn.
    pub fn turn(&self, reasons: Reasons, waited: Duration) {
        self.0.waited.observe(waited.as_secs_f64());
        for reason in reasons.names() {
            self.0.wakes.get_or_create(&ReasonLabel { reason }).inc();
        }
    }

    /// How full the queue is now.
    pub fn queue(&self, depth: Depth) {
        let Depth { waiting, running, later } = depth;
        for (state, count) in [("waiting", waiting), ("running", running), ("later", later)] {
            self.0.queue.get_or_create(&StateLabel { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// A tag was resolved.
    pub fn resolved(&self, how: Resolve) {
        self.0.resolves.get_or_create(&HowLabel { how: how.as_str() }).inc();
    }

    /// How many distinct tags are followed now.
    pub fn followed(&self, tags: usize) {
        self.0.followed.set(i64::try_from(tags).unwrap_or(i64::MAX));
    }

    /// How many bytes a cache holds now; its name is one of a closed set.
    pub fn cached(&self, cache: &'static str, bytes: u64) {
        debug_assert!(CACHES.contains(&cache), "{cache} is among the documented ones");
        self.0.cached.get_or_create(&CacheLabel { cache }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// How many replicas there are now, and how many shards this one holds.
    pub fn shards(&self, members: usize, shards: usize) {
        self.0.members.set(i64::try_from(members).unwrap_or(i64::MAX));
        self.0.shards.set(i64::try_from(shards).unwrap_or(i64::MAX));
    }

    /// This replica took shards.
    pub fn shards_taken(&self, from: TakenFrom, shards: usize) {
        let from = match from {
            TakenFrom::Giver => "giver",
            TakenFrom::Gone => "gone",
            TakenFrom::Nobody => "nobody",
        };
        self.0.shards_taken.get_or_create(&FromLabel { from }).inc_by(shards as u64);
    }

    /// Others took what this replica held.
    pub fn lease_lost(&self) {
        self.0.leases_lost.inc();
    }

    /// Something made no progress and was ended.
    pub fn stalled(&self, what: Stalled) {
        self.0.stalls.get_or_create(&WhatLabel { what: what.as_str() }).inc();
    }

    /// The reasons for which what is applied would be refused now, one a Delivery. They are read from statuses, so what is
    /// no reason of ours counts as `Other`.
    pub fn would_refuse<'a>(&self, reasons: impl Iterator<Item = &'a str>) {
        let known = Reason::ALL.iter().map(|reason| reason.as_str()).chain(["Other"]);
        let mut counts: BTreeMap<&'static str, i64> = known.map(|reason| (reason, 0)).collect();
        for reason in reasons {
            let known = Reason::ALL.iter().find(|known| known.as_str() == reason);
            *counts.entry(known.map_or("Other", |known| known.as_str())).or_default() += 1;
        }
        for (reason, count) in counts {
            self.0.refused.get_or_create(&ReasonLabel { reason }).set(count);
        }
    }

    /// What becomes of the emergency holds that there are, one a Delivery.
    pub fn holds(&self, states: impl Iterator<Item = HoldState>) {
        let mut counts = [
            (HoldState::InForce, "in_force", 0),
            (HoldState::Pending, "pending", 0),
            (HoldState::Refused, "refused", 0),
            (HoldState::Ended, "ended", 0),
        ];
        for state in states {
            counts.iter_mut().filter(|(known, ..)| *known == state).for_each(|(.., count)| *count += 1);
        }
        for (_, state, count) in counts {
            self.0.holds.get_or_create(&StateLabel { state }).set(count);
        }
    }

    /// A release was decided about.
    pub fn decided(&self, receipt: Receipt) {
        let Receipt { verdict, took } = receipt;
        self.0.receipts.get_or_create(&VerdictLabel { verdict: verdict.as_str() }).inc();
        if let Some(took) = took {
            self.0.to_applied.observe(took.as_secs_f64());
        }
    }

    /// Spans were sent, or were not.
    pub fn traced(&self, fate: Fate, spans: u64) {
        self.0.spans.get_or_create(&ResultLabel { result: fate.as_str() }).inc_by(spans);
    }

    /// How many Deliveries are how, and why.
    fn standings(&self, counts: &BTreeMap<Standing, i64>) {
        let mut stood = self.0.stood.lock().unwrap_or_else(PoisonError::into_inner);
        stood.extend(counts.keys());
        for (ready, reason) in stood.iter().copied() {
            let count = counts.get(&(ready, reason)).copied().unwrap_or_default();
            self.0.standings.get_or_create(&StandingLabel { ready, reason }).set(count);
        }
    }

    /// How many objects differ from their release now.
    fn differing(&self, objects: u64) {
        self.0.differing.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// How many objects inventories hold.
    fn managed(&self, objects: u64) {
        self.0.managed.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// How old what runs is, shortest first.
    fn ages(&self, ages: &[Duration]) {
        for (quantile, share) in QUANTILES {
            let label = QuantileLabel { quantile };
            let rank = (ages.len() as f64 * share).ceil() as usize;
            match rank.checked_sub(1).and_then(|rank| ages.get(rank)) {
                Some(age) => drop(self.0.ages.get_or_create(&label).set(age.as_secs_f64())),
                None => drop(self.0.ages.remove(&label)),
            }
        }
    }

    /// How many Deliveries a freeze keeps something new from.
    pub fn frozen(&self, deliveries: usize) {
        self.0.frozen.set(i64::try_from(deliveries).unwrap_or(i64::MAX));
    }

    /// How long ago the trust root was fetched for which that is longest ago, in seconds.
    pub(crate) fn trust_root_age(&self, seconds: i64) {
        self.0.trust_root_age.set(seconds);
    }

    /// How many Freezes there are.
    pub(crate) fn freezes(&self, by: ByState) {
        let ByState { in_force, over, unusable, unknown } = by;
        for (state, count) in [("in_force", in_force), ("over", over), ("unusable", unusable), ("unknown", unknown)] {
            self.0.freezes.get_or_create(&StateLabel { state }).set(count);
        }
    }

    /// How the Deliveries are now.
    pub fn deliveries(&self, by: ByReadiness) {
        let ByReadiness { ready, not_ready, unknown } = by;
        for (label, count) in [("true", ready), ("false", not_ready), ("unknown", unknown)] {
            self.0.deliveries.get_or_create(&ReadyLabel { ready: label }).set(count);
        }
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

fn drift(state: DriftState) -> &'static str {
    match state {
        DriftState::Corrected => "corrected",
        DriftState::Reported => "reported",
        DriftState::Contended => "contended",
        DriftState::Held => "held",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_documented_ones() {
        let metrics = Metrics::new();
        metrics.reconciled(Outcome::Changed, Duration::from_millis(20));
        metrics.verdict("Unsigned");
        metrics.changed(&ChangeSet::default());
        metrics.requested("ok");
        metrics.deliveries(ByReadiness { ready: 2, ..ByReadiness::default() });
        metrics.would_refuse(["Denied", "Denied", "a tenant wrote this"].into_iter());
        metrics.holds([HoldState::InForce, HoldState::InForce, HoldState::Refused].into_iter());
        metrics.holds([HoldState::InForce].into_iter());
        metrics.frozen(3);
        metrics.trust_root_age(60);
        metrics.freezes(ByState { in_force: 1, ..ByState::default() });
        metrics.audited("written");
        metrics.drifted(DriftState::Contended);
        metrics.turn(crate::queue::Reason::Due.into(), Duration::from_millis(3));
        metrics.queue(Depth { waiting: 4, running: 2, later: 1 });
        metrics.stalled(Stalled::Reconcile);
        metrics.resolved(Resolve::Followed);
        metrics.followed(3);
        metrics.cached("layers", 10);
        metrics.shards(3, 85);
        metrics.shards_taken(TakenFrom::Gone, 42);
        metrics.lease_lost();
        metrics.notified(Notified::Repeated);
        metrics.notifications_pending(2);
        metrics.hinted(Hinted::Limited);
        let text = metrics.render().unwrap();
        for line in [
            "sealift_reconcile_total{outcome=\"changed\"} 1",
            "sealift_verdict_total{reason=\"Unsigned\"} 1",
            "sealift_reconcile_seconds_count 1",
            "sealift_deliveries{ready=\"true\"} 2",
            "sealift_applied_objects_total{action=\"created\"} 0",
            "sealift_registry_requests_total{result=\"ok\"} 1",
            "sealift_would_refuse{reason=\"Denied\"} 2",
            "sealift_would_refuse{reason=\"Other\"} 1",
            "sealift_would_refuse{reason=\"Unsigned\"} 0",
            "sealift_holds{state=\"in_force\"} 1",
            "sealift_holds{state=\"refused\"} 0",
            "sealift_frozen 3",
            "sealift_trust_root_age_seconds 60",
            "sealift_freezes{state=\"in_force\"} 1",
            "sealift_freezes{state=\"unknown\"} 0",
            "sealift_drift_total{result=\"contended\"} 1",
            "sealift_audit_lines_total{result=\"written\"} 1",
            "sealift_queue{state=\"waiting\"} 4",
            "sealift_queue_wait_seconds_count 1",
            "sealift_wake_total{reason=\"due\"} 1",
            "sealift_stalls_total{what=\"reconcile\"} 1",
            "sealift_resolves_total{how=\"followed\"} 1",
            "sealift_followed_tags 3",
            "sealift_cache_bytes{cache=\"layers\"} 10",
            "sealift_shard_members 3",
            "sealift_shards 85",
            "sealift_shards_taken_total{from=\"gone\"} 42",
            "sealift_leases_lost_total 1",
            "sealift_notifications_total{result=\"repeated\"} 1",
            "sealift_notifications_pending 2",
            "sealift_hints_total{result=\"limited\"} 1",
            "sealift_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
