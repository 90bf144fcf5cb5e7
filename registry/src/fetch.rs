//! Fetching what a verdict is reached on: the manifest and whatever refers to it as a signature.
//!
//! Nothing is believed here. Hints of the registry (artifact types, annotations) only choose the order in which
//! candidates are fetched; a candidate that is junk is listed with its reason and stops no other. But "the registry
//! did not answer" is an error, never a shorter list.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sealift_verify::{
    artifact::{Descriptor, EMPTY_CONFIG, Limits, Manifest},
    digest::Digest,
    policy::Selected,
    reference::{Pinned, Repository},
    signature::{Candidate, Content, SimpleSigning, Skipped},
    sigstore::SIMPLE_SIGNING,
    verify::Unverified,
};

use crate::{
    client::{ClientError, newest_first},
    store::{Location, Store},
};

/// Candidates fetched at the same time.
const AT_ONCE: usize = 8;
/// Referrers listed for each candidate that may be looked at: among them are software inventories and the like.
const LISTED_PER_CANDIDATE: usize = 16;
/// What the media types of all Sigstore bundles begin with; versions differ in the rest.
const ANY_BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// Where signatures may be, as cosign put them before bundles: one manifest an artifact, one layer a signature.
const LEGACY_SUFFIX: &str = "sig";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const PROMISE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// Whether signatures of the `.sig` scheme are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Legacy {
    /// Not a request is made for them.
    Ignored,
    /// They are fetched, because a policy lets them count.
    Included,
}

impl Legacy {
    /// What the policies that decide want.
    pub fn of(selected: &Selected) -> Self {
        if selected.legacy_signatures() { Self::Included } else { Self::Ignored }
    }
}

/// The signatures found for an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// What may be signatures, newest first as far as the registry says.
    pub candidates: Vec<Candidate>,
    /// What refers to the artifact and is none.
    pub skipped: Vec<Skipped>,
    /// True if there was more than the limits allow to look at.
    pub truncated: bool,
}

/// Fetches everything but the layer about `place`, which is where the bytes of the logical `reference` are.
///
/// # Errors
/// As of [`Store::manifest`] and [`signatures`].
pub async fn unverified(
    store: &Store,
    place: &Pinned,
    reference: &Pinned,
    legacy: Legacy,
) -> Result<Unverified, ClientError> {
    let (manifest, found) = tokio::try_join!(store.manifest(place), signatures(store, place, store.limits(), legacy))?;
    let Signatures { candidates, skipped, truncated } = found;
    let location = store.location(&place.repository);
    let transport = (location != Location::Registry(reference.repository.clone())).then(|| location.to_string());
    Ok(Unverified {
        reference: reference.clone(),
        transport,
        manifest: manifest.into(),
        candidates,
        skipped,
        truncated,
    })
}

/// The manifest of an artifact, exactly as served.
///
/// # Errors
/// As of [`Store::manifest`].
pub async fn artifact(store: &Store, place: &Pinned) -> Result<Bytes, ClientError> {
    store.manifest(place).await
}

/// The content of a layer.
///
/// # Errors
/// As of [`Store::blob`].
pub async fn layer(store: &Store, repository: &Repository, layer: &Descriptor) -> Result<Bytes, ClientError> {
    store.blob(repository, layer).await
}

/// Everything that refers to `subject` as a Sigstore bundle, and what the `.sig` scheme has if it is asked for, as far as
/// `limits` go: together no more candidates than that.
///
/// # Errors
/// Where the registry cannot be asked: network, credentials, rate limits.
pub async fn signatures(
    store: &Store,
    subject: &Pinned,
    limits: &Limits,
    legacy: Legacy,
) -> Result<Signatures, ClientError> {
    let mut found = bundles(store, subject, limits).await?;
    if legacy == Legacy::Included {
        let left = limits.candidates.saturating_sub(found.candidates.len());
        let Signatures { candidates, skipped, truncated } = legacy_signatures(store, subject, limits, left).await?;
        found.candidates.extend(candidates);
        found.skipped.extend(skipped);
        found.truncated |= truncated;
    }
    Ok(found)
}

async fn bundles(store: &Store, subject: &Pinned, limits: &Limits) -> Result<Signatures, ClientError> {
    let listed = store.referrers(subject, limits.candidates.saturating_mul(LISTED_PER_CANDIDATE)).await?;
    if listed.unreadable > 0 {
        tracing::warn!(%subject, unreadable = listed.unreadable, "referrers with entries that cannot be read");
    }
    let (mut chosen, mut skipped) = choose(listed.descriptors);
    let truncated = !listed.complete || chosen.len() > limits.candidates;
    chosen.truncate(limits.candidates);
    let fetched: Vec<Result<Candidate, Skipped>> = stream::iter(chosen)
        .map(|referrer| candidate(store, subject, referrer, limits))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let (candidates, passed_over) = sorted(fetched);
    skipped.extend(passed_over);
    Ok(Signatures { candidates, skipped, truncated })
}

fn sorted(fetched: Vec<Result<Candidate, Skipped>>) -> (Vec<Candidate>, Vec<Skipped>) {
    let (mut candidates, mut skipped) = (Vec::new(), Vec::new());
    for one in fetched {
        match one {
            Ok(candidate) => candidates.push(candidate),
            Err(passed_over) => skipped.push(passed_over),
        }
    }
    (candidates, skipped)
}

/// The signatures of the `.sig` scheme, at most `most`, in the order of their layers.
async fn legacy_signatures(
    store: &Store,
    subject: &Pinned,
    limits: &Limits,
    most: usize,
) -> Result<Signatures, ClientError> {
    let repository = &subject.repository;
    let tag = format!("{}.{LEGACY_SUFFIX}", subject.digest.to_string().replace(':', "-"));
    let digest = match store.resolve(repository, &tag).await {
        Ok(digest) => digest,
        Err(ClientError::NotFound { .. }) => return Ok(Signatures::default()),
        Err(error) => return Err(error),
    };
    let junk = |reason| Signatures { skipped: vec![Skipped { referrer: digest, reason }], ..Signatures::default() };
    let bytes = match store.manifest(&repository.pin(digest)).await {
        Ok(bytes) => bytes,
        Err(error) if is_junk(&error) => return Ok(junk(sealift_verify::chain(&error))),
        Err(error) => return Err(error),
    };
    let manifest = match Manifest::parse(&bytes, &digest) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(junk(sealift_verify::chain(&error))),
    };
    let truncated = manifest.layers.len() > most;
    let layers = manifest.layers.into_iter().take(most).enumerate();
    let fetched = stream::iter(layers)
        .map(|(index, layer)| simple_signing(store, repository, digest, index, layer, limits))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let (candidates, skipped) = sorted(fetched);
    Ok(Signatures { candidates, skipped, truncated })
}

/// Fetches the payload that one layer holds; what else there is stands in its annotations.
async fn simple_signing(
    store: &Store,
    repository: &Repository,
    referrer: Digest,
    index: usize,
    mut layer: Descriptor,
    limits: &Limits,
) -> Result<Result<Candidate, Skipped>, ClientError> {
    let passed_over = |reason: String| Ok(Err(Skipped { referrer, reason: format!("layer {index}: {reason}") }));
    if layer.media_type != SIMPLE_SIGNING {
        return passed_over(format!("its media type is {:?}", layer.media_type));
    }
    let mut annotation = |name: &str| layer.annotations.remove(name).filter(|text| !text.is_empty());
    let Some(signature) = annotation(SIGNATURE) else { return passed_over("it carries no signature".to_owned()) };
    let (certificate, promise, timestamp) = (annotation(CERTIFICATE), annotation(PROMISE), annotation(TIMESTAMP));
    match store.blob_within(repository, &layer, limits.bundle, None).await {
        Ok(payload) => {
            let signed = SimpleSigning { payload: payload.into(), signature, certificate, promise, timestamp };
            Ok(Ok(Candidate { referrer, content: Content::SimpleSigning(signed) }))
        }
        Err(error) if is_junk(&error) => passed_over(sealift_verify::chain(&error)),
        Err(error) => Err(error),
    }
}

/// The referrers worth fetching, newest first, and the others with their reason. Only a type that says it is something
/// else excludes; some registries report none, or the config's.
fn choose(listed: Vec<Descriptor>) -> (Vec<Descriptor>, Vec<Skipped>) {
    let may_be_bundle = |referrer: &Descriptor| {
        let kind = referrer.artifact_type.as_deref().unwrap_or_default();
        kind.is_empty() || kind == EMPTY_CONFIG || kind.starts_with(ANY_BUNDLE)
    };
    let (mut chosen, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(may_be_bundle);
    chosen.sort_by_cached_key(newest_first);
    let skipped = others.into_iter().map(|other| Skipped {
        referrer: other.digest,
        reason: format!("its artifact type is {:?}", other.artifact_type.unwrap_or_default()),
    });
    (chosen, skipped.collect())
}

/// Fetches one candidate: an error if the registry cannot be asked, a reason if what it serves is no signature.
async fn candidate(
    store: &Store,
    subject: &Pinned,
    referrer: Descriptor,
    limits: &Limits,
) -> Result<Result<Candidate, Skipped>, ClientError> {
    let passed_over = |reason: String| Ok(Err(Skipped { referrer: referrer.digest, reason }));
    let place = subject.repository.pin(referrer.digest);
    let bytes = match store.manifest(&place).await {
        Ok(bytes) => bytes,
        Err(error) if is_junk(&error) => return passed_over(sealift_verify::chain(&error)),
        Err(error) => return Err(error),
    };
    let layer = match bundle_layer(&bytes, &place, subject) {
        Ok(layer) => layer,
        Err(reason) => return passed_over(reason),
    };
    match store.blob_within(&subject.repository, &layer, limits.bundle, None).await {
        Ok(bundle) => Ok(Ok(Candidate::bundle(referrer.digest, bundle.into()))),
        Err(error) if is_junk(&error) => passed_over(sealift_verify::chain(&error)),
        Err(error) => Err(error),
    }
}

/// The layer of a referrer's manifest that holds its bundle.
fn bundle_layer(bytes: &[u8], place: &Pinned, subject: &Pinned) -> Result<Descriptor, String> {
    let manifest = Manifest::parse(bytes, &place.digest).map_err(|error| sealift_verify::chain(&error))?;
    if manifest.subject.as_ref().is_none_or(|about| about.digest != subject.digest) {
        return Err("its subject is another manifest".to_owned());
    }
    let mut bundles = manifest.layers.into_iter().filter(|layer| layer.media_type.starts_with(ANY_BUNDLE));
    match (bundles.next(), bundles.next()) {
        (Some(bundle), None) => Ok(bundle),
        (None, _) => Err("it holds no Sigstore bundle".to_owned()),
        (Some(_), Some(_)) => Err("it holds more than one Sigstore bundle".to_owned()),
    }
}

/// True if the fault lies in what one candidate is, not in the way to it.
fn is_junk(error: &ClientError) -> bool {
    match error {
        ClientError::NotFound { .. }
        | ClientError::TooLarge { .. }
        | ClientError::DigestMismatch { .. }
        | ClientError::Protocol { .. } => true,
        ClientError::Unauthorized { .. }
        | ClientError::Forbidden { .. }
        | ClientError::RateLimited { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Identity { .. }
        | ClientError::Refused { .. }
        | ClientError::Unusable { .. }
        | ClientError::Contended { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use sealift_verify::{
        artifact::{BUNDLE, IMAGE_MANIFEST},
        digest::Digest,
    };

    use super::*;
    use crate::client::CREATED;

    fn referrer(content: &str, kind: Option<&str>, created: Option<&str>) -> Descriptor {
        let annotations = created.map(|created| (CREATED.to_owned(), created.to_owned())).into_iter().collect();
        let artifact_type = kind.map(str::to_owned);
        Descriptor { artifact_type, annotations, ..Descriptor::of(IMAGE_MANIFEST, content.as_bytes()) }
    }

    #[test]
    fn newest_come_first_and_undated_last() {
        let (chosen, skipped) = choose(vec![
            referrer("undated", Some(BUNDLE), None),
            referrer("old", Some(BUNDLE), Some("2026-01-01T00:00:00Z")),
            referrer("new", None, Some("2026-02-01T00:00:00+01:00")),
            referrer("odd", Some(EMPTY_CONFIG), Some("yesterday")),
            referrer("inventory", Some("application/spdx+json"), None),
        ]);
        let digests: Vec<Digest> = chosen.iter().map(|chosen| chosen.digest).collect();
        assert_eq!(digests[..2], [Digest::of(b"new"), Digest::of(b"old")]);
        assert_eq!(digests.len(), 4);
        assert_eq!(skipped.len(), 1);
        assert!(skipped[0].reason.contains("spdx"));
    }

    #[test]
    fn a_referrer_is_no_candidate_unless_it_is_about_the_subject_and_holds_one_bundle() {
        let repository: Repository = "registry.example/app".parse().unwrap();
        let (subject, other) = (Descriptor::of(IMAGE_MANIFEST, b"subject"), Descriptor::of(IMAGE_MANIFEST, b"other"));
        let reason = |manifest: Manifest| {
            let bytes = manifest.to_bytes();
            bundle_layer(&bytes, &repository.pin(Digest::of(&bytes)), &repository.pin(subject.digest))
        };
        let layer = Descriptor::of(BUNDLE, b"bundle");
        let good = Manifest::bundle(layer.clone(), subject.clone(), Default::default());
        assert_eq!(reason(good.clone()), Ok(layer.clone()));
        let two = Manifest { layers: vec![layer.clone(), layer.clone()], ..good.clone() };
        let none = Manifest { layers: vec![Descriptor::of("text/plain", b"x")], ..good.clone() };
        for junk in [two, none, Manifest { subject: None, ..good }, Manifest::bundle(layer, other, Default::default())]
        {
            assert!(reason(junk).is_err());
        }
    }
}
