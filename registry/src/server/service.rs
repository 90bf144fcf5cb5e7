//! The one entry of every request: who asks, what for, and who answers.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    Credentials, ServerOptions, blob_endpoints, counters::Counters, error::RegistryError, holdings::Holdings,
    list_endpoints, manifest_endpoints, route::Route, upload_endpoints, uploads::Uploads,
};

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What an endpoint returns.
pub(super) type Answer = Result<Response, RegistryError>;

/// The registry behind the listener.
pub(super) struct Service {
    pub(super) options: ServerOptions,
    pub(super) holdings: Arc<Holdings>,
    pub(super) uploads: Uploads,
    pub(super) counters: Arc<Counters>,
}

/// What an endpoint may read of a request beside its path and its body.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    query: Vec<(String, String)>,
}

impl Service {
    pub(super) async fn open(options: ServerOptions) -> std::io::Result<Self> {
        let read_only = options.read_only || matches!(options.store, super::Store::ReadAs { .. });
        let options = ServerOptions { read_only, ..options };
        let holdings = Holdings::open(options.store.clone(), options.read_only, options.memory_limit).await?;
        let uploads = Uploads::new(options.open_uploads, options.idle_timeout);
        Ok(Self { options, holdings: Arc::new(holdings), uploads, counters: Arc::default() })
    }

    async fn answer(&self, route: Route, call: Call, body: Body) -> Answer {
        self.options.credentials.as_ref().map_or(Ok(()), |expected| authorise(expected, &call.headers))?;
        if self.options.read_only && !call.only_reads() {
            return Err(RegistryError::ReadOnly);
        }
        match (call.method.as_str(), route) {
            ("GET" | "HEAD", Route::Base) => Ok(Json(json!({})).into_response()),
            ("GET" | "HEAD", Route::Blob { name, digest }) => blob_endpoints::get(self, &call, &name, &digest).await,
            ("DELETE", Route::Blob { name, digest }) => blob_endpoints::delete(self, &name, digest).await,
            ("POST", Route::Uploads { name }) => upload_endpoints::post(self, &call, body, &name).await,
            ("GET" | "HEAD", Route::Upload { name, id }) => upload_endpoints::get(self, &name, &id).await,
            ("PATCH", Route::Upload { name, id }) => upload_endpoints::patch(self, &call, body, (&name, &id)).await,
            ("PUT", Route::Upload { name, id }) => upload_endpoints::put(self, &call, body, (&name, &id)).await,
            ("DELETE", Route::Upload { name, id }) => upload_endpoints::delete(self, &name, &id),
            ("GET" | "HEAD", Route::Manifest { name, reference }) => {
                manifest_endpoints::get(self, &call, &name, &reference).await
            }
            ("PUT", Route::Manifest { name, reference }) => {
                manifest_endpoints::put(self, &call, body, &name, reference).await
            }
            ("DELETE", Route::Manifest { name, reference }) => manifest_endpoints::delete(self, &name, reference).await,
            ("GET" | "HEAD", Route::Tags { name }) => list_endpoints::tags(self, &call, &name).await,
            ("GET" | "HEAD", Route::Referrers { .. }) if !self.options.referrers_api => Err(RegistryError::NoRoute),
            ("GET" | "HEAD", Route::Referrers { name, subject }) => {
                list_endpoints::referrers(self, &call, &name, &subject).await
            }
            _ => Err(RegistryError::MethodNotAllowed),
        }
    }
}

impl Call {
    pub(super) fn only_reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// The first query parameter called `key`.
    pub(super) fn parameter(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Every query parameter called `key`.
    pub(super) fn parameters(&self, key: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Answers one request.
pub(super) async fn handle(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    service.counters.add(&parts.method, route.as_ref().map_or("other", Route::kind));
    let query = Query::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default();
    let call = Call { method: parts.method, headers: parts.headers, query };
    let answer = match route {
        Ok(route) => service.answer(route, call, body).await,
        Err(error) => Err(error),
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    let version = HeaderName::from_static("docker-distribution-api-version");
    response.headers_mut().insert(version, HeaderValue::from_static("registry/2.0"));
    response
}

/// Checks HTTP Basic credentials in constant time.
fn authorise(expected: &Credentials, headers: &HeaderMap) -> Result<(), RegistryError> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok())
        .ok_or(RegistryError::Unauthorized)?;
    let wanted = format!("{}:{}", expected.user, expected.password.expose_secret());
    aws_lc_rs::constant_time::verify_slices_are_equal(&given, wanted.as_bytes())
        .map_err(|_| RegistryError::Unauthorized)
}
