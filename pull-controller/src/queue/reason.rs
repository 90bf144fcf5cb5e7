//! Why a Delivery is looked at. *pure*

use std::fmt;

/// Why a Delivery is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It was made, changed, deleted, or asked to reconcile now; or values or a pull secret that it names were.
    Changed,
    /// Its own pause is over: the interval, a retry, a look at health.
    Due,
    /// Policies or trust roots changed.
    Policy,
    /// What it selects moved, or can be had again.
    Resolved,
    /// One of its objects was seen to differ from what was applied.
    Observed,
    /// One of the objects whose health it waits for was seen to move.
    Health,
    /// A Delivery it depends on became ready.
    Dependency,
    /// Something it has found or done is still to be written.
    Owed,
    /// A freeze that kept something new from it ended, or says something else.
    Thawed,
}

impl Reason {
    /// All of them, with their names.
    pub(crate) const ALL: [(Self, &'static str); 9] = [
        (Self::Changed, "changed"),
        (Self::Due, "due"),
        (Self::Policy, "policy"),
        (Self::Resolved, "resolved"),
        (Self::Observed, "observed"),
        (Self::Health, "health"),
        (Self::Dependency, "dependency"),
        (Self::Owed, "owed"),
        (Self::Thawed, "thawed"),
    ];

    /// True if what woke it ends something that was begun, and is short.
    pub(super) fn ends_what_was_begun(self) -> bool {
        matches!(self, Self::Health | Self::Owed)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// All reasons that came together before a Delivery's turn did. Never empty once taken from the queue.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u16);

impl Reasons {
    /// One more.
    pub fn add(&mut self, reason: Reason) {
        self.0 |= reason.bit();
    }

    /// True if it is among them.
    pub fn has(self, reason: Reason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// True if there are no others than these.
    pub fn are_among(self, reasons: &[Reason]) -> bool {
        reasons.iter().fold(self.0, |left, reason| left & !reason.bit()) == 0
    }

    /// True if all of them end what was begun.
    pub(super) fn end_what_was_begun(self) -> bool {
        Reason::ALL.into_iter().all(|(reason, _)| !self.has(reason) || reason.ends_what_was_begun())
    }

    /// The names of those there are.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Reason::ALL.into_iter().filter(move |(reason, _)| self.has(*reason)).map(|(_, name)| name)
    }
}

impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Self {
        Self(reason.bit())
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_together_and_each_once() {
        let mut reasons = Reasons::from(Reason::Due);
        reasons.add(Reason::Policy);
        reasons.add(Reason::Policy);
        assert_eq!(reasons.names().collect::<Vec<_>>(), ["due", "policy"]);
        assert!(reasons.has(Reason::Policy) && !reasons.has(Reason::Observed));
        assert!(
            reasons.are_among(&[Reason::Due, Reason::Policy, Reason::Health]) && !reasons.are_among(&[Reason::Due])
        );
        let bits = Reason::ALL.map(|(reason, _)| reason.bit()).iter().fold(0, |all, bit| all | bit);
        assert_eq!(bits.count_ones() as usize, Reason::ALL.len(), "no two reasons share a bit");
    }
}
