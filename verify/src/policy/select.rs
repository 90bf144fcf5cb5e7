//! Which policies judge a repository.

use std::sync::Arc;

use serde_json::Value;

use super::{MatchSpec, Mode, Policy, matcher::Globs};
use crate::{reference::Repository, refusal::Refusal};

/// The policies that match, split by whether they decide.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Every one of these must pass; never empty.
    pub enforcing: Vec<Arc<Policy>>,
    /// Judged and reported beside them.
    pub auditing: Vec<Arc<Policy>>,
}

impl Selected {
    /// True if a policy that decides lets signatures of the `.sig` scheme count: else nobody has to look for them.
    pub fn legacy_signatures(&self) -> bool {
        self.enforcing.iter().any(|policy| policy.legacy_signatures)
    }
}

/// Selects by logical repository and namespace, in the order of names, before anything is fetched.
///
/// # Errors
/// [`Refusal::NoPolicy`] where no enforcing policy matches; audit policies authorise nothing.
pub fn select(policies: &[Arc<Policy>], repository: &Repository, namespace: Option<&str>) -> Result<Selected, Refusal> {
    let text = repository.to_string();
    let mut matching: Vec<_> = policies.iter().filter(|policy| policy.matches(&text, namespace)).cloned().collect();
    matching.sort_by(|a, b| a.name.cmp(&b.name));
    let (enforcing, auditing): (Vec<_>, Vec<_>) = matching.into_iter().partition(|p| p.mode == Mode::Enforce);
    if enforcing.is_empty() {
        return Err(Refusal::NoPolicy { repository: repository.clone(), namespace: namespace.map(str::to_owned) });
    }
    Ok(Selected { enforcing, auditing })
}

/// True if a policy object that cannot be used may be about `repository` and `namespace`; also where that cannot be told.
pub fn might_match(object: &Value, repository: &Repository, namespace: Option<&str>) -> bool {
    let matches = object.pointer("/spec/match").cloned().unwrap_or(Value::Null);
    let Ok(MatchSpec { repositories, namespaces }) = serde_json::from_value(matches) else { return true };
    let within = |patterns: &[String], text: &str| Globs::new(patterns).map_or(true, |globs| globs.matches(text));
    within(&repositories, &repository.to_string())
        && match (namespaces, namespace) {
            (Some(patterns), Some(namespace)) => within(&patterns, namespace),
            _ => true,
        }
}
