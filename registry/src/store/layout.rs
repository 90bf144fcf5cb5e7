//! An OCI image layout as a store of one repository.
//!
//! A layout has no name of its own and answers as whatever it is asked as. Everything is hashed when it is read. Who
//! refers to a manifest is told by the manifests that the index lists (oras and this client list every one) and by the
//! fallback tag `sha256-<hex>`, as tools leave it that copy registries tag by tag.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sealift_verify::{
    artifact::{Descriptor, IMAGE_INDEX, IMAGE_MANIFEST, Limits, Manifest},
    digest::Digest,
    reference::{Pinned, Repository, is_tag},
};
use serde_json::Value;

use super::{
    INDEX_LIMIT, LayoutFault, Location, MARKER_LIMIT, Name,
    fault::Within,
    index::{Draft, Index},
    media::{Incoming, Media},
};
use crate::client::{
    Attached, AttachedBy, ClientConfig, ClientError, Put, PutAs, Referrers, entries, fallback_tag, referrer_entry,
    unite,
};

/// Manifests read at the same time to learn what they are about.
const AT_ONCE: usize = 16;
/// What is remembered of manifests; their digests make it true for ever.
const MOST_KNOWN: usize = 4_096;
/// The largest manifest that is remembered, in bytes.
const MOST_REMEMBERED: u64 = 8 << 10;
/// How much is read to find out who refers to one manifest, in bytes.
const MOST_READ: u64 = 64 << 20;

/// A layout and what is known about its manifests.
#[derive(Debug)]
pub struct Layout {
    media: Media,
    limits: Limits,
    known: Mutex<HashMap<Digest, About>>,
}

/// What a manifest is about, if anything, and how it is listed among the referrers of that.
#[derive(Clone, Debug)]
enum About {
    Nothing,
    Subject(Digest, Box<Descriptor>),
}

/// A manifest to enter into the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entering {
    /// The manifest, with what it says of itself.
    pub(crate) manifest: Descriptor,
    /// The tag that names it from now on.
    pub(crate) tag: Option<String>,
}

impl Layout {
    /// The layout at a location; `None` if that is a registry. Nothing is read or written yet.
    ///
    /// Of the settings, limits count everywhere, and timeouts, user agent and extra certificates in object storage.
    ///
    /// # Errors
    /// If the environment configures object storage in a way that cannot be used, or certificates cannot be read.
    pub fn at(location: &Location, config: &ClientConfig) -> Result<Option<Self>, ClientError> {
        let media = Media::at(location, config)?;
        Ok(media.map(|media| Self { media, limits: config.limits, known: Mutex::default() }))
    }

    /// Where it lies.
    pub fn location(&self) -> &Location {
        self.media.location()
    }

    /// How many bytes are taken.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn within(&self) -> Within<'_> {
        Within(self.media.location())
    }

    fn unusable(&self, fault: LayoutFault) -> ClientError {
        self.within().unusable(fault)
    }

    /// The index, if this is a layout.
    async fn index(&self) -> Result<Index, ClientError> {
        let (marker, index) =
            tokio::try_join!(self.media.read(Name::Marker, MARKER_LIMIT), self.media.read(Name::Index, INDEX_LIMIT))?;
        match (marker, index) {
            (None, None) => Err(self.within().missing("")),
            (None, Some(_)) => Err(self.unusable(LayoutFault::NoMarker)),
            (Some(marker), index) => {
                check_version(&marker).map_err(|fault| self.unusable(fault))?;
                let index = index.ok_or_else(|| self.within().missing("/index.json"))?;
                Index::parse(&index).map_err(|fault| self.unusable(fault))
            }
        }
    }

    /// The digest that `tag` names, read as `repository`.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is no such tag or layout, and others.
    pub async fn resolve(&self, repository: &Repository, tag: &str) -> Result<Digest, ClientError> {
        if !is_tag(tag) {
            return Err(self.unusable(LayoutFault::Tag));
        }
        let found = self.index().await?.resolve(repository, tag).map_err(|fault| self.unusable(fault))?;
        found.ok_or_else(|| self.within().missing(format_args!(":{tag}")))
    }

    /// All tags, in order.
    ///
    /// # Errors
    /// If there is no layout, or none that can be read.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, ClientError> {
        Ok(self.index().await?.tags(repository))
    }

    async fn content(&self, digest: &Digest, limit: u64) -> Result<Bytes, ClientError> {
        let found = self.media.read(Name::Blob(digest), limit).await?;
        let bytes = found.ok_or_else(|| self.within().missing(format_args!("@{digest}")))?;
        self.within().same(digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// The manifest itself, with the digest asked for.
    ///
    /// # Errors
    /// [`ClientError::DigestMismatch`] and [`ClientError::TooLarge`] if something else lies there, and others.
    pub async fn manifest(&self, pinned: &Pinned) -> Result<Bytes, ClientError> {
        self.content(&pinned.digest, self.limits.manifest).await
    }

    /// A blob with the size and digest described, of at most `limit` bytes.
    ///
    /// # Errors
    /// As of [`Layout::manifest`].
    pub async fn blob_within(&self, blob: &Descriptor, limit: u64) -> Result<Bytes, ClientError> {
        if blob.size > limit {
            return Err(self.within().too_large(format_args!("@{}", blob.digest), limit));
        }
        self.content(&blob.digest, blob.size).await
    }

    /// At most `length` bytes of a blob from `from`. They are hashed by whoever puts the pieces together.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub(crate) async fn piece(&self, digest: &Digest, from: u64, length: usize) -> Result<Bytes, ClientError> {
        self.media.piece(digest, from, length).await
    }

    /// True if a blob of that digest is there, whatever its content is.
    ///
    /// # Errors
    /// If nobody can say.
    pub async fn blob_exists(&self, digest: &Digest) -> Result<bool, ClientError> {
        Ok(self.media.size(digest).await?.is_some())
    }

    /// How large a blob is that is there.
    pub(crate) async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, ClientError> {
        self.media.size(digest).await
    }

    /// What refers to `subject`, at most `cap` manifests.
    ///
    /// # Errors
    /// If the layout or a manifest in it cannot be read. One that is missing or not what its digest says is unreadable.
    pub async fn referrers(&self, subject: &Pinned, cap: usize) -> Result<Referrers, ClientError> {
        let index = self.index().await?;
        let (listed, unreadable) = index.listed();
        let mut found = Referrers { descriptors: Vec::new(), unreadable, complete: true };
        // What was added last stands last. Whoever wrote the layout decides how much there is to read.
        let manifests = listed.iter().rev().map(|one| one.descriptor.digest);
        let manifests: Vec<_> = manifests.filter(|digest| *digest != subject.digest).collect();
        let mut manifests = stream::iter(manifests).map(|digest| self.about(digest)).buffered(AT_ONCE);
        let mut read = 0;
        while let Some((about, size)) = manifests.try_next().await? {
            read += size;
            if read > MOST_READ || found.descriptors.len() > cap {
                found.complete = false;
                break;
            }
            match about {
                None => found.unreadable += 1,
                Some(About::Subject(digest, referrer)) if digest == subject.digest => found.descriptors.push(*referrer),
                Some(About::Subject(..) | About::Nothing) => {}
            }
        }
        let tag = fallback_tag(&subject.digest);
        let named = index.resolve(&subject.repository, &tag).map_err(|fault| self.unusable(fault))?;
        let fallback = match named {
            None => Referrers { complete: true, ..Referrers::default() },
            Some(digest) => match self.content(&digest, self.limits.manifest).await {
                Ok(bytes) => {
                    let (descriptors, unreadable) = entries(&bytes).unwrap_or_else(|_| (Vec::new(), 1));
                    Referrers { descriptors, unreadable, complete: true }
                }
                Err(error) if is_damage(&error) => Referrers { unreadable: 1, complete: true, ..Referrers::default() },
                Err(error) => return Err(error),
            },
        };
        Ok(unite(found, fallback, cap))
    }

    /// What a listed manifest is about, `None` if it is damaged, and how many bytes were read for it.
    async fn about(&self, digest: Digest) -> Result<(Option<About>, u64), ClientError> {
        if let Some(about) = self.known().get(&digest) {
            return Ok((Some(about.clone()), 0));
        }
        let bytes = match self.content(&digest, self.limits.manifest).await {
            Ok(bytes) => bytes,
            Err(error) if is_damage(&error) => return Ok((None, 0)),
            Err(error) => return Err(error),
        };
        let about = match referrer_entry(&bytes) {
            None => About::Nothing,
            Some((subject, entry)) => About::Subject(subject, Box::new(entry)),
        };
        let size = bytes.len() as u64;
        if size <= MOST_REMEMBERED {
            let mut known = self.known();
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(digest, about.clone());
        }
        Ok((Some(about), size))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, About>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `bytes` into place unless they are there, and describes them as content of `media_type`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub async fn push_blob(&self, media_type: &str, bytes: Bytes) -> Result<Descriptor, ClientError> {
        let blob = Descriptor::of(media_type, &bytes);
        self.within().fits("", blob.size)?;
        self.media.keep(&blob.digest, bytes).await?;
        Ok(blob)
    }

    /// Begins a blob that comes in pieces, or goes on with what has arrived of it.
    pub(crate) async fn begin(&self, blob: &Descriptor) -> Result<Incoming, ClientError> {
        self.within().fits(format_args!("@{}", blob.digest), blob.size)?;
        self.media.begin(blob).await
    }

    /// Puts a manifest and lists it, under a tag if one is given, which is moved if it exists.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        name: PutAs<'_>,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, ClientError> {
        let tag = match name {
            PutAs::Digest => None,
            PutAs::Tag(tag) if is_tag(tag) => Some(tag.to_owned()),
            PutAs::Tag(_) => return Err(self.unusable(LayoutFault::Tag)),
        };
        let manifest = described(media_type, &bytes);
        let digest = manifest.digest;
        self.push_blob(media_type, bytes).await?;
        self.enter(repository, vec![Entering { manifest, tag }]).await?;
        Ok(Put { pinned: repository.pin(digest), subject_acknowledged: true })
    }

    /// Puts a manifest by digest and makes it findable from its subject.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn attach(&self, repository: &Repository, manifest: &Manifest) -> Result<Attached, ClientError> {
        let bytes = Bytes::from(manifest.to_bytes());
        let put = self.put_manifest(repository, PutAs::Digest, IMAGE_MANIFEST, bytes).await?;
        let by = if manifest.subject.is_some() { AttachedBy::Layout } else { AttachedBy::Nothing };
        Ok(Attached { pinned: put.pinned, by })
    }

    /// Enters manifests whose blobs are there into the index: all of them in one change, in this order.
    pub(crate) async fn enter(&self, repository: &Repository, entering: Vec<Entering>) -> Result<(), ClientError> {
        let repository = repository.clone();
        let edit = move |before: Option<&[u8]>| {
            let mut index = before.map_or_else(|| Ok(Draft::empty()), Draft::parse)?;
            let was = before.map(|_| index.clone());
            for Entering { manifest, tag } in &entering {
                index.enter(&repository, manifest, tag.as_deref());
            }
            if was.as_ref() == Some(&index) { Ok(None) } else { index.to_bytes().map(Some) }
        };
        self.media.edit(edit).await
    }
}

/// A manifest's descriptor, with what is needed to list it.
pub(crate) fn described(media_type: &str, bytes: &[u8]) -> Descriptor {
    match referrer_entry(bytes) {
        Some((_, entry)) => Descriptor { media_type: media_type.to_owned(), ..entry },
        None => Descriptor::of(media_type, bytes),
    }
}

/// True if one content is not what it should be, and others may be.
fn is_damage(error: &ClientError) -> bool {
    matches!(error, ClientError::NotFound { .. } | ClientError::TooLarge { .. } | ClientError::DigestMismatch { .. })
}

fn check_version(marker: &[u8]) -> Result<(), LayoutFault> {
    let marker: Value = serde_json::from_slice(marker).map_err(|_| LayoutFault::NoMarker)?;
    match marker["imageLayoutVersion"].as_str() {
        Some("1.0.0") => Ok(()),
        version => Err(LayoutFault::Version(version.unwrap_or_default().chars().take(40).collect())),
    }
}

/// The media type of a manifest, by its own word or by what it holds.
pub(crate) fn media_type_of(manifest: &Value) -> String {
    match manifest["mediaType"].as_str() {
        Some(media_type) => media_type.to_owned(),
        None if manifest["manifests"].is_array() => IMAGE_INDEX.to_owned(),
        None => IMAGE_MANIFEST.to_owned(),
    }
}
