//! What `sealift verify` refuses: each with its own stable word, exit code 3, and the evidence on standard output.

use std::collections::BTreeMap;

use bytes::Bytes;
use sealift_registry::{
    client::{Client, ClientConfig, PutAs},
    server::{ServerOptions, Store},
    store,
};
use sealift_verify::{
    artifact::{Descriptor, IMAGE_MANIFEST, Manifest},
    digest::Digest,
    reference::Repository,
};

use crate::support::{POD, Run, World, policy};

impl World {
    fn client(&self) -> (store::Store, Repository) {
        let host = self.registry.addr.to_string();
        let repository = format!("{host}/acme/shop").parse().unwrap();
        (Client::new(&host, ClientConfig::default()).unwrap().into(), repository)
    }

    /// Hangs everything that refers to one artifact (`@DIGEST`) onto another one as well.
    pub(crate) async fn copy_signatures(&self, from: &str, to: &str) {
        let (client, repository) = self.client();
        let digest = |rest: &str| rest.trim_start_matches('@').parse::<Digest>().unwrap();
        let subject = client.manifest(&repository.pin(digest(to))).await.unwrap();
        for referrer in client.referrers(&repository.pin(digest(from)), 8).await.unwrap().descriptors {
            let referrer = client.manifest(&repository.pin(referrer.digest)).await.unwrap();
            let referrer: Manifest = serde_json::from_slice(&referrer).unwrap();
            let bundle = client.blob(&repository, &referrer.layers[0]).await.unwrap();
            let subject = Descriptor::of(IMAGE_MANIFEST, &subject);
            client.attach_bundle(&repository, subject, bundle, BTreeMap::new()).await.unwrap();
        }
    }

    async fn manifest(&self, tag: &str) -> (Digest, Bytes, Manifest) {
        let (client, repository) = self.client();
        let digest = client.resolve(&repository, tag).await.unwrap();
        let bytes = client.manifest(&repository.pin(digest)).await.unwrap();
        let manifest = Manifest::parse(&bytes, &digest).unwrap();
        (digest, bytes, manifest)
    }
}

#[track_caller]
fn refused(run: Run, word: &str) -> Run {
    let run = run.exits(3);
    let last = run.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("REFUSED {word}: ")), "{}", run.stdout);
    run.says(&[&format!("error: {word}: "), "hint: "])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_artifact() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let (_, _, mut manifest) = world.manifest("prod").await;
    manifest.annotations.insert("tampered".into(), "yes".into());
    let (client, repository) = world.client();
    client.put_manifest(&repository, PutAs::Tag("prod"), IMAGE_MANIFEST, manifest.to_bytes().into()).await.unwrap();
    refused(world.verify(":prod", &[]), "Unsigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_by_another_key_with_the_keys_that_would_do() {
    let world = World::new().await;
    world.run(&["keygen", "--output-prefix", "other"]).exits(0);
    let to = world.oci(":prod");
    world.run(&["push", &to, "-f", "manifests", "--key", "other.key", "--env", "prod"]).exits(0);
    let run = refused(world.verify(":prod", &[]), "NoTrustedSignature");
    let stderr = world.scrub(&run.stderr);
    assert!(
        stderr.contains("signature … claims key sha256:…\npolicy shop: authority ci has key sha256:…\n"),
        "{stderr}"
    );
    assert_eq!(
        world.scrub(run.stdout.lines().last().unwrap()),
        "REFUSED NoTrustedSignature: none of 1 signatures satisfies policy shop (needs 1 of [ci])"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_copied_from_another_artifact() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let (digest, ..) = world.manifest("prod").await;
    let (client, repository) = world.client();
    let referrer = client.referrers(&repository.pin(digest), 8).await.unwrap().descriptors[0].digest;
    let referrer = client.manifest(&repository.pin(referrer)).await.unwrap();
    let referrer: Manifest = serde_json::from_slice(&referrer).unwrap();
    let bundle = client.blob(&repository, &referrer.layers[0]).await.unwrap();
    // An artifact of the attacker's, wearing the signature of ours.
    world.write("manifests/pod.yaml", &POD.replace("web:1", "evil:1"));
    world.run(&["keygen", "--output-prefix", "evil"]).exits(0);
    let to = world.oci(":evil");
    world.run(&["push", &to, "-f", "manifests", "--key", "evil.key", "--env", "prod"]).exits(0);
    let (_, bytes, _) = world.manifest("evil").await;
    let subject = Descriptor::of(IMAGE_MANIFEST, &bytes);
    client.attach_bundle(&repository, subject, bundle, BTreeMap::new()).await.unwrap();
    let run = refused(world.verify(":evil", &[]), "DigestMismatch");
    assert!(run.stdout.contains("the signed subject has digest"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_changed_in_the_registry() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Layout(folder.path().join("oci"));
    let world = World::with(ServerOptions { store, ..ServerOptions::default() }).await;
    world.push("prod", &[]).exits(0);
    let (digest, _, manifest) = world.manifest("prod").await;
    let blob = |digest: Digest| folder.path().join("oci/blobs/sha256").join(digest.hex());
    let flip = |path: std::path::PathBuf| {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    let good = std::fs::read(blob(manifest.layers[0].digest)).unwrap();
    flip(blob(manifest.layers[0].digest));
    let layer = world.verify(":prod", &[]).exits(3).silent();
    layer.says(&["error: DigestMismatch: the registry does not serve the artifact that was asked for", "caused by: "]);
    std::fs::write(blob(manifest.layers[0].digest), good).unwrap();
    world.verify(":prod", &[]).exits(0);
    flip(blob(digest));
    world.verify(&format!("@{digest}"), &[]).exits(3).silent().says(&["error: DigestMismatch: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_release_replayed() {
    let world = World::new().await;
    world.push("prod", &["--sequence", "1"]).exits(0);
    let old = world.oci(":seq-1");
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:2"));
    let new = world.push("prod", &["--sequence", "2", "-o", "json"]).exits(0).json();
    let mark = format!(
        "marks:\n- stream: acme/shop\n  environment: prod\n  position: {{epoch: 0, sequence: 2}}\n  statement: {}\n  artifact: {}\n  firstSeen: 2026-01-01T00:00:00Z\n",
        new["statement"]["digest"].as_str().unwrap(),
        new["digest"].as_str().unwrap(),
    );
    world.write("memory.yaml", &mark);
    let remembering = ["--memory", "memory.yaml"];
    let current = world.verify(":prod", &remembering).exits(0);
    assert!(current.stdout.contains("pass         memory             at 0.2"), "{}", current.stdout);
    let arguments = ["verify", &old, "--policy", "policy.yaml"];
    world.run(&arguments).exits(0);
    let run = refused(world.run(&[&arguments[..], &remembering].concat()), "RolledBack");
    assert!(run.stdout.contains("release 0.1 of stream \"acme/shop\" is older than 0.2"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_for_somewhere_else() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    refused(world.verify(":prod", &["--env", "dev"]), "WrongEnvironment");
    refused(world.verify(":prod", &["--stream", "acme/other"]), "WrongStream");
    let elsewhere = format!("{}/acme/copy", world.registry.addr);
    refused(world.verify(":prod", &["--as", &elsewhere]), "WrongRepository");
    world.push("dev", &["--stream", "other/shop", "--version", "2.0.0"]).exits(0);
    refused(world.verify(":dev", &[]), "WrongStream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_read_as_what_it_is_a_copy_of() {
    let world = World::new().await;
    let logical = format!("{}/acme/original", world.registry.addr);
    world.push("prod", &["--repository", &logical]).exits(0);
    let run = world.verify(":prod", &["--as", &logical, "-o", "json"]).exits(0).json();
    let evidence = &run["predicate"]["https://sealift.dev/evidence/v1"];
    assert!(evidence["reference"].as_str().unwrap().starts_with(&logical));
    assert!(evidence["transport"].as_str().unwrap().ends_with("/acme/shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_outside_its_time() {
    let world = World::new().await;
    world.push("prod", &["--expires-in", "0s"]).exits(0);
    refused(world.verify(":prod", &[]), "Expired");
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:2"));
    world.push("prod", &["--not-before", "2999-01-01T00:00:00Z"]).exits(0);
    refused(world.verify(":prod", &[]), "NotYetValid");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_the_policy_does_not_allow() {
    let world = World::new().await;
    let narrow = "  require: {allOf: [ci]}\n  objects: {kinds: [ConfigMap]}\n";
    world.write("policy.yaml", &policy("shop", &world.read("cosign.pub"), narrow));
    world.push("prod", &[]).exits(0);
    refused(world.verify(":prod", &[]), "ObjectNotAllowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_no_policy_speaks_for_is_never_contacted() {
    let world = World::new().await;
    let to = format!("oci://{}/other/shop:prod", world.registry.addr);
    let run = world.run(&["verify", &to, "--policy", "policy.yaml"]).exits(3).silent();
    assert_eq!(
        world.scrub(&run.stderr),
        "error: NoPolicy: no enforcing SignaturePolicy matches repository REGISTRY/other/shop\n\
         hint: nothing is trusted by default: add a SignaturePolicy whose match covers this repository and namespace\n"
    );
    assert_eq!(world.registry.requests(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_read_whole() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let key = world.read("cosign.pub");
    for (rest, says) in [
        ("  require: {allOf: [ci]}\n  transparancy: {tlog: required}\n", "unknown field `transparancy`"),
        ("  require: {allOf: [build]}\n", "names authority \"build\", which is not defined"),
        ("  require: {atLeast: {count: 2, of: [ci]}}\n", "demands 2 signatures of 1 distinct keys"),
    ] {
        world.write("policy.yaml", &policy("shop", &key, rest));
        let run = world.verify(":prod", &[]).exits(5).silent();
        run.says(&["error: policy.yaml:1 is not a usable policy", says]);
    }
    world.write("policy.yaml", "kind: [");
    world.verify(":prod", &[]).exits(5).silent().says(&["error: policy.yaml:1: not YAML"]);
    world.write("policy.yaml", POD);
    world.verify(":prod", &[]).exits(5).silent().says(&["is not a SignaturePolicy of sealift.dev/v1alpha1"]);
}
