//! Several controllers on one cluster: each Delivery is looked after by one of them, and by another once that one is gone.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
    core::ApiResource,
    runtime::{WatchStreamExt as _, watcher},
};
use sealift_apply::{
    cluster::{Cluster, Resource, Write},
    permit::Permit,
};
use sealift_e2e::{ControlPlane, Request, World};
use sealift_verify::objects::ObjectId;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

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

/// Every change of the ConfigMaps in a world's namespace, as the API server tells it.
struct Changes {
    /// Name, value and version.
    seen: Arc<Mutex<BTreeSet<[String; 3]>>>,
    following: JoinHandle<()>,
}

impl Changes {
    fn follow(world: &World<'_>) -> Self {
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let told = Arc::clone(&seen);
        let following = tokio::spawn(async move {
            let mut changed = pin!(watcher(maps, watcher::Config::default()).default_backoff().applied_objects());
            while let Some(map) = changed.next().await {
                let Ok(mut map) = map else { continue };
                let Some(value) = map.data.as_mut().and_then(|data| data.remove("value")) else { continue };
                told.lock().unwrap().insert([map.name_any(), value, map.resource_version().unwrap()]);
            }
        });
        Self { seen, following }
    }

    /// How often each was changed to this value.
    fn told(&self, value: &str) -> BTreeMap<String, usize> {
        let mut told = BTreeMap::new();
        for [name, _, _] in self.seen.lock().unwrap().iter().filter(|[_, to, _]| to == value) {
            *told.entry(name.clone()).or_default() += 1;
        }
        told
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.following.abort();
    }
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

/// How a Deployment replaces pods, as `deploy/base` says: a new one is there and ready before an old one is asked to end.
const ROLLOUT: &str = "rollingUpdate: {maxUnavailable: 0, maxSurge: 1}";

#[tokio::test]
async fn replicas_are_replaced_one_by_one_while_releases_come_and_nobody_waits_for_a_lease() {
    assert!(include_str!("../../deploy/base/controller.yaml").contains(ROLLOUT), "that is what is done here");
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "rollout", async |world| {
        let more = ["--min-interval=1s"];
        let mut old = Vec::new();
        for id in ["old-0", "old-1", "old-2"] {
            old.push(world.start_replica(id, LEASE, &more).await);
        }
        world.shared_by(&old.iter().collect::<Vec<_>>()).await;
        let changes = Changes::follow(world);
        let copies = world.copies(DELIVERIES);
        let mark = control_plane.audit().mark();
        let digest = copies.release("0");
        copies.declare("2s").await;
        copies.applied(digest).await;

        let (mut new, mut gone) = (Vec::new(), Vec::new());
        for (round, replica) in old.into_iter().enumerate() {
            new.push(world.start_replica(&format!("new-{round}"), LEASE, &more).await);
            let value = (round + 1).to_string();
            let digest = copies.release(&value);
            // It is asked to end while the release is being carried out.
            let begun =
                async || if changes.told(&value).is_empty() { Err("nothing is written".into()) } else { Ok(()) };
            world.until("the release to begin", begun).await;
            let id = replica.id.clone();
            replica.stop();
            let left = world.lease_holders().await;
            assert!(!left.contains(&id), "its Lease is left: {left:?}");
            gone.push(id);
            copies.applied(digest).await;
        }
        world.shared_by(&new.iter().collect::<Vec<_>>()).await;
        assert_eq!(world.lease_holders().await, new.iter().map(|replica| replica.id.clone()).collect::<Vec<_>>());
        let once_each = (0..DELIVERIES).map(|index| (format!("map-{index}"), 1)).collect::<BTreeMap<_, _>>();
        for value in ["0", "1", "2", "3"] {
            let once = async || match changes.told(value) {
                told if told == once_each => Ok(()),
                told => Err(format!("{told:?}")),
            };
            world.until("each to be changed once by each release, whoever did it", once).await;
        }

        let requests = control_plane.audit().since(mark);
        for id in new.iter().map(|replica| &replica.id).chain(&gone) {
            let own: Vec<&Request> = requests.iter().filter(|request| request.is_of_replica(id)).collect();
            let is_end = |request: &Request| request.resource == "leases" && request.verb == "delete";
            let ended: Vec<usize> = (0..own.len()).filter(|at| is_end(own[*at])).collect();
            let of_others = ended.iter().find(|at| !own[**at].name.starts_with(&format!("{id}.")));
            assert!(of_others.is_none(), "{id} has waited for another's Lease to run out: {ended:?}");
            assert_eq!(ended.len(), usize::from(gone.contains(id)), "{id} gives its Lease back if it ends");
            let after = ended.first().map(|at| &own[*at..]).unwrap_or_default();
            let after: Vec<_> = after.iter().filter(|r| r.is_write() && r.resource != "leases").collect();
            assert!(after.is_empty(), "{id} writes without a Lease: {after:#?}");
        }
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
        let sent: Vec<&Request> = requests.iter().filter(|request| request.is_of_replica("one")).collect();
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

/// A Lease as a replica of another clock writes it.
async fn write_lease(world: &World<'_>, id: &str, ahead: SignedDuration) {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), "sealift-system");
    let renewed = Timestamp::now() + ahead;
    let (name, labels) = (format!("{id}.{}", world.namespace), json!({"sealift.dev/lease-group": world.namespace}));
    let spec = json!({"holderIdentity": id, "leaseDurationSeconds": LEASE, "renewTime": format!("{renewed:.6}")});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "labels": labels}, "spec": spec});
    leases.patch(&name, &PatchParams::apply("tests").force(), &Patch::Apply(&lease)).await.unwrap();
}

#[tokio::test]
async fn who_has_a_lease_goes_by_who_renews_it_and_not_by_what_clocks_say() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "skew", async |world| {
        let _one = world.start_replica("one", LEASE, &[]).await;
        let minutes = SignedDuration::from_mins(10);
        // By its own clock it is good for ten minutes yet, but nobody renews it.
        write_lease(world, "ahead", minutes).await;
        let mut renewals = 0;
        let holders = loop {
            // By the clocks of all others it ran out ten minutes ago, and it is renewed.
            write_lease(world, "behind", -minutes).await;
            renewals += 1;
            let holders = world.lease_holders().await;
            if !holders.contains(&"ahead".to_owned()) || renewals > 120 {
                break holders;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        assert_eq!(holders, ["behind", "one"], "after {renewals} renewals");
        // Nor is it any longer than that.
        world
            .until("it to be gone too", async || {
                let holders = world.lease_holders().await;
                if holders == ["one"] { Ok(()) } else { Err(format!("{holders:?}")) }
            })
            .await;
    })
    .await;
}
