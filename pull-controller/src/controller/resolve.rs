//! From a selection to a digest. *registry*

use sealift_apply::api::Selection;
use sealift_registry::client::ClientError;
use sealift_verify::{digest::Digest, reference::Repository};

use super::{
    source::{Source, SourceError},
    versions::Range,
};

/// What was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The artifact.
    pub(super) digest: Digest,
    /// The tag that pointed at it.
    pub(super) tag: Option<String>,
    /// The version that the signed one must equal, where versions were selected by.
    pub(super) version: Option<String>,
    /// Where to fetch it, best first.
    pub(super) places: Vec<Repository>,
}

/// Resolves a selection at the first place that answers it.
pub(super) async fn resolve(source: &Source<'_>, selection: Selection<'_>) -> Result<Resolved, SourceError> {
    if let Selection::Digest(digest) = selection {
        return Ok(Resolved { digest, tag: None, version: None, places: source.places.clone() });
    }
    let mut last = None;
    for (at, place) in source.places.iter().enumerate() {
        match resolve_at(source, place, &selection).await {
            Ok((digest, tag, version)) => {
                let mut places = source.places.clone();
                places.swap(0, at);
                return Ok(Resolved { digest, tag: Some(tag), version, places });
            }
            Err(error) if error.may_be_elsewhere() => last = last.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(SourceError::Nowhere))
}

async fn resolve_at(
    source: &Source<'_>,
    place: &Repository,
    selection: &Selection<'_>,
) -> Result<(Digest, String, Option<String>), SourceError> {
    let client = source.client(place)?;
    match selection {
        Selection::Tag(tag) => {
            let digest = source.counted(client.resolve(place, tag).await)?;
            Ok((digest, (*tag).to_owned(), None))
        }
        Selection::Semver(text) => {
            let range: Range = text.parse()?;
            let tags = source.counted(client.tags(place).await)?;
            let tag = range
                .highest(&tags)
                .ok_or_else(|| SourceError::NoVersion { range: (*text).to_owned(), tags: tags.len() })?;
            let digest = source.counted(client.resolve(place, tag).await)?;
            Ok((digest, tag.to_owned(), Some(tag.to_owned())))
        }
        Selection::Digest(digest) => Ok((*digest, digest.to_string(), None)),
    }
}

impl SourceError {
    /// True if another mirror may have it.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        match self {
            Self::Client(error) => error.is_transient() || matches!(error, ClientError::NotFound { .. }),
            Self::NoVersion { .. } => true,
            Self::Setup(_) | Self::Range(_) | Self::Nowhere | Self::PullSecret(_) => false,
        }
    }
}
