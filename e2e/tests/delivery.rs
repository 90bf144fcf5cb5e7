//! One Delivery at a time, from a push to what becomes of it in the cluster.

use std::{collections::BTreeSet, path::PathBuf};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use sealift_apply::api::{Delivery, condition};
use sealift_e2e::{Attacker, ControlPlane, KeyPair, Name, World, corpus, expected, policy, reason};
use serde_json::{Value, json};

/// Deployment and Service; its kustomization is no manifest, and nothing here scales by load.
fn podinfo() -> Option<[PathBuf; 2]> {
    let folder = corpus("podinfo")?.join("kustomize");
    Some(["deployment.yaml", "service.yaml"].map(|file| folder.join(file)))
}

/// ConfigMaps of these names and values: the quickest release there is.
fn maps(world: &World<'_>, file: &str, maps: &[(&str, &str)]) -> PathBuf {
    let map = |(name, value): &(&str, &str)| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}})
    };
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
        assert_eq!((verification.verdict.as_str(), &verification.authorities[..]), ("Verified", &["release".to_owned()][..]));
        let attempted = status.last_attempted.unwrap();
        assert_eq!((attempted.digest, attempted.tag.as_deref()), (digest, Some("stable")));

        // the reconcile that is asked for is written down as done; nothing else is sent
        let mark = control_plane.audit().mark();
        world.reconcile(of).await;
        let requests = control_plane.audit().since(mark);
        let writes: Vec<_> = requests
            .iter()
            .filter(|request| request.user.ends_with(":sealift-controller") && request.is_write())
            .filter(|request| request.namespace == world.namespace || request.namespace.is_empty())
            .map(|request| format!("{} {}", request.verb, request.uri))
            .collect();
        assert_eq!(writes.len(), 1, "{writes:#?}");
        assert!(writes[0].contains("/deliveries/podinfo/status"), "{writes:#?}");
    })
    .await;
}
