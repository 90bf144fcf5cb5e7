//! The controller at registries that are hard to please: mirrors that fail, a cloud's identity, a pull secret of old.
//! What a single request does is tested with the client (`registry/tests/client`).

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use base64::{Engine, prelude::BASE64_STANDARD};
use sealift_e2e::{
    ControlPlane, Login, World,
    faulty::{Accepts, Behaviour, Fault, FaultyRegistry, Gate, TokenService, What},
    policy,
};
use serde_json::json;

const CLOUD: Login = Login { user: "oauth2accesstoken", password: "ya29.token" };

/// Takes the token of a cloud as a password, and nothing else.
fn behind_an_identity() -> FaultyRegistry {
    let service = TokenService {
        elsewhere: true,
        path: "/v2/token",
        service: "registry.example",
        field: "token",
        lifetime: Some(300),
        accepts: Accepts::Password(CLOUD),
        public: false,
    };
    let behaviour = Behaviour { gate: Gate::Token(service), storage_elsewhere: true, ..Behaviour::default() };
    FaultyRegistry::start(behaviour)
}

/// Every request of a method is answered so.
fn always(method: &'static str, path: &'static str, status: u16, body: &'static str) -> Fault {
    Fault { method, path, spare: 0, times: usize::MAX, what: What::Answer { status, headers: vec![], body } }
}

#[tokio::test]
async fn mirrors_stand_in_for_each_other_and_a_cloud_identity_opens_the_last() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "mirrors", async |world| {
        let faults = vec![always("HEAD", "/v2/", 503, ""), always("GET", "/v2/", 503, "")];
        let broken = FaultyRegistry::start(Behaviour { faults, ..Behaviour::default() });
        let (empty, full) = (FaultyRegistry::start(Behaviour::default()), behind_an_identity());
        let token = always("GET", "/computeMetadata/", 200, r#"{"access_token":"ya29.token","expires_in":3599}"#);
        let metadata = FaultyRegistry::start(Behaviour { faults: vec![token], ..Behaviour::default() });

        let login = BASE64_STANDARD.encode(format!("{}:{}", CLOUD.user, CLOUD.password));
        world.cli.write(".docker/config.json", json!({"auths": {full.host(): {"auth": login}}}).to_string());
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": "1"}});
        let manifests = world.cli.write("manifests.yaml", map.to_string()).display().to_string();
        let (reference, key) = (format!("oci://{}/copies/team/app:stable", full.host()), world.key.private());
        let push =
            ["push", &reference, "--repository", "registry.example/team/app", "--key", &key.display().to_string()];
        let pushed = world.cli.run(&[&push[..], &["-f", &manifests]].concat());
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        world
            .put_policy(policy(&world.namespace, &["registry.example/team/*", "other.example/team/*"], &world.key))
            .await;

        let mirror = |from: &str, to: &FaultyRegistry| format!("--mirror={from}={}/copies", to.host());
        let mirrors = [&broken, &empty, &full].map(|to| mirror("registry.example", to));
        let hosts = [&broken, &empty, &full].map(|one| format!("--plain-http-host={}", one.host()));
        let elsewhere = format!("--plain-http-host={}", full.elsewhere());
        let identity = format!("--registry-identity={}/copies=gcp", full.host());
        let other = mirror("other.example", &full);
        let arguments: Vec<&str> =
            mirrors.iter().chain(&hosts).chain([&elsewhere, &identity, &other]).map(String::as_str).collect();
        world.set_controller_env("GCE_METADATA_HOST", metadata.host());
        world.start_controller_with(&arguments).await;

        let account = world.namespace_account(&world.namespace);
        let spec = |repository: &str, secret: Option<&str>| {
            let mut spec = world.following("app", "stable", account);
            (spec["repository"], spec["interval"]) = (json!(repository), json!("1h"));
            if let Some(secret) = secret {
                spec["pullSecretName"] = json!(secret);
            }
            spec
        };
        let of = |name| (world.namespace.as_str(), name);
        world.deliver(&world.namespace, "app", spec("registry.example/team/app", None)).await;
        world.delivered(of("app"), pushed.digest()).await;
        assert!(broken.count("HEAD", "/copies/team/app/manifests/stable") >= 1, "the first is asked first");
        assert!(empty.count("HEAD", "/copies/team/app/manifests/stable") >= 1, "404 is no end");
        assert_eq!(metadata.seen().len(), 1, "one token for everything");
        let tokens: Vec<_> =
            full.seen().into_iter().filter(|seen| seen.elsewhere && seen.path == "/v2/token").collect();
        assert!(tokens.iter().all(|seen| seen.authorization() == Some(&*format!("Basic {login}"))), "{tokens:?}");

        // A Delivery's own secret, of the older type, comes before the platform's identity: right or wrong.
        for (name, password) in [("wrong", "hunter2"), ("right", CLOUD.password)] {
            let auth = BASE64_STANDARD.encode(format!("{}:{password}", CLOUD.user));
            let content = json!({format!("{}/copies/team", full.host()): {"auth": auth}}).to_string();
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockercfg",
                "metadata": {"name": name, "namespace": world.namespace}, "stringData": {".dockercfg": content},
            });
            let file = world.cli.write(&format!("{name}.json"), secret.to_string()).display().to_string();
            world.kubectl(&["apply", "-f", &file]);
        }
        world.deliver(&world.namespace, "wrong", spec("other.example/team/app", Some("wrong"))).await;
        world.refused(of("wrong"), "AuthenticationFailed").await;
        world.undeliver(of("wrong")).await;
        // With the right one it comes as far as the verdict: signed for another name.
        world.deliver(&world.namespace, "right", spec("other.example/team/app", Some("right"))).await;
        world.refused(of("right"), "WrongRepository").await;
        assert_eq!(metadata.seen().len(), 1);
        let log = world.controller_log();
        assert!(!log.contains("ya29.token") && !log.contains("hunter2") && !log.contains(&login), "{log}");
    })
    .await;
}
