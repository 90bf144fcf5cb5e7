//! Images: locked, checked, pinned by the lock alone, or left and said.

use sealift_verify::digest::Digest;

use crate::support::{Run, World};

/// An image of the world's own registry, as a pod names it.
fn image(world: &World, name: &str) -> String {
    format!("{}/images/{name}", world.registry.addr)
}

/// Puts something with a manifest under a tag, and returns its digest.
fn publish(world: &World, name: &str, content: &str) -> String {
    world.write("content/settings.yaml", &crate::support::SETTINGS.replace("blue", content));
    let to = format!("oci://{}", image(world, name));
    let pushed = world.run(&["push", &to, "-f", "content", "--key", "cosign.key", "-q"]).exits(0);
    let digest = pushed.stdout.trim().rsplit_once('@').unwrap().1.to_owned();
    assert!(digest.parse::<Digest>().is_ok());
    digest
}

/// A pod in the folder `manifests` that runs these.
fn run_images(world: &World, images: &[&str]) {
    let containers: String =
        images.iter().enumerate().map(|(n, image)| format!("  - name: c{n}\n    image: {image}\n")).collect();
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  containers:\n{containers}"
    );
    world.write("manifests/pod.yaml", &pod);
}

fn pin(world: &World, more: &[&str]) -> Run {
    world.run(&[&["pin", "-f", "manifests"], more].concat())
}

fn predicate(world: &World, tag: &str) -> serde_json::Value {
    let shown = world.run(&["inspect", &world.oci(tag), "-o", "json"]).exits(0).json();
    shown["unverified"]["statements"][0]["predicate"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_holds_what_each_tag_names_and_a_push_asks_nobody() {
    let world = World::new().await;
    let first = publish(&world, "web:1", "one");
    let (web, fixed) = (image(&world, "web:1"), format!("registry.example/fixed@{}", Digest::of(b"fixed")));
    run_images(&world, &[&web, &fixed]);
    let pinned = pin(&world, &[]).exits(0);
    assert_eq!(pinned.stdout, format!("+ {web} {first}\n"));
    assert_eq!(pinned.stderr, "manifests/images.lock is written: 1 image\n");
    let lock = world.read("manifests/images.lock");
    assert!(lock.contains(&format!("- image: \"{web}\"\n  pinned: \"{web}@{first}\"\n")), "{lock}");
    pin(&world, &["--check"]).exits(0);

    // The tag moves on; what is pushed stays what the lock says.
    let digest = |run: Run| run.exits(0).stdout;
    let before = digest(world.push("prod", &[]));
    let second = publish(&world, "web:1", "two");
    let after = world.push("prod", &[]).exits(0);
    assert!(after.stderr.contains("pinned    1 image by manifests/images.lock\n"), "{}", after.stderr);
    assert!(!after.stderr.contains("without a digest"), "{}", after.stderr);
    assert_eq!(before, after.stdout);
    let statement = predicate(&world, ":prod");
    assert!(statement["images"].as_array().unwrap().contains(&format!("{web}@{first}").into()), "{statement}");
    assert_eq!(statement.get("unpinnedImages"), None);

    // It is found out by asking again, which shows what moved.
    pin(&world, &["--check"]).exits(0);
    let moved = pin(&world, &["--check", "--update"]).exits(10);
    assert_eq!(moved.stdout, format!("~ {web} {first} → {second}\n"));
    assert_eq!(world.read("manifests/images.lock"), lock, "a check writes nothing");
    let document = pin(&world, &["--update", "-o", "json"]).exits(0).json();
    assert_eq!((&document["schema"], &document["outcome"]), (&"sealift.dev/pin/v1".into(), &"written".into()));
    assert_eq!(document["images"][0]["change"], "moved");
    assert_eq!(document["images"][0]["pinned"], format!("{web}@{second}"));
    assert_ne!(digest(world.push("prod", &[])), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lock_lacks_is_an_error_with_its_place_and_what_it_has_too_much_is_said() {
    let world = World::new().await;
    publish(&world, "web:1", "one");
    let (web, other) = (image(&world, "web:1"), image(&world, "other:1"));
    run_images(&world, &[&web]);
    pin(&world, &["--lock", "images.lock"]).exits(0);
    run_images(&world, &[&web, &other]);
    let refused = world.push("prod", &["--images-lock", "images.lock"]).exits(5).silent();
    refused.says(&[
        "error: images.lock lacks 1 of the manifests' images\n",
        &format!("  manifests/pod.yaml:11: Pod shop/web names \"{other}\"\n"),
        "hint: `sealift pin`",
    ]);
    pin(&world, &["--lock", "images.lock", "--check"]).exits(6).says(&[&other, "cannot be resolved"]);
    run_images(&world, &[&format!("registry.example/fixed@{}", Digest::of(b"fixed"))]);
    let pushed = world.push("prod", &["--images-lock", "images.lock"]).exits(0);
    pushed.says(&[&format!("warning: images.lock holds 1 image that no manifest names: {web}\n")]);
    let gone = pin(&world, &["--lock", "images.lock", "--check"]).exits(10);
    assert!(gone.stdout.starts_with(&format!("- {web} sha256:")), "{}", gone.stdout);
    world.push("prod", &["--images-lock", "nothing.lock"]).exits(6).silent();
    world.write("images.lock", "schema: sealift.dev/images-lock/v1\nimages: [{image: a, pinned: b}]\n");
    world.push("prod", &["--images-lock", "images.lock"]).exits(5).says(&["is pinned to \"b\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lock_tags_are_left_and_said_and_on_demand_they_are_resolved() {
    let world = World::new().await;
    let digest = publish(&world, "web:1", "one");
    let web = image(&world, "web:1");
    run_images(&world, &[&web, "${EXTRA}"]);
    let left = world.push("prod", &["--var", "EXTRA"]).exits(0);
    left.says(&[
        "images    left to parameters: ${EXTRA}\n",
        &format!("warning: 1 image without a digest, so what runs may change without a release: {web};"),
    ]);
    assert_eq!(predicate(&world, ":prod")["unpinnedImages"], serde_json::json!(["${EXTRA}", web]));
    world.push("spot", &["--var", "EXTRA", "--pin-images"]).exits(0).says(&["pinned    1 image as tags are now"]);
    let statement = predicate(&world, ":spot");
    assert_eq!(statement["unpinnedImages"], serde_json::json!(["${EXTRA}"]));
    assert_eq!(statement["images"], serde_json::json!(["${EXTRA}", format!("{web}@{digest}")]));
    let shown = pin(&world, &["-o", "json"]).exits(0).json();
    assert_eq!(shown["parameters"], serde_json::json!(["${EXTRA}"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_of_a_custom_resource_is_kept_in_the_lock() {
    let world = World::new().await;
    let digest = publish(&world, "web:1", "one");
    let web = image(&world, "web:1");
    run_images(&world, &[&format!("registry.example/fixed@{}", Digest::of(b"fixed"))]);
    let app = format!(
        "apiVersion: example.com/v1\nkind: App\nmetadata: {{name: x, namespace: shop}}\nspec: {{image: \"{web}\"}}\n"
    );
    world.write("manifests/app.yaml", &app);
    pin(&world, &["--image-place", "App.example.com/spec/image"]).exits(0);
    pin(&world, &["--check"]).exits(0);
    world.push("prod", &[]).exits(0);
    assert!(predicate(&world, ":prod")["images"].as_array().unwrap().contains(&format!("{web}@{digest}").into()));
    pin(&world, &["--image-place", "nowhere"]).exits(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_is_told_with_its_line() {
    let world = World::new().await;
    run_images(&world, &["A@b"]);
    let wrong = pin(&world, &[]).exits(5).silent();
    wrong.says(&["error: manifests/pod.yaml:9: Pod shop/web names image \"A@b\", which is none\n"]);
    let stdin = world.run(&["pin", "-f", "-"]).exits(5).silent();
    stdin.says(&["no objects"]);
}
