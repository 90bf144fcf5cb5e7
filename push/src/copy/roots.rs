//! Which artifacts are copied, and what they are called at the destination.

use sealift_registry::{copy::Side, store::Address};
use sealift_verify::digest::Digest;

use crate::{
    channel::{is_attachment, resolve},
    cli::copy::CopyArgs,
    exit::Exit,
    failure::{Failure, usage},
    output::Output,
};

/// What somebody asked to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every tag but those that belong to signatures.
    All,
    /// What these tags name, under the same ones.
    Tags(Vec<String>),
    /// One artifact by tag or digest, and what it is called then.
    One { tag: Option<String>, digest: Option<Digest>, as_tag: Option<String> },
}

/// An artifact that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) digest: Digest,
    /// The tag it is given at the destination.
    pub(super) tag: Option<String>,
}

/// The source has no artifact at all.
#[derive(Debug, thiserror::Error)]
#[error("there is no tag at {0}")]
struct Nothing(String);

pub(super) fn wanted(args: &CopyArgs) -> Result<Wanted, Failure> {
    let CopyArgs { source, destination, all_tags, tag, .. } = args;
    if let Some(digest) = destination.digest {
        return Err(usage(format!("a copy keeps its digest: {digest} at the destination says nothing"))
            .hint("name the place, and a :TAG if it is to be called otherwise there"));
    }
    let is_named = source.tag.is_some() || source.digest.is_some();
    match (is_named, *all_tags || !tag.is_empty(), &destination.tag) {
        (true, true, _) => Err(usage(format!("{source} names one artifact, and --tag or --all-tags others"))),
        (false, false, _) => Err(usage(format!("{source} names no artifact"))
            .hint("add a :TAG or a @sha256:… digest, or say --tag or --all-tags")),
        (false, true, Some(_)) => Err(usage("several artifacts cannot have one tag at the destination")),
        (false, true, None) if *all_tags => Ok(Wanted::All),
        (false, true, None) => Ok(Wanted::Tags(tag.clone())),
        (true, false, as_tag) => {
            let Address { tag, digest, .. } = source.clone();
            let as_tag = as_tag.clone().or_else(|| tag.clone());
            Ok(Wanted::One { tag, digest, as_tag })
        }
    }
}

/// Asks the source which artifacts are meant.
pub(super) async fn find(from: Side<'_>, wanted: &Wanted, output: &mut Output) -> Result<Vec<Root>, Failure> {
    let location = from.store.location(from.repository);
    let tags = match wanted {
        Wanted::One { digest: Some(digest), as_tag, .. } => {
            return Ok(vec![Root { digest: *digest, tag: as_tag.clone() }]);
        }
        Wanted::One { tag, digest: None, .. } => tag.iter().cloned().collect(),
        Wanted::Tags(tags) => tags.clone(),
        Wanted::All => {
            let mut tags = from.store.tags(from.repository).await?;
            tags.retain(|tag| !is_attachment(tag));
            tags.sort();
            tags
        }
    };
    let mut roots = Vec::with_capacity(tags.len());
    for tag in tags {
        output.progress(format_args!("resolving {location}:{tag}"));
        let named = match wanted {
            // Deleted since it was listed.
            Wanted::All => resolve(from.store, from.repository, &tag).await?,
            Wanted::Tags(_) | Wanted::One { .. } => Some(from.store.resolve(from.repository, &tag).await?),
        };
        let Some(digest) = named else { continue };
        output.note(format_args!("{location}:{tag} is {digest} now"));
        let tag = match wanted {
            Wanted::One { as_tag, .. } => as_tag.clone(),
            Wanted::All | Wanted::Tags(_) => Some(tag),
        };
        roots.push(Root { digest, tag });
    }
    match roots.is_empty() {
        true => Err(Failure::new(Exit::NotFound, Nothing(location.to_string()))),
        false => Ok(roots),
    }
}
