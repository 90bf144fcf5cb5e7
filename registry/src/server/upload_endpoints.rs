//! `/v2/<name>/blobs/uploads/`: whole, streamed and chunked uploads, and mounts.

use std::time::Instant;

use axum::{
    body::Body,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    content_digest::ContentDigest,
    error::RegistryError,
    range::chunk,
    route::digested,
    service::{Answer, CONTENT_DIGEST, Call, Service},
    uploads::{Pieces, Upload, content_length},
};

/// Starts an upload, or does all of it: `?mount=` takes over what another repository has, `?digest=` brings the content
/// along.
pub(super) async fn post(service: &Service, call: &Call, body: Body, name: &str) -> Answer {
    if let Some(mount) = call.parameter("mount") {
        let digest = digested(mount)?;
        if service.holdings.mount(name, call.parameter("from"), digest).await? {
            return Ok(created(name, &digest));
        }
        // Nobody has it: the specification turns the mount into an upload.
    }
    let whole = call.parameter("digest").map(digested).transpose()?;
    let permit = service.uploads.permit(Instant::now())?;
    let mut upload = Upload::new(service.holdings.blobs.begin().await?, permit);
    if let Some(digest) = whole {
        upload.receive(pieces(service, call, body, &upload)?).await?;
        return finish(service, name, upload, digest).await;
    }
    let id = service.uploads.start(name, upload)?;
    Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
}

pub(super) async fn get(service: &Service, name: &str, id: &str) -> Answer {
    let slot = service.uploads.find(name, id)?;
    let guard = slot.upload.lock().await;
    let upload = guard.as_ref().ok_or(RegistryError::UploadUnknown)?;
    Ok(progress(StatusCode::NO_CONTENT, name, id, upload.spool.received()))
}

pub(super) async fn patch(service: &Service, call: &Call, body: Body, (name, id): (&str, &str)) -> Answer {
    let slot = service.uploads.find(name, id)?;
    let mut guard = slot.upload.lock().await;
    let upload = guard.as_mut().ok_or(RegistryError::UploadUnknown)?;
    take_in(service, (call, body), (name, id), upload).await?;
    slot.touch();
    Ok(progress(StatusCode::ACCEPTED, name, id, upload.spool.received()))
}

pub(super) async fn put(service: &Service, call: &Call, body: Body, (name, id): (&str, &str)) -> Answer {
    let digest = digested(call.parameter("digest").ok_or(RegistryError::UploadInvalid("digest is missing"))?)?;
    let slot = service.uploads.find(name, id)?;
    let mut guard = slot.upload.lock().await;
    let upload = guard.as_mut().ok_or(RegistryError::UploadUnknown)?;
    take_in(service, (call, body), (name, id), upload).await?;
    let upload = guard.take().ok_or(RegistryError::UploadUnknown)?;
    service.uploads.remove(id);
    finish(service, name, upload, digest).await
}

pub(super) fn delete(service: &Service, name: &str, id: &str) -> Answer {
    service.uploads.find(name, id)?;
    service.uploads.remove(id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Appends a request's body to an open upload. A chunk that does not fit is refused and leaves the upload as it was; a
/// body that breaks off leaves what arrived; an upload that cannot go on is closed.
async fn take_in(
    service: &Service,
    (call, body): (&Call, Body),
    (name, id): (&str, &str),
    upload: &mut Upload,
) -> Result<(), RegistryError> {
    if let Some(text) = call.header(header::CONTENT_RANGE) {
        let (start, end) = chunk(text).ok_or(RegistryError::UploadInvalid("Content-Range is not <start>-<end>"))?;
        let received = upload.spool.received();
        if start != received {
            return Err(RegistryError::ChunkOutOfOrder { location: location(name, id), received });
        }
        if content_length(&call.headers).is_some_and(|length| length != end - start + 1) {
            return Err(RegistryError::UploadInvalid("Content-Range and Content-Length differ"));
        }
    }
    let taken = match pieces(service, call, body, upload) {
        Ok(pieces) => upload.receive(pieces).await,
        Err(error) => Err(error),
    };
    taken.inspect_err(|error| {
        if !matches!(error, RegistryError::Body(_) | RegistryError::Stalled) {
            service.uploads.remove(id);
        }
    })
}

fn pieces(service: &Service, call: &Call, body: Body, upload: &Upload) -> Result<Pieces, RegistryError> {
    let limit = service.options.blob_limit;
    let left = limit.saturating_sub(upload.spool.received());
    Pieces::new(body, &call.headers, service.options.idle_timeout, (limit, left))
}

/// The door: nothing gets into a repository under a digest that is not its own.
async fn finish(service: &Service, name: &str, mut upload: Upload, expected: ContentDigest) -> Answer {
    let computed = upload.spool.digest(expected.algorithm()).await?;
    if computed != expected {
        return Err(RegistryError::mismatch(&expected, &computed));
    }
    service.holdings.add_blob(name, expected, upload.spool.seal().await?).await?;
    Ok(created(name, &expected))
}

fn created(name: &str, digest: &ContentDigest) -> Response {
    let location = format!("/v2/{name}/blobs/{digest}");
    let headers = [(header::LOCATION, location), (CONTENT_DIGEST, digest.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

fn progress(status: StatusCode, name: &str, id: &str, received: u64) -> Response {
    let headers = [
        (header::LOCATION, location(name, id)),
        // An upload without a byte has the range 0-0 as well, for want of an empty range.
        (header::RANGE, format!("0-{}", received.saturating_sub(1))),
        (HeaderName::from_static("docker-upload-uuid"), id.to_owned()),
    ];
    (status, headers).into_response()
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}
