//! From a selection to a digest. *registry*

use std::time::Duration;

use sealift_apply::api::Selection;
use sealift_registry::{client::ClientError, store::Place, versions::Range};
use sealift_verify::digest::Digest;

use super::{
    source::{Source, SourceError},
    tags::{Found, Interest, Question, What},
};
use crate::queue::Key;

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
    pub(super) places: Vec<Place>,
}

/// Who resolves, and how new the answer must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) key: &'a Key,
    pub(super) interval: Duration,
    /// No answer from before will do.
    pub(super) urgent: bool,
}

/// Resolves a selection at the first place that answers it, and follows what it asked from then on.
pub(super) async fn resolve(
    source: &Source<'_>,
    selection: Selection<'_>,
    asker: Asker<'_>,
) -> Result<Resolved, SourceError> {
    let mut followed = Vec::new();
    let resolved = resolve_anywhere(source, selection, asker, &mut followed).await;
    source.tags.follow(asker.key, followed);
    resolved
}

type Followed = Vec<(Question, Interest)>;

async fn resolve_anywhere(
    source: &Source<'_>,
    selection: Selection<'_>,
    asker: Asker<'_>,
    followed: &mut Followed,
) -> Result<Resolved, SourceError> {
    if let Selection::Digest(digest) = selection {
        return Ok(Resolved { digest, tag: None, version: None, places: source.places.clone() });
    }
    let mut last = None;
    for (at, place) in source.places.iter().enumerate() {
        match resolve_at(source, place, &selection, asker, followed).await {
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
    place: &Place,
    selection: &Selection<'_>,
    asker: Asker<'_>,
    followed: &mut Followed,
) -> Result<(Digest, String, Option<String>), SourceError> {
    match selection {
        Selection::Tag(tag) => {
            let digest = digest(source, place, tag, asker, followed).await?;
            Ok((digest, (*tag).to_owned(), None))
        }
        Selection::Semver(text) => {
            let range: Range = text.parse()?;
            let found = ask(source, place, What::Tags, Some(range.clone()), asker, followed).await?;
            let Found::Tags(tags) = found else { return Err(SourceError::Nowhere) };
            let tag = range
                .highest(&tags)
                .ok_or_else(|| SourceError::NoVersion { range: (*text).to_owned(), tags: tags.len() })?;
            let digest = digest(source, place, tag, asker, followed).await?;
            Ok((digest, tag.to_owned(), Some(tag.to_owned())))
        }
        Selection::Digest(digest) => Ok((*digest, digest.to_string(), None)),
    }
}

async fn digest(
    source: &Source<'_>,
    place: &Place,
    tag: &str,
    asker: Asker<'_>,
    followed: &mut Followed,
) -> Result<Digest, SourceError> {
    match ask(source, place, What::Tag(tag.to_owned()), None, asker, followed).await? {
        Found::Digest(digest) => Ok(digest),
        Found::Tags(_) => Err(SourceError::Nowhere),
    }
}

async fn ask(
    source: &Source<'_>,
    place: &Place,
    what: What,
    range: Option<Range>,
    asker: Asker<'_>,
    followed: &mut Followed,
) -> Result<Found, SourceError> {
    let Asker { key: _, interval, urgent } = asker;
    let question = Question { place: place.clone(), who: source.who(place)?, what };
    let answer = source.tags.ask(&question, source.client(place)?, interval, urgent).await;
    followed.push((question, Interest { interval, range, unanswered: answer.is_err() }));
    answer.map_err(|error| SourceError::Client { error, followed: true })
}

impl SourceError {
    /// True if another mirror may have it. Many registries say of what is not there that it may not be seen.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        match self {
            Self::Client { error, .. } => match &**error {
                ClientError::NotFound { .. }
                | ClientError::Unusable { .. }
                | ClientError::Unauthorized { .. }
                | ClientError::Forbidden { .. }
                | ClientError::Identity { .. } => true,
                other => other.is_transient(),
            },
            Self::NoVersion { .. } | Self::TooSlow { .. } => true,
            Self::Setup(_) | Self::Range(_) | Self::Nowhere | Self::PullSecret(_) => false,
        }
    }
}
