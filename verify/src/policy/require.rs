//! Who must have signed: thresholds over distinct authorities with distinct keys.

use std::collections::BTreeSet;

use super::{Authority, spec::RequireSpec};
use crate::digest::Digest;

/// A threshold over authorities; satisfied per statement, never by adding up signatures on different ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    n: usize,
    of: Vec<String>,
}

impl Requirement {
    /// Checks that the threshold can be met by distinct keys.
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
        let keys: BTreeSet<Digest> = of.iter().filter_map(find).map(|a| a.key.id()).collect();
        if n > keys.len() {
            return Err(format!("demands {n} signatures of {} distinct keys", keys.len()));
        }
        Ok(Self { n, of })
    }

    /// True if enough of the authorities, each with a key of its own, are among `signers` (name and key id).
    pub fn is_met(&self, signers: &BTreeSet<(String, Digest)>) -> bool {
        let keys: BTreeSet<_> = signers.iter().filter(|(name, _)| self.of.contains(name)).map(|(_, key)| key).collect();
        keys.len() >= self.n
    }
}

/// `2 of [build, release]`.
impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "needs {} of [{}]", self.n, self.of.join(", "))
    }
}
