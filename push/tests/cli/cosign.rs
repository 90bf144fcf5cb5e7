//! The real cosign: it accepts what sealift signs, and sealift signs with what it makes.

use std::process::Output;

use sealift_e2e::Tool;

use crate::support::World;

pub(crate) fn run(cosign: &Tool, world: &World, arguments: &[&str]) -> Output {
    let mut command = cosign.command();
    command.args(arguments).current_dir(world.folder.path()).env_clear();
    command.envs([("HOME", world.folder.path()), ("TUF_ROOT", &world.path("tuf"))]).env("COSIGN_PASSWORD", "");
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_a_push_and_its_annotations() {
    let Some(cosign) = Tool::find("cosign") else { return };
    for referrers_api in [true, false] {
        let options = sealift_registry::server::ServerOptions { referrers_api, ..Default::default() };
        let world = World::with(options).await;
        let reference = world.push("prod", &["--sequence", "42"]).exits(0).stdout;
        let verify = |more: &[&str]| {
            let arguments = ["verify", "--key", "cosign.pub", "--private-infrastructure", "--allow-http-registry"];
            run(&cosign, &world, &[&arguments[..], more, &[reference.trim()]].concat())
        };
        let good = verify(&["-a", "stream=acme/shop", "-a", "env=prod", "-a", "seq=42"]);
        assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
        for wrong in ["stream=acme/other", "env=dev", "seq=41"] {
            assert!(!verify(&["-a", wrong]).status.success(), "{wrong}");
        }
        world.run(&["keygen", "--output-prefix", "other"]).exits(0);
        let arguments = ["verify", "--key", "other.pub", "--private-infrastructure", "--allow-http-registry"];
        let other = run(&cosign, &world, &[&arguments[..], &[reference.trim()]].concat());
        assert!(!other.status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_use_the_key_pairs_of_the_other() {
    let Some(cosign) = Tool::find("cosign") else { return };
    let world = World::new().await;
    let ours = run(&cosign, &world, &["public-key", "--key", "cosign.key"]);
    assert_eq!(String::from_utf8_lossy(&ours.stdout).trim(), world.read("cosign.pub").trim());
    let made = run(&cosign, &world, &["generate-key-pair", "--output-key-prefix", "theirs"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let to = world.oci(":prod");
    world.run(&["push", &to, "-f", "manifests", "--key", "theirs.key", "--env", "prod"]).exits(0);
    let policy = crate::support::policy("shop", &world.read("theirs.pub"), "  require: {allOf: [ci]}\n");
    world.write("policy.yaml", &policy);
    world.verify(":prod", &[]).exits(0);
}
