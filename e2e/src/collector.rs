//! A collector of traces: a real HTTP server that reads OTLP in JSON as strictly as the protocol says, and keeps the spans.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post, serve::Listener};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::tls;

/// A running collector, gone when dropped.
#[derive(Debug)]
pub struct Collector {
    scheme: &'static str,
    port: u16,
    spans: Spans,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// A span as it was sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Span {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The span it is a part of; empty where it is none.
    #[serde(default)]
    pub parent_span_id: String,
    /// Its name.
    pub name: String,
    /// Of the enumeration.
    pub kind: u8,
    /// Of the trace.
    pub flags: u32,
    /// Nanoseconds since 1970, as a text.
    pub start_time_unix_nano: String,
    /// The same.
    pub end_time_unix_nano: String,
    /// Names and values.
    pub attributes: Vec<Value>,
    /// Spans it goes back to.
    #[serde(default)]
    pub links: Vec<Value>,
    /// Whether it failed.
    #[serde(default)]
    pub status: Option<Value>,
    /// Who sent it: the resource's `service.name`.
    #[serde(skip)]
    pub service: String,
}

impl Span {
    /// The value of an attribute; empty if it has none of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> String {
        attribute(&self.attributes, name)
    }

    fn is_written_right(&self) -> bool {
        let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (began, ended) = (self.start_time_unix_nano.parse::<u64>(), self.end_time_unix_nano.parse::<u64>());
        hex(&self.trace_id, 32)
            && hex(&self.span_id, 16)
            && (self.parent_span_id.is_empty() || hex(&self.parent_span_id, 16))
            && matches!((began, ended), (Ok(began), Ok(ended)) if began <= ended)
    }
}

fn attribute(attributes: &[Value], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute["key"] == name).map(|attribute| &attribute["value"]);
    let text = found.and_then(|value| value["stringValue"].as_str().or_else(|| value["intValue"].as_str()));
    text.unwrap_or_default().to_owned()
}

impl Collector {
    /// One that listens on loopback, on a thread of its own: tests wait for programs that wait for it.
    ///
    /// # Panics
    /// Where no port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::listen("http", |listener| listener)
    }

    /// The same over TLS, and the authority of its certificate as PEM.
    ///
    /// # Panics
    /// Where no port is free, or no certificate can be made.
    #[must_use]
    pub fn start_over_tls() -> (Self, String) {
        let (config, authority) = tls::on_loopback();
        (Self::listen("https", |listener| OverTls { listener, acceptor: TlsAcceptor::from(config) }), authority)
    }

    fn listen<L: Listener<Addr = SocketAddr>>(
        scheme: &'static str,
        of: impl FnOnce(TcpListener) -> L + Send + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be made to wait for nobody");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let spans = Spans::default();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let listener = TcpListener::from_std(listener).expect("a runtime takes a socket");
            tokio::select! {
                _ = axum::serve(of(listener), routes) => {}
                _ = stopped => {}
            }
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let serving = thread::spawn(move || runtime.block_on(serve));
        Self { scheme, port, spans, stop: Some(stop), serving: Some(serving) }
    }

    /// Its address, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// What it was sent so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whoever does not trust the certificate is passed over.
struct OverTls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for OverTls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

async fn take(State(spans): State<Spans>, Json(body): Json<Value>) -> StatusCode {
    let Some(taken) = read(&body) else { return StatusCode::BAD_REQUEST };
    spans.lock().unwrap_or_else(PoisonError::into_inner).extend(taken);
    StatusCode::OK
}

/// All spans of a request, if each is as it should be.
fn read(body: &Value) -> Option<Vec<Span>> {
    let mut all = Vec::new();
    for resource in body["resourceSpans"].as_array()? {
        let service = attribute(resource["resource"]["attributes"].as_array()?, "service.name");
        for scope in resource["scopeSpans"].as_array()? {
            for span in scope["spans"].as_array()? {
                let span: Span = serde_json::from_value(span.clone()).ok()?;
                all.push(Some(Span { service: service.clone(), ..span }).filter(Span::is_written_right)?);
            }
        }
    }
    Some(all)
}
