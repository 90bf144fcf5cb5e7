use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn shows_objects_images_and_statements_and_calls_them_unverified() {
    let world = World::new().await;
    world.push("prod", &["--sequence", "7", "--annotation", "team=web", "--var", "X", "-f", "x.yaml"]).exits(6);
    world.push("prod", &["--sequence", "7", "--annotation", "team=web"]).exits(0);
    let run = world.run(&["inspect", &world.oci(":prod")]).exits(0);
    assert_eq!(
        world.scrub(&run.stdout),
        "REGISTRY/acme/shop@sha256:…\n\
         format: sealift, 2 files in N bytes, application/vnd.oci.image.layer.v1.tar+zstd\n\
         layer: sha256:…\n\
         annotations:\n  team = web\n\
         objects: 2, inventory sha256:…\n  \
         NAMESPACE  KIND       NAME      FROM\n  \
         shop       ConfigMap  settings  shop/core/ConfigMap/settings.json\n  \
         shop       Pod        web       shop/core/Pod/web.json\n\
         namespaces\n  shop\n\
         images\n  registry.example/web:1@sha256:…\n\
         statements: UNVERIFIED, whoever may push can write them; `sealift verify` judges them\n  \
         sha256:…\n    \
         claims key sha256:…\n    \
         statement    sha256:…\n    \
         stream       acme/shop\n    \
         environment  prod\n    \
         release      0.7\n    \
         repositories REGISTRY/acme/shop\n    \
         issued       TIME\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_one_object_as_yaml() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let shown = |object: &str| world.run(&["inspect", &world.oci(":prod"), "--object", object]);
    let expected =
        "apiVersion: v1\ndata:\n  colour: blue\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: shop\n";
    for name in ["ConfigMap/settings", "configmap/settings", "ConfigMap/shop/settings"] {
        assert_eq!(shown(name).exits(0).stdout.replace('"', ""), expected);
    }
    shown("ConfigMap/other").exits(6).silent().says(&["there is no object ConfigMap/other"]);
    shown("nonsense").exits(2).silent();
    let local = world.run(&["inspect", "manifests", "--object", "Pod/web", "-o", "json"]).exits(0).json();
    assert_eq!(local["metadata"]["name"], "web");
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_what_a_push_would_hold() {
    let world = World::new().await;
    let local = world.run(&["inspect", "manifests", "-o", "json"]).exits(0).json();
    world.push("prod", &[]).exits(0);
    let remote = world.run(&["inspect", &world.oci(":prod"), "-o", "json"]).exits(0).json();
    assert_eq!(local["inventory"], remote["inventory"]);
    assert_eq!(remote["unverified"]["statements"][0]["aboutThisArtifact"], true);
    assert_eq!(world.run(&["inspect", &world.oci("")]).exits(0).stdout.lines().count(), 2);
}
