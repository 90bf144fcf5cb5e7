//! The engine on a real API server.

mod applying;
mod webhooks;
mod world;

use std::{collections::BTreeSet, time::Duration};

use sealift_apply::{
    api::OWNER_LABEL,
    apply::{Access, ApplyError, apply, prepare},
    assess::assess,
    change::{Action, Why},
    cluster::Cluster,
    explain::explain,
    health::HealthChecks,
    inventory::{Key, store},
    observe::{Unknown, observe},
    options::Options,
    plan::{plan, preview},
    prune::Until,
};
use sealift_e2e::{AuditMark, ControlPlane, Request};
use sealift_verify::{
    digest::Digest,
    objects::{ObjectId, identity},
};
use serde_json::{Value, json};

use crate::world::{Delivery, counts, objects, release};

/// Runs a test with a Delivery in a namespace of its own.
async fn with_delivery(prefix: &str, test: impl AsyncFnOnce(Delivery)) {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace(prefix, async |_, namespace: String| {
            test(Delivery::new(control_plane, &namespace, "shop").await).await;
        })
        .await;
}

/// What was asked of the API server about this test's objects, which all carry its namespace in their names.
fn requests(delivery: &Delivery, since: AuditMark) -> Vec<Request> {
    let ours = |request: &Request| request.uri.contains(&delivery.namespace) && !request.user_agent.contains("kubectl");
    let controllers = |request: &Request| request.user.starts_with("system:");
    delivery.control_plane.audit().since(since).into_iter().filter(|r| ours(r) && !controllers(r)).collect()
}

fn writes(requests: &[Request]) -> Vec<String> {
    let writes = requests.iter().filter(|request| request.is_write() && !request.is_dry_run());
    writes.map(|request| format!("{} {}", request.verb, request.uri)).collect()
}

#[tokio::test]
async fn installs_a_definition_with_its_custom_resources_and_then_writes_nothing() {
    with_delivery("install", async |delivery| {
        let mut release = vec![delivery.definition().0, delivery.deployment("web", true)];
        release.extend((0..5).map(|n| delivery.widget(&format!("widget-{n}"), json!({"size": n}))));
        release.extend((0..5).map(|n| delivery.config_map(&format!("config-{n}"), "1")));
        let done = delivery.deliver(&release).await.unwrap();
        assert_eq!(counts(&done), [(Action::Created, 12)]);
        assert_eq!(delivery.field(&delivery.widget_named("widget-3"), ".spec.size"), "3");
        assert_eq!(delivery.inventory().await.len(), 12);

        let mark = delivery.control_plane.audit().mark();
        let again = delivery.deliver(&release).await.unwrap();
        assert_eq!(counts(&again), [(Action::Unchanged, 12)]);
        let requests = requests(&delivery, mark);
        assert_eq!(writes(&requests), Vec::<String>::new());
        // The inventory; one list each of widgets and config maps; the definition; the deployment, which may have
        // moved since and then takes a look and a dry-run more.
        assert!(requests.len() <= 7, "{requests:#?}");
    })
    .await;
}

#[tokio::test]
async fn takes_a_new_version_of_a_definition_and_resources_that_need_it_in_one_release() {
    with_delivery("schema", async |delivery| {
        let (mut definition, _) = delivery.definition();
        delivery.deliver(&[definition.clone(), delivery.widget("one", json!({"size": 1}))]).await.unwrap();
        let properties =
            &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        properties["color"] = json!({"type": "string"});
        let widget = delivery.widget("one", json!({"size": 1, "color": "red"}));
        let done = delivery.deliver(&[definition.clone(), widget]).await.unwrap();
        assert_eq!(counts(&done), [(Action::Configured, 2)]);
        assert_eq!(delivery.field(&delivery.widget_named("one"), ".spec.color"), "red");

        // A field that no version has is final, and said so.
        let began = std::time::Instant::now();
        let wrong = delivery.widget("one", json!({"shape": "round"}));
        let error = delivery.deliver(&[definition, wrong]).await.unwrap_err();
        assert!(error.to_string().contains(".spec.shape: field not declared in schema"), "{error}");
        assert!(!error.is_transient() && began.elapsed() < Duration::from_secs(5));
    })
    .await;
}

#[tokio::test]
async fn corrects_drift_and_tells_it_from_what_others_may_add() {
    with_delivery("drift", async |delivery| {
        let release: Vec<_> = (0..4).map(|n| delivery.config_map(&format!("config-{n}"), "signed")).collect();
        delivery.deliver(&release).await.unwrap();

        delivery.kubectl(&["patch", "configmap", "config-0", "--type=merge", "-p", r#"{"data":{"key":"edited"}}"#]);
        delivery.kubectl(&["delete", "configmap", "config-1"]);
        delivery.kubectl(&["patch", "configmap", "config-2", "--type=merge", "-p", r#"{"data":{"foreign":"kept"}}"#]);
        delivery.kubectl(&["label", "configmap", "config-3", &format!("{OWNER_LABEL}-")]);
        let done = delivery.deliver(&release).await.unwrap();
        assert_eq!(counts(&done), [(Action::Created, 1), (Action::Configured, 2), (Action::Unchanged, 1)]);
        assert_eq!(delivery.field("configmap/config-0", ".data.key"), "signed");
        assert_eq!(delivery.field("configmap/config-2", ".data.foreign"), "kept");
        assert_eq!(delivery.field("configmap/config-3", r".metadata.labels.sealift\.dev/delivery"), delivery.owner.uid);

        let mark = delivery.control_plane.audit().mark();
        delivery.deliver(&release).await.unwrap();
        let requests = requests(&delivery, mark);
        assert!(requests.iter().all(|request| !request.is_write()), "not even a dry-run: {requests:#?}");
    })
    .await;
}

#[tokio::test]
async fn removes_a_field_that_left_the_release() {
    with_delivery("fields", async |delivery| {
        let mut config = delivery.config_map("config", "1");
        config["data"]["extra"] = "x".into();
        delivery.deliver(&[config]).await.unwrap();
        let done = delivery.deliver(&[delivery.config_map("config", "1")]).await.unwrap();
        assert_eq!(counts(&done), [(Action::Configured, 1)]);
        assert_eq!(delivery.field("configmap/config", ".data.extra"), "");
    })
    .await;
}

#[tokio::test]
async fn prunes_exactly_what_left_the_release_and_never_what_is_not_ours() {
    with_delivery("prune", async |delivery| {
        let all: Vec<_> = (0..10).map(|n| delivery.config_map(&format!("config-{n}"), "1")).collect();
        let mut kept = delivery.config_map("kept", "1");
        kept["metadata"]["annotations"] = json!({"sealift.dev/prune": "disabled"});
        delivery.deliver(&[all.clone(), vec![kept]].concat()).await.unwrap();
        delivery.kubectl(&["create", "configmap", "stranger"]);
        // Somebody else made it again under the same name: the label alone does not make it ours.
        delivery.kubectl(&["delete", "configmap", "config-8"]);
        delivery.kubectl(&["create", "configmap", "config-8"]);
        delivery.kubectl(&["label", "configmap", "config-8", &format!("{OWNER_LABEL}={}", delivery.owner.uid)]);
        // Somebody took it away from us: our fields alone do not make it ours.
        delivery.kubectl(&["label", "configmap", "config-9", &format!("{OWNER_LABEL}-")]);

        let done = delivery.deliver(&all[..5]).await.unwrap();
        let deleted: BTreeSet<_> =
            done.entries.iter().filter(|c| c.action == Action::Deleted).map(|c| c.id.name.as_str()).collect();
        assert_eq!(deleted, BTreeSet::from(["config-5", "config-6", "config-7"]));
        let reasons: Vec<_> = done.entries.iter().filter_map(|change| change.reason.as_deref()).collect();
        assert_eq!(reasons.iter().filter(|reason| reason.starts_with("NotOurs")).count(), 2, "{reasons:?}");
        for name in ["config-0", "config-4", "config-8", "config-9", "stranger", "kept"] {
            assert!(delivery.exists(&format!("configmap/{name}")), "{name}");
        }
        assert_eq!(delivery.inventory().await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn an_object_that_moves_between_deliveries_survives() {
    with_delivery("move", async |one| {
        let two = Delivery::new(one.control_plane, &one.namespace, "other").await;
        let moving = one.config_map("moving", "1");
        one.deliver(&[moving.clone(), one.config_map("stays", "1")]).await.unwrap();
        let uid = one.field("configmap/moving", ".metadata.uid");

        let error = two.deliver(std::slice::from_ref(&moving)).await.unwrap_err();
        assert!(error.to_string().contains(&format!("belongs to Delivery {}/shop", one.namespace)), "{error}");
        assert!(error.is_transient(), "it may be let go");

        let done = one.deliver(&[one.config_map("stays", "1")]).await.unwrap();
        assert_eq!(done.count(Action::Deleted), 0, "handed over: {done:?}");
        assert_eq!(counts(&two.deliver(&[moving]).await.unwrap()), [(Action::Configured, 1)]);
        assert_eq!(one.field("configmap/moving", ".metadata.uid"), uid);
        assert_eq!(one.field("configmap/moving", r".metadata.labels.sealift\.dev/delivery"), two.owner.uid);

        assert!(one.delete_all(Until::Gone).await.is_complete());
        assert!(one.exists("configmap/moving") && !one.exists("configmap/stays"));
    })
    .await;
}

#[tokio::test]
async fn refuses_what_flux_manages() {
    with_delivery("foreign", async |delivery| {
        delivery.kubectl(&["create", "configmap", "shared"]);
        delivery.kubectl(&[
            "label",
            "configmap",
            "shared",
            "kustomize.toolkit.fluxcd.io/name=apps",
            "kustomize.toolkit.fluxcd.io/namespace=flux-system",
        ]);
        let error =
            delivery.deliver(&[delivery.config_map("shared", "1"), delivery.config_map("own", "1")]).await.unwrap_err();
        assert!(error.to_string().contains("managed by Flux Kustomization flux-system/apps"), "{error}");
        assert!(!delivery.exists("configmap/own"), "nothing was applied");
    })
    .await;
}

#[tokio::test]
async fn a_refused_object_blocks_its_stage_and_every_error_is_listed() {
    with_delivery("refused", async |delivery| {
        let mut no_selector = delivery.deployment("no-selector", true);
        no_selector["spec"].as_object_mut().unwrap().remove("selector");
        let mut wrong_type = delivery.deployment("wrong-type", true);
        wrong_type["spec"]["replicas"] = "many".into();
        let release = [delivery.config_map("config", "1"), delivery.deployment("good", true), no_selector, wrong_type];
        let error = delivery.deliver(&release).await.unwrap_err();
        let ApplyError::Refused { stage: None, refused, done } = &error else { panic!("{error:?}") };
        assert_eq!(refused.iter().map(|r| r.id.name.as_str()).collect::<Vec<_>>(), ["no-selector", "wrong-type"]);
        assert!(error.to_string().contains("spec.selector") && error.to_string().contains(".spec.replicas"), "{error}");
        assert_eq!(counts(done), [], "no earlier stage could have cured it");
        assert!(!delivery.exists("configmap/config") && !delivery.exists("deployment/good"));
        assert!(!error.is_transient());
    })
    .await;
}

#[tokio::test]
async fn a_refused_secret_is_explained_without_its_value() {
    with_delivery("secret", async |delivery| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pin", "namespace": delivery.namespace},
            "stringData": {"pin": 4711_0815}});
        let error = delivery.deliver(&[secret]).await.unwrap_err();
        assert!(error.to_string().contains("pin") && !format!("{error:?}").contains("47110815"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn who_may_not_have_an_object_cannot_keep_its_owner_from_pruning_it() {
    with_delivery("greedy", async |one| {
        let mut two = Delivery::new(one.control_plane, &one.namespace, "greedy").await;
        one.kubectl(&["create", "serviceaccount", "reader"]);
        one.kubectl(&["create", "role", "reader", "--verb=get,list", "--resource=configmaps"]);
        let account = format!("--serviceaccount={}:reader", one.namespace);
        one.kubectl(&["create", "rolebinding", "reader", "--role=reader", &account]);
        two.account = two.controller.as_service_account(&one.namespace, "reader").unwrap();
        one.deliver(&[one.config_map("config", "1"), one.config_map("stays", "1")]).await.unwrap();
        two.deliver(&[one.config_map("config", "1")]).await.unwrap_err();
        let done = one.deliver(&[one.config_map("stays", "1")]).await.unwrap();
        assert_eq!(counts(&done), [(Action::Unchanged, 1), (Action::Deleted, 1)]);
    })
    .await;
}

#[tokio::test]
async fn where_the_controller_may_not_name_the_delivery_its_rights_are_blamed() {
    with_delivery("older", async |delivery| {
        // As a ClusterRole from before there was the extra.
        delivery.kubectl(&["create", "serviceaccount", "controller"]);
        delivery.kubectl(&["create", "role", "controller", "--verb=impersonate", "--resource=serviceaccounts"]);
        let account = format!("--serviceaccount={}:controller", delivery.namespace);
        delivery.kubectl(&["create", "rolebinding", "controller", "--role=controller", &account]);
        let controller = delivery.control_plane.service_account_client(&delivery.namespace, "controller").await;
        let account = Cluster::new(controller).as_service_account(&delivery.namespace, "default").unwrap();
        let id = identity::of(&delivery.config_map("config", "1")).unwrap();
        let resource = account.resolve(&id).await.unwrap();
        let get = async |account: &Cluster| account.get(&resource, &id).await.unwrap_err();

        // Without a Delivery it is the account that may do nothing.
        let error = get(&account).await;
        assert!(error.is_forbidden() && error.to_string().starts_with("configmaps \"config\" is forbidden"), "{error}");
        let error = get(&account.for_delivery("apps", "shop").unwrap()).await;
        assert!(error.is_forbidden() && error.to_string().starts_with("the controller lacks the right"), "{error}");
        assert!(
            error.to_string().contains("cannot impersonate resource \"userextras/sealift.dev/delivery\""),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_unknown_kind_is_named_and_nothing_is_applied() {
    with_delivery("unknown", async |delivery| {
        let error = delivery
            .deliver(&[delivery.config_map("config", "1"), delivery.widget("one", json!({}))])
            .await
            .unwrap_err();
        let ApplyError::Refused { stage: None, refused, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(refused[0].why, Why::UnknownKind { .. }));
        assert!(error.to_string().contains("nothing was applied: Widget."), "{error}");
        assert!(!delivery.exists("configmap/config"));
    })
    .await;
}

#[tokio::test]
async fn dropped_at_any_moment_it_leaves_nothing_untracked() {
    with_delivery("killed", async |delivery| {
        let uid = delivery.owner.uid.clone();
        let mut reached = BTreeSet::new();
        for round in 0..25_u64 {
            // Other objects each time, so that each round creates, prunes and may be cut anywhere.
            let values: Vec<_> =
                (0..40).map(|n| delivery.config_map(&format!("round-{}-{n}", round % 3), &round.to_string())).collect();
            let release = release(&values);
            let cut = tokio::time::timeout(Duration::from_millis(4 * round), delivery.deliver_verified(&release)).await;
            reached.insert(cut.is_ok());
            // A request in flight when its future is dropped may still be answered.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let tracked: BTreeSet<_> = delivery.inventory().await.rows().map(|row| row.name.clone()).collect();
            let live = delivery.kubectl(&[
                "get",
                "configmap",
                "-l",
                &format!("{OWNER_LABEL}={uid}"),
                "-o",
                "jsonpath={.items[*].metadata.name}",
            ]);
            let lost: Vec<_> = live.split_whitespace().filter(|name| !tracked.contains(*name)).collect();
            assert!(lost.is_empty(), "round {round}: {lost:?}");
        }
        assert!(reached.contains(&false), "at least one round was cut short");
        delivery.deliver(&[delivery.config_map("last", "1")]).await.unwrap();
        let live = delivery.kubectl(&[
            "get",
            "configmap",
            "-l",
            &format!("{OWNER_LABEL}={uid}"),
            "-o",
            "jsonpath={.items[*].metadata.name}",
        ]);
        assert_eq!(live, "last");
    })
    .await;
}

#[tokio::test]
async fn the_inventory_is_stored_before_the_first_object_is_sent() {
    with_delivery("before", async |delivery| {
        let release = release(&[delivery.config_map("config", "1")]);
        let mut inventory = delivery.inventory().await;
        let live = observe(&delivery.account, &delivery.controller, release.objects(), Some(&inventory), &Unknown)
            .await
            .unwrap();
        let prepared =
            prepare(delivery.access(), plan(&release, &inventory, live, &Options::default()), &mut inventory)
                .await
                .unwrap();
        assert!(!delivery.exists("configmap/config"));
        assert!(delivery.inventory().await.row(&Key::of(&release.objects().iter().next().unwrap().id)).is_some());

        // Whoever wrote in between wins, and nothing is recorded over it.
        let mut other = delivery.inventory().await;
        other.claim(&[ObjectId { name: "more".into(), ..release.objects().iter().next().unwrap().id.clone() }]);
        store::write(&delivery.controller, &mut other).await.unwrap();
        apply(delivery.access(), prepared, &mut inventory).await.unwrap();
        let error = store::write(&delivery.controller, &mut inventory).await.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
        assert_eq!(delivery.inventory().await.len(), other.len());
    })
    .await;
}

#[tokio::test]
async fn deletes_everything_in_reverse_and_says_what_is_still_going() {
    with_delivery("finalize", async |delivery| {
        let mut slow = delivery.widget("slow", json!({}));
        slow["metadata"]["finalizers"] = json!(["example.com/slow"]);
        let release = [delivery.definition().0, slow, delivery.config_map("config", "1")];
        delivery.deliver(&release).await.unwrap();

        let pruned = delivery.delete_all(Until::Gone).await;
        assert_eq!(pruned.deleting.iter().map(|id| id.name.as_str()).collect::<Vec<_>>(), ["slow"]);
        assert!(delivery.exists("configmap/config"), "the stage before waits");
        delivery.kubectl(&[
            "patch",
            &delivery.widget_named("slow"),
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ]);
        while !delivery.delete_all(Until::Gone).await.is_complete() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(delivery.inventory().await.is_empty() && !delivery.exists("configmap/config"));
        let inventories = delivery.kubectl(&[
            "get",
            "inventories",
            "-l",
            &format!("{OWNER_LABEL}={}", delivery.owner.uid),
            "-o",
            "name",
        ]);
        assert_eq!(inventories, "");
    })
    .await;
}

#[tokio::test]
async fn applies_as_the_service_account_and_no_more_than_it_may() {
    with_delivery("account", async |mut delivery| {
        delivery.kubectl(&["create", "serviceaccount", "deployer"]);
        delivery.account = delivery.controller.as_service_account(&delivery.namespace, "deployer").unwrap();
        let release = [delivery.config_map("config", "1")];
        let error = delivery.deliver(&release).await.unwrap_err();
        let user = format!("system:serviceaccount:{}:deployer", delivery.namespace);
        assert!(error.to_string().contains(&user) && error.to_string().contains("forbidden"), "{error}");

        // Get without list is enough.
        delivery.kubectl(&["create", "role", "deployer", "--verb=get,patch,create,delete", "--resource=configmaps"]);
        delivery.kubectl(&[
            "create",
            "rolebinding",
            "deployer",
            "--role=deployer",
            &format!("--serviceaccount={}:deployer", delivery.namespace),
        ]);
        let more: Vec<_> = (0..4).map(|n| delivery.config_map(&format!("config-{n}"), "1")).collect();
        assert_eq!(counts(&delivery.deliver(&more).await.unwrap()), [(Action::Created, 4)]);

        let mut secret = delivery.config_map("secret", "1");
        secret["kind"] = "Secret".into();
        let error = delivery.deliver(&[secret]).await.unwrap_err();
        assert!(error.to_string().contains("cannot get resource \"secrets\""), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_webhook_waits_for_the_workloads_of_its_release() {
    with_delivery("webhook", async |delivery| {
        let webhook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": format!("hook.{}", delivery.namespace)},
            "webhooks": [{"name": format!("hook.{}.example.com", delivery.namespace), "admissionReviewVersions": ["v1"],
                "sideEffects": "None", "failurePolicy": "Ignore",
                "clientConfig": {"service": {"name": "web", "namespace": delivery.namespace}},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": delivery.namespace}},
                "rules": [{"apiGroups": ["nothing.example.com"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]}]}]});
        let held = [webhook.clone(), delivery.deployment("web", false)];
        let done = delivery.deliver(&held).await.unwrap();
        assert_eq!(done.waiting.iter().map(|id| id.kind.as_str()).collect::<Vec<_>>(), ["ValidatingWebhookConfiguration"]);

        let release = [webhook, delivery.deployment("web", true)];
        let ids: Vec<_> = objects(&release[1..]).iter().map(|object| object.id.clone()).collect();
        let mut done = delivery.deliver(&release).await.unwrap();
        for _ in 0..300 {
            if done.waiting.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            done = delivery.deliver(&release).await.unwrap();
        }
        assert!(done.waiting.is_empty(), "{}", assess(&delivery.account, &ids, &HealthChecks::default()).await);
        assert!(assess(&delivery.account, &ids, &HealthChecks::default()).await.is_healthy());
        assert!(delivery.delete_all(Until::Accepted).await.is_complete());
    })
    .await;
}

#[tokio::test]
async fn shows_field_by_field_what_would_change_and_writes_nothing() {
    with_delivery("explain", async |delivery| {
        let secret = |value: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": delivery.namespace}, "stringData": {"token": value}})
        };
        delivery.deliver(&[delivery.config_map("config", "old"), delivery.config_map("gone", "1"), secret("hunter1")]).await.unwrap();
        let wanted = objects(&[delivery.config_map("config", "new"), delivery.config_map("more", "1"), secret("hunter2"), delivery.widget("one", json!({}))]);
        let inventory = delivery.inventory().await;
        let live = observe(&delivery.account, &delivery.controller, &wanted, Some(&inventory), &Unknown).await.unwrap();
        let mark = delivery.control_plane.audit().mark();
        let found = explain(&delivery.account, preview(&wanted, Some(&inventory), live, &Options::default())).await;
        let line = |name: &str| {
            let difference = found.iter().find(|difference| difference.id.name == name).unwrap();
            let fields = difference.fields.iter().map(|f| format!(" {} {:?}->{:?}", f.pointer, f.before, f.after));
            format!("{}{}", difference.action, fields.collect::<String>())
        };
        assert_eq!(line("config"), r#"configured /data/key Some(String("old"))->Some(String("new"))"#);
        assert!(line("more").starts_with("created"));
        assert!(line("gone").starts_with("deleted"));
        assert!(line("token").starts_with("configured /data/token") && !line("token").contains("hunter"));
        let unknown = found.iter().find(|difference| difference.id.kind == "Widget").unwrap();
        assert!(matches!(unknown.refused, Some(Why::UnknownKind { .. })));
        assert_eq!(writes(&requests(&delivery, mark)), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_thousand_and_more_objects_fit_and_cost_one_list_when_nothing_moved() {
    with_delivery("many", async |delivery| {
        // Of real variety: what compresses too well is taken for a bomb.
        let value = |n: u32| Digest::of(&n.to_be_bytes()).to_string();
        let release: Vec<Value> =
            (0..1_100).map(|n| delivery.config_map(&format!("config-{n:04}"), &value(n))).collect();
        let done = delivery.deliver(&release).await.unwrap();
        assert_eq!(counts(&done), [(Action::Created, 1_100)]);
        assert_eq!(delivery.inventory().await.len(), 1_100);
        let mark = delivery.control_plane.audit().mark();
        assert_eq!(counts(&delivery.deliver(&release).await.unwrap()), [(Action::Unchanged, 1_100)]);
        let requests = requests(&delivery, mark);
        assert!(requests.len() <= 5 && writes(&requests).is_empty(), "{requests:#?}");
    })
    .await;
}

#[tokio::test]
async fn refuses_another_cluster_scope_than_the_policy_judged() {
    with_delivery("scope", async |delivery| {
        let (mut definition, _) = delivery.definition();
        definition["spec"]["scope"] = "Cluster".into();
        delivery.deliver(&[definition]).await.unwrap();
        let release = release(&[delivery.widget("one", json!({}))]);
        let mut inventory = delivery.inventory().await;
        let access = Access { account: &delivery.account, controller: &delivery.controller };
        let live =
            observe(access.account, access.controller, release.objects(), Some(&inventory), &Unknown).await.unwrap();
        let error =
            prepare(access, plan(&release, &inventory, live, &Options::default()), &mut inventory).await.unwrap_err();
        assert!(error.to_string().contains("is cluster-scoped but names the namespace"), "{error}");
    })
    .await;
}
