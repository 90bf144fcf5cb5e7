//! Reading: tags and manifests, and whether a blob is there.

use bytes::Bytes;
use oci_distribution::client::TagResponse;
use reqwest::{Method, StatusCode};
use sealift_verify::{
    artifact::IMAGE_INDEX,
    digest::Digest,
    reference::{Pinned, Repository, is_tag},
};

use super::{
    At, Client, ClientError, Fault, Refusal,
    send::{Access, Call, bounded},
};

/// What a manifest may be: OCI first, then what Docker made.
pub(crate) const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// Repositories with more tags than this are not listed.
const MOST_TAGS: usize = 100_000;
const TAGS_A_PAGE: usize = 1_000;

impl Client {
    /// The digest that `tag` points at now. HEAD is tried first: it is small, and Docker Hub does not count it.
    /// Nothing is verified yet; [`Client::manifest`] checks the bytes against the digest.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is no such tag or repository, and others.
    pub async fn resolve(&self, repository: &Repository, tag: &str) -> Result<Digest, ClientError> {
        let mut call = self.call(Method::HEAD, repository, &self.tag_path(repository, tag)?)?;
        call.accept = MANIFESTS;
        self.digest_of(&call).await
    }

    /// Whether the registry has the manifest with this digest: by its word where it answers HEAD with a digest, else by
    /// the bytes.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if it has not, [`ClientError::DigestMismatch`] if it has something else there, and others.
    pub async fn has_manifest(&self, pinned: &Pinned) -> Result<(), ClientError> {
        let Pinned { repository, digest } = pinned;
        let mut call = self.call(Method::HEAD, repository, &format!("manifests/{digest}"))?;
        call.accept = MANIFESTS;
        let actual = self.digest_of(&call).await?;
        match actual == *digest {
            true => Ok(()),
            false => Err(ClientError::DigestMismatch { at: Box::new(call.at), expected: *digest, actual }),
        }
    }

    /// The digest of the manifest that a HEAD is about.
    async fn digest_of(&self, call: &Call) -> Result<Digest, ClientError> {
        let found = self.retry(|| async {
            let response = self.send(call).await?;
            let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
            Ok(digest.and_then(|digest| digest.parse().ok()))
        });
        match found.await {
            Ok(Some(digest)) => Ok(digest),
            Ok(None) => self.tagged(call).await.map(|bytes| Digest::of(&bytes)),
            // Proxies that know no HEAD; a 404 stays a 404.
            Err(error) if matches!(error.status(), Some(400 | 405 | 501)) => {
                self.tagged(call).await.map(|bytes| Digest::of(&bytes))
            }
            Err(error) => Err(error),
        }
    }

    /// The path of a tag's manifest, if it is a tag: anything else could lead to another path.
    pub(crate) fn tag_path(&self, repository: &Repository, tag: &str) -> Result<String, ClientError> {
        if is_tag(tag) {
            return Ok(format!("manifests/{tag}"));
        }
        let at = self.at(&self.url(repository, "manifests/")?, repository);
        Err(ClientError::refused(at, Refusal::Tag))
    }

    async fn tagged(&self, head: &Call) -> Result<Bytes, ClientError> {
        let call = Call { method: Method::GET, ..head.clone() };
        self.retry(|| async { bounded(self.send(&call).await?, self.limits.manifest, &call.at).await }).await
    }

    /// The manifest itself, exactly as served, with the digest asked for.
    ///
    /// # Errors
    /// [`ClientError::DigestMismatch`] and [`ClientError::TooLarge`] if the registry serves something else, and others.
    pub async fn manifest(&self, pinned: &Pinned) -> Result<Bytes, ClientError> {
        let Pinned { repository, digest } = pinned;
        let mut call = self.call(Method::GET, repository, &format!("manifests/{digest}"))?;
        call.accept = MANIFESTS;
        let bytes = self.tagged(&call).await?;
        same(&call.at, digest, &bytes)?;
        Ok(bytes)
    }

    /// The manifest under a tag, as served, or `None` if there is no such tag.
    pub(crate) async fn tag_content(&self, repository: &Repository, tag: &str) -> Result<Option<Bytes>, ClientError> {
        let mut call = self.call(Method::GET, repository, &format!("manifests/{tag}"))?;
        call.accept = IMAGE_INDEX;
        match self.tagged(&call).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ClientError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// True if the registry has the blob.
    ///
    /// # Errors
    /// Any but [`ClientError::NotFound`].
    pub async fn blob_exists(&self, repository: &Repository, digest: &Digest) -> Result<bool, ClientError> {
        self.blob_known(repository, digest, Access::Pull).await
    }

    pub(crate) async fn blob_known(
        &self,
        repository: &Repository,
        digest: &Digest,
        access: Access,
    ) -> Result<bool, ClientError> {
        let call = Call { access, ..self.call(Method::HEAD, repository, &format!("blobs/{digest}"))? };
        match self.retry(|| self.send(&call)).await {
            Ok(response) => Ok(response.status() == StatusCode::OK),
            Err(ClientError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All tags of a repository, in the registry's order.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] if there are more than 100,000, and others.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, ClientError> {
        let mut call = self.call(Method::GET, repository, "tags/list")?;
        call.url.query_pairs_mut().append_pair("n", &TAGS_A_PAGE.to_string());
        let mut tags = Vec::new();
        // A page may be empty, so pages are counted too.
        for _ in 0..MOST_TAGS / TAGS_A_PAGE * 10 {
            let page = self.page(&call).await?;
            let listed: TagResponse = serde_json::from_slice(&page.body)
                .map_err(|error| ClientError::protocol(call.at.clone(), Fault::Json(error)))?;
            tags.extend(listed.tags);
            match page.next {
                _ if tags.len() > MOST_TAGS => break,
                None => return Ok(tags),
                Some(next) => call.url = next,
            }
        }
        Err(ClientError::TooLarge { at: Box::new(call.at), limit: self.limits.manifest })
    }
}

pub(super) fn same(at: &At, expected: &Digest, bytes: &[u8]) -> Result<(), ClientError> {
    let actual = Digest::of(bytes);
    if actual == *expected {
        return Ok(());
    }
    Err(ClientError::DigestMismatch { at: Box::new(at.clone()), expected: *expected, actual })
}
