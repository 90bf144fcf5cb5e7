//! A registry that goes wrong as it is told: our own one, with a server in front of it that asks for credentials and breaks
//! rules as [`Behaviour`] says. Faults are data, so a table of registries is a table of values.

mod forward;
mod gate;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize, mpsc},
    thread,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, Response, StatusCode},
};
use sealift_registry::server::{self, ServerOptions};
use tokio::{net::TcpListener, sync::oneshot};

pub use self::gate::{Accepts, Gate, TokenService};

/// How a registry behaves. The default is an open one that keeps to the specification.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Who is let in.
    pub gate: Gate,
    /// Whether there is a referrers API.
    pub referrers: Referrers,
    /// The repositories there are; where it is set, no other one comes into being by a push.
    pub repositories: Option<&'static [&'static str]>,
    /// True if blobs are handed out by another host, to whoever holds a signed URL.
    pub storage_elsewhere: bool,
    /// What goes wrong, each by itself.
    pub faults: Vec<Fault>,
}

/// Whether there is a referrers API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Referrers {
    /// There is, from the beginning.
    #[default]
    Kept,
    /// There is none: 404, and nobody acknowledges a subject.
    Missing,
    /// There is one that lists nothing of what was pushed before it came: the first so many subjects.
    Late(usize),
    /// There is one that filters by `artifactType` and has wrong ones.
    WrongFilter,
}

/// Something that goes wrong with certain requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The method it strikes.
    pub method: &'static str,
    /// What the path holds.
    pub path: &'static str,
    /// So many requests are spared first.
    pub spare: usize,
    /// So many are struck then.
    pub times: usize,
    /// What happens to them.
    pub what: What,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum What {
    /// This is the answer.
    Answer {
        /// The status.
        status: u16,
        /// Its headers.
        headers: Vec<(&'static str, String)>,
        /// Its body.
        body: &'static str,
    },
    /// The answer lacks a header.
    Without(&'static str),
    /// The connection ends after so many bytes of the answer's body.
    Cut(usize),
    /// So many bytes of the upload arrive, and then a gateway says that it broke off.
    CutUpload(usize),
    /// The range asked for is ignored: the answer is all of it.
    Whole,
    /// The tokens issued so far are not taken any more.
    Expire,
    /// The request is never answered.
    Silence,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The query, as it was written.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// True if it came to the other host, where tokens and blobs may be.
    pub elsewhere: bool,
}

impl Seen {
    /// `METHOD path`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// What it presented.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").and_then(|value| value.to_str().ok())
    }
}

/// A running registry, gone when dropped.
#[derive(Debug)]
pub struct FaultyRegistry {
    host: String,
    elsewhere: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the servers share.
#[derive(Debug)]
struct Shared {
    behaviour: Behaviour,
    struck: Vec<AtomicUsize>,
    seen: Mutex<Vec<Seen>>,
    tokens: Mutex<gate::Tokens>,
    /// What the referrers API does not know, since it came later.
    hidden: Mutex<Vec<String>>,
    upstream: String,
    host: String,
    elsewhere: String,
    http: reqwest::Client,
}

impl FaultyRegistry {
    /// Starts it, on two free ports of loopback.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(behaviour: Behaviour) -> Self {
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        // A runtime of its own: tests without one use it too.
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let options = ServerOptions {
                    referrers_api: behaviour.referrers != Referrers::Missing,
                    ..ServerOptions::default()
                };
                let upstream = server::spawn(options).await.expect("the registry starts");
                let (here, there) = (listener().await, listener().await);
                let host = |listener: &TcpListener| listener.local_addr().expect("it is bound").to_string();
                let shared = Arc::new(Shared {
                    struck: behaviour.faults.iter().map(|_| AtomicUsize::new(0)).collect(),
                    behaviour,
                    seen: Mutex::default(),
                    tokens: Mutex::default(),
                    hidden: Mutex::default(),
                    upstream: upstream.addr.to_string(),
                    host: host(&here),
                    elsewhere: host(&there),
                    http: reqwest::Client::builder().no_proxy().build().expect("a client"),
                });
                ready.send(Arc::clone(&shared)).expect("the starter waits");
                let serve = |listener, elsewhere| {
                    let app = Router::new().fallback(take).with_state((Arc::clone(&shared), elsewhere));
                    axum::serve(listener, app).into_future()
                };
                let (front, back) = (serve(here, false), serve(there, true));
                tokio::select! {
                    _ = stopped => {}
                    _ = front => {}
                    _ = back => {}
                }
                drop(upstream);
            });
            runtime.shutdown_background();
        });
        let shared = started.recv().expect("the registry starts");
        let (host, elsewhere) = (shared.host.clone(), shared.elsewhere.clone());
        Self { host, elsewhere, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`, as it stands in a reference.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The other host, where tokens and blobs may be.
    #[must_use]
    pub fn elsewhere(&self) -> &str {
        &self.elsewhere
    }

    /// What it was asked so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.shared.seen).clone()
    }

    /// How many requests were `METHOD` and had `path` in their path.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method && seen.path.contains(path)).count()
    }
}

impl Drop for FaultyRegistry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(State((shared, elsewhere)): State<(Arc<Shared>, bool)>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let seen = Seen {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.clone(),
        elsewhere,
    };
    locked(&shared.seen).push(seen.clone());
    shared.answer(&seen, body).await
}

impl Shared {
    async fn answer(&self, seen: &Seen, body: Bytes) -> Response<Body> {
        if let Some(answer) = self.token(seen, &body) {
            return answer;
        }
        let what = self.fault(seen);
        match &what {
            Some(What::Answer { status, headers, body }) => {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                return reply(*status, &headers, *body);
            }
            Some(What::Expire) => locked(&self.tokens).clear(),
            Some(What::Silence) => std::future::pending().await,
            _ => {}
        }
        // Storage asks for the signature in the URL, and is shown nothing else.
        let is_storage = seen.elsewhere && seen.query == "signature=abc";
        let granted = match is_storage {
            true if seen.authorization().is_some() => return reply(400, &[], "storage is shown no credentials"),
            true => gate::Granted::everything(),
            false if seen.elsewhere => return reply(404, &[], ""),
            false => match self.judge(seen) {
                Ok(granted) => granted,
                Err(refused) => return *refused,
            },
        };
        if let Some(unknown) = self.unknown(seen) {
            return unknown;
        }
        let is_blob = seen.method == Method::GET && seen.path.contains("/blobs/sha256:");
        if self.behaviour.storage_elsewhere && is_blob && !seen.elsewhere {
            let place = format!("http://{}{}?signature=abc", self.elsewhere, seen.path);
            return reply(307, &[("location", &place)], "");
        }
        self.forward(seen, body, what, &granted).await
    }

    /// What strikes this request, if anything.
    fn fault(&self, seen: &Seen) -> Option<What> {
        let strikes = |(fault, struck): (&Fault, &AtomicUsize)| {
            if fault.method != seen.method.as_str() || !seen.path.contains(fault.path) {
                return None;
            }
            let number = struck.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            (fault.spare..fault.spare.saturating_add(fault.times)).contains(&number).then(|| fault.what.clone())
        };
        // All are counted, the first one strikes.
        let struck: Vec<_> = self.behaviour.faults.iter().zip(&self.struck).filter_map(strikes).collect();
        struck.into_iter().next()
    }

    /// The answer about a repository that nobody has made.
    fn unknown(&self, seen: &Seen) -> Option<Response<Body>> {
        let name = gate::repository(&seen.path)?;
        let known = self.behaviour.repositories?;
        (!known.contains(&name)).then(|| {
            let message = format!("The repository with name '{name}' does not exist in the registry with id '1234'");
            complain(404, "NAME_UNKNOWN", &message)
        })
    }
}

/// An answer of a status, headers and a body.
fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let start = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    let with = headers.iter().fold(start, |response, (name, value)| response.header(*name, *value));
    with.body(body.into()).expect("headers of a test")
}

/// An error as the specification has it.
fn complain(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
    reply(status, &[("content-type", "application/json")], body.to_string())
}
