//! Against an API server that answers when it is told to.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, post},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::vitals::AbortOnDrop;

/// The Leases that there are, and an API server that keeps them.
#[derive(Default)]
struct Server {
    leases: Mutex<BTreeSet<String>>,
    asked: Notify,
    /// So many deletions fail.
    failures: Mutex<usize>,
}

/// Answers a creation once there is a permit for it.
fn client(server: &Arc<Server>, gate: &Arc<Semaphore>) -> Client {
    async fn make(
        State((server, gate)): State<(Arc<Server>, Arc<Semaphore>)>,
        Json(lease): Json<Value>,
    ) -> Json<Value> {
        server.asked.notify_one();
        gate.acquire().await.unwrap().forget();
        let name = lease["metadata"]["name"].as_str().unwrap().to_owned();
        lock(&server.leases).insert(name.clone());
        Json(json!({"metadata": {"name": name, "uid": "u"}}))
    }
    async fn end(
        State((server, _)): State<(Arc<Server>, Arc<Semaphore>)>,
        Path(name): Path<String>,
    ) -> (StatusCode, Json<Value>) {
        let status = |code: StatusCode, reason: &str| {
            (code, Json(json!({"kind": "Status", "code": code.as_u16(), "reason": reason, "message": reason})))
        };
        let left = lock(&server.failures).checked_sub(1);
        if let Some(left) = left {
            *lock(&server.failures) = left;
            return status(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
        }
        match lock(&server.leases).remove(&name) {
            true => status(StatusCode::OK, "Deleted"),
            false => status(StatusCode::NOT_FOUND, "NotFound"),
        }
    }
    let path = "/apis/coordination.k8s.io/v1/namespaces/home/leases";
    let router = Router::new().route(path, post(make)).route(&format!("{path}/{{name}}"), delete(end));
    Client::new(router.with_state((Arc::clone(server), Arc::clone(gate))), "home")
}

fn shards(client: Client) -> Shards {
    let (namespace, group, id) = ("home".to_owned(), "g".to_owned(), "a".to_owned());
    let sharing = Sharing { namespace, group, id, is_unique: true, lease: Duration::from_secs(15) };
    Shards::shared(client, sharing, Metrics::new())
}

#[tokio::test]
async fn a_lease_that_is_being_made_as_the_process_ends_is_not_left_behind() {
    let (server, gate) = (Arc::new(Server::default()), Arc::new(Semaphore::new(0)));
    let shards = shards(client(&server, &gate));
    let _renewing = AbortOnDrop(tokio::spawn(shards.clone().renew(Vitals::default())));
    server.asked.notified().await;
    let ending = tokio::spawn({
        let shards = shards.clone();
        async move {
            shards.leave();
            shards.release().await;
        }
    });
    while !lock(&shards.0.shared.as_ref().unwrap().own).is_returned() {
        tokio::task::yield_now().await;
    }
    gate.add_permits(10);
    ending.await.unwrap();
    assert_eq!(*lock(&server.leases), BTreeSet::new());
    assert!(!shards.permit().lasts());
    // Whoever is woken to renew it makes none.
    shards.0.shared.as_ref().unwrap().renew.notify_one();
    assert!(timeout(Duration::from_millis(100), server.asked.notified()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_is_tried_again() {
    let (server, gate) = (Arc::new(Server::default()), Arc::new(Semaphore::new(10)));
    let shards = shards(client(&server, &gate));
    let _renewing = AbortOnDrop(tokio::spawn(shards.clone().renew(Vitals::default())));
    while lock(&server.leases).is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    *lock(&server.failures) = 3;
    shards.release().await;
    assert_eq!((lock(&server.leases).len(), *lock(&server.failures)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_end_does_not_wait_for_an_api_server_that_gives_no_answer() {
    let (server, gate) = (Arc::new(Server::default()), Arc::new(Semaphore::new(0)));
    let shards = shards(client(&server, &gate));
    let _renewing = AbortOnDrop(tokio::spawn(shards.clone().renew(Vitals::default())));
    server.asked.notified().await;
    let began = Instant::now();
    shards.release().await;
    assert!(began.elapsed() <= RELEASE + Duration::from_millis(10), "{:?}", began.elapsed());
}
