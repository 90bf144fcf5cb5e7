//! `sealift sign`: one more signature over exactly the statement that somebody else signed.

mod consistent;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealift_verify::{
    artifact::Manifest,
    digest::Digest,
    objects::Objects,
    refusal::Refusal,
    statement::{PREDICATE_TYPE, Statement},
};
use serde_json::json;

use crate::{
    cli::sign::SignArgs,
    exit::Exit,
    failure::{Failure, usage},
    judge::claimed,
    output::{Format, Output, transfer},
    release::{self, Artifact, Made, Payload},
    signing,
    table::plain,
    transport,
};

/// There is no such statement.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("no signature on {0} is about a payload with digest {1}")]
    Statement(sealift_verify::reference::Pinned, Digest),
    #[error("{0} carries no release statement that could be signed too")]
    Any(sealift_verify::reference::Pinned),
}

pub(crate) async fn run(args: &SignArgs, output: &mut Output) -> Result<Exit, Failure> {
    let reference = transport::named(&args.reference, args.as_repository.as_ref())?;
    let repository = &reference.repository;
    let client = transport::open(&args.reference.location, &args.registry).await?;
    let place = repository.pin(transport::digest(&client, &reference, output).await?);
    output.progress("reading statements");
    let artifact = Artifact::fetch(&client, place.clone()).await?;
    let payload = choose(&artifact, args.statement, output)?;

    // Nobody signs what could never be accepted, or what is not what it says.
    let logical = args.as_repository.as_ref().unwrap_or(repository).pin(place.digest);
    let statement = consistent::statement(payload.bytes, &logical)?;
    let manifest = Manifest::parse(&artifact.manifest, &place.digest);
    let manifest = manifest.map_err(|error| Refusal::BadManifest(error.to_string()))?;
    let (layer, format) = manifest.content().map_err(|error| Refusal::BadManifest(error.to_string()))?;
    consistent::layer(&statement, layer)?;
    let bytes = transfer::layer(&client, repository, layer).await?;
    let sets = consistent::sets(&statement, &bytes, format, client.limits())?;
    show(&statement, &payload, &sets, output);

    // Last, so that whoever is asked for a password has read what it is for.
    let signer = signing::open(&args.signer).await?;
    let signatory = signer.signatory();
    let made = release::sign_once(&client, &artifact, signer.as_ref(), payload.bytes, PREDICATE_TYPE, output).await?;
    let outcome = match &made {
        Made::Before(referrer) => {
            output.note(format_args!("unchanged {signatory} has signed the statement already: {referrer}"));
            "already-signed"
        }
        Made::Now(signed, referrer) => {
            signed.note(output);
            output.note(format_args!("attached  {referrer}, {signatory}"));
            "signed"
        }
    };
    match output.format {
        Format::Text => output.product(client.shown(&place))?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/sign/v1",
            "outcome": outcome,
            "reference": client.shown(&place),
            "digest": place.digest,
            "statement": {
                "digest": payload.digest,
                "stream": statement.release.stream,
                "environment": statement.release.environment,
                "version": statement.release.version,
                "epoch": statement.release.epoch,
                "sequence": statement.release.sequence,
            },
            "signature": made.json(signatory),
        }))?,
    }
    Ok(Exit::Done)
}

/// The payload that was named, or else the only release statement there is.
fn choose<'a>(artifact: &'a Artifact, wanted: Option<Digest>, output: &mut Output) -> Result<Payload<'a>, Failure> {
    let place = || artifact.place.clone();
    if let Some(wanted) = wanted {
        if let Some(found) = artifact.payloads().into_iter().find(|payload| payload.digest == wanted) {
            return Ok(found);
        }
        artifact.all_seen()?;
        let hint = "`sealift inspect` lists the statements of an artifact";
        return Err(Failure::new(Exit::NotFound, Missing::Statement(place(), wanted)).hint(hint));
    }
    artifact.all_seen()?;
    let mut releases = artifact.releases();
    if releases.len() > 1 {
        for (payload, statement) in &releases {
            output.note(format_args!("statement {}", payload.digest));
            output.note(format_args!("          {}", plain(&release::line(&statement.release))));
        }
        let several = format!("{} carries {} release statements", artifact.place, releases.len());
        return Err(usage(several).hint("name the one to sign with --statement sha256:…"));
    }
    match releases.pop() {
        Some((payload, _)) => Ok(payload),
        None => Err(Failure::new(Exit::NotFound, Missing::Any(place())).hint("`sealift push` signs a release")),
    }
}

/// What is about to be signed, in words.
fn show(statement: &Statement, payload: &Payload<'_>, sets: &[(Option<String>, Objects)], output: &mut Output) {
    let release = &statement.release;
    output.note(format_args!("statement {}", payload.digest));
    output.note(format_args!("signing   {}", plain(&release::line(release))));
    for (variant, objects) in sets {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for object in objects {
            *kinds.entry(&object.id.kind).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {}", plain(kind))).collect();
        let of = variant.as_deref().map(|name| format!(" in variant {name}")).unwrap_or_default();
        output.note(format_args!("objects   {}{of}: {}", objects.len(), kinds.join(", ")));
    }
    let of_variants = release.variants.iter().flat_map(|variant| &variant.parameters);
    let names: BTreeSet<String> = release.parameters.iter().chain(of_variants).map(|p| plain(&p.name)).collect();
    if !names.is_empty() {
        let names: Vec<String> = names.into_iter().collect();
        output.note(format_args!("variables {}", names.join(", ")));
    }
    if let Some(source) = &release.source {
        let revision: Vec<&str> = source.digest.values().map(String::as_str).collect();
        output.note(format_args!("source    {} {}", plain(&source.uri), plain(&revision.join(" "))));
    }
    if let Some(promoted) = &release.promoted_from {
        let from = promoted.environment.as_deref().map(plain).unwrap_or_else(|| "no environment".to_owned());
        output.note(format_args!("promoted  from {from}, statement {}", promoted.statement));
    }
    output.note(format_args!("issued    {}{}", release.issued_at, window(statement)));
    let signers: Vec<String> = payload.envelopes.iter().map(|envelope| plain(&claimed(envelope))).collect();
    output.note(format_args!("signed by {} (as the registry claims)", signers.join(", ")));
    if release.expires_at.is_some_and(|expires_at| expires_at <= Timestamp::now()) {
        output.warn("this statement has expired: no cluster will apply anything new on its word");
    }
    if statement.to_payload() != payload.bytes {
        output.warn("the statement says more than is shown here: this version of sealift does not know all its fields");
    }
}

fn window(statement: &Statement) -> String {
    let release = &statement.release;
    let from = release.not_before.map(|time| format!(", valid from {time}")).unwrap_or_default();
    let to = release.expires_at.map(|time| format!(", expires {time}")).unwrap_or_default();
    format!("{from}{to}")
}
