//! How releases differ.

use crate::support::{POD, Run, World};

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: web}\nrules:\n- {apiGroups: [''], resources: [pods], verbs: [get]}\n";
const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: token, namespace: shop}\ndata: {token: aHVudGVyMQ==}\n";

impl World {
    fn diff(&self, from: &str, more: &[&str]) -> Run {
        let from = self.oci(from);
        self.run(&[&["diff", &from], more].concat())
    }

    /// Pushes two releases, between which nearly everything changes that can.
    fn two_releases(&self) {
        self.write("manifests/role.yaml", ROLE);
        self.write("manifests/secret.yaml", SECRET);
        let source = ["--allow-secrets", "--source", "https://git.example/acme/shop", "--revision"];
        self.push("old", &[&["--version", "1.4.1", "--sequence", "7"], &source[..], &["1111111"]].concat()).exits(0);
        let privileged = "    securityContext: {privileged: true}\n    ports: [{containerPort: 80}]\n";
        self.write("manifests/pod.yaml", &[&POD.replace("web:1", "web:2"), privileged].concat());
        self.write("manifests/role.yaml", &ROLE.replace("[pods]", "[pods, secrets]"));
        self.write("manifests/secret.yaml", &SECRET.replace("MQ==", "Mg=="));
        self.write(
            "manifests/settings.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: shop-new}\n",
        );
        self.push(
            "new",
            &[&["--version", "1.4.2", "--sequence", "8", "--format", "flux"], &source[..], &["2222222"]].concat(),
        )
        .exits(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_manager_reads_what_changes_between_two_releases() {
    let world = World::new().await;
    world.two_releases();
    let to = world.oci(":new");
    let run = world.diff(":old", &[&to, "--exit-code"]).exits(10);
    assert_eq!(
        world.scrub(&run.stdout),
        "--- REGISTRY/acme/shop@sha256:…\n\
         +++ REGISTRY/acme/shop@sha256:…\n\
         statement (unverified)\n  \
         ~ version: 1.4.1 → 1.4.2\n  \
         ~ release: 0.7 → 0.8\n  \
         ~ commit: 1111111 → 2222222\n  \
         ~ issued: TIME → TIME\n\
         images\n  \
         ~ registry.example/web:1@sha256:… → registry.example/web:2@sha256:…\n\
         access (RBAC)\n  \
         - ClusterRole.rbac.authorization.k8s.io web: get on pods of core\n  \
         + ClusterRole.rbac.authorization.k8s.io web: get on pods, secrets of core\n\
         privileges\n  \
         + Pod shop/web: container web is privileged\n\
         in no namespace\n  \
         ~ ClusterRole.rbac.authorization.k8s.io web\n\
         namespaces\n  \
         + shop-new\n\
         objects\n\
         - ConfigMap shop/settings\n\
         + ConfigMap shop-new/other\n\
         ~ Pod shop/web\n    \
         ~ spec.containers[web].image: \"registry.example/web:1@sha256:…\" → \"registry.example/web:2@sha256:…\"\n    \
         + spec.containers[web].ports: [{\"containerPort\":80}]\n    \
         + spec.containers[web].securityContext: {\"privileged\":true}\n\
         ~ Secret shop/token\n    \
         ~ data.token: changed, not shown\n\
         ~ ClusterRole.rbac.authorization.k8s.io web\n    \
         + rules[0].resources[1]: \"secrets\"\n\
         1 added, 1 removed, 3 changed\n"
    );
    run.says(&["nothing here is verified"]);
    // Colour where it is asked for, and the same words.
    let coloured = world.diff(":old", &[&to, "--color", "always"]).exits(0).stdout;
    assert!(coloured.contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_the_same_and_no_secret() {
    let world = World::new().await;
    world.two_releases();
    let to = world.oci(":new");
    let run = world.diff(":old", &[&to, "-o", "json"]).exits(0);
    assert!(!run.stdout.contains("aHVudGVy"), "{}", run.stdout);
    let document = run.json();
    assert_eq!((&document["schema"], &document["changes"]), (&"sealift.dev/diff/v1".into(), &true.into()));
    assert_eq!(
        document["counts"],
        serde_json::json!({"added": 1, "removed": 1, "changed": 3, "refused": 0, "unchanged": 0})
    );
    assert_eq!(
        document["statement"]["changes"][0],
        serde_json::json!({"field": "version", "before": "1.4.1", "after": "1.4.2"})
    );
    assert_eq!(document["summary"]["images"][0]["repository"], "registry.example/web");
    assert_eq!(document["summary"]["privileges"][0]["added"][0], "container web is privileged");
    assert_eq!(document["summary"]["namespaces"]["added"][0], "shop-new");
    let objects = document["objects"].as_array().unwrap();
    let secret = objects.iter().find(|object| object["id"]["kind"] == "Secret").unwrap();
    assert_eq!(
        secret["fields"][0],
        serde_json::json!({"pointer": "/data/token", "path": "data.token", "masked": true})
    );
    let pod = objects.iter().find(|object| object["id"]["kind"] == "Pod").unwrap();
    assert_eq!(pod["fields"][0]["path"], "spec.containers[web].image");
    assert!(pod["fields"][0]["after"].as_str().unwrap().starts_with("registry.example/web:2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_objects_differ_in_nothing_however_they_are_packed() {
    let world = World::new().await;
    world.push("a", &["--sequence", "1"]).exits(0);
    world.push("b", &["--sequence", "2", "--format", "oci"]).exits(0);
    let to = world.oci(":b");
    let run = world.diff(":a", &[&to, "--exit-code"]).exits(0);
    assert!(run.stdout.ends_with("\n2 unchanged\n"), "{}", run.stdout);
    world.diff(":a", &["-f", "manifests", "--exit-code"]).exits(0);
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:2"));
    let files = world.diff(":a", &["-f", "manifests", "--exit-code"]).exits(10);
    let told = world.scrub(&files.stdout);
    assert!(
        told.contains("+++ manifests\nimages\n  ~ registry.example/web:1@sha256:… → registry.example/web:2@sha256:…\n"),
        "{}",
        files.stdout
    );
    assert_eq!(world.diff(":a", &["-f", "manifests", "-o", "json"]).exits(0).json()["after"]["kind"], "files");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_judges_what_is_compared_wherever_it_lies() {
    let world = World::new().await;
    world.two_releases();
    let (logical, new) = (format!("{}/acme/shop", world.registry.addr), world.oci(":new"));
    world.run(&["copy", &world.oci(":old"), "old.tar"]).exits(0);
    world.run(&["copy", &new, "oci-layout:there"]).exits(0);
    let sides = ["diff", "old.tar:old", "oci-layout:there:new"];
    let plain = world.run(&[&sides[..], &["-o", "json"]].concat()).exits(0).json();
    let expected = world.diff(":old", &[&new, "-o", "json"]).exits(0).json();
    assert_eq!((&plain["verified"], &expected["verified"]), (&false.into(), &false.into()));

    let judged = ["--policy", "policy.yaml", "--as", &logical];
    let both = world.run(&[&sides[..], &judged, &["-o", "json"]].concat()).exits(0);
    assert!(!both.stderr.contains("nothing here is verified"), "{}", both.stderr);
    let both = both.json();
    assert_eq!(both["verified"], true);
    for part in ["statement", "summary", "counts", "objects"] {
        assert_eq!(plain[part], expected[part], "{part}");
        assert_eq!(both[part], expected[part], "{part}");
    }
    let shown = world.run(&[&sides[..], &judged].concat()).exits(0).stdout;
    assert!(shown.contains("\nstatement\n"), "{shown}");
    // Files are whoever's they are; the artifact beside them is judged.
    let files = world.run(&[&["diff", "old.tar:old", "-f", "manifests"][..], &judged].concat()).exits(0);
    assert!(files.stdout.contains("+++ manifests"), "{}", files.stdout);

    // Whichever side is refused, nothing is shown.
    let to = world.oci(":test");
    let push = ["push", &to, "-f", "manifests", "--key", "cosign.key", "--env", "test", "--skip-validation", "all"];
    world.run(&push).exits(0);
    for sides in [[&new, &to], [&to, &new]] {
        let refused = world.run(&["diff", sides[0], sides[1], "--policy", "policy.yaml"]).exits(3).silent();
        refused.says(&["error: WrongEnvironment:"]);
    }
    let other = format!("{}/acme/other", world.registry.addr);
    let refused = world.run(&[&sides[..], &["--policy", "policy.yaml", "--as", &other]].concat()).exits(3).silent();
    refused.says(&["error: WrongRepository:"]);
    world.run(&[&sides[..], &["--policy", "policy.yaml"]].concat()).exits(2).silent().says(&["--as"]);
    world.run(&[&sides[..], &["--as", &logical]].concat()).exits(2).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_other_side_is_named_and_found() {
    let world = World::new().await;
    world.push("a", &[]).exits(0);
    let to = world.oci(":a");
    world.diff(":a", &[]).exits(2).silent();
    world.diff(":a", &[&to, "-f", "manifests"]).exits(2).silent();
    world.diff(":a", &[&to, "--delivery", "shop/web"]).exits(2).silent();
    world.diff(":none", &[&to]).exits(6).silent();
    world.diff(":a", &["-f", "nowhere"]).exits(6).silent();
    world.diff(":a", &["--context", "prod"]).exits(5).silent().says(&["error: no kubeconfig can be used"]);
}
