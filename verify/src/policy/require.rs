//! Who must have signed: thresholds over distinct authorities with distinct keys and identities.

use std::collections::{BTreeMap, BTreeSet};

use super::{Authority, spec::RequireSpec};
use crate::digest::Digest;

/// A threshold over authorities; satisfied per statement, never by adding up signatures on different ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    n: usize,
    of: Vec<String>,
}

impl Requirement {
    /// Checks that the threshold can be met by distinct signers.
    pub(super) fn new(spec: &RequireSpec, authorities: &[Authority]) -> Result<Self, String> {
        let (n, of) = match (&spec.all_of, &spec.any_of, &spec.at_least) {
            (Some(of), None, None) => (of.len(), of.clone()),
            (None, Some(of), None) => (1, of.clone()),
            (None, None, Some(at_least)) => (at_least.count, at_least.of.clone()),
            _ => return Err("has exactly one of allOf, anyOf and atLeast".into()),
        };
        if n == 0 || of.is_empty() {
            return Err("demands no signature at all".into());
        }
        let find = |name: &String| authorities.iter().find(|a| a.name == *name);
        if let Some(unknown) = of.iter().find(|name| find(name).is_none()) {
            return Err(format!("names authority {unknown:?}, which is not defined"));
        }
        let slots: BTreeSet<String> = of.iter().filter_map(find).map(Authority::slot).collect();
        if n > slots.len() {
            return Err(format!("demands {n} signatures of {} distinct keys and identities", slots.len()));
        }
        Ok(Self { n, of })
    }

    /// All of these authorities, as a Delivery demands them on top of a policy.
    pub(crate) fn all_of(names: &[String]) -> Self {
        let of: BTreeSet<_> = names.iter().cloned().collect();
        Self { n: of.len(), of: of.into_iter().collect() }
    }

    /// True if enough of the authorities, each with a key or identity of its own, are among `signers` (name and id).
    ///
    /// One identity may match several authorities, and several identities one: each counts once, so what is counted is
    /// the largest number of pairs of an authority and a signer in which nobody appears twice.
    pub fn is_met(&self, signers: &BTreeSet<(String, Digest)>) -> bool {
        let mut ids: BTreeMap<&str, Vec<&Digest>> = BTreeMap::new();
        for (name, id) in signers.iter().filter(|(name, _)| self.of.contains(name)) {
            ids.entry(name).or_default().push(id);
        }
        let mut taken: BTreeMap<&Digest, &str> = BTreeMap::new();
        let pairs = ids.keys().filter(|name| assign(name, &ids, &mut taken, &mut BTreeSet::new())).count();
        pairs >= self.n
    }
}

/// Finds a signer for an authority, moving others to another of theirs where that makes room (Kuhn's algorithm).
fn assign<'a>(
    name: &'a str,
    ids: &BTreeMap<&'a str, Vec<&'a Digest>>,
    taken: &mut BTreeMap<&'a Digest, &'a str>,
    asked: &mut BTreeSet<&'a Digest>,
) -> bool {
    for id in ids.get(name).into_iter().flatten() {
        if !asked.insert(id) {
            continue;
        }
        let free = match taken.get(id).copied() {
            None => true,
            Some(holder) => assign(holder, ids, taken, asked),
        };
        if free {
            taken.insert(id, name);
            return true;
        }
    }
    false
}

/// `needs 2 of [build, release]`.
impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "needs {} of [{}]", self.n, self.of.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(n: usize, signers: &[(&str, &str)]) -> bool {
        let of = ["a", "b", "c"].map(str::to_owned).to_vec();
        let signers = signers.iter().map(|(name, id)| ((*name).to_owned(), Digest::of(id.as_bytes()))).collect();
        Requirement { n, of }.is_met(&signers)
    }

    #[test]
    fn two_identities_of_one_authority_are_one_authority() {
        assert!(met(1, &[("a", "x"), ("a", "y")]));
        assert!(!met(2, &[("a", "x"), ("a", "y")]));
    }

    #[test]
    fn one_identity_that_matches_two_authorities_is_one_signer() {
        assert!(!met(2, &[("a", "x"), ("b", "x")]));
        assert!(met(2, &[("a", "x"), ("a", "y"), ("b", "x")]), "a stands for y, so that b may stand for x");
        assert!(met(3, &[("a", "x"), ("a", "y"), ("b", "x"), ("b", "z"), ("c", "x")]));
        assert!(!met(3, &[("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x")]));
    }

    #[test]
    fn authorities_that_are_not_named_do_not_count() {
        assert!(!met(1, &[("other", "x")]));
    }
}
