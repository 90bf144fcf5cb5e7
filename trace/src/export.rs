//! Sending spans: in the background, from a bounded queue, with limits on everything. *network*
//!
//! What does not fit or cannot be sent is dropped and counted, never waited for.

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Certificate, Client, StatusCode, redirect::Policy};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{otlp, settings::Settings, span::Span};

/// Spans that wait at most; beyond, new ones are dropped.
pub const QUEUED: usize = 2048;
/// Spans of one request at most.
const AT_ONCE: usize = 256;
/// How often a request is tried again.
const RETRIES: usize = 4;

/// What became of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The collector took them.
    Sent,
    /// The collector did not, or was not there.
    Failed,
    /// Too many waited.
    Dropped,
}

impl Fate {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Sent, Self::Failed, Self::Dropped];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file with certificates cannot be read.
    #[error("the certificates in {} cannot be read", path.display())]
    Authorities {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No client can be made of these settings.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// Why a request was not taken. The address is left out: it may hold a token.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the collector was not reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the collector answered {0}")]
    Status(StatusCode),
}

impl Refused {
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(error) => !error.is_builder(),
            Self::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

enum Item {
    Span(Box<Span>),
    /// Somebody waits until everything before is sent or given up.
    Flush(oneshot::Sender<()>),
}

type Count = Arc<dyn Fn(Fate, u64) + Send + Sync>;

/// Takes spans and sends them in the background. Clones send to the same place.
#[derive(Clone)]
pub struct Exporter {
    queue: mpsc::Sender<Item>,
    count: Count,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

impl Exporter {
    /// Starts sending; `count` is told what becomes of spans. It ends when the last clone is gone.
    ///
    /// # Errors
    /// If no client can be made of the settings.
    pub fn start(settings: Settings, count: impl Fn(Fate, u64) + Send + Sync + 'static) -> Result<Self, ExportError> {
        let (queue, waiting) = mpsc::channel(QUEUED);
        let count: Count = Arc::new(count);
        let sender = Sender { client: client(&settings)?, settings, count: Arc::clone(&count) };
        tokio::spawn(sender.run(waiting));
        Ok(Self { queue, count })
    }

    /// Hands spans over; what does not fit any more is dropped. Those of traces that nobody records are left out.
    pub fn send(&self, spans: impl IntoIterator<Item = Span>) {
        let recorded = spans.into_iter().filter(|span| span.context.is_sampled());
        let dropped = recorded.filter_map(|span| self.queue.try_send(Item::Span(Box::new(span))).err()).count();
        if dropped > 0 {
            (self.count)(Fate::Dropped, dropped as u64);
        }
    }

    /// Waits until what was handed over is sent or given up, but no longer than this. False if time was up.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (done, waiting) = oneshot::channel();
        let all = async { self.queue.send(Item::Flush(done)).await.is_ok() && waiting.await.is_ok() };
        timeout(limit, all).await.unwrap_or_default()
    }
}

fn client(settings: &Settings) -> Result<Client, ExportError> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .timeout(settings.timeout)
        .connect_timeout(settings.timeout)
        .default_headers(settings.headers.clone())
        .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &settings.authorities {
        let unreadable = |source| ExportError::Authorities { path: path.clone(), source };
        let bundle = std::fs::read(path).map_err(unreadable)?;
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&bundle).map_err(ExportError::Client)?);
    }
    builder.build().map_err(ExportError::Client)
}

struct Sender {
    client: Client,
    settings: Settings,
    count: Count,
}

impl Sender {
    async fn run(self, mut waiting: mpsc::Receiver<Item>) {
        let (mut items, mut is_reached) = (Vec::new(), true);
        while waiting.recv_many(&mut items, AT_ONCE).await > 0 {
            let (mut spans, mut flushed) = (Vec::new(), Vec::new());
            for item in items.drain(..) {
                match item {
                    Item::Span(span) => spans.push(*span),
                    Item::Flush(done) => flushed.push(done),
                }
            }
            if !spans.is_empty() {
                // While it is away one attempt is enough: the queue moves on, and what comes next will see.
                is_reached = self.send(&spans, if is_reached { RETRIES } else { 0 }).await;
            }
            // Whoever stopped waiting is not there any more.
            for done in flushed {
                let _ = done.send(());
            }
        }
    }

    /// True if they were taken.
    async fn send(&self, spans: &[Span], retries: usize) -> bool {
        let body = otlp::request(&self.settings.resource, spans);
        let attempt = || async {
            let answer = self.client.post(self.settings.endpoint.clone()).json(&body).send().await;
            let status = answer.map_err(|error| Refused::Unreachable(error.without_url()))?.status();
            if status.is_success() { Ok(()) } else { Err(Refused::Status(status)) }
        };
        let pauses = ExponentialBuilder::default().with_jitter().with_max_times(retries);
        let pauses = pauses.with_min_delay(Duration::from_millis(200)).with_max_delay(Duration::from_secs(5));
        let sent = attempt.retry(pauses).when(Refused::is_transient).await;
        (self.count)(if sent.is_ok() { Fate::Sent } else { Fate::Failed }, spans.len() as u64);
        sent.is_ok()
    }
}

#[cfg(test)]
mod tests;
