//! Blobs that are too large to be held whole: read and written piece by piece.

use bytes::Bytes;
use reqwest::{Method, StatusCode, Url, header};
use sealift_verify::{artifact::Descriptor, digest::Digest, reference::Repository};

use super::{
    Client, ClientError, Fault,
    send::append,
    upload::{Opened, Session, place},
};

/// An upload session that takes pieces.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    client: &'a Client,
    repository: &'a Repository,
    url: Url,
    sent: u64,
}

impl Client {
    /// At most `length` bytes of a blob from `from`, which is before its end. Whoever puts the pieces together hashes them.
    pub(crate) async fn piece(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        from: u64,
        length: usize,
    ) -> Result<Bytes, ClientError> {
        let mut call = self.call(Method::GET, repository, &format!("blobs/{}", blob.digest))?;
        call.timeout = self.timeouts.transfer;
        let to = from + length as u64;
        call.range = Some((header::RANGE, format!("bytes={from}-{}", to - 1)));
        self.retry(|| async {
            let response = self.send(&call).await?;
            // A registry that knows no ranges sends everything, each time.
            if response.status() != StatusCode::PARTIAL_CONTENT {
                return Err(ClientError::protocol(call.at.clone(), Fault::NoRange));
            }
            let mut bytes = Vec::new();
            append(response, &mut bytes, length as u64, &call.at, None).await?;
            match bytes.len() == length {
                true => Ok(Bytes::from(bytes)),
                false => Err(ClientError::protocol(call.at.clone(), Fault::NoRange)),
            }
        })
        .await
    }

    /// Opens a session for a blob that comes in pieces.
    pub(crate) async fn begin_upload<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &Digest,
    ) -> Result<Upload<'a>, ClientError> {
        match self.open(repository, None, digest).await? {
            Opened::Session(Session { url, from: _ }) => Ok(Upload { client: self, repository, url, sent: 0 }),
            Opened::Mounted => {
                let at = self.at(&self.url(repository, "blobs/uploads/")?, repository);
                Err(ClientError::protocol(at, Fault::NoLocation))
            }
        }
    }
}

impl Upload<'_> {
    /// Sends the next piece. One that fails is not sent again: how much of it arrived, registries say differently.
    pub(crate) async fn add(self, piece: Bytes) -> Result<Self, ClientError> {
        let to = self.sent + piece.len() as u64;
        let mut call = self.client.session_call(Method::PATCH, self.repository, &self.url, piece);
        call.range = Some((header::CONTENT_RANGE, format!("{}-{}", self.sent, to - 1)));
        let answer = self.client.send(&call).await?;
        let url = place(&call, &answer)?.unwrap_or(self.url);
        Ok(Self { url, sent: to, ..self })
    }

    /// Closes the session with what everything should hash to.
    pub(crate) async fn finish(self, digest: &Digest) -> Result<(), ClientError> {
        let mut url = self.url;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let call = self.client.session_call(Method::PUT, self.repository, &url, Bytes::new());
        self.client.send(&call).await.map(|_| ())
    }
}
