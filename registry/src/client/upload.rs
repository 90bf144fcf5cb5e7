//! Writing blobs: an upload session, and from where the connection broke off if it did.
//!
//! A blob is sent in one piece, since chunks are where registries differ most; only the rest of one that broke off is
//! sent as a chunk. The registry decides where a session lives: the guard judges the place like a redirect, and bytes that
//! are about to be public go there without credentials if it is another host.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, Url, header};
use sealift_verify::{artifact::Descriptor, digest::Digest, reference::Repository};

use super::{
    At, Client, ClientError, Fault, authority,
    send::{Access, Call, Sent},
};

const OCTETS: &str = "application/octet-stream";

/// Where a session goes on, and from which byte.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) url: Url,
    pub(super) from: usize,
}

/// A blob on its way.
struct Content {
    digest: Digest,
    bytes: Bytes,
    sent: Option<Sent>,
    /// True until an attempt was made to send what the registry cannot have: that is not asked about first.
    is_new: AtomicBool,
}

/// What became of a request to take a blob from another repository.
pub(super) enum Opened {
    Mounted,
    Session(Session),
}

impl Client {
    /// Uploads `bytes` unless the registry has them, and describes them as content of `media_type`.
    ///
    /// # Errors
    /// [`ClientError`], after attempts have been repeated as far as that makes sense.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Descriptor, ClientError> {
        self.push_blob_from(repository, None, media_type, bytes).await
    }

    /// The same for bytes that nobody can have pushed before: the registry is not asked whether it has them, unless an
    /// attempt to send them broke off.
    ///
    /// # Errors
    /// As of [`Client::push_blob`].
    pub(crate) async fn push_new_blob(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Descriptor, ClientError> {
        let blob = Descriptor::of(media_type, &bytes);
        let content = Content { digest: blob.digest, bytes, sent: None, is_new: AtomicBool::new(true) };
        self.upload(repository, None, &content).await.map(|()| blob)
    }

    /// The same; `sent` is told how many bytes are on their way, unless the blob is so small that it is gone at once.
    ///
    /// # Errors
    /// As of [`Client::push_blob`].
    pub async fn push_blob_telling(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Bytes,
        sent: Sent,
    ) -> Result<Descriptor, ClientError> {
        let blob = Descriptor::of(media_type, &bytes);
        let content = Content { digest: blob.digest, bytes, sent: Some(sent), is_new: AtomicBool::new(false) };
        self.upload(repository, None, &content).await.map(|()| blob)
    }

    /// As [`Client::push_blob`], and where the registry has the blob in `source`, one of its own repositories, it is asked to take it
    /// from there. Registries may decline, and then the bytes are uploaded.
    ///
    /// # Errors
    /// As of [`Client::push_blob`].
    pub async fn push_blob_from(
        &self,
        repository: &Repository,
        source: Option<&Repository>,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Descriptor, ClientError> {
        let blob = Descriptor::of(media_type, &bytes);
        let content = Content { digest: blob.digest, bytes, sent: None, is_new: AtomicBool::new(false) };
        self.upload(repository, source, &content).await.map(|()| blob)
    }

    async fn upload(
        &self,
        repository: &Repository,
        source: Option<&Repository>,
        content: &Content,
    ) -> Result<(), ClientError> {
        // A session that broke off, for the next attempt to go on with.
        let broken = Mutex::new(None);
        let advanced = Mutex::new(0);
        let attempt = || self.push_blob_once(repository, source, content, &broken);
        let further = || {
            let from = locked(&broken).as_ref().map_or(0, |session: &Session| session.from);
            let mut advanced = locked(&advanced);
            std::mem::replace(&mut *advanced, from) < from
        };
        self.retry_while(attempt, further).await
    }

    async fn push_blob_once(
        &self,
        repository: &Repository,
        source: Option<&Repository>,
        content: &Content,
        broken: &Mutex<Option<Session>>,
    ) -> Result<(), ClientError> {
        let is_new = content.is_new.swap(false, Ordering::Relaxed);
        if !is_new && self.blob_known(repository, &content.digest, Access::Push).await? {
            return Ok(());
        }
        let resumed = locked(broken).take();
        if let Some(session) = resumed
            && let Some(session) = self.resume(repository, session, content.bytes.len()).await
        {
            match self.finish(repository, &session, content, broken).await {
                Err(error) if !error.is_transient() => tracing::debug!(%error, "an upload is begun anew"),
                answer => return answer,
            }
        }
        match self.open(repository, source, &content.digest).await? {
            Opened::Mounted => Ok(()),
            Opened::Session(session) => self.finish(repository, &session, content, broken).await,
        }
    }

    /// Opens a session, or has the blob mounted.
    pub(super) async fn open(
        &self,
        repository: &Repository,
        source: Option<&Repository>,
        digest: &Digest,
    ) -> Result<Opened, ClientError> {
        let mut call = self.call(Method::POST, repository, "blobs/uploads/")?;
        call.access = Access::Push;
        call.body = Some((OCTETS.to_owned(), Bytes::new()));
        if let Some(source) = source {
            // Of another registry there is nothing to mount.
            self.url(source, "")?;
            call.url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", source.path());
            call.source = Some(source.path().to_owned());
        }
        let answer = match self.send(&call).await {
            // Whoever may not read there may still write here.
            Err(ClientError::Unauthorized { .. } | ClientError::Forbidden { .. } | ClientError::NotFound { .. })
                if source.is_some() =>
            {
                let plain = self.call(Method::POST, repository, "blobs/uploads/")?;
                self.send(&Call { access: Access::Push, body: call.body.clone(), ..plain }).await?
            }
            answer => answer?,
        };
        if source.is_some() && answer.status() == StatusCode::CREATED {
            return Ok(Opened::Mounted);
        }
        let url = place(&call, &answer)?.ok_or_else(|| ClientError::protocol(call.at.clone(), Fault::NoLocation))?;
        Ok(Opened::Session(Session { url, from: 0 }))
    }

    /// How much of a broken upload has arrived; `None` where the session is gone or nothing sensible is said.
    async fn resume(&self, repository: &Repository, session: Session, size: usize) -> Option<Session> {
        let call = self.session_call(Method::GET, repository, &session.url, Bytes::new());
        let answer = self.send(&Call { body: None, ..call.clone() }).await.ok()?;
        let url = place(&call, &answer).ok()?.unwrap_or(session.url);
        let range = answer.headers().get(header::RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
        let last: usize =
            range.trim_start_matches("bytes=").split_once('-').map_or(Ok(0), |(_, to)| to.parse()).ok()?;
        // `0-0` is one byte by the specification and none by registries that cannot say "none".
        let from = if last == 0 { 0 } else { last.checked_add(1)? };
        (from <= size).then_some(Session { url, from })
    }

    /// Sends what is missing and closes the session.
    async fn finish(
        &self,
        repository: &Repository,
        session: &Session,
        content: &Content,
        broken: &Mutex<Option<Session>>,
    ) -> Result<(), ClientError> {
        let sent = self.send_rest(repository, session, content).await;
        if let Err(ClientError::Unreachable { .. } | ClientError::RateLimited { .. }) = &sent {
            *locked(broken) = Some(session.clone());
        }
        if sent? {
            return Ok(());
        }
        // Accepted without a place: so is it there?
        if self.blob_known(repository, &content.digest, Access::Push).await? {
            return Ok(());
        }
        let at = self.at(&self.url(repository, "blobs/uploads/")?, repository);
        Err(ClientError::protocol(at, Fault::NoLocation))
    }

    /// False if the registry accepted everything and did not say where it is.
    async fn send_rest(
        &self,
        repository: &Repository,
        session: &Session,
        content: &Content,
    ) -> Result<bool, ClientError> {
        let Session { url, from } = session;
        let Content { digest, bytes, sent, is_new: _ } = content;
        let begun = *from as u64;
        let sent: Option<Sent> = sent.clone().map(|sent| Arc::new(move |more| sent(begun + more)) as Sent);
        let (mut url, mut body) = (url.clone(), bytes.slice(*from..));
        if *from > 0 && !body.is_empty() {
            let mut call = self.session_call(Method::PATCH, repository, &url, body);
            call.range = Some((header::CONTENT_RANGE, format!("{from}-{}", bytes.len() - 1)));
            call.sent = sent.clone();
            let answer = self.send(&call).await?;
            url = place(&call, &answer)?.unwrap_or(url);
            body = Bytes::new();
        }
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let answer = self.send(&Call { sent, ..self.session_call(Method::PUT, repository, &url, body) }).await?;
        Ok(answer.headers().contains_key(header::LOCATION))
    }

    /// A request about a session. It may live on another host, so the error says which.
    pub(super) fn session_call(&self, method: Method, repository: &Repository, url: &Url, body: Bytes) -> Call {
        let path = url.path().to_owned();
        Call {
            method,
            url: url.clone(),
            at: At { host: authority(url), repository: repository.path().to_owned(), path },
            access: Access::Push,
            accept: "*/*",
            body: Some((OCTETS.to_owned(), body)),
            sent: None,
            range: None,
            source: None,
            timeout: self.timeouts.transfer,
        }
    }
}

/// Where the session goes on.
pub(super) fn place(call: &Call, answer: &Response) -> Result<Option<Url>, ClientError> {
    let Some(location) = answer.headers().get(header::LOCATION) else { return Ok(None) };
    let url = location.to_str().ok().and_then(|location| call.url.join(location).ok());
    url.map(Some).ok_or_else(|| ClientError::protocol(call.at.clone(), Fault::UploadTarget))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
