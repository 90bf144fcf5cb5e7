//! Trust roots in the cluster: a policy that names one stands and falls with it.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::ListParams};
use sealift_e2e::{ControlPlane, World, is_ready, policy};
use serde_json::{Value, json};

/// A trusted root with one log, whose key is this world's. No entry of it is ever shown: what counts is that it is there.
fn root(world: &World<'_>) -> Value {
    let key: String = world.key.public().lines().filter(|line| !line.starts_with("-----")).collect();
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [{
            "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": key, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": "2020-01-01T00:00:00Z"}},
            "logId": {"keyId": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        }],
    })
}

#[tokio::test]
async fn a_policy_is_refused_while_its_trust_root_is_missing_or_broken_and_judges_at_once_when_it_comes() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "trust-root", async |world| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        let digest = world.push("app:stable", &[&world.cli.write("map.yaml", map.to_string())], &[]);
        let name = world.namespace.clone();
        let mut policy = policy(&name, &[&format!("{}/**", world.registry.host())], &world.key);
        policy["spec"]["authorities"][0]["key"]["trustRoot"] = json!(name);
        policy["spec"]["transparency"] = json!({"tlog": "optional"});
        world.put_policy(policy).await;
        let account = world.namespace_account(&name);
        world.start_controller().await;
        let of = (name.as_str(), "app");
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!("1h");
        world.deliver(of.0, of.1, spec).await;
        let message = world.refused(of, "PolicyInvalid").await;
        assert!(message.contains(&format!("there is no trust root {name:?}")), "{message}");

        let put = |text: String| {
            let document = json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "TrustRoot",
                "metadata": {"name": name}, "spec": {"trustedRoot": text}});
            let file = world.cli.write("root.yaml", document.to_string()).display().to_string();
            world.kubectl(&["apply", "--server-side", "-f", &file]);
        };
        // One that was fetched long ago is told of, whatever it holds.
        let old = json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": name},
            "spec": {"trustedRoot": "{}", "fetchedAt": "2020-01-01T00:00:00Z"}});
        let file = world.cli.write("old.yaml", old.to_string()).display().to_string();
        world.kubectl(&["apply", "--server-side", "-f", &file]);
        let events: Api<Event> = Api::namespaced(world.client.clone(), "default");
        let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
        let told = async || {
            let found = events.list(&about).await.map_err(|error| error.to_string())?.items;
            match found.iter().any(|event| event.reason.as_deref() == Some("TrustRootOld")) {
                true => Ok(()),
                false => Err(format!("{found:?}")),
            }
        };
        world.until("the Event about the old root", told).await;

        put("{}".to_owned());
        world
            .wait_for(of, "told that the root is broken", |delivery| {
                let status = delivery.status.as_ref().map(|status| format!("{:?}", status.conditions));
                status.is_some_and(|conditions| conditions.contains("not a Sigstore trusted root"))
            })
            .await;
        put(root(world).to_string());
        world.wait_for(of, "ready", is_ready).await;
        world.delivered(of, digest).await;
        world.kubectl(&["delete", "trustroot", &name]);
        world.refused(of, "PolicyInvalid").await;
    })
    .await;
}
