//! What tenants may do, by what is denied: the tables of `docs/tenants.md` are made from what a real API server answered.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

#[path = "tenants/actors.rs"]
mod actors;
#[path = "tenants/attempts.rs"]
mod attempts;
#[path = "tenants/denied.rs"]
mod denied;
#[path = "tenants/managed.rs"]
mod managed;
#[path = "tenants/published.rs"]
mod published;

use std::process::Command;

use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use sealift_apply::api::{Delivery, DriftState};
use sealift_e2e::{ControlPlane, World, binary, is_ready, workspace};
use serde_json::{Value, json};

use actors::{CONTROLLER, ON_CALL, OPERATOR};

/// Prints the policy for these tests and applies it; answers once it is in force.
async fn install_policy(world: &World<'_>) {
    let mut command = Command::new(binary("sealift-controller"));
    let printed = command.args(["admission-policy", "--break-glass-group", ON_CALL, "--operator", OPERATOR]).output();
    let text = String::from_utf8(printed.unwrap().stdout).unwrap();
    let file = world.cli.write("admission.yaml", text).display().to_string();
    world.kubectl(&["apply", "--server-side", "-f", &file]);
    for policy in ["sealift-managed-objects", "sealift-records"] {
        let of = ["get", "validatingadmissionpolicy", policy, "-o"];
        world
            .until("the expressions to be checked", async || {
                match world.kubectl(&[&of[..], &["jsonpath={.status.observedGeneration}"]].concat()).as_str() {
                    "" => Err("not yet".to_owned()),
                    _ => Ok(()),
                }
            })
            .await;
        let warnings = world.kubectl(&[&of[..], &["jsonpath={.status.typeChecking.expressionWarnings}"]].concat());
        assert_eq!(warnings, "", "{policy}");
    }
    let labelled = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "forged", "labels": {"sealift.dev/delivery": "u1"}}});
    let file = world.cli.write("forged.json", labelled.to_string()).display().to_string();
    world
        .until("the policy to be in force", async || {
            let create = world.control_plane.kubectl(&["create", "-n", &world.namespace, "-f", &file]);
            match create {
                Err(error) if error.to_string().contains("ValidatingAdmissionPolicy") => Ok(()),
                Err(error) => panic!("{error}"),
                Ok(_) => {
                    world.kubectl(&["delete", "-n", &world.namespace, "-f", &file]);
                    Err("it was created".to_owned())
                }
            }
        })
        .await;
}

/// Rights for whoever has a name and no account.
fn grant_everything(world: &World<'_>) {
    let group = format!("--group={ON_CALL}");
    world.kubectl(&["create", "clusterrolebinding", "oncall", "--clusterrole=cluster-admin", &group]);
    let user = format!("--user={OPERATOR}");
    world.kubectl(&["create", "clusterrolebinding", "operator", "--clusterrole=cluster-admin", &user]);
}

#[tokio::test]
async fn only_sealift_and_whom_the_policy_names_change_what_is_managed() {
    // The policy is about the whole cluster.
    let Some(control_plane) = ControlPlane::start() else { return };
    World::run(&control_plane, "managed", async |world| {
        let elsewhere = world.another_namespace("elsewhere").await;
        world.namespace_account(&world.namespace);
        world.cluster_account(&elsewhere);
        grant_everything(world);
        install_policy(world).await;
        published::held("managed", &managed::table(world, &elsewhere).await);
    })
    .await;
}

/// The files of a release with what controllers of the cluster make more of: ReplicaSets, Pods, EndpointSlices.
fn release(world: &World<'_>, value: &str) -> std::path::PathBuf {
    let labels = json!({"app": "web"});
    let container = json!({"name": "main", "image": "registry.invalid/web:1", "ports": [{"containerPort": 80}]});
    let objects = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"key": value}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": labels, "ports": [{"port": 80}]}}),
    ];
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    world.cli.write(&format!("release-{value}.yaml"), text.join("\n---\n"))
}

#[tokio::test]
async fn under_the_policy_releases_come_are_repaired_and_go_and_the_cluster_does_its_part() {
    let Some(control_plane) = ControlPlane::start() else { return };
    World::run(&control_plane, "policy", async |world| {
        grant_everything(world);
        install_policy(world).await;
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let first = world.push("acme/web:prod", &[&release(world, "one")], &[]);
        world.start_controller_with(&["--break-glass=1h"]).await;
        let of = (world.namespace.as_str(), "web");
        let spec = || {
            let mut spec = world.following("acme/web", "prod", account);
            spec["interval"] = "10s".into();
            spec
        };
        let uid = world.deliver(of.0, of.1, spec()).await;
        world.delivered(of, first).await;
        let get = |what: &str, path: &str| world.kubectl(&["get", what, "-n", of.0, "-o", &format!("jsonpath={path}")]);
        // A Service's labels are given to its EndpointSlices: they carry ours, and are the cluster's to write.
        world
            .until("endpoints", async || {
                let slices = ["get", "endpointslices", "-n", of.0, "-l", &format!("sealift.dev/delivery={uid}")];
                let ready = [&slices[..], &["-o", "jsonpath={.items[*].endpoints[*].conditions.ready}"]].concat();
                let found = world.kubectl(&ready);
                if found.contains("true") { Ok(()) } else { Err(found) }
            })
            .await;

        // A tenant with every right in the namespace.
        let as_tenant = format!("--as=system:serviceaccount:{}:{account}", of.0);
        let tenant = |arguments: &[&str]| {
            let all = [arguments, &["-n", of.0, &as_tenant][..]].concat();
            control_plane.kubectl(&all).map_err(|error| error.to_string())
        };
        for denied in [
            &["delete", "deployment", "web"][..],
            &["delete", "configmaps", "--all"],
            &["rollout", "restart", "deployment/web"],
            &["label", "service", "web", "sealift.dev/delivery-"],
            &["set", "image", "deployment/web", "main=registry.invalid/evil"],
        ] {
            let error = tenant(denied).unwrap_err();
            assert!(error.contains(&format!("the Delivery {}/web manages this object", of.0)), "{denied:?}: {error}");
        }
        tenant(&["scale", "deployment/web", "--replicas=2"]).unwrap();

        // What the controller remembers is its own, whatever RBAC says.
        for record in ["inventories", "acceptedreleases"] {
            let annotate = ["annotate", record, "--all", "by=hand", "--overwrite"];
            let error = control_plane.kubectl(&annotate).unwrap_err().to_string();
            assert!(error.contains("only the controller of Sealift writes its records"), "{record}: {error}");
            let error = control_plane.kubectl(&["delete", record, "--all"]).unwrap_err().to_string();
            assert!(error.contains("only the controller of Sealift writes its records"), "{record}: {error}");
        }
        let annotate = ["annotate", "acceptedreleases", "--all", "by=hand", "--as=dana", "--as-group=oncall"];
        world.kubectl(&annotate);
        // Hands hold only what the inventory says was applied, which is written when there is time.
        world.confirmed(&uid).await;

        // The group says until when: the change stands, and is told.
        let by_hand = |until: &str| {
            let annotations =
                json!({"sealift.dev/break-glass-until": until, "sealift.dev/break-glass-reason": "disk full"});
            let body = json!({"metadata": {"annotations": annotations}, "data": {"key": "dana"}}).to_string();
            let patch = ["patch", "configmap", "config", "--type=merge", "-p", &body, "-n", of.0];
            world.kubectl(&[&patch[..], &["--as=dana", "--as-group=oncall"]].concat());
        };
        let unsaid = ["patch", "configmap", "config", "--type=merge", "-p", r#"{"data":{"key":"dana"}}"#, "-n", of.0];
        let error = control_plane.kubectl(&[&unsaid[..], &["--as=dana", "--as-group=oncall"]].concat()).unwrap_err();
        assert!(error.to_string().contains("say first until when"), "{error}");
        let now = jiff::Timestamp::now();
        let hence = |seconds| (now + jiff::SignedDuration::from_secs(seconds)).to_string();
        by_hand(&hence(1800));
        let held = |delivery: &Delivery| {
            let drift = delivery.status.as_ref().and_then(|status| status.drift.as_ref());
            drift.is_some_and(|drift| drift.objects.iter().any(|object| object.state == DriftState::Held))
        };
        world.wait_for(of, "the change held", held).await;
        world.event("DriftHeld").await;
        let delivery = world.reconcile(of).await;
        assert!(held(&delivery) && is_ready(&delivery));
        assert_eq!(get("configmap/config", "{.data.key}"), "dana");
        let told = serde_json::to_string(&delivery.status.unwrap().drift).unwrap();
        assert!(told.contains("held for a break-glass change until") && told.contains("disk full"), "{told}");
        // So does a plan of the same again say.
        let delivery = format!("{}/{}", of.0, of.1);
        let plan =
            world.cli.run(&["plan", "-f", &release(world, "one").display().to_string(), "--delivery", &delivery]);
        let left = plan.stdout.lines().find(|line| line.contains("a break-glass change of it is held"));
        assert!(left.is_some_and(|line| line.contains("config")), "{}{}", plan.stdout, plan.stderr);

        // A release that changes the object ends it.
        let second = world.push("acme/web:prod", &[&release(world, "two")], &[]);
        let delivery = world.delivered(of, second).await;
        assert!(!held(&delivery));
        let annotations = || get("configmap/config", "{.metadata.annotations}");
        assert_eq!(get("configmap/config", "{.data.key}"), "two");
        assert!(!annotations().contains("break-glass"), "{}", annotations());

        // And so does its time, also under a freeze: what is put back is what was released before.
        world.cli.succeed(&["freeze", "tenants", "--until", "1h", "--reason", "year-end close", "--namespace", of.0]);
        let unseen = world.push("acme/web:prod", &[&release(world, "unseen")], &[]);
        world.refused(of, "Frozen").await;
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(8);
        by_hand(&end.to_string());
        world
            .until("repair", async || match (get("configmap/config", "{.data.key}").as_str(), annotations()) {
                ("two", text) if !text.contains("break-glass") => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        assert!(jiff::Timestamp::now() >= end, "it was put right before its time was over");
        // What asks for more than the platform gives is put right at once.
        by_hand(&hence(36_000));
        world
            .until("repair", async || match (get("configmap/config", "{.data.key}").as_str(), annotations()) {
                ("two", text) if !text.contains("break-glass") => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;

        world.cli.succeed(&["freeze", "tenants", "--end"]);
        world.delivered(of, unseen).await;
        // Without the right to say for which Delivery, nothing is applied and its rights are blamed.
        let (home, name) = CONTROLLER;
        let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(world.client.clone());
        let whole = roles.get(name).await.unwrap();
        let mut older = whole.clone();
        older
            .rules
            .as_mut()
            .unwrap()
            .retain(|rule| !rule.resources.iter().flatten().any(|resource| resource.starts_with("userextras")));
        assert_ne!(older.rules, whole.rules, "{home}/{name} names the extra");
        roles.replace(name, &PostParams::default(), &older).await.unwrap();
        let third = world.push("acme/web:prod", &[&release(world, "three")], &[]);
        let message = world.wait_for(of, "the rights blamed", |delivery| {
            serde_json::to_string(&delivery.status).unwrap().contains("the controller lacks the right to impersonate")
        });
        message.await;
        let now = roles.get(name).await.unwrap();
        let metadata = ObjectMeta { resource_version: now.metadata.resource_version, ..whole.metadata.clone() };
        let whole = k8s_openapi::api::rbac::v1::ClusterRole { metadata, ..whole };
        roles.replace(name, &PostParams::default(), &whole).await.unwrap();
        world.delivered(of, third).await;

        // A namespace goes with all that is managed in it.
        world.kubectl(&["delete", "namespace", of.0, "--wait=false"]);
        world
            .until("the namespace gone", async || {
                match control_plane.kubectl(&["get", "namespace", of.0, "-o", "jsonpath={.status.conditions}"]) {
                    Err(_) => Ok(()),
                    Ok(state) => Err(state),
                }
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn what_a_tenant_and_the_controller_may_not_do_is_denied() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "tenant", async |world| {
        published::held("rights", &denied::rights(world).await);
        published::held("attempts", &denied::attempts(world).await);
    })
    .await;
}

#[test]
fn the_page_about_tenants_is_linked() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    assert!(readme.contains("docs/tenants.md"));
}
