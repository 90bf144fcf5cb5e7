//! What a promotion says: notes, and its product.

use std::path::Path;

use sealift_verify::{digest::Digest, reference::Pinned, statement::Statement};
use serde_json::{Value, json};

use crate::{
    channel::Moved,
    ci,
    failure::Failure,
    output::{Format, Output, OutputError},
    release,
    signing::{Signatory, Signed},
};

/// A promotion, made or only thought through.
#[derive(Debug)]
pub(super) struct Promoted<'a> {
    pub(super) place: &'a Pinned,
    /// The same with where it lies.
    pub(super) shown: String,
    /// What was verified, and the digest of its payload.
    pub(super) source: &'a Statement,
    pub(super) verified: Digest,
    pub(super) statement: &'a Statement,
    pub(super) payload: Digest,
    pub(super) signatory: &'a Signatory,
    /// The signature and where it is stored; `None` for a dry run.
    pub(super) signature: Option<(&'a Signed, Digest)>,
    pub(super) tag: Option<&'a str>,
    /// What the channel named before.
    pub(super) named: Option<Digest>,
    pub(super) moved: Option<Moved>,
}

impl Promoted<'_> {
    pub(super) fn notes(&self, output: &mut Output) {
        let line = release::line(&self.statement.release);
        match &self.signature {
            Some((signed, referrer)) => {
                output.note(format_args!("signed    {line}, {}", self.signatory));
                signed.note(output);
                // What a second person names to sign the same.
                output.note(format_args!("statement {}", self.payload));
                output.note(format_args!("attached  {referrer}"));
            }
            None => output.note(format_args!("would sign {line}, {}", self.signatory)),
        }
        match (self.tag, &self.moved, self.named) {
            (Some(tag), Some(moved), _) => moved.note(tag, output),
            (Some(tag), None, Some(named)) if named == self.place.digest => {
                output.note(format_args!("would leave {tag}, which names this artifact"));
            }
            (Some(tag), None, Some(named)) => output.note(format_args!("would move {tag} from {}", named.short())),
            (Some(tag), None, None) => output.note(format_args!("would move {tag}, which is new")),
            (None, _, _) => {}
        }
    }

    /// Tells the CI system of what was made.
    pub(super) fn tell(&self, dotenv: Option<&Path>) -> Result<(), Failure> {
        let done = ci::Done {
            what: "Promoted",
            reference: &self.shown,
            digest: self.place.digest,
            statement: self.payload,
            release: &self.statement.release,
            signatory: Some(self.signatory),
            channel: self.tag.zip(self.moved.as_ref()),
        };
        done.tell(dotenv)
    }

    pub(super) fn write(&self, output: &mut Output) -> Result<(), OutputError> {
        match output.format {
            Format::Text => output.product(&self.shown),
            Format::Json => output.json(&self.json()),
        }
    }

    fn json(&self) -> Value {
        let from = &self.source.release;
        let outcome = match (&self.signature, &self.moved) {
            (None, _) => "would-promote",
            (Some(_), Some(Moved::Superseded { .. })) => "superseded",
            (Some(_), _) => "promoted",
        };
        let channel = self.tag.map(|tag| match &self.moved {
            Some(moved) => moved.json(tag),
            None => json!({"tag": tag, "moved": false, "from": self.named}),
        });
        json!({
            "schema": "sealift.dev/promote/v1",
            "outcome": outcome,
            "reference": self.shown,
            "digest": self.place.digest,
            "from": release::statement_json(&self.verified, from),
            "statement": release::statement_json(&self.payload, &self.statement.release),
            "signature": self.signature.as_ref().map(|(signed, referrer)| signed.json(self.signatory, referrer)),
            "channel": channel,
        })
    }
}
