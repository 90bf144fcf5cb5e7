//! What one replica knows of the others, and what follows from it. *pure*
//!
//! Each run of a replica is a *member*: it has a Lease of its own, which it renews, and a name that never comes back. A table,
//! which is only written over the version that was read, says which member holds which shard. From this follows:
//!
//! 1. A member works on a shard only while the table names it and its own Lease lasts, by its own monotonic clock, from
//!    the moment at which it *sent* the last renewal that was answered.
//! 2. A shard passes on when its holder gives it away, after everything it did there has ended, or when its holder has no
//!    Lease any more.
//! 3. A member's Lease is deleted by itself on the way out; or by another that saw it unchanged for longer than it lasts, by
//!    *its* own monotonic clock, and only in the version that it saw: a renewal that comes first makes that fail.
//!
//! So clocks are never compared, and may differ by any amount; they must only run about equally fast, within the quarter by
//! which others wait longer. Leases and table come by one watch, in the order in which they were written: who stands in
//! the table was seen to have a Lease before.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    rendezvous::{Member, Owners, Shard, ShardSet},
    table::Table,
};

/// How long Leases last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms(pub(crate) Duration);

impl Terms {
    /// How long one lasts from when its renewal was sent.
    pub(crate) fn lasts(self) -> Duration {
        self.0
    }

    /// How often it is renewed.
    pub(crate) fn renewed_every(self) -> Duration {
        self.0 / 5
    }

    /// How soon again if there was no answer, and how long one is waited for.
    pub(crate) fn tried_again_after(self) -> Duration {
        self.0 / 15
    }

    /// After how long without a change another's is deleted.
    pub(crate) fn patience(self) -> Duration {
        self.0 + self.0 / 4
    }
}

/// A member's Lease as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) uid: String,
    pub(crate) version: String,
    /// It is on its way out, and takes no shards.
    pub(crate) is_leaving: bool,
}

#[derive(Debug)]
struct Seen {
    lease: Lease,
    /// When it was last seen to change.
    heard: Instant,
}

/// A Lease that nobody renews any more, to be deleted in this very version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Burial {
    pub(crate) member: Member,
    pub(crate) lease: Lease,
}

/// The table as it is to be written, over this version; without one it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writing {
    pub(crate) over: Option<String>,
    pub(crate) table: Table,
}

/// Where shards that this replica got came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Another gave them away.
    pub(crate) given: usize,
    /// Their holder was gone.
    pub(crate) orphaned: usize,
    /// Nobody held them.
    pub(crate) fresh: usize,
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// What may be worked on. Nothing else is begun.
    pub(crate) hold: ShardSet,
    /// What is to be ended, written down and then told by [`Membership::parted`].
    pub(crate) give: ShardSet,
    /// What was taken away: to be ended and forgotten, and then told in the same way.
    pub(crate) forget: ShardSet,
    /// Something was taken away just now: whatever runs may not write any more.
    pub(crate) robbed: bool,
    pub(crate) bury: Vec<Burial>,
    pub(crate) write: Option<Writing>,
    pub(crate) taken: Taken,
    /// When to ask again at the latest.
    pub(crate) wake: Option<Instant>,
}

/// One replica's knowledge.
#[derive(Debug)]
pub(crate) struct Membership {
    terms: Terms,
    me: Member,
    /// Until when the own Lease lasts; `None` while there is none.
    until: Option<Instant>,
    /// A renewal got no answer, so that the silence of others says nothing.
    deaf: bool,
    leaving: bool,
    listed: bool,
    leases: BTreeMap<Member, Seen>,
    table: Option<(String, Table)>,
    /// While a list comes in: what it named so far. It is taken as a whole, since a table says nothing without all Leases.
    listing: Option<Listing>,
    owners: Owners,
    /// What is to be another's.
    elsewhere: ShardSet,
    /// What may be worked on, as of the last decision.
    hold: ShardSet,
    /// What was worked on and has not been parted with.
    working: ShardSet,
    /// What was taken away and has not ended.
    stale: ShardSet,
    taken: Taken,
    /// What was last written, as long as it may still be taken.
    offer: Option<Offer>,
    /// Former runs of this replica, which are known to have ended.
    predecessors: Predecessors,
}

#[derive(Debug, Default)]
struct Listing {
    leases: BTreeMap<Member, Lease>,
    table: Option<(String, Table)>,
}

/// A table that was sent over a version, and may have been taken.
#[derive(Debug)]
struct Offer {
    over: Option<String>,
    /// What it gives away: nothing is begun there, whatever is thought of it meanwhile.
    given: ShardSet,
    /// Whether it can still be taken.
    state: Sent,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    /// There is no answer yet.
    OnItsWay,
    /// It was refused or not answered. It may be tried again from the first time on. By the second the server has given up
    /// whatever it may still have had of it.
    Failed(Instant, Instant),
}

#[derive(Debug, PartialEq, Eq)]
enum Predecessors {
    /// Whoever has this replica's name when the first list comes in.
    Sought,
    Are(BTreeSet<Member>),
}

impl Membership {
    /// Knows nothing yet. With `replaces`, other runs of the same replica have ended when this one begins.
    pub(crate) fn new(terms: Terms, me: Member, replaces: bool) -> Self {
        let predecessors = if replaces { Predecessors::Sought } else { Predecessors::Are(BTreeSet::new()) };
        Self {
            terms,
            me,
            until: None,
            deaf: false,
            leaving: false,
            listed: false,
            leases: BTreeMap::new(),
            table: None,
            listing: None,
            owners: Owners::default(),
            elsewhere: ShardSet::default(),
            hold: ShardSet::default(),
            working: ShardSet::default(),
            stale: ShardSet::default(),
            taken: Taken::default(),
            offer: None,
            predecessors,
        }
    }

    /// The member that this process is now.
    pub(crate) fn me(&self) -> &Member {
        &self.me
    }

    /// How many members have a Lease.
    pub(crate) fn members(&self) -> usize {
        self.leases.keys().filter(|member| **member != self.me).count() + usize::from(self.until.is_some())
    }

    /// True from when the own Lease was made until it is lost, though it may have run out.
    pub(crate) fn has_lease(&self) -> bool {
        self.until.is_some()
    }

    /// From now on it takes no shards, and gives away those that it has.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The own Lease was made or renewed by a request that was sent then. Answers until when it lasts.
    pub(crate) fn renewed(&mut self, sent: Instant, now: Instant) -> Instant {
        let until = sent + self.terms.lasts();
        if self.deaf || !self.is_valid(now) {
            // While nobody could be heard, nobody was silent: after an outage all begin anew.
            self.leases.values_mut().for_each(|seen| seen.heard = now);
            self.deaf = false;
        }
        self.until = Some(self.until.map_or(until, |before| before.max(until)));
        until
    }

    /// A renewal was not answered.
    pub(crate) fn unheard(&mut self) {
        self.deaf = true;
    }

    /// The own Lease is gone, or was never made: this process becomes another member, with nothing.
    pub(crate) fn lost(&mut self, next: Member) {
        self.me = next;
        self.until = None;
        self.stale = self.stale.and(&self.working);
        (self.working, self.hold) = Default::default();
    }

    /// A list of all Leases begins.
    pub(crate) fn listing(&mut self) {
        self.listing = Some(Listing::default());
    }

    /// It has come to its end. True if it did not name the own Lease, which was there.
    pub(crate) fn listed(&mut self, now: Instant) -> bool {
        let Listing { leases, table } = self.listing.take().unwrap_or_default();
        let lost = self.leases.contains_key(&self.me) && !leases.contains_key(&self.me);
        if self.predecessors == Predecessors::Sought {
            let same = leases.keys().filter(|member| **member != self.me && member.id() == self.me.id());
            self.predecessors = Predecessors::Are(same.cloned().collect());
        }
        self.leases.retain(|member, _| leases.contains_key(member));
        leases.into_iter().for_each(|(member, lease)| self.saw(member, lease, now));
        self.agreed(table);
        self.listed = true;
        lost
    }

    /// A member's Lease, as a list or an event tells.
    pub(crate) fn saw(&mut self, member: Member, lease: Lease, now: Instant) {
        if let Some(listing) = &mut self.listing {
            listing.leases.insert(member, lease);
            return;
        }
        match self.leases.get_mut(&member) {
            Some(seen) if seen.lease.version == lease.version => {}
            Some(seen) => *seen = Seen { lease, heard: now },
            None => drop(self.leases.insert(member, Seen { lease, heard: now })),
        }
    }

    /// A member's Lease is gone. True if it is the own one.
    pub(crate) fn gone(&mut self, member: &Member) -> bool {
        self.leases.remove(member);
        *member == self.me && self.until.is_some()
    }

    /// The table, as a list or an event tells; `None` if it is gone. The answer to a write is not asked: it may be older than
    /// what the watch has brought since.
    pub(crate) fn agreed(&mut self, table: Option<(String, Table)>) {
        if let Some(listing) = &mut self.listing {
            listing.table = table;
            return;
        }
        // Whoever wrote it: nothing else that was sent over the version before is taken any more.
        if self.offer.as_ref().is_some_and(|offer| offer.over.as_ref() != table.as_ref().map(|(version, _)| version)) {
            self.offer = None;
        }
        if let Some((_, table)) = &table {
            let before = self.table.as_ref().map(|(_, table)| table);
            for shard in Shard::all().filter(|shard| table.holder(*shard) == Some(&self.me)) {
                match before.and_then(|before| before.holder(shard)) {
                    Some(holder) if *holder == self.me => {}
                    Some(holder) if self.leases.contains_key(holder) => self.taken.given += 1,
                    Some(_) => self.taken.orphaned += 1,
                    None => self.taken.fresh += 1,
                }
            }
        }
        self.table = table;
    }

    /// What was written was refused, or not answered.
    pub(crate) fn not_taken(&mut self, now: Instant) {
        if let Some(offer) = &mut self.offer {
            offer.state = Sent::Failed(now + self.terms.tried_again_after(), now + self.terms.patience());
        }
    }

    /// A burial did not succeed: that member was heard of, or cannot be buried now.
    pub(crate) fn not_buried(&mut self, member: &Member, now: Instant) {
        if let Some(seen) = self.leases.get_mut(member) {
            seen.heard = now + self.terms.renewed_every() - self.terms.patience();
        }
        if let Predecessors::Are(members) = &mut self.predecessors {
            members.remove(member);
        }
    }

    /// What was worked on in these shards has ended, and what was owed is written or forgotten.
    pub(crate) fn parted(&mut self, shards: &ShardSet) {
        self.working = self.working.without(shards);
        self.stale = self.stale.without(shards);
    }

    /// What is to be done now.
    pub(crate) fn decide(&mut self, now: Instant) -> Decision {
        let mine = match &self.table {
            Some((_, table)) if self.until.is_some() && self.listed => table.held_by(&self.me),
            _ => ShardSet::default(),
        };
        let robbed = self.working.without(&mine);
        self.stale = self.stale.and(&robbed);
        self.working = self.working.common(&mine);
        let mut decision = Decision { robbed: !robbed.is_empty(), ..Decision::default() };
        if self.is_valid(now) && self.listed {
            self.judge(&mut decision, &mine, now);
            let offered = self.offer.as_ref().map(|offer| offer.given).unwrap_or_default();
            self.hold = mine.without(&self.elsewhere).without(&offered).without(&self.stale);
        } else {
            self.hold = self.hold.common(&mine).without(&self.stale);
        }
        self.working = self.working.and(&self.hold);
        decision.hold = self.hold;
        decision.give = self.working.without(&self.hold);
        decision.forget = self.stale;
        decision.taken = std::mem::take(&mut self.taken);
        decision
    }

    /// Who is gone, whose each shard is to be, and what the table is to say.
    fn judge(&mut self, decision: &mut Decision, mine: &ShardSet, now: Instant) {
        match self.offer.as_ref().map(|offer| offer.state) {
            Some(Sent::Failed(_, end)) if now < end => decision.wake_at(end),
            Some(Sent::Failed(..)) => self.offer = None,
            Some(Sent::OnItsWay) | None => {}
        }
        let is_gone = |member: &Member, seen: &Seen| {
            let ended = matches!(&self.predecessors, Predecessors::Are(members) if members.contains(member));
            ended || now >= seen.heard + self.terms.patience()
        };
        let others = || self.leases.iter().filter(|(member, _)| **member != self.me);
        for (member, seen) in others() {
            match is_gone(member, seen) {
                true => decision.bury.push(Burial { member: member.clone(), lease: seen.lease.clone() }),
                false => decision.wake_at(seen.heard + self.terms.patience()),
            }
        }
        let takers: BTreeSet<&Member> = others()
            .filter(|(_, seen)| !seen.lease.is_leaving)
            .map(|(member, _)| member)
            .chain((!self.leaving).then_some(&self.me))
            .collect();
        let owners = self.owners.among(&takers);
        self.elsewhere = owners.elsewhere(&self.me);
        // What is done there has ended, or was never begun.
        let ready = mine.common(&self.elsewhere).without(&self.working).without(&self.stale);
        let (over, before) = match &self.table {
            Some((version, table)) => (Some(version), Some(table)),
            None => (None, None),
        };
        let is_there = |member: &Member| *member == self.me || self.leases.contains_key(member);
        let table = before.unwrap_or(&Table::default()).next(&self.me, is_there, owners, &ready);
        if before == Some(&table) {
            return;
        }
        let before = self.offer.take();
        match before.as_ref().map(|offer| offer.state) {
            Some(Sent::Failed(again, _)) if now < again => decision.wake_at(again),
            Some(Sent::OnItsWay) => {}
            _ => {
                // What was sent before may be taken yet, instead of this.
                let given = ready.and(&before.map(|offer| offer.given).unwrap_or_default());
                self.offer = Some(Offer { over: over.cloned(), given, state: Sent::OnItsWay });
                decision.write = Some(Writing { over: over.cloned(), table });
                return;
            }
        }
        self.offer = before;
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

impl Decision {
    fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
