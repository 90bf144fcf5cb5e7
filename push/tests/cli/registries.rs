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

/// The flags of a way to a registry that cannot be used are told apart from a registry that says no.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_there_is_what_flags_and_environment_say() {
    let (world, registry) = (World::new().await, FaultyRegistry::start(Behaviour::default()));
    let reference = format!("oci://{}/acme/shop:prod", registry.host());
    let inspect = |more: &[&str]| run(&world, &[&["inspect", &reference], more].concat(), &[]);
    inspect(&["--client-cert", "cosign.pub"]).exits(2).says(&["--client-key"]);
    inspect(&["--client-cert", "cosign.pub", "--client-key", "missing"]).exits(6).says(&["missing cannot be read"]);
    inspect(&["--client-cert", "cosign.pub", "--client-key", "cosign.pub"])
        .exits(5)
        .says(&["the client certificate and its key cannot be used"]);
    inspect(&["--registry-identity", "cloud"]).exits(2).says(&["is not of the form [HOST[/PATH]=]aws|gcp|azure"]);
    let named = format!("{}=azure", registry.host());
    inspect(&["--registry-identity", &named]).exits(7).says(&["an identity of azure needs AZURE_TENANT_ID"]);
    assert_eq!(registry.seen().len(), 0);
    inspect(&["--registry-identity", "azure"]).exits(6);

    // An address that is nobody's (RFC 5737), so that only the proxy can have been asked.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(proxy.accept().unwrap().0), &mut line).unwrap();
        line
    });
    let far = ["inspect", "oci://192.0.2.1/acme/shop:prod"];
    let failed = run(&world, &far, &[("HTTPS_PROXY", &address)]);
    assert_eq!(asked.join().unwrap(), "CONNECT 192.0.2.1:443 HTTP/1.1\r\n");
    failed.exits(4);
    // What is on this machine is asked without it.
    let local = ["inspect", &reference];
    run(&world, &local, &[("HTTP_PROXY", &address), ("HTTPS_PROXY", &address)]).exits(6);
}
