//! The two places where bytes lie, behind one set of operations.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use super::{
    catalogue::Catalogue,
    content_digest::ContentDigest,
    folder::Folder,
    read_as::ReadAs,
    spool::{Budget, Held, Sealed, Spool},
};

/// Content by digest.
pub(super) enum Blobs {
    /// Forgotten when the process ends.
    Memory { held: Mutex<HashMap<ContentDigest, Arc<Held>>>, budget: Budget },
    /// An OCI image layout.
    Folder(Folder),
    /// One that is only read.
    ReadAs(Arc<ReadAs>),
}

const READ_SIZE: u64 = 64 * 1024;

impl Blobs {
    pub(super) fn memory(limit: u64) -> Self {
        Self::Memory { held: Mutex::default(), budget: Budget::new(limit) }
    }

    /// Starts an upload.
    pub(super) async fn begin(&self) -> io::Result<Spool> {
        match self {
            Self::Memory { budget, .. } => Ok(Spool::in_memory(budget)),
            Self::Folder(folder) => Spool::in_file(folder.upload_path(&random_id()?)).await,
            Self::ReadAs(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    /// Moves a finished upload, whose digest was checked, to its place.
    pub(super) async fn keep(&self, digest: &ContentDigest, sealed: Sealed) -> io::Result<()> {
        match (self, sealed) {
            (Self::Memory { held, .. }, Sealed::Memory(content)) => {
                held.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest, Arc::new(content));
                Ok(())
            }
            (Self::Folder(folder), Sealed::File(file)) => folder.keep(digest, &file).await,
            _ => Err(io::Error::other("an upload was begun in another store")),
        }
    }

    /// Writes down which repository has what; nothing to do in memory.
    pub(super) async fn record(&self, catalogue: &Catalogue) -> io::Result<()> {
        match self {
            Self::Memory { .. } => Ok(()),
            Self::Folder(folder) => folder.record(catalogue).await,
            Self::ReadAs(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    /// Deletes content that no repository has any more.
    pub(super) async fn remove(&self, digest: &ContentDigest) -> io::Result<()> {
        match self {
            Self::Memory { held, .. } => {
                held.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
                Ok(())
            }
            Self::Folder(folder) => folder.remove(digest).await,
            Self::ReadAs(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    /// The content's size, if it is there.
    pub(super) async fn size(&self, digest: &ContentDigest) -> io::Result<Option<u64>> {
        match self {
            Self::Memory { .. } => Ok(self.held(digest).map(|held| held.bytes.len() as u64)),
            Self::Folder(folder) => found(tokio::fs::metadata(folder.blob_path(digest)).await.map(|file| file.len())),
            Self::ReadAs(layout) => layout.size(*digest).await,
        }
    }

    /// The whole content, if it is there: for manifests, whose size was bounded when they came.
    pub(super) async fn bytes(&self, digest: &ContentDigest) -> io::Result<Option<Bytes>> {
        match self {
            Self::Memory { .. } => Ok(self.held(digest).map(|held| held.bytes.clone())),
            Self::Folder(folder) => found(tokio::fs::read(folder.blob_path(digest)).await.map(Bytes::from)),
            Self::ReadAs(layout) => layout.bytes(*digest).await,
        }
    }

    /// `length` bytes from `start` as a response body. The caller knows from [`Blobs::size`] that they exist.
    pub(super) async fn read(&self, digest: &ContentDigest, start: u64, length: u64) -> io::Result<Body> {
        match self {
            Self::Memory { .. } => {
                let bytes = self.held(digest).map(|held| held.bytes.clone()).unwrap_or_default();
                let end = usize::try_from(start + length).unwrap_or(usize::MAX).min(bytes.len());
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(end);
                Ok(Body::from(bytes.slice(start..end)))
            }
            Self::Folder(folder) => {
                let mut file = File::open(folder.blob_path(digest)).await?;
                file.seek(io::SeekFrom::Start(start)).await?;
                Ok(Body::from_stream(stream::try_unfold((file, length), next_piece)))
            }
            Self::ReadAs(layout) => Ok(layout.body(*digest, start, length)),
        }
    }

    fn held(&self, digest: &ContentDigest) -> Option<Arc<Held>> {
        match self {
            Self::Memory { held, .. } => held.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned(),
            Self::Folder(_) | Self::ReadAs(_) => None,
        }
    }
}

async fn next_piece((mut file, left): (File, u64)) -> io::Result<Option<(Bytes, (File, u64))>> {
    if left == 0 {
        return Ok(None);
    }
    let mut buffer = vec![0; usize::try_from(left.min(READ_SIZE)).unwrap_or_default()];
    let read = file.read(&mut buffer).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buffer.truncate(read);
    Ok(Some((buffer.into(), (file, left - read as u64))))
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name nobody can guess, so that no client can write to another one's upload.
pub(super) fn random_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
