//! Blobs from one store to another: several at a time, in pieces where they are large, and read back at the end.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sealift_verify::{
    artifact::Descriptor,
    digest::{Digest, Hasher},
};

use super::{Done, Side, Survey, put};
use crate::{
    client::{ClientError, Upload},
    store::{Incoming, Store},
};

/// Blobs on their way at the same time. With the sizes below, this bounds what is held in memory.
const AT_ONCE: usize = 4;
/// A blob up to this size goes in one piece.
const WHOLE: u64 = 16 << 20;
/// How large the pieces of others are. Object storage takes none below 5 MiB but the last.
const PIECE: usize = 8 << 20;

/// Where a large blob goes, piece by piece.
enum Going<'a> {
    Layout(Incoming),
    Registry(Upload<'a>),
}

/// Told how many bytes have been moved, of both directions.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Brings blobs and then manifests by digest, and reads every one of them back.
///
/// # Errors
/// Of either store; the destination is then left with whole blobs that nothing names.
pub async fn transfer(
    from: Side<'_>,
    to: Side<'_>,
    survey: &Survey,
    progress: Progress<'_>,
) -> Result<Done, ClientError> {
    let moved = AtomicU64::new(0);
    let tell = |bytes: u64| progress(moved.fetch_add(bytes, Ordering::Relaxed) + bytes);
    let sent: Vec<Option<u64>> = stream::iter(&survey.blobs)
        .map(|blob| send(from, to, blob, &tell))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    put(to, survey).await?;
    let checked: Vec<u64> = stream::iter(&survey.blobs)
        .map(|blob| async {
            check(to, blob).await?;
            tell(blob.size);
            Ok::<_, ClientError>(blob.size)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let mut done = Done { manifests: survey.manifests.len(), ..Done::default() };
    for item in &survey.manifests {
        let bytes = to.store.manifest(&to.pin(item.descriptor.digest)).await?;
        done.verified_bytes += bytes.len() as u64;
    }
    done.verified_bytes += checked.iter().sum::<u64>();
    for bytes in &sent {
        match bytes {
            None => done.present += 1,
            Some(bytes) => (done.sent, done.sent_bytes) = (done.sent + 1, done.sent_bytes + bytes),
        }
    }
    Ok(done)
}

/// Sends one blob unless it is there; how many bytes had to be sent.
async fn send(
    from: Side<'_>,
    to: Side<'_>,
    blob: &Descriptor,
    tell: &(impl Fn(u64) + Send + Sync),
) -> Result<Option<u64>, ClientError> {
    let there = match to.store {
        Store::Registry(client) => client.blob_exists(to.repository, &blob.digest).await?,
        // A file that was cut short is there too, and of the wrong size.
        Store::Layout(layout) => layout.blob_size(&blob.digest).await? == Some(blob.size),
    };
    if there {
        tell(blob.size);
        return Ok(None);
    }
    if blob.size <= WHOLE {
        let bytes = from.store.blob_within(from.repository, blob, WHOLE, None).await?;
        match (from.store, to.store) {
            // The same registry takes it from one of its repositories to another by itself.
            (Store::Registry(source), Store::Registry(target)) if source.host() == target.host() => {
                target.push_blob_from(to.repository, Some(from.repository), &blob.media_type, bytes).await?;
            }
            _ => drop(to.store.push_blob(to.repository, &blob.media_type, bytes).await?),
        }
        tell(blob.size);
        return Ok(Some(blob.size));
    }
    let mut going = match to.store {
        Store::Registry(client) => Going::Registry(client.begin_upload(to.repository, &blob.digest).await?),
        Store::Layout(layout) => Going::Layout(layout.begin(blob).await?),
    };
    let begun = going.arrived();
    tell(begun);
    let mut at = begun;
    let mut hasher = going.hasher();
    // The next piece is fetched while this one is sent.
    let mut piece = read(from, blob, at).await?;
    while !piece.is_empty() {
        let length = piece.len() as u64;
        if let Some(hasher) = &mut hasher {
            hasher.update(&piece);
        }
        let (sent, next) = tokio::join!(going.add(piece), read(from, blob, at + length));
        going = sent?;
        at += length;
        tell(length);
        piece = match next {
            Ok(next) => next,
            Err(error) => {
                going.stop().await;
                return Err(error);
            }
        };
    }
    going.finish(blob, hasher, to).await?;
    Ok(Some(blob.size - begun))
}

/// The next piece of a blob; empty at its end.
async fn read(from: Side<'_>, blob: &Descriptor, at: u64) -> Result<Bytes, ClientError> {
    let left = usize::try_from(blob.size.saturating_sub(at)).unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(Bytes::new());
    }
    from.store.piece(from.repository, blob, at, left.min(PIECE)).await
}

impl Going<'_> {
    fn arrived(&self) -> u64 {
        match self {
            Self::Layout(incoming) => incoming.arrived(),
            Self::Registry(_) => 0,
        }
    }

    /// A registry is told the digest at the end; it is made here, so that a wrong source is not taken for a wrong target.
    fn hasher(&self) -> Option<Hasher> {
        match self {
            Self::Layout(_) => None,
            Self::Registry(_) => Some(Hasher::new()),
        }
    }

    async fn add(self, piece: Bytes) -> Result<Self, ClientError> {
        Ok(match self {
            Self::Layout(incoming) => Self::Layout(incoming.add(piece).await?),
            Self::Registry(upload) => Self::Registry(upload.add(piece).await?),
        })
    }

    async fn finish(self, blob: &Descriptor, hasher: Option<Hasher>, to: Side<'_>) -> Result<(), ClientError> {
        match self {
            Self::Layout(incoming) => incoming.finish().await,
            Self::Registry(upload) => {
                let actual = hasher.unwrap_or_default().finish();
                same(to, blob, actual)?;
                upload.finish(&blob.digest).await
            }
        }
    }

    async fn stop(self) {
        if let Self::Layout(incoming) = self {
            incoming.stop().await;
        }
    }
}

/// Reads a blob back and holds it against its digest.
async fn check(to: Side<'_>, blob: &Descriptor) -> Result<(), ClientError> {
    if blob.size <= WHOLE {
        return to.store.blob_within(to.repository, blob, WHOLE, None).await.map(|_| ());
    }
    let (mut hasher, mut at) = (Hasher::new(), 0);
    loop {
        let piece = read(to, blob, at).await?;
        if piece.is_empty() {
            break;
        }
        hasher.update(&piece);
        at += piece.len() as u64;
    }
    same(to, blob, hasher.finish())
}

fn same(at: Side<'_>, blob: &Descriptor, actual: Digest) -> Result<(), ClientError> {
    if actual == blob.digest {
        return Ok(());
    }
    Err(at.store.mismatch(at.repository, &blob.digest, actual))
}
