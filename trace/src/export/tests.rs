//! Against a real HTTP server that reads what it is sent, answers as it is told, or does not answer.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, Once,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use serde_json::Value;

use super::*;
use crate::{context::TraceParent, span::Kind};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Collector {
    /// What it answers.
    status: AtomicU16,
    requests: AtomicUsize,
    spans: Mutex<Vec<Value>>,
}

async fn take(State(collector): State<Arc<Collector>>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
    assert_eq!(headers["x-tenant"], "acme");
    collector.requests.fetch_add(1, Ordering::SeqCst);
    let status = StatusCode::from_u16(collector.status.load(Ordering::SeqCst)).unwrap();
    if status.is_success() {
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
        assert!(spans.len() <= AT_ONCE);
        collector.spans.lock().unwrap().extend(spans);
    }
    status
}

/// A collector that answers with this status, and an exporter that sends to it and counts.
async fn started(status: u16) -> (Arc<Collector>, Exporter, Arc<Mutex<BTreeMap<&'static str, u64>>>) {
    let collector = Arc::new(Collector { status: status.into(), ..Collector::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&collector));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let (exporter, counted) = exporter(port);
    (collector, exporter, counted)
}

fn exporter(port: u16) -> (Exporter, Arc<Mutex<BTreeMap<&'static str, u64>>>) {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
    let set = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(format!("http://127.0.0.1:{port}")),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("x-tenant=acme".to_owned()),
        "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("2000".to_owned()),
        _ => None,
    };
    let counted = Arc::new(Mutex::new(BTreeMap::new()));
    let counter = Arc::clone(&counted);
    let count = move |fate: Fate, spans| *counter.lock().unwrap().entry(fate.as_str()).or_default() += spans;
    (Exporter::start(Settings::of("test", set).unwrap().unwrap(), count).unwrap(), counted)
}

fn span(context: TraceParent) -> Span {
    let now = SystemTime::now();
    let (parent, link) = (None, None);
    Span {
        name: "a",
        context,
        parent,
        link,
        kind: Kind::Internal,
        began: now,
        ended: now,
        attributes: vec![],
        error: None,
    }
}

fn told(counted: &Mutex<BTreeMap<&'static str, u64>>) -> Vec<(&'static str, u64)> {
    counted.lock().unwrap().iter().map(|(fate, spans)| (*fate, *spans)).collect()
}

#[tokio::test]
async fn spans_arrive_whole_in_requests_of_bounded_size_and_unrecorded_ones_do_not() {
    let (collector, exporter, counted) = started(200).await;
    exporter.send((0..1000).map(|_| span(TraceParent::root())));
    let unrecorded: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00".parse().unwrap();
    exporter.send([span(unrecorded)]);
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!(collector.spans.lock().unwrap().len(), 1000);
    assert_eq!(told(&counted), [("sent", 1000)]);
}

#[tokio::test]
async fn an_outage_is_waited_out_for_a_while() {
    let (collector, exporter, counted) = started(503).await;
    exporter.send([span(TraceParent::root())]);
    while collector.requests.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    collector.status.store(200, Ordering::SeqCst);
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!(told(&counted), [("sent", 1)]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_sent_again() {
    let (collector, exporter, counted) = started(400).await;
    exporter.send([span(TraceParent::root())]);
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!((collector.requests.load(Ordering::SeqCst), told(&counted)), (1, vec![("failed", 1)]));
}

#[tokio::test]
async fn without_a_collector_memory_is_bounded_and_what_is_lost_is_counted() {
    // Somebody listens, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (exporter, counted) = exporter(silent.local_addr().unwrap().port());
    exporter.send((0..5 * QUEUED).map(|_| span(TraceParent::root())));
    assert!(!exporter.flush(Duration::from_millis(50)).await, "nobody waits longer than they want to");
    let lost: u64 = told(&counted).iter().filter(|(fate, _)| *fate == "dropped").map(|(_, spans)| *spans).sum();
    let most = 5 * QUEUED as u64;
    assert!(lost >= most - (QUEUED + AT_ONCE) as u64 && lost < most, "{lost} of {most}");
    drop(silent);
    // And nobody at all: given up soon, all of it told.
    let everything = async {
        while told(&counted).iter().map(|(_, spans)| spans).sum::<u64>() < most {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(2 * PATIENCE, everything).await.unwrap();
    assert!(told(&counted).iter().all(|(fate, _)| *fate != "sent"));
}
