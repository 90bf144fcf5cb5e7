//! A registry of a few lines whose every answer a test chooses.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, Response, StatusCode},
};
use sealift_registry::client::{Client, ClientConfig, Credentials, PlainHttp, Timeouts};
use sealift_verify::reference::Repository;
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(|value| value.to_str().unwrap())
    }

    /// `METHOD path`, to match on.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

type Answer = Arc<dyn Fn(&Seen) -> Response<Body> + Send + Sync>;

/// A server that answers by a function and remembers what it was asked.
pub(crate) struct Fake {
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let state = (Arc::clone(&seen), Arc::new(answer) as Answer);
        let app = Router::new().fallback(take).with_state(state);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { host, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    pub(crate) fn repository(&self) -> Repository {
        format!("{}/app", self.host).parse().unwrap()
    }

    /// A client as the controller would have it, with this server named in its configuration and no other.
    pub(crate) fn client(&self, credentials: Credentials) -> Client {
        Client::new(&self.host, ClientConfig { credentials, ..self.config() }).unwrap()
    }

    /// One that waits so long for each byte that a busy machine is not taken for a stalled registry.
    pub(crate) fn patient_client(&self) -> Client {
        let config = self.config();
        let timeouts = Timeouts { idle: config.timeouts.request, ..config.timeouts };
        Client::new(&self.host, ClientConfig { timeouts, ..config }).unwrap()
    }

    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig {
            plain_http: PlainHttp::Hosts(vec![self.host.clone()]),
            timeouts: Timeouts {
                idle: Duration::from_millis(300),
                request: Duration::from_secs(5),
                transfer: Duration::from_secs(5),
                retry: Duration::from_secs(5),
                ..Timeouts::default()
            },
            ..ClientConfig::in_cluster()
        }
    }
}

type Shared = (Arc<Mutex<Vec<Seen>>>, Answer);

async fn take(State((seen, answer)): State<Shared>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let one = Seen {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    seen.lock().unwrap().push(one.clone());
    answer(&one)
}

/// An answer of a status, headers and a body.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let start = Response::builder().status(StatusCode::from_u16(status).unwrap());
    headers.iter().fold(start, |response, (name, value)| response.header(*name, *value)).body(body.into()).unwrap()
}

/// An error as the specification has it.
pub(crate) fn complain(status: u16, code: &str) -> Response<Body> {
    reply(status, &[], format!(r#"{{"errors":[{{"code":"{code}","message":"because"}}]}}"#))
}
