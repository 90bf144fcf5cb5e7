//! `sealift approve`: a signed statement that a plan, known by its digest, may be carried out.

use jiff::Timestamp;
use sealift_verify::approval::{Approval, PREDICATE_TYPE};
use serde_json::json;

use crate::{
    cli::approve::ApproveArgs,
    exit::Exit,
    failure::{Failure, usage},
    output::{Format, Output},
    release::{self, Artifact, Made},
    signing, transport,
};

pub(crate) async fn run(args: &ApproveArgs, output: &mut Output) -> Result<Exit, Failure> {
    let ApproveArgs { reference, plan, delivery, expires_at, as_repository, signer, registry } = args;
    let Some(digest) = reference.digest else {
        return Err(usage("what is approved is named by its digest: a tag may be moved in between")
            .hint("`sealift plan` and the Delivery's status name the artifact with its digest"));
    };
    if expires_at.is_some_and(|end| end <= Timestamp::now()) {
        return Err(usage("--expires-at is over already"));
    }
    let named = transport::named(reference, as_repository.as_ref())?;
    let repository = &named.repository;
    let client = transport::open(&reference.location, registry).await?;
    output.progress("reading what is attached");
    let artifact = Artifact::fetch(&client, repository.pin(digest)).await?;
    let logical = as_repository.as_ref().unwrap_or(repository).pin(digest);
    let delivery = delivery.as_ref().map(|(namespace, name)| format!("{namespace}/{name}"));
    let approval = Approval { plan: *plan, delivery: delivery.clone(), expires_at: *expires_at };
    let payload = approval.to_payload(&logical);
    let meant = delivery.as_ref().map_or_else(|| "any Delivery".to_owned(), |delivery| format!("Delivery {delivery}"));
    let until = expires_at.map(|end| format!(", until {end}")).unwrap_or_default();
    output.note(format_args!("artifact  {logical}"));
    output.note(format_args!("approving plan {plan} for {meant}{until}"));

    // Last, so that whoever is asked for a password has read what it is for.
    let signer = signing::open(signer).await?;
    let signatory = signer.signatory();
    let made = release::sign_once(&client, &artifact, signer.as_ref(), &payload, PREDICATE_TYPE, output).await?;
    let outcome = match &made {
        Made::Before(referrer) => {
            output.note(format_args!("unchanged this key has approved it already: {referrer}"));
            "already-approved"
        }
        Made::Now(signed, referrer) => {
            signed.note(output);
            output.note(format_args!("attached  {referrer}, {signatory}"));
            "approved"
        }
    };
    match output.format {
        Format::Text => output.product(&artifact.place)?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/approve/v1",
            "outcome": outcome,
            "reference": artifact.place.to_string(),
            "digest": digest,
            "approval": approval,
            "signature": made.json(signatory),
        }))?,
    }
    Ok(Exit::Done)
}
