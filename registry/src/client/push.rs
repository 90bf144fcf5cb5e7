//! Writing manifests.

use bytes::Bytes;
use reqwest::Method;
use sealift_verify::{
    digest::Digest,
    reference::{Pinned, Repository},
};

use super::{Client, ClientError, send::Access};

/// Under which name a manifest is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutAs<'a> {
    /// A tag, which is moved if it exists.
    Tag(&'a str),
    /// Its own digest.
    Digest,
}

/// A manifest that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Where it is now.
    pub pinned: Pinned,
    /// True if the registry said that it has entered the manifest among the referrers of its subject.
    pub subject_acknowledged: bool,
}

impl Client {
    /// Puts a manifest. Safe to repeat: the same bytes under the same name.
    ///
    /// # Errors
    /// [`ClientError::DigestMismatch`] if the registry stored something else, and others.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        name: PutAs<'_>,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, ClientError> {
        let digest = Digest::of(&bytes);
        let rest = match name {
            PutAs::Tag(tag) => self.tag_path(repository, tag)?,
            PutAs::Digest => format!("manifests/{digest}"),
        };
        let mut call = self.call(Method::PUT, repository, &rest)?;
        (call.access, call.body) = (Access::Push, Some((media_type.to_owned(), bytes)));
        let response = self.retry(|| self.send(&call)).await?;
        // `Location` is required of the registry and needed by nobody: the digest says where the manifest is.
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        match header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok()) {
            Some(actual) if actual != digest => {
                Err(ClientError::DigestMismatch { at: Box::new(call.at), expected: digest, actual })
            }
            _ => Ok(Put { pinned: repository.pin(digest), subject_acknowledged: header("oci-subject").is_some() }),
        }
    }
}
