//! What is attested of an artifact beside its release: attestations that policies demand, and approvals of plans.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::payload::{Payload, Signers};
use crate::{
    approval::{self, Approval, Approvals, Demanded},
    attestation::Attestation,
    cel::CelError,
    digest::Digest,
    evidence::{CheckId, CheckResult, Evidence, SignatureRecord},
    policy::{AttestationRule, Mode, Policy, Requirement, Selected},
    refusal::Refusal,
    sigstore::Certificate,
};

/// How many attestations one rule is held against: more than anybody makes, and few enough to be asked every time.
const MOST: usize = 64;

/// A payload that is an attestation about the artifact, of a type that some policy asks for.
#[derive(Debug)]
pub(super) struct Attested {
    payload: Payload,
    attestation: Attestation,
}

/// What attestations are judged by, beside the policies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    /// The release statement as it was signed.
    pub(super) statement: Option<&'a Value>,
    pub(super) now: Timestamp,
}

/// Takes the attestations out of what was signed that a policy asks for. Everything else is left to the release.
pub(super) fn of(payloads: &[Payload], policies: &[Arc<Policy>], artifact: &Digest) -> Vec<Attested> {
    let asked = |kind: &str| {
        policies.iter().any(|policy| {
            policy.attestations.iter().any(|rule| rule.predicate_type == kind)
                || policy.approval.is_some() && kind == approval::PREDICATE_TYPE
        })
    };
    let attested = |payload: &Payload| {
        let attestation = Attestation::about(artifact, &payload.bytes).ok()?;
        asked(&attestation.predicate_type).then(|| Attested { payload: payload.clone(), attestation })
    };
    payloads.iter().filter_map(attested).collect()
}

/// True if this payload is one of them.
pub(super) fn has(attested: &[Attested], payload: &Digest) -> bool {
    attested.iter().any(|one| one.payload.digest == *payload)
}

/// Judges every rule of every enforcing policy, and notes what audit policies would refuse.
pub(super) fn judge(
    attested: &[Attested],
    selected: &Selected,
    setting: Setting<'_>,
    evidence: &mut Evidence,
) -> Result<(), (CheckId, Refusal)> {
    for policy in &selected.auditing {
        let refused = policy.attestations.iter().find_map(|rule| meets(policy, rule, attested, setting).err());
        if let Some(refusal) = refused {
            unsatisfied(evidence, policy, &refusal);
        }
    }
    let mut details = Vec::new();
    for policy in &selected.enforcing {
        for rule in &policy.attestations {
            match meets(policy, rule, attested, setting) {
                Ok(detail) => details.push(detail),
                Err(refusal) => {
                    unsatisfied(evidence, policy, &refusal);
                    return Err((CheckId::Attestations, refusal));
                }
            }
        }
    }
    match details.is_empty() {
        true => evidence.set(CheckId::Attestations, CheckResult::NotPresent, "no policy asks for any"),
        false => evidence.pass(CheckId::Attestations, details.join("; ")),
    }
    Ok(())
}

fn unsatisfied(evidence: &mut Evidence, policy: &Policy, refusal: &Refusal) {
    let record = evidence.policies.iter_mut().find(|record| record.digest == policy.digest);
    if let Some(record) = record.filter(|record| record.satisfied) {
        (record.satisfied, record.unmet) = (false, Some(refusal.to_string()));
    }
}

/// The first attestation that a rule accepts, in words; a bad one hides no good one.
fn meets(
    policy: &Policy,
    rule: &AttestationRule,
    attested: &[Attested],
    setting: Setting<'_>,
) -> Result<String, Refusal> {
    let mut problem = None;
    let mut weighed = 0;
    for one in attested.iter().filter(|a| a.attestation.predicate_type == rule.predicate_type) {
        // Who signed it is known already, so what strangers push costs nothing and takes no place of others.
        let found = match counted(policy, &rule.require, &one.payload) {
            Ok(_) if weighed == MOST => return Err(Refusal::TooManySignatures { seen: MOST }),
            Ok(signers) => {
                weighed += 1;
                accepts(policy, rule, one, signers, setting)
            }
            Err(problem) => Err(problem),
        };
        match found {
            Ok(signers) => {
                let mut names: Vec<_> = signers.iter().map(|(name, _)| name.as_str()).collect();
                names.dedup();
                return Ok(format!("{}: {} by {}", rule.name, one.payload.digest, names.join(", ")));
            }
            // What came closest tells most: an expression that is not true was properly signed.
            Err(found) => problem = Some(found).max(problem),
        }
    }
    let (policy, name) = (policy.name.clone(), rule.name.clone());
    Err(match problem {
        None => Refusal::AttestationMissing { policy, name, predicate_type: rule.predicate_type.clone() },
        Some(problem) => Refusal::AttestationRefused { policy, name, problem: problem.to_string() },
    })
}

/// Why an attestation is not the one a rule asks for, from the least to the most that it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
enum Problem {
    #[error("it is on the deny list")]
    Denied,
    #[error("its signatures do not suffice ({0})")]
    Signatures(String),
    #[error("its signatures are older than {0}, or no log or timestamp says when they were made")]
    Age(String),
    #[error("{expression:?} is not true of {payload}{}", problem.as_ref().map(|p| format!(": {p}")).unwrap_or_default())]
    Expression { payload: Digest, expression: String, problem: Option<String> },
}

fn accepts(
    policy: &Policy,
    rule: &AttestationRule,
    one: &Attested,
    signers: Signers,
    setting: Setting<'_>,
) -> Result<Signers, Problem> {
    let recent: Signers =
        signers.into_iter().filter(|(_, id)| is_recent(rule, one.payload.proof(policy, id), setting.now)).collect();
    if !rule.require.is_met(&recent) {
        return Err(Problem::Age(rule.max_age.map(|age| age.to_string()).unwrap_or_default()));
    }
    let certificates = recent.iter().filter_map(|(_, id)| one.payload.proof(policy, id)?.proof.certificate.as_ref());
    let mut certificates: Vec<Value> = certificates.map(certificate).collect();
    if certificates.is_empty() {
        certificates.push(Value::Null);
    }
    let now = Value::String(setting.now.to_string());
    let Attestation { subject, predicate, predicate_type: _ } = &one.attestation;
    for expression in &rule.expressions {
        for certificate in &certificates {
            let statement = setting.statement.unwrap_or(&Value::Null);
            let values = [predicate, subject, statement, certificate, &now];
            let values: Vec<_> = crate::policy::VARIABLES.into_iter().zip(values).collect();
            let not = |problem: Option<CelError>| Problem::Expression {
                payload: one.payload.digest,
                expression: expression.source().to_owned(),
                problem: problem.map(|problem| problem.to_string()),
            };
            match expression.holds(&values) {
                Ok(true) => {}
                Ok(false) => return Err(not(None)),
                Err(error) => return Err(not(Some(error))),
            }
        }
    }
    Ok(recent)
}

/// Those whose signatures count, if they suffice.
fn counted(policy: &Policy, require: &Requirement, payload: &Payload) -> Result<Signers, Problem> {
    if policy.deny.digests.contains(&payload.digest) {
        return Err(Problem::Denied);
    }
    let signers = payload.signers(policy);
    match require.is_met(&signers) {
        true => Ok(signers),
        false => Err(Problem::Signatures(require.to_string())),
    }
}

fn is_recent(rule: &AttestationRule, record: Option<&SignatureRecord>, now: Timestamp) -> bool {
    let Some(max_age) = rule.max_age else { return true };
    let longest = SignedDuration::try_from(max_age.get()).unwrap_or(SignedDuration::MAX);
    let latest = record.and_then(|record| record.proof.times.iter().map(|time| time.time).max());
    latest.is_some_and(|time| now.duration_since(time) <= longest)
}

fn certificate(certificate: &Certificate) -> Value {
    let claims: serde_json::Map<_, _> =
        certificate.claims.iter().map(|(claim, value)| (claim.as_str().to_owned(), value.as_str().into())).collect();
    json!({"issuer": certificate.issuer, "identity": certificate.identity, "claims": claims})
}

/// The approvals that count, for each enforcing policy that demands them.
pub(super) fn approvals(attested: &[Attested], policies: &[Arc<Policy>], now: Timestamp) -> Approvals {
    let demanding = policies.iter().filter(|policy| policy.mode == Mode::Enforce);
    let demanded = demanding.filter_map(|policy| {
        let require = policy.approval.as_ref()?;
        let approval = |one: &Attested| {
            if one.attestation.predicate_type != approval::PREDICATE_TYPE {
                return None;
            }
            counted(policy, require, &one.payload).ok()?;
            let approval: Approval = serde_json::from_value(one.attestation.predicate.clone()).ok()?;
            approval.expires_at.is_none_or(|end| now <= end).then_some(approval)
        };
        let approved = attested.iter().filter_map(approval).collect();
        Some(Demanded { policy: policy.name.clone(), require: require.to_string(), approved })
    });
    Approvals(demanded.collect())
}
