//! `sealift tag`: moves a channel to a release that the policies accept, and only forward.

use sealift_registry::fetch;
use sealift_verify::{reference::Reference, refusal::Refusal, verify::Stated};
use serde_json::json;

use crate::{
    channel::{Channel, Target},
    ci,
    cli::tag::TagArgs,
    delivery::Settings,
    exit::Exit,
    failure::{Failure, usage},
    judge::{Subject, judge},
    line::{Line, Trusted},
    output::{Format, Output},
    policies,
    push::is_channel,
    release, transport,
};

pub(crate) async fn run(args: &TagArgs, output: &mut Output) -> Result<Exit, Failure> {
    let reference = transport::named(&args.reference, args.facts.as_repository.as_ref())?;
    let Reference { repository, digest: Some(digest), tag: _ } = &reference else {
        // A tag is the registry's word for what is meant, and this is the command that decides.
        let hint = "name it as `sealift push` printed it, HOST/REPO@sha256:…";
        return Err(usage(format!("{} names no digest", args.reference)).hint(hint));
    };
    let trust = policies::read(&args.policy, output)?;
    let settings = Settings::of(&args.facts, output).await?;
    let logical = args.facts.as_repository.as_ref().unwrap_or(repository);
    sealift_verify::policy::select(&trust.policies, logical, settings.namespace.as_deref())?;

    // registry: the verdict first, by the function that clusters call.
    let client = transport::open(&args.reference.location, &args.registry).await?;
    let facts = settings.facts(&trust.roots);
    let rendering = settings.rendering(settings.cluster.as_ref()).await?;
    let subject = Subject { place: repository.pin(*digest), logical: logical.pin(*digest) };
    output.progress(format_args!("verifying {}", client.shown(&subject.place)));
    let judged =
        judge(&client, &args.registry, &subject, &trust.policies, (&facts, settings.extent), &rendering).await?;
    judged.warn_of_others(output);
    let verified = judged.current(&trust.policies, output)?;
    let Some(Stated { statement, payload, .. }) = verified.grounds().stated() else {
        let demanded = "a channel needs to know which of two is newer".to_owned();
        return Err(Refusal::NoStatement { artifact: *digest, demanded }.into());
    };
    output.note(format_args!("verified  {}", release::line(&statement.release)));

    // registry: the tag.
    output.progress("moving the tag");
    let channel = Channel { client: &client, repository, tag: &args.tag };
    let manifest = fetch::artifact(&client, &subject.place).await?;
    let to = Target { digest: *digest, manifest, position: statement.release.position() };
    let line = Line::of(&statement.release);
    let named = Trusted { client: &client, repository, logical, trust: &trust, facts: &facts, line };
    let moved = channel.advance(&to, async |digest| named.position(digest).await).await?;
    moved.note(&args.tag, output);
    let done = ci::Done {
        what: "Tagged",
        reference: &client.shown(&subject.place),
        digest: *digest,
        statement: *payload,
        release: &statement.release,
        signatory: None,
        channel: Some((&args.tag, &moved)),
    };
    done.tell(None)?;
    match output.format {
        Format::Text => output.product(client.shown(&subject.place))?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/tag/v1",
            "reference": client.shown(&subject.place),
            "digest": digest,
            "statement": payload,
            "channel": moved.json(&args.tag),
        }))?,
    }
    Ok(moved.exit(&args.tag, output))
}

/// Any tag, a channel or not.
pub(crate) fn tag_name(text: &str) -> Result<String, String> {
    match sealift_verify::reference::is_tag(text) {
        true => Ok(text.to_owned()),
        false => Err("not a tag: letters, digits, '_', '.' and '-', at most 128".to_owned()),
    }
}

/// A tag that a channel can be.
pub(crate) fn channel_name(text: &str) -> Result<String, String> {
    if !sealift_verify::reference::is_tag(text) {
        return Err("not a tag: letters, digits, '_', '.' and '-', at most 128".to_owned());
    }
    match is_channel(text) {
        true => Ok(text.to_owned()),
        false => Err("such tags belong to signatures and single releases".to_owned()),
    }
}
