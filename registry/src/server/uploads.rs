//! Open uploads: how many there may be, how long each may rest, and how a request body gets into one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures::StreamExt;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{blobs::random_id, error::RegistryError, spool::Spool};

/// The table of uploads between their first request and their last.
pub(super) struct Uploads {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    permits: Arc<Semaphore>,
    idle: Duration,
}

/// One upload. The inner lock is held while a request works on it; nothing is left in it after the last request.
pub(super) struct Slot {
    repository: String,
    touched: Mutex<Instant>,
    pub(super) upload: AsyncMutex<Option<Upload>>,
}

/// An upload and its place in the number of those that may be open.
pub(super) struct Upload {
    pub(super) spool: Spool,
    _permit: OwnedSemaphorePermit,
}

impl Uploads {
    pub(super) fn new(limit: usize, idle: Duration) -> Self {
        Self { slots: Mutex::default(), permits: Arc::new(Semaphore::new(limit)), idle }
    }

    /// A place for one more upload. Uploads that rested too long at `now` lose theirs first.
    pub(super) fn permit(&self, now: Instant) -> Result<OwnedSemaphorePermit, RegistryError> {
        self.lock().retain(|_, slot| !slot.rested(self.idle, now));
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| RegistryError::TooManyUploads)
    }

    /// Opens an upload to `repository`; its id.
    pub(super) fn start(&self, repository: &str, upload: Upload) -> Result<String, RegistryError> {
        let id = random_id()?;
        let slot = Slot {
            repository: repository.to_owned(),
            touched: Mutex::new(Instant::now()),
            upload: AsyncMutex::new(Some(upload)),
        };
        self.lock().insert(id.clone(), Arc::new(slot));
        Ok(id)
    }

    pub(super) fn find(&self, repository: &str, id: &str) -> Result<Arc<Slot>, RegistryError> {
        let slot = self.lock().get(id).filter(|slot| slot.repository == repository).cloned();
        slot.inspect(|slot| slot.touch()).ok_or(RegistryError::UploadUnknown)
    }

    pub(super) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn rested(&self, idle: Duration, now: Instant) -> bool {
        let last = *self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        self.upload.try_lock().is_ok() && now.duration_since(last) > idle
    }
}

impl Upload {
    pub(super) fn new(spool: Spool, permit: OwnedSemaphorePermit) -> Self {
        Self { spool, _permit: permit }
    }

    /// Takes in a request body. What arrived before a break stays, so that the client can go on from there.
    pub(super) async fn receive(&mut self, mut pieces: Pieces) -> Result<(), RegistryError> {
        while let Some(piece) = pieces.next().await? {
            self.spool.write(&piece).await?;
        }
        Ok(())
    }
}

/// A request body in pieces, bounded in size and in the time between two pieces.
pub(super) struct Pieces {
    stream: BodyDataStream,
    idle: Duration,
    limit: u64,
    left: u64,
}

impl Pieces {
    /// The pieces of `body`, `left` bytes at most; `limit` is what the client is told.
    pub(super) fn new(
        body: Body,
        headers: &HeaderMap,
        idle: Duration,
        (limit, left): (u64, u64),
    ) -> Result<Self, RegistryError> {
        if content_length(headers).is_some_and(|length| length > left) {
            return Err(RegistryError::TooLarge { limit });
        }
        Ok(Self { stream: body.into_data_stream(), idle, limit, left })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let next = timeout(self.idle, self.stream.next()).await.map_err(|_| RegistryError::Stalled)?;
        let Some(piece) = next.transpose().map_err(RegistryError::Body)? else { return Ok(None) };
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or(RegistryError::TooLarge { limit: self.limit })?;
        Ok(Some(piece))
    }

    /// The whole body, for what has to be read at once.
    pub(super) async fn collect(mut self) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::spool::Budget, *};

    fn upload(permit: OwnedSemaphorePermit) -> Upload {
        Upload::new(Spool::in_memory(&Budget::new(10)), permit)
    }

    #[tokio::test]
    async fn a_resting_upload_gives_its_place_to_a_new_one() {
        let uploads = Uploads::new(1, Duration::from_secs(60));
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        let id = uploads.start("a", upload(uploads.permit(after(0)).unwrap())).unwrap();
        assert!(matches!(uploads.permit(after(59)), Err(RegistryError::TooManyUploads)));
        let busy = uploads.find("a", &id).unwrap();
        let working = busy.upload.lock().await;
        assert!(uploads.permit(after(61)).is_err(), "a request is working on it");
        drop(working);
        drop(busy);
        drop(uploads.permit(after(61)).unwrap());
        assert!(uploads.find("a", &id).is_err());
    }

    #[tokio::test]
    async fn an_upload_is_unknown_to_other_repositories() {
        let uploads = Uploads::new(1, Duration::from_secs(60));
        let id = uploads.start("a", upload(uploads.permit(Instant::now()).unwrap())).unwrap();
        assert!(uploads.find("b", &id).is_err());
        assert!(uploads.find("a", &id).is_ok());
    }

    #[tokio::test]
    async fn a_body_that_stalls_or_grows_too_large_is_refused() {
        let idle = Duration::from_millis(10);
        let stalled = Body::from_stream(futures::stream::pending::<Result<Bytes, std::convert::Infallible>>());
        let mut pieces = Pieces::new(stalled, &HeaderMap::new(), idle, (10, 10)).unwrap();
        assert!(matches!(pieces.next().await, Err(RegistryError::Stalled)));
        let large = Pieces::new(Body::from(vec![0; 11]), &HeaderMap::new(), idle, (10, 10)).unwrap();
        assert!(matches!(large.collect().await, Err(RegistryError::TooLarge { limit: 10 })));
    }
}
