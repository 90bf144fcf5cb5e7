//! One Delivery at a time, from a push to what becomes of it in the cluster.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{collections::BTreeSet, path::PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, api::DeleteParams};
use sealift_apply::api::{Delivery, condition};
use sealift_e2e::{
    Attacker, ControlPlane, KeyPair, Name, Process, Registry, World, binary, corpus, expected, free_port, is_ready,
    policy, reason,
};
use serde_json::{Value, json};

/// Deployment and Service; its kustomization is no manifest, and nothing here scales by load.
fn podinfo() -> Option<[PathBuf; 2]> {
    let folder = corpus("podinfo")?.join("kustomize");
    Some(["deployment.yaml", "service.yaml"].map(|file| folder.join(file)))
}

/// ConfigMaps of these names and values: the quickest release there is.
fn maps(world: &World<'_>, file: &str, maps: &[(&str, &str)]) -> PathBuf {
    let map = |(name, value): &(&str, &str)| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": maps.iter().map(map).collect::<Vec<_>>()});
    world.cli.write(&format!("{file}.yaml"), list.to_string())
}

fn map_names(names: &[&str], namespace: &str) -> BTreeSet<Name> {
    let name = |name: &&str| Name {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: Some(namespace.into()),
        name: (*name).into(),
    };
    names.iter().map(name).collect()
}

async fn value(world: &World<'_>, name: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let map = maps.get_opt(name).await.unwrap()?;
    map.data?.remove("value")
}

fn word(delivery: &Delivery, type_: &str) -> String {
    let conditions = delivery.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    condition(conditions, type_).map(|found| format!("{} {}", found.status, found.reason)).unwrap_or_default()
}

#[tokio::test]
async fn podinfo_becomes_ready_and_a_second_reconcile_writes_nothing() {
    let (Some(control_plane), Some([deployment, service])) = (ControlPlane::shared(), podinfo()) else { return };
    World::run(control_plane, "podinfo", async |world| {
        let digest = world.push("podinfo:stable", &[&deployment, &service], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "podinfo");
        let uid = world.deliver(of.0, of.1, world.following("podinfo", "stable", account)).await;
        let delivery = world.delivered(of, digest).await;
        for (type_, expected) in [
            ("Ready", "True Applied"),
            ("Verified", "True Verified"),
            ("Healthy", "True Healthy"),
            ("Reconciling", "False Applied"),
            ("Stalled", "False Applied"),
        ] {
            assert_eq!(word(&delivery, type_), expected, "{type_}");
        }
        let objects = expected(&[&deployment, &service]);
        assert_eq!(world.owned_names(&uid).await.len(), objects.len());
        assert_eq!(world.inventory_names(&uid).await, world.owned_names(&uid).await);
        let status = delivery.status.unwrap();
        let verification = status.verification.unwrap();
        assert_eq!(
            (verification.verdict.as_str(), &verification.authorities[..]),
            ("Verified", &["release".to_owned()][..])
        );
        let attempted = status.last_attempted.unwrap();
        assert_eq!((attempted.digest, attempted.tag.as_deref()), (digest, Some("stable")));

        // the reconcile that is asked for is written down as done; nothing else is sent, but for what there was no time for
        world.confirmed(&uid).await;
        world.event("Applied").await;
        let mark = control_plane.audit().mark();
        world.reconcile(of).await;
        let writes: Vec<_> = world
            .requests(of, &uid, mark)
            .iter()
            .filter(|request| request.is_write())
            .map(|request| format!("{} {}", request.verb, request.uri))
            .collect();
        assert_eq!(writes.len(), 1, "{writes:#?}");
        assert!(writes[0].contains("/deliveries/podinfo/status"), "{writes:#?}");
    })
    .await;
}

/// A spec that is looked at again only when it is asked for.
fn quiet(mut spec: Value) -> Value {
    spec["interval"] = json!("1h");
    spec
}

#[tokio::test]
async fn an_upgrade_changes_what_differs_and_prunes_exactly_what_left() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "upgrade", async |world| {
        let first = world.push("app:stable", &[&maps(world, "1", &[("a", "1"), ("b", "1"), ("c", "1")])], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let uid = world.deliver(of.0, of.1, quiet(world.following("app", "stable", account))).await;
        world.delivered(of, first).await;
        world.kubectl(&["create", "configmap", "foreign", "-n", of.0]);
        assert_eq!(world.owned_names(&uid).await, map_names(&["a", "b", "c"], of.0));

        let second = world.push("app:stable", &[&maps(world, "2", &[("a", "2"), ("c", "1"), ("d", "1")])], &[]);
        let delivery = world.reconcile(of).await;
        assert_eq!(delivery.status.unwrap().last_applied.unwrap().digest, second);
        assert_eq!(world.owned_names(&uid).await, map_names(&["a", "c", "d"], of.0));
        assert_eq!(world.inventory_names(&uid).await, map_names(&["a", "c", "d"], of.0));
        assert_eq!((value(world, "a").await.as_deref(), value(world, "b").await), (Some("2"), None));
        world.kubectl(&["get", "configmap", "foreign", "-n", of.0]);

        // what was taken away by hand comes back, and what was changed is put right
        world.kubectl(&["delete", "configmap", "a", "-n", of.0]);
        world.kubectl(&["patch", "configmap", "c", "-n", of.0, "-p", r#"{"data": {"value": "changed"}}"#]);
        assert!(is_ready(&world.reconcile(of).await));
        assert_eq!((value(world, "a").await.as_deref(), value(world, "c").await.as_deref()), (Some("2"), Some("1")));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_trusted_is_refused_with_its_reason_and_nothing_of_it_is_applied() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "refused", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let good = maps(world, "good", &[("a", "good")]);
        let first = world.push("app:stable", &[&good], &[]);
        let uid = world.deliver(of.0, of.1, quiet(world.following("app", "stable", account))).await;
        let message = world.refused(of, "NoPolicy").await;
        assert!(message.contains("no enforcing SignaturePolicy matches"), "{message}");
        assert!(!world.registry.log().contains("/v2/app"), "nothing is contacted without a policy");
        assert!(world.owned_names(&uid).await.is_empty());

        // a policy that appears wakes the Delivery by itself
        world.trust().await;
        world.delivered(of, first).await;

        let attacker = Attacker::at(&world.repository("app"));
        let second = world.push("app:stable", &[&maps(world, "2", &[("a", "second")])], &[]);
        assert!(is_ready(&world.reconcile(of).await));
        let evil = maps(world, "evil", &[("a", "evil"), ("evil", "evil")]);

        let unsigned = attacker.unsigned_twin("stable").await;
        world.reconcile(of).await;
        world.refused(of, "Unsigned").await;

        // what is refused does not come, and what runs is kept in repair
        world.kubectl(&["delete", "configmap", "a", "-n", of.0]);
        world.reconcile(of).await;
        world.refused(of, "Unsigned").await;
        assert_eq!(value(world, "a").await.as_deref(), Some("second"));

        attacker.copy_referrers(second, unsigned).await;
        world.reconcile(of).await;
        world.refused(of, "DigestMismatch").await;

        attacker.move_tag("stable", first).await;
        world.reconcile(of).await;
        let message = world.refused(of, "RolledBack").await;
        assert!(message.contains("older than"), "{message}");

        let other = KeyPair::generate(&world.cli, "other");
        let by_other = world.cli.run(&[
            "push",
            &format!("oci://{}", world.repository("app:other")),
            "--key",
            &other.private().display().to_string(),
            "-f",
            &evil.display().to_string(),
        ]);
        assert_eq!(by_other.code, 0, "{}", by_other.stderr);
        attacker.move_tag("stable", by_other.digest()).await;
        world.reconcile(of).await;
        world.refused(of, "NoTrustedSignature").await;

        let third = world.push("app:third", &[&evil], &[]);
        Attacker::corrupt(&world.registry.layout(), attacker.layer("third").await);
        attacker.move_tag("stable", third).await;
        world.reconcile(of).await;
        world.refused(of, "DigestMismatch").await;

        assert_eq!(value(world, "a").await.as_deref(), Some("second"));
        assert_eq!(world.owned_names(&uid).await, map_names(&["a"], of.0));
        let status = world.deliveries(of.0).get(of.1).await.unwrap().status.unwrap();
        assert_eq!(status.last_applied.unwrap().digest, second, "what runs stays in the status");

        // and the way back is open
        attacker.move_tag("stable", second).await;
        assert!(is_ready(&world.reconcile(of).await));

        for reason in ["NoPolicy", "Applied", "Unsigned", "RolledBack", "NoTrustedSignature", "DigestMismatch"] {
            world.event(reason).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_closes_what_it_may_be_about() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "closed", async |world| {
        let digest = world.push("team/app:stable", &[&maps(world, "1", &[("a", "1")])], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        world.deliver(of.0, of.1, quiet(world.following("team/app", "stable", account))).await;
        world.delivered(of, digest).await;
        let name = format!("{}-broken", of.0);
        let mut broken = policy(&name, &[&format!("{}/elsewhere/**", world.registry.host())], &world.key);
        broken["spec"]["maxAgee"] = json!("1h");
        world.put_policy(broken.clone()).await;
        assert!(is_ready(&world.reconcile(of).await), "it is about another repository");
        broken["spec"]["match"]["repositories"] = json!([format!("{}/team/*", world.registry.host())]);
        world.put_policy(broken).await;
        let message = world.refused(of, "PolicyInvalid").await;
        assert!(message.contains(&name) && message.contains("maxAgee"), "{message}");
        assert_eq!(word(&world.deliveries(of.0).get(of.1).await.unwrap(), "Verified"), "False PolicyInvalid");
        world.kubectl(&["delete", "signaturepolicy", &name]);
        world.wait_for(of, "ready again", is_ready).await;
    })
    .await;
}

#[tokio::test]
async fn a_suspended_delivery_does_nothing_until_it_is_resumed() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "suspended", async |world| {
        let first = world.push("app:stable", &[&maps(world, "1", &[("a", "1")])], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let spec = quiet(world.following("app", "stable", account));
        world.deliver(of.0, of.1, spec.clone()).await;
        world.delivered(of, first).await;
        let mut suspended = spec.clone();
        suspended["suspend"] = json!(true);
        world.deliver(of.0, of.1, suspended).await;
        let delivery = world.wait_for(of, "suspended", |delivery| reason(delivery) == "Suspended").await;
        assert_eq!(word(&delivery, "Ready"), "True Suspended", "what runs, runs on");
        let second = world.push("app:stable", &[&maps(world, "2", &[("a", "2")])], &[]);
        world.reconcile(of).await;
        assert_eq!(value(world, "a").await.as_deref(), Some("1"));
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, second).await;
        assert_eq!(value(world, "a").await.as_deref(), Some("2"));
    })
    .await;
}

#[tokio::test]
async fn a_range_selects_the_highest_version_whose_signed_version_is_its_tag() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "semver", async |world| {
        let push = |version: &str| {
            let file = maps(world, version, &[("a", version)]);
            world.push("app:edge", &[&file], &["--version", version])
        };
        let (_, second, _) = (push("1.2.0"), push("1.10.0"), push("2.0.0"));
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = quiet(world.following("app", "edge", account));
        spec["select"] = json!({"semver": ">=1.0.0 <2"});
        world.deliver(of.0, of.1, spec.clone()).await;
        let status = world.delivered(of, second).await.status.unwrap();
        assert_eq!(status.last_attempted.unwrap().tag.as_deref(), Some("1.10.0"));
        assert_eq!(status.last_applied.unwrap().version.as_deref(), Some("1.10.0"));

        // a tag is a pointer: calling an old release 1.11.0 does not make it one
        Attacker::at(&world.repository("app")).move_tag("1.11.0", second).await;
        world.reconcile(of).await;
        world.refused(of, "VersionMismatch").await;

        spec["select"] = json!({"semver": "^7"});
        world.deliver(of.0, of.1, spec.clone()).await;
        world.refused(of, "NotFound").await;
        spec["select"] = json!({"digest": second});
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, second).await;
    })
    .await;
}

#[tokio::test]
async fn values_are_read_as_the_deliverys_own_account_and_shown_nowhere() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "values", async |world| {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\n\
                    data: {value: \"${GREETING} ${DOMAIN} ${TOKEN} ${PLACE}\"}\n";
        let file = world.cli.write("app.yaml", text);
        let variables = ["--var", "GREETING", "--var", "DOMAIN", "--var", "TOKEN", "--var", "PLACE=here"];
        let digest = world.push("app:stable", &[&file], &variables);
        world.trust().await;
        world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        world.kubectl(&["create", "configmap", "settings", "-n", of.0, "--from-literal=domain=shop.example"]);
        world.kubectl(&["create", "secret", "generic", "token", "-n", of.0, "--from-literal=token=hunter2"]);
        world.kubectl(&["create", "serviceaccount", "maps-only", "-n", of.0]);
        world.kubectl(&["create", "role", "maps-only", "-n", of.0, "--verb=*", "--resource=configmaps"]);
        let account = format!("--serviceaccount={}:maps-only", of.0);
        world.kubectl(&["create", "rolebinding", "maps-only", "-n", of.0, "--role=maps-only", &account]);
        let mut spec = quiet(world.following("app", "stable", "maps-only"));
        spec["parameters"] = json!([
            {"name": "GREETING", "value": "hello"},
            {"name": "DOMAIN", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "domain"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}},
            {"name": "PLACE", "valueFrom": {"configMapKeyRef": {"name": "missing", "key": "place", "optional": true}}},
        ]);
        world.deliver(of.0, of.1, spec.clone()).await;
        let message = world.refused(of, "BadParameter").await;
        assert!(message.contains("TOKEN") && message.contains("maps-only"), "{message}");
        assert_eq!(value(world, "app").await, None);

        spec["serviceAccountName"] = json!("deployer");
        world.deliver(of.0, of.1, spec.clone()).await;
        let delivery = world.delivered(of, digest).await;
        assert_eq!(value(world, "app").await.as_deref(), Some("hello shop.example hunter2 here"));
        let before = delivery.status.clone().unwrap().last_applied.unwrap();
        assert!(before.parameters.is_some());
        let shown = serde_json::to_string(&delivery.status).unwrap() + &world.controller_log();
        assert!(!shown.contains("hunter2") && !shown.contains("shop.example"), "{shown}");

        // another value is another set of objects of the same release
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), of.0);
        secrets.delete("token", &DeleteParams::default()).await.unwrap();
        world.kubectl(&["create", "secret", "generic", "token", "-n", of.0, "--from-literal=token=hunter3"]);
        let after = world.reconcile(of).await.status.unwrap().last_applied.unwrap();
        assert_eq!(value(world, "app").await.as_deref(), Some("hello shop.example hunter3 here"));
        assert_eq!(before.digest, after.digest);
        assert_ne!(before.parameters, after.parameters);

        spec["parameters"][0]["name"] = json!("UNKNOWN");
        world.deliver(of.0, of.1, spec).await;
        world.refused(of, "BadParameter").await;
    })
    .await;
}

#[tokio::test]
async fn an_account_without_rights_applies_nothing_and_the_condition_says_whose_rights() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "rights", async |world| {
        let digest = world.push("app:stable", &[&maps(world, "1", &[("a", "1")])], &[]);
        world.trust().await;
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = world.following("app", "stable", "powerless");
        world.kubectl(&["create", "serviceaccount", "powerless", "-n", of.0]);
        let uid = world.deliver(of.0, of.1, spec.clone()).await;
        let message = world.refused(of, "ApplyFailed").await;
        let user = format!("system:serviceaccount:{}:powerless", of.0);
        assert!(message.contains(&user) && message.contains("configmaps"), "{message}");
        assert!(world.owned_names(&uid).await.is_empty());

        // it is tried again by itself, soon after somebody grants the rights
        let account = format!("--serviceaccount={}:powerless", of.0);
        world.kubectl(&["create", "rolebinding", "power", "-n", of.0, "--clusterrole=cluster-admin", &account]);
        world.delivered(of, digest).await;

        spec.as_object_mut().unwrap().remove("serviceAccountName");
        world.deliver(of.0, "other", spec).await;
        let message = world.refused((of.0, "other"), "NoServiceAccount").await;
        assert!(message.contains("never") || message.contains("nothing is applied as the controller"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_deleted_delivery_takes_its_objects_along_or_leaves_them_as_it_was_told() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "deleted", async |world| {
        let first = world.push("app:stable", &[&maps(world, "1", &[("a", "1"), ("b", "1")])], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = quiet(world.following("app", "stable", account));
        for policy in ["Delete", "Wait"] {
            spec["deletionPolicy"] = json!(policy);
            let uid = world.deliver(of.0, of.1, spec.clone()).await;
            world.delivered(of, first).await;
            world.undeliver(of).await;
            assert!(world.owned_names(&uid).await.is_empty(), "{policy}");
            assert!(world.inventory(&uid).await.is_empty(), "{policy}");
        }
        spec["deletionPolicy"] = json!("Orphan");
        let uid = world.deliver(of.0, of.1, spec.clone()).await;
        let second = world.push("app:stable", &[&maps(world, "2", &[("a", "2"), ("b", "1")])], &[]);
        world.reconcile(of).await;
        world.delivered(of, second).await;
        world.undeliver(of).await;
        assert_eq!((value(world, "a").await.as_deref(), value(world, "b").await.as_deref()), (Some("2"), Some("1")));
        assert!(world.inventory(&uid).await.is_empty());

        // the memory of trust outlives the Delivery: the same name takes nothing older
        assert!(world.accepted(of).await.is_some());
        Attacker::at(&world.repository("app")).move_tag("stable", first).await;
        world.deliver(of.0, of.1, spec.clone()).await;
        world.refused(of, "RolledBack").await;
        assert_eq!(value(world, "a").await.as_deref(), Some("2"));
        Attacker::at(&world.repository("app")).move_tag("stable", second).await;
        world.reconcile(of).await;
        world.delivered(of, second).await;
    })
    .await;
}

#[tokio::test]
async fn an_expired_release_keeps_running_and_brings_nothing_new() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "stale", async |world| {
        let first = world.push("app:stable", &[&maps(world, "1", &[("a", "1")])], &["--expires-in", "20s"]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        world.deliver(of.0, of.1, quiet(world.following("app", "stable", account))).await;
        world.delivered(of, first).await;
        // looked at when it expires, long before the interval is over
        let delivery = world.wait_for(of, "stale", |delivery| reason(delivery) == "Stale").await;
        assert_eq!((word(&delivery, "Ready"), word(&delivery, "Verified")), ("True Stale".into(), "True Stale".into()));
        world.kubectl(&["delete", "configmap", "a", "-n", of.0]);
        world.reconcile(of).await;
        assert_eq!(value(world, "a").await.as_deref(), Some("1"), "what runs may be repaired");

        world.push("app:stable", &[&maps(world, "2", &[("a", "2")])], &["--expires-in", "1s"]);
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        world.reconcile(of).await;
        world.refused(of, "Expired").await;
        assert_eq!(value(world, "a").await.as_deref(), Some("1"));
    })
    .await;
}

#[tokio::test]
async fn a_source_that_cannot_be_had_is_told_apart_by_why() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "source", async |world| {
        world.push("app:stable", &[&maps(world, "1", &[("a", "1")])], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.put_policy(policy(&format!("{}-local", world.namespace), &["127.0.0.1:9/**"], &world.key)).await;
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        world.deliver(of.0, "missing", world.following("app", "missing", account)).await;
        world.refused((of.0, "missing"), "NotFound").await;
        let mut local = world.following("app", "stable", account);
        local["repository"] = json!("127.0.0.1:9/app");
        world.deliver(of.0, "local", local).await;
        let message = world.refused((of.0, "local"), "HostNotAllowed").await;
        assert!(message.contains("loopback"), "{message}");
        let mut secret = world.following("app", "stable", account);
        secret["pullSecretName"] = json!("missing");
        world.deliver(of.0, "secret", secret).await;
        world.refused((of.0, "secret"), "AuthenticationFailed").await;
    })
    .await;
}

#[tokio::test]
async fn with_the_registry_down_what_was_applied_is_still_repaired() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "outage", async |world| {
        let mut registry = Registry::embedded();
        let reference = format!("{}/app", registry.host());
        let key = world.key.private().display().to_string();
        let file = maps(world, "1", &[("a", "1")]).display().to_string();
        let pushed = world.cli.run(&["push", &format!("oci://{reference}:stable"), "--key", &key, "-f", &file]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        world.put_policy(policy(&world.namespace, &[&reference], &world.key)).await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller_with(&["--plain-http-host", &registry.host()]).await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = world.following("app", "stable", account);
        spec["repository"] = json!(reference);
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, pushed.digest()).await;
        registry.stop();
        world.kubectl(&["delete", "configmap", "a", "-n", of.0]);
        world.reconcile(of).await;
        world.refused(of, "SourceUnavailable").await;
        assert_eq!(value(world, "a").await.as_deref(), Some("1"));
    })
    .await;
}

fn deployment(world: &World<'_>, file: &str, name: &str, labels: Value) -> PathBuf {
    let mut labels = labels;
    labels["app"] = json!(name);
    let value = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "registry.invalid/app:1"}]},
            },
        },
    });
    world.cli.write(&format!("{file}.yaml"), value.to_string())
}

#[tokio::test]
async fn objects_that_never_settle_fail_in_time_and_a_newer_release_ends_the_wait() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "health", async |world| {
        let never = json!({"testenv.sealift.dev/pod": "never-ready"});
        let first = world.push("app:stable", &[&deployment(world, "1", "web", never.clone())], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller_with(&["--concurrent", "1"]).await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = quiet(world.following("app", "stable", account));
        spec["timeout"] = json!("5s");
        world.deliver(of.0, of.1, spec.clone()).await;
        let delivery = world.wait_for(of, "progressing", |delivery| reason(delivery) == "Progressing").await;
        assert_eq!(word(&delivery, "Reconciling"), "True Progressing");
        world.applied(of, first).await;
        let message = world.refused(of, "HealthCheckFailed").await;
        assert!(message.contains("Deployment") && message.contains("web"), "{message}");
        let delivery = world.deliveries(of.0).get(of.1).await.unwrap();
        assert_eq!(
            (word(&delivery, "Healthy"), word(&delivery, "Stalled")),
            ("False HealthCheckFailed".into(), "True HealthCheckFailed".into())
        );

        // a wait of an hour holds nobody up: neither another Delivery, nor this one's next release nor its deletion
        spec["timeout"] = json!("1h");
        world.deliver(of.0, of.1, spec.clone()).await;
        let second = world.push("app:stable", &[&deployment(world, "2", "other", never)], &[]);
        world.reconcile(of).await;
        world.wait_for(of, "progressing", |delivery| reason(delivery) == "Progressing").await;
        world.applied(of, second).await;
        let beside = (of.0, "beside");
        let digest = world.push("beside:stable", &[&maps(world, "beside", &[("a", "1")])], &[]);
        world.deliver(beside.0, beside.1, quiet(world.following("beside", "stable", account))).await;
        world.delivered(beside, digest).await;
        let third = world.push("app:stable", &[&deployment(world, "3", "other", json!({}))], &[]);
        world.reconcile(of).await;
        world.delivered(of, third).await;
    })
    .await;
}

#[tokio::test]
async fn a_mirror_moves_the_bytes_and_not_the_trust() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "mirror", async |world| {
        let logical = "registry.example/team/app";
        let digest =
            world.push("copies/team/app:stable", &[&maps(world, "1", &[("a", "1")])], &["--repository", logical]);
        let elsewhere = world.push("copies/team/other:stable", &[&maps(world, "2", &[("b", "1")])], &[]);
        world.put_policy(policy(&world.namespace, &["registry.example/team/*"], &world.key)).await;
        let account = world.namespace_account(&world.namespace);
        let mirror = format!("registry.example={}", world.repository("copies"));
        world.start_controller_with(&["--mirror", &mirror]).await;
        let mut spec = quiet(world.following("app", "stable", account));
        spec["repository"] = json!(logical);
        let of = (world.namespace.as_str(), "app");
        world.deliver(of.0, of.1, spec.clone()).await;
        world.delivered(of, digest).await;
        // signed for where it was pushed to, and for no other name
        spec["repository"] = json!("registry.example/team/other");
        world.deliver(of.0, "other", spec).await;
        world.refused((of.0, "other"), "WrongRepository").await;
        assert_ne!(digest, elsewhere);
        assert_eq!(value(world, "b").await, None);
    })
    .await;
}

#[tokio::test]
async fn everything_goes_to_the_target_namespace() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "target", async |world| {
        let digest = world.push("app:stable", &[&maps(world, "1", &[("a", "1")])], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        let target = world.another_namespace("elsewhere").await;
        let subject = format!("--serviceaccount={}:{account}", world.namespace);
        world.kubectl(&["create", "rolebinding", "guest", "--clusterrole=cluster-admin", &subject, "-n", &target]);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = quiet(world.following("app", "stable", account));
        spec["targetNamespace"] = json!(target);
        let uid = world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;
        assert_eq!(world.owned_names(&uid).await, map_names(&["a"], &target));

        // without its account nobody may delete in another namespace: what is left is named, and the Delivery goes
        world.kubectl(&["delete", "serviceaccount", account, "-n", of.0]);
        world.undeliver(of).await;
        assert_eq!(world.owned_names(&uid).await, map_names(&["a"], &target));
        assert!(world.inventory(&uid).await.is_empty());
        assert!(world.controller_log().contains(&format!("ConfigMap {target}/a")), "{}", world.controller_log());
        world.event("Orphaned").await;
    })
    .await;
}

#[tokio::test]
async fn it_tells_how_it_fares_and_ends_when_it_is_asked_to() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "metrics", async |world| {
        let digest = world.push("app:stable", &[&maps(world, "1", &[("a", "1")])], &[]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        let port = free_port();
        let mut command = world.cli.program(binary("sealift-controller"));
        command.args(["run", "--log-format=json", "--metrics-listen", &format!("127.0.0.1:{port}")]);
        command.args(["--plain-http-host", &world.registry.host(), "--watch-namespace", &world.namespace]);
        command.args(["--default-service-account", account]);
        let folder = world.cli.home().join("controller.log");
        let mut controller = Process::start("sealift-controller", command, &folder).unwrap();
        let of = (world.namespace.as_str(), "app");
        let mut spec = quiet(world.following("app", "stable", account));
        spec.as_object_mut().unwrap().remove("serviceAccountName");
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;
        let get = async |path: &str| {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(get("/healthz").await.0, 200);
        assert_eq!(get("/readyz").await.0, 200);
        let metrics = get("/metrics").await.1;
        for line in [
            "sealift_reconcile_total{outcome=\"changed\"} 1",
            "sealift_verdict_total{reason=\"Verified\"}",
            "sealift_deliveries{ready=\"true\"} 1",
            "sealift_applied_objects_total{action=\"created\"} 1",
            "sealift_registry_requests_total{result=\"ok\"}",
            "sealift_build_info",
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
        assert!(!metrics.contains(&world.namespace), "no label names a tenant's things:\n{metrics}");
        let log = controller.log();
        let decision = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let decision = decision.into_iter().find(|line| line["reason"] == "Applied").unwrap_or_else(|| panic!("{log}"));
        assert_eq!((&decision["digest"], &decision["verdict"]), (&json!(digest), &json!("Verified")));
        let status = controller.terminate(std::time::Duration::from_secs(20));
        assert!(status.is_some_and(|status| status.success()), "{}", controller.log());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_judges_health_in_its_own_words() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "checks", async |world| {
        let group = format!("{}.example", world.namespace);
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("gauges.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": "Gauge", "plural": "gauges"},
                "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
            },
        });
        let gauge = json!({"apiVersion": format!("{group}/v1"), "kind": "Gauge", "metadata": {"name": "one"}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [definition, gauge]});
        let digest = world.push("app:stable", &[&world.cli.write("app.yaml", list.to_string())], &[]);
        world.trust().await;
        let account = world.cluster_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let mut spec = quiet(world.following("app", "stable", account));
        let check = |current: &str| {
            json!([{"apiVersion": format!("{group}/v1"), "kind": "Gauge", "current": current, "failed": "status.needle > 90"}])
        };

        // an expression that cannot be used is told before anything is applied
        spec["healthChecks"] = check("state.needle > 10");
        let uid = world.deliver(of.0, of.1, spec.clone()).await;
        let message = world.refused(of, "InvalidSpec").await;
        assert!(message.contains("spec.healthChecks[0].current cannot be used") && message.contains("state"), "{message}");
        assert!(world.owned_names(&uid).await.is_empty());

        // as long as it does not hold, or cannot be evaluated, the release is on its way
        spec["healthChecks"] = check("status.needle > 10");
        world.deliver(of.0, of.1, spec).await;
        let ready = |delivery: &Delivery| {
            let conditions = delivery.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
            condition(conditions, "Ready").map(|ready| format!("{}: {}", ready.reason, ready.message)).unwrap_or_default()
        };
        let says = |words: &'static str| move |delivery: &Delivery| ready(delivery).contains(words);
        world.wait_for(of, "no needle yet", |delivery| says("Progressing: ")(delivery) && says("health check failed: it cannot")(delivery)).await;
        let turn = |needle: u32| {
            let status = json!({"status": {"needle": needle}}).to_string();
            let object = format!("gauges.{group}");
            world.kubectl(&["patch", &object, "one", "-n", of.0, "--subresource=status", "--type=merge", "-p", &status]);
        };
        turn(5);
        world.wait_for(of, "a low needle", says("does not hold: status.needle > 10")).await;

        // a failure is told once it lasts, and is over when it is
        turn(99);
        let message = world.refused(of, "HealthCheckFailed").await;
        assert!(message.contains("Gauge") && message.contains("degraded, its health check says failed: status.needle > 90"), "{message}");
        turn(50);
        world.delivered(of, digest).await;
    })
    .await;
}

#[tokio::test]
async fn a_kind_that_somebody_took_away_holds_no_deletion_up() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "kindless", async |world| {
        let group = format!("{}.example", world.namespace);
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }}}],
            },
        });
        let widget = json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "one"}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [definition, widget]});
        let digest = world.push("app:stable", &[&world.cli.write("app.yaml", list.to_string())], &[]);
        world.trust().await;
        let account = world.cluster_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "app");
        let uid = world.deliver(of.0, of.1, quiet(world.following("app", "stable", account))).await;
        world.delivered(of, digest).await;
        assert_eq!(world.owned_names(&uid).await.len(), 2);
        // a controller that never saw the kind has to tell "gone" from "its server is down"
        world.kill_controller();
        world.deliveries(of.0).delete(of.1, &DeleteParams::default()).await.unwrap();
        world.kubectl(&["delete", "customresourcedefinition", &format!("widgets.{group}")]);
        world
            .until("the group to be gone", async || {
                let groups = world.kubectl(&["api-versions"]);
                if groups.contains(&group) { Err(groups) } else { Ok(()) }
            })
            .await;
        world.start_controller().await;
        world.gone(of).await;
        assert!(world.inventory(&uid).await.is_empty());
    })
    .await;
}
