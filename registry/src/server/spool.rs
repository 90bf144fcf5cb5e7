//! Where the bytes of an upload wait until their digest is known to be right.

use std::{
    io::SeekFrom,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

use super::{
    content_digest::{Algorithm, ContentDigest, Hasher},
    error::RegistryError,
};

/// Bytes received so far, in memory or in a temporary file that goes away with this value.
pub(super) struct Spool {
    received: u64,
    /// Runs along for the algorithm nearly every client uses; the other one is computed at the end.
    sha256: Hasher,
    sink: Sink,
}

enum Sink {
    Memory { bytes: Vec<u8>, share: Share },
    File { file: File, path: Temporary },
}

/// A finished upload, ready to be moved to its place.
pub(super) enum Sealed {
    Memory(Held),
    File(Temporary),
}

/// Content in memory with what it takes of the budget.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: Share,
}

/// A file that is deleted when this is dropped, unless it was renamed before.
pub(super) struct Temporary(PathBuf);

/// How much memory all content and all open uploads may take together.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
}

/// A part of a [`Budget`], given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Budget,
    amount: u64,
}

impl Spool {
    pub(super) fn in_memory(budget: &Budget) -> Self {
        let share = Share { budget: budget.clone(), amount: 0 };
        Self::new(Sink::Memory { bytes: Vec::new(), share })
    }

    pub(super) async fn in_file(path: PathBuf) -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(&path).await?;
        Ok(Self::new(Sink::File { file, path: Temporary(path) }))
    }

    fn new(sink: Sink) -> Self {
        Self { received: 0, sha256: Hasher::new(Algorithm::Sha256), sink }
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Takes in the next piece.
    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), RegistryError> {
        match &mut self.sink {
            Sink::Memory { bytes, share } => {
                share.grow(piece.len() as u64)?;
                bytes.extend_from_slice(piece);
            }
            Sink::File { file, .. } => file.write_all(piece).await?,
        }
        self.sha256.update(piece);
        self.received += piece.len() as u64;
        Ok(())
    }

    /// The digest of everything taken in.
    pub(super) async fn digest(&mut self, algorithm: Algorithm) -> std::io::Result<ContentDigest> {
        match (algorithm, &mut self.sink) {
            (Algorithm::Sha256, _) => Ok(self.sha256.clone().finish()),
            (_, Sink::Memory { bytes, .. }) => Ok(ContentDigest::of(algorithm, bytes)),
            (_, Sink::File { file, .. }) => {
                file.flush().await?;
                file.seek(SeekFrom::Start(0)).await?;
                let (mut hasher, mut buffer) = (Hasher::new(algorithm), vec![0; 64 * 1024]);
                loop {
                    match file.read(&mut buffer).await? {
                        0 => return Ok(hasher.finish()),
                        read => hasher.update(&buffer[..read]),
                    }
                }
            }
        }
    }

    /// Ends the upload; a file is on disk when this returns, so that a rename never shows half of it.
    pub(super) async fn seal(self) -> std::io::Result<Sealed> {
        match self.sink {
            Sink::Memory { mut bytes, share } => {
                bytes.shrink_to_fit();
                Ok(Sealed::Memory(Held { bytes: bytes.into(), _share: share }))
            }
            Sink::File { mut file, path } => {
                file.flush().await?;
                file.sync_data().await?;
                Ok(Sealed::File(path))
            }
        }
    }
}

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already after a rename; nothing else can be done about a failure here, and the next start sweeps.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }
}

impl Share {
    fn grow(&mut self, more: u64) -> Result<(), RegistryError> {
        let fits = |used: u64| used.checked_add(more).filter(|sum| *sum <= self.budget.limit);
        self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| RegistryError::Full)?;
        self.amount += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_bounded_over_all_uploads_and_given_back() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (Spool::in_memory(&budget), Spool::in_memory(&budget));
        first.write(&[0; 6]).await.unwrap();
        assert!(matches!(second.write(&[0; 5]).await, Err(RegistryError::Full)));
        drop(first);
        second.write(&[0; 10]).await.unwrap();
    }

    #[tokio::test]
    async fn both_sinks_compute_the_same_digests_and_an_unfinished_file_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upload");
        let mut file = Spool::in_file(path.clone()).await.unwrap();
        let mut memory = Spool::in_memory(&Budget::new(100));
        for piece in [&b"one"[..], b"two"] {
            file.write(piece).await.unwrap();
            memory.write(piece).await.unwrap();
        }
        for algorithm in Algorithm::ALL {
            let expected = ContentDigest::of(algorithm, b"onetwo");
            assert_eq!(file.digest(algorithm).await.unwrap(), expected);
            assert_eq!(memory.digest(algorithm).await.unwrap(), expected);
        }
        drop(file);
        assert!(!path.exists());
    }
}
