//! Releases as files again.

use std::fs;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_is_pulled_in_every_format_and_pushes_to_the_same_digest() {
    let world = World::new().await;
    world.write(
        "manifests/role.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:Web'}\nrules: []\n",
    );
    for (sequence, format) in [("7", "sealift"), ("8", "flux"), ("9", "oci")] {
        let pushed = world.push(format, &["--format", format, "--sequence", sequence]).exits(0).stdout;
        let (reference, into) = (world.oci(&format!(":{format}")), format!("out/{format}"));
        let words = ["pull", &reference, "--policy", "policy.yaml", "--output-dir", &into];
        let run = world.run(&words).exits(0).silent();
        assert_eq!(
            world.scrub(&run.stderr),
            format!(
                "REGISTRY/acme/shop:{format} is sha256:… now\nverified  stream acme/shop for prod, release 0.{sequence}\n\
                 wrote     3 files to out/{format}\n"
            )
        );
        let text = world.read(&format!("{into}/shop/core/ConfigMap/settings.yaml"));
        assert_eq!(
            text,
            "apiVersion: v1\ndata:\n  colour: blue\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: shop\n"
        );
        assert!(world.path(&format!("{into}/_/rbac.authorization.k8s.io/ClusterRole/system%3A%57eb.yaml")).is_file());
        let to = world.oci(":again");
        let again = ["push", &to, "-f", &into, "--key", "cosign.key", "--format", format, "--no-tag"];
        assert_eq!(world.run(&again).exits(0).stdout, pushed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_can_be_piped_on_and_holds_namespaces_first() {
    let world = World::new().await;
    world.write("manifests/z.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
    world.push("prod", &[]).exits(0);
    let what = world.oci(":prod");
    let pull = ["pull", &what, "--policy", "policy.yaml", "--output-dir", "-"];
    let stream = world.run(&pull).exits(0).stdout;
    let kinds: Vec<_> = stream.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    assert_eq!(kinds, ["Namespace", "ConfigMap", "Pod"]);
    assert!(world.scrub(&stream).starts_with("# REGISTRY/acme/shop@sha256:…\n---\napiVersion: v1\n"), "{stream}");
    let piped = world.run_with(&["inspect", "-", "-o", "json"], &stream).exits(0).json();
    let document = world.run(&[&pull[..], &["-o", "json"]].concat()).exits(0).json();
    assert_eq!((&document["schema"], &document["verified"]), (&"sealift.dev/pull/v1".into(), &true.into()));
    assert_eq!(document["objects"].as_array().unwrap().len(), piped["objects"].as_array().unwrap().len());
    assert_eq!(document["statement"]["stream"], "acme/shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_that_no_policy_accepts() {
    let world = World::new().await;
    let what = world.oci(":prod");
    world.run(&["push", &what, "-f", "manifests", "--key", "cosign.key", "--env", "test"]).exits(0);
    let to = ["--output-dir", "out"];
    world.run(&[&["pull", &what][..], &to].concat()).exits(2).silent().says(&["--policy", "--unverified"]);
    let refused = world.run(&[&["pull", &what, "--policy", "policy.yaml"][..], &to].concat()).exits(3).silent();
    refused.says(&["error: WrongEnvironment: "]);
    world.run(&[&["pull", &what, "--unverified", "--env", "prod"][..], &to].concat()).exits(2).silent();
    assert!(!world.path("out").exists());

    let loud = world.run(&[&["pull", &what, "--unverified", "-o", "json"][..], &to].concat()).exits(0);
    let document = loud.json();
    assert_eq!((&document["verified"], &document["outcome"]), (&false.into(), &"pulled-unverified".into()));
    assert_eq!(document["files"].as_array().unwrap().len(), 2);
    loud.says(&["warning: ", "UNVERIFIED: whoever may write there"]);
    let stream = world.run(&["pull", &what, "--unverified", "--output-dir", "-"]).exits(0).stdout;
    assert!(stream.starts_with("# UNVERIFIED: "), "{stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_content_is_left_alone_unless_forced() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    world.write("out/mine.yaml", "a: b\n");
    let what = world.oci(":prod");
    let pull = ["pull", &what, "--policy", "policy.yaml", "--output-dir", "out"];
    world.run(&pull).exits(5).silent().says(&["out is not empty", "hint: "]);
    world.run(&[&pull[..], &["--force"]].concat()).exits(0);
    assert!(world.path("out/mine.yaml").is_file() && world.path("out/shop/core/Pod/web.yaml").is_file());
    let missing = world.oci(":none");
    world.run(&["pull", &missing, "--unverified", "--output-dir", "other"]).exits(6).silent();
    assert!(!world.path("other").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layer_itself_is_the_very_bytes() {
    let world = World::new().await;
    world.push("prod", &["--format", "flux"]).exits(0);
    let what = world.oci(":prod");
    let pull = ["pull", &what, "--policy", "policy.yaml", "--layer", "--output-dir"];
    let document = world.run(&[&pull[..], &["out", "-o", "json"]].concat()).exits(0).json();
    assert_eq!(document["files"], serde_json::json!(["layer.tar.gz"]));
    let bytes = fs::read(world.path("out/layer.tar.gz")).unwrap();
    assert_eq!(document["layer"]["digest"], sealift_verify::digest::Digest::of(&bytes).to_string());
    let piped = world.command(&[&pull[..], &["-"]].concat()).output().unwrap();
    assert!(piped.status.success() && piped.stdout == bytes);
    world.run(&[&pull[..], &["-", "-o", "json"]].concat()).exits(2).silent();
}
