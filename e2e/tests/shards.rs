//! Several controllers on one cluster: each Delivery is looked after by one of them, and by another once that one is gone.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Resource as _, core::ApiResource};
use sealift_apply::{
    cluster::{Cluster, Resource, Write},
    permit::Permit,
};
use sealift_e2e::{ControlPlane, Request, World};
use sealift_verify::objects::ObjectId;
use serde_json::{Value, json};

/// Short enough to wait for, long enough for a busy machine.
const LEASE: u64 = 10;
const DELIVERIES: usize = 12;

/// By whom each ConfigMap of the test was written.
fn writers(requests: &[Request], namespace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let writes = requests.iter().filter(|request| request.resource == "configmaps" && request.namespace == namespace);
    let mut writers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in writes.filter(|request| request.is_write() && request.user_agent.contains("(replica ")) {
        writers.entry(request.name.clone()).or_default().insert(request.user_agent.clone());
    }
    writers
}

#[tokio::test]
async fn replicas_share_deliveries_and_take_over_from_one_that_is_killed_or_asked_to_stop() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "shards", async |world| {
        let one = world.start_replica("one", LEASE, &["--min-interval=1s"]).await;
        let two = world.start_replica("two", LEASE, &["--min-interval=1s"]).await;
        world.shared_by(&[&one, &two]).await;
        let mark = control_plane.audit().mark();
        let copies = world.copies(DELIVERIES);
        let digest = copies.release("1");
        copies.declare("2s").await;
        copies.delivered(digest).await;
        let writers = writers(&control_plane.audit().since(mark), &world.namespace);
        assert_eq!(writers.len(), DELIVERIES, "{writers:?}");
        assert!(writers.values().all(|of| of.len() == 1), "each is written by one: {writers:?}");
        let all: BTreeSet<&String> = writers.values().flatten().collect();
        assert_eq!(all.len(), 2, "both take part: {writers:?}");

        // One is gone without a word: what it looked after goes on elsewhere.
        one.kill();
        let killed = Instant::now();
        let digest = copies.release("2");
        copies.delivered(digest).await;
        println!("applied everywhere {:.1?} after the kill, with Leases of {LEASE} s", killed.elapsed());
        world.shared_by(&[&two]).await;

        // Another takes part, and the first leaves: nobody waits for a Lease to run out.
        let three = world.start_replica("three", LEASE, &["--min-interval=1s"]).await;
        world.shared_by(&[&two, &three]).await;
        two.stop();
        let stopped = Instant::now();
        world.shared_by(&[&three]).await;
        let lost = three.log().contains("it has not renewed its Lease");
        assert!(!lost, "it was told, and did not find out:\n{}", three.log());
        let digest = copies.release("3");
        copies.delivered(digest).await;
        println!("applied everywhere {:.1?} after the stop", stopped.elapsed());
        assert_eq!(copies.values().await, vec!["3"; DELIVERIES]);
    })
    .await;
}

/// A release that takes a while: every piece of it is asked of a webhook.
fn pieces(world: &World<'_>, value: &str) -> PathBuf {
    let map = |index| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("piece-{index:03}")}, "data": {"value": value}});
    let items: Vec<Value> = (0..150).map(map).collect();
    world.cli.write("pieces.json", json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

#[tokio::test]
async fn a_replica_that_is_paused_and_wakes_after_a_takeover_writes_nothing() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "fenced", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let of = (world.namespace.as_str(), "pieces");
        let digest = world.push("acme/pieces:prod", &[&pieces(world, "1")], &[]);
        let slow = world.write_slowly(Duration::from_secs(1)).await;
        let mut one = world.start_replica("one", LEASE, &[]).await;
        world.shared_by(&[&one]).await;
        let mark = control_plane.audit().mark();
        let mut spec = world.following("acme/pieces", "prod", account);
        spec["validation"] = json!("none");
        world.deliver(of.0, of.1, spec).await;
        // Paused while it writes, with much of it ahead.
        world
            .until("an apply to begin", async || {
                let requests = control_plane.audit().since(mark);
                let written = writers(&requests, &world.namespace).len();
                if written >= 16 { Ok(()) } else { Err(format!("{written} are written")) }
            })
            .await;
        one.pause();
        let paused = Instant::now();
        world.write_fast(&slow);
        let two = world.start_replica("two", LEASE, &[]).await;
        world.delivered(of, digest).await;
        println!("taken over {:.1?} after the pause, with Leases of {LEASE} s", paused.elapsed());
        let written = writers(&control_plane.audit().since(mark), &world.namespace);
        let begun = written.values().filter(|of| of.iter().any(|agent| agent.contains("(replica one)"))).count();
        assert!(begun < 150, "nothing was left to do");

        let mark = control_plane.audit().mark();
        one.resume();
        world
            .until("it to notice", async || {
                let joined = one.log().matches("joined the replicas").count();
                if joined == 2 { Ok(()) } else { Err(one.log()) }
            })
            .await;
        let requests = control_plane.audit().since(mark);
        let is_join = |request: &Request| request.resource == "leases" && request.verb == "create";
        let sent: Vec<&Request> = requests.iter().filter(|request| one.sent(request)).collect();
        let joined = sent.iter().position(|request| is_join(request)).expect("it has joined anew");
        let writes: Vec<_> = sent[..joined].iter().filter(|r| r.is_write() && r.resource != "leases").collect();
        assert!(writes.is_empty(), "written without a Lease: {writes:#?}");
        // And then it takes part again.
        world.shared_by(&[&one, &two]).await;
        world.delivered(of, digest).await;
    })
    .await;
}

#[tokio::test]
async fn a_write_that_is_held_up_at_a_webhook_does_not_land_after_the_lease() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "late", async |world| {
        let _slow = world.write_slowly(Duration::from_secs(6)).await;
        let cluster = Cluster::new(world.client.clone());
        let resource = Resource { api: ApiResource::erase::<ConfigMap>(&()), namespaced: true, has_status: false };
        let id = ObjectId {
            group: String::new(),
            version: ConfigMap::version(&()).into_owned(),
            kind: "ConfigMap".into(),
            namespace: Some(world.namespace.clone()),
            name: "late".into(),
        };
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": world.namespace}});
        let permit = Permit::until(tokio::time::Instant::now() + Duration::from_secs(2));
        let written = permit.over(cluster.apply(&resource, &id, &value, Write::Persist)).await;
        written.unwrap_err();
        tokio::time::sleep(Duration::from_secs(7)).await;
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
        assert!(maps.get_opt("late").await.unwrap().is_none(), "it was written all the same");
        cluster.apply(&resource, &id, &value, Write::Persist).await.unwrap();
    })
    .await;
}
