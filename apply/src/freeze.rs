//! Freezes: whether something new may come to a namespace now. *pure*
//!
//! One that cannot be read is in force everywhere and has no end: it was written to stop something, and nobody knows
//! what.

use std::fmt;

use jiff::Timestamp;
use sealift_verify::policy::{Globs, MatcherError};
use serde_json::Value;

use crate::api::FreezeSpec;

/// All Freezes of a cluster, as they were read at one moment.
#[derive(Clone, Debug, Default)]
pub struct Freezes {
    all: Vec<Freeze>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Freeze {
    /// Its name.
    pub name: String,
    /// Its uid, for Events about it.
    pub uid: Option<String>,
    /// What it says, or why that cannot be read.
    pub terms: Result<Terms, String>,
}

/// What a Freeze says.
#[derive(Clone, Debug)]
pub struct Terms {
    /// As it was written.
    pub spec: FreezeSpec,
    namespaces: Option<Globs>,
}

/// Whether a Freeze keeps anybody from anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    InForce,
    /// Its time is over.
    Over,
    /// It cannot be read, so it is in force everywhere.
    Unusable,
}

/// Why nothing new may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The Freeze: of several the one that lasts longest.
    pub by: String,
    /// Its end, if it has one.
    pub until: Option<Timestamp>,
    /// What is given as its reason, or what is wrong with it.
    pub reason: String,
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, until, reason } = self;
        match until {
            Some(until) => write!(f, "Freeze {by} is in force until {until}: {reason}"),
            None => write!(f, "Freeze {by} cannot be used, so it is in force everywhere: {reason}"),
        }
    }
}

impl Freezes {
    /// Reads them as they stand in the cluster.
    #[must_use]
    pub fn read(objects: &[Value]) -> Self {
        let mut all: Vec<_> = objects.iter().map(Freeze::read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Self { all }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Freeze> {
        self.all.iter()
    }

    /// Why nothing new may come to a namespace, if that is so.
    #[must_use]
    pub fn about(&self, namespace: &str, now: Timestamp) -> Option<Frozen> {
        let frozen = self.all.iter().filter_map(|freeze| freeze.about(namespace, now));
        // One without an end lasts longest.
        frozen.reduce(|a, b| if a.until.is_none() || b.until.is_some() && a.until >= b.until { a } else { b })
    }

    /// When the next one of those in force ends, if nothing else happens.
    #[must_use]
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.all.iter().filter_map(|freeze| Some(freeze.terms.as_ref().ok()?.spec.until)).filter(|end| *end > now).min()
    }
}

impl Freeze {
    fn read(object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
        let terms = serde_json::from_value::<FreezeSpec>(object["spec"].clone());
        let terms = terms.map_err(|error| error.to_string());
        let terms = terms.and_then(|spec| Terms::new(spec).map_err(|error| sealift_verify::chain(&error)));
        Self { name: text("name").unwrap_or_default(), uid: text("uid"), terms }
    }

    /// Whether it keeps anybody from anything.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        match &self.terms {
            Ok(terms) if now < terms.spec.until => State::InForce,
            Ok(_) => State::Over,
            Err(_) => State::Unusable,
        }
    }

    fn about(&self, namespace: &str, now: Timestamp) -> Option<Frozen> {
        let (until, reason) = match &self.terms {
            Err(problem) => (None, problem),
            Ok(terms) if self.state(now) == State::InForce && terms.is_about(namespace) => {
                (Some(terms.spec.until), &terms.spec.reason)
            }
            Ok(_) => return None,
        };
        Some(Frozen { by: self.name.clone(), until, reason: reason.clone() })
    }
}

impl Terms {
    fn new(spec: FreezeSpec) -> Result<Self, MatcherError> {
        // An empty list would be a Freeze of nothing, which nobody means.
        let named = spec.namespaces.as_deref().filter(|names| !names.is_empty());
        let namespaces = named.map(Globs::new).transpose()?;
        Ok(Self { spec, namespaces })
    }

    fn is_about(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|globs| globs.matches(namespace))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn freeze(name: &str, until: i64, namespaces: Value) -> Value {
        let mut spec = json!({"until": at(until), "reason": "year end"});
        if !namespaces.is_null() {
            spec["namespaces"] = namespaces;
        }
        json!({"metadata": {"name": name}, "spec": spec})
    }

    #[test]
    fn any_that_is_in_force_and_about_a_namespace_freezes_it() {
        let all = freeze("all", 100, Value::Null);
        let shops = freeze("shops", 200, json!(["shop-*", "till"]));
        for (objects, namespace, now, by) in [
            (vec![], "shop-a", 1, None),
            (vec![&all], "shop-a", 1, Some("all")),
            (vec![&all], "shop-a", 99, Some("all")),
            (vec![&all], "shop-a", 100, None),
            (vec![&shops], "shop-a", 1, Some("shops")),
            (vec![&shops], "till", 1, Some("shops")),
            (vec![&shops], "tills", 1, None),
            (vec![&shops], "ashop-a", 1, None),
            (vec![&all, &shops], "shop-a", 1, Some("shops")),
            (vec![&shops, &all], "shop-a", 1, Some("shops")),
            (vec![&shops, &all], "other", 1, Some("all")),
            (vec![&all, &shops], "till", 150, Some("shops")),
        ] {
            let freezes = Freezes::read(&objects.into_iter().cloned().collect::<Vec<_>>());
            let found = freezes.about(namespace, at(now)).map(|frozen| frozen.by);
            assert_eq!(found.as_deref(), by, "{namespace} at {now}: {freezes:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_in_force_everywhere_and_for_ever() {
        let mut no_end = freeze("broken", 100, Value::Null);
        no_end["spec"]["until"] = json!("tomorrow");
        let no_reason = json!({"metadata": {"name": "broken"}, "spec": {"until": at(100)}});
        let no_spec = json!({"metadata": {"name": "broken"}});
        let no_glob = freeze("broken", 100, json!(["shop-["]));
        for object in [no_end, no_reason, no_spec, no_glob] {
            let freezes = Freezes::read(&[freeze("longer", 10_000, Value::Null), object]);
            let frozen = freezes.about("any", at(1000)).unwrap();
            assert_eq!((frozen.by.as_str(), frozen.until), ("broken", None), "{frozen}");
            assert!(frozen.to_string().contains("cannot be used"), "{frozen}");
        }
        let nothing = Freezes::read(&[freeze("nothing", 100, json!([]))]);
        assert!(nothing.about("any", at(1)).is_some(), "nobody means a freeze of nothing");
    }

    #[test]
    fn says_until_when_and_why_and_when_it_changes_by_itself() {
        let freezes = Freezes::read(&[freeze("a", 100, Value::Null), freeze("b", 200, Value::Null)]);
        assert_eq!(
            [0, 100, 150, 200].map(|now| freezes.next_end(at(now))),
            [Some(at(100)), Some(at(200)), Some(at(200)), None]
        );
        let states: Vec<_> = freezes.iter().map(|freeze| freeze.state(at(150))).collect();
        assert_eq!(states, [State::Over, State::InForce]);
        let told = freezes.about("any", at(1)).unwrap().to_string();
        assert_eq!(told, "Freeze b is in force until 1970-01-01T00:03:20Z: year end");
    }
}
