//! Reading blobs, from where the connection broke off if it did.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header};
use sealift_verify::{artifact::Descriptor, reference::Repository};
use tokio::sync::Mutex;

use super::{
    Client, ClientError,
    pull::same,
    send::{Call, Progress, append},
};

/// What has arrived of a blob.
#[derive(Default)]
struct Arrived {
    bytes: Mutex<Vec<u8>>,
    /// Set by an attempt that brought some.
    advanced: AtomicBool,
    /// Set by an attempt that went on where another broke off.
    resumed: AtomicBool,
}

impl Client {
    /// A blob with the size and digest described, within the client's limit for layers.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] without a request if the size described is over the limit, and others.
    pub async fn blob(&self, repository: &Repository, blob: &Descriptor) -> Result<Bytes, ClientError> {
        self.blob_within(repository, blob, self.limits.compressed, None).await
    }

    /// A blob with the size and digest described, of at most `limit` bytes; `progress` hears how many have arrived.
    /// A download that breaks off goes on from there, and the digest is that of the whole.
    ///
    /// # Errors
    /// As of [`Client::blob`].
    pub async fn blob_within(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
        progress: Option<&(dyn Fn(u64) + Send + Sync)>,
    ) -> Result<Bytes, ClientError> {
        let mut call = self.call(Method::GET, repository, &format!("blobs/{}", blob.digest))?;
        call.timeout = self.timeouts.transfer;
        if blob.size > limit {
            return Err(ClientError::TooLarge { at: Box::new(call.at), limit });
        }
        let progress: Option<Progress<'_>> = progress;
        let (bytes, resumed) = self.download(&call, blob.size, progress).await?;
        match same(&call.at, &blob.digest, &bytes) {
            // Two halves that do not fit: another replica answered, or one that counts ranges otherwise.
            Err(ClientError::DigestMismatch { .. }) if resumed => {
                let whole = self.retry(|| async {
                    let mut whole = Vec::new();
                    append(self.send(&call).await?, &mut whole, blob.size, &call.at, progress).await?;
                    Ok(Bytes::from(whole))
                });
                let whole = whole.await?;
                same(&call.at, &blob.digest, &whole).map(|()| whole)
            }
            checked => checked.map(|()| bytes),
        }
    }

    /// The bytes, and whether they came in more than one piece.
    async fn download(
        &self,
        call: &Call,
        size: u64,
        progress: Option<Progress<'_>>,
    ) -> Result<(Bytes, bool), ClientError> {
        let arrived = Arrived::default();
        let attempt = || self.download_rest(call, size, &arrived, progress);
        self.retry_while(attempt, || arrived.advanced.swap(false, Ordering::Relaxed)).await?;
        let Arrived { bytes, advanced: _, resumed } = arrived;
        Ok((bytes.into_inner().into(), resumed.into_inner()))
    }

    async fn download_rest(
        &self,
        call: &Call,
        size: u64,
        arrived: &Arrived,
        progress: Option<Progress<'_>>,
    ) -> Result<(), ClientError> {
        let mut bytes = arrived.bytes.lock().await;
        let mut call = call.clone();
        if !bytes.is_empty() {
            call.range = Some((header::RANGE, format!("bytes={}-", bytes.len())));
        }
        let response = match self.send(&call).await {
            // Nothing behind the part we have, or no parts at all: from the beginning.
            Err(error) if call.range.is_some() && matches!(error.status(), Some(400 | 416 | 501)) => {
                call.range = None;
                self.send(&call).await?
            }
            answer => answer?,
        };
        if begins(&response) == Some(bytes.len() as u64) {
            arrived.resumed.store(true, Ordering::Relaxed);
        } else {
            bytes.clear();
        }
        let before = bytes.len();
        let result = append(response, &mut bytes, size, &call.at, progress).await;
        arrived.advanced.fetch_or(bytes.len() > before, Ordering::Relaxed);
        result
    }
}

/// At which byte a part begins; `None` for what is no part.
fn begins(response: &Response) -> Option<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.trim().strip_prefix("bytes")?.trim_start().split_once('-')?.0.trim().parse().ok()
}
