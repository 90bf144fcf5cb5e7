//! The tags of a repository.

use sealift_registry::server::ServerOptions;

use crate::support::{POD, World};

impl World {
    fn list(&self, more: &[&str]) -> crate::support::Run {
        let repository = self.oci("");
        self.run(&[&["list", &repository], more].concat())
    }

    fn tags(&self, more: &[&str]) -> Vec<String> {
        let document = self.list(&[&["-o", "json"], more].concat()).exits(0).json();
        let tag = |row: &serde_json::Value| row["tag"].as_str().unwrap().to_owned();
        document["tags"].as_array().unwrap().iter().map(tag).collect()
    }

    fn release(&self, version: &str, image: &str, more: &[&str]) {
        self.write("manifests/pod.yaml", &POD.replace("web:1", image));
        self.push("prod", &[&["--version", version], more].concat()).exits(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_the_highest_version_first_and_what_is_claimed() {
    // By fallback tags, which are no releases and are hidden.
    let world = World::with(ServerOptions { referrers_api: false, ..Default::default() }).await;
    world.release("1.9.0", "web:1", &["--sequence", "7"]);
    world.release(
        "1.10.0",
        "web:2",
        &["--sequence", "8", "--annotation", "org.opencontainers.image.created=2026-01-02T03:04:05Z"],
    );
    let run = world.list(&[]).exits(0);
    let text =
        regex::Regex::new(r"20\d\d-\d\d-\d\d \d\d:\d\d|[0-9]+ B").unwrap().replace_all(&run.stdout, "~").into_owned();
    let rows: Vec<Vec<String>> = world
        .scrub(&text)
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect())
        .collect();
    assert_eq!(
        rows,
        [
            &["TAG", "DIGEST", "VERSION", "STREAM", "ENV", "RELEASE", "CLAIMS TO BE SIGNED BY", "CREATED", "SIZE"][..],
            &["1.10.0", "…", "1.10.0", "acme/shop", "prod", "0.8", "key …", "~", "~"],
            &["prod", "…", "1.10.0", "acme/shop", "prod", "0.8", "key …", "~", "~"],
            &["1.9.0", "…", "1.9.0", "acme/shop", "prod", "0.7", "key …", "~", "~"],
        ]
    );
    assert!(run.stdout.contains("2026-01-02 03:04"), "{}", run.stdout);
    assert!(run.stderr.contains("nothing here is verified"));
    assert_eq!(world.tags(&["--all"]).len(), 5);
    let document = world.list(&["-o", "json"]).exits(0).json();
    let first = &document["tags"][0];
    assert_eq!((&document["schema"], &document["found"]), (&"sealift.dev/list/v1".into(), &3.into()));
    assert_eq!((&first["statements"][0]["sequence"], &first["format"]), (&8.into(), &"sealift".into()));
    assert_eq!((&first["created"], &first["verdict"]), (&"2026-01-02T03:04:05Z".into(), &serde_json::Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_by_range_and_by_name() {
    let world = World::new().await;
    for (sequence, version) in ["1.9.0", "1.10.0", "2.0.0"].iter().enumerate() {
        world.release(version, version, &["--sequence", &(sequence + 1).to_string()]);
    }
    assert_eq!(world.tags(&["--filter-semver", ">=1.9 <2"]), ["1.10.0", "1.9.0"]);
    assert_eq!(world.tags(&["--filter-semver", "*", "--limit", "1"]), ["2.0.0"]);
    assert_eq!(world.tags(&["--filter-regex", "^(prod|2)"]), ["2.0.0", "prod"]);
    assert_eq!(world.tags(&["--filter-regex", "nothing"]), [""; 0]);
    let few = world.list(&["--limit", "2"]).exits(0);
    assert!(few.stderr.contains("2 of 4 tags: --limit shows more") && few.stdout.lines().count() == 3, "{few:?}");
    world.list(&["--filter-semver", "1.0.0 - 2"]).exits(2).silent();
    world.list(&["--filter-regex", "("]).exits(2).silent();
    world.list(&["--limit", "0"]).exits(2).silent();
    world.run(&["list", &world.oci("/other")]).exits(6).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_adds_a_verdict_to_each() {
    let world = World::new().await;
    world.release("1.0.0", "web:1", &["--sequence", "1"]);
    world.run(&["keygen", "--output-prefix", "other"]).exits(0);
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:9"));
    let to = world.oci(":other");
    world.run(&["push", &to, "-f", "manifests", "--key", "other.key", "--env", "prod", "--version", "2.0.0"]).exits(0);
    let run = world.list(&["--policy", "policy.yaml", "--filter-semver", "*"]).exits(0);
    let ends: Vec<_> = run.stdout.lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(ends, ["VERDICT", "NoTrustedSignature", "admitted"]);
    assert!(!run.stderr.contains("nothing here is verified"));
    let document = world.list(&["--policy", "policy.yaml", "-o", "json"]).exits(0).json();
    assert_eq!(document["tags"][0]["verdict"]["reason"], "NoTrustedSignature");
    assert_eq!(document["tags"][2]["verdict"]["admitted"], true);
    let other = world.run(&["list", "oci://registry.example/acme/shop", "--policy", "policy.yaml"]).exits(3).silent();
    other.says(&["error: NoPolicy"]);
}
