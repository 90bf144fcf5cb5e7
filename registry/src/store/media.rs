//! The three things a layout may lie in, behind one set of operations. Nothing here knows what an index says.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use sealift_verify::{
    artifact::Descriptor,
    digest::{Digest, Hasher},
};

use super::{
    INDEX, INDEX_LIMIT, LayoutFault, Location, MARKER, MARKER_CONTENT, Name,
    archive::Archive,
    bucket::{Bucket, Parts, Written},
    fault::Within,
    folder::{self, Arriving, FolderError},
};
use crate::client::{ClientConfig, ClientError};

/// How often a change of the index is begun anew before giving up.
const MOST_ATTEMPTS: u32 = 20;

/// Where the files of a layout are.
#[derive(Clone, Debug)]
pub(super) struct Media {
    location: Location,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Folder(PathBuf),
    Archive(Arc<Archive>),
    Bucket(Bucket),
}

/// A blob on its way in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Into a folder, or what waits for a tar.
    File(Box<Arriving>, Location),
    /// Into a bucket.
    Parts(Box<Parts>, Hasher, Descriptor, Location),
}

impl Media {
    /// What lies at `location`; `None` if that is a registry. Nothing is read yet.
    pub(super) fn at(location: &Location, config: &ClientConfig) -> Result<Option<Self>, ClientError> {
        let kind = match location {
            Location::Registry(_) => return Ok(None),
            Location::Folder(path) => Kind::Folder(path.clone()),
            Location::Archive(path) => Kind::Archive(Arc::new(Archive::new(path.clone()))),
            Location::Bucket { bucket, prefix } => Kind::Bucket(Bucket::new(location, (bucket, prefix), config)?),
        };
        Ok(Some(Self { location: location.clone(), kind }))
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    fn within(&self) -> Within<'_> {
        Within(&self.location)
    }

    /// Work on files, away from the threads that serve everybody.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<T, FolderError> + Send + 'static,
    ) -> Result<T, ClientError> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|error| self.within().storage(what, error))?;
        done.map_err(|error| told(&self.location, what, error))
    }

    /// A whole file; `None` if it is not there.
    pub(super) async fn read(&self, name: Name<'_>, limit: u64) -> Result<Option<Bytes>, ClientError> {
        let name = name.path();
        let found = match &self.kind {
            Kind::Bucket(bucket) => return Ok(bucket.read(&name, limit).await?.map(|read| read.bytes)),
            Kind::Folder(root) => {
                let path = root.join(&name);
                self.blocking(&name, move || Ok(folder::read(&path, limit)?)).await?
            }
            Kind::Archive(archive) => {
                let (archive, name) = (Arc::clone(archive), name.clone());
                let what = name.clone();
                let read = move || {
                    let found = match archive.contents()? {
                        Some(contents) => contents.whole(&name, limit)?,
                        None => None,
                    };
                    match found {
                        // Its own index and marker are not those of what waits.
                        None if name.starts_with("blobs/") => Ok(folder::read(&archive.waiting().join(name), limit)?),
                        found => Ok(found),
                    }
                };
                self.blocking(&what, read).await?
            }
        };
        match found {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(_)) => Err(self.within().too_large(format_args!("/{name}"), limit)),
        }
    }

    /// How large a blob is; `None` if it is not there.
    pub(super) async fn size(&self, digest: &Digest) -> Result<Option<u64>, ClientError> {
        let name = Name::Blob(digest).path();
        match &self.kind {
            Kind::Bucket(bucket) => bucket.size(&name).await,
            Kind::Folder(root) => {
                let path = root.join(&name);
                self.blocking(&name, move || Ok(folder::open(&path)?.map(|(_, size)| size))).await
            }
            Kind::Archive(archive) => {
                let (archive, name) = (Arc::clone(archive), name.clone());
                let what = name.clone();
                let size = move || match archive.contents()?.and_then(|contents| contents.size(&name)) {
                    Some(size) => Ok(Some(size)),
                    None => Ok(folder::open(&archive.waiting().join(&name))?.map(|(_, size)| size)),
                };
                self.blocking(&what, size).await
            }
        }
    }

    /// At most `length` bytes of a blob from `from`; fewer only at its end.
    pub(super) async fn piece(&self, digest: &Digest, from: u64, length: usize) -> Result<Bytes, ClientError> {
        let name = Name::Blob(digest).path();
        let found = match &self.kind {
            Kind::Bucket(bucket) => return bucket.piece(&name, from, length).await,
            Kind::Folder(root) => {
                let path = root.join(&name);
                let read = move || piece(&path, from, length);
                self.blocking(&name, read).await?
            }
            Kind::Archive(archive) => {
                let (archive, name) = (Arc::clone(archive), name.clone());
                let what = name.clone();
                let read = move || {
                    let found = match archive.contents()? {
                        Some(contents) => contents.piece(&name, from, length)?,
                        None => None,
                    };
                    match found {
                        Some(bytes) => Ok(Some(bytes)),
                        None => piece(&archive.waiting().join(&name), from, length),
                    }
                };
                self.blocking(&what, read).await?
            }
        };
        found.ok_or_else(|| self.within().missing(format_args!("@{digest}")))
    }

    /// Puts a small blob into place.
    pub(super) async fn keep(&self, digest: &Digest, bytes: Bytes) -> Result<(), ClientError> {
        let (name, digest) = (Name::Blob(digest).path(), *digest);
        let root = match &self.kind {
            Kind::Bucket(bucket) if bucket.size(&name).await? == Some(bytes.len() as u64) => return Ok(()),
            Kind::Bucket(bucket) => return bucket.write(&name, bytes).await,
            Kind::Folder(root) => root.clone(),
            Kind::Archive(_) if self.size(&digest).await?.is_some() => return Ok(()),
            Kind::Archive(archive) => archive.waiting(),
        };
        self.blocking(&name, move || folder::keep(&root, &digest, &bytes)).await
    }

    /// Begins a blob that comes in pieces, or goes on with what has arrived of it.
    pub(super) async fn begin(&self, blob: &Descriptor) -> Result<Incoming, ClientError> {
        let name = Name::Blob(&blob.digest).path();
        let root = match &self.kind {
            Kind::Bucket(bucket) => {
                let parts = Box::new(bucket.begin(&name).await?);
                return Ok(Incoming::Parts(parts, Hasher::new(), blob.clone(), self.location.clone()));
            }
            Kind::Folder(root) => root.clone(),
            Kind::Archive(archive) => archive.waiting(),
        };
        let (digest, size) = (blob.digest, blob.size);
        let arriving = self.blocking(&name, move || Arriving::open(&root, digest, size)).await?;
        Ok(Incoming::File(Box::new(arriving), self.location.clone()))
    }

    /// Changes the index as `edit` says, which is told the present one and may be asked again; `None` from it is no
    /// change. No other writer's change is lost.
    pub(super) async fn edit<E>(&self, edit: E) -> Result<(), ClientError>
    where
        E: Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, LayoutFault> + Send + Sync + 'static,
    {
        match &self.kind {
            Kind::Bucket(bucket) => self.edit_bucket(bucket, edit).await,
            Kind::Folder(root) => {
                let root = root.clone();
                let change = move || {
                    folder::prepare(&root)?;
                    let _lock = folder::lock(&root)?;
                    let before = within_limit(folder::read(&root.join(INDEX), INDEX_LIMIT)?)?;
                    if let Some(after) = edit(before.as_deref())? {
                        folder::replace(&root, INDEX, &after)?;
                    }
                    folder::mark(&root)
                };
                self.blocking("", change).await
            }
            Kind::Archive(archive) => {
                let archive = Arc::clone(archive);
                let change = move || {
                    let lock = archive.lock()?;
                    let before = match archive.contents()? {
                        Some(contents) if contents.size(MARKER).is_none() => return Err(LayoutFault::Other.into()),
                        Some(contents) => within_limit(contents.whole(INDEX, INDEX_LIMIT)?)?,
                        None => None,
                    };
                    if let Some(after) = edit(before.as_deref())? {
                        archive.commit(&after)?;
                    }
                    archive.clear(lock);
                    Ok(())
                };
                self.blocking("", change).await
            }
        }
    }

    async fn edit_bucket<E>(&self, bucket: &Bucket, edit: E) -> Result<(), ClientError>
    where
        E: Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, LayoutFault>,
    {
        for attempt in 0..MOST_ATTEMPTS {
            let before = bucket.read(INDEX, INDEX_LIMIT).await?;
            let after = edit(before.as_ref().map(|read| &read.bytes[..]));
            let Some(after) = after.map_err(|fault| self.within().unusable(fault))? else { return Ok(()) };
            let is_new = before.is_none();
            if bucket.replace(INDEX, before, after.into()).await? == Written::Done {
                // Last, because its presence says that the rest is there.
                if is_new || bucket.size(MARKER).await?.is_none() {
                    bucket.write(MARKER, Bytes::from_static(MARKER_CONTENT)).await?;
                }
                return Ok(());
            }
            tracing::debug!(location = %self.location, attempt, "another writer changed the index");
            let mut random = [0; 1];
            // Where there are no random bytes, everybody waits as long.
            let _ = aws_lc_rs::rand::fill(&mut random);
            let pause = 50 * u64::from(attempt + 1).min(10) + u64::from(random[0]);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(ClientError::Contended { at: self.within().at(format_args!("/{INDEX}")), attempts: MOST_ATTEMPTS })
    }
}

impl Incoming {
    /// How much was there already.
    pub(crate) fn arrived(&self) -> u64 {
        match self {
            Self::File(arriving, _) => arriving.arrived,
            Self::Parts(..) => 0,
        }
    }

    pub(crate) async fn add(self, piece: Bytes) -> Result<Self, ClientError> {
        match self {
            Self::File(mut arriving, location) => {
                let work = move || {
                    arriving.write(&piece)?;
                    Ok(arriving)
                };
                let done: Result<io::Result<_>, _> = tokio::task::spawn_blocking(work).await;
                let done = done.map_err(|error| Within(&location).storage("", error))?;
                let arriving = done.map_err(|error| Within(&location).io("", error))?;
                Ok(Self::File(arriving, location))
            }
            Self::Parts(mut parts, mut hasher, blob, location) => {
                hasher.update(&piece);
                match parts.add(piece).await {
                    Ok(()) => Ok(Self::Parts(parts, hasher, blob, location)),
                    Err(error) => {
                        parts.abort().await;
                        Err(error)
                    }
                }
            }
        }
    }

    /// Puts the blob into place if it is the right one.
    pub(crate) async fn finish(self) -> Result<(), ClientError> {
        match self {
            Self::File(arriving, location) => {
                let digest = arriving.digest();
                let done = tokio::task::spawn_blocking(move || arriving.finish()).await;
                let done = done.map_err(|error| Within(&location).storage("", error))?;
                done.map_err(|error| match error {
                    FolderError::Mismatch(actual) => Within(&location)
                        .same(&digest, actual)
                        .err()
                        .unwrap_or_else(|| Within(&location).too_large(format_args!("@{digest}"), 0)),
                    other => told(&location, "", other),
                })
            }
            Self::Parts(parts, hasher, blob, location) => {
                if let Err(error) = Within(&location).same(&blob.digest, hasher.finish()) {
                    parts.abort().await;
                    return Err(error);
                }
                parts.finish().await
            }
        }
    }

    /// Leaves what arrived for another attempt where that is possible, and takes it back where not.
    pub(crate) async fn stop(self) {
        if let Self::Parts(parts, ..) = self {
            parts.abort().await;
        }
    }
}

fn piece(path: &std::path::Path, from: u64, length: usize) -> Result<Option<Bytes>, FolderError> {
    match folder::open(path)? {
        None => Ok(None),
        Some((file, size)) => {
            let left = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
            Ok(Some(folder::piece(&file, from, length.min(left))?))
        }
    }
}

/// An index that is too large is not read, so it is not replaced either.
fn within_limit(found: Option<Result<Bytes, u64>>) -> Result<Option<Bytes>, FolderError> {
    match found {
        None => Ok(None),
        Some(Ok(bytes)) => Ok(Some(bytes)),
        Some(Err(_)) => Err(FolderError::TooLarge(INDEX_LIMIT)),
    }
}

fn told(location: &Location, what: &str, error: FolderError) -> ClientError {
    let within = Within(location);
    let path = if what.is_empty() { String::new() } else { format!("/{what}") };
    match error {
        FolderError::Io(error) => within.io(path, error),
        FolderError::Layout(fault) => within.unusable(fault),
        FolderError::TooLarge(limit) => within.too_large(format_args!("/{INDEX}"), limit),
        FolderError::InUse => ClientError::Contended { at: within.at(path), attempts: 1 },
        FolderError::Mismatch(actual) => within.storage(path, format!("what was written has digest {actual}")),
    }
}
