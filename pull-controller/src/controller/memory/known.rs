//! What is known of the memory of trust without asking. *pure*
//!
//! A watch tells which records there are and in which version; contents are those last read or written here. A content is
//! believed only in the very version that the watch tells of, or in a later one that was written here. Were even that behind,
//! the next write would meet another version, and fail.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealift_verify::memory::Memory;

/// The records by name.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// All there are have been named once.
    listed: bool,
    seen: HashMap<String, u64>,
    /// While a list comes in: what it named so far.
    listing: HashMap<String, u64>,
    kept: HashMap<String, (u64, Memory)>,
    /// What only the API server can say.
    doubtful: HashSet<String>,
}

/// What is known of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// There is none.
    Absent,
    /// This is what it says, in this version.
    Kept(Memory, String),
    /// It must be asked for.
    Ask,
}

impl Known {
    pub(super) fn look(&self, name: &str) -> Look {
        let inner = self.inner();
        if !inner.listed || inner.doubtful.contains(name) {
            return Look::Ask;
        }
        match (inner.seen.get(name), inner.kept.get(name)) {
            (None, None) => Look::Absent,
            (seen, Some((version, memory))) if seen.is_none_or(|seen| seen <= version) => {
                Look::Kept(memory.clone(), version.to_string())
            }
            _ => Look::Ask,
        }
    }

    /// What was read or written just now; without a version there is no record.
    pub(super) fn keep(&self, name: &str, version: Option<&str>, memory: &Memory) {
        let mut inner = self.inner();
        inner.doubtful.remove(name);
        match version.and_then(|version| version.parse().ok()) {
            Some(version) => inner.kept.insert(name.to_owned(), (version, memory.clone())),
            None => inner.kept.remove(name),
        };
    }

    /// Another version was met, or the Delivery is gone: ask the next time.
    pub(in super::super) fn doubt(&self, name: &str) {
        let mut inner = self.inner();
        inner.kept.remove(name);
        inner.doubtful.insert(name.to_owned());
        // Names of Deliveries long gone need no doubt of their own.
        if inner.doubtful.len() > 1024 {
            inner.listed = false;
            inner.doubtful.clear();
        }
    }

    /// A list begins.
    pub(crate) fn begins(&self) {
        self.inner().listing.clear();
    }

    /// A list names a record.
    pub(crate) fn names(&self, name: String, version: &str) {
        self.inner().listing.insert(name, version.parse().unwrap_or(u64::MAX));
    }

    /// A list has named all there are.
    pub(crate) fn ends(&self) {
        let mut inner = self.inner();
        inner.seen = std::mem::take(&mut inner.listing);
        inner.listed = true;
        // Written here since the list was made, or gone: the list does not tell.
        let Inner { seen, kept, doubtful, .. } = &mut *inner;
        doubtful.extend(kept.extract_if(|name, _| !seen.contains_key(name)).map(|(name, _)| name));
    }

    /// A record was made or changed.
    pub(crate) fn saw(&self, name: String, version: &str) {
        self.inner().seen.insert(name, version.parse().unwrap_or(u64::MAX));
    }

    /// A record was deleted.
    pub(crate) fn gone(&self, name: &str, version: &str) {
        let mut inner = self.inner();
        inner.seen.remove(name);
        let version = version.parse().unwrap_or(u64::MAX);
        if inner.kept.get(name).is_some_and(|(kept, _)| *kept <= version) {
            inner.kept.remove(name);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(version: &str) -> Look {
        Look::Kept(Memory::default(), version.to_owned())
    }

    fn listed(known: &Known, names: &[(&str, &str)]) {
        known.begins();
        names.iter().for_each(|(name, version)| known.names((*name).to_owned(), version));
        known.ends();
    }

    #[test]
    fn nothing_is_believed_before_all_there_are_were_named() {
        let known = Known::default();
        known.keep("a", Some("5"), &Memory::default());
        assert_eq!((known.look("a"), known.look("b")), (Look::Ask, Look::Ask));
        listed(&known, &[("a", "5"), ("c", "7")]);
        assert_eq!((known.look("a"), known.look("b"), known.look("c")), (kept("5"), Look::Absent, Look::Ask));
    }

    #[test]
    fn what_others_write_or_delete_is_asked_for() {
        let known = Known::default();
        listed(&known, &[]);
        known.keep("a", Some("5"), &Memory::default());
        assert_eq!(known.look("a"), kept("5"), "the watch is a little behind");
        known.saw("a".into(), "5");
        assert_eq!(known.look("a"), kept("5"));
        known.saw("a".into(), "9");
        assert_eq!(known.look("a"), Look::Ask);
        known.keep("a", Some("9"), &Memory::default());
        known.gone("a", "12");
        assert_eq!(known.look("a"), Look::Absent);
    }

    #[test]
    fn a_deletion_that_is_told_late_takes_nothing_newer_away() {
        let known = Known::default();
        listed(&known, &[("a", "5")]);
        known.keep("a", Some("9"), &Memory::default());
        known.gone("a", "7");
        assert_eq!(known.look("a"), kept("9"), "it was made anew here since");
    }

    #[test]
    fn a_conflict_or_a_list_without_it_leaves_doubt_until_it_is_read() {
        let known = Known::default();
        listed(&known, &[("a", "5")]);
        known.keep("a", Some("5"), &Memory::default());
        known.doubt("a");
        assert_eq!(known.look("a"), Look::Ask);
        known.keep("a", Some("6"), &Memory::default());
        assert_eq!(known.look("a"), kept("6"));
        listed(&known, &[]);
        assert_eq!(known.look("a"), Look::Ask);
        known.keep("a", None, &Memory::default());
        assert_eq!(known.look("a"), Look::Absent);
        for n in 0..1100 {
            known.doubt(&n.to_string());
        }
        assert_eq!(known.look("z"), Look::Ask);
        assert!(known.inner().doubtful.len() < 1100);
    }
}
