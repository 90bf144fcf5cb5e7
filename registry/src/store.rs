//! Where artifacts live: a registry, or an OCI image layout in a folder, a tar file or object storage.
//!
//! One [`Store`] answers alike wherever the bytes are, and fails alike, in the words of [`ClientError`]. It holds nothing
//! back from the verdict and adds nothing to it: content is hashed when it is read, and the rest is signed.

mod archive;
mod bucket;
mod fault;
mod folder;
mod index;
mod layout;
mod media;
mod opened;
mod place;

use bytes::Bytes;
use sealift_verify::{
    artifact::{BUNDLE, Descriptor, EMPTY_CONFIG, Limits, Manifest},
    digest::Digest,
    reference::{Pinned, Repository},
};

pub use self::{
    fault::LayoutFault,
    layout::Layout,
    place::{Address, AddressError, Location, Place},
};
pub(crate) use self::{
    folder::{lock_file, replace},
    layout::{Entering, described, media_type_of},
    media::Incoming,
    opened::Opened,
};
use crate::client::{At, Attached, Client, ClientError, Put, PutAs, Referrers, Sent};

/// The file that says that the rest is a layout.
pub(crate) const MARKER: &str = "oci-layout";
const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const MARKER_LIMIT: u64 = 1 << 10;
pub(crate) const INDEX: &str = "index.json";
const INDEX_LIMIT: u64 = 16 << 20;
/// Larger blobs are not written into a layout, in bytes.
const MOST_BLOB: u64 = 64 << 30;

/// The files of a layout. Paths are made of nothing else, so no content leads out of it.
#[derive(Clone, Copy, Debug)]
enum Name<'a> {
    Marker,
    Index,
    Blob(&'a Digest),
}

impl Name<'_> {
    fn path(self) -> String {
        match self {
            Self::Marker => MARKER.to_owned(),
            Self::Index => INDEX.to_owned(),
            Self::Blob(digest) => format!("blobs/sha256/{}", digest.hex()),
        }
    }
}

/// One place that artifacts are read from and written to.
///
/// A layout answers as whatever repository it is asked as: it has no name of its own.
#[derive(Debug)]
pub enum Store {
    /// A registry, as one identity.
    Registry(Box<Client>),
    /// An OCI image layout.
    Layout(Box<Layout>),
}

impl From<Client> for Store {
    fn from(client: Client) -> Self {
        Self::Registry(Box::new(client))
    }
}

impl From<Layout> for Store {
    fn from(layout: Layout) -> Self {
        Self::Layout(Box::new(layout))
    }
}

impl Store {
    /// How many bytes are taken.
    pub fn limits(&self) -> &Limits {
        match self {
            Self::Registry(client) => client.limits(),
            Self::Layout(layout) => layout.limits(),
        }
    }

    /// Where content asked for as `repository` really lies.
    pub fn location(&self, repository: &Repository) -> Location {
        match self {
            Self::Registry(_) => Location::Registry(repository.clone()),
            Self::Layout(layout) => layout.location().clone(),
        }
    }

    /// One manifest as a person would name it, with the place that it lies in.
    pub fn shown(&self, pinned: &Pinned) -> String {
        self.location(&pinned.repository).at(&pinned.digest)
    }

    /// The digest that `tag` points at now. Nothing is verified yet.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is no such tag, and others.
    pub async fn resolve(&self, repository: &Repository, tag: &str) -> Result<Digest, ClientError> {
        match self {
            Self::Registry(client) => client.resolve(repository, tag).await,
            Self::Layout(layout) => layout.resolve(repository, tag).await,
        }
    }

    /// The manifest itself, exactly as it lies there, with the digest asked for.
    ///
    /// # Errors
    /// [`ClientError::DigestMismatch`] and [`ClientError::TooLarge`] if there is something else, and others.
    pub async fn manifest(&self, pinned: &Pinned) -> Result<Bytes, ClientError> {
        match self {
            Self::Registry(client) => client.manifest(pinned).await,
            Self::Layout(layout) => layout.manifest(pinned).await,
        }
    }

    /// Whether the manifest is there; of a registry this takes one small request.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if it is not, [`ClientError::DigestMismatch`] if something else is, and others.
    pub async fn has_manifest(&self, pinned: &Pinned) -> Result<(), ClientError> {
        match self {
            Self::Registry(client) => client.has_manifest(pinned).await,
            Self::Layout(layout) => layout.manifest(pinned).await.map(drop),
        }
    }

    /// A blob with the size and digest described, within the limit for layers.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] if the size described is over the limit, and others.
    pub async fn blob(&self, repository: &Repository, blob: &Descriptor) -> Result<Bytes, ClientError> {
        self.blob_within(repository, blob, self.limits().compressed, None).await
    }

    /// A blob with the size and digest described, of at most `limit` bytes; `progress` hears how many have arrived, where
    /// they come over a network one by one.
    ///
    /// # Errors
    /// As of [`Store::blob`].
    pub async fn blob_within(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
        progress: Option<&(dyn Fn(u64) + Send + Sync)>,
    ) -> Result<Bytes, ClientError> {
        match self {
            Self::Registry(client) => client.blob_within(repository, blob, limit, progress).await,
            Self::Layout(layout) => layout.blob_within(blob, limit).await,
        }
    }

    /// At most `length` bytes of a blob from `from`, which is before its end. Whoever puts the pieces together hashes them.
    pub(crate) async fn piece(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        from: u64,
        length: usize,
    ) -> Result<Bytes, ClientError> {
        match self {
            Self::Registry(client) => client.piece(repository, blob, from, length).await,
            Self::Layout(layout) => layout.piece(&blob.digest, from, length).await,
        }
    }

    /// What is said of content that is not what its digest says.
    pub(crate) fn mismatch(&self, repository: &Repository, expected: &Digest, actual: Digest) -> ClientError {
        let host = self.location(repository).to_string();
        let at = At { host, repository: repository.path().to_owned(), path: format!("@{expected}") };
        ClientError::DigestMismatch { at: Box::new(at), expected: *expected, actual }
    }

    /// True if the blob is there.
    ///
    /// # Errors
    /// Any but [`ClientError::NotFound`].
    pub async fn blob_exists(&self, repository: &Repository, digest: &Digest) -> Result<bool, ClientError> {
        match self {
            Self::Registry(client) => client.blob_exists(repository, digest).await,
            Self::Layout(layout) => layout.blob_exists(digest).await,
        }
    }

    /// What refers to `subject`, at most `cap` manifests.
    ///
    /// # Errors
    /// Any, except that nothing referring to it is no error.
    pub async fn referrers(&self, subject: &Pinned, cap: usize) -> Result<Referrers, ClientError> {
        match self {
            Self::Registry(client) => client.referrers(subject, cap).await,
            Self::Layout(layout) => layout.referrers(subject, cap).await,
        }
    }

    /// All tags of a repository.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] if there are too many to list, and others.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, ClientError> {
        match self {
            Self::Registry(client) => client.tags(repository).await,
            Self::Layout(layout) => layout.tags(repository).await,
        }
    }

    /// Uploads `bytes` unless they are there, and describes them as content of `media_type`.
    ///
    /// # Errors
    /// If they cannot be written, after attempts have been repeated as far as that makes sense.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Descriptor, ClientError> {
        match self {
            Self::Registry(client) => client.push_blob(repository, media_type, bytes).await,
            Self::Layout(layout) => layout.push_blob(media_type, bytes).await,
        }
    }

    /// The same; `sent` is told how many bytes are on their way, where they go over a network.
    ///
    /// # Errors
    /// As of [`Store::push_blob`].
    pub async fn push_blob_telling(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Bytes,
        sent: Sent,
    ) -> Result<Descriptor, ClientError> {
        match self {
            Self::Registry(client) => client.push_blob_telling(repository, media_type, bytes, sent).await,
            Self::Layout(layout) => layout.push_blob(media_type, bytes).await,
        }
    }

    /// Puts a manifest. Safe to repeat: the same bytes under the same name.
    ///
    /// # Errors
    /// If it cannot be written, or something else was stored.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        name: PutAs<'_>,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, ClientError> {
        match self {
            Self::Registry(client) => client.put_manifest(repository, name, media_type, bytes).await,
            Self::Layout(layout) => layout.put_manifest(repository, name, media_type, bytes).await,
        }
    }

    /// Puts `manifest` by digest and makes it findable from its subject. Its blobs must be there already.
    ///
    /// # Errors
    /// [`ClientError::Contended`] if others kept changing the list it is entered into, and others.
    pub async fn attach(&self, repository: &Repository, manifest: &Manifest) -> Result<Attached, ClientError> {
        match self {
            Self::Registry(client) => client.attach(repository, manifest).await,
            Self::Layout(layout) => layout.attach(repository, manifest).await,
        }
    }

    /// Uploads one Sigstore bundle about `subject` and attaches it.
    ///
    /// # Errors
    /// As of [`Store::attach`].
    pub async fn attach_bundle(
        &self,
        repository: &Repository,
        subject: Descriptor,
        bundle: Bytes,
        annotations: std::collections::BTreeMap<String, String>,
    ) -> Result<Attached, ClientError> {
        self.push_blob(repository, EMPTY_CONFIG, Bytes::from_static(b"{}")).await?;
        self.attach_bundle_beside(repository, subject, bundle, annotations).await
    }

    /// The same where the empty config has just been pushed, with the artifact itself.
    ///
    /// # Errors
    /// As of [`Store::attach`].
    pub async fn attach_bundle_beside(
        &self,
        repository: &Repository,
        subject: Descriptor,
        bundle: Bytes,
        annotations: std::collections::BTreeMap<String, String>,
    ) -> Result<Attached, ClientError> {
        let layer = match self {
            // A signature is new each time it is made.
            Self::Registry(client) => client.push_new_blob(repository, BUNDLE, bundle).await?,
            Self::Layout(layout) => layout.push_blob(BUNDLE, bundle).await?,
        };
        self.attach(repository, &Manifest::bundle(layer, subject, annotations)).await
    }
}
