//! Why a request is refused, with the status and the code that the distribution specification gives each reason.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::content_digest::ContentDigest;

/// A request that was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    #[error("no such endpoint")]
    NoRoute,
    #[error("the endpoint does not take this method")]
    MethodNotAllowed,
    #[error("the registry is read-only")]
    ReadOnly,
    #[error("credentials are missing or wrong")]
    Unauthorized,
    #[error("{0:?} is not a repository name")]
    NameInvalid(String),
    #[error("there is no repository {0:?}")]
    NameUnknown(String),
    #[error("{0:?} is not a tag")]
    TagInvalid(String),
    #[error("{0:?} is not a sha256 or sha512 digest")]
    DigestInvalid(String),
    #[error("the content has digest {computed}, not {expected}")]
    DigestMismatch { expected: String, computed: String },
    #[error("the repository has no blob {0}")]
    BlobUnknown(ContentDigest),
    #[error("the repository has no manifest {0}")]
    ManifestUnknown(String),
    #[error("the manifest is invalid: {0}")]
    ManifestInvalid(&'static str),
    #[error("there is no such upload")]
    UploadUnknown,
    #[error("the upload is invalid: {0}")]
    UploadInvalid(&'static str),
    #[error("the chunk does not start where the upload at {location} ends")]
    ChunkOutOfOrder { location: String, received: u64 },
    #[error("the range lies outside the {size} bytes of the blob")]
    RangeNotSatisfiable { size: u64 },
    #[error("{0:?} is not a page size")]
    PageInvalid(String),
    #[error("the content is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the registry has no space left")]
    Full,
    #[error("too many uploads are open")]
    TooManyUploads,
    #[error("the request body did not arrive in time")]
    Stalled,
    #[error("the request body broke off")]
    Body(#[source] axum::Error),
    #[error("the registry cannot read or write its store")]
    Store(#[from] std::io::Error),
}

impl RegistryError {
    /// Content came under a digest that is not its own.
    pub(super) fn mismatch(expected: &ContentDigest, computed: &ContentDigest) -> Self {
        Self::DigestMismatch { expected: expected.to_string(), computed: computed.to_string() }
    }

    /// Status and error code, section "Error Codes" of the specification. Codes it does not list (`TAG_INVALID`,
    /// `PAGINATION_NUMBER_INVALID`, `RANGE_INVALID`) are those of the reference implementation.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::MethodNotAllowed | Self::ReadOnly => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::NameInvalid(_) => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            Self::NameUnknown(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            Self::TagInvalid(_) => (StatusCode::BAD_REQUEST, "TAG_INVALID"),
            Self::DigestInvalid(_) | Self::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            Self::BlobUnknown(_) => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            Self::ManifestUnknown(_) => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            Self::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            Self::UploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            Self::UploadInvalid(_) | Self::Body(_) => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            Self::ChunkOutOfOrder { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
            Self::RangeNotSatisfiable { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
            Self::PageInvalid(_) => (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            Self::Full => (StatusCode::INSUFFICIENT_STORAGE, "DENIED"),
            Self::TooManyUploads => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            Self::Stalled => (StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID"),
            Self::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Unauthorized => {
                add(header::WWW_AUTHENTICATE, "Basic realm=\"sealift\", charset=\"UTF-8\"".to_owned())
            }
            Self::ChunkOutOfOrder { location, received } => {
                add(header::LOCATION, location.clone());
                add(header::RANGE, format!("0-{}", received.saturating_sub(1)));
            }
            Self::RangeNotSatisfiable { size } => add(header::CONTENT_RANGE, format!("bytes */{size}")),
            Self::TooManyUploads => add(header::RETRY_AFTER, "1".to_owned()),
            _ => {}
        }
        headers
    }
}

impl IntoResponse for RegistryError {
    /// The answer a client sees: what was wrong with the request, never a path or a cause inside the store.
    fn into_response(self) -> Response {
        if let Self::Store(cause) = &self {
            tracing::error!(%cause, "{self}");
        }
        let (status, code) = self.status_and_code();
        let body = json!({"errors": [{"code": code, "message": self.to_string()}]});
        (status, self.headers(), Json(body)).into_response()
    }
}
