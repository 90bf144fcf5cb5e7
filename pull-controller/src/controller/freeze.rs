//! What is known of freezes, and whether something new may come. *pure*
//!
//! As long as it is not known whether there is one, nothing new comes.

use jiff::Timestamp;
use sealift_apply::freeze::{Freezes, State};

use super::stop::Stop;

/// What the cluster says of its freezes, as of a moment.
#[derive(Clone, Debug)]
pub struct Freezing {
    known: Result<Freezes, String>,
    as_of: Timestamp,
}

/// How many Freezes there are, by what becomes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByState {
    pub(crate) in_force: i64,
    pub(crate) over: i64,
    pub(crate) unusable: i64,
    /// 1 if the cluster has not said.
    pub(crate) unknown: i64,
}

impl Default for Freezing {
    fn default() -> Self {
        Self::unknown("the cluster was not asked yet".to_owned(), Timestamp::UNIX_EPOCH)
    }
}

impl Freezing {
    /// Freezes as they were listed.
    pub(crate) fn known(freezes: Freezes, as_of: Timestamp) -> Self {
        Self { known: Ok(freezes), as_of }
    }

    /// Nobody knows, for this reason.
    pub(crate) fn unknown(why: String, as_of: Timestamp) -> Self {
        Self { known: Err(why), as_of }
    }

    /// False until the cluster has answered.
    pub(crate) fn is_known(&self) -> bool {
        self.known.is_ok()
    }

    /// The moment.
    pub(crate) fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// The freezes, if they are known.
    pub(crate) fn freezes(&self) -> Option<&Freezes> {
        self.known.as_ref().ok()
    }

    /// The same freezes at another moment.
    pub(crate) fn at(&self, now: Timestamp) -> Self {
        Self { as_of: now, ..self.clone() }
    }

    /// Whether something new may come to a namespace.
    pub(super) fn judge(&self, namespace: &str, now: Timestamp) -> Result<(), Stop> {
        match &self.known {
            Ok(freezes) => freezes.about(namespace, now).map_or(Ok(()), |frozen| Err(Stop::Frozen(frozen))),
            Err(why) => Err(Stop::FreezeUnknown(why.clone())),
        }
    }

    /// True if something new was kept from a namespace `before`, and now it is not, or for another reason.
    pub(crate) fn moves(&self, before: &Self, namespace: &str) -> bool {
        let told = |freezing: &Self| freezing.judge(namespace, freezing.as_of).err().map(|stop| stop.to_string());
        let was = told(before);
        was.is_some() && was != told(self)
    }

    pub(crate) fn by_state(&self) -> ByState {
        let Ok(freezes) = &self.known else { return ByState { unknown: 1, ..ByState::default() } };
        let mut by = ByState::default();
        for freeze in freezes.iter() {
            match freeze.state(self.as_of) {
                State::InForce => by.in_force += 1,
                State::Over => by.over += 1,
                State::Unusable => by.unusable += 1,
            }
        }
        by
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn freezing(objects: &[Value], now: i64) -> Freezing {
        Freezing::known(Freezes::read(objects), at(now))
    }

    fn freeze(until: i64, namespaces: Value) -> Value {
        json!({"metadata": {"name": "f"}, "spec": {"until": at(until), "reason": "r", "namespaces": namespaces}})
    }

    #[test]
    fn nothing_new_comes_before_it_is_known_whether_there_is_a_freeze() {
        let reason = |freezing: &Freezing| freezing.judge("a", at(10)).map_err(|stop| stop.reason());
        assert_eq!(reason(&Freezing::default()), Err("FreezeUnknown"));
        assert_eq!(reason(&freezing(&[], 10)), Ok(()));
        assert_eq!(reason(&freezing(&[freeze(100, json!(["a"]))], 10)), Err("Frozen"));
        assert_eq!(reason(&freezing(&[freeze(100, json!(["b"]))], 10)), Ok(()));
        // What is judged is now, not when it was last listed.
        assert_eq!(reason(&freezing(&[freeze(9, json!(["a"]))], 5)), Ok(()));
    }

    #[test]
    fn only_those_are_woken_for_whom_a_freeze_ended_or_says_something_else() {
        let (none, until_9) = (freezing(&[], 5), freezing(&[freeze(9, json!(["a"]))], 5));
        let until_99 = freezing(&[freeze(99, json!(["a"]))], 5);
        for (before, now, moves) in [
            (&Freezing::default(), &none, true),
            (&Freezing::default(), &until_9, true),
            (&none, &until_9, false),
            (&until_9, &until_9, false),
            (&until_9, &until_99, true),
            (&until_9, &none, true),
            (&until_9, &until_9.at(at(9)), true),
            (&until_9, &Freezing::default(), true),
        ] {
            assert_eq!(now.moves(before, "a"), moves, "{before:?} → {now:?}");
        }
        assert!(!none.moves(&until_9, "b") && Freezing::default().moves(&Freezing::unknown("x".into(), at(1)), "b"));
    }

    #[test]
    fn counts_by_state() {
        let broken = json!({"metadata": {"name": "broken"}, "spec": {}});
        let all = freezing(&[freeze(9, Value::Null), freeze(1, Value::Null), broken], 5).by_state();
        assert_eq!(all, ByState { in_force: 1, over: 1, unusable: 1, unknown: 0 });
        assert_eq!(Freezing::default().by_state().unknown, 1);
    }
}
