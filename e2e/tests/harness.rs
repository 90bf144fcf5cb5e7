//! The environment that every other live test trusts.
#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, PostParams, WatchParams},
};
use sealift_e2e::{ControlPlane, Cosign, Registry, workspace};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);

/// Polls until `done` says so of the object.
async fn until<K>(api: &Api<K>, name: &str, done: impl Fn(&K) -> bool) -> K
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let started = Instant::now();
    loop {
        let object = api.get(name).await.unwrap();
        if done(&object) {
            return object;
        }
        assert!(started.elapsed() < LIMIT, "{name} did not get there: {object:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Resource + Clone + DeserializeOwned + Debug + Serialize,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

fn pod_template(labels: Value) -> Value {
    json!({
        "metadata": {"labels": labels},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "main", "image": "registry.invalid/app:1"}]},
    })
}

fn deployment(name: &str, labels: Value) -> Value {
    let mut labels = labels;
    labels["app"] = json!(name);
    json!({
        "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": pod_template(labels)},
    })
}

fn job(name: &str, labels: Value) -> Value {
    let mut template = pod_template(labels);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}})
}

#[tokio::test]
async fn a_deployment_becomes_available_and_one_that_never_does_stays_unavailable() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace("deployments", async |client: Client, namespace: String| {
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
            create(&deployments, deployment("never", json!({"testenv.sealift.dev/pod": "never-ready"}))).await;
            create(&deployments, deployment("web", json!({}))).await;
            let available = |object: &Deployment| object.status.as_ref().and_then(|status| status.available_replicas);
            until(&deployments, "web", |object| available(object) == Some(2)).await;
            let pods: Api<Pod> = Api::namespaced(client, &namespace);
            let never = deployments.get("never").await.unwrap();
            assert_eq!(available(&never).unwrap_or(0), 0);
            assert_eq!(pods.list(&ListParams::default().labels("app=never")).await.unwrap().items.len(), 2);
        })
        .await;
}

#[tokio::test]
async fn a_job_completes_and_one_made_to_fail_fails() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace("jobs", async |client: Client, namespace: String| {
            let jobs: Api<Job> = Api::namespaced(client, &namespace);
            create(&jobs, job("migrate", json!({}))).await;
            create(&jobs, job("broken", json!({"testenv.sealift.dev/pod": "fails"}))).await;
            let has = |job: &Job, condition: &str| {
                let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
                conditions.into_iter().any(|found| found.type_ == condition && found.status == "True")
            };
            until(&jobs, "migrate", |job| has(job, "Complete")).await;
            until(&jobs, "broken", |job| has(job, "Failed")).await;
        })
        .await;
}

#[tokio::test]
async fn a_deleted_namespace_takes_its_objects_with_it() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    let client = control_plane.client().await;
    let name = control_plane.namespace("going").await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &name);
    create(&maps, json!({"metadata": {"name": "one"}})).await;
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    let started = Instant::now();
    while let Some(left) = namespaces.get_opt(&name).await.unwrap() {
        assert!(started.elapsed() < LIMIT, "{name} still there: {left:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_owners_deletion_collects_what_it_owns() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace("garbage", async |client: Client, namespace: String| {
            let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
            let owner = create(&maps, json!({"metadata": {"name": "owner"}})).await;
            let reference =
                json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}]);
            create(&maps, json!({"metadata": {"name": "owned", "ownerReferences": reference}})).await;
            maps.delete("owner", &DeleteParams::background()).await.unwrap();
            let started = Instant::now();
            while maps.get_opt("owned").await.unwrap().is_some() {
                assert!(started.elapsed() < LIMIT, "the owned object is still there");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
}

#[tokio::test]
async fn impersonation_is_bound_by_rbac_and_aggregated_roles_are_filled() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace("impersonation", async |_, namespace: String| {
            let user = format!("system:serviceaccount:{namespace}:deployer");
            let groups = ["system:serviceaccounts", "system:authenticated"];
            let maps: Api<ConfigMap> = Api::namespaced(control_plane.client_as(&user, &groups).await, &namespace);
            assert!(is_forbidden(maps.list(&ListParams::default()).await));
            // "edit" has rules only where the controller manager aggregates them
            let account = format!("--serviceaccount={namespace}:deployer");
            let bind = ["create", "rolebinding", "deployer", "--clusterrole=edit", &account, "-n", &namespace];
            control_plane.kubectl(&bind).unwrap();
            let started = Instant::now();
            while is_forbidden(maps.list(&ListParams::default()).await) {
                assert!(started.elapsed() < LIMIT, "the role binding has no effect");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            create(&maps, json!({"metadata": {"name": "allowed"}})).await;
        })
        .await;
}

#[tokio::test]
async fn a_plain_service_account_may_not_read_secrets() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace("accounts", async |client: Client, namespace: String| {
            let accounts: Api<ServiceAccount> = Api::namespaced(client, &namespace);
            create(&accounts, json!({"metadata": {"name": "plain"}})).await;
            let plain = control_plane.service_account_client(&namespace, "plain").await;
            let user = format!("system:serviceaccount:{namespace}:plain");
            for secrets in [Api::<Secret>::all(plain.clone()), Api::namespaced(plain.clone(), &namespace)] {
                assert!(is_forbidden(secrets.list(&ListParams::default()).await));
                assert!(is_forbidden(secrets.watch(&WatchParams::default(), "0").await.map(|_| ())));
            }
            // it is forbidden as itself, not because nobody knows it
            let denied = Api::<Secret>::all(plain).list(&ListParams::default()).await.unwrap_err().to_string();
            assert!(denied.contains(&user), "{denied}");
        })
        .await;
}

fn is_forbidden<T>(answer: Result<T, kube::Error>) -> bool {
    match answer {
        Ok(_) => false,
        Err(kube::Error::Api(status)) if status.code == 403 => true,
        Err(other) => panic!("neither allowed nor forbidden: {other}"),
    }
}

#[tokio::test]
async fn the_audit_log_counts_requests_and_the_dump_shows_the_namespace() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace("audited", async |client: Client, namespace: String| {
            let mark = control_plane.audit().mark();
            let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
            create(&maps, json!({"metadata": {"name": "counted"}})).await;
            maps.get("counted").await.unwrap();
            let requests = control_plane.audit().since(mark);
            let ours: Vec<(&str, u16)> = requests
                .iter()
                .filter(|request| request.namespace == namespace && request.user == "admin")
                .map(|request| (request.verb.as_str(), request.code))
                .collect();
            assert_eq!(ours, [("create", 201), ("get", 200)]);
            let dump = control_plane.dump(&namespace);
            assert!(dump.contains("configmap/counted"), "{dump}");
        })
        .await;
}

#[test]
fn of_the_registries_only_one_has_the_referrers_api() {
    let (Some(without), Some(with)) = (Registry::distribution(), Registry::crane()) else { return };
    for (registry, has) in [(&without, false), (&with, true)] {
        let image = format!("{}/team/app:1", registry.host());
        let push =
            registry.crane_command().unwrap().args(["append", "-f", "/dev/null", "-t", &image]).output().unwrap();
        let said = String::from_utf8_lossy(&push.stderr).into_owned();
        assert!(push.status.success(), "{said}");
        let digest = registry.crane_command().unwrap().args(["digest", &image]).output().unwrap();
        let digest = String::from_utf8(digest.stdout).unwrap();
        let address = format!("http://{}/v2/team/app/referrers/{}", registry.host(), digest.trim());
        assert_eq!(http_status(&address) == 200, has, "{address}\n{}", registry.log());
    }
}

#[test]
fn a_registry_with_a_login_refuses_everybody_else() {
    let Some((registry, login)) = Registry::distribution_with_login() else { return };
    let home = tempfile::tempdir().unwrap();
    let crane = |arguments: &[&str]| {
        let mut command = registry.crane_command().unwrap();
        command.args(arguments).env("DOCKER_CONFIG", home.path()).output().unwrap()
    };
    let image = format!("{}/team/app:1", registry.host());
    let push = ["append", "-f", "/dev/null", "-t", image.as_str()];
    assert!(!crane(&push).status.success());
    let authorised =
        crane(&["auth", "login", &registry.host(), "--username", login.user, "--password", login.password]);
    assert!(authorised.status.success());
    let pushed = crane(&push);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
}

/// The status of a GET over plain HTTP.
fn http_status(address: &str) -> u16 {
    use std::io::{Read as _, Write as _};
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn cosign_signs_and_verifies_away_from_home() {
    let (Some(cosign), Some(registry)) = (Cosign::find(), Registry::crane()) else { return };
    let _ = cosign.succeed(&["generate-key-pair"]);
    let tag = format!("{}/team/app:1", registry.host());
    let push = registry.crane_command().unwrap().args(["append", "-f", "/dev/null", "-t", &tag]).output().unwrap();
    assert!(push.status.success(), "{}", String::from_utf8_lossy(&push.stderr));
    let image = String::from_utf8(push.stdout).unwrap();
    let verify = ["verify", "--key", "cosign.pub", "--private-infrastructure", image.trim()];
    let unsigned = cosign.run(&verify);
    assert!(String::from_utf8_lossy(&unsigned.stderr).contains("no signatures found"), "{unsigned:?}");
    assert!(!unsigned.status.success());
    let offline = ["--tlog-upload=false", "--use-signing-config=false"];
    let _ = cosign.succeed(&["sign", "--key", "cosign.key", offline[0], offline[1], image.trim()]);
    let verified: Value = serde_json::from_str(&cosign.succeed(&verify)).unwrap();
    let digest = verified[0]["critical"]["image"]["docker-manifest-digest"].as_str().unwrap();
    assert!(image.trim().ends_with(digest), "{verified}");
}

/// A killed test process drops nothing; only its reaper is left to end what it started.
#[test]
fn nothing_is_left_running_when_its_owner_is_killed() {
    if sealift_e2e::Tool::find("kube-apiserver").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("server");
    // the command that runs under the control plane notes where that is
    let note_it =
        format!("grep -o 'https://127.0.0.1:[0-9]*' \"$KUBECONFIG\" > {0}.new; mv {0}.new {0}", note.display());
    let script = format!("{note_it}; exec cat"); // until this test drops the pipe
    let mut owner = Command::new(env!("CARGO_BIN_EXE_testenv"))
        .args(["run", "--", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !note.exists() {
        assert!(owner.try_wait().unwrap().is_none(), "it ended before its control plane was up");
        assert!(started.elapsed() < Duration::from_secs(300), "no control plane");
        std::thread::sleep(Duration::from_millis(100));
    }
    let server = std::fs::read_to_string(&note).unwrap();
    let address = server.trim().strip_prefix("https://").unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok(), "{address} answers while its owner lives");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let killed = Instant::now();
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(killed.elapsed() < Duration::from_secs(20), "{address} still answers");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The tools in a group of `testenv/build`.
fn group(name: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace().join("testenv/build")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=\"")));
    let words = line.unwrap_or_else(|| panic!("testenv/build has no group {name}")).trim_end_matches('"');
    let named = |word: &str| match word.strip_prefix('$') {
        Some(other) => group(other),
        None => vec![word.to_owned()],
    };
    words.split(' ').flat_map(named).collect()
}

/// The names that Rust sources of a folder look for with `Tool::find`.
fn looked_for(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            looked_for(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("Tool::find(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

/// A machine that has more hides what would be missing on one that was made by `make test`.
#[test]
fn what_tests_look_for_is_what_make_test_builds() {
    let mut found = BTreeSet::new();
    for folder in ["apply", "e2e", "pull-controller", "push", "registry", "verify"] {
        looked_for(&workspace().join(folder), &mut found);
    }
    assert!(found.contains("etcd") && found.contains("kustomize"), "{found:?}");
    let built = group("test");
    let missing: Vec<_> = found.iter().filter(|name| !built.contains(name)).collect();
    assert!(
        missing.is_empty(),
        "in no group that `make test` builds: {missing:?}; Tool::for_interop looks for the rest"
    );
}
