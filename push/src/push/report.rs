//! What a push says and leaves behind: notes, JSON, a digest file, the outputs of a GitHub job.

use std::{fs, path::Path};

use sealift_registry::client::{Attached, AttachedBy};
use sealift_verify::{digest::Digest, reference::Pinned, statement::Statement};
use serde_json::{Value, json};

use super::{content::Set, package::Package, statement::layer_line};
use crate::{
    channel::Moved,
    ci,
    cli::push::FormatArg,
    failure::Failure,
    output::Output,
    pin::Pinning,
    signing::{Signatory, Signed},
};

/// A finished push.
#[derive(Debug)]
pub(super) struct Pushed<'a> {
    pub(super) reference: Pinned,
    /// The same with the place that it lies in.
    pub(super) shown: String,
    pub(super) package: &'a Package,
    pub(super) sets: &'a [Set],
    pub(super) statement: &'a Statement,
    pub(super) payload: Digest,
    pub(super) signatory: &'a Signatory,
    pub(super) signed: &'a Signed,
    pub(super) attached: &'a Attached,
    pub(super) immutable: &'a str,
    pub(super) moved: Option<(&'a str, &'a Moved)>,
}

/// Writes the digest where the person wants it, and tells the CI system.
pub(super) fn files(digest_file: Option<&Path>, dotenv: Option<&Path>, pushed: &Pushed<'_>) -> Result<(), Failure> {
    if let Some(path) = digest_file {
        ci::write(path, |path| fs::write(path, format!("{}\n", pushed.reference.digest)))?;
    }
    let done = ci::Done {
        what: "Pushed",
        reference: &pushed.shown,
        digest: pushed.reference.digest,
        statement: pushed.payload,
        release: &pushed.statement.release,
        signatory: Some(pushed.signatory),
        channel: pushed.moved,
    };
    done.tell(dotenv)
}

impl Pushed<'_> {
    pub(super) fn notes(&self, format: FormatArg, output: &mut Output) {
        let Self { package, sets, statement, .. } = self;
        let release = &statement.release;
        Pinning::notes(sets.iter().map(|set| &set.pinning), output);
        let objects = package.content.objects;
        output.note(format_args!(
            "packed    {objects} objects in {}",
            layer_line(&package.layer.descriptor, package.layer.files)
        ));
        if !package.variants.is_empty() {
            let each: Vec<_> = package.variants.iter().map(|v| format!("{} ({} objects)", v.name, v.objects)).collect();
            output.note(format_args!("variants  {}", each.join(", ")));
        }
        let environment = release.environment.as_deref().map(|e| format!(" for {e}")).unwrap_or_default();
        output.note(format_args!(
            "signed    stream {}{environment}, release {}, {}",
            release.stream,
            release.position(),
            self.signatory
        ));
        self.signed.note(output);
        // What a second person names to sign the same.
        output.note(format_args!("statement {}", self.payload));
        let by = match self.attached.by {
            AttachedBy::Registry | AttachedBy::Layout => "",
            AttachedBy::FallbackTag | AttachedBy::Nothing => " (by tag: the registry has no referrers API)",
        };
        output.note(format_args!("attached  {}{by}", self.attached.pinned.digest));
        output.note(format_args!("tagged    {}", self.immutable));
        if let Some((tag, moved)) = self.moved {
            moved.note(tag, output);
        }
        if format == FormatArg::Sealift {
            output.note("format    sealift, for Sealift's own readers; --format flux or oci is for other tools");
        }
    }

    pub(super) fn json(&self) -> Value {
        let Self { reference, shown, package, sets, statement, payload, signatory, signed, attached, immutable, moved } =
            self;
        let release = &statement.release;
        let channel = moved.map(|(tag, moved)| moved.json(tag));
        let variants: Vec<_> = package
            .variants
            .iter()
            .map(|v| json!({"name": v.name, "objects": v.objects, "inventory": v.inventory, "images": v.images}))
            .collect();
        let superseded = matches!(moved, Some((_, Moved::Superseded { .. })));
        json!({
            "schema": "sealift.dev/push/v1",
            "outcome": if superseded { "superseded" } else { "pushed" },
            "reference": shown,
            "repository": reference.repository,
            "digest": reference.digest,
            "tag": immutable,
            "channel": channel,
            "layer": package.layer.descriptor,
            "objects": package.content.objects,
            "files": package.content.files,
            "images": package.images,
            "pinning": Pinning::json(sets.iter().map(|set| &set.pinning)),
            "variants": variants,
            "statement": crate::release::statement_json(payload, release),
            "signature": signed.json(signatory, &attached.pinned.digest),
        })
    }
}
