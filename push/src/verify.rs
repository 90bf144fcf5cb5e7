//! `sealift verify`: the verdict a cluster would reach, by the very functions it calls.

use jiff::Timestamp;
use sealift_registry::store::Location;
use sealift_verify::{
    evidence::{Evidence, Outcome, junit, sarif},
    reference::{Reference, Repository},
    verify::Facts,
};

use crate::{
    ci,
    cli::{RegistryAccess, verify::VerifyArgs},
    delivery::Settings,
    exit::Exit,
    failure::Failure,
    judge::{Judged, Subject, explain_keys, judge},
    output::{Output, OutputError, Report},
    policies::{self, Trust},
    table::plain_lines,
    transport,
};

/// Some check was not made, and the person demanded all of them.
#[derive(Debug, thiserror::Error)]
#[error("nothing was refused, but some checks were not made: {}", .0.join(", "))]
struct Incomplete(Vec<String>);

pub(crate) async fn run(args: &VerifyArgs, output: &mut Output) -> Result<Exit, Failure> {
    let trust = policies::read(&args.policy, output)?;
    let settings = Settings::of(&args.facts, output).await?;
    let reference = transport::named(&args.reference, args.facts.as_repository.as_ref())?;
    let logical = args.facts.as_repository.clone().unwrap_or_else(|| reference.repository.clone());
    // A repository that no policy speaks for is never contacted.
    sealift_verify::policy::select(&trust.policies, &logical, settings.namespace.as_deref())?;
    let question =
        Question { location: &args.reference.location, reference: &reference, logical, now: None, version: None };
    let judged = decide(&question, &trust, &settings, &args.registry, output).await?;
    write(&judged.decision.evidence, output)?;
    ci::verdict(&judged.decision.evidence)?;
    match judged.decision.outcome {
        Ok(_) => complete(args, &judged.decision.evidence),
        Err(refusal) => {
            explain_keys(&refusal, &judged.candidates, &trust.policies, output);
            Err(refusal.into())
        }
    }
}

/// What is judged, and as what.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Where its bytes are.
    pub(crate) location: &'a Location,
    /// What they are asked for as.
    pub(crate) reference: &'a Reference,
    /// The repository that policies and statements speak of.
    pub(crate) logical: Repository,
    /// The time to judge at, else the present.
    pub(crate) now: Option<Timestamp>,
    /// The version that a selector chose.
    pub(crate) version: Option<&'a str>,
}

/// Fetches and judges. The caller has made sure that some policy speaks for the repository.
pub(crate) async fn decide(
    question: &Question<'_>,
    trust: &Trust,
    settings: &Settings,
    registry: &RegistryAccess,
    output: &mut Output,
) -> Result<Judged, Failure> {
    let Question { location, reference, logical, now, version } = question;
    let client = transport::open(location, registry).await?;
    let digest = transport::digest(&client, reference, output).await?;
    let facts = settings.facts(&trust.roots);
    let facts = Facts { now: now.unwrap_or(facts.now), version: *version, ..facts };
    let rendering = settings.rendering(settings.cluster.as_ref()).await?;
    let subject = Subject { place: reference.repository.pin(digest), logical: logical.pin(digest) };
    output.progress(format_args!("verifying {}", client.shown(&subject.place)));
    judge(&client, registry, &subject, &trust.policies, &facts, &rendering).await
}

fn write(evidence: &Evidence, output: &mut Output) -> Result<(), OutputError> {
    let records = std::slice::from_ref(evidence);
    match output.report {
        Report::Text => output.product(plain_lines(&evidence.to_string())),
        Report::Json => output.json(&evidence.to_json()),
        Report::Junit => output.product(junit::render(records).trim_end()),
        Report::Sarif => output.json(&sarif::render(records)),
    }
}

fn complete(args: &VerifyArgs, evidence: &Evidence) -> Result<Exit, Failure> {
    debug_assert_eq!(evidence.outcome, Outcome::Accepted);
    if !args.require_complete || evidence.is_complete() {
        return Ok(Exit::Done);
    }
    let open = evidence.checks.iter().filter(|row| row.result == sealift_verify::evidence::CheckResult::NotChecked);
    let open = open.map(|row| row.check.as_str().to_owned()).collect();
    Err(Failure::new(Exit::Incomplete, Incomplete(open))
        .hint("what a cluster accepted before is known by --context and --delivery, or --memory"))
}
