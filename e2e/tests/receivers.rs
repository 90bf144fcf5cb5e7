//! Who may says that something is new, and it is delivered at once though the interval is an hour; who may not is not heard.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use sealift_apply::api::Receiver;
use sealift_e2e::{ControlPlane, Registry, World, free_port, policy};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

const TOKEN: &str = "a token that both sides know";

/// Makes a Receiver and gives the path at which it is listened to.
async fn receive(world: &World<'_>, name: &str, spec: Value) -> String {
    let receiver = json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "Receiver",
        "metadata": {"namespace": world.namespace, "name": name}, "spec": spec,
    });
    let api: Api<Receiver> = Api::namespaced(world.client.clone(), &world.namespace);
    let apply = PatchParams::apply("tests").force();
    api.patch(name, &apply, &Patch::Apply(&receiver)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    world
        .until(&format!("a path of {name}"), async || {
            let status = api.get(name).await.map_err(|error| error.to_string())?.status;
            status.and_then(|status| status.path).ok_or_else(|| "none".to_owned())
        })
        .await
}

/// A release of one ConfigMap, pushed to a registry.
fn release(world: &World<'_>, host: &str, value: &str) -> Digest {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"value": value}});
    let file = world.cli.write("map.json", map.to_string()).display().to_string();
    let (reference, key) = (format!("oci://{host}/acme/shop:prod"), world.key.private().display().to_string());
    let words = ["push", &reference, "--key", &key, "-f", &file, "--skip-validation", "all"];
    let output = world.cli.run(&words);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.digest()
}

/// A Delivery that looks by itself once an hour.
fn hourly(host: &str, account: &str) -> Value {
    json!({"repository": format!("{host}/acme/shop"), "select": {"tag": "prod"}, "serviceAccountName": account, "interval": "1h"})
}

fn secret(world: &World<'_>) {
    let token = format!("--from-literal=token={TOKEN}");
    world.kubectl(&["create", "secret", "generic", "token", &token, "-n", &world.namespace]);
}

#[tokio::test]
async fn what_a_registry_says_is_pushed_is_delivered_though_the_interval_is_an_hour() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "pushed", async |world| {
        let account = world.namespace_account(&world.namespace);
        secret(world);
        let address = format!("127.0.0.1:{}", free_port());
        world.start_controller_with(&["--receiver-listen", &address]).await;
        let spec = json!({"type": "distribution", "secretName": "token", "serviceAccountName": account});
        let path = receive(world, "registry", spec).await;
        world.stop_controller();
        let Some(registry) = Registry::distribution_that_tells(&format!("http://{address}{path}"), TOKEN) else {
            return;
        };
        let host = registry.host();
        world.put_policy(policy(&world.namespace, &[&format!("{host}/**")], &world.key)).await;
        world.start_controller_with(&["--receiver-listen", &address, "--plain-http-host", &host]).await;

        let of = (world.namespace.as_str(), "shop");
        let first = release(world, &host, "1");
        world.deliver(of.0, of.1, hourly(&host, account)).await;
        world.delivered(of, first).await;
        for value in ["2", "3"] {
            let digest = release(world, &host, value);
            world.delivered(of, digest).await;
        }
    })
    .await;
}

/// An OpenID issuer on loopback with one key.
struct Issuer {
    url: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    async fn serve() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk =
            json!({"kid": "k", "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])});
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(discovery)))
            .route("/keys", get(async move || Json(json!({"keys": [jwk]}))));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, key }
    }

    fn token(&self, repository: &str) -> String {
        let end = jiff::Timestamp::now().as_second() + 300;
        let claims = json!({"iss": self.url, "aud": "sealift", "exp": end, "repository": repository});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({"alg": "ES256", "kid": "k"})), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[tokio::test]
async fn who_is_known_is_heard_and_strangers_learn_nothing() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "heard", async |world| {
        let account = world.namespace_account(&world.namespace);
        world.trust().await;
        secret(world);
        let (issuer, host) = (Issuer::serve().await, world.registry.host());
        let address = format!("127.0.0.1:{}", free_port());
        let service = issuer.url.strip_prefix("http://").unwrap();
        world.start_controller_with(&["--receiver-listen", &address, "--plain-http-service", service]).await;
        let spec = |kind: &str| json!({"type": kind, "secretName": "token", "serviceAccountName": account});
        let signed = receive(world, "signed", spec("generic-hmac")).await;
        let quay = receive(world, "quay", spec("quay")).await;
        let oidc = json!({"issuer": issuer.url, "audience": "sealift", "claims": {"repository": "acme/shop"}});
        let pipeline = receive(world, "pipeline", json!({"type": "generic-oidc", "oidc": oidc})).await;
        let of = (world.namespace.as_str(), "shop");
        let digest = release(world, &host, "0");
        world.deliver(of.0, of.1, hourly(&host, account)).await;
        world.delivered(of, digest).await;

        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let say = async |path: &str, header: (&str, &str), body: &str| {
            let request = http.post(format!("http://{address}{path}")).header(header.0, header.1);
            let answer = request.body(body.to_owned()).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let moved = json!({"repository": format!("{host}/acme/shop"), "tag": "prod"}).to_string();
        let signature = |key: &str, body: &str| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body.as_bytes());
            let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256={hex}")
        };

        // Strangers get the same answer everywhere, and nothing is asked for them.
        let unheard = release(world, &host, "1");
        let nowhere = format!("/hook/{}", "0".repeat(64));
        let wrong = format!("Bearer {}", issuer.token("acme/other"));
        let wrong_key = signature("another token of somebody", &moved);
        for (path, header) in [
            (&nowhere, ("x-signature", wrong_key.as_str())),
            (&signed, ("x-signature", wrong_key.as_str())),
            (&signed, ("authorization", TOKEN)),
            (&quay, ("authorization", TOKEN)),
            (&pipeline, ("authorization", wrong.as_str())),
            (&pipeline, ("authorization", TOKEN)),
        ] {
            assert_eq!(say(path, header, &moved).await, (404, String::new()), "{path} {header:?}");
        }
        let large = "x".repeat(300 << 10);
        assert_eq!(say(&signed, ("x-signature", &signature(TOKEN, &large)), &large).await.0, 413);
        assert_eq!(
            say(&signed, ("x-signature", &signature(TOKEN, "[1]")), "[1]").await.0,
            400,
            "known, and not understood"
        );
        let status = world.deliveries(of.0).get(of.1).await.unwrap().status.unwrap();
        assert_eq!(
            status.last_applied.map(|last| last.digest),
            Some(digest),
            "nobody who counts has said that it moved"
        );

        // Each who is known is heard, in his own way.
        assert_eq!(say(&signed, ("x-signature", &signature(TOKEN, &moved)), &moved).await.0, 200);
        world.delivered(of, unheard).await;
        let digest = release(world, &host, "2");
        let tags = json!({"repository": "acme/shop", "updated_tags": ["prod"]}).to_string();
        let quay = format!("{quay}/{}", TOKEN.replace(' ', "%20"));
        assert_eq!(say(&quay, ("accept", "*/*"), &tags).await.0, 200);
        world.delivered(of, digest).await;
        let digest = release(world, &host, "3");
        let token = format!("Bearer {}", issuer.token("acme/shop"));
        assert_eq!(say(&pipeline, ("authorization", &token), "").await.0, 200);
        world.delivered(of, digest).await;
    })
    .await;
}
