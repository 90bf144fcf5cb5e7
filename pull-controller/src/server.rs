//! `/healthz`, `/readyz` and `/metrics`.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::{metrics::Metrics, vitals::Vitals};

/// Takes what can only be counted when somebody asks, before the metrics are written.
pub type BeforeScrape = Arc<dyn Fn(&Metrics) + Send + Sync>;

#[derive(Clone)]
struct Served {
    metrics: Metrics,
    vitals: Vitals,
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
pub async fn serve(listener: TcpListener, metrics: Metrics, vitals: Vitals, before: BeforeScrape) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Served { metrics, vitals, before });
    axum::serve(listener, routes).await
}

/// Fails only where nothing but a restart of the process helps.
async fn alive(State(served): State<Served>) -> (StatusCode, String) {
    match served.vitals.dead() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(name) => (StatusCode::SERVICE_UNAVAILABLE, format!("{name}: no sign of life\n")),
    }
}

async fn ready(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.vitals.is_ready() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

async fn scrape(State(served): State<Served>) -> axum::response::Response {
    (served.before)(&served.metrics);
    match served.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
