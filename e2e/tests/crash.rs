//! Killing the controller at any moment loses nothing and leaks nothing: the inventory is written before the apply. Asked to
//! stop, it ends what it has sent and begins nothing.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use sealift_apply::api::condition;
use sealift_e2e::{ControlPlane, World};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// Kills that must hit an apply in the middle.
const KILLS: usize = 20;
/// Names that releases draw from, and how many each draws.
const POOL: u64 = 210;
const DRAWN: usize = 150;
const SEED: u64 = 0x5ea1_1f70;
/// Beyond this the machine is too busy to hit anything in the middle.
const LIMIT: Duration = Duration::from_secs(240);

/// splitmix64: the same numbers from the same seed, on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// What a release holds: names and what stands in them.
type Content = BTreeMap<String, String>;

/// Some of the names, each with new content or that of a release before.
fn draw(random: &mut Random, release: usize) -> Content {
    let mut content = Content::new();
    while content.len() < DRAWN {
        let value = if random.below(2) == 0 { release } else { 0 };
        content.insert(format!("piece-{:03}", random.below(POOL)), format!("release {value}"));
    }
    content
}

fn write(world: &World<'_>, content: &Content) -> PathBuf {
    let map = |(name, value): (&String, &String)| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
    let items: Vec<Value> = content.iter().map(map).collect();
    world.cli.write("pieces.json", json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

/// Everything of this kind in the namespace, but what Kubernetes puts into every one.
async fn live(world: &World<'_>) -> Content {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let listed = maps.list(&ListParams::default()).await.unwrap().items;
    let listed = listed.into_iter().filter(|map| map.name_any() != "kube-root-ca.crt");
    listed.map(|map| (map.name_any(), map.data.and_then(|mut data| data.remove("value")).unwrap_or_default())).collect()
}

/// Whether an apply from one state to another has begun and not ended.
fn is_between(before: &Content, now: &Content, after: &Content) -> bool {
    now != before && now != after
}

#[tokio::test]
async fn a_controller_killed_at_any_moment_loses_nothing_and_leaks_nothing() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "crash", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let of = (world.namespace.as_str(), "pieces");
        let mut random = Random(SEED);
        let mut content = draw(&mut random, 0);
        let mut digest: Digest = world.push("acme/pieces:prod", &[&write(world, &content)], &[]);
        world.start_controller().await;
        let uid = world.deliver(of.0, of.1, world.following("acme/pieces", "prod", account)).await;
        world.delivered(of, digest).await;

        // how long a controller takes here from its start to the end of an apply: kills are spread over that
        let (began, mut release) = (Instant::now(), 1);
        world.kill_controller();
        content = draw(&mut random, release);
        digest = world.push("acme/pieces:prod", &[&write(world, &content)], &[]);
        let started = Instant::now();
        world.launch_controller(&[]).await;
        world.applied(of, digest).await;
        world.kill_controller();
        let span = u64::try_from(started.elapsed().as_millis()).unwrap();

        let (mut hits, mut kills) = (0, 0);
        while hits < KILLS {
            assert!(began.elapsed() < LIMIT, "only {hits} of {kills} kills hit an apply in {LIMIT:?}, seed {SEED:#x}");
            // mostly another release, sometimes the one that was interrupted once more
            if random.below(4) > 0 {
                release += 1;
                content = draw(&mut random, release);
                digest = world.push("acme/pieces:prod", &[&write(world, &content)], &[]);
            }
            let before = live(world).await;
            world.launch_controller(&[]).await;
            tokio::time::sleep(Duration::from_millis(span / 5 + random.below(span))).await;
            world.kill_controller();
            kills += 1;
            let now = live(world).await;
            if is_between(&before, &now, &content) {
                hits += 1;
            }
            // nothing that was ever applied is unknown to the inventory
            let known: BTreeSet<String> = world.inventory(&uid).await.into_iter().map(|row| row.name).collect();
            let leaked: Vec<&String> = now.keys().filter(|name| !known.contains(*name)).collect();
            assert!(leaked.is_empty(), "kill {kills}, seed {SEED:#x}: not in the inventory: {leaked:?}");
        }

        world.start_controller().await;
        world.delivered(of, digest).await;
        world
            .until("the cluster to equal the artifact", async || {
                let live = live(world).await;
                if live == content { Ok(()) } else { Err(format!("{} objects, seed {SEED:#x}", live.len())) }
            })
            .await;
        assert_eq!(world.owned(&uid).await.len(), DRAWN);
        world.confirmed(&uid).await;
        let rows = world.inventory(&uid).await;
        let names: BTreeSet<&String> = rows.iter().map(|row| &row.name).collect();
        assert_eq!((rows.len(), names), (DRAWN, content.keys().collect()), "seed {SEED:#x}");
        let accepted = world.accepted(of).await.unwrap().spec.marks;
        assert_eq!((accepted.len(), accepted[0].artifact), (1, digest), "seed {SEED:#x}");
        // and once more on the way out
        world.kill_controller();
        world.deliveries(of.0).delete(of.1, &DeleteParams::default()).await.unwrap();
        for _ in 0..4 {
            world.launch_controller(&[]).await;
            tokio::time::sleep(Duration::from_millis(span / 5 + random.below(span / 2))).await;
            world.kill_controller();
        }
        world.start_controller().await;
        world.gone(of).await;
        world
            .until("nothing to be left", async || {
                let live = self::live(world).await;
                if live.is_empty() { Ok(()) } else { Err(format!("{} objects, seed {SEED:#x}", live.len())) }
            })
            .await;
        assert!(world.inventory(&uid).await.is_empty());
        println!("{hits} of {kills} kills hit an apply, {release} releases, seed {SEED:#x}, {:?}", began.elapsed());
    })
    .await;
}

/// The pieces of a release whose names are `from` and the 299 after it.
fn pieces(from: usize, value: &str) -> Content {
    (from..from + 300).map(|number| (format!("piece-{number:03}"), value.to_owned())).collect()
}

/// Waits until an apply has changed something.
async fn begun(world: &World<'_>, before: &Content) {
    let begun = async || if live(world).await == *before { Err("nothing is written".to_owned()) } else { Ok(()) };
    world.until("an apply to begin", begun).await;
}

#[tokio::test]
async fn a_controller_that_is_asked_to_stop_ends_what_it_writes_and_begins_nothing() {
    /// Less than a pod has.
    const LIMIT: Duration = Duration::from_secs(20);
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "shutdown", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let (of, later) = ((world.namespace.as_str(), "pieces"), (world.namespace.as_str(), "later"));
        let mut spec = world.following("acme/pieces", "prod", account);
        spec["validation"] = json!("none");

        // What is applied soon enough is applied to its end, and told.
        let first = pieces(0, "1");
        let digest = world.push("acme/pieces:prod", &[&write(world, &first)], &[]);
        let slow = world.write_slowly(Duration::from_millis(100)).await;
        let uid = world.deliver(of.0, of.1, spec).await;
        world.launch_controller(&["--concurrent", "1"]).await;
        begun(world, &Content::new()).await;
        world.stop_controller_within(LIMIT);
        assert_eq!(live(world).await, first);
        let status = world.deliveries(of.0).get(of.1).await.unwrap().status.unwrap();
        assert_eq!(status.last_applied.map(|applied| applied.digest), Some(digest));
        world.write_fast(&slow);

        // What takes longer is left where it is: what was sent is answered, and nothing else is begun.
        let second = pieces(30, "2");
        let digest = world.push("acme/pieces:prod", &[&write(world, &second)], &[]);
        let other = Content::from([("other".to_owned(), "1".to_owned())]);
        let other_digest = world.push("acme/other:prod", &[&write(world, &other)], &[]);
        let slow = world.write_slowly(Duration::from_secs(1)).await;
        world.launch_controller(&["--concurrent", "1"]).await;
        begun(world, &first).await;
        world.deliver(later.0, later.1, world.following("acme/other", "prod", account)).await;
        world.stop_controller_within(LIMIT);
        let now = live(world).await;
        assert!(now.values().any(|value| value == "1") && now.keys().any(|name| !second.contains_key(name)));
        assert!(!now.contains_key("other"), "it was begun after the controller was asked to stop");
        let written: BTreeSet<_> =
            now.iter().filter(|(_, value)| *value == "2").map(|(name, _)| name.clone()).collect();
        let sent = slow.asked().into_iter().filter(|(_, dry_run)| !dry_run).map(|(name, _)| name);
        assert_eq!(written, sent.collect(), "each write that was sent was also taken");
        let known: BTreeSet<String> = world.inventory(&uid).await.into_iter().map(|row| row.name).collect();
        assert!(now.keys().all(|name| known.contains(name)), "everything that is there is in the inventory");
        let status = world.deliveries(of.0).get(of.1).await.unwrap().status.unwrap();
        let ready = condition(&status.conditions, "Ready").unwrap();
        assert_eq!(ready.reason, "PartlyApplied", "{ready:?}");
        assert!(ready.message.contains("the process is stopping"), "{ready:?}");

        // The next one goes on from there.
        world.write_fast(&slow);
        world.start_controller().await;
        world.delivered(of, digest).await;
        world.delivered(later, other_digest).await;
        assert_eq!(live(world).await, second.into_iter().chain(other).collect());
        world.confirmed(&uid).await;
        assert_eq!((world.inventory(&uid).await.len(), world.owned(&uid).await.len()), (300, 300));
    })
    .await;
}
