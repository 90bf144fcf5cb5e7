//! `sealift promote`: what one environment's policies accept, said again for the next. Nothing is packed or uploaded:
//! both statements are about the same digest.

mod order;
mod report;
mod source;
mod statement;

use jiff::Timestamp;
use sealift_verify::{
    digest::Digest,
    refusal::Refusal,
    verify::{Facts, Stated},
};

use self::{report::Promoted, statement::Next};
use crate::{
    channel::{self, Channel},
    cli::promote::PromoteArgs,
    delivery::Settings,
    exit::Exit,
    failure::{Failure, usage},
    judge::{self, Subject},
    line::{Line, Own, Trusted},
    output::Output,
    policies,
    push::is_channel,
    release::{self, Artifact},
    signing, trace, transport,
};

pub(crate) async fn run(args: &PromoteArgs, output: &mut Output) -> Result<Exit, Failure> {
    let tag = target_tag(args)?;
    let trust = policies::read(&args.policy, output)?;
    let settings = Settings::of(&args.facts, output).await?;
    let reference = transport::named(&args.reference, args.facts.as_repository.as_ref())?;
    let repository = &reference.repository;
    let logical = args.facts.as_repository.as_ref().unwrap_or(repository);
    sealift_verify::policy::select(&trust.policies, logical, settings.namespace.as_deref())?;

    // registry: the verdict first, by the function that clusters call.
    let client = transport::open(&args.reference.location, &args.registry).await?;
    let digest = transport::digest(&client, &reference, output).await?;
    let subject = Subject { place: repository.pin(digest), logical: logical.pin(digest) };
    output.progress(format_args!("verifying {}", client.shown(&subject.place)));
    let asked = settings.facts(&trust.roots);
    let unverified = judge::unverified(&client, &subject, &trust.policies, &asked).await?;
    let environment = source::environment(&unverified, &trust.policies, &asked, &args.environment)?;
    let facts = Facts { environment: environment.as_deref(), ..asked };
    let rendering = settings.rendering(settings.cluster.as_ref()).await?;
    let policies = &trust.policies;
    let artifact = Artifact::of(subject.place.clone(), &unverified, *client.limits());
    let judged = (&facts, settings.extent);
    let judged =
        judge::decide(&client, &args.registry, &subject, unverified.into(), policies, judged, &rendering).await?;
    judged.warn_of_others(output);
    let verified = judged.current(policies, output)?;
    let Some(Stated { statement: source, payload, .. }) = verified.grounds().stated() else {
        let demanded = "only a statement says what is promoted".to_owned();
        return Err(Refusal::NoStatement { artifact: digest, demanded }.into());
    };
    source::is_another(source, &args.environment, &subject.place)?;
    artifact.is_understood(payload, source)?;
    output.note(format_args!("verified  {}", release::line(&source.release)));

    // registry: what the target's channel names decides whether this is a step forward, and which.
    let named = channel::resolve(&client, repository, tag).await?;
    let line = Line { environment: Some(&args.environment), ..Line::of(&source.release) };
    let signer = signing::open(&args.signer).await?;
    let signatory = signer.signatory();
    if !signatory.is_provable() {
        output.warn(
            "without --trusted-root, what was said for this environment before cannot be told to be this identity's: the \
             sequence is the time, and no previous release is named",
        );
    }
    let own = Own { client: &client, repository, signatory, line };
    let before = match named {
        Some(named) => own.statement(named).await?,
        None => None,
    };
    let source_line = Line::of(&source.release);
    let trusted = Trusted { client: &client, repository, logical, trust: &trust, facts: &facts, line: source_line };
    if let Some(other) = named.filter(|named| *named != digest) {
        order::is_forward(tag, other, source, trusted.position(other).await?, before.as_ref())?;
    }
    // One that was left without a tag is followed too.
    let head = [before, own.statement(digest).await?].into_iter().flatten().max_by_key(|s| s.release.position());
    let next = Next { environment: &args.environment, epoch: args.epoch, lasts: args.expires_in, head: head.as_ref() };
    let mut statement = next.statement(source, *payload, Timestamp::now())?;
    trace::retrace(&mut statement.release);
    let bytes = release::payload(&statement)?;
    let mut promoted = Promoted {
        place: &subject.place,
        shown: client.shown(&subject.place),
        source,
        verified: *payload,
        statement: &statement,
        payload: Digest::of(&bytes),
        signatory,
        signature: None,
        tag: (!args.no_tag).then_some(tag),
        named,
        moved: None,
    };
    if args.dry_run {
        promoted.notes(output);
        promoted.write(output)?;
        return Ok(Exit::Done);
    }

    // registry: signed and attached first, so that the tag never names what its clusters cannot accept yet.
    let signed = signer.sign(&bytes).await?;
    output.progress("attaching the signature");
    let attached = release::attach(&client, repository, artifact.subject(), signed.bundle.clone(), None).await?;
    promoted.signature = Some((&signed, attached.pinned.digest));
    if let Some(tag) = promoted.tag {
        output.progress("moving the tag");
        let channel = Channel { client: &client, repository, tag };
        let to =
            channel::Target { digest, manifest: artifact.manifest.clone(), position: statement.release.position() };
        let position_of = async |other: Digest| -> Result<_, Failure> {
            // Signing takes a while, and somebody else may have promoted a newer release meanwhile, with a lower sequence.
            if named != Some(other) {
                let (there, before) = (trusted.position(other).await?, own.statement(other).await?);
                order::is_forward(tag, other, source, there, before.as_ref())?;
            }
            Ok(own.position(other).await?)
        };
        promoted.moved = Some(channel.advance(&to, position_of).await?);
    }
    promoted.tell(args.dotenv.as_deref())?;
    promoted.notes(output);
    promoted.write(output)?;
    Ok(promoted.moved.as_ref().map_or(Exit::Done, |moved| moved.exit(tag, output)))
}

/// The channel of the target environment, also where it is only read.
fn target_tag(args: &PromoteArgs) -> Result<&str, Failure> {
    if args.facts.env.as_ref() == Some(&args.environment) {
        return Err(usage(format!("the release is promoted from {0} to {0}", args.environment))
            .hint("`sealift refresh` says the same again for the same environment"));
    }
    let tag = args.tag.as_deref().unwrap_or(&args.environment);
    match sealift_verify::reference::is_tag(tag) && is_channel(tag) {
        true => Ok(tag),
        false => Err(usage(format!("environment {tag:?} cannot be a tag")).hint("name the channel with --tag")),
    }
}
