//! `/v2/<name>/manifests/<reference>`.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::IntoResponse,
};

use super::{
    MANIFEST_LIMIT,
    content_digest::{Algorithm, ContentDigest},
    error::RegistryError,
    manifest::Manifest,
    route::{Reference, is_tag},
    service::{Answer, CONTENT_DIGEST, Call, Service},
    uploads::Pieces,
};

pub(super) async fn get(service: &Service, call: &Call, name: &str, reference: &Reference) -> Answer {
    let unknown = || RegistryError::ManifestUnknown(reference.to_string());
    let found = service.holdings.catalogue().await.get(name).and_then(|repository| repository.resolve(reference));
    let (digest, manifest) = found.ok_or_else(unknown)?;
    let bytes = service.holdings.blobs.bytes(&digest).await?.ok_or_else(unknown)?;
    let headers = [
        (header::CONTENT_TYPE, manifest.media_type.clone()),
        (header::CONTENT_LENGTH, bytes.len().to_string()),
        (header::ETAG, format!("\"{digest}\"")),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    let body = if call.method == "HEAD" { Body::empty() } else { Body::from(bytes) };
    Ok((headers, body).into_response())
}

/// Takes a manifest under a tag, or under its digest with any number of `?tag=`.
pub(super) async fn put(service: &Service, call: &Call, body: Body, name: &str, reference: Reference) -> Answer {
    let extra: Vec<String> = call.parameters("tag").map(str::to_owned).collect();
    if let Some(wrong) = extra.iter().find(|tag| !is_tag(tag)) {
        return Err(RegistryError::TagInvalid(wrong.clone()));
    }
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or_default().to_owned();
    let limits = (MANIFEST_LIMIT, MANIFEST_LIMIT);
    let bytes = Pieces::new(body, &call.headers, service.options.idle_timeout, limits)?.collect().await?;
    let (digest, tags) = match reference {
        Reference::Digest(expected) => (checked(expected, &bytes)?, extra.clone()),
        Reference::Tag(tag) => (ContentDigest::of(Algorithm::Sha256, &bytes), vec![tag]),
    };
    let manifest = Manifest::read(&content_type, &bytes)?;
    let subject = manifest.subject.filter(|_| service.options.referrers_api);
    let mut spool = service.holdings.blobs.begin().await?;
    spool.write(&bytes).await?;
    service.holdings.add_manifest(name, (digest, spool.seal().await?), manifest, tags).await?;

    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(name, value);
        }
    };
    add(header::LOCATION, format!("/v2/{name}/manifests/{digest}"));
    add(CONTENT_DIGEST, digest.to_string());
    subject.into_iter().for_each(|subject| add(HeaderName::from_static("oci-subject"), subject.to_string()));
    extra.into_iter().for_each(|tag| add(HeaderName::from_static("oci-tag"), tag));
    Ok((StatusCode::CREATED, headers).into_response())
}

/// By digest the manifest goes, with every tag that names it; by tag only the tag.
pub(super) async fn delete(service: &Service, name: &str, reference: Reference) -> Answer {
    let removed = match &reference {
        Reference::Digest(digest) => service.holdings.remove_manifest(name, *digest).await?,
        Reference::Tag(tag) => service.holdings.remove_tag(name, tag).await?,
    };
    if !removed {
        return Err(RegistryError::ManifestUnknown(reference.to_string()));
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

fn checked(expected: ContentDigest, bytes: &[u8]) -> Result<ContentDigest, RegistryError> {
    let computed = ContentDigest::of(expected.algorithm(), bytes);
    if computed == expected { Ok(expected) } else { Err(RegistryError::mismatch(&expected, &computed)) }
}
