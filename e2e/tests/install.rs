//! `deploy/install.yaml` on a real API server: what it lets the controller do, and by what is denied what it does not.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret, ServiceAccount},
    policy::v1::PodDisruptionBudget,
    rbac::v1::ClusterRoleBinding,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams},
};
use sealift_apply::api::{AcceptedRelease, SignaturePolicy};
use sealift_e2e::{ControlPlane, World, corpus, may, policy, workspace};
use serde_json::{Value, json};

const HOME: &str = "sealift-system";
const ACCOUNT: &str = "sealift-controller";

async fn as_controller(world: &World<'_>) -> Client {
    world.control_plane.service_account_client(HOME, ACCOUNT).await
}

/// Fails unless the server refused this for want of a right, naming the controller's account.
fn assert_denied<T>(what: &str, answer: Result<T, kube::Error>) {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let user = format!("system:serviceaccount:{HOME}:{ACCOUNT}");
            assert!(status.message.contains(&user), "{what}: {}", status.message);
        }
        Err(other) => panic!("{what}: neither done nor denied: {other}"),
        Ok(_) => panic!("{what}: allowed"),
    }
}

#[tokio::test]
async fn the_controller_delivers_under_the_account_of_the_install_manifest_and_asks_for_nothing_it_may_not() {
    let (Some(folder), Some(control_plane)) = (corpus("podinfo/kustomize"), ControlPlane::shared()) else { return };
    World::run(control_plane, "install", async |world| {
        let mark = control_plane.audit().mark();
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        let files = ["deployment.yaml", "hpa.yaml", "service.yaml"].map(|name| folder.join(name));
        let digest = world.push("acme/podinfo:prod", &files.each_ref().map(|file| file.as_path()), &[]);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "podinfo");
        let uid = world.deliver(of.0, of.1, world.following("acme/podinfo", "prod", account)).await;
        world.delivered(of, digest).await;
        world.undeliver(of).await;

        let ours = world.requests(of, &uid, mark);
        assert!(ours.iter().any(|request| request.resource == "deployments" && request.is_write()), "{ours:#?}");
        let denied: Vec<_> = ours.iter().filter(|request| request.code == 403).collect();
        assert!(denied.is_empty(), "the install manifest lacks a right: {denied:#?}");
        let as_itself: BTreeSet<&str> = ours
            .iter()
            .filter(|request| request.is_write() && request.impersonated.is_none())
            .map(|request| request.resource.as_str())
            .collect();
        let its_own = BTreeSet::from(["acceptedreleases", "deliveries", "events", "inventories"]);
        assert!(as_itself.is_subset(&its_own), "written as the controller itself: {as_itself:?}");
        assert!(!ours.iter().any(|request| request.resource == "secrets"), "nobody named a Secret: {ours:#?}");

        // As the tenant it says for which Delivery; the API server still finds the groups of the account by itself.
        let as_tenant = ours.iter().filter(|request| request.impersonated.is_some());
        let groups = BTreeSet::from([
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{}", of.0),
            "system:authenticated".to_owned(),
        ]);
        for request in as_tenant {
            // A watch may serve several Deliveries of an account, and admission never hears of it.
            let named = (request.verb != "watch").then(|| format!("{}/{}", of.0, of.1));
            assert_eq!(request.delivery, named, "{request:#?}");
            assert_eq!(request.groups.iter().cloned().collect::<BTreeSet<_>>(), groups, "{request:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn its_pod_fits_the_restricted_pod_security_standard() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "restricted", async |world| {
        let levels = ["enforce", "warn"].map(|mode| format!("pod-security.kubernetes.io/{mode}=restricted"));
        world.kubectl(&["label", "namespace", &world.namespace, &levels[0], &levels[1]]);
        let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), HOME);
        let template = deployments.get("sealift-controller").await.unwrap().spec.unwrap().template;
        let mut spec = serde_json::to_value(template.spec.unwrap()).unwrap();
        // accounts of that name are only in its own namespace
        spec["serviceAccountName"] = json!("default");
        spec["serviceAccount"] = json!("default");
        let try_pod = |name: &str, spec: &Value| {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
            let file = world.cli.write(&format!("{name}.json"), pod.to_string()).display().to_string();
            let words = ["create", "--dry-run=server", "--warnings-as-errors", "-n", &world.namespace, "-f", &file];
            world.control_plane.kubectl(&words)
        };
        try_pod("fits", &spec).unwrap_or_else(|error| panic!("{error}"));
        // the namespace is one that minds
        spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let denied = try_pod("escalates", &spec).unwrap_err().to_string();
        assert!(denied.contains("violates PodSecurity") && denied.contains("restricted"), "{denied}");

        let labels = world.kubectl(&["get", "namespace", HOME, "-o", "jsonpath={.metadata.labels}"]);
        assert!(labels.contains(r#""pod-security.kubernetes.io/enforce":"restricted""#), "{labels}");
    })
    .await;
}

/// What the disruption controller makes of the budget is what a drain of a node goes by.
#[tokio::test]
async fn a_drain_may_take_one_replica_at_a_time_and_a_single_one_too() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "budget", async |world| {
        // In a namespace of its own: what is installed is shared with other tests.
        let installed: Api<Deployment> = Api::namespaced(world.client.clone(), HOME);
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(world.client.clone(), HOME);
        let mut deployment = serde_json::to_value(installed.get(ACCOUNT).await.unwrap().spec.unwrap()).unwrap();
        deployment["template"]["spec"]["serviceAccountName"] = json!("default");
        deployment["template"]["spec"]["serviceAccount"] = json!("default");
        let budget = serde_json::to_value(budgets.get(ACCOUNT).await.unwrap().spec.unwrap()).unwrap();
        for replicas in [1, 2, 3] {
            deployment["replicas"] = json!(replicas);
            let metadata = json!({"name": ACCOUNT, "namespace": world.namespace});
            let list = json!({"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
                {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget},
            ]});
            let file = world.cli.write("budget.json", list.to_string()).display().to_string();
            world.kubectl(&["apply", "--server-side", "-f", &file]);
            let own: Api<PodDisruptionBudget> = Api::namespaced(world.client.clone(), &world.namespace);
            world
                .until(&format!("a budget for {replicas}"), async || {
                    let status = own.get(ACCOUNT).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
                    let is_so = (status.current_healthy, status.disruptions_allowed) == (replicas, 1);
                    is_so.then_some(()).ok_or_else(|| format!("{status:?}"))
                })
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn it_may_not_read_secrets_anywhere() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "secrets", async |world| {
        let client = as_controller(world).await;
        // a Secret that is there, so that a 404 cannot pass for a denial
        for namespace in ["kube-system", HOME, world.namespace.as_str()] {
            let admin: Api<Secret> = Api::namespaced(world.client.clone(), namespace);
            let secret = json!({"metadata": {"name": "bait"}, "stringData": {"a": "b"}});
            let secret: Secret = serde_json::from_value(secret).unwrap();
            match admin.create(&PostParams::default(), &secret).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{error}"),
            }
            let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
            assert_denied("get", secrets.get("bait").await);
            assert_denied("get metadata", secrets.get_metadata("bait").await);
            assert_denied("list", secrets.list(&ListParams::default()).await);
            assert_denied("list metadata", secrets.list_metadata(&ListParams::default()).await);
            assert_denied("watch", secrets.watch(&WatchParams::default(), "0").await.map(|_| ()));
            assert_denied("create", secrets.create(&PostParams::default(), &secret).await);
            assert_denied("delete", secrets.delete("bait", &DeleteParams::default()).await.map(|_| ()));
        }
        let everywhere: Api<Secret> = Api::all(client.clone());
        assert_denied("list", everywhere.list(&ListParams::default()).await);
        assert_denied("watch", everywhere.watch(&WatchParams::default(), "0").await.map(|_| ()));
        for namespace in [None, Some("kube-system"), Some(HOME), Some(world.namespace.as_str())] {
            for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
                assert!(!may(&client, verb, ("", "secrets", ""), namespace).await, "{verb} secrets in {namespace:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn it_may_not_run_workloads_write_policies_or_widen_its_rights() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "rights", async |world| {
        let client = as_controller(world).await;
        let create = PostParams::default();

        for namespace in [HOME, "kube-system", world.namespace.as_str()] {
            let container = json!({"containers": [{"name": "main", "image": "registry.invalid/evil"}]});
            let template = json!({"metadata": {"labels": {"app": "evil"}}, "spec": container});
            let deployment = json!({"metadata": {"name": "evil"}, "spec": {"selector": {"matchLabels": {"app": "evil"}}, "template": template}});
            let pod = json!({"metadata": {"name": "evil"}, "spec": container});
            let map = json!({"metadata": {"name": "evil"}});
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            assert_denied("a Deployment", deployments.create(&create, &serde_json::from_value(deployment).unwrap()).await);
            assert_denied("a Pod", pods.create(&create, &serde_json::from_value(pod).unwrap()).await);
            assert_denied("a ConfigMap", maps.create(&create, &serde_json::from_value(map).unwrap()).await);
            let token = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token");
            let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}).to_string();
            let request = http::Request::post(token).header("Content-Type", "application/json").body(body.into_bytes());
            assert_denied("a token of another account", client.request::<Value>(request.unwrap()).await);
        }

        let name = world.namespace.as_str();
        let open = policy(name, &["**"], &world.key);
        let policies: Api<SignaturePolicy> = Api::all(client.clone());
        let apply = PatchParams::apply("sealift").force();
        assert_denied("a policy", policies.patch(name, &apply, &Patch::Apply(&open)).await);
        world.trust().await;
        assert_denied("a changed policy", policies.patch(name, &apply, &Patch::Apply(&open)).await);
        assert_denied("no policy", policies.delete(name, &DeleteParams::default()).await.map(|_| ()));

        let records: Api<AcceptedRelease> = Api::all(client.clone());
        assert_denied("forgetting what was accepted", records.delete("any", &DeleteParams::default()).await.map(|_| ()));

        let subject = json!({"kind": "ServiceAccount", "name": ACCOUNT, "namespace": HOME});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
        let binding = json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]});
        let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
        assert_denied("cluster-admin", bindings.create(&create, &serde_json::from_value(binding).unwrap()).await);

        for (verb, what) in [
            ("create", ("apps", "deployments", "")),
            ("create", ("", "pods", "")),
            ("create", ("", "pods", "exec")),
            ("create", ("", "serviceaccounts", "token")),
            ("create", ("sealift.dev", "signaturepolicies", "")),
            ("update", ("sealift.dev", "signaturepolicies", "")),
            ("patch", ("sealift.dev", "signaturepolicies", "")),
            ("delete", ("sealift.dev", "signaturepolicies", "")),
            ("create", ("sealift.dev", "trustroots", "")),
            ("patch", ("sealift.dev", "trustroots", "")),
            ("create", ("sealift.dev", "freezes", "")),
            ("patch", ("sealift.dev", "freezes", "")),
            ("delete", ("sealift.dev", "freezes", "")),
            ("delete", ("sealift.dev", "acceptedreleases", "")),
            ("create", ("sealift.dev", "deliveries", "")),
            ("delete", ("sealift.dev", "deliveries", "")),
            ("create", ("rbac.authorization.k8s.io", "clusterrolebindings", "")),
            ("bind", ("rbac.authorization.k8s.io", "clusterroles", "")),
            ("escalate", ("rbac.authorization.k8s.io", "clusterroles", "")),
            ("impersonate", ("", "users", "")),
            ("impersonate", ("", "groups", "")),
            ("impersonate", ("authentication.k8s.io", "uids", "")),
            ("impersonate", ("authentication.k8s.io", "userextras", "scopes")),
            ("impersonate", ("authentication.k8s.io", "userextras", "")),
            ("*", ("*", "*", "")),
        ] {
            assert!(!may(&client, verb, what, None).await, "{verb} {what:?}");
        }
        // the review is no yes-man
        assert!(may(&client, "list", ("sealift.dev", "deliveries", ""), None).await);
        assert!(may(&client, "impersonate", ("", "serviceaccounts", ""), Some(name)).await);
        assert!(may(&client, "impersonate", ("authentication.k8s.io", "userextras", "sealift.dev/delivery"), None).await);
    })
    .await;
}

#[tokio::test]
async fn it_may_act_as_service_accounts_and_as_nobody_else() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "acting", async |world| {
        let client = as_controller(world).await;
        let account = world.namespace_account(&world.namespace);
        let path = format!("/api/v1/namespaces/{}/configmaps", world.namespace);
        let list = async |headers: &[(&str, &str)]| {
            let request =
                headers.iter().fold(http::Request::get(&path), |request, (name, value)| request.header(*name, *value));
            client.request::<Value>(request.body(Vec::new()).unwrap()).await
        };
        let deployer = format!("system:serviceaccount:{}:{account}", world.namespace);
        let extra = "Impersonate-Extra-sealift.dev%2Fdelivery";
        list(&[("Impersonate-User", &deployer)]).await.unwrap();
        list(&[("Impersonate-User", &deployer), (extra, "team-a/shop")]).await.unwrap();
        for headers in [
            &[("Impersonate-User", "admin")][..],
            &[("Impersonate-User", "system:kube-controller-manager")],
            &[("Impersonate-User", &deployer), ("Impersonate-Group", "system:masters")],
            &[("Impersonate-User", &deployer), ("Impersonate-Uid", "1")],
            &[("Impersonate-User", &deployer), ("Impersonate-Extra-scopes", "all")],
            &[("Impersonate-User", &deployer), ("Impersonate-Extra-sealift.dev%2Fdeliveries", "team-a/shop")],
            &[("Impersonate-User", "admin"), (extra, "team-a/shop")],
        ] {
            assert_denied(&format!("{headers:?}"), list(headers).await);
        }
        // and that it works for a Delivery, only it may say
        let tenant = world.control_plane.service_account_client(&world.namespace, account).await;
        let request = http::Request::get(&path).header("Impersonate-User", &deployer).header(extra, "team-a/shop");
        let answer = tenant.request::<Value>(request.body(Vec::new()).unwrap()).await;
        assert!(matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403), "{answer:?}");
        // and of accounts it may see which there are, nothing more
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &world.namespace);
        accounts.get(account).await.unwrap();
        accounts.list_metadata(&ListParams::default()).await.unwrap();
        assert_denied("change an account", accounts.delete(account, &DeleteParams::default()).await.map(|_| ()));
    })
    .await;
}

/// Waits for a right that the controller manager derives from a label.
async fn may_soon(world: &World<'_>, client: &Client, verb: &str, what: (&str, &str, &str)) {
    world
        .until(&format!("{verb} {what:?}"), async || match may(client, verb, what, None).await {
            true => Ok(()),
            false => Err("not yet allowed".to_owned()),
        })
        .await;
}

#[tokio::test]
async fn it_may_watch_the_kinds_that_are_named_and_those_that_join_and_change_none_of_them() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "watching", async |world| {
        let client = as_controller(world).await;
        may_soon(world, &client, "watch", ("apps", "deployments", "")).await;
        let deployments: Api<Deployment> = Api::all(client.clone());
        let maps: Api<ConfigMap> = Api::all(client.clone());
        deployments.watch_metadata(&WatchParams::default().timeout(1), "0").await.map(|_| ()).unwrap();
        maps.watch_metadata(&WatchParams::default().timeout(1), "0").await.map(|_| ()).unwrap();
        let params = DeleteParams { dry_run: true, ..DeleteParams::default() };
        let own: Api<Deployment> = Api::namespaced(client.clone(), HOME);
        assert_denied("delete", own.delete(ACCOUNT, &params).await.map(|_| ()));
        assert_denied("get", own.get(ACCOUNT).await);
        for verb in ["get", "create", "update", "patch", "delete", "deletecollection"] {
            for what in [("apps", "deployments", ""), ("", "configmaps", ""), ("apps", "deployments", "scale")] {
                assert!(!may(&client, verb, what, None).await, "{verb} {what:?}");
            }
        }
        for what in
            [("", "secrets", ""), ("", "pods", "log"), ("", "events", ""), ("coordination.k8s.io", "leases", "")]
        {
            assert!(!may(&client, "watch", what, None).await, "watch {what:?}");
        }
        // No rule names all kinds or all groups.
        for role in ["sealift-controller", "sealift-watch", "sealift-watch-builtin"] {
            let rules = world.kubectl(&["get", "clusterrole", role, "-o", "jsonpath={.rules}"]);
            assert!(!rules.contains("\"*\"") && !rules.contains("secrets"), "{role}: {rules}");
        }

        // A kind that nobody named is not watched, until its own role says so.
        let (name, what) = (format!("{}-widgets", world.namespace), ("example.com", "widgets", ""));
        assert!(!may(&client, "watch", what, None).await);
        let rule = json!({"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["list", "watch"]});
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [rule],
            "metadata": {"name": name, "labels": {"sealift.dev/aggregate-to-watch": "true"}}});
        let file = world.cli.write("role.json", role.to_string()).display().to_string();
        world.kubectl(&["create", "-f", &file]);
        may_soon(world, &client, "watch", what).await;
        world.kubectl(&["delete", "clusterrole", &name]);
    })
    .await;
}

#[tokio::test]
async fn the_manifest_applies_again_without_a_change_and_every_kind_of_it_is_served() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "again", async |world| {
        let file = workspace().join("deploy/install.yaml").display().to_string();
        let before = world.kubectl(&["get", "-f", &file, "-o", "jsonpath={.items[*].metadata.generation}"]);
        world.kubectl(&["apply", "--server-side", "--force-conflicts", "--warnings-as-errors", "-f", &file]);
        assert_eq!(world.kubectl(&["get", "-f", &file, "-o", "jsonpath={.items[*].metadata.generation}"]), before);
        let kinds = world.kubectl(&["api-resources", "--api-group=sealift.dev", "-o", "name"]);
        let kinds: BTreeSet<&str> = kinds.lines().collect();
        let wanted = [
            "acceptedreleases",
            "deliveries",
            "freezes",
            "inventories",
            "notifications",
            "receivers",
            "signaturepolicies",
            "trustroots",
        ]
        .map(|kind| format!("{kind}.sealift.dev"));
        assert_eq!(kinds, wanted.iter().map(String::as_str).collect());
        assert_eq!(SignaturePolicy::kind(&()), "SignaturePolicy");
    })
    .await;
}
