//! What an artifact claims to be. Anybody who may write to the registry can have written it.

use std::{cmp::Reverse, collections::BTreeSet};

use jiff::Timestamp;
use sealift_verify::{
    artifact::{Descriptor, Format, Manifest},
    digest::Digest,
    refusal::Refusal,
    statement::Release,
    verify::Admitted,
};

use crate::{judge::claimed_short, release::Artifact};

const CREATED: &str = "org.opencontainers.image.created";

/// An artifact in a list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) digest: Digest,
    /// How it is packed, if it is a release.
    pub(super) format: Option<Format>,
    /// What the manifest says that it is, if it can be read.
    pub(super) kind: Option<String>,
    /// Bytes of config and layers together.
    pub(super) size: Option<u64>,
    pub(super) created: Option<Timestamp>,
    /// Release statements about it, the latest first.
    pub(super) statements: Vec<Claimed>,
    /// Who claims to have signed anything about it.
    pub(super) signers: BTreeSet<String>,
    pub(super) verdict: Option<Verdict>,
}

/// A statement as it reads, with whoever claims to have signed it.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) payload: Digest,
    pub(super) release: Release,
    pub(super) signers: BTreeSet<String>,
}

/// What the policies say to everything but the layer.
#[derive(Debug)]
pub(super) enum Verdict {
    Admitted,
    Refused(Box<Refusal>),
}

impl Verdict {
    pub(super) fn of(outcome: Result<Admitted, Refusal>) -> Self {
        match outcome {
            Ok(_) => Self::Admitted,
            Err(refusal) => Self::Refused(Box::new(refusal)),
        }
    }
}

impl Listed {
    pub(super) fn of(artifact: &Artifact, verdict: Option<Verdict>) -> Self {
        let digest = artifact.place.digest;
        let manifest = Manifest::parse(&artifact.manifest, &digest).ok();
        let format = manifest.as_ref().and_then(|manifest| Some(manifest.content().ok()?.1));
        let mut statements: Vec<Claimed> = artifact
            .releases()
            .into_iter()
            .map(|(payload, statement)| Claimed {
                payload: payload.digest,
                release: statement.release,
                signers: payload.envelopes.iter().map(|envelope| claimed_short(envelope)).collect(),
            })
            .collect();
        statements.sort_by_key(|claimed| Reverse(claimed.release.position()));
        let signers = artifact
            .payloads()
            .iter()
            .flat_map(|payload| payload.envelopes.iter().map(|it| claimed_short(it)))
            .collect();
        let created = manifest.as_ref().and_then(|manifest| manifest.annotations.get(CREATED)?.parse().ok());
        let issued = statements.iter().map(|claimed| claimed.release.issued_at).max();
        Self {
            digest,
            format,
            kind: manifest.as_ref().map(|it| it.artifact_type.clone().unwrap_or_else(|| it.config.media_type.clone())),
            size: manifest.as_ref().map(size),
            created: created.or(issued),
            statements,
            signers,
            verdict,
        }
    }

    /// The latest release that it claims to be.
    pub(super) fn release(&self) -> Option<&Release> {
        self.statements.first().map(|claimed| &claimed.release)
    }

    /// Every environment it claims to be for, each once.
    pub(super) fn environments(&self) -> BTreeSet<&str> {
        self.statements.iter().filter_map(|claimed| claimed.release.environment.as_deref()).collect()
    }
}

fn size(manifest: &Manifest) -> u64 {
    let sizes = manifest.layers.iter().chain([&manifest.config]).map(|Descriptor { size, .. }| *size);
    sizes.fold(0, u64::saturating_add)
}
