//! A push that writes nothing: everything it would say, and where the channel would go.

use sealift_verify::{
    digest::Digest,
    reference::Repository,
    statement::{Position, Statement},
};
use serde_json::json;

use super::{content::Set, package::Package};
use crate::{
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    pin::Pinning,
    release,
    signing::Signatory,
};

/// A release that nobody has signed.
#[derive(Debug)]
pub(super) struct Drafted<'a> {
    pub(super) repository: &'a Repository,
    pub(super) package: &'a Package,
    pub(super) sets: &'a [Set],
    pub(super) statement: &'a Statement,
    pub(super) signatory: &'a Signatory,
    /// The tag that would name it for ever.
    pub(super) immutable: &'a str,
    /// The channel that would move, unless it names something newer.
    pub(super) channel: Option<&'a str>,
    /// Where the release that the channel names now stands.
    pub(super) head: Option<Position>,
}

impl Drafted<'_> {
    pub(super) fn write(&self, output: &mut Output) -> Result<Exit, Failure> {
        let Self { repository, package, sets, statement, signatory, immutable, channel, head } = self;
        let position = statement.release.position();
        let superseded = channel.and(*head).filter(|head| *head > position);
        Pinning::notes(sets.iter().map(|set| &set.pinning), output);
        let packed = super::statement::layer_line(&package.layer.descriptor, package.layer.files);
        output.note(format_args!("would pack {} objects in {packed}", package.content.objects));
        output.note(format_args!("would sign {}, {signatory}", release::line(&statement.release)));
        output.note(format_args!("would tag  {immutable}"));
        match (channel, superseded) {
            (Some(tag), None) => output.note(format_args!("would move {tag}")),
            (Some(tag), Some(newer)) => {
                output.warn(format_args!("tag {tag} already names newer release {newer}, and would be left there"));
            }
            (None, _) => {}
        }
        output.note("nothing was signed, and nothing was written");
        match output.format {
            Format::Text => output.product(repository.pin(package.digest))?,
            Format::Json => output.json(&json!({
                "schema": "sealift.dev/push-dry-run/v1",
                "outcome": if superseded.is_some() { "superseded" } else { "would-push" },
                "reference": repository.pin(package.digest).to_string(),
                "digest": package.digest,
                "tag": immutable,
                "channel": channel,
                "layer": package.layer.descriptor,
                "objects": package.content.objects,
                "images": package.images,
                "pinning": Pinning::json(sets.iter().map(|set| &set.pinning)),
                "statement": release::statement_json(&Digest::of(&statement.to_payload()), &statement.release),
                "build": statement.release.build,
            }))?,
        }
        Ok(if superseded.is_some() { Exit::Superseded } else { Exit::Done })
    }
}
