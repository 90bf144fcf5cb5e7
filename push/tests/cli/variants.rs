//! Several sets of objects in one artifact, of which whoever applies chooses one.

use serde_json::{Value, json};

use crate::support::{POD, Run, SETTINGS, World};

/// A world with two variants as plain folders: rendering is another matter.
async fn world() -> World {
    let world = World::new().await;
    world.write("eu/pod.yaml", POD);
    world.write("eu/settings.yaml", &SETTINGS.replace("blue", "${COLOUR}"));
    world.write("us/pod.yaml", &POD.replace("web:1", "web:2"));
    world
}

fn push(world: &World, more: &[&str]) -> Run {
    let to = world.oci(":prod");
    let arguments = ["push", &to, "--key", "cosign.key", "--env", "prod", "--variant", "us=us", "--variant", "eu=eu"];
    world.run(&[&arguments[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_release_holds_all_variants_and_is_verified_for_one() {
    let world = world().await;
    let pushed = push(&world, &["--var", "COLOUR=red"]).exits(0);
    pushed.says(&["packed    3 objects in 3 files", "variants  eu (2 objects), us (1 objects)"]);
    world.verify(":prod", &[]).exits(3).says(&[
        "VariantRequired: the release has the variants eu, us, and none of them is chosen",
        "hint: choose one that there is, by spec.variant of the Delivery or --variant",
    ]);
    world.verify(":prod", &["--variant", "ap"]).exits(3).says(&["UnknownVariant: variant \"ap\" is chosen"]);
    let us = world.verify(":prod", &["--variant", "us"]).exits(0).stdout;
    assert!(us.contains("pass         variant            us, of 2"), "{us}");
    assert!(us.contains("1 objects of variant us"), "{us}");
    world.verify(":prod", &["--variant", "eu", "--set", "COLOUR=green"]).exits(0);
    world.push("plain", &[]).exits(0);
    world.verify(":plain", &["--variant", "eu"]).exits(3).says(&["UnknownVariant", "the release has no variants"]);
    world.verify(":plain", &[]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_shown_together_or_alone() {
    let world = world().await;
    push(&world, &["--var", "COLOUR=red"]).exits(0);
    let inspect = |more: &[&str]| {
        let what = world.oci(":prod");
        world.run(&[&["inspect", &what], more].concat())
    };
    let text = inspect(&[]).exits(0).stdout;
    assert!(text.contains("variant eu\nobjects: 2") && text.contains("variant us\nobjects: 1"), "{text}");
    assert!(text.contains("    variant      us: 1 objects, inventory sha256:"), "{text}");
    let one = inspect(&["--variant", "us"]).exits(0).stdout;
    assert!(!one.contains("variant eu\nobjects"), "{one}");
    inspect(&["--object", "Pod/web"]).exits(2).says(&["the release has the variants eu, us", "--variant"]);
    let pod = inspect(&["--object", "Pod/web", "--variant", "us"]).exits(0).stdout;
    assert!(pod.contains("web:2"), "{pod}");
    inspect(&["--variant", "ap"]).exits(3).says(&["no variant \"ap\""]);
    let document = inspect(&["-o", "json"]).exits(0).json();
    assert_eq!(document["variants"]["eu"]["objects"].as_array().unwrap().len(), 2);
    let predicate = &document["unverified"]["statements"][0]["predicate"];
    assert_eq!(predicate["critical"], json!(["variants"]));
    let eu = &predicate["variants"][0];
    assert_eq!((&eu["name"], &eu["objects"]), (&json!("eu"), &json!(2)));
    assert_eq!(eu["parameters"][0]["pointers"], json!(["shop/core/ConfigMap/settings.json#/data/colour"]));
    assert_eq!(predicate["variants"][1]["parameters"][0].get("pointers"), None, "declared, and standing nowhere");
    assert_eq!(predicate.get("parameters"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_person_signs_what_all_variants_hold() {
    let world = world().await;
    push(&world, &["--var", "COLOUR=red"]).exits(0);
    world.run(&["keygen", "--output-prefix", "other"]).exits(0);
    let signed = world.run(&["sign", &world.oci(":prod"), "--key", "other.key"]).exits(0);
    signed.says(&[
        "objects   2 in variant eu: 1 ConfigMap, 1 Pod",
        "objects   1 in variant us: 1 Pod",
        "variables COLOUR",
    ]);
    world.run(&["refresh", &world.oci(":prod"), "--key", "cosign.key", "--expires-in", "24h"]).exits(0);
    world.verify(":prod", &["--variant", "us"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_variants_give_the_same_digest_and_what_makes_no_sense_is_refused() {
    let world = world().await;
    let digest = |run: Run| run.exits(0).json()["digest"].as_str().unwrap().to_owned();
    let one = digest(push(&world, &["--var", "COLOUR=red", "-o", "json"]));
    let to = world.oci(":prod");
    let other_order = ["push", &to, "--key", "cosign.key", "--env", "prod", "--variant", "eu=eu", "--variant", "us=us"];
    let again = world.run(&[&other_order[..], &["--var", "COLOUR=red", "-o", "json"]].concat());
    let document: Value = again.exits(0).json();
    assert_eq!(document["digest"], one);
    let us = &document["variants"][1];
    assert_eq!(
        (&us["name"], &us["objects"], us["images"].as_array().map(Vec::len)),
        (&json!("us"), &json!(1), Some(1))
    );
    for (arguments, says) in [
        (&["--variant", "eu=us"][..], "variant eu is given twice"),
        (&["--variant", "E=us"], "as a DNS label"),
        (&["--variant", "eu"], "expected NAME=PATH"),
        (&["--format", "flux"], "variants are packed in Sealift's own format only"),
        (&["-f", "manifests"], "cannot be used with"),
        (&["--variant-values", "ap=a.yaml"], "--variant-values names ap, which is no --variant"),
    ] {
        push(&world, arguments).exits(2).says(&[says]);
    }
    push(&world, &["--var", "SIZE"]).exits(5).says(&["${SIZE} is declared and stands nowhere in the manifests"]);
    world.write("us/pod.yaml", "");
    push(&world, &[]).exits(5);
}
