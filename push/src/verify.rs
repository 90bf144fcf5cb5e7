//! `sealift verify`: the verdict a cluster would reach, by the very functions it calls.

mod images;

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use sealift_registry::store::{Address, Location};
use sealift_verify::{
    evidence::{Evidence, Outcome, junit, sarif},
    reference::{Pinned, Reference, Repository},
    verify::{Facts, Verified},
};

use self::images::Looked;
use crate::{
    ci,
    cli::{RegistryAccess, verify::VerifyArgs},
    delivery::Settings,
    exit::Exit,
    failure::Failure,
    judge::{Judged, Subject, explain_keys, judge},
    output::{Output, OutputError, Report},
    policies::{self, Trust},
    table::{plain, plain_lines},
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
    let records: Vec<_> = judged.decisions().map(|decision| decision.evidence.clone()).collect();
    // Of a release that is refused for its content there is nothing to look for.
    let looked = match judged.images().filter(|_| args.check_images) {
        Some(named) => Some(images::look(named, &args.registry, output).await),
        None => None,
    };
    write(&records, looked.as_deref(), output)?;
    let rows: Vec<_> = looked.iter().flatten().filter_map(Looked::row).collect();
    records.iter().try_for_each(|evidence| ci::verdict(evidence, &rows))?;
    if records.len() > 1 {
        records.iter().for_each(|evidence| output.note(line(evidence)));
    }
    match judged.decisions().find_map(|decision| decision.outcome.as_ref().err()) {
        None => {
            images::verdict(looked.unwrap_or_default())?;
            complete(args, &records)
        }
        Some(refusal) => {
            explain_keys(refusal, &judged.candidates, &trust.policies, output);
            Err(refusal.clone().into())
        }
    }
}

/// What became of one of several variants.
fn line(evidence: &Evidence) -> String {
    let variant = evidence.variant.as_deref().unwrap_or_default();
    match (&evidence.reason, &evidence.message) {
        (None, _) => format!("variant {variant} is accepted"),
        (Some(reason), message) => {
            format!("variant {variant} is refused: {reason}: {}", plain(message.as_deref().unwrap_or_default()))
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

/// An artifact that the policies accept, with the bytes that were judged.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) place: Pinned,
    pub(crate) verified: Verified,
    pub(crate) manifest: Vec<u8>,
    pub(crate) layer: Bytes,
}

/// Fetches what an address names, judges it as the repository that it stands for, and gives it if it is accepted, stale or
/// not.
pub(crate) async fn accepted(
    address: &Address,
    logical: Option<&Repository>,
    trust: &Trust,
    settings: &Settings,
    registry: &RegistryAccess,
    output: &mut Output,
) -> Result<Accepted, Failure> {
    let reference = transport::named(address, logical)?;
    let logical = logical.unwrap_or(&reference.repository).clone();
    // A repository that no policy speaks for is never contacted.
    sealift_verify::policy::select(&trust.policies, &logical, settings.namespace.as_deref())?;
    let question = Question { location: &address.location, reference: &reference, logical, now: None, version: None };
    let judged = decide(&question, trust, settings, registry, output).await?;
    let (manifest, layer) = (judged.manifest.clone(), judged.layer.clone());
    let verified = judged.accepted(&trust.policies, output)?;
    let layer = layer.expect("what is verified was fetched");
    Ok(Accepted { place: reference.repository.pin(verified.digest()), verified, manifest, layer })
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
    judge(&client, registry, &subject, &trust.policies, (&facts, settings.extent), &rendering).await
}

fn write(records: &[Evidence], looked: Option<&[Looked]>, output: &mut Output) -> Result<(), OutputError> {
    match output.report {
        Report::Text => {
            let texts: Vec<_> = records.iter().map(|evidence| plain_lines(&evidence.to_string())).collect();
            let images = looked.map(|looked| format!("\n{}", images::lines(looked))).unwrap_or_default();
            output.product(format_args!("{}{images}", texts.join("\n\n")))
        }
        Report::Json => {
            let record = |evidence: &Evidence| {
                let mut record = evidence.to_json();
                if let Some(looked) = looked {
                    images::add_to_record(&mut record, looked);
                }
                record
            };
            match records {
                [one] => output.json(&record(one)),
                // One a line, as `sealift audit` writes several.
                many => output.product(many.iter().map(|one| record(one).to_string()).collect::<Vec<_>>().join("\n")),
            }
        }
        Report::Junit => {
            let mut suites: Vec<_> = records.iter().map(junit::suite).collect();
            if let Some(last) = suites.last_mut() {
                last.cases.extend(looked.into_iter().flatten().map(Looked::case));
            }
            output.product(junit::document("sealift verify", &suites).trim_end())
        }
        Report::Sarif => {
            let mut document = sarif::render(records);
            if let (Some(looked), Some(one)) = (looked, records.first()) {
                images::add_to_sarif(&mut document, looked, &one.reference);
            }
            output.json(&document)
        }
    }
}

fn complete(args: &VerifyArgs, records: &[Evidence]) -> Result<Exit, Failure> {
    debug_assert!(records.iter().all(|evidence| evidence.outcome == Outcome::Accepted));
    if !args.require_complete || records.iter().all(Evidence::is_complete) {
        return Ok(Exit::Done);
    }
    let open = records.iter().flat_map(|evidence| &evidence.checks);
    let open = open.filter(|row| row.result == sealift_verify::evidence::CheckResult::NotChecked);
    let open: BTreeSet<_> = open.map(|row| row.check.as_str().to_owned()).collect();
    Err(Failure::new(Exit::Incomplete, Incomplete(open.into_iter().collect()))
        .hint("what a cluster accepted before is known by --context and --delivery, or --memory"))
}
