//! Which shard a Delivery is of, and which replica a shard goes to. *pure*
//!
//! Replicas of different versions run side by side during an upgrade, so neither answer may ever change.

use std::{cmp::Reverse, collections::BTreeSet, fmt, str::FromStr};

use sealift_verify::digest::Digest;

use crate::queue::Key;

/// How many shards there are, whatever the number of Deliveries: so what replicas agree on has a bound.
pub(crate) const SHARDS: usize = 256;

/// A part of all Deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shard(u8);

impl Shard {
    /// What belongs to nobody in particular, such as telling of an unusable policy, is done by whoever holds this one.
    pub(crate) const OF_DUTIES: Self = Self(0);

    /// The shard of a Delivery.
    pub(crate) fn of(key: &Key) -> Self {
        Self(Digest::of(format!("{}/{}", key.namespace, key.name).as_bytes()).as_bytes()[0])
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    pub(super) fn index(self) -> usize {
        self.0.into()
    }
}

/// One run of a replica: `ID.RUN`. A replica that is started again is another member, so that no name ever comes back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Member(String);

impl Member {
    /// A run of the replica `id`; `run` has no dot.
    pub(crate) fn new(id: &str, run: &str) -> Self {
        Self(format!("{id}.{run}"))
    }

    /// A member by the name of its Lease.
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Which replica it is a run of.
    pub(crate) fn id(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(id, _)| id)
    }

    /// The name of its Lease.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose a shard is to be: each member draws a number for it, and the highest wins. Who comes or goes moves no shards but
/// its own. Numbers go by the replica, so one that was started again gets the shards that it had.
fn owner<'a>(members: impl IntoIterator<Item = &'a Member>, shard: Shard) -> Option<&'a Member> {
    let draw = |name: &str| *Digest::of(format!("{name} {}", shard.0).as_bytes()).as_bytes();
    members.into_iter().max_by_key(|member| (draw(member.id()), draw(member.name()), Reverse(*member)))
}

/// Whose each shard is to be, among those who take some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    takers: BTreeSet<Member>,
    by_shard: Vec<Option<Member>>,
}

impl Owners {
    /// Reckons it anew if others take shards than before.
    pub(crate) fn among(&mut self, takers: &BTreeSet<&Member>) -> &Self {
        if !takers.iter().copied().eq(&self.takers) || self.by_shard.is_empty() {
            self.takers = takers.iter().copied().cloned().collect();
            self.by_shard = Shard::all().map(|shard| owner(&self.takers, shard).cloned()).collect();
        }
        self
    }

    /// Whose the shard is to be; nobody's if nobody takes any.
    pub(crate) fn of(&self, shard: Shard) -> Option<&Member> {
        self.by_shard.get(shard.index())?.as_ref()
    }

    /// Those that are to be somebody's, but not this member's.
    pub(crate) fn elsewhere(&self, me: &Member) -> ShardSet {
        Shard::all().filter(|shard| self.of(*shard).is_some_and(|owner| owner != me)).collect()
    }
}

/// Some of the shards. Written as 64 hexadecimal digits, the first shard in the lowest bit of the last one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShardSet([u64; SHARDS / 64]);

impl ShardSet {
    /// All of them.
    pub(crate) const ALL: Self = Self([u64::MAX; SHARDS / 64]);

    pub(crate) fn has(&self, shard: Shard) -> bool {
        self.0[shard.index() / 64] >> (shard.index() % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, shard: Shard) {
        self.0[shard.index() / 64] |= 1 << (shard.index() % 64);
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Those of either.
    pub(crate) fn and(&self, other: &Self) -> Self {
        self.by(other, |one, other| one | other)
    }

    /// Those of this that are not of the other.
    pub(crate) fn without(&self, other: &Self) -> Self {
        self.by(other, |one, other| one & !other)
    }

    /// Those of both.
    pub(crate) fn common(&self, other: &Self) -> Self {
        self.by(other, |one, other| one & other)
    }

    fn by(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|at| of(self.0[at], other.0[at])))
    }
}

impl FromIterator<Shard> for ShardSet {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> Self {
        shards.into_iter().fold(Self::default(), |mut set, shard| {
            set.insert(shard);
            set
        })
    }
}

impl fmt::Display for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ShardSet {
    type Err = NoShardSet;

    fn from_str(text: &str) -> Result<Self, NoShardSet> {
        if text.len() != SHARDS / 4 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NoShardSet);
        }
        let mut words = [0; SHARDS / 64];
        for (word, digits) in words.iter_mut().rev().zip(text.as_bytes().chunks(16)) {
            let digits = str::from_utf8(digits).map_err(|_| NoShardSet)?;
            *word = u64::from_str_radix(digits, 16).map_err(|_| NoShardSet)?;
        }
        Ok(Self(words))
    }
}

/// A text is no set of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub(crate) struct NoShardSet;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(ids: &[&str]) -> Vec<Member> {
        ids.iter().map(|id| Member::new(id, "r1")).collect()
    }

    #[test]
    fn neither_answer_changes_between_versions() {
        let shards = ["a", "b", "frontend"].map(|name| Shard::of(&Key::new("apps", name)).0);
        assert_eq!(shards, [184, 60, 249]);
        let three = members(&["one", "two", "three"]);
        let owners: Vec<&str> = Shard::all().take(8).filter_map(|shard| owner(&three, shard)).map(Member::id).collect();
        assert_eq!(owners, ["one", "one", "one", "one", "three", "one", "two", "three"]);
    }

    #[test]
    fn who_comes_or_goes_moves_no_shards_but_its_own_and_each_gets_its_part() {
        let (two, three) = (members(&["a", "b"]), members(&["a", "b", "c"]));
        let mut counts = [0_usize; 3];
        for shard in Shard::all() {
            let (before, after) = (owner(&two, shard).unwrap(), owner(&three, shard).unwrap());
            assert!(after == before || after.id() == "c");
            counts[three.iter().position(|member| member == after).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (60..=110).contains(count)), "{counts:?}");
        assert_eq!(owner([], Shard::OF_DUTIES), None);
    }

    #[test]
    fn a_replica_that_was_started_again_gets_the_shards_that_it_had() {
        let before = members(&["a", "b", "c"]);
        let mut after = before.clone();
        after[1] = Member::new("b", "r2");
        for shard in Shard::all() {
            assert_eq!(owner(&before, shard).unwrap().id(), owner(&after, shard).unwrap().id());
        }
        // Two that run under one name at the same time share what is theirs.
        let twins = [Member::new("b", "r1"), Member::new("b", "r2")];
        let first: usize = Shard::all().filter(|shard| owner(&twins, *shard) == Some(&twins[0])).count();
        assert!((80..=176).contains(&first), "{first}");
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_into_it_and_is_read_as_it_is_written(one: [bool; 256], other: [bool; 256]) {
            let set = |chosen: &[bool]| Shard::all().filter(|shard| chosen[shard.index()]).collect::<ShardSet>();
            let (a, b) = (set(&one), set(&other));
            prop_assert_eq!(a.to_string().parse::<ShardSet>(), Ok(a));
            prop_assert_eq!(a.len(), one.iter().filter(|chosen| **chosen).count());
            for shard in Shard::all() {
                let (one, other) = (one[shard.index()], other[shard.index()]);
                prop_assert_eq!(a.has(shard), one);
                prop_assert_eq!(a.and(&b).has(shard), one || other);
                prop_assert_eq!(a.without(&b).has(shard), one && !other);
                prop_assert_eq!(a.common(&b).has(shard), one && other);
            }
        }
    }

    #[test]
    fn a_text_that_is_no_set_is_refused() {
        let all = ShardSet::ALL.to_string();
        assert_eq!((all.len(), ShardSet::ALL.len()), (64, SHARDS));
        for text in ["", "0", &all[1..], &all.to_uppercase(), &format!("{}+1", &all[2..]), &format!("{all}0")] {
            assert_eq!(text.parse::<ShardSet>(), Err(NoShardSet), "{text}");
        }
        assert!(ShardSet::default().is_empty());
    }
}
