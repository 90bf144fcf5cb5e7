//! Bad input: a clear message that names the place, exit code 5, and nothing pushed.

use std::fs::File;

use sealift_registry::server::{Credentials, ServerOptions};

use crate::support::{POD, World};

async fn refused(files: &[(&str, &str)], expected: &str) {
    let world = World::new().await;
    for (name, content) in files {
        world.write(&format!("manifests/{name}"), content);
    }
    let run = world.push("prod", &[]).exits(5).silent();
    assert_eq!(world.scrub(&run.stderr), expected);
    assert_eq!(world.registry.requests(), Default::default(), "nothing is sent for input that cannot be used");
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_named_with_both_places() {
    let twice = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n---\n{POD}");
    refused(
        &[("twice.yaml", &twice)],
        "error: Pod shop/web is defined twice: manifests/pod.yaml:1 and manifests/twice.yaml:5\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_object_is_named_with_file_and_line_all_at_once() {
    refused(
        &[
            ("kindless.yaml", "---\napiVersion: v1\nmetadata: {name: x}\n"),
            ("list.yaml", "- a\n- b\n"),
            ("nameless.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {}\n"),
        ],
        "error: 3 problems in the manifests\n  \
         manifests/kindless.yaml:2: kind is missing\n  \
         manifests/list.yaml:1: a sequence, not an object\n  \
         manifests/nameless.yaml:1: metadata.name is missing\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_yaml_is_named_with_file_and_line() {
    let world = World::new().await;
    world.write("manifests/bad.yaml", "apiVersion: v1\nkind: [Pod\nmetadata: x\n");
    let run = world.push("prod", &[]).exits(5).silent();
    assert!(run.stderr.starts_with("error: manifests/bad.yaml:"), "{}", run.stderr);
    assert!(run.stderr.contains("not YAML"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_200_megabytes_is_not_even_read() {
    let world = World::new().await;
    File::create(world.path("manifests/large.yaml")).unwrap().set_len(200 << 20).unwrap();
    let run = world.push("prod", &[]).exits(5).silent();
    assert_eq!(
        run.stderr,
        "error: manifests/large.yaml has 209715200 bytes, more than the 16777216 that a file of manifests may have\n\
         hint: split it: one file an object is fine, and a release is no place for large data\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_missing_have_their_own_exit_code() {
    let world = World::new().await;
    let to = world.oci(":prod");
    let no_manifests = world.run(&["push", &to, "-f", "nowhere", "--key", "cosign.key"]).exits(6).silent();
    no_manifests.says(&["error: nowhere cannot be read", "caused by: No such file or directory"]);
    let no_key = world.run(&["push", &to, "-f", "manifests", "--key", "nowhere.key"]).exits(6).silent();
    no_key.says(&["error: nowhere.key is no key to sign with", "hint: make a pair with `sealift keygen`"]);
    let no_policy = world.run(&["verify", &to, "--policy", "nowhere.yaml"]).exits(6).silent();
    no_policy.says(&["error: nowhere.yaml cannot be read", "hint: what is named here holds SignaturePolicies"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_sign_is_refused_before_anything_is_sent() {
    let world = World::new().await;
    let to = world.oci(":prod");
    let public = world.run(&["push", &to, "-f", "manifests", "--key", "cosign.pub"]).exits(5).silent();
    public.says(&["a PEM block of type \"PUBLIC KEY\" is not a private key", "--key takes the private half"]);
    let wrong = world
        .command(&["push", &to, "-f", "manifests", "--key", "cosign.key"])
        .env("SEALIFT_PASSWORD", "wrong")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(5));
    assert!(text.contains("caused by: the password does not open the key"), "{text}");
    assert_eq!(world.registry.requests(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_nobody_could_accept_is_not_signed() {
    let world = World::new().await;
    world.push("prod", &["--version", "latest"]).exits(5).says(&["\"latest\" is not a semantic version"]);
    world.push("prod", &["--version", "1.0.0+x"]).exits(5).says(&["is not a semantic version that can be a tag"]);
    world.push("prod", &["--expires-in", "1d"]).exits(2).says(&["is not a duration such as 90s, 10m or 720h"]);
    world.push("prod", &["--sequence", "7"]).exits(0);
    world.push("prod", &["--sequence", "7"]).exits(5).says(&["sequence 7 of epoch 0 is already taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_could_not_be_checked() {
    let world = World::new().await;
    // A port that was free a moment ago and that nobody listens on.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = format!("oci://{address}/acme/shop:prod");
    let push = world.run(&["push", &to, "-f", "manifests", "--key", "cosign.key"]).exits(4).silent();
    push.says(&[
        &format!("error: {address}/v2/acme/shop/manifests/prod cannot be reached"),
        "hint: is the registry at",
    ]);
    let verify = world.run(&["verify", &to, "--policy", "policy.yaml"]).exits(4).silent();
    verify.says(&["cannot be reached", "caused by: the connection failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_does_not_exist_is_not_found() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let run = world.verify(":staging", &[]).exits(6).silent();
    run.says(&["/v2/acme/shop/manifests/staging does not exist", "hint: check repository and tag"]);
    let digest = format!("@sha256:{}", "0".repeat(64));
    world.verify(&digest, &[]).exits(6).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_and_right_ones_are_found() {
    let credentials = Credentials { user: "me".into(), password: "right".to_owned().into() };
    let world = World::with(ServerOptions { credentials: Some(credentials), ..ServerOptions::default() }).await;
    let docker = |encoded: &str| {
        let host = world.registry.addr;
        world.write(".docker/config.json", &format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{encoded}\"}}}}}}"));
    };
    let none = world.push("prod", &[]).exits(7).silent();
    none.says(&["the credentials for", "were refused", "hint: log in with `sealift login"]);
    docker("bWU6d3Jvbmc="); // me:wrong
    world.push("prod", &[]).exits(7).silent();
    world.verify(":prod", &[]).exits(7).silent();
    docker("bWU6cmlnaHQ="); // me:right
    world.push("prod", &[]).exits(0);
    world.verify(":prod", &[]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let world = World::new().await;
    for arguments in [
        &["push"][..],
        &["verify", "oci://h/a:b"],
        &["push", "not a reference", "-f", "x", "--key", "k"],
        &["push", "http://registry.example/a:b", "-f", "x", "--key", "k"],
        &["nonsense"],
        &["plan"],
        &["plan", "oci://h/a:b"],
        &["verify", &world.oci(""), "--policy", "policy.yaml"],
    ] {
        world.run(arguments).exits(2).silent();
    }
    let help = world.run(&["--help"]).exits(0).stdout;
    assert!(help.contains("Exit codes:") && help.contains("  8  superseded"), "{help}");
    assert!(world.run(&["--version"]).exits(0).stdout.starts_with("sealift "));
}
