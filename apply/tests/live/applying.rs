//! How objects are applied: what it costs, what is refused before anything is written, what is replaced or left alone.

#![allow(clippy::unwrap_used, reason = "all of it is test code, which clippy does not see outside of tests")]

use std::time::{Duration, Instant};

use sealift_apply::{
    api::{APPLY_ANNOTATION, Adopt, IMMUTABLE_ANNOTATION, Immutable, OWNER_LABEL, Validation},
    apply::ApplyError,
    assess::assess,
    change::{Action, Why},
    cluster::ClusterError,
    health::HealthChecks,
    inventory::Key,
    order::Stage,
    prune::Until,
    takeover::Managers,
    terminating,
};
use sealift_e2e::Request;
use sealift_verify::objects::identity;
use serde_json::{Value, json};

use crate::{
    requests, with_delivery,
    world::{Delivery, counts},
};

/// The app of the benchmark: account, service, workload, ingress.
fn app(delivery: &Delivery, cpu: &str) -> [Value; 4] {
    let of = |api: &str, kind: &str, spec: Value| {
        let mut object =
            json!({"apiVersion": api, "kind": kind, "metadata": {"name": "app", "namespace": delivery.namespace}});
        if !spec.is_null() {
            object["spec"] = spec;
        }
        object
    };
    let container = json!({"name": "main", "image": "registry.invalid/app:1", "resources": {"requests": {"cpu": cpu}}});
    [
        of("v1", "ServiceAccount", Value::Null),
        of("v1", "Service", json!({"selector": {"app": "app"}, "ports": [{"port": 80}]})),
        of(
            "apps/v1",
            "Deployment",
            json!({"replicas": 0, "selector": {"matchLabels": {"app": "app"}},
                "template": {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [container]}}}),
        ),
        of(
            "networking.k8s.io/v1",
            "Ingress",
            json!({"rules": [{"host": "app.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "app", "port": {"number": 80}}}}]}}]}),
        ),
    ]
}

/// Verb and resource of each request, sorted; a dry-run is marked.
fn asked(requests: &[Request]) -> Vec<String> {
    let word = |request: &Request| {
        format!("{}{} {}", if request.is_dry_run() { "dry " } else { "" }, request.verb, request.resource)
    };
    let mut words: Vec<_> = requests.iter().map(word).collect();
    words.sort();
    words
}

async fn cost(delivery: &Delivery, release: &[Value]) -> Vec<String> {
    let mark = delivery.control_plane.audit().mark();
    delivery.deliver(release).await.unwrap();
    asked(&requests(delivery, mark))
}

#[tokio::test]
async fn a_new_app_costs_one_request_an_object_and_a_change_touches_what_changed() {
    with_delivery("cost", async |mut delivery| {
        delivery.presumes = true;
        delivery.options.validation = Validation::None;
        let four = ["patch deployments", "patch ingresses", "patch serviceaccounts", "patch services"];
        // The creation of an inventory names no namespace: e2e/tests/applying.rs counts that one too.
        let install = cost(&delivery, &app(&delivery, "1m")).await;
        assert_eq!(install, [&["list inventories"], &four[..], &["update inventories"]].concat());
        let mut other = app(&delivery, "1m");
        other[1]["spec"]["ports"][0]["port"] = json!(81);
        let upgrade = cost(&delivery, &other).await;
        assert_eq!(upgrade, ["list inventories", "patch services", "update inventories"]);
        assert_eq!(cost(&delivery, &other).await, ["list inventories"]);

        // No watch tells here whether somebody has scaled it, so it is looked at before its replicas are said again.
        other[2] = app(&delivery, "2m")[2].clone();
        let upgrade = cost(&delivery, &other).await;
        let looked = ["dry patch deployments", "get deployments", "list inventories", "patch deployments"];
        assert_eq!(upgrade, [&looked[..], &["update inventories"]].concat());

        delivery.options.validation = Validation::DryRun;
        other[1]["spec"]["ports"][0]["port"] = json!(82);
        let upgrade = cost(&delivery, &other).await;
        assert_eq!(upgrade, ["dry patch services", "list inventories", "patch services", "update inventories"]);
    })
    .await;
}

#[tokio::test]
async fn what_the_server_answered_to_a_write_need_not_be_asked_for() {
    with_delivery("answer", async |mut delivery| {
        delivery.presumes = true;
        let release = app(&delivery, "1m");
        let done = delivery.deliver(&release).await.unwrap();
        let id = identity::of(&release[2]).unwrap();
        let answer = done.answer(&id).unwrap();
        assert_eq!(answer.mark.uid, delivery.field("deployment/app", ".metadata.uid"));
        assert_eq!(delivery.inventory().await.row(&Key::of(&id)).unwrap().mark.as_ref(), Some(&answer.mark));
        let value = answer.value.as_ref().unwrap();
        assert_eq!(value["spec"]["replicas"], 0);
        assert!(value["metadata"]["managedFields"].is_null() && !answer.resource_version.is_empty());
        assert!(done.answer(&identity::of(&release[0]).unwrap()).unwrap().value.is_none(), "always healthy");
    })
    .await;
}

#[tokio::test]
async fn an_object_that_was_there_all_along_is_found_out_and_judged_before_anything_is_written() {
    with_delivery("presumed", async |mut delivery| {
        delivery.presumes = true;
        // Nobody's: adopted. Helm's: refused, and with it what comes in earlier stages.
        delivery.kubectl(&["create", "configmap", "found", "--from-literal=key=old"]);
        delivery.kubectl(&["create", "deployment", "web", "--image=registry.invalid/web", "--replicas=0"]);
        delivery.kubectl(&["annotate", "deployment", "web", "meta.helm.sh/release-name=web"]);
        let release = [delivery.config_map("found", "new"), delivery.deployment("web", true)];
        for validation in [Validation::DryRun, Validation::None] {
            delivery.options.validation = validation;
            let error = delivery.deliver(&release).await.unwrap_err();
            assert!(error.to_string().contains("managed by Helm release /web"), "{error}");
            let applied = error.applied();
            let before: &[Stage] = if validation == Validation::None { &[Stage::Configuration] } else { &[] };
            assert_eq!(applied, before, "{error}");
            let value = if validation == Validation::None { "new" } else { "old" };
            assert_eq!(delivery.field("configmap/found", ".data.key"), value);
        }
        assert_eq!(delivery.field("deployment/web", ".metadata.labels.app"), "web", "untouched");
        delivery.options.adopt = Adopt::TakeOver;
        delivery.deliver(&release).await.unwrap();
        assert_eq!(delivery.field("deployment/web", r".metadata.labels.sealift\.dev/delivery"), delivery.owner.uid);
    })
    .await;
}

#[tokio::test]
async fn an_object_that_vanished_or_was_made_anew_since_it_was_applied_is_applied_all_the_same() {
    with_delivery("vanished", async |mut delivery| {
        delivery.presumes = true;
        delivery.deliver(&[delivery.config_map("gone", "1"), delivery.config_map("anew", "1")]).await.unwrap();
        delivery.kubectl(&["delete", "configmap", "gone", "anew"]);
        delivery.kubectl(&["create", "configmap", "anew", "--from-literal=mine=1"]);
        let done =
            delivery.deliver(&[delivery.config_map("gone", "2"), delivery.config_map("anew", "2")]).await.unwrap();
        assert_eq!(counts(&done), [(Action::Created, 1), (Action::Configured, 1)]);
        assert_eq!(delivery.field("configmap/gone", ".data.key"), "2");
        assert_eq!(delivery.field("configmap/anew", ".data.key"), "2");
    })
    .await;
}

#[tokio::test]
async fn what_kubectl_applied_goes_when_the_release_does_not_hold_it() {
    with_delivery("takeover", async |mut delivery| {
        delivery.options.take_over = Managers::new(vec!["kubectl*".into()]);
        let by_hand = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": delivery.namespace}, "data": {"key": "0", "old": "1"}});
        for name in ["taken", "merged"] {
            let file = tempfile(&by_hand(name));
            delivery.kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
        }
        let mut merged = delivery.config_map("merged", "1");
        merged["metadata"]["annotations"] = json!({APPLY_ANNOTATION: "merge"});
        let release = [delivery.config_map("taken", "1"), merged];
        delivery.deliver(&release).await.unwrap();
        assert_eq!(delivery.field("configmap/taken", ".data"), r#"{"key":"1"}"#);
        assert_eq!(delivery.field("configmap/merged", ".data"), r#"{"key":"1","old":"1"}"#);
        let managers = delivery.field("configmap/taken", ".metadata.managedFields[*].manager");
        assert_eq!(managers, "sealift");
        // kubectl's own record of what it applied went with its fields
        assert_eq!(delivery.field("configmap/taken", r".metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration"), "");
        assert_eq!(counts(&delivery.deliver(&release).await.unwrap()), [(Action::Unchanged, 2)], "once is enough");
    })
    .await;
}

pub(crate) fn tempfile(value: &Value) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value.to_string()).unwrap();
    file
}

/// Objects of which something is changed that cannot change.
fn immutable_pairs(delivery: &Delivery) -> Vec<(&'static str, Value, Value)> {
    let of = |api: &str, kind: &str, name: &str, body: Value| {
        let mut object =
            json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": delivery.namespace}});
        object.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        object
    };
    let job = |image: &str| {
        of(
            "batch/v1",
            "Job",
            "job",
            json!({"spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "main", "image": image}]}}}}),
        )
    };
    let set = |name: &str| {
        of(
            "apps/v1",
            "StatefulSet",
            "set",
            json!({"spec": {"serviceName": name, "replicas": 0,
            "selector": {"matchLabels": {"app": "set"}}, "template": {"metadata": {"labels": {"app": "set"}},
            "spec": {"containers": [{"name": "main", "image": "registry.invalid/a"}]}}}}),
        )
    };
    // With a selector: a headless one without it becomes dual-stack, which the API server names first where it is not
    // set up for that.
    let service = |address: &str| {
        let spec = json!({"clusterIP": address, "selector": {"app": "service"}, "ports": [{"port": 80}]});
        of("v1", "Service", "service", json!({"spec": spec}))
    };
    let binding = |role: &str| {
        of(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            "binding",
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}}),
        )
    };
    let mut web = delivery.deployment("web", true);
    let before = web.clone();
    web["spec"]["selector"]["matchLabels"]["tier"] = "web".into();
    web["spec"]["template"]["metadata"]["labels"]["tier"] = "web".into();
    vec![
        ("job", job("registry.invalid/a"), job("registry.invalid/b")),
        ("statefulset", set("one"), set("two")),
        ("service", service("10.96.33.44"), service("None")),
        ("rolebinding", binding("view"), binding("edit")),
        ("deployment", before, web),
    ]
}

#[tokio::test]
async fn what_cannot_change_is_refused_with_a_hint_and_recreated_where_that_is_asked_for() {
    with_delivery("immutable", async |mut delivery| {
        for (kind, before, after) in immutable_pairs(&delivery) {
            delivery.options.immutable = Immutable::Refuse;
            let object = format!("{kind}/{}", before["metadata"]["name"].as_str().unwrap());
            delivery.deliver(std::slice::from_ref(&before)).await.unwrap();
            let uid = delivery.field(&object, ".metadata.uid");
            let error = delivery.deliver(std::slice::from_ref(&after)).await.unwrap_err();
            assert!(matches!(error.objects()[0].why, Why::Immutable { .. }), "{kind}: {error:?}");
            assert!(error.to_string().contains("sealift.dev/immutable: recreate") && !error.is_transient(), "{error}");
            assert_eq!(delivery.field(&object, ".metadata.uid"), uid, "{kind}");

            let mut annotated = after.clone();
            annotated["metadata"]["annotations"] = json!({IMMUTABLE_ANNOTATION: "recreate"});
            let done = delivery.deliver(std::slice::from_ref(&annotated)).await.unwrap();
            assert!(done.entries[0].reason.as_ref().unwrap().contains("created anew"), "{kind}: {done:?}");
            let second = delivery.field(&object, ".metadata.uid");
            assert!(!second.is_empty() && second != uid, "{kind}");

            delivery.options.immutable = Immutable::Recreate;
            delivery.options.validation = Validation::None;
            delivery.deliver(std::slice::from_ref(&before)).await.unwrap();
            assert_ne!(delivery.field(&object, ".metadata.uid"), second, "{kind}: without a dry-run as well");
            delivery.options.validation = Validation::DryRun;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_deleted_whose_successor_the_server_would_not_take_or_that_holds_data() {
    with_delivery("held", async |mut delivery| {
        delivery.options.immutable = Immutable::Recreate;
        let (_, before, mut after) = immutable_pairs(&delivery).pop().unwrap();
        let claim = |size: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": delivery.namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": size, "resources": {"requests": {"storage": "1Gi"}}}});
        delivery.deliver(&[before, claim("a")]).await.unwrap();
        let uids = || (delivery.field("deployment/web", ".metadata.uid"), delivery.field("pvc/data", ".metadata.uid"));
        let both = uids();
        after["spec"]["template"]["spec"]["containers"][0]["name"] = "Not A Name".into();
        let error = delivery.deliver(&[after.clone(), claim("b")]).await.unwrap_err();
        assert!(matches!(&error, ApplyError::Refused { stage: None, .. }), "{error:?}");
        let whys: Vec<_> = error.objects().iter().map(|refused| (refused.id.kind.as_str(), refused.why.to_string())).collect();
        assert_eq!(whys.len(), 2, "{whys:?}");
        assert!(whys.iter().any(|(kind, why)| *kind == "PersistentVolumeClaim" && why.contains("what it holds would be deleted")), "{whys:?}");
        assert!(whys.iter().any(|(kind, why)| *kind == "Deployment" && why.contains("Not A Name")), "{whys:?}");
        assert_eq!(uids(), both);
    })
    .await;
}

#[tokio::test]
async fn an_object_says_for_itself_whether_it_is_applied() {
    with_delivery("manner", async |mut delivery| {
        let said = |name: &str, value: &str, word: &str| {
            let mut map = delivery.config_map(name, value);
            map["metadata"]["annotations"] = json!({APPLY_ANNOTATION: word});
            map
        };
        delivery.kubectl(&["create", "configmap", "theirs", "--from-literal=key=theirs"]);
        let release = |value: &str| {
            [
                said("ignored", value, "ignore"),
                said("once", value, "ifNotPresent"),
                said("theirs", value, "ifNotPresent"),
                delivery.config_map("plain", value),
            ]
        };
        let (first, second, wrong) = (release("1"), release("2"), said("wrong", "1", "never"));
        for presumes in [true, false] {
            delivery.presumes = presumes;
            let done = delivery.deliver(if presumes { &first } else { &second }).await.unwrap();
            let expected = if presumes {
                [(Action::Created, 2), (Action::Skipped, 2)]
            } else {
                [(Action::Configured, 1), (Action::Skipped, 3)]
            };
            assert_eq!(counts(&done), expected, "{done:?}");
        }
        assert!(!delivery.exists("configmap/ignored"));
        assert_eq!(delivery.field("configmap/once", ".data.key"), "1");
        assert_eq!(delivery.field("configmap/theirs", ".data.key"), "theirs");
        let rows: Vec<_> = delivery.inventory().await.rows().map(|row| row.name.clone()).collect();
        assert_eq!(rows, ["once", "plain"], "only what it made is its own");
        let error = delivery.deliver(&[wrong]).await.unwrap_err();
        assert!(error.to_string().contains("ignore or ifNotPresent or merge"), "{error}");
        delivery.deliver(&[delivery.config_map("plain", "2")]).await.unwrap();
        assert!(!delivery.exists("configmap/once") && delivery.exists("configmap/theirs"));
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_does_not_go_is_told_and_tried_again() {
    with_delivery("stuck", async |delivery| {
        let mut stuck = delivery.config_map("stuck", "1");
        stuck["metadata"]["finalizers"] = json!(["example.com/never"]);
        let inner = format!("{}-inner", delivery.namespace);
        let within = |mut map: Value| {
            map["metadata"]["namespace"] = inner.clone().into();
            map
        };
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": inner}});
        delivery.deliver(&[space.clone(), within(stuck.clone())]).await.unwrap();
        delivery.kubectl(&["delete", "namespace", &inner, "--wait=false"]);
        let new = within(delivery.config_map("new", "1"));
        // What holds it is told once the server has come upon it.
        let held = "finalizers remaining: example.com/never";
        let until = Instant::now() + Duration::from_secs(120);
        for (value, words) in [(new, "because it is being terminated"), (space, "is being deleted")] {
            loop {
                let error = delivery.deliver(std::slice::from_ref(&value)).await.unwrap_err();
                assert!(error.is_transient() && error.to_string().contains(words), "{error}");
                if error.to_string().contains(held) {
                    break;
                }
                assert!(Instant::now() < until, "{error}");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        let left = delivery.delete_all(Until::Gone).await.deleting;
        let told = terminating::told(&delivery.controller, &left).await;
        assert!(told.iter().any(|told| told.contains(&inner) && told.contains(held)), "{left:?}: {told:?}");
        delivery.kubectl(&[
            "patch",
            "configmap",
            "stuck",
            "-n",
            &inner,
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ]);
    })
    .await;
}

#[tokio::test]
async fn what_was_applied_in_a_version_that_is_gone_is_still_pruned() {
    with_delivery("versions", async |delivery| {
        let (mut definition, group) = delivery.definition();
        let mut old = delivery.widget("one", json!({"size": 1}));
        delivery.deliver(&[definition.clone(), old.clone(), delivery.widget("two", json!({"size": 1}))]).await.unwrap();
        let mut next = definition["spec"]["versions"][0].clone();
        next["name"] = "v2".into();
        definition["spec"]["versions"].as_array_mut().unwrap().push(next);
        definition["spec"]["versions"][0]["storage"] = false.into();
        definition["spec"]["versions"][0]["served"] = false.into();
        old["apiVersion"] = format!("{group}/v2").into();
        // In the same release: the version that goes, the one that comes, and one object that leaves.
        let done = delivery.deliver(&[definition.clone(), old.clone()]).await.unwrap();
        assert_eq!(done.count(Action::Deleted), 1, "{done:?}");
        assert!(delivery.exists(&delivery.widget_named("one")) && !delivery.exists(&delivery.widget_named("two")));
        assert_eq!(delivery.inventory().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_changes_its_kind_is_made_under_the_new_one_and_pruned_under_the_old() {
    with_delivery("kinds", async |mut delivery| {
        let of = |kind: &str, name: &str| {
            let mut value = delivery.deployment("web", true);
            value["kind"] = kind.into();
            value["metadata"]["name"] = name.into();
            value
        };
        let map = delivery.config_map("settings", "1");
        let mut secret = map.clone();
        (secret["kind"], secret["data"]) = ("Secret".into(), json!({"key": "MQ=="}));
        let (before, after) = ([of("Deployment", "web"), map], [of("StatefulSet", "web"), secret]);
        for presumes in [false, true] {
            delivery.presumes = presumes;
            delivery.deliver(&before).await.unwrap();
            let done = delivery.deliver(&after).await.unwrap();
            assert_eq!(counts(&done), [(Action::Created, 2), (Action::Deleted, 2)], "{done:?}");
            let exists = |names: [&str; 2]| names.map(|name| delivery.exists(name));
            assert_eq!(exists(["statefulset/web", "secret/settings"]), [true, true]);
            assert_eq!(exists(["deployment/web", "configmap/settings"]), [false, false]);
            assert_eq!(delivery.inventory().await.len(), 2);
            delivery.deliver(&before).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn large_objects_are_applied_and_their_refusal_is_short() {
    with_delivery("large", async |mut delivery| {
        delivery.presumes = true;
        let noise = |bytes: usize| -> String {
            (0..)
                .flat_map(|n: u32| {
                    sealift_verify::digest::Digest::of(&n.to_be_bytes()).hex().chars().collect::<Vec<_>>()
                })
                .take(bytes)
                .collect()
        };
        let release = [delivery.config_map("large", &noise(1_000_000))];
        assert_eq!(counts(&delivery.deliver(&release).await.unwrap()), [(Action::Created, 1)]);
        assert_eq!(counts(&delivery.deliver(&release).await.unwrap()), [(Action::Unchanged, 1)]);
        let error = delivery.deliver(&[delivery.config_map("larger", &noise(1_100_000))]).await.unwrap_err();
        assert!(error.to_string().len() < 1_000, "{}", error.to_string().len());
        assert!(error.to_string().contains("Too long") && !error.is_transient(), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_later_stage_that_is_refused_says_what_was_applied_before() {
    with_delivery("partly", async |mut delivery| {
        delivery.kubectl(&["create", "serviceaccount", "deployer"]);
        delivery.kubectl(&["create", "role", "deployer", "--verb=*", "--resource=configmaps"]);
        let account = format!("--serviceaccount={}:deployer", delivery.namespace);
        delivery.kubectl(&["create", "rolebinding", "deployer", "--role=deployer", &account]);
        delivery.account = delivery.controller.as_service_account(&delivery.namespace, "deployer").unwrap();
        delivery.presumes = true;
        // Forbidden might be cured by a grant of an earlier stage, so it is asked again there.
        let release = [delivery.config_map("config", "1"), delivery.deployment("web", true)];
        let error = delivery.deliver(&release).await.unwrap_err();
        assert!(matches!(&error, ApplyError::Refused { stage: Some(Stage::Workloads), .. }), "{error:?}");
        assert!(matches!(&error.objects()[0].why, Why::Cluster(ClusterError::Answer { .. })));
        assert!(error.to_string().ends_with("applied before: configuration"), "{error}");
        assert!(delivery.exists("configmap/config") && !delivery.exists("deployment/web"));
        let ids: Vec<_> = release.iter().map(|value| identity::of(value).unwrap()).collect();
        assert!(!assess(&delivery.controller, &ids, &HealthChecks::default()).await.is_healthy());
        let owned = delivery.kubectl(&[
            "get",
            "configmap",
            "-l",
            &format!("{OWNER_LABEL}={}", delivery.owner.uid),
            "-o",
            "name",
        ]);
        assert_eq!(owned.trim(), "configmap/config");
    })
    .await;
}
