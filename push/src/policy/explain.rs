//! `sealift policy explain`: which policies match and why, what each requires, which rule decided.

use sealift_verify::{
    evidence::{Check, CheckId, CheckResult, Evidence, Outcome},
    policy::{Mode, select},
    refusal::{Reason, Refusal},
};
use serde_json::{Value, json};

use super::words::Words;
use crate::{
    cli::policy::ExplainArgs,
    delivery::Settings,
    exit::Exit,
    failure::Failure,
    judge::Extent,
    output::{Format, Output},
    policies::{self, Trust},
    table::plain,
    transport,
    verify::{Question, decide},
};

pub(crate) async fn run(args: &ExplainArgs, output: &mut Output) -> Result<Exit, Failure> {
    let (written, roots) = policies::written(&args.policy, output)?;
    // One verdict is explained, and without a choice of a variant that is that one is missing.
    let settings = Settings { extent: Extent::Chosen, ..Settings::of(&args.facts, output).await? };
    let reference = transport::named(&args.reference, args.facts.as_repository.as_ref())?;
    let logical = args.facts.as_repository.clone().unwrap_or_else(|| reference.repository.clone());
    let trust = Trust { policies: written.iter().map(|written| written.policy.clone()).collect(), roots };
    let repository = logical.to_string();
    let namespace = settings.namespace.as_deref();
    let words: Vec<_> = written.iter().map(|written| Words::new(written, &repository, namespace)).collect();

    let verdict = match select(&trust.policies, &logical, namespace) {
        Err(refusal) => Some(Verdict::NoPolicy(refusal)),
        Ok(_) if reference.tag.is_none() && reference.digest.is_none() => None,
        Ok(_) => {
            let question = Question {
                location: &args.reference.location,
                reference: &reference,
                logical,
                now: None,
                version: None,
            };
            let judged = decide(&question, &trust, &settings, &args.registry, output).await?;
            Some(Verdict::Judged(Box::new(judged.decision.evidence)))
        }
    };
    match output.format {
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/policy-explain/v1",
            "repository": repository,
            "namespace": namespace,
            "policies": words.iter().map(Words::json).collect::<Vec<_>>(),
            "verdict": verdict.as_ref().map(Verdict::json),
        }))?,
        Format::Text => {
            let mut parts: Vec<_> = words.iter().map(Words::text).collect();
            parts.extend(verdict.as_ref().map(Verdict::text));
            output.product(parts.join("\n\n"))?;
        }
    }
    Ok(Exit::Done)
}

enum Verdict {
    /// Nothing was fetched.
    NoPolicy(Refusal),
    Judged(Box<Evidence>),
}

impl Verdict {
    fn text(&self) -> String {
        match self {
            Self::NoPolicy(refusal) => {
                format!(
                    "REFUSED {}: {}\n  decided by spec.match: {}",
                    refusal.reason(),
                    plain(&refusal.to_string()),
                    refusal.hint()
                )
            }
            Self::Judged(evidence) => judged(evidence),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::NoPolicy(refusal) => json!({
                "outcome": Outcome::Refused,
                "reason": refusal.reason(),
                "message": refusal.to_string(),
                "check": CheckId::Policy,
                "rule": rule(CheckId::Policy, None),
            }),
            Self::Judged(evidence) => json!({
                "outcome": evidence.outcome,
                "reason": evidence.reason,
                "message": evidence.message,
                "check": decided_by(evidence).map(|row| row.check),
                "rule": decided_by(evidence).and_then(|row| rule(row.check, evidence.reason)),
                "evidence": evidence.to_json(),
            }),
        }
    }
}

fn judged(evidence: &Evidence) -> String {
    let mut lines = Vec::new();
    match (evidence.outcome, decided_by(evidence)) {
        (Outcome::Accepted, _) => {
            lines.push(format!("ACCEPTED {}", evidence.reference));
            lines.push("  every policy that must be satisfied is:".to_owned());
        }
        (outcome, row) => {
            let word = if outcome == Outcome::Refused { "REFUSED" } else { "COULD NOT CHECK" };
            let reason = evidence.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            lines.push(format!(
                "{word}{reason}: {}",
                plain(evidence.message.as_deref().unwrap_or("no verdict was reached"))
            ));
            if let Some(row) = row {
                let by = rule(row.check, evidence.reason)
                    .map_or_else(|| "what no policy can allow".to_owned(), |field| format!("spec.{field}"));
                lines.push(format!("  decided by {by}, check {}: {}", row.check.as_str(), row.check.describe()));
            }
        }
    }
    for policy in &evidence.policies {
        let signers: Vec<_> = policy.signers.iter().map(|signer| signer.authority.as_str()).collect();
        let signers = if signers.is_empty() { "nobody it knows".to_owned() } else { signers.join(", ") };
        let verdict = match (&policy.unmet, policy.mode) {
            (None, _) => "satisfied".to_owned(),
            (Some(unmet), Mode::Enforce) => format!("not satisfied: {unmet}"),
            (Some(unmet), Mode::Audit) => format!("would refuse if it decided: {unmet}"),
        };
        lines.push(format!("  policy {}: {}; signed by {signers}", plain(&policy.name), plain(&verdict)));
    }
    let open = evidence.checks.iter().filter(|row| row.result == CheckResult::NotChecked).map(|row| row.check.as_str());
    let open: Vec<_> = open.collect();
    if !open.is_empty() {
        lines.push(format!("  not checked: {}", open.join(", ")));
    }
    lines.join("\n")
}

/// The row that says what the message says.
fn decided_by(evidence: &Evidence) -> Option<&Check> {
    let message = evidence.message.as_deref()?;
    evidence.checks.iter().find(|row| row.result == CheckResult::Fail && row.detail == message)
}

/// The part of a policy that a check holds an artifact against; `None` for what holds whatever a policy says.
fn rule(check: CheckId, reason: Option<Reason>) -> Option<&'static str> {
    Some(match check {
        CheckId::Policy => "match",
        CheckId::DenyList => "deny",
        CheckId::Signature => "require",
        CheckId::Statement if reason == Some(Reason::NoStatement) => "release.statement",
        CheckId::Stream => "release.streams",
        CheckId::Environment => "release.environment",
        CheckId::MaxAge => "release.maxAge",
        CheckId::Minimum => "release.minimum",
        CheckId::Epoch => "release.epochs",
        CheckId::Hold => "release.emergency",
        CheckId::Attestations => "attestations",
        CheckId::Objects => "objects",
        CheckId::Images => "images",
        _ => return None,
    })
}
