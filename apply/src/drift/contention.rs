//! Fields that somebody takes back as often as they are put right. *pure*

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::inventory::Key;

/// A field taken back so often is left.
const TIMES: usize = 3;
/// Within this time.
const WITHIN: Duration = Duration::from_secs(600);

/// When which field of which object was put right, after whom.
#[derive(Clone, Debug, Default)]
pub struct Contention {
    corrected: BTreeMap<Key, BTreeMap<(String, String), Vec<Instant>>>,
    left: BTreeMap<Key, BTreeSet<String>>,
}

impl Contention {
    /// The field at `pointer` of the release was put right after `manager` had written it.
    ///
    /// Put right as often as it is to be left, it was taken once and taken back twice; whoever takes it a third time has
    /// it.
    pub fn corrected(&mut self, key: &Key, pointer: &str, manager: &str, now: Instant) {
        let fields = self.corrected.entry(key.clone()).or_default();
        let times = fields.entry((pointer.to_owned(), manager.to_owned())).or_default();
        times.retain(|time| now < *time + WITHIN);
        times.push(now);
        if times.len() >= TIMES {
            fields.remove(&(pointer.to_owned(), manager.to_owned()));
            self.left.entry(key.clone()).or_default().insert(pointer.to_owned());
        }
        self.corrected.retain(|_, fields| {
            fields.retain(|_, times| times.last().is_some_and(|last| now < *last + WITHIN));
            !fields.is_empty()
        });
    }

    /// The release holds another object now: what was fought about may be settled.
    pub fn renewed(&mut self, key: &Key) {
        self.corrected.remove(key);
        self.left.remove(key);
    }

    /// The fields that are left, by JSON pointer into the release.
    pub fn left(&self) -> &BTreeMap<Key, BTreeSet<String>> {
        &self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { group: String::new(), kind: "ConfigMap".into(), namespace: Some("a".into()), name: "b".into() }
    }

    #[test]
    fn a_field_taken_again_and_again_by_one_manager_within_ten_minutes_is_left() {
        let start = Instant::now();
        let minutes = |count: u64| start + Duration::from_secs(60 * count);
        for (what, takes, left) in [
            ("twice", vec![("/a", "x", 0), ("/a", "x", 1)], false),
            ("three times", vec![("/a", "x", 0), ("/a", "x", 1), ("/a", "x", 2)], true),
            ("by several", vec![("/a", "x", 0), ("/a", "y", 1), ("/a", "z", 2)], false),
            ("several fields", vec![("/a", "x", 0), ("/b", "x", 1), ("/c", "x", 2)], false),
            ("slowly", vec![("/a", "x", 0), ("/a", "x", 6), ("/a", "x", 12)], false),
            ("slowly, then fast", vec![("/a", "x", 0), ("/a", "x", 12), ("/a", "x", 13), ("/a", "x", 14)], true),
        ] {
            let mut contention = Contention::default();
            for (pointer, manager, at) in takes {
                contention.corrected(&key(), pointer, manager, minutes(at));
            }
            assert_eq!(contention.left().get(&key()).is_some_and(|left| left.contains("/a")), left, "{what}");
            contention.renewed(&key());
            assert!(contention.left().is_empty() && contention.corrected.is_empty());
        }
    }

    #[test]
    fn what_was_put_right_long_ago_is_forgotten() {
        let (start, mut contention) = (Instant::now(), Contention::default());
        contention.corrected(&key(), "/a", "x", start);
        let other = Key { name: "c".into(), ..key() };
        contention.corrected(&other, "/a", "x", start + 2 * WITHIN);
        assert_eq!(contention.corrected.keys().collect::<Vec<_>>(), [&other]);
    }
}
