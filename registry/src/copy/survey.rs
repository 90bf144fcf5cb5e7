//! What belongs to the artifacts that are copied: manifests below an index, blobs, referrers, and signatures under tags
//! of their own, as cosign put them before there were referrers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sealift_verify::{artifact::Descriptor, digest::Digest};
use serde::Deserialize;
use serde_json::Value;

use super::{Item, Side};
use crate::{
    client::{ClientError, fallback_tag, referrer_entry},
    store::{described, media_type_of},
};

/// What cosign appends to the tag of a digest.
const LEGACY: [&str; 3] = ["sig", "att", "sbom"];
/// More manifests than this are not copied at once.
const MOST_MANIFESTS: usize = 20_000;
/// Nor more bytes of manifests; they are held in memory until they are put.
const MOST_BYTES: u64 = 256 << 20;
/// Referrers of one manifest.
const MOST_REFERRERS: usize = 4_096;

/// Everything that is to be copied.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Manifests, each after those that it names.
    pub manifests: Vec<Item>,
    /// Blobs, each once.
    pub blobs: Vec<Descriptor>,
    /// Tags that hold signatures and the like, which belong to an artifact's digest.
    pub legacy: Vec<(String, Digest)>,
    /// How many of the manifests refer to another one.
    pub referrers: usize,
    /// Manifests that an index holds.
    pub(super) children: BTreeSet<Digest>,
    place: BTreeMap<Digest, usize>,
}

/// Why it is not known what to copy.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The source does not answer, or not with what was asked for.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is more than is copied at once.
    #[error("more than {MOST_MANIFESTS} manifests, or {MOST_BYTES} bytes of them, belong to what is to be copied")]
    TooMuch,
    /// Not all signatures can be listed, so not all could be copied.
    #[error("not everything that refers to {0} can be listed and read: what is left out could be its signature")]
    Referrers(Digest),
    /// A manifest names content in a way that cannot be followed.
    #[error("the manifest {0} cannot be read")]
    Manifest(Digest, #[source] serde_json::Error),
}

/// What a manifest or an index names; anything else in it is copied along with its bytes.
#[derive(Deserialize)]
struct Named {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    blobs: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Survey {
    pub(super) fn manifest(&self, digest: &Digest) -> Option<&Item> {
        self.place.get(digest).and_then(|place| self.manifests.get(*place))
    }

    /// The bytes of a manifest that is copied.
    pub fn bytes(&self, digest: &Digest) -> Option<&bytes::Bytes> {
        self.manifest(digest).map(|item| &item.bytes)
    }

    /// How many bytes the blobs have, by their descriptors.
    pub fn size(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

/// Reads what belongs to `roots`.
///
/// # Errors
/// [`SurveyError`]: what cannot be listed whole is not copied in part.
pub async fn survey(from: Side<'_>, roots: &[Digest]) -> Result<Survey, SurveyError> {
    let mut found = BTreeMap::new();
    let mut below = BTreeMap::new();
    let mut order = Vec::new();
    let mut survey = Survey::default();
    let mut blobs = BTreeMap::new();
    let mut left: VecDeque<Digest> = roots.iter().copied().collect();
    let mut bytes_left = MOST_BYTES;
    while let Some(digest) = left.pop_front() {
        if found.contains_key(&digest) {
            continue;
        }
        let bytes = from.store.manifest(&from.pin(digest)).await?;
        bytes_left = bytes_left.checked_sub(bytes.len() as u64).ok_or(SurveyError::TooMuch)?;
        if found.len() >= MOST_MANIFESTS {
            return Err(SurveyError::TooMuch);
        }
        let unreadable = |error| SurveyError::Manifest(digest, error);
        let value: Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
        let named: Named = serde_json::from_slice(&bytes).map_err(unreadable)?;
        let Named { config, layers, blobs: artifact_blobs, manifests } = named;
        for blob in config.into_iter().chain(layers).chain(artifact_blobs) {
            blobs.entry(blob.digest).or_insert(blob);
        }
        let children: Vec<_> = manifests.into_iter().map(|child| child.digest).collect();
        survey.children.extend(&children);
        left.extend(&children);
        below.insert(digest, children);
        let refers = referrer_entry(&bytes).is_some();
        survey.referrers += usize::from(refers);
        let listed = from.store.referrers(&from.pin(digest), MOST_REFERRERS).await?;
        // A signature that is damaged here would be missing there.
        if !listed.complete || listed.unreadable > 0 {
            return Err(SurveyError::Referrers(digest));
        }
        left.extend(listed.descriptors.iter().map(|referrer| referrer.digest));
        for suffix in LEGACY {
            let tag = format!("{}.{suffix}", fallback_tag(&digest));
            match from.store.resolve(from.repository, &tag).await {
                Ok(named) => {
                    left.push_back(named);
                    survey.legacy.push((tag, named));
                }
                Err(ClientError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let descriptor = described(&media_type_of(&value), &bytes);
        found.insert(digest, Item { descriptor, bytes, refers });
        order.push(digest);
    }
    for digest in each_after_what_it_names(order, &below) {
        if let Some(item) = found.remove(&digest) {
            survey.place.insert(digest, survey.manifests.len());
            survey.manifests.push(item);
        }
    }
    survey.blobs = blobs.into_values().collect();
    Ok(survey)
}

/// Registries take an index after the manifests in it. No recursion: whoever pushed decides how deep indexes nest.
fn each_after_what_it_names(order: Vec<Digest>, below: &BTreeMap<Digest, Vec<Digest>>) -> Vec<Digest> {
    let (mut done, mut sorted) = (BTreeSet::new(), Vec::with_capacity(order.len()));
    for root in order {
        let mut path = vec![(root, false)];
        while let Some((digest, children_done)) = path.pop() {
            if children_done {
                if done.insert(digest) {
                    sorted.push(digest);
                }
            } else if !done.contains(&digest) {
                path.push((digest, true));
                path.extend(below.get(&digest).into_iter().flatten().map(|child| (*child, false)));
            }
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_after_what_is_in_it_however_it_was_found() {
        let [inner, outer, leaf, other] = ["inner", "outer", "leaf", "other"].map(|name| Digest::of(name.as_bytes()));
        let below = BTreeMap::from([(outer, vec![inner, other]), (inner, vec![leaf]), (leaf, vec![]), (other, vec![])]);
        for order in [vec![outer, inner, leaf, other], vec![leaf, outer, other, inner], vec![other, inner, outer, leaf]]
        {
            let sorted = each_after_what_it_names(order, &below);
            let at = |digest| sorted.iter().position(|one| *one == digest).unwrap();
            assert_eq!(sorted.len(), 4);
            assert!(at(leaf) < at(inner) && at(inner) < at(outer) && at(other) < at(outer));
        }
    }
}
