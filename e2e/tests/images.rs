//! What a release runs: images that the real cosign signed, or did not, judged on the command line and by the controller.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{fs, path::PathBuf};

use sealift_e2e::{Attacker, ControlPlane, Cosign, World, workspace};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// `policies/signed-images.yaml` with this world's key and registry, and cosign's key as the build's.
fn signed_images(world: &World<'_>, build: &str) -> Value {
    let text = fs::read_to_string(workspace().join("policies/signed-images.yaml")).unwrap();
    let mut policy: Value = serde_saphyr::from_str(&text.replace("registry.example", &world.registry.host())).unwrap();
    policy["metadata"]["name"] = json!(world.namespace);
    policy["spec"]["authorities"][0]["key"]["pem"] = json!(world.key.public());
    policy["spec"]["authorities"][1]["key"]["pem"] = json!(build);
    policy
}

/// Any manifest will do for an image here: no node pulls it.
fn image(world: &World<'_>, name: &str) -> String {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let file = world.cli.write(&format!("{name}.json"), map.to_string());
    let digest = world.push(&format!("images/{name}:1"), &[&file], &[]);
    format!("{}@{digest}", world.repository(&format!("images/{name}")))
}

/// A Deployment without replicas that runs `images`.
fn release(world: &World<'_>, images: &[&str]) -> PathBuf {
    let containers: Vec<Value> =
        images.iter().enumerate().map(|(at, image)| json!({"name": format!("c{at}"), "image": image})).collect();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}},
        },
    });
    world.cli.write(&format!("web-{}.json", Digest::of(images.concat().as_bytes()).short()), deployment.to_string())
}

fn sign(cosign: &Cosign, image: &str) {
    let words = ["sign", "--key", "cosign.key", "--allow-http-registry", "--tlog-upload=false"];
    let _ = cosign.succeed(&[&words[..], &["--use-signing-config=false", image]].concat());
}

#[tokio::test]
async fn a_release_runs_only_images_that_are_pinned_and_signed() {
    let (Some(control_plane), Some(cosign)) = (ControlPlane::shared(), Cosign::find()) else { return };
    World::run(control_plane, "images", async |world| {
        let _ = cosign.succeed(&["generate-key-pair"]);
        let build = fs::read_to_string(cosign.home().join("cosign.pub")).unwrap();
        let policy = world.put_policy(signed_images(world, &build)).await.display().to_string();
        let (good, other) = (image(world, "good"), image(world, "other"));
        sign(&cosign, &good);
        let pushed = |images: &[&str]| {
            let digest = world.push("acme/web:stable", &[&release(world, images)], &["--env", "prod"]);
            (digest, format!("oci://{}@{digest}", world.repository("acme/web")))
        };
        let verify = |pinned: &str| world.cli.run(&["verify", pinned, "--policy", &policy]);

        let tagged = good.split('@').next().unwrap().to_owned() + ":1";
        for (images, reason) in [
            (&[good.as_str(), &tagged][..], "ImageNotAllowed"),
            (
                &["docker.io/library/nginx@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"],
                "ImageNotAllowed",
            ),
            (&[&good, &other], "ImageNotSigned"),
        ] {
            let refused = verify(&pushed(images).1);
            assert_eq!(refused.code, 3, "{images:?}: {}{}", refused.stdout, refused.stderr);
            assert!(refused.stderr.contains(&format!("error: {reason}: ")), "{images:?}: {}", refused.stderr);
        }
        // a signature of one image, hung onto another by whoever holds the registry
        let digest = |image: &str| image.rsplit('@').next().unwrap().parse::<Digest>().unwrap();
        let theft = Attacker::at(&world.repository("images/good"));
        theft.replay_in(&Attacker::at(&world.repository("images/other")), digest(&good), "stolen").await;
        let (last, pinned) = pushed(&[&good, &other]);
        assert_eq!(verify(&pinned).code, 3);

        let account = world.namespace_account(&world.namespace);
        world.start_controller().await;
        let of = (world.namespace.as_str(), "web");
        world.deliver(of.0, of.1, world.following("acme/web", "stable", account)).await;
        let message = world.refused(of, "ImageNotSigned").await;
        assert!(message.contains(&other), "{message}");
        sign(&cosign, &other);
        assert_eq!(verify(&pinned).code, 0);
        world.reconcile(of).await;
        world.delivered(of, last).await;
    })
    .await;
}
