//! Several sets of objects in one artifact, of which whoever applies chooses one.

use sealift_e2e::Tool;
use serde_json::{Value, json};

use crate::support::{POD, Run, SETTINGS, World, policy};

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
    world.verify(":prod", &["--variant", "ap"]).exits(3).says(&["UnknownVariant: variant \"ap\" is chosen"]);
    let us = world.verify(":prod", &["--variant", "us"]).exits(0).stdout;
    assert!(us.contains("pass         variant            us, of 2"), "{us}");
    assert!(us.contains("1 objects of variant us"), "{us}");
    world.verify(":prod", &["--variant", "eu", "--set", "COLOUR=green"]).exits(0);
    let explained = world.run(&["policy", "explain", &world.oci(":prod"), "--policy", "policy.yaml"]).exits(0).stdout;
    assert!(explained.contains("REFUSED VariantRequired: the release has the variants eu, us"), "{explained}");
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

/// A policy of one environment that allows pods and settings, and nothing else.
fn strict(world: &World, environment: &str, kinds: &str) {
    let rest = format!("  require: {{allOf: [ci]}}\n  objects: {{kinds: [{kinds}]}}\n");
    let text = policy("strict", &world.read("cosign.pub"), &rest);
    world.write("strict.yaml", &text.replace("environment: prod", &format!("environment: {environment}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_none_is_named_each_is_judged_and_all_have_to_be_accepted() {
    let world = world().await;
    world.write("us/account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: shop}\n");
    let pushed = push(&world, &["--var", "COLOUR=red"]).exits(0).stdout;
    let pinned = pushed.trim();
    let (tag, copy) = (world.oci(":prod"), world.oci("-copy"));
    let with = |command: &[&str], more: &[&str]| world.run(&[command, &["--policy", "strict.yaml"], more].concat());
    let promote = ["promote", &tag, "--environment", "live", "--key", "cosign.key"];
    let (check, move_tag) = (["verify", &tag], ["tag", pinned, "stable"]);
    let copied = ["copy", &tag, &copy, "--as", copy.trim_start_matches("oci://").trim_end_matches("-copy")];

    strict(&world, "prod", "ConfigMap, Pod");
    let refused = with(&check, &[]).exits(3);
    refused.clone().says(&[
        "variant eu is accepted\n",
        "variant us is refused: ObjectNotAllowed: ",
        "error: ObjectNotAllowed",
    ]);
    assert!(refused.stdout.contains("eu, of 2") && refused.stdout.contains("us, of 2"), "{}", refused.stdout);
    with(&check, &["--variant", "eu"]).exits(0);
    with(&check, &["--variant", "us"]).exits(3);
    let lines = with(&check, &["-o", "json"]).exits(3).stdout;
    let record = |line: &str| serde_json::from_str::<Value>(line).unwrap()["predicate"].clone();
    let verdicts: Vec<_> = lines.lines().map(|line| record(line)["verificationResult"].clone()).collect();
    assert_eq!(verdicts, ["PASSED", "FAILED"]);
    for command in [&promote[..], &move_tag, &copied] {
        with(command, &[]).exits(3).silent().says(&["ObjectNotAllowed", "us, of 2"]);
    }

    strict(&world, "prod", "ConfigMap, Pod, ServiceAccount");
    with(&check, &[]).exits(0).says(&["variant us is accepted"]);
    with(&promote, &["--dry-run", "--variant", "eu"])
        .exits(0)
        .says(&["only variant eu is judged, and 1 more come along"]);
    for command in [&promote[..], &move_tag, &copied] {
        let done = with(command, &[]).exits(0);
        assert!(!done.stderr.contains("is judged"), "{}", done.stderr);
    }
    let listed = world.run(&["list", &world.oci(""), "--policy", "strict.yaml", "-o", "json"]).exits(0).stdout;
    assert!(!listed.contains("VariantRequired"), "{listed}");
    // What was promoted has the same variants, signed for the next environment.
    strict(&world, "live", "ConfigMap, Pod, ServiceAccount");
    let live = world.run(&["verify", &world.oci(":live"), "--policy", "strict.yaml", "--variant", "us"]).exits(0);
    assert!(live.stdout.contains("us, of 2"), "{}", live.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_compared_and_pulled_variant_by_variant() {
    let world = world().await;
    world.push("before", &[]).exits(0);
    push(&world, &["--var", "COLOUR=red"]).exits(0);
    world.write("us/pod.yaml", &POD.replace("web:1", "web:3"));
    let later = world.oci(":later");
    let to = ["push", &later, "--key", "cosign.key", "--env", "prod", "--var", "COLOUR=red", "--variant", "us=us"];
    world.run(&[&to[..], &["--variant", "eu=eu", "--variant", "ap=eu"]].concat()).exits(0);
    let (plain, old) = (world.oci(":before"), world.oci(":prod"));
    let diff = |arguments: &[&str]| world.run(&[&["diff"], arguments].concat());
    let text = diff(&[&old, &later]).exits(0).stdout;
    let parts: Vec<_> = text.split("\n\n").collect();
    assert_eq!(parts.len(), 3, "{text}");
    for (part, variant, counts) in [(0, "ap", "2 added"), (1, "eu", "2 unchanged"), (2, "us", "1 changed")] {
        assert!(parts[part].starts_with(&format!("variant {variant}\n---")), "{text}");
        assert!(parts[part].trim_end().ends_with(counts), "{text}");
    }
    assert!(text.contains("~ variants: eu, us → ap, eu, us"), "{text}");
    let lines = diff(&[&old, &later, "-o", "json", "--exit-code"]).exits(10).stdout;
    let names: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["variant"].clone()).collect();
    assert_eq!(names, ["ap", "eu", "us"]);
    diff(&[&old, &later, "--variant", "eu", "--exit-code"]).exits(0);
    diff(&[&old, &later, "--variant", "ap"]).exits(6).says(&["holds no variant \"ap\"", "hint: there are eu, us"]);
    // A release that had none yet, and files, are held against the one that is named.
    diff(&[&plain, &old, "--variant", "us"]).exits(0);
    diff(&[&plain, &old]).exits(2).says(&["the release has the variants eu, us", "--variant"]);
    diff(&[&later, "--variant", "us", "-f", "us", "--exit-code"]).exits(0);
    diff(&[&plain, &plain, "--variant", "us"]).exits(6).says(&["it has no variants"]);
    // With a policy each variant of either side is judged, whichever is shown.
    let judged = |arguments: &[&str]| diff(&[arguments, &["--policy", "policy.yaml", "-o", "json"]].concat());
    let lines = judged(&[&old, &later]).exits(0).stdout;
    assert_eq!(lines.lines().filter(|line| line.contains("\"verified\":true")).count(), 3, "{lines}");
    assert_eq!(judged(&[&plain, &old, "--variant", "us"]).exits(0).json()["verified"], true);

    let pull = |more: &[&str]| {
        let arguments = ["pull", &old, "--policy", "policy.yaml", "--output-dir"];
        world.run(&[&arguments[..], more].concat())
    };
    pull(&["all"]).exits(0);
    pull(&["us-only", "--variant", "us"]).exits(0);
    let pod = |folder: &str| world.read(&format!("{folder}/shop/core/Pod/web.yaml"));
    assert_eq!(pod("us-only"), pod("all/variants/us"));
    assert_ne!(pod("all/variants/eu"), pod("all/variants/us"));
    pull(&["-"]).exits(2).silent().says(&["the release has the variants eu, us"]);
    pull(&["layer", "--layer"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lock_pins_the_images_of_all_variants_and_one_validation_reads_them() {
    let world = world().await;
    let image = |name: &str| format!("{}/images/{name}", world.registry.addr);
    let pod = |name: &str| POD.replace(POD.split("image: ").nth(1).unwrap().trim(), &image(name));
    for name in ["web:1", "web:2", "web:3"] {
        world
            .run(&["push", &format!("oci://{}", image(name)), "-f", "manifests", "--key", "cosign.key", "-q"])
            .exits(0);
    }
    world.write("rings/eu/pod.yaml", &pod("web:1"));
    world.write("rings/us/pod.yaml", &pod("web:2"));
    let variants = ["--variant", "eu=rings/eu", "--variant", "us=rings/us"];
    let run = |command: &[&str], more: &[&str]| world.run(&[command, &variants, more].concat());
    run(&["pin"], &[]).exits(0).says(&["rings/images.lock is written: 2 images\n"]);
    run(&["pin"], &["--check"]).exits(0);
    let to = world.oci(":prod");
    let push = ["push", &to, "--key", "cosign.key", "--env", "prod", "-o", "json", "--namespace-exists", "shop"];
    let pushed = run(&push, &[]).exits(0);
    let document = pushed.json();
    pushed.says(&["pinned    2 images by rings/images.lock\n"]);
    assert_eq!((&document["pinning"]["pinned"], &document["pinning"]["unused"]), (&json!(2), &json!([])));
    assert_eq!(document["pinning"]["lock"], "rings/images.lock");
    assert!(document["images"].as_array().unwrap().iter().all(|image| image.as_str().unwrap().contains("@sha256:")));
    // A variant's own lock goes before that of all, which `pin` says.
    world.run(&["pin", "-f", "rings/eu"]).exits(0);
    run(&["pin"], &["--check"])
        .exits(0)
        .says(&["warning: for variant eu, push takes rings/eu/images.lock and not rings/images.lock"]);
    run(&push, &[]).exits(0).says(&["1 image by rings/eu/images.lock", "1 image by rings/images.lock"]);
    let spot = run(&push, &["--pin-images"]).exits(0).json();
    assert_eq!((&spot["digest"], &spot["pinning"]["lock"]), (&document["digest"], &Value::Null));

    // What is wrong is told with the variants that it is wrong in, and all of it.
    run(&["validate"], &["--namespace-exists", "shop"]).exits(0).says(&["2 objects against Kubernetes"]);
    world.write("rings/us/pod.yaml", &pod("web:2").replace("containers:", "continers:"));
    world.write("rings/eu/pod.yaml", &pod("web:1").replace("metadata:", "metadat: {}\nmetadata:"));
    let found = run(&["validate"], &["-o", "json"]).exits(5).json();
    let of: Vec<_> = found["findings"].as_array().unwrap().iter().filter(|f| f["level"] == "error").collect();
    assert!(of.iter().any(|f| f["variants"] == json!(["eu"])) && of.iter().any(|f| f["variants"] == json!(["us"])));
    run(&push, &[]).exits(5).silent().says(&["(variant eu)", "(variant us)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_with_values_for_each_is_rendered_for_each() {
    let Some(helm) = Tool::for_interop("helm") else { return };
    let world = World::new().await;
    world.write("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n");
    world.write("chart/values.yaml", "colour: none\nshape: none\n");
    let settings = SETTINGS.replace("blue", "{{ .Values.colour }}\n  shape: {{ .Values.shape }}");
    world.write("chart/templates/settings.yaml", &settings);
    for (name, text) in [("all", "colour: grey\nshape: round\n"), ("eu", "colour: blue\n"), ("us", "colour: red\n")] {
        world.write(&format!("{name}.yaml"), text);
    }
    let to = world.oci(":prod");
    let variants = ["--variant", "eu=chart", "--variant", "us=chart", "--variant-values", "eu=eu.yaml"];
    let mut command = world.command(&["push", &to, "--key", "cosign.key", "--env", "prod", "--values", "all.yaml"]);
    command.env("PATH", helm.path().parent().unwrap()).args(variants).args(["--variant-values", "us=us.yaml"]);
    Run::of(command.output().unwrap()).exits(0);
    for (variant, colour) in [("eu", "blue"), ("us", "red")] {
        let arguments = ["inspect", &to, "--variant", variant, "--object", "ConfigMap/settings", "-o", "json"];
        let shown = world.run(&arguments).exits(0).json();
        assert_eq!(shown["data"], json!({"colour": colour, "shape": "round"}));
    }
    let shown = world.run(&["inspect", &to, "-o", "json"]).exits(0).json();
    let render = &shown["unverified"]["statements"][0]["predicate"]["build"]["render"];
    assert_eq!((&render[0]["variant"], &render[1]["variant"]), (&json!("eu"), &json!("us")));
    assert_eq!(render[0]["inputs"], render[1]["inputs"], "one chart");
    assert_ne!(render[0]["values"], render[1]["values"]);
}
