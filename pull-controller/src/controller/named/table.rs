//! Which objects are followed by name, for whom, and how they were seen last. *pure*

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::queue::Key;

/// What may not be watched, or is too large to be kept, is not tried again for so long.
const AGAIN: Duration = Duration::from_secs(3600);
/// Names that are remembered for that.
const MOST_REFUSED: usize = 1024;

/// A kind of object that a Delivery names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::controller) enum Kind {
    ConfigMap,
    Secret,
}

/// One object, as one account of its namespace sees it: what one may read is not shown to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::controller) struct Name {
    pub(in crate::controller) namespace: String,
    pub(in crate::controller) account: String,
    pub(in crate::controller) kind: Kind,
    pub(in crate::controller) name: String,
}

/// An object and its version; without the object, it is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen<T> {
    pub(super) object: Option<T>,
    /// Zero where nothing tells it.
    pub(super) version: u64,
}

#[derive(Debug)]
struct Entry<T> {
    /// Who names it, and the version used last: zero where it was not there, `None` as long as it was not read.
    followers: HashMap<Key, Option<u64>>,
    /// As a watch tells, if it can be relied on.
    seen: Option<Seen<T>>,
    /// No older version is used any more.
    newest: u64,
}

/// Watches to begin and to end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub(super) start: Vec<Name>,
    pub(super) stop: Vec<Name>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Table<T> {
    most: usize,
    entries: HashMap<Name, Entry<T>>,
    names: HashMap<Key, Vec<Name>>,
    refused: HashMap<Name, Instant>,
}

impl<T: Clone> Table<T> {
    /// Nothing yet, and never more than so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), names: HashMap::new(), refused: HashMap::new() }
    }

    /// From now on a Delivery names these, and no others.
    pub(super) fn follow(&mut self, key: &Key, names: Vec<Name>, now: Instant) -> Moves {
        let mut moves = Moves::default();
        let before = match names.is_empty() {
            true => self.names.remove(key),
            false => self.names.insert(key.clone(), names.clone()),
        };
        for name in before.into_iter().flatten().filter(|name| !names.contains(name)) {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            entry.followers.remove(key);
            if entry.followers.is_empty() {
                self.entries.remove(&name);
                moves.stop.push(name);
            }
        }
        self.refused.retain(|_, since| now < *since + AGAIN);
        for name in names {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.followers.entry(key.clone()).or_default();
            } else if self.entries.len() < self.most && !self.refused.contains_key(&name) {
                let entry = Entry { followers: HashMap::from([(key.clone(), None)]), seen: None, newest: 0 };
                self.entries.insert(name.clone(), entry);
                moves.start.push(name);
            }
        }
        moves
    }

    /// The object as a watch tells, which this Delivery uses from now on.
    pub(super) fn known(&mut self, name: &Name, key: &Key) -> Option<Option<T>> {
        let entry = self.entries.get_mut(name)?;
        let Seen { object, version } = entry.seen.as_ref()?;
        let (object, version) = (object.clone(), *version);
        entry.uses(key, version);
        Some(object)
    }

    /// The object was asked for. Answers with what this Delivery uses: a watch may have told of a newer one meanwhile.
    pub(super) fn read(&mut self, name: &Name, key: &Key, found: Seen<T>) -> Option<T> {
        let Some(entry) = self.entries.get_mut(name) else { return found.object };
        if let Some(Seen { object, version }) = &entry.seen
            && found.version > 0
            && *version >= found.version
        {
            let (object, version) = (object.clone(), *version);
            entry.uses(key, version);
            return object;
        }
        // The watch is behind, and tells of it in a moment.
        entry.seen = None;
        entry.newest = entry.newest.max(found.version);
        entry.uses(key, found.version);
        found.object
    }

    /// A watch tells of the object: whoever uses another version of it is to be woken.
    pub(super) fn told(&mut self, name: &Name, seen: Seen<T>) -> Vec<Key> {
        let Some(entry) = self.entries.get_mut(name) else { return Vec::new() };
        // Versions of one name grow: what is older than what was read says nothing.
        if seen.version > 0 && seen.version < entry.newest {
            return Vec::new();
        }
        entry.newest = entry.newest.max(seen.version);
        let version = if seen.object.is_some() { seen.version } else { 0 };
        entry.seen = Some(Seen { object: seen.object, version });
        let others = entry.followers.iter().filter(|(_, used)| used.is_some_and(|used| used != version));
        others.map(|(key, _)| key.clone()).collect()
    }

    /// The watch broke off, and begins anew.
    pub(super) fn unsure(&mut self, name: &Name) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.seen = None;
        }
    }

    /// It cannot be followed.
    pub(super) fn refused(&mut self, name: &Name, now: Instant) {
        self.entries.remove(name);
        if self.refused.len() < MOST_REFUSED {
            self.refused.insert(name.clone(), now);
        }
    }
}

impl<T> Entry<T> {
    fn uses(&mut self, key: &Key, version: u64) {
        if let Some(used) = self.followers.get_mut(key) {
            *used = Some(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name { namespace: "apps".into(), account: "deployer".into(), kind: Kind::Secret, name: name.into() }
    }

    fn key(name: &str) -> Key {
        Key::new("apps", name)
    }

    fn seen(object: &'static str, version: u64) -> Seen<&'static str> {
        Seen { object: Some(object), version }
    }

    fn followed(table: &mut Table<&'static str>) -> Instant {
        let now = Instant::now();
        assert_eq!(table.follow(&key("a"), vec![name("x")], now).start, [name("x")]);
        now
    }

    #[test]
    fn what_changes_wakes_whoever_names_it_and_is_not_asked_for_again() {
        let mut table = Table::new(4);
        followed(&mut table);
        assert_eq!(table.known(&name("x"), &key("a")), None);
        assert_eq!(table.read(&name("x"), &key("a"), seen("1", 5)), Some("1"));
        assert!(table.told(&name("x"), seen("1", 5)).is_empty(), "it is as it was read");
        assert_eq!(table.known(&name("x"), &key("a")), Some(Some("1")));
        assert_eq!(table.told(&name("x"), seen("2", 6)), [key("a")]);
        assert_eq!(table.known(&name("x"), &key("a")), Some(Some("2")));
        assert_eq!(table.told(&name("x"), Seen { object: None, version: 7 }), [key("a")]);
        assert_eq!(table.known(&name("x"), &key("a")), Some(None));
        assert!(table.told(&name("x"), Seen { object: None, version: 0 }).is_empty());
        assert_eq!(table.told(&name("x"), seen("3", 9)), [key("a")], "it is there again");
    }

    #[test]
    fn whoever_uses_an_older_one_is_woken_though_another_has_read_the_newer() {
        let mut table = Table::new(4);
        let now = followed(&mut table);
        table.read(&name("x"), &key("a"), seen("1", 5));
        assert_eq!(table.follow(&key("b"), vec![name("x")], now), Moves::default());
        assert_eq!(table.read(&name("x"), &key("b"), seen("2", 6)), Some("2"));
        assert_eq!(table.told(&name("x"), seen("2", 6)), [key("a")]);
    }

    #[test]
    fn nobody_uses_an_older_one_after_a_newer_one() {
        let mut table = Table::new(4);
        followed(&mut table);
        assert!(table.told(&name("x"), seen("2", 6)).is_empty(), "nobody has read it");
        assert_eq!(
            table.read(&name("x"), &key("a"), seen("1", 5)),
            Some("2"),
            "the answer was on its way when it changed"
        );
        assert_eq!(table.read(&name("x"), &key("a"), seen("3", 8)), Some("3"), "the watch is behind");
        assert_eq!(table.known(&name("x"), &key("a")), None);
        assert!(table.told(&name("x"), seen("2.5", 7)).is_empty());
        assert_eq!(table.known(&name("x"), &key("a")), None);
        assert!(table.told(&name("x"), seen("3", 8)).is_empty());
        assert_eq!(table.known(&name("x"), &key("a")), Some(Some("3")));
        table.unsure(&name("x"));
        assert_eq!(table.known(&name("x"), &key("a")), None);
        assert_eq!(table.told(&name("x"), seen("4", 9)), [key("a")]);
    }

    #[test]
    fn watches_have_a_bound_and_end_with_the_last_who_needs_them() {
        let mut table = Table::<&str>::new(2);
        let now = Instant::now();
        let all = || vec![name("x"), name("y"), name("z")];
        assert_eq!(table.follow(&key("a"), all(), now).start, [name("x"), name("y")]);
        assert_eq!(table.follow(&key("b"), all(), now), Moves::default());
        assert_eq!(table.follow(&key("a"), vec![], now), Moves::default());
        let moves = table.follow(&key("b"), vec![name("y"), name("z")], now);
        assert_eq!((moves.start, moves.stop), (vec![name("z")], vec![name("x")]));
        assert_eq!(table.follow(&key("b"), vec![], now).stop, [name("y"), name("z")]);
        assert!(table.entries.is_empty() && table.names.is_empty());
    }

    #[test]
    fn what_may_not_be_watched_is_read_and_tried_again_an_hour_later() {
        let mut table = Table::new(4);
        let now = followed(&mut table);
        table.refused(&name("x"), now);
        assert_eq!(table.follow(&key("a"), vec![name("x")], now + AGAIN / 2), Moves::default());
        assert_eq!(
            (table.known(&name("x"), &key("a")), table.read(&name("x"), &key("a"), seen("1", 5))),
            (None, Some("1"))
        );
        assert_eq!(table.follow(&key("a"), vec![name("x")], now + AGAIN).start, [name("x")]);
    }
}
