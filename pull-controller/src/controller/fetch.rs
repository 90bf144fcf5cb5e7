//! Manifest, signatures and layer, from a bounded cache or the registry. *registry*
//!
//! A cache entry belongs to the credentials it was fetched with: whoever cannot pull an artifact does not get it because
//! somebody else could. Whoever asks for what is on its way to an equal one waits for that.

mod disk;

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use sealift_registry::{
    client::ClientError,
    fetch::{self, Legacy},
    store::{Place, Store},
};
use sealift_verify::{
    artifact::Descriptor,
    digest::Digest,
    reference::Pinned,
    signature::Candidate,
    verify::{Admitted, Opened, Unverified, open},
};
use tokio::time::Instant;

use self::disk::{Disk, Held};
use super::{
    cache::Cache,
    flight::Flights,
    registries::Who,
    resolve::Resolved,
    source::{Source, SourceError, count_request},
};
use crate::metrics::Metrics;

/// Whoever wants signatures younger than this wants those of now.
const URGENT: Duration = Duration::from_secs(2);

/// How much may be kept, and how long fetching may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Layers in memory, compressed, in bytes.
    pub(super) layers: usize,
    /// Layers in memory, expanded and parsed, in bytes.
    pub(super) objects: usize,
    /// Manifests and signatures in memory, in bytes.
    pub(super) signatures: usize,
    /// Inventories in memory, in bytes.
    pub(super) inventories: usize,
    /// Everything on disk, in bytes.
    pub(super) disk: u64,
    /// One artifact's manifest and signatures, or its layer.
    pub(super) time: Duration,
}

/// Layers and signatures that were fetched, the least recently used of which go first.
#[derive(Debug)]
pub(super) struct Artifacts {
    unverified: Cache<Found, (Instant, Arc<Fetched>)>,
    layers: Cache<Layer, Bytes>,
    opened: Cache<Set, Arc<Opened>>,
    finding: Flights<Found, Result<Arc<Fetched>, Unfetched>>,
    loading: Flights<Layer, Result<Bytes, Unfetched>>,
    opening: Flights<Set, Option<Arc<Opened>>>,
    disk: Option<Arc<Disk>>,
    time: Duration,
}

/// As whom, where, for what, and which signatures were looked for.
type Found = (Who, Place, Pinned, Legacy);
type Layer = (Who, Place, Digest);
/// A layer's objects, of variants those of the one that is meant.
type Set = (Layer, Option<String>);

/// What was fetched about an artifact, and where.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) unverified: Unverified,
    pub(super) place: Place,
}

/// What a layer holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Expanded and parsed, by whoever needed it first.
    Opened(Arc<Opened>),
    /// As it was fetched: it cannot be opened, and the verdict says why.
    Bytes(Bytes),
}

/// What an object takes in memory for each byte of its text.
const PARSED: u64 = 4;

/// How old signatures from the cache may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Signatures change while the digest does not, so they are read again by then.
    AtMost(Duration),
    /// Whatever was fetched once: nothing better can be had.
    Any,
}

/// Why something was not fetched, told to all who waited for it.
#[derive(Clone, Debug)]
enum Unfetched {
    Client(Arc<ClientError>),
    TooSlow { place: Place, seconds: u64 },
}

impl Unfetched {
    fn client(&self) -> Option<&Arc<ClientError>> {
        match self {
            Self::Client(error) => Some(error),
            Self::TooSlow { .. } => None,
        }
    }
}

impl From<Unfetched> for SourceError {
    fn from(unfetched: Unfetched) -> Self {
        match unfetched {
            Unfetched::Client(error) => Self::Client { error, followed: false },
            Unfetched::TooSlow { place, seconds } => Self::TooSlow { place, seconds },
        }
    }
}

impl Artifacts {
    /// What the folder holds from before, if there is one, and nothing in memory yet.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub(super) fn new(budget: Budget, folder: Option<&Path>) -> std::io::Result<Self> {
        let disk = folder.map(|folder| Disk::open(folder, budget.disk)).transpose()?;
        Ok(Self {
            unverified: Cache::new(budget.signatures),
            layers: Cache::new(budget.layers),
            opened: Cache::new(budget.objects),
            finding: Flights::default(),
            loading: Flights::default(),
            opening: Flights::default(),
            disk: disk.map(Arc::new),
            time: budget.time,
        })
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
        place: &Place,
        reference: &Pinned,
        age: Age,
    ) -> Result<Arc<Fetched>, SourceError> {
        let who = source.who(place)?;
        let key: Found = (who.clone(), place.clone(), reference.clone(), source.legacy);
        let asked = Instant::now();
        if let Some((at, fetched)) = self.unverified.get(&key) {
            let fresh = match age {
                Age::AtMost(limit) => at.elapsed() < limit,
                Age::Any => true,
            };
            if fresh {
                return Ok(fetched);
            }
        }
        let held = Held::signatures(source.version(place).as_deref(), source.tenant, place, reference, source.legacy);
        if age == Age::Any
            && let Some(unverified) = self.on_disk(held.clone(), reference, place).await
        {
            let fetched = Arc::new(Fetched { unverified, place: place.clone() });
            // As old as can be: whoever wants young ones asks the registry.
            return Ok(fetched);
        }
        let urgent = matches!(age, Age::AtMost(limit) if limit < URGENT);
        if let Some(error) = source.tags.silent(place, &who, urgent) {
            return Err(SourceError::Client { error, followed: false });
        }
        let legacy = source.legacy;
        let (client, time, at, of) = (source.client(place)?, self.time, place.clone(), reference.clone());
        let call = || {
            let (metrics, disk) = (source.metrics.clone(), self.disk.clone());
            async move {
                let from = at.repository.pin(of.digest);
                let unverified = within(time, &at, &metrics, fetch::unverified(&client, &from, &of, legacy)).await?;
                if let Some(disk) = disk {
                    let kept = unverified.clone();
                    let _ = tokio::task::spawn_blocking(move || disk.keep_signatures(&held, &kept)).await;
                }
                Ok(Arc::new(Fetched { unverified, place: at }))
            }
        };
        let answer = self.finding.one(&key, urgent.then_some(asked), call).await;
        source.tags.heard(place, &who, answer.as_ref().err().and_then(Unfetched::client));
        let fetched = answer?;
        let unverified = &fetched.unverified;
        let bytes = unverified.manifest.len() + unverified.candidates.iter().map(Candidate::size).sum::<usize>();
        self.unverified.put(key, (asked, Arc::clone(&fetched)), bytes);
        Ok(fetched)
    }

    async fn on_disk(&self, held: Held, reference: &Pinned, place: &Place) -> Option<Unverified> {
        let (disk, reference, place) = (self.disk.clone()?, reference.clone(), place.clone());
        tokio::task::spawn_blocking(move || disk.signatures(&held, &reference, &place)).await.ok()?
    }

    /// The content of an admitted artifact, opened once for all that name it: from where its manifest was, else from any
    /// other of its places, since that one may have broken in between.
    pub(super) async fn content(
        &self,
        source: &Source<'_>,
        place: &Place,
        admitted: &Arc<Admitted>,
    ) -> Result<Content, SourceError> {
        let mut last = None;
        let others = source.places.iter().filter(|other| *other != place);
        for place in std::iter::once(place).chain(others) {
            match self.content_at(source, place, admitted).await {
                Err(error) if error.may_be_elsewhere() => last = last.or(Some(error)),
                answer => return answer,
            }
        }
        Err(last.unwrap_or(SourceError::Nowhere))
    }

    async fn content_at(
        &self,
        source: &Source<'_>,
        place: &Place,
        admitted: &Arc<Admitted>,
    ) -> Result<Content, SourceError> {
        let layer: Layer = (source.who(place)?, place.clone(), admitted.layer().digest);
        let key: Set = (layer, admitted.variant().map(str::to_owned));
        if let Some(opened) = self.opened.get(&key).filter(|opened| opened.fits(admitted)) {
            return Ok(Content::Opened(opened));
        }
        let bytes = self.layer(source, place, admitted.layer()).await?;
        let call = || {
            let (admitted, bytes) = (Arc::clone(admitted), bytes.clone());
            // Away from the threads that serve everybody: expanding a layer takes its time.
            async move {
                let opened = tokio::task::spawn_blocking(move || open(&admitted, &bytes)).await;
                opened.ok()?.ok().map(Arc::new)
            }
        };
        let Some(opened) = self.opening.one(&key, None, call).await.filter(|opened| opened.fits(admitted)) else {
            return Ok(Content::Bytes(bytes));
        };
        let size = usize::try_from(opened.expanded().saturating_mul(PARSED)).unwrap_or(usize::MAX);
        self.opened.put(key, Arc::clone(&opened), size);
        Ok(Content::Opened(opened))
    }

    /// The bytes of a layer.
    pub(super) async fn layer(
        &self,
        source: &Source<'_>,
        place: &Place,
        layer: &Descriptor,
    ) -> Result<Bytes, SourceError> {
        let who = source.who(place)?;
        let key: Layer = (who.clone(), place.clone(), layer.digest);
        if let Some(bytes) = self.layers.get(&key) {
            return Ok(bytes);
        }
        let (client, time, at, of) = (source.client(place)?, self.time, place.clone(), layer.clone());
        let call = || {
            let (metrics, disk) = (source.metrics.clone(), self.disk.clone());
            let held = Held::layer(source.version(place).as_deref(), source.tenant, place, layer.digest);
            async move { load(disk, held, time, &at, &of, &client, &metrics).await }
        };
        let answer = self.loading.one(&key, None, call).await;
        source.tags.heard(place, &who, answer.as_ref().err().and_then(Unfetched::client));
        let bytes = answer?;
        self.layers.put(key, bytes.clone(), bytes.len());
        Ok(bytes)
    }

    /// How many bytes each cache holds.
    pub(super) fn bytes(&self) -> [(&'static str, u64); 4] {
        let disk = self.disk.as_ref().map_or(0, |disk| disk.bytes());
        [
            ("layers", self.layers.bytes() as u64),
            ("objects", self.opened.bytes() as u64),
            ("signatures", self.unverified.bytes() as u64),
            ("disk", disk),
        ]
    }
}

/// A layer from disk, else from the registry and to disk.
async fn load(
    disk: Option<Arc<Disk>>,
    held: Held,
    time: Duration,
    place: &Place,
    layer: &Descriptor,
    client: &Store,
    metrics: &Metrics,
) -> Result<Bytes, Unfetched> {
    let digest = layer.digest;
    if let Some(disk) = disk.clone() {
        let held = held.clone();
        if let Ok(Some(bytes)) = tokio::task::spawn_blocking(move || disk.layer(&held, digest)).await {
            return Ok(bytes);
        }
    }
    let bytes = within(time, place, metrics, fetch::layer(client, &place.repository, layer)).await?;
    if let Some(disk) = disk {
        let kept = bytes.clone();
        let _ = tokio::task::spawn_blocking(move || disk.keep_layer(&held, digest, &kept)).await;
    }
    Ok(bytes)
}

/// The answer of a registry if it comes in time, counted.
async fn within<T>(
    time: Duration,
    place: &Place,
    metrics: &Metrics,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Unfetched> {
    let Ok(answer) = tokio::time::timeout(time, call).await else {
        metrics.requested("unreachable");
        return Err(Unfetched::TooSlow { place: place.clone(), seconds: time.as_secs() });
    };
    count_request(metrics, &answer);
    answer.map_err(|error| Unfetched::Client(Arc::new(error)))
}
