//! `sealift refresh`: the same release said again, to last longer. No tag moves: the artifact stays what it is.

use jiff::Timestamp;
use sealift_verify::{digest::Digest, duration::Duration, statement::Statement};
use serde_json::json;

use crate::{
    ci,
    cli::refresh::RefreshArgs,
    exit::Exit,
    failure::{Failure, usage},
    output::{Format, Output},
    push::{expiry, next_sequence, previous},
    release::{self, Artifact},
    signing::{self, Signatory},
    trace, transport,
};

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("no release statement about {0} is signed by {1}")]
    NotOurs(sealift_verify::reference::Pinned, Signatory),
}

pub(crate) async fn run(args: &RefreshArgs, output: &mut Output) -> Result<Exit, Failure> {
    output.clear_status();
    let signer = signing::open_provable(&args.signer).await?;
    let signatory = signer.signatory();
    // Signed again as it was: where it lies needs no name.
    let reference = transport::unnamed(&args.reference, None);
    let repository = &reference.repository;
    let client = transport::open(&args.reference.location, &args.registry).await?;
    let place = repository.pin(transport::digest(&client, &reference, output).await?);
    output.progress("reading statements");
    let artifact = Artifact::fetch(&client, place.clone()).await?;
    // Among what was not looked at may be a newer one, which says other things.
    artifact.all_seen()?;
    let place_meant = Place { stream: args.stream.as_deref(), environment: args.env.as_deref() };
    let newest = newest(&artifact, signatory, place_meant)?;
    let mut statement = renewed(newest, args.expires_in, Timestamp::now())?;
    trace::retrace(&mut statement.release);

    let payload = release::payload(&statement)?;
    let signed = signer.sign(&payload).await?;
    output.progress("attaching the signature");
    let bundle = signed.bundle.clone();
    let attached = release::attach(&client, repository, artifact.subject(), bundle, None).await?;
    let (digest, release) = (Digest::of(&payload), &statement.release);
    output.note(format_args!("signed    {}, {signatory}", release::line(release)));
    signed.note(output);
    output.note(format_args!("statement {digest}"));
    output.note(format_args!("attached  {}", attached.pinned.digest));
    if let Some(expires_at) = release.expires_at {
        output.note(format_args!("expires   {expires_at}"));
    }
    let done = ci::Done {
        what: "Refreshed",
        reference: &client.shown(&place),
        digest: place.digest,
        statement: digest,
        release,
        signatory: Some(signatory),
        channel: None,
    };
    done.tell(None)?;
    match output.format {
        Format::Text => output.product(client.shown(&place))?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/refresh/v1",
            "reference": client.shown(&place),
            "digest": place.digest,
            "statement": release::statement_json(&digest, release),
            "signature": signed.json(signatory, &attached.pinned.digest),
        }))?,
    }
    Ok(Exit::Done)
}

/// The stream and environment that a statement has to be about, as far as somebody said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) stream: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
}

/// The newest statement of ours, in the one stream and environment that it can be about.
pub(crate) fn newest(artifact: &Artifact, signatory: &Signatory, meant: Place<'_>) -> Result<Statement, Failure> {
    let wanted = |statement: &Statement| {
        let release = &statement.release;
        meant.stream.is_none_or(|stream| stream == release.stream)
            && meant.environment.is_none_or(|env| Some(env) == release.environment.as_deref())
    };
    let ours = artifact.releases().into_iter().filter(|(payload, statement)| {
        wanted(statement) && payload.envelopes.iter().any(|envelope| signatory.made(envelope))
    });
    let mut ours: Vec<_> = ours.collect();
    ours.sort_by_key(|(_, statement)| statement.release.position());
    let Some((payload, newest)) = ours.pop() else {
        let error = RefreshError::NotOurs(artifact.place.clone(), signatory.clone());
        return Err(Failure::new(Exit::NotFound, error).hint("`sealift inspect` shows who signed what"));
    };
    let place = |statement: &Statement| (statement.release.stream.clone(), statement.release.environment.clone());
    if let Some((_, other)) = ours.iter().find(|(_, other)| place(other) != place(&newest)) {
        let (one, two) = (release::line(&newest.release), release::line(&other.release));
        let several = format!("{signatory} signed {} for more than one place: {one}; {two}", artifact.place);
        return Err(usage(several).hint("say which is meant with --stream and --env"));
    }
    artifact.is_understood(&payload.digest, &newest)?;
    Ok(newest)
}

/// The same statement, later in the stream and for longer.
fn renewed(before: Statement, length: Duration, now: Timestamp) -> Result<Statement, Failure> {
    let previous = previous(&before);
    let mut statement = before;
    let release = &mut statement.release;
    release.sequence = next_sequence(Some(release.sequence), now)?;
    release.expires_at = Some(expiry(length, release.not_before, now)?);
    release.previous = Some(previous);
    release.issued_at = now;
    Ok(statement)
}
