//! What else must be attested of an artifact: rules over in-toto statements, ready to judge with.

use std::collections::BTreeSet;

use super::{
    Authority, PolicyError, Requirement,
    spec::{AttestationSpec, RequireSpec},
};
use crate::{cel::Expression, duration::Duration};

/// What expressions may speak of.
pub(crate) const VARIABLES: [&str; 5] = ["predicate", "subject", "statement", "certificate", "now"];
/// As many rules as a policy may have, and expressions as a rule may have.
const MOST: usize = 16;

/// An attestation that must be there.
#[derive(Clone, Debug)]
pub struct AttestationRule {
    /// What it is called in verdicts.
    pub name: String,
    /// Its predicate type.
    pub predicate_type: String,
    /// Who must have signed it.
    pub require: Requirement,
    /// What must be true of it.
    pub expressions: Vec<Expression>,
    /// How long ago it may have been signed.
    pub max_age: Option<Duration>,
}

/// Gives the rules of a policy their meaning.
pub(super) fn rules_of(
    policy: &str,
    specs: &[AttestationSpec],
    default: &RequireSpec,
    authorities: &[Authority],
) -> Result<Vec<AttestationRule>, PolicyError> {
    let problem = |name: &str, problem: String| PolicyError::Attestation {
        policy: policy.to_owned(),
        attestation: name.to_owned(),
        problem,
    };
    if specs.len() > MOST {
        return Err(problem("", format!("is one of {}; there may be {MOST}", specs.len())));
    }
    let mut names = BTreeSet::new();
    let rule = |spec: &AttestationSpec| {
        let AttestationSpec { name, predicate_type, require, expressions, max_age } = spec;
        let wrong = |text: String| problem(name, text);
        if name.is_empty() || predicate_type.is_empty() {
            return Err(wrong("has no name or no predicateType".into()));
        }
        if !names.insert(name.clone()) {
            return Err(wrong("is defined twice".into()));
        }
        if predicate_type == crate::statement::PREDICATE_TYPE {
            return Err(wrong("is the release itself, which `release` is about".into()));
        }
        if expressions.len() > MOST {
            return Err(wrong(format!("has {} expressions; there may be {MOST}", expressions.len())));
        }
        let parse = |source: &String| {
            Expression::parse(source, &VARIABLES)
                .map_err(|error| wrong(format!("has an expression {source:?} that cannot be used: {error}")))
        };
        Ok(AttestationRule {
            name: name.clone(),
            predicate_type: predicate_type.clone(),
            require: Requirement::new(require.as_ref().unwrap_or(default), authorities)
                .map_err(|text| wrong(format!("has a require that {text}")))?,
            expressions: expressions.iter().map(parse).collect::<Result<_, _>>()?,
            max_age: *max_age,
        })
    };
    specs.iter().map(rule).collect()
}
