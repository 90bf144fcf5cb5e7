//! `sealift attest`: a signed statement about an artifact, in a predicate of a type that is no release.

mod predicate;
mod predicate_type;

use sealift_verify::attestation;
use serde_json::json;

pub(crate) use self::predicate_type::PredicateType;
use crate::{
    cli::attest::AttestArgs,
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    release::{Artifact, Made, sign_once},
    signing, transport,
};

/// What a bundle holds beside the payload: certificate, log entry, timestamp, all of them in base64.
const BESIDE_PAYLOAD: u64 = 32 << 10;

/// Readers pass over larger bundles, so it would be as if nobody had signed.
#[derive(Debug, thiserror::Error)]
#[error("the predicate is too large: signed, it would take about {size} bytes, and readers take {limit}")]
struct TooLarge {
    size: u64,
    limit: u64,
}

pub(crate) async fn run(args: &AttestArgs, output: &mut Output) -> Result<Exit, Failure> {
    let AttestArgs { reference, as_repository, predicate, predicate_type, signer, registry } = args;
    let said = predicate::read(predicate)?;
    let client = transport::open(&reference.location, registry).await?;
    let reference = transport::named(reference, as_repository.as_ref())?;
    let place = reference.repository.pin(transport::digest(&client, &reference, output).await?);
    output.progress("reading what is attached");
    let artifact = Artifact::fetch(&client, place).await?;
    let logical = as_repository.as_ref().unwrap_or(&reference.repository).pin(artifact.place.digest);
    let payload = attestation::to_payload(&logical, predicate_type.uri(), &said);
    let (size, limit) = ((payload.len() as u64).div_ceil(3) * 4 + BESIDE_PAYLOAD, client.limits().bundle);
    if size > limit {
        let hint = "attest a summary, or the digest of what is stored elsewhere";
        return Err(Failure::new(Exit::InvalidInput, TooLarge { size, limit }).hint(hint));
    }
    output.note(format_args!("artifact  {}", client.shown(&artifact.place)));
    output.note(format_args!("attesting {predicate_type}"));

    // Last, so that whoever is asked for a password has read what it is for.
    let signer = signing::open(signer).await?;
    let made = sign_once(&client, &artifact, signer.as_ref(), &payload, predicate_type.uri(), output).await?;
    let signatory = signer.signatory();
    let outcome = match &made {
        Made::Before(referrer) => {
            output.note(format_args!("unchanged {signatory} has attested exactly this already: {referrer}"));
            "already-attested"
        }
        Made::Now(signed, attached) => {
            signed.note(output);
            output.note(format_args!("attached  {attached}, {signatory}"));
            "attested"
        }
    };
    match output.format {
        Format::Text => output.product(client.shown(&artifact.place))?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/attest/v1",
            "outcome": outcome,
            "reference": client.shown(&artifact.place),
            "digest": artifact.place.digest,
            "predicateType": predicate_type.uri(),
            "statement": sealift_verify::digest::Digest::of(&payload),
            "signature": made.json(signatory),
        }))?,
    }
    Ok(Exit::Done)
}
