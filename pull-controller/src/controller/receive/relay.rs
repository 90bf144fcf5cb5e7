//! What one replica was told, for the others: it goes through the Receiver's status, which all of them watch. *pure*

use std::collections::{HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use sealift_apply::api::Said;

use super::payload::{Heard, Moved};

/// Of one Receiver, so much is handed on at once; past that, everything that it is for is asked about.
const MOST: usize = 64;
/// So much of what was handed on is known again when the watch tells of it.
const OWN: usize = 1024;

/// What is to be handed on, and what was.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// By the uid of the Receiver.
    waiting: HashMap<String, Vec<Said>>,
    own: VecDeque<Timestamp>,
    /// The newest that was heard of each.
    newest: HashMap<String, Timestamp>,
}

impl Relay {
    /// Hands on what was said here.
    pub(super) fn put(&mut self, uid: &str, heard: &Heard, at: Timestamp) {
        let said = |moved: &Moved| Said { repository: Some(moved.repository.clone()), tag: moved.tag.clone(), at };
        let anything = || vec![Said { repository: None, tag: None, at }];
        let waiting = self.waiting.entry(uid.to_owned()).or_default();
        waiting.extend(match heard {
            Heard::Anything => anything(),
            Heard::These(these) => these.iter().map(said).collect(),
        });
        if waiting.len() > MOST {
            *waiting = anything();
        }
        self.own.push_back(at);
        if self.own.len() > OWN {
            self.own.pop_front();
        }
    }

    /// What is to be written into the status of this Receiver, if anything is.
    pub(super) fn take(&mut self, uid: &str) -> Option<Vec<Said>> {
        self.waiting.remove(uid)
    }

    /// What of a status was said elsewhere, and is new. What was said before this replica began is not: it asks for
    /// everything when it begins.
    pub(super) fn overheard(&mut self, uid: &str, heard: &[Said]) -> Vec<Said> {
        let newest = heard.iter().map(|said| said.at).max().unwrap_or(Timestamp::MIN);
        let before = self.newest.get(uid).copied();
        self.newest.insert(uid.to_owned(), before.map_or(newest, |before| before.max(newest)));
        let Some(before) = before else { return Vec::new() };
        let is_new = |said: &&Said| said.at > before && !self.own.contains(&said.at);
        heard.iter().filter(is_new).cloned().collect()
    }

    /// Forgets Receivers that are no more.
    pub(super) fn keep(&mut self, uids: &HashSet<&str>) {
        self.newest.retain(|uid, _| uids.contains(uid.as_str()));
        self.waiting.retain(|uid, _| uids.contains(uid.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn these(names: &[&str]) -> Heard {
        Heard::These(names.iter().map(|name| Moved { repository: (*name).to_owned(), tag: None }).collect())
    }

    fn names(said: &[Said]) -> Vec<&str> {
        said.iter().map(|said| said.repository.as_deref().unwrap_or("*")).collect()
    }

    #[test]
    fn each_replica_hears_once_what_another_was_told() {
        let (mut told, mut other) = (Relay::default(), Relay::default());
        assert!(other.overheard("u", &[]).is_empty());
        told.overheard("u", &[]);
        told.put("u", &these(&["a", "b"]), at(1));
        let status = told.take("u").unwrap();
        assert_eq!((names(&other.overheard("u", &status)), told.take("u")), (vec!["a", "b"], None));
        assert!(told.overheard("u", &status).is_empty(), "it was told itself");
        assert!(other.overheard("u", &status).is_empty(), "once");
        told.put("u", &Heard::Anything, at(2));
        assert_eq!(names(&other.overheard("u", &told.take("u").unwrap())), ["*"]);
        let mut late = Relay::default();
        assert!(late.overheard("u", &status).is_empty(), "it asks for everything when it begins");
    }

    #[test]
    fn what_is_too_much_to_hand_on_is_said_of_everything() {
        let mut relay = Relay::default();
        for second in 0..2 {
            let many: Vec<_> = (0..MOST).map(|number| format!("r{number}")).collect();
            relay.put("u", &these(&many.iter().map(String::as_str).collect::<Vec<_>>()), at(second));
        }
        assert_eq!(names(&relay.take("u").unwrap()), ["*"]);
        relay.overheard("u", &[]);
        relay.keep(&HashSet::new());
        assert!(relay.newest.is_empty());
    }
}
