//! Signatures of the images that a release runs, where a policy asks whose they are. *registry*
//!
//! What was found once will do for as long as it satisfies: signatures of an image are added, and what takes trust away is
//! the policy. So what runs is judged, and kept in repair, without a question to the registry of its images.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use sealift_registry::{fetch::Legacy, images};
use sealift_verify::{reference::Pinned, signature::Candidate, verify::ImageSignatures};

use super::{
    cache::Cache,
    registries::Who,
    source::{Source, SourceError},
};
use crate::options::{Mirror, places};

/// Bytes of signatures that are kept.
const BUDGET: usize = 8 << 20;
/// What an entry takes besides the signatures in it.
const ENTRY: usize = 512;
/// All images of one release together; each request has limits of its own.
const TIME: Duration = Duration::from_secs(60);

/// What was found of images, and where they lie.
#[derive(Debug)]
pub(super) struct ImageStore {
    mirrors: Vec<Mirror>,
    found: Cache<Key, Arc<ImageSignatures>>,
}

/// As whom at each place, of which image, and which signatures were looked for.
type Key = (Vec<Who>, Pinned, Legacy);

/// Whether what was found before will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Only at what was never found.
    Known,
    /// At everything, now.
    Again,
}

impl ImageStore {
    pub(super) fn new(mirrors: Vec<Mirror>) -> Self {
        Self { mirrors, found: Cache::new(BUDGET) }
    }

    /// What may be signatures of each image.
    pub(super) async fn signatures(
        &self,
        source: &Source<'_>,
        wanted: &BTreeSet<Pinned>,
        look: Look,
    ) -> Result<BTreeMap<Pinned, ImageSignatures>, SourceError> {
        let mut known = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for image in wanted {
            let key = self.key(source, image)?;
            match self.found.get(&key).filter(|_| look == Look::Known) {
                Some(found) => drop(known.insert(image.clone(), ImageSignatures::clone(&found))),
                None => drop(missing.insert(image.clone())),
            }
        }
        let fetching = images::signatures(missing, source.legacy, async |image: Pinned| {
            let places = places(&self.mirrors, &image.repository);
            let asked =
                places.into_iter().map(|place| Ok((source.client(&place)?, place.repository.pin(image.digest))));
            asked.collect::<Result<Vec<_>, SourceError>>()
        });
        let fetched = tokio::time::timeout(TIME, fetching).await;
        let fetched = fetched
            .map_err(|_| SourceError::TooSlow { place: source.repository.clone().into(), seconds: TIME.as_secs() })?;
        for (image, found) in fetched? {
            let bytes = ENTRY + found.candidates.iter().map(Candidate::size).sum::<usize>();
            self.found.put(self.key(source, &image)?, Arc::new(found.clone()), bytes);
            known.insert(image, found);
        }
        Ok(known)
    }

    /// What one may see of an image may come from any of its places, so all that one is there counts.
    fn key(&self, source: &Source<'_>, image: &Pinned) -> Result<Key, SourceError> {
        let places = places(&self.mirrors, &image.repository);
        let who = places.iter().map(|place| source.who(place)).collect::<Result<_, _>>()?;
        Ok((who, image.clone(), source.legacy))
    }
}
