//! Who signs, and what happens where nobody does: identities without a token, services that fail, keys that are not there.
//! Success is tried on a real Sigstore and a real Vault, by `make interop`.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::support::{Run, World};

/// A service that gives one answer to everybody.
fn answering(status: u16, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut request = [0; 16 << 10];
                let _ = stream.read(&mut request);
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                // What is not read yet would become a reset in place of the answer.
                let _ = stream.set_read_timeout(Some(std::time::Duration::from_millis(200)));
                while stream.read(&mut request).is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

fn token(expires: &str) -> String {
    let claims = format!(r#"{{"iss":"https://issuer.example","sub":"job","aud":"sigstore","exp":{expires}}}"#);
    format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// A keyless push to a Fulcio at this address, with these variables and more arguments.
fn keyless(world: &World, fulcio: &str, variables: &[(&str, &str)], more: &[&str]) -> Run {
    let to = world.oci(":prod");
    let arguments = ["push", &to, "-f", "manifests", "--keyless", "--fulcio-url", fulcio, "--signing-timeout", "2s"];
    let mut command = world.command(&[&arguments[..], &["--timestamp-url", fulcio], more].concat());
    Run::of(command.envs(variables.iter().copied()).output().unwrap())
}

const LASTING: &str = "9999999999";

#[tokio::test(flavor = "multi_thread")]
async fn somebody_has_to_sign_and_only_one() {
    let world = World::new().await;
    let to = world.oci(":prod");
    for command in [&["push", &to, "-f", "manifests"][..], &["sign", &to], &["refresh", &to, "--expires-in", "1h"]] {
        world.run(command).exits(2).silent().says(&["--key <FILE|URI>"]);
        let both = [command, &["--key", "cosign.key", "--keyless"]].concat();
        world.run(&both).exits(2).silent().says(&["cannot be used with"]);
    }
    let push = ["push", &to, "-f", "manifests", "--key", "cosign.key"];
    world
        .run(&[&push[..], &["--fulcio-url", "https://f"]].concat())
        .exits(2)
        .says(&["--fulcio-url <URL>", "cannot be used with"]);
    let other = ["push", &to, "-f", "manifests", "--key", "awskms:///alias/x"];
    world.run(&other).exits(2).says(&["awskms:// is not supported", "hashivault://KEY"]);
    assert_eq!(world.registry.requests(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_needs_a_token_that_lasts() {
    let world = World::new().await;
    let fulcio = answering(500, "");
    let none = keyless(&world, &fulcio, &[], &[]).exits(7).silent();
    none.says(&["error: there is no identity token", "hint: give one with --identity-token or SIGSTORE_ID_TOKEN"]);
    for (variables, hint) in [
        (&[("GITHUB_ACTIONS", "true")], "permissions: {id-token: write}"),
        (&[("GITLAB_CI", "true")], "id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}"),
        (&[("BUILDKITE", "true")], "buildkite-agent cannot be asked"),
    ] {
        keyless(&world, &fulcio, variables, &[]).exits(7).silent().says(&[hint]);
    }
    let expired = keyless(&world, &fulcio, &[("SIGSTORE_ID_TOKEN", &token("1000"))], &[]).exits(7).silent();
    expired.says(&["of https://issuer.example expired at 1970-01-01T00:16:40Z"]);
    world.write("token", "not a token");
    keyless(&world, &fulcio, &[], &["--identity-token", "token"]).exits(5).says(&["is no JWT"]);
    keyless(&world, &fulcio, &[], &["--identity-token", "nowhere"]).exits(6).says(&["token in nowhere"]);
    assert_eq!(world.registry.requests(), Default::default(), "nothing is sent anywhere before somebody can sign");
}

#[tokio::test(flavor = "multi_thread")]
async fn githubs_token_service_is_asked_for_the_job() {
    let world = World::new().await;
    let tokens = answering(403, r#"{"message":"job is over"}"#);
    let variables = [
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", tokens.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a-bearer-token"),
    ];
    let run = keyless(&world, "http://127.0.0.1:1", &variables, &[]).exits(7).silent();
    assert!(!run.stderr.contains("a-bearer-token"), "{}", run.stderr);
    run.says(&["the CI's own identity token is not to be had", "answered 403: job is over"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fulcio_that_fails_is_told_from_one_that_refuses() {
    let world = World::new().await;
    let token = token(LASTING);
    let with = [("SIGSTORE_ID_TOKEN", token.as_str())];
    for (fulcio, code, said) in [
        ("http://127.0.0.1:1".to_owned(), 4, "Fulcio at 127.0.0.1:1 cannot be reached"),
        (answering(503, ""), 4, "answered 503"),
        (answering(400, r#"{"code":3,"message":"bad token"}"#), 7, "no certificate is issued for this identity token"),
        (answering(401, r#"{"code":16,"message":"bad token"}"#), 7, "answered 401: bad token"),
        (answering(404, "not here"), 1, "answered 404: not here"),
        (answering(200, "<html>"), 1, "the answer of Fulcio at"),
        (answering(200, "{}"), 1, "it holds no certificate"),
    ] {
        let run = keyless(&world, &fulcio, &with, &[]).exits(code).silent();
        assert!(!run.stderr.contains(&token), "{}", run.stderr);
        run.says(&[said]);
    }
    keyless(&world, "http://fulcio.example", &with, &[]).exits(2).says(&["without TLS"]);
    assert_eq!(world.registry.requests(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn private_services_are_never_mixed_with_the_public_ones() {
    let world = World::new().await;
    let to = world.oci(":prod");
    let push = ["push", &to, "-f", "manifests", "--keyless", "--identity-token", &token(LASTING)];
    for (more, said) in [
        (&["--rekor-url", "https://r.example"][..], "none of a certificate authority"),
        (&["--fulcio-url", "https://f.example"], "nothing would say when"),
        (&["--fulcio-url", "https://f.example", "--rekor-url", "https://r.example"], "no timestamp authority is named"),
    ] {
        world.run(&[&push[..], more].concat()).exits(2).silent().says(&[said]);
    }
    world.write("config.json", "{}");
    world.run(&[&push[..], &["--signing-config", "config.json"]].concat()).exits(5).says(&["signing config"]);
    world.write("root.json", "{}");
    let root =
        ["--fulcio-url", "https://f.example", "--timestamp-url", "https://t.example", "--trusted-root", "root.json"];
    world.run(&[&push[..], &root].concat()).exits(5).says(&["root.json is no trusted root"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transit_key_that_cannot_be_had_says_why() {
    let world = World::new().await;
    let key = |name: &str, variables: &[(&str, &str)]| {
        let arguments = ["public-key", "--key", name, "--signing-timeout", "2s"];
        Run::of(world.command(&arguments).envs(variables.iter().copied()).output().unwrap())
    };
    let name = "hashivault://release";
    key(name, &[]).exits(2).silent().says(&["neither VAULT_ADDR nor BAO_ADDR", "hint: set VAULT_ADDR"]);
    key(name, &[("VAULT_ADDR", "https://v")]).exits(7).says(&["there is no token", "vault login"]);
    let down = [("BAO_ADDR", "http://127.0.0.1:1"), ("BAO_TOKEN", "secret-token")];
    let run = key("openbao://release", &down).exits(4).silent();
    assert!(!run.stderr.contains("secret-token"));
    run.says(&["transit key \"release\" cannot be used", "Vault at 127.0.0.1:1 cannot be reached"]);
    let plain = [("VAULT_ADDR", "http://vault.example"), ("VAULT_TOKEN", "t")];
    key(name, &plain).exits(2).says(&["without TLS"]);
    let ca = [("VAULT_ADDR", "https://v"), ("VAULT_TOKEN", "t"), ("VAULT_CACERT", "nowhere.pem")];
    key(name, &ca).exits(6).says(&["nowhere.pem cannot be read"]);
    for ca in [("VAULT_CACERT", "policy.yaml"), ("VAULT_CACERT", "cosign.pub")] {
        let wrong = key(name, &[("VAULT_ADDR", "https://127.0.0.1:1"), ("VAULT_TOKEN", "t"), ca]).exits(5);
        wrong.says(&["the CA certificates for Vault at 127.0.0.1:1 are none"]);
    }
    key("hashivault://a/b", &down).exits(2).says(&["expected hashivault://KEY"]);
    for (status, body, code, said) in [
        (503, r#"{"errors":["Vault is sealed"]}"#, 4, "answered 503: Vault is sealed"),
        (200, "[]", 1, "the answer of Vault at"),
    ] {
        let address = answering(status, body);
        key(name, &[("VAULT_ADDR", &address), ("VAULT_TOKEN", "t")]).exits(code).silent().says(&[said]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_half_of_a_key_is_what_keygen_wrote() {
    let world = World::new().await;
    let printed = world.run(&["public-key", "--key", "cosign.key"]).exits(0);
    assert_eq!(printed.stdout, world.read("cosign.pub"));
    let document = world.run(&["public-key", "--key", "cosign.key", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&document["schema"], &document["pem"]),
        (&"sealift.dev/public-key/v1".into(), &world.read("cosign.pub").into())
    );
}
