//! `/healthz`, `/readyz` and `/metrics`.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Whether the caches are filled and work is taken.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Takes what can only be counted when somebody asks, before the metrics are written.
pub type BeforeScrape = Arc<dyn Fn(&Metrics) + Send + Sync>;

#[derive(Clone)]
struct Served {
    metrics: Metrics,
    readiness: Readiness,
    before: BeforeScrape,
}

/// Binds the address.
///
/// # Errors
/// If it is taken or not this machine's.
pub async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Serves until the future is dropped.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    readiness: Readiness,
    before: BeforeScrape,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Served { metrics, readiness, before });
    axum::serve(listener, routes).await
}

async fn ready(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.readiness.get() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "starting\n") }
}

async fn scrape(State(served): State<Served>) -> axum::response::Response {
    (served.before)(&served.metrics);
    match served.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
