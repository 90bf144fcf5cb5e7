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
