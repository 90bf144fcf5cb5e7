//! The port: connections that are bounded in number, time and size. *services*

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Desk, LOOP, auth::Asking};
use crate::{
    controller::Context,
    vitals::{BEAT, Vitals},
};

/// Connections at the same time; others wait in the system's own queue.
const CONNECTIONS: usize = 64;
/// A connection is one or more requests, and over after so long whatever they are.
const CONNECTION: Duration = Duration::from_secs(20);
/// No body is larger.
const LARGEST: usize = 256 << 10;
/// A pause after the system gave no connection: it may be out of handles.
const AGAIN: Duration = Duration::from_millis(200);

type Here = State<(Arc<Context>, Arc<Desk>)>;

/// Listens for ever.
pub(crate) async fn serve(context: Arc<Context>, desk: Arc<Desk>, listener: Arc<TcpListener>, vitals: Vitals) {
    let app = Router::new()
        .route("/hook/{id}", post(hear))
        .route("/hook/{id}/{last}", post(hear_last))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state((context, desk));
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        vitals.beat(LOOP);
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            (slot, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let app = app.clone();
                    connections.spawn(async move {
                        let _slot = slot;
                        let _ = timeout(CONNECTION, converse(stream, app)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no connection was taken");
                    sleep(AGAIN).await;
                }
            },
            _ = connections.join_next(), if !connections.is_empty() => {}
            () = sleep(BEAT) => {}
        }
    }
}

async fn converse(stream: TcpStream, app: Router) {
    let from: Option<SocketAddr> = stream.peer_addr().ok();
    let service = TowerToHyperService::new(app);
    let served = Builder::new(TokioExecutor::new()).http1_only().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(?from, error, "a connection ended early");
    }
}

async fn hear(State((context, desk)): Here, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> StatusCode {
    desk.hear(&context, &id, Asking { headers: &headers, last: None, body: &body }).await
}

async fn hear_last(
    State((context, desk)): Here,
    Path((id, last)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    desk.hear(&context, &id, Asking { headers: &headers, last: Some(&last), body: &body }).await
}
