//! Manifest, signatures and layer, from a bounded cache or the registry. *registry*
//!
//! A cache entry belongs to the credentials it was fetched with: whoever cannot pull an artifact does not get it because
//! somebody else could.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sealift_registry::{
    client::Fingerprint,
    fetch::{self, Legacy},
};
use sealift_verify::{
    artifact::Descriptor,
    digest::Digest,
    reference::{Pinned, Repository},
    signature::Candidate,
    verify::Unverified,
};

use super::{
    cache::Cache,
    resolve::Resolved,
    source::{Source, SourceError},
};

/// As whom, where, for what, and which signatures were looked for.
type Asked = (Fingerprint, Repository, Pinned, Legacy);

/// Layers and signatures that were fetched, the least recently used of which go first.
#[derive(Debug)]
pub(super) struct Artifacts {
    unverified: Cache<Asked, (Instant, Arc<Fetched>)>,
    layers: Cache<(Fingerprint, Repository, Digest), Bytes>,
}

/// What was fetched about an artifact, and where.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) unverified: Unverified,
    pub(super) place: Repository,
}

/// How old signatures from the cache may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Signatures change while the digest does not, so they are read again by then.
    AtMost(Duration),
    /// Whatever was fetched once: nothing better can be had.
    Any,
}

impl Artifacts {
    /// An empty cache with these budgets, in bytes.
    pub(super) fn new(layers: usize, signatures: usize) -> Self {
        Self { unverified: Cache::new(signatures), layers: Cache::new(layers) }
    }

    /// Manifest and signatures, from the first place that has them.
    pub(super) async fn unverified(
        &self,
        source: &Source<'_>,
        resolved: &Resolved,
        age: Age,
    ) -> Result<Arc<Fetched>, SourceError> {
        let reference = source.repository.pin(resolved.digest);
        let mut last = None;
        for place in &resolved.places {
            match self.unverified_at(source, place, &reference, age).await {
                Err(error) if error.may_be_elsewhere() => last = last.or(Some(error)),
                answer => return answer,
            }
        }
        Err(last.unwrap_or(SourceError::Nowhere))
    }

    async fn unverified_at(
        &self,
        source: &Source<'_>,
        place: &Repository,
        reference: &Pinned,
        age: Age,
    ) -> Result<Arc<Fetched>, SourceError> {
        let key = (source.fingerprint(place)?, place.clone(), reference.clone(), source.legacy);
        if let Some((at, fetched)) = self.unverified.get(&key) {
            let fresh = match age {
                Age::AtMost(limit) => at.elapsed() < limit,
                Age::Any => true,
            };
            if fresh {
                return Ok(fetched);
            }
        }
        let client = source.client(place)?;
        let answer = fetch::unverified(&client, &place.pin(reference.digest), reference, source.legacy).await;
        let unverified = source.counted(answer)?;
        let bytes = unverified.manifest.len() + unverified.candidates.iter().map(Candidate::size).sum::<usize>();
        let fetched = Arc::new(Fetched { unverified, place: place.clone() });
        self.unverified.put(key, (Instant::now(), Arc::clone(&fetched)), bytes);
        Ok(fetched)
    }

    /// The content of a layer.
    pub(super) async fn layer(
        &self,
        source: &Source<'_>,
        place: &Repository,
        layer: &Descriptor,
    ) -> Result<Bytes, SourceError> {
        let key = (source.fingerprint(place)?, place.clone(), layer.digest);
        if let Some(bytes) = self.layers.get(&key) {
            return Ok(bytes);
        }
        let client = source.client(place)?;
        let bytes = source.counted(fetch::layer(&client, place, layer).await)?;
        self.layers.put(key, bytes.clone(), bytes.len());
        Ok(bytes)
    }
}

impl Source<'_> {
    fn fingerprint(&self, place: &Repository) -> Result<Fingerprint, SourceError> {
        Ok(self.secret.credentials(place)?.fingerprint())
    }
}
