//! The Lease of this process, from when it is asked for until it is given back. *pure*
//!
//! One task keeps it, and another gives it back as the process ends. Whichever comes first, nothing is asked for once it was
//! given back, and it is not given back while what was asked for may yet be taken: a Lease that is left behind has all others
//! wait until it has run out.
//!
//! A name is made once. Whether a request for it was taken that got no answer is found out by renewing it, and if it was not,
//! or others have deleted it since, the next one has another name: no name ever comes back.

use super::rendezvous::Member;

/// What to ask the API server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A new Lease.
    Make(Member),
    /// That it lasts longer. Without a uid it is not known whether there is one; there is none of this name but ours.
    Renew(Member, Option<String>),
}

/// How to give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// There is nothing to give back.
    Nothing,
    /// Once what was asked for is answered: ask again then.
    Later,
    /// By deleting it.
    Delete(Member, Option<String>),
}

/// The own Lease.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// As it was last asked for, with its uid once that is known.
    lease: Option<(Member, Option<String>)>,
    /// There is no answer yet.
    is_asked: bool,
    is_returned: bool,
}

impl Own {
    /// What to ask for so that this member has a Lease; nothing any more once it is given back.
    pub(super) fn ask(&mut self, me: &Member) -> Option<Ask> {
        if self.is_returned {
            return None;
        }
        self.is_asked = true;
        if let Some((member, uid)) = &self.lease
            && member == me
        {
            return Some(Ask::Renew(member.clone(), uid.clone()));
        }
        self.lease = Some((me.clone(), None));
        Some(Ask::Make(me.clone()))
    }

    /// There was an answer, or none is waited for any more. With the uid of the Lease if there is one.
    pub(super) fn answered(&mut self, uid: Option<String>) {
        self.is_asked = false;
        if let (Some((_, known)), Some(uid)) = (&mut self.lease, uid) {
            *known = Some(uid);
        }
    }

    /// Gives it back, and has nothing asked for from now on.
    pub(super) fn give_back(&mut self) -> Return {
        self.is_returned = true;
        if self.is_asked {
            return Return::Later;
        }
        self.lease.clone().map_or(Return::Nothing, |(member, uid)| Return::Delete(member, uid))
    }

    /// True from when it is to be given back.
    pub(super) fn is_returned(&self) -> bool {
        self.is_returned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_once_and_renewed_whether_or_not_that_was_answered() {
        let [one, two] = ["1", "2"].map(|run| Member::new("a", run));
        let mut own = Own::default();
        assert_eq!(own.ask(&one), Some(Ask::Make(one.clone())));
        own.answered(None);
        assert_eq!(own.ask(&one), Some(Ask::Renew(one.clone(), None)));
        own.answered(Some("u".into()));
        assert_eq!(own.ask(&one), Some(Ask::Renew(one.clone(), Some("u".into()))));
        // Broken off, and begun anew.
        assert_eq!(own.ask(&one), Some(Ask::Renew(one, Some("u".into()))));
        own.answered(None);
        assert_eq!(own.ask(&two), Some(Ask::Make(two.clone())));
        own.answered(None);
        assert_eq!(own.ask(&two), Some(Ask::Renew(two, None)), "the uid was another's");
    }

    #[test]
    fn what_was_given_back_is_not_asked_for_and_nothing_is_given_back_before_it_is_answered() {
        let me = Member::new("a", "1");
        let mut own = Own::default();
        own.ask(&me);
        own.answered(Some("u".into()));
        assert_eq!(own.give_back(), Return::Delete(me.clone(), Some("u".into())));
        // Whoever was about to renew it finds none, and makes none.
        assert_eq!((own.ask(&me), own.ask(&Member::new("a", "2"))), (None, None));
        assert_eq!(own.give_back(), Return::Delete(me.clone(), Some("u".into())), "once more, if there was no answer");

        let mut own = Own::default();
        own.ask(&me);
        assert_eq!((own.give_back(), own.ask(&me), own.give_back()), (Return::Later, None, Return::Later));
        own.answered(None);
        assert_eq!(own.give_back(), Return::Delete(me, None), "it may have been taken");

        let mut none = Own::default();
        assert!(!none.is_returned());
        assert_eq!((none.give_back(), none.is_returned()), (Return::Nothing, true));
    }
}
