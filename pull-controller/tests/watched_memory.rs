//! What a followed object takes in memory: `cargo test -p sealift-controller --test watched_memory -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]
#![cfg(target_os = "linux")]

use std::{fs, io::Write as _};

use kube::{Config, api::ApiResource};
use sealift_apply::{
    FIELD_MANAGER,
    api::{DeliveryReference, OWNER_LABEL, OWNER_NAME_ANNOTATION},
    cluster::{Cluster, Resource},
    inventory::Key,
    owner::Meta,
    takeover::Managers,
};
use sealift_controller::watch::{Applied, Followed, Hub, Observed};
use sealift_verify::objects::ObjectId;
use serde_json::json;

const DELIVERIES: usize = 1000;
const EACH: usize = 20;
/// Measured: 2.2 kB, of which the names take a third.
const MOST: usize = 3000;

/// What the kernel holds for this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}

fn id(namespace: &str, name: String) -> ObjectId {
    ObjectId {
        group: "apps".into(),
        version: "v1".into(),
        kind: "Deployment".into(),
        namespace: Some(namespace.into()),
        name,
    }
}

/// As a Deployment of a real release has them: our entry, and its controller's for scale and status.
fn meta(uid: &str, namespace: &str, name: &str, number: usize) -> Meta {
    let fields =
        json!({"f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:spec": {"f:containers": {}}}}});
    let entry = |manager: &str, operation: &str, subresource: &str| {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "apps/v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    let value = json!({
        "name": name, "namespace": namespace, "uid": format!("0b1c2d3e-4f50-6172-8394-{number:012}"), "generation": 1,
        "resourceVersion": (1_000_000 + number).to_string(),
        "labels": {OWNER_LABEL: uid, "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop"},
        "annotations": {OWNER_NAME_ANNOTATION: format!("{namespace}/shop"), "example.com/note": "x".repeat(200)},
        "managedFields": [entry(FIELD_MANAGER, "Apply", ""), entry("kube-controller-manager", "Update", "status"),
            entry("kube-controller-manager", "Update", "scale")],
    });
    Meta::of(&serde_json::from_value(value).unwrap())
}

fn delivered(hub: &Hub, number: usize) {
    let (namespace, uid) = (format!("team-{number:05}"), format!("9a8b7c6d-5e4f-3021-1203-{number:012}"));
    let api_version = "apps/v1".to_owned();
    let api = ApiResource {
        group: "apps".into(),
        version: "v1".into(),
        api_version,
        kind: "Deployment".into(),
        plural: "deployments".into(),
    };
    let resource = Resource { api, namespaced: true, has_status: true };
    let object = |object: usize| {
        let name = format!("component-with-a-usual-name-{object:04}");
        let (id, meta) = (id(&namespace, name.clone()), meta(&uid, &namespace, &name, number * EACH + object));
        let followed = Followed {
            resource: resource.clone(),
            id: id.clone(),
            mark: meta.mark.clone(),
            observed: Some(Observed::As(meta.fingerprint())),
            looked: false,
        };
        hub.saw(Key::of(&id), meta);
        followed
    };
    let objects = (0..EACH).map(object).collect();
    let owner = DeliveryReference { namespace: namespace.clone(), name: "shop".into(), uid: uid.clone() };
    let take_over = Managers::new(vec!["kubectl*".into(), "before-first-apply".into()]);
    hub.own(Applied { owner, account: (namespace, "deployer".into()), take_over, objects });
}

#[tokio::test]
async fn a_followed_object_takes_little_memory() {
    // Nobody is asked: no watch is allowed.
    let cluster = Cluster::connect(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let hub = Hub::new(cluster, 0);
    delivered(&hub, DELIVERIES);
    let before = resident();
    (0..DELIVERIES).for_each(|number| delivered(&hub, number));
    let bytes = (resident() - before) / (DELIVERIES * EACH);
    let _ = writeln!(std::io::stderr(), "{} followed objects, {bytes} bytes each", DELIVERIES * EACH);
    assert!(bytes < MOST, "{bytes} bytes an object");
}
