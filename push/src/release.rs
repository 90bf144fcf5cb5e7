//! An artifact in a registry with what is signed about it, and how one more signature is attached.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use sealift_registry::{
    client::{Attached, ClientError},
    fetch::{self, Legacy},
    store::Store,
};
use sealift_verify::{
    artifact::{Descriptor, IMAGE_MANIFEST, Limits},
    digest::Digest,
    reference::{Pinned, Repository},
    signature::Envelope,
    statement::{PREDICATE_TYPE, Release, Statement, StatementError},
    verify::Unverified,
};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    failure::Failure,
    output::Output,
    signing::{Signatory, Signed, Signer},
};

/// What was found; none of it is believed.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) place: Pinned,
    pub(crate) manifest: Bytes,
    envelopes: Vec<Envelope>,
    truncated: bool,
}

/// The bytes that one or more signatures are about.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) digest: Digest,
    pub(crate) bytes: &'a [u8],
    pub(crate) envelopes: Vec<&'a Envelope>,
}

/// The list of referrers is longer than may be looked at, so what was not found may still be there.
#[derive(Debug, thiserror::Error)]
#[error("more refers to {0} than may be looked at, and what was asked for is not among the first")]
struct Truncated(Pinned);

/// A new statement cannot say what this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the statement {0} holds fields that this version of sealift does not know, and a new one would lose them")]
struct Unknown(Digest);

/// Signed, it would be refused by every reader.
#[derive(Debug, thiserror::Error)]
#[error("what would be signed is no statement that anybody reads")]
struct Unreadable(#[source] StatementError);

/// The bytes to sign. What no reader takes is not signed: attached, it would only stand where a release could be.
///
/// # Errors
/// If a name in it is empty or would break its line.
pub(crate) fn payload(statement: &Statement) -> Result<Vec<u8>, Failure> {
    let payload = statement.to_payload();
    Statement::parse(&payload).map_err(|error| Failure::new(Exit::InvalidInput, Unreadable(error)))?;
    Ok(payload)
}

impl Artifact {
    pub(crate) async fn fetch(client: &Store, place: Pinned) -> Result<Self, ClientError> {
        let found = fetch::unverified(client, &place, &place, Legacy::Ignored).await?;
        Ok(Self::of(place, &found, *client.limits()))
    }

    /// The same of what was fetched to be judged.
    pub(crate) fn of(place: Pinned, unverified: &Unverified, limits: Limits) -> Self {
        let Unverified { manifest, candidates, truncated, .. } = unverified;
        let read = candidates.iter().filter_map(|candidate| Envelope::parse(candidate, limits.bundle).ok());
        Self { place, manifest: manifest.clone().into(), envelopes: read.collect(), truncated: *truncated }
    }

    /// Every payload once, with all signatures on it.
    pub(crate) fn payloads(&self) -> Vec<Payload<'_>> {
        let mut payloads: BTreeMap<Digest, Payload<'_>> = BTreeMap::new();
        for envelope in self.envelopes.iter().filter(|envelope| !envelope.payload().is_empty()) {
            let bytes = envelope.payload();
            let digest = Digest::of(bytes);
            let payload = payloads.entry(digest).or_insert(Payload { digest, bytes, envelopes: Vec::new() });
            payload.envelopes.push(envelope);
        }
        payloads.into_values().collect()
    }

    /// The payloads that read as release statements about this very artifact.
    pub(crate) fn releases(&self) -> Vec<(Payload<'_>, Statement)> {
        let read = self.payloads().into_iter().filter_map(|payload| {
            let statement = Statement::parse(payload.bytes).ok()?;
            (statement.artifact == self.place.digest).then_some((payload, statement))
        });
        read.collect()
    }

    /// Fails unless `statement` is all that the payload of this digest says: a statement made after it would lose the
    /// rest.
    pub(crate) fn is_understood(&self, payload: &Digest, statement: &Statement) -> Result<(), Failure> {
        match self.payloads().iter().any(|found| found.digest == *payload && statement.to_payload() == found.bytes) {
            true => Ok(()),
            false => Err(Failure::new(Exit::InvalidInput, Unknown(*payload))
                .hint("use the version of sealift that signed it, or push the release again")),
        }
    }

    /// What attached manifests name as their subject.
    pub(crate) fn subject(&self) -> Descriptor {
        Descriptor::of(IMAGE_MANIFEST, &self.manifest)
    }

    /// Fails where a longer look could have found more.
    pub(crate) fn all_seen(&self) -> Result<(), Failure> {
        match self.truncated {
            false => Ok(()),
            true => Err(Failure::new(Exit::CouldNotCheck, Truncated(self.place.clone()))
                .hint("remove what does not belong there from the registry, and try again")),
        }
    }
}

/// A release on one line.
pub(crate) fn line(release: &Release) -> String {
    let environment = release.environment.as_deref().map(|name| format!(" for {name}")).unwrap_or_default();
    let version = release.version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
    format!("stream {}{environment}, release {}{version}", release.stream, release.position())
}

/// A statement as documents show it.
pub(crate) fn statement_json(payload: &Digest, release: &Release) -> Value {
    json!({
        "digest": payload,
        "stream": release.stream,
        "environment": release.environment,
        "version": release.version,
        "epoch": release.epoch,
        "sequence": release.sequence,
        "previous": release.previous,
        "promotedFrom": release.promoted_from,
        "issuedAt": release.issued_at,
        "expiresAt": release.expires_at,
    })
}

/// A signature that is attached.
#[derive(Debug)]
pub(crate) enum Made {
    /// The same signer had signed the very same before; the referrer that says so.
    Before(Digest),
    /// It is new, and stored in this referrer.
    Now(Box<Signed>, Digest),
}

impl Made {
    /// The signature in a report.
    pub(crate) fn json(&self, signatory: &Signatory) -> Value {
        match self {
            Self::Before(referrer) => signatory.json(referrer),
            Self::Now(signed, referrer) => signed.json(signatory, referrer),
        }
    }
}

/// Signs a statement about an artifact and attaches it, unless the same signer has done so already.
pub(crate) async fn sign_once(
    client: &Store,
    artifact: &Artifact,
    signer: &dyn Signer,
    payload: &[u8],
    predicate_type: &str,
    output: &mut Output,
) -> Result<Made, Failure> {
    let there = artifact.payloads().into_iter().find(|there| there.bytes == payload);
    let mut envelopes = there.iter().flat_map(|there| &there.envelopes);
    if let Some(envelope) = envelopes.find(|envelope| signer.signatory().made(envelope)) {
        return Ok(Made::Before(envelope.referrer));
    }
    let signed = signer.sign(payload).await?;
    output.progress("attaching the signature");
    let (repository, bundle) = (&artifact.place.repository, signed.bundle.clone());
    let attached = attach_statement(client, repository, artifact.subject(), bundle, predicate_type, None).await?;
    Ok(Made::Now(Box::new(signed), attached.pinned.digest))
}

/// Attaches a bundle with a release statement to the manifest it is about.
pub(crate) async fn attach(
    client: &Store,
    repository: &Repository,
    subject: Descriptor,
    bundle: Vec<u8>,
    created: Option<Timestamp>,
) -> Result<Attached, ClientError> {
    attach_statement(client, repository, subject, bundle, PREDICATE_TYPE, created).await
}

/// The same in the course of a push, which has just brought the artifact and its empty config.
pub(crate) async fn attach_beside(
    client: &Store,
    repository: &Repository,
    subject: Descriptor,
    bundle: Vec<u8>,
    created: Option<Timestamp>,
) -> Result<Attached, ClientError> {
    client.attach_bundle_beside(repository, subject, bundle.into(), annotations(PREDICATE_TYPE, created)).await
}

/// Attaches a bundle to the manifest it is about.
pub(crate) async fn attach_statement(
    client: &Store,
    repository: &Repository,
    subject: Descriptor,
    bundle: Vec<u8>,
    predicate_type: &str,
    created: Option<Timestamp>,
) -> Result<Attached, ClientError> {
    client.attach_bundle(repository, subject, bundle.into(), annotations(predicate_type, created)).await
}

/// What cosign writes beside a bundle.
fn annotations(predicate_type: &str, created: Option<Timestamp>) -> BTreeMap<String, String> {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    [
        ("dev.sigstore.bundle.content", "dsse-envelope".to_owned()),
        ("dev.sigstore.bundle.predicateType", predicate_type.to_owned()),
        ("org.opencontainers.image.created", created.unwrap_or(now).to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
