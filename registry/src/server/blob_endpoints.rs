//! `/v2/<name>/blobs/<digest>`.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::{
    content_digest::ContentDigest,
    error::RegistryError,
    range::{Part, part},
    service::{Answer, CONTENT_DIGEST, Call, Service},
};

pub(super) async fn get(service: &Service, call: &Call, name: &str, digest: &ContentDigest) -> Answer {
    let unknown = || RegistryError::BlobUnknown(*digest);
    if !service.holdings.catalogue().await.has_blob(name, digest) {
        return Err(unknown());
    }
    let size = service.holdings.blobs.size(digest).await?.ok_or_else(unknown)?;
    let (status, start, length) = match part(call.header(header::RANGE), size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Bytes { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        Part::Unsatisfiable => return Err(RegistryError::RangeNotSatisfiable { size }),
    };
    let body = match call.method.as_str() {
        "HEAD" => Body::empty(),
        _ => service.holdings.blobs.read(digest, start, length).await?,
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, format!("\"{digest}\"")),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    if status == StatusCode::OK {
        return Ok((headers, body).into_response());
    }
    let range = [(header::CONTENT_RANGE, format!("bytes {start}-{}/{size}", start + length - 1))];
    Ok((status, headers, range, body).into_response())
}

pub(super) async fn delete(service: &Service, name: &str, digest: ContentDigest) -> Answer {
    if !service.holdings.remove_blob(name, digest).await? {
        return Err(RegistryError::BlobUnknown(digest));
    }
    Ok(StatusCode::ACCEPTED.into_response())
}
