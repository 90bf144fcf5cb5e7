//! Which replica holds which shard, as all of them have agreed. *pure*
//!
//! The table is one object that is only ever written over the very version that was read, so a shard has one holder at any
//! time. It passes on in two ways: its holder gives it away when it has ended what it did there, or the holder is gone.

use std::collections::BTreeMap;

use super::rendezvous::{Member, Owners, SHARDS, Shard, ShardSet};

/// Who holds what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table(Vec<Option<Member>>);

impl Default for Table {
    fn default() -> Self {
        Self(vec![None; SHARDS])
    }
}

/// Why a text is no table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// It does not map members to sets of shards.
    #[error("it is not of the form {{\"MEMBER\": \"SHARDS\"}}")]
    Form(#[source] serde_json::Error),
    /// A member's shards are no set.
    #[error("the shards of {0} are not 64 hexadecimal digits")]
    Shards(String),
    /// Two hold the same.
    #[error("{0} and {1} hold the same shard")]
    Twice(Member, Member),
}

impl Table {
    /// Reads what [`Table::text`] has written.
    ///
    /// # Errors
    /// If it is not a table in which every shard has one holder at most.
    pub(crate) fn parse(text: &str) -> Result<Self, TableError> {
        let rows: BTreeMap<String, String> = serde_json::from_str(text).map_err(TableError::Form)?;
        let mut table = Self::default();
        for (name, shards) in rows {
            let shards: ShardSet = shards.parse().map_err(|_| TableError::Shards(name.clone()))?;
            let member = Member::named(name);
            for shard in Shard::all().filter(|shard| shards.has(*shard)) {
                if let Some(other) = table.0[shard.index()].replace(member.clone()) {
                    return Err(TableError::Twice(other, member));
                }
            }
        }
        Ok(table)
    }

    /// The members and their shards, as JSON.
    pub(crate) fn text(&self) -> String {
        let mut rows: BTreeMap<&str, ShardSet> = BTreeMap::new();
        for shard in Shard::all() {
            if let Some(member) = self.holder(shard) {
                rows.entry(member.name()).or_default().insert(shard);
            }
        }
        let rows: BTreeMap<&str, String> = rows.into_iter().map(|(name, shards)| (name, shards.to_string())).collect();
        serde_json::json!(rows).to_string()
    }

    /// Who holds the shard.
    pub(crate) fn holder(&self, shard: Shard) -> Option<&Member> {
        self.0[shard.index()].as_ref()
    }

    /// What a member holds.
    pub(crate) fn held_by(&self, member: &Member) -> ShardSet {
        Shard::all().filter(|shard| self.holder(*shard) == Some(member)).collect()
    }

    /// The table as it is to be: what nobody holds any more goes to whose it should be, and so does what `me` is ready to give
    /// away. A member is there as long as it has a Lease.
    pub(crate) fn next(
        &self,
        me: &Member,
        is_there: impl Fn(&Member) -> bool,
        owners: &Owners,
        ready: &ShardSet,
    ) -> Self {
        let whose = |shard: Shard| {
            let holder = self.holder(shard).filter(|holder| is_there(holder));
            let stays = holder.is_some_and(|holder| holder != me || !ready.has(shard));
            if stays { holder } else { owners.of(shard).or(holder) }
        };
        Self(Shard::all().map(|shard| whose(shard).cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn member(id: &str) -> Member {
        Member::new(id, "1")
    }

    fn next(table: &Table, me: &Member, there: &[&Member], takers: &[&Member], ready: &ShardSet) -> Table {
        let mut owners = Owners::default();
        table.next(me, |member| there.contains(&member), owners.among(&takers.iter().copied().collect()), ready)
    }

    #[test]
    fn a_table_is_read_as_it_is_written_and_a_shard_has_one_holder() {
        let (a, b) = (member("a"), member("b"));
        let table = next(&Table::default(), &a, &[&a, &b], &[&a, &b], &ShardSet::default());
        assert_eq!(Table::parse(&table.text()).unwrap(), table);
        assert_eq!(table.held_by(&a).len() + table.held_by(&b).len(), SHARDS);
        assert_eq!(Table::parse("{}").unwrap(), Table::default());
        let all = ShardSet::ALL;
        for (text, says) in [
            (String::new(), "not of the form"),
            ("[]".to_owned(), "not of the form"),
            (r#"{"a.1": "ff"}"#.to_owned(), "of a.1 are not 64"),
            (format!(r#"{{"a.1": "{all}", "b.1": "{all}"}}"#), "a.1 and b.1 hold the same"),
        ] {
            let error = Table::parse(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_held_stays_until_it_is_given_away_or_its_holder_is_gone() {
        let [a, b, c] = ["a", "b", "c"].map(member);
        let (none, all) = (ShardSet::default(), ShardSet::ALL);
        let alone = next(&Table::default(), &a, &[&a], &[&a], &none);
        assert_eq!(alone.held_by(&a), all);
        let both = [&a, &b];
        // b cannot take what a holds, and a gives only what it has ended.
        assert_eq!(next(&alone, &b, &both, &both, &all), alone);
        assert_eq!(next(&alone, &a, &both, &both, &none), alone);
        let shared = next(&alone, &a, &both, &both, &all);
        let mut owners = Owners::default();
        let of_b = owners.among(&BTreeSet::from(both)).elsewhere(&a);
        assert_eq!((shared.held_by(&b), shared.held_by(&a)), (of_b, all.without(&of_b)));
        // a is gone: whoever is left takes over, and gives nothing away that it did not say it would.
        assert_eq!(next(&shared, &b, &[&b], &[&b], &none).held_by(&b), all);
        let left = next(&shared, &b, &[&b, &c], &[&b, &c], &none);
        assert_eq!(left.held_by(&b).and(&left.held_by(&c)), all);
        assert_eq!(left.held_by(&b).common(&of_b), of_b);
        // One that leaves takes nothing, and keeps what it has if there is nobody else.
        assert_eq!(next(&shared, &a, &both, &[&b], &all).held_by(&b), all);
        assert_eq!(next(&alone, &a, &[&a], &[], &all), alone);
    }
}
