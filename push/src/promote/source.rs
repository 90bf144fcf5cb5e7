//! Which environment a release is promoted from.

use std::{collections::BTreeSet, sync::Arc};

use sealift_verify::{
    policy::Policy,
    reference::Pinned,
    signature::Envelope,
    statement::Statement,
    verify::{Facts, Unverified},
};

use crate::{
    exit::Exit,
    failure::{Failure, usage},
    judge::admit_each,
};

/// There is nothing to promote from.
#[derive(Debug, thiserror::Error)]
#[error("of {place}, the policies accept nothing but what is said for {environment} itself")]
struct Nowhere {
    place: Pinned,
    environment: String,
}

/// The environment that was named, or else the only one but the target in which the policies accept the release. Which
/// there are is anybody's word; what is accepted is not. `None` leaves it to the verdict.
pub(super) fn environment(
    unverified: &Unverified,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
    target: &str,
) -> Result<Option<String>, Failure> {
    if let Some(named) = facts.environment {
        return Ok(Some(named.to_owned()));
    }
    let said = unverified.candidates.iter().filter_map(|candidate| {
        let envelope = Envelope::parse(candidate, facts.limits.bundle).ok()?;
        Statement::parse(envelope.payload()).ok()?.release.environment
    });
    let others: BTreeSet<String> = said.filter(|environment| environment != target).collect();
    let is_accepted = |environment: &String| {
        admit_each(unverified, policies, &Facts { environment: Some(environment), ..facts.clone() }).is_ok()
    };
    let mut accepted: Vec<String> = others.into_iter().filter(is_accepted).collect();
    match accepted.len() {
        0 | 1 => Ok(accepted.pop()),
        _ => Err(usage(format!("the policies accept the release in several environments: {}", accepted.join(", ")))
            .hint("say which one it is promoted from with --from")),
    }
}

/// Fails if the verdict rests on what was said for the target already.
pub(super) fn is_another(source: &Statement, target: &str, place: &Pinned) -> Result<(), Failure> {
    match source.release.environment.as_deref() == Some(target) {
        false => Ok(()),
        true => Err(Failure::new(Exit::NotFound, Nowhere { place: place.clone(), environment: target.to_owned() })
            .hint("--policy is the policy of the environment that the release comes from, and --from names it")),
    }
}
