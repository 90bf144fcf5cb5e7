use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_evidence_has_a_row_for_every_check() {
    let world = World::new().await;
    world.push("prod", &["--sequence", "7"]).exits(0);
    let run = world.verify(":prod", &[]).exits(0);
    let expected = "\
REGISTRY/acme/shop@sha256:…
  stream acme/shop environment prod release 0.7 issued TIME
  policy shop: satisfied; signed by [ci]
  pass         policy             shop
  pass         manifest-digest    sha256:…
  pass         manifest           one layer of N bytes, application/vnd.oci.image.layer.v1.tar+zstd
  pass         deny-list
  pass         signature          ci (…)
";
    let text = world.scrub(&run.stdout).lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("NOT CHECKED  memory             no memory of trust was given\n"), "{text}");
    assert!(text.ends_with("\nACCEPTED\n"), "{text}");
    assert_eq!(world.scrub(&run.stderr), "REGISTRY/acme/shop:prod is sha256:… now\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_is_a_verification_summary() {
    let world = World::new().await;
    let pushed = world.push("prod", &[]).exits(0).stdout;
    let document = world.verify(":prod", &["-o", "json"]).exits(0).json();
    assert_eq!(document["predicateType"], "https://slsa.dev/verification_summary/v1");
    assert_eq!(document["predicate"]["verificationResult"], "PASSED");
    assert_eq!(document["subject"][0]["name"], pushed.trim());
    let wrong = world.verify(":prod", &["-o", "json", "--env", "dev"]).exits(3).json();
    assert_eq!(wrong["predicate"]["verificationResult"], "FAILED");
    assert_eq!(wrong["predicate"]["https://sealift.dev/evidence/v1"]["reason"], "WrongEnvironment");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_policy_that_matches_must_pass() {
    let world = World::new().await;
    world.run(&["keygen", "--output-prefix", "other"]).exits(0);
    let second = crate::support::policy("second", &world.read("other.pub"), "  require: {allOf: [ci]}\n");
    world.write("second.yaml", &second);
    world.push("prod", &[]).exits(0);
    world.verify(":prod", &["--policy", "second.yaml"]).exits(3).says(&["satisfies policy second"]);
    world.write("both.yaml", &format!("{}---\n{second}", world.read("policy.yaml")));
    world.run(&["verify", &world.oci(":prod"), "--policy", "both.yaml"]).exits(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_checked_can_be_demanded() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let run = world.verify(":prod", &["--require-complete"]).exits(9);
    assert!(run.stdout.ends_with("ACCEPTED\n"));
    run.says(&["error: nothing was refused, but some checks were not made: ", "memory", "hint: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_cannot_be_read_is_not_an_empty_one() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    world.write("memory.yaml", "{}");
    world.verify(":prod", &["--memory", "memory.yaml"]).exits(5).silent().says(&["memory.yaml is no memory of trust"]);
    world.verify(":prod", &["--memory", "nowhere.yaml"]).exits(6).silent();
    world.write("memory.yaml", "marks: []");
    let run = world.verify(":prod", &["--memory", "memory.yaml"]).exits(0);
    assert!(run.stdout.contains("pass         memory             first seen"), "{}", run.stdout);
}

/// A release of a pod with these images.
fn release(world: &World, images: &[&str]) {
    let containers: String =
        images.iter().enumerate().map(|(n, image)| format!("  - name: c{n}\n    image: {image}\n")).collect();
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  containers:\n{containers}"
    );
    world.write("manifests/pod.yaml", &pod);
    world.push("prod", &[]).exits(0);
}

/// Something with a manifest under this name, and its digest.
fn publish(world: &World, name: &str) -> String {
    world.write("content/settings.yaml", crate::support::SETTINGS);
    let to = format!("oci://{}/images/{name}", world.registry.addr);
    let pushed = world.run(&["push", &to, "-f", "content", "--key", "cosign.key", "-q"]).exits(0);
    pushed.stdout.trim().rsplit_once('@').unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_there_are_told_and_one_that_is_not_is_a_no() {
    let world = World::new().await;
    let digest = publish(&world, "web:1");
    let image = |rest: &str| format!("{}/images/{rest}", world.registry.addr);
    let (pinned, tagged) = (image(&format!("web:1@{digest}")), image("web:1"));
    release(&world, &[&pinned, &tagged]);
    let asked = world.registry.requests();
    let run = world.verify(":prod", &["--check-images"]).exits(0);
    let heads = world.registry.requests().since(&asked).get("HEAD", "manifest");
    assert_eq!(heads, 3, "one for the release's tag, one an image");
    let end =
        format!("ACCEPTED\nimages\n  present          {tagged}: a tag, {digest} now\n  present          {pinned}\n");
    assert!(run.stdout.ends_with(&end), "{}", run.stdout);

    let (gone, no_tag) =
        (image("web@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"), image("web:2"));
    release(&world, &[&pinned, &gone, &no_tag]);
    // The verdict of a cluster is what it was.
    world.verify(":prod", &[]).exits(0);
    let run = world.verify(":prod", &["--check-images"]).exits(3);
    assert!(run.stdout.contains(&format!("\n  missing          {no_tag}, in Pod shop/web\n")), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("\n  missing          {gone}, in Pod shop/web\n")), "{}", run.stdout);
    let run = run.says(&["error: 2 images of 3 cannot be pulled", "hint: "]);
    assert!(run.stdout.contains("\nACCEPTED\n"), "{}", run.stdout);

    let recorded = world.verify(":prod", &["--check-images", "-o", "json"]).exits(3);
    let found = recorded.json()["predicate"]["https://sealift.dev/images/v1"].clone();
    let results: Vec<_> = found.as_array().unwrap().iter().map(|image| image["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["present", "missing", "missing"], "{found}");
    assert_eq!((&found[0]["digest"], &found[0]["objects"][0]), (&digest.into(), &"Pod shop/web".into()));
    world.write("record.json", &recorded.stdout);
    world.run(&["audit", "record.json"]).exits(0);
    let junit = world.verify(":prod", &["--check-images", "-o", "junit"]).exits(3).stdout;
    assert!(junit.contains("sealift.verify.image-exists") && junit.contains("failures=\"2\""), "{junit}");
    let sarif = world.verify(":prod", &["--check-images", "-o", "sarif"]).exits(3).json();
    let of_images = sarif["runs"][0]["results"].as_array().unwrap().iter().filter(|r| r["ruleId"] == "image-exists");
    assert_eq!(of_images.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_nobody_could_be_asked_about_is_not_refused() {
    let world = World::new().await;
    let pinned = format!("{}/images/web@{}", world.registry.addr, publish(&world, "web:1"));
    // Nothing listens at port 1.
    let unreachable = format!("127.0.0.1:1/images/web@{}", sealift_verify::digest::Digest::of(b"a"));
    release(&world, &[&pinned, &unreachable]);
    let run = world.verify(":prod", &["--check-images"]).exits(4);
    assert!(run.stdout.contains(&format!("\n  could-not-check  {unreachable}: ")), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("\n  present          {pinned}\n")), "{}", run.stdout);
    run.says(&["error: 1 image of 2 could not be asked about", "hint: is the registry at 127.0.0.1:1 up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_has_another_image_under_the_digest_is_refused_and_one_that_lets_nobody_in_is_not() {
    use sealift_e2e::faulty::{Behaviour, Fault, FaultyRegistry, What};
    let world = World::new().await;
    let digest = |of: &str| sealift_verify::digest::Digest::of(of.as_bytes()).to_string();
    let answer = |path: &'static str, status: u16, headers: Vec<(&'static str, String)>| Fault {
        method: "HEAD",
        path,
        spare: 0,
        times: usize::MAX,
        what: What::Answer { status, headers, body: "" },
    };
    let faults = vec![
        answer("/images/other/", 200, vec![("docker-content-digest", digest("another"))]),
        answer("/images/closed/", 401, vec![]),
    ];
    let other = FaultyRegistry::start(Behaviour { faults, ..Behaviour::default() });
    let image = |name: &str| format!("{}/images/{name}@{}", other.host(), digest("this"));
    release(&world, &[&image("other"), &image("closed")]);
    let run = world.verify(":prod", &["--check-images"]).exits(3);
    assert!(run.stdout.contains(&format!("\n  wrong-digest     {}: ", image("other"))), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("\n  could-not-check  {}: ", image("closed"))), "{}", run.stdout);
    run.says(&["error: 1 image of 2 cannot be pulled"]);
    release(&world, &[&image("closed")]);
    world
        .verify(":prod", &["--check-images"])
        .exits(7)
        .says(&["1 image of 1 could not be asked about", "sealift login"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_registry_is_shown_its_own_credentials() {
    use sealift_e2e::faulty::{Behaviour, FaultyRegistry};
    let world = World::new().await;
    let (open, closed) = (
        FaultyRegistry::start(Behaviour::default()),
        sealift_registry::server::spawn(sealift_registry::server::ServerOptions {
            credentials: Some(sealift_registry::server::Credentials {
                user: "u".into(),
                password: "p".to_owned().into(),
            }),
            ..Default::default()
        })
        .await
        .unwrap(),
    );
    let auth = serde_json::json!({"auths": {closed.addr.to_string(): {"auth": "dTpw"}}});
    world.write(".docker/config.json", &auth.to_string());
    world.write("content/settings.yaml", crate::support::SETTINGS);
    let images: Vec<String> = [open.host().to_owned(), closed.addr.to_string()]
        .iter()
        .map(|host| {
            let to = format!("oci://{host}/images/web:1");
            let pushed = world.run(&["push", &to, "-f", "content", "--key", "cosign.key", "-q"]).exits(0);
            pushed.stdout.trim().to_owned()
        })
        .collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    release(&world, &images);
    let before = open.seen().len();
    world.verify(":prod", &["--check-images"]).exits(0);
    let seen = open.seen();
    assert!(seen.len() > before && seen.iter().all(|seen| seen.authorization().is_none()), "{seen:#?}");
}
