//! What is told about Deliveries reaches everybody who wants to know, through outages and kills; and nobody else.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::hmac;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use sealift_apply::api::{Delivery, Notification, condition};
use sealift_e2e::{Answers, ControlPlane, Hook, Told, World};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

const KEY: &str = "a key that both sides know";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

async fn notify(world: &World<'_>, namespace: &str, name: &str, spec: Value) {
    let notification = json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "Notification",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    });
    let apply = PatchParams::apply("tests").force();
    let api: Api<Notification> = Api::namespaced(world.client.clone(), namespace);
    api.patch(name, &apply, &Patch::Apply(&notification)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Waits until a Notification's Ready condition has this reason, and gives its message.
async fn stands(world: &World<'_>, namespace: &str, name: &str, reason: &str) -> String {
    let api: Api<Notification> = Api::namespaced(world.client.clone(), namespace);
    world
        .until(&format!("{namespace}/{name} to be {reason}"), async || {
            let found = api.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let ready =
                condition(&found.conditions, "Ready").map(|ready| (ready.reason.clone(), ready.message.clone()));
            match ready {
                Some((is, message)) if is == reason => Ok(message),
                other => Err(format!("{other:?}")),
            }
        })
        .await
}

/// A release of one ConfigMap.
fn release(world: &World<'_>, path_and_tag: &str, value: &str) -> Digest {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "told"}, "data": {"value": value}});
    let file = world.cli.write("map.json", map.to_string());
    let source = ["--source", "https://git.example/acme/shop", "--revision", COMMIT];
    world.push(path_and_tag, &[&file], &source)
}

/// What a service has taken: the artifact of each event that says so, by id.
fn taken(hook: &Hook, reason: &str) -> BTreeMap<String, Digest> {
    let events = hook.told().into_iter().filter(|told| told.taken).map(|told| told.json());
    let said = events.filter(|event| event["data"]["reason"] == reason);
    said.map(|event| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["id"]), text(&event["data"]["digest"]).parse().unwrap())
    })
    .collect()
}

async fn has_taken(world: &World<'_>, hook: &Hook, wanted: &BTreeSet<Digest>) {
    world
        .until("the service to be told of every release", async || {
            let taken: BTreeSet<Digest> = taken(hook, "Applied").into_values().collect();
            let left = wanted.difference(&taken).count();
            if left == 0 { Ok(()) } else { Err(format!("{left} of {} are missing", wanted.len())) }
        })
        .await;
}

#[tokio::test]
async fn every_event_reaches_every_service_through_outages_and_kills() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "outage", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let (steady, broken) = (Hook::serve(), Hook::closed());
        let key = format!("--from-literal=hmacKey={KEY}");
        world.kubectl(&["create", "secret", "generic", "key", &key, "-n", &world.namespace]);
        for (name, hook) in [("steady", &steady), ("broken", &broken)] {
            let spec = json!({"type": "generic", "address": hook.url("/told"), "secretName": "key", "serviceAccountName": account});
            notify(world, &world.namespace, name, spec).await;
        }
        let allowed = [&steady, &broken].map(|hook| format!("--plain-http-service={}", hook.host()));
        let arguments = ["--cluster-name=eu-1", &allowed[0], &allowed[1]];
        let of = (world.namespace.as_str(), "shop");
        let first = release(world, "acme/shop:prod", "0");
        world.start_controller_with(&arguments).await;
        world.deliver(of.0, of.1, world.following("acme/shop", "prod", account)).await;
        let (mut digests, mut kills) = (BTreeSet::from([first]), 0);
        has_taken(world, &steady, &digests).await;
        // What the broken service does meanwhile: connections are refused until the first of these.
        let outages = [None, Some(Answers::Fails(500, None)), Some(Answers::Nothing), Some(Answers::Fails(429, Some(1)))];
        for (round, outage) in outages.into_iter().enumerate() {
            if let Some(outage) = outage {
                broken.open();
                broken.answers(outage);
            }
            for step in 0..2 {
                digests.insert(release(world, "acme/shop:prod", &format!("{round}.{step}")));
                world.request(of).await;
                has_taken(world, &steady, &digests).await;
                if step == 0 {
                    // At once after one service has it, and before anybody could write that down.
                    world.kill_controller();
                    kills += 1;
                    world.start_controller_with(&arguments).await;
                }
            }
            if let Some(outage) = outage {
                let before = broken.told().len();
                let asked = async || if broken.told().len() > before { Ok(()) } else { Err("not asked again".to_owned()) };
                world.until(&format!("the service to be asked while it {outage:?}"), asked).await;
            }
        }
        broken.answers(Answers::Takes);
        has_taken(world, &broken, &digests).await;

        // The same events with the same ids, each signed.
        let ids = |hook: &Hook| hook.told().iter().filter(|told| told.taken).map(|told| told.json()["id"].to_string()).collect::<Vec<_>>();
        let all: [BTreeSet<String>; 2] = [&steady, &broken].map(|hook| ids(hook).into_iter().collect());
        let lost = all[0].symmetric_difference(&all[1]).count();
        assert_eq!(lost, 0, "{all:#?}");
        for told in steady.told().iter().chain(&broken.told()) {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), &told.body);
            let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(told.header("x-signature"), Some(&*format!("sha256={hex}")));
            let event = told.json();
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["data"]["source"]["commit"], COMMIT);
            assert_eq!(event["source"], format!("/clusters/eu-1/namespaces/{}/deliveries/shop", world.namespace));
        }
        // All is told, and the status says so; both services are well.
        world
            .wait_for(of, "nothing to be left to tell", |delivery| {
                let told = delivery.status.as_ref().and_then(|status| status.notifications.as_ref());
                told.is_some_and(|told| told.pending.is_empty() && told.dropped == 0)
            })
            .await;
        stands(world, &world.namespace, "broken", "Sent").await;
        let sent: usize = [&steady, &broken].iter().map(|hook| ids(hook).len()).sum();
        println!(
            "{} releases, {kills} kills, 4 outages: {sent} notifications taken, 0 lost, {} repeated, {} refused or unanswered",
            digests.len(),
            sent - all[0].len() - all[1].len(),
            broken.told().iter().filter(|told| !told.taken).count(),
        );
    })
    .await;
}

/// Deliveries that several replicas share, and how many seconds the Leases of these last.
const COPIES: usize = 8;
const LEASE: u64 = 10;

#[tokio::test]
async fn what_a_replica_that_is_gone_had_to_tell_another_tells() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "heir", async |world| {
        let hook = Hook::closed();
        notify(world, &world.namespace, "audit", json!({"type": "generic", "address": hook.url("/told")})).await;
        let allowed = format!("--plain-http-service={}", hook.host());
        let one = world.start_replica("one", LEASE, &[&allowed]).await;
        let two = world.start_replica("two", LEASE, &[&allowed]).await;
        world.shared_by(&[&one, &two]).await;
        let mark = control_plane.audit().mark();
        let copies = world.copies(COPIES);
        let digest = copies.release("1");
        copies.declare("1h").await;
        copies.delivered(digest).await;
        let names: Vec<String> = (0..COPIES).map(|index| format!("app-{index}")).collect();
        let mut had = BTreeSet::new();
        for name in &names {
            let waits = |delivery: &Delivery| {
                let told = delivery.status.as_ref().and_then(|status| status.notifications.as_ref());
                told.is_some_and(|told| !told.pending.is_empty())
            };
            world.wait_for((&world.namespace, name), "something to tell", waits).await;
        }
        for request in control_plane.audit().since(mark) {
            let is_status = request.resource == "deliveries" && request.subresource == "status";
            if is_status && request.namespace == world.namespace && request.is_of_replica("one") {
                had.insert(request.name);
            }
        }
        assert!(!had.is_empty(), "none is the first replica's");

        one.kill();
        hook.open();
        world
            .until("the service to be told about each Delivery", async || {
                let events = hook.told().into_iter().filter(|told| told.taken).map(|told| told.json());
                let of_release = events.filter(|event| event["data"]["digest"] == digest.to_string());
                let whose = |event: Value| event["source"].as_str()?.rsplit('/').next().map(str::to_owned);
                let told: BTreeSet<String> = of_release.filter_map(whose).collect();
                if told.iter().eq(&names) { Ok(()) } else { Err(format!("only {told:?}")) }
            })
            .await;
        for name in &names {
            let nothing = |delivery: &Delivery| {
                let told = delivery.status.as_ref().and_then(|status| status.notifications.as_ref());
                told.is_some_and(|told| told.pending.is_empty() && told.dropped == 0)
            };
            world.wait_for((&world.namespace, name), "nothing to be left to tell", nothing).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenant_is_told_of_its_own_with_its_own_rights_and_at_no_address_that_is_not_allowed() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "told", async |world| {
        let mark = control_plane.audit().mark();
        let (platform, tenant) = (world.another_namespace("platform").await, world.namespace.clone());
        let account = world.namespace_account(&tenant);
        world.trust().await;
        let (hook, local, all) = (Hook::serve(), Hook::serve(), Hook::serve());
        world.kubectl(&["create", "serviceaccount", "nobody", "-n", &tenant]);
        world.kubectl(&["create", "secret", "generic", "own", "--from-literal=token=t0ken", "-n", &tenant]);
        let generic = |hook: &Hook, more: Value| {
            let mut spec = json!({"type": "generic", "address": hook.url("/told")});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        notify(world, &tenant, "own", generic(&hook, json!({"secretName": "own", "serviceAccountName": account})))
            .await;
        notify(world, &tenant, "denied", generic(&all, json!({"secretName": "own", "serviceAccountName": "nobody"})))
            .await;
        notify(world, &tenant, "local", generic(&local, json!({}))).await;
        notify(world, &tenant, "greedy", generic(&all, json!({"filter": {"namespaces": ["*"]}, "suspend": true})))
            .await;
        notify(
            world,
            &platform,
            "platform",
            generic(&all, json!({"filter": {"namespaces": ["*"], "severity": "error"}})),
        )
        .await;
        let allowed = [&hook, &all].map(|hook| format!("--plain-http-service={}", hook.host()));
        let home = format!("--platform-namespace={platform}");
        world.start_controller_with(&[&home, &allowed[0], &allowed[1]]).await;

        let of = (tenant.as_str(), "shop");
        let digest = release(world, "acme/shop:prod", "1");
        let uid = world.deliver(of.0, of.1, world.following("acme/shop", "prod", account)).await;
        world.delivered(of, digest).await;
        has_taken(world, &hook, &BTreeSet::from([digest])).await;
        assert!(hook.told().iter().all(|told| told.header("authorization") == Some("Bearer t0ken")));
        let denied = stands(world, &tenant, "denied", "SecretUnusable").await;
        assert!(denied.contains("the Secret own cannot be read"), "{denied}");
        let refused = stands(world, &tenant, "local", "HostNotAllowed").await;
        assert!(!refused.contains("/told"), "{refused}");
        assert!(local.told().is_empty());
        stands(world, &tenant, "greedy", "NamespacesNotAllowed").await;
        assert!(all.told().is_empty(), "nothing went wrong yet");

        // Trouble, and its end.
        world.deliver(of.0, of.1, world.following("acme/nowhere", "prod", account)).await;
        world
            .until("the platform to be told of trouble", async || {
                if all.told().is_empty() { Err("not told".to_owned()) } else { Ok(()) }
            })
            .await;
        world.deliver(of.0, of.1, world.following("acme/shop", "prod", account)).await;
        let told = world
            .until("the platform to be told of its end", async || {
                let told = all.told();
                let ends = |told: &Told| told.json()["data"]["ends"].is_string();
                if told.iter().any(ends) { Ok(told) } else { Err(format!("{} times told", told.len())) }
            })
            .await;
        assert!(
            told.iter()
                .all(|told| told.json()["data"]["namespace"] == tenant && told.header("authorization").is_none())
        );
        assert_eq!(told[0].json()["data"]["severity"], "error");

        // Gone, with what is left to tell.
        world.undeliver(of).await;
        world
            .until("the end to be told", async || {
                let reasons: BTreeSet<String> =
                    hook.told().iter().map(|told| told.json()["data"]["reason"].to_string()).collect();
                if reasons.contains("\"Deleted\"") { Ok(()) } else { Err(format!("{reasons:?}")) }
            })
            .await;
        let secrets = world.requests(of, &uid, mark).into_iter().filter(|request| request.resource == "secrets");
        let by: BTreeSet<_> =
            secrets.map(|request| request.impersonated.clone().expect("no Secret is read as the controller")).collect();
        assert_eq!(by, ["deployer", "nobody"].map(|name| format!("system:serviceaccount:{tenant}:{name}")).into());
    })
    .await;
}

#[tokio::test]
async fn every_sort_of_service_is_told_in_its_own_words() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "words", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let hook = Hook::serve();
        world.kubectl(&["create", "secret", "generic", "own", "--from-literal=token=t0ken", "-n", &world.namespace]);
        let kinds = [
            ("slack", "/services/T0/B0"),
            ("teams", "/workflows/1"),
            ("alertmanager", "/api/v2/alerts"),
            ("pagerduty", "/v2/enqueue"),
            ("grafana", "/api/annotations"),
        ];
        for (kind, path) in kinds {
            let spec = json!({"type": kind, "address": hook.url(path), "secretName": "own", "serviceAccountName": account,
                "template": "{reason} of {name}"});
            notify(world, &world.namespace, kind, spec).await;
        }
        for kind in ["github", "gitlab"] {
            let spec = json!({"type": kind, "address": hook.url(""), "repository": "acme/shop", "secretName": "own", "serviceAccountName": account});
            notify(world, &world.namespace, kind, spec).await;
        }
        world.start_controller_with(&["--plain-http-service", &hook.host()]).await;
        let of = (world.namespace.as_str(), "shop");
        world.deliver(of.0, of.1, world.following("acme/shop", "prod", account)).await;
        world.refused(of, "NotFound").await;
        release(world, "acme/shop:prod", "1");
        world.request(of).await;
        let paths = kinds.iter().map(|(_, path)| (*path).to_owned());
        let commits = [format!("/repos/acme/shop/statuses/{COMMIT}"), format!("/api/v4/projects/acme%2Fshop/statuses/{COMMIT}")];
        let wanted: BTreeSet<String> = paths.chain(commits.clone()).collect();
        let is_end = |told: &Told| {
            let body = told.json();
            match told.path.as_str() {
                "/api/v2/alerts" => body[0]["startsAt"].is_null(),
                "/v2/enqueue" => body["event_action"] == "resolve",
                "/services/T0/B0" => body["text"] == ":large_green_circle: Applied of shop",
                "/workflows/1" => body["attachments"][0]["content"]["body"][0]["inlines"][0]["text"] == "Applied of shop",
                "/api/annotations" => body["text"] == "Applied of shop",
                _ => body["state"] == "success",
            }
        };
        world
            .until("every service to be told of the end", async || {
                let told: BTreeSet<String> = hook.told().iter().filter(|told| is_end(told)).map(|told| told.path.clone()).collect();
                let left: Vec<_> = wanted.difference(&told).collect();
                if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
            })
            .await;
        let of_path = |path: &str| hook.told().into_iter().find(|told| told.path == path).unwrap();
        assert_eq!(of_path(&commits[0]).header("authorization"), Some("Bearer t0ken"));
        assert_eq!(of_path(&commits[1]).header("private-token"), Some("t0ken"));
        let began = of_path("/api/v2/alerts").json();
        assert_eq!((began[0]["labels"]["alertname"].as_str(), began[0]["startsAt"].is_string()), (Some("SealiftDeliveryNotReady"), true));
        assert_eq!(of_path("/v2/enqueue").json()["event_action"], "trigger");
    })
    .await;
}
