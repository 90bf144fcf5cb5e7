//! Registries that ask who is there and break off half way, seen from the command line.

use sealift_e2e::{
    Login,
    faulty::{Accepts, Behaviour, Fault, FaultyRegistry, Gate, Referrers, TokenService, What},
};

use crate::support::{Run, World};

const CI: Login = Login { user: "robot$ci", password: "a-password-of-ci" };

fn behaviour() -> Behaviour {
    let service = TokenService {
        elsewhere: true,
        path: "/jwt/auth",
        service: "registry.example",
        field: "token",
        lifetime: Some(300),
        accepts: Accepts::Password(CI),
        public: false,
    };
    let fault = |method, path, what| Fault { method, path, spare: 0, times: 1, what };
    Behaviour {
        gate: Gate::Token(service),
        referrers: Referrers::Missing,
        repositories: Some(&["acme/shop"]),
        storage_elsewhere: true,
        faults: vec![
            fault("PUT", "/blobs/uploads/", What::CutUpload(100)),
            fault("PUT", "/manifests/", What::Without("location")),
            fault("GET", "/blobs/sha256", What::Expire),
        ],
    }
}

fn run(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    Run::of(world.command(arguments).envs(variables.iter().copied()).output().expect("the binary starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_through_a_registry_that_is_hard_to_please() {
    let (world, registry) = (World::new().await, FaultyRegistry::start(behaviour()));
    let host = registry.host();
    let reference = format!("oci://{host}/acme/shop:prod");
    let push = ["push", &reference, "-f", "manifests", "--key", "cosign.key", "--env", "prod"];
    let verify = ["verify", &reference, "--policy", "policy.yaml"];
    let login =
        [("SEALIFT_REGISTRY", host), ("SEALIFT_REGISTRY_USER", CI.user), ("SEALIFT_REGISTRY_PASSWORD", CI.password)];
    run(&world, &push, &login).exits(0);
    run(&world, &verify, &login).exits(0);

    // The same by the file that `docker login` writes, for a path inside the registry.
    let auth = base64(&format!("{}:{}", CI.user, CI.password));
    let config = serde_json::json!({"auths": {host: {"auth": base64("nobody:nothing")}, format!("{host}/acme"): {"auth": auth}}});
    world.write(".docker/config.json", &config.to_string());
    run(&world, &verify, &[]).exits(0);

    // Variables for another registry say nothing about this one, and half a login is no anonymous access.
    run(&world, &verify, &[("SEALIFT_REGISTRY", "other.example"), login[1], login[2]]).exits(0);
    run(&world, &verify, &login[1..]).exits(7).says(&["not for which registry", "hint: set SEALIFT_REGISTRY=HOST"]);
    let wrong = [login[0], login[1], ("SEALIFT_REGISTRY_PASSWORD", "hunter2")];
    let refused = run(&world, &verify, &wrong).exits(7);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);

    let missing = format!("oci://{host}/acme/new:prod");
    let push = ["push", &missing, "-f", "manifests", "--key", "cosign.key", "--env", "prod"];
    run(&world, &push, &login).exits(6).says(&["hint: make the repository acme/new"]);
}

fn base64(text: &str) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text)
}
