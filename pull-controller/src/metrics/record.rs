//! What is counted where it happens.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use sealift_apply::{
    api::{DriftState, HoldState},
    change::{Action, ChangeSet},
};
use sealift_trace::Fate;
use sealift_verify::refusal::Reason;

use super::{
    Metrics,
    census::Standing,
    labels::{
        ActionLabel, ByReadiness, CACHES, CacheLabel, FromLabel, Hinted, HowLabel, Notified, Outcome, OutcomeLabel,
        QUANTILES, QuantileLabel, ReadyLabel, ReasonLabel, Resolve, ResultLabel, Stalled, StandingLabel, StateLabel,
        TakenFrom, Told, VerdictLabel, WhatLabel, drift,
    },
    receipt::Receipt,
};
use crate::{
    controller::ByState,
    queue::{Depth, Reasons},
};

impl Metrics {
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
    pub(super) fn standings(&self, counts: &BTreeMap<Standing, i64>) {
        let mut stood = self.0.stood.lock().unwrap_or_else(PoisonError::into_inner);
        stood.extend(counts.keys());
        for (ready, reason) in stood.iter().copied() {
            let count = counts.get(&(ready, reason)).copied().unwrap_or_default();
            self.0.standings.get_or_create(&StandingLabel { ready, reason }).set(count);
        }
    }

    /// How many objects differ from their release now.
    pub(super) fn differing(&self, objects: u64) {
        self.0.differing.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// How many objects inventories hold.
    pub(super) fn managed(&self, objects: u64) {
        self.0.managed.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// How old what runs is, shortest first.
    pub(super) fn ages(&self, ages: &[Duration]) {
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
}
