//! Copying artifacts with everything that hangs on them from one store to another: content first, names last.
//!
//! Three steps, so that the caller can decide in between: [`survey`] reads what there is, [`transfer`] brings it by digest
//! and reads it back, [`name`] moves tags. What is there already is not sent again; what broke off goes on from there where
//! the destination keeps what has arrived.

mod blobs;
mod survey;

use bytes::Bytes;
use sealift_verify::{
    artifact::Descriptor,
    digest::Digest,
    reference::{Pinned, Repository},
};

pub use self::{
    blobs::{Progress, transfer},
    survey::{Survey, SurveyError, survey},
};
use crate::{
    client::{ClientError, PutAs},
    store::{Entering, Store},
};

/// One repository of a store.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The store.
    pub store: &'a Store,
    /// What its content is asked for as.
    pub repository: &'a Repository,
}

impl Side<'_> {
    fn pin(&self, digest: Digest) -> Pinned {
        self.repository.pin(digest)
    }
}

/// A manifest on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The manifest as the destination lists it.
    pub descriptor: Descriptor,
    /// Its bytes, which stay what they are.
    pub bytes: Bytes,
    /// True if it says what it is about, so that it must be findable from there.
    pub refers: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Blobs that were sent, and how many bytes of them.
    pub sent: usize,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Blobs that were there already.
    pub present: usize,
    /// Manifests that were put.
    pub manifests: usize,
    /// Bytes that were read back at the destination and had the right digest.
    pub verified_bytes: u64,
}

/// Puts the manifests of a survey by digest, each after what it names, and makes referrers findable.
///
/// # Errors
/// Where the destination does not take one.
pub async fn put(to: Side<'_>, survey: &Survey) -> Result<(), ClientError> {
    match to.store {
        Store::Registry(client) => {
            for Item { descriptor, bytes, refers } in &survey.manifests {
                let (media_type, bytes) = (&descriptor.media_type, bytes.clone());
                match refers {
                    true => drop(client.attach_bytes(to.repository, media_type, bytes).await?),
                    false => drop(client.put_manifest(to.repository, PutAs::Digest, media_type, bytes).await?),
                }
            }
            Ok(())
        }
        Store::Layout(layout) => {
            let mut entering = Vec::with_capacity(survey.manifests.len());
            for Item { descriptor, bytes, .. } in &survey.manifests {
                layout.push_blob(&descriptor.media_type, bytes.clone()).await?;
                // What an index holds is found through it.
                if !survey.children.contains(&descriptor.digest) {
                    entering.push(Entering { manifest: descriptor.clone(), tag: None });
                }
            }
            layout.enter(to.repository, entering).await
        }
    }
}

/// Moves tags, all at once where the destination can.
///
/// # Errors
/// Where the destination does not take one.
pub async fn name(to: Side<'_>, survey: &Survey, tags: &[(String, Digest)]) -> Result<(), ClientError> {
    let named = tags.iter().filter_map(|(tag, digest)| Some((tag, survey.manifest(digest)?)));
    match to.store {
        Store::Registry(client) => {
            for (tag, Item { descriptor, bytes, .. }) in named {
                let put = client.put_manifest(to.repository, PutAs::Tag(tag), &descriptor.media_type, bytes.clone());
                put.await?;
            }
            Ok(())
        }
        Store::Layout(layout) => {
            let entering =
                named.map(|(tag, item)| Entering { manifest: item.descriptor.clone(), tag: Some(tag.clone()) });
            layout.enter(to.repository, entering.collect()).await
        }
    }
}
