//! `sealift policy`: check, test, explain, schema.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::{World, policy};

/// The cases of a file, for a world whose registry has its own port every time.
fn cases(world: &World, cases: &[(&str, &str, &str, &str)]) -> String {
    let case = |(name, rest, facts, expect): &(&str, &str, &str, &str)| {
        format!("- name: {name}\n  reference: {}\n  facts: {facts}\n  expect: {expect}\n", world.oci(rest))
    };
    format!("policies: [../policy.yaml]\ncases:\n{}", cases.iter().map(case).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_expectations_that_all_hold() {
    let world = World::new().await;
    world.push("prod", &["--sequence", "7"]).exits(0);
    let mark = "{marks: [{stream: acme/shop, environment: prod, position: {sequence: 9}, statement: \"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\", artifact: \"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\", firstSeen: 2026-01-01T00:00:00Z}]}";
    let remembering = format!("{{memory: {mark}}}");
    world.write("tests/memory.yaml", "marks: []\n");
    let file = cases(
        &world,
        &[
            ("what runs today", ":prod", "{environment: prod, namespace: shop}", "accepted"),
            ("another environment", ":prod", "{environment: dev}", "{refused: WrongEnvironment}"),
            ("an older one", ":prod", &remembering, "{refused: RolledBack}"),
            ("first contact", ":prod", "{memory: memory.yaml}", "accepted"),
            ("a demand", ":prod", "{require: [nobody]}", "{refused: PolicyInvalid}"),
        ],
    );
    let elsewhere =
        "- name: no policy\n  reference: oci://registry.example/other/shop:prod\n  expect: {refused: NoPolicy}\n";
    world.write("tests/tests.yaml", &format!("{file}{elsewhere}"));
    let run = world.run(&["policy", "test", "tests/tests.yaml", "-q"]).exits(0);
    assert_eq!(
        run.stdout,
        "pass   what runs today: accepted\n\
         pass   another environment: refused WrongEnvironment\n\
         pass   an older one: refused RolledBack\n\
         pass   first contact: accepted\n\
         pass   a demand: refused PolicyInvalid\n\
         pass   no policy: refused NoPolicy\n"
    );
    assert_eq!(run.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_that_fails_fails_the_step_in_every_format() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let file = cases(
        &world,
        &[("for prod", ":prod", "{}", "accepted"), ("for <dev> too", ":prod", "{environment: dev}", "accepted")],
    );
    world.write("tests/tests.yaml", &file);
    let run = world.run(&["policy", "test", "tests/tests.yaml", "-q"]).exits(3);
    assert_eq!(
        run.stdout,
        "pass   for prod: accepted\n\
         FAIL   for <dev> too: expected accepted, came refused WrongEnvironment: the statement is for environment \"prod\", not \"dev\"\n"
    );
    run.says(&["error: 1 of 2 expectations do not hold\n", "hint: `sealift policy explain`"]);

    let document = world.run(&["policy", "test", "tests/tests.yaml", "-q", "-o", "json"]).exits(3).json();
    assert_eq!(document["schema"], "sealift.dev/policy-test/v1");
    assert_eq!((&document["passed"], &document["failed"], &document["errors"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(document["cases"][1]["result"], "fail");
    assert_eq!(document["cases"][1]["expected"], "accepted");
    assert_eq!(document["cases"][1]["reason"], "WrongEnvironment");
    assert_eq!(document["cases"][0]["evidence"]["predicate"]["verificationResult"], "PASSED");

    let junit = world.run(&["policy", "test", "tests/tests.yaml", "-q", "-o", "junit"]).exits(3);
    assert_eq!(
        world.scrub(&junit.stdout),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"sealift policy test\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">\n  \
         <testsuite name=\"tests/tests.yaml\" timestamp=\"TIME\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">\n    \
         <properties>\n      \
         <property name=\"policy.shop\" value=\"sha256:…\"/>\n    \
         </properties>\n    \
         <testcase classname=\"sealift.policy\" name=\"for prod\">\n      \
         <system-out>accepted</system-out>\n    \
         </testcase>\n    \
         <testcase classname=\"sealift.policy\" name=\"for &lt;dev&gt; too\">\n      \
         <failure type=\"Accepted\" message=\"expected accepted, came refused WrongEnvironment: the statement is for environment &quot;prod&quot;, not &quot;dev&quot;\"/>\n    \
         </testcase>\n  \
         </testsuite>\n\
         </testsuites>\n"
    );
    world.run(&["policy", "test", "tests/tests.yaml", "-o", "sarif"]).exits(2).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_asked_is_no_success() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    world.write(
        "tests/tests.yaml",
        &cases(&world, &[("gone", ":staging", "{}", "accepted"), ("there", ":prod", "{}", "accepted")]),
    );
    let run = world.run(&["policy", "test", "tests/tests.yaml"]).exits(6);
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("ERROR  gone: ") && lines[0].contains("does not exist"), "{}", run.stdout);
    assert_eq!(lines[1], "pass   there: accepted");
    let refused = cases(&world, &[("gone", ":staging", "{}", "{refused: Unsigned}")]);
    world.write("tests/tests.yaml", &refused);
    world.run(&["policy", "test", "tests/tests.yaml"]).exits(6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_cases_that_cannot_be_read_whole() {
    let world = World::new().await;
    world.run(&["policy", "test", "nowhere.yaml"]).exits(6).silent();
    world.write("tests/tests.yaml", &cases(&world, &[("typo", ":prod", "{enviroment: prod}", "accepted")]));
    let run = world.run(&["policy", "test", "tests/tests.yaml"]).exits(5).silent();
    run.says(&["error: tests/tests.yaml: field cases[0].facts", "unknown field `enviroment`"]);
    world.write("tests/tests.yaml", "policies: [policy.yaml]\ncases: []\n");
    world.run(&["policy", "test", "tests/tests.yaml"]).exits(5).silent().says(&["cases is empty"]);
    assert_eq!(world.registry.requests(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_every_unusable_policy_with_its_field() {
    let world = World::new().await;
    world.run(&["policy", "check", "policy.yaml"]).exits(0);
    let key = world.read("cosign.pub");
    let misspelt = policy("misspelt", &key, "  require: {allOf: [ci]}\n  relaese: {}\n");
    let nobody = policy("nobody", &key, "  require: {allOf: [build]}\n");
    world.write("all.yaml", &format!("{}---\n{misspelt}---\n{nobody}", world.read("policy.yaml")));
    let run = world.run(&["policy", "check", "all.yaml"]).exits(5);
    assert_eq!(run.stdout, "all.yaml:1 SignaturePolicy shop: usable\n");
    let run = run.says(&[
        "error: 2 of 3 documents cannot be used\n  all.yaml:",
        "names authority \"build\", which is not defined",
    ]);
    assert!(run.stderr.contains("field spec.relaese cannot be read: unknown field `relaese`"), "{}", run.stderr);
    let document = world.run(&["policy", "check", "all.yaml", "-o", "json"]).exits(5).json();
    let fields: Vec<_> =
        document["policies"].as_array().unwrap().iter().map(|policy| policy["field"].clone()).collect();
    assert!(fields.contains(&json!("spec.relaese")) && fields.contains(&json!("spec.require")), "{fields:?}");
    assert_eq!(world.registry.requests(), Default::default());
}

/// A cluster may hold the root, so it is told and is no error.
#[tokio::test(flavor = "multi_thread")]
async fn check_tells_of_a_trust_root_that_no_file_holds() {
    let world = World::new().await;
    let keyless = json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "SignaturePolicy", "metadata": {"name": "keyless"},
        "spec": {
            "match": {"repositories": ["127.0.0.1:*/acme/**"]},
            "authorities": [{"name": "ci", "keyless": {
                "issuer": {"exact": "https://issuer.example"}, "subject": {"exact": "https://ci.example/release"},
                "trustRoot": "private",
            }}],
            "require": {"allOf": ["ci"]},
            "release": {"streams": [{"glob": "acme/*"}]},
        },
    });
    world.write("keyless.yaml", &keyless.to_string());
    let told = world.run(&["policy", "check", "keyless.yaml"]).exits(0);
    told.says(&["warning: policy keyless names trust root \"private\", which none of these files holds"]);
    let document = world.run(&["policy", "check", "keyless.yaml", "policy.yaml", "-o", "json"]).exits(0).json();
    let missing = |n: usize| document["policies"][n]["missingTrustRoots"].clone();
    assert_eq!((missing(0), missing(1)), (json!(["private"]), json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_which_policies_match_and_why() {
    let world = World::new().await;
    let other = policy("other", &world.read("cosign.pub"), "  require: {anyOf: [ci]}\n")
        .replace("acme/**\"]", "acme/*\", \"b.example/**\"], namespaces: [web-*]");
    world.write("other.yaml", &other);
    let what = ["policy", "explain", &world.oci(""), "--policy", "policy.yaml", "--policy", "other.yaml", "-n", "shop"];
    let run = world.run(&what).exits(0);
    let text = world.scrub(&run.stdout);
    assert_eq!(
        text,
        "policy other (other.yaml:1) does not match\n  \
         match.repositories     \"127.0.0.1:*/acme/*\" matches REGISTRY/acme/shop\n  \
         match.repositories     \"b.example/**\" does not match REGISTRY/acme/shop\n  \
         match.namespaces       \"web-*\" does not match shop\n\n\
         policy shop (policy.yaml:1) matches and must be satisfied\n  \
         match.repositories     \"127.0.0.1:*/acme/**\" matches REGISTRY/acme/shop\n  \
         match.namespaces       not set: every namespace\n  \
         require                needs 1 of [ci], all on the same statement\n  \
         authority              ci: key sha256:…\n  \
         release.emergency      forbid (the default): who goes back signs it\n  \
         release.environment    prod\n  \
         release.streams        glob acme/*\n"
    );
    assert_eq!(world.registry.requests(), Default::default(), "without a tag nothing is fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_which_rule_decided() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let explain = |more: &[&str]| {
        let what = ["policy", "explain", &world.oci(":prod"), "--policy", "policy.yaml", "-q"];
        world.run(&[&what, more].concat()).exits(0)
    };
    let accepted = explain(&[]).stdout;
    assert!(accepted.contains("\nACCEPTED 127.0.0.1:"), "{accepted}");
    assert!(accepted.contains("\n  policy shop: satisfied; signed by ci\n  not checked: "), "{accepted}");
    let refused = explain(&["--env", "dev"]).stdout;
    let expected = "\nREFUSED WrongEnvironment: the statement is for environment \"prod\", not \"dev\"\n  \
                    decided by spec.release.environment, check environment: The environment is the one demanded.\n";
    assert!(refused.contains(expected), "{refused}");
    let document = explain(&["--env", "dev", "-o", "json"]).json();
    assert_eq!(document["verdict"]["rule"], "release.environment");
    assert_eq!(document["policies"][0]["repositories"][0]["matches"], true);

    let nobody = ["policy", "explain", "oci://registry.example/a/b:c", "--policy", "policy.yaml"];
    let run = world.run(&nobody).exits(0);
    assert!(
        run.stdout.contains("REFUSED NoPolicy: ") && run.stdout.contains("decided by spec.match"),
        "{}",
        run.stdout
    );
}

/// Held against git, so that editors anywhere use what the code reads.
#[tokio::test(flavor = "multi_thread")]
async fn generated_policy_schema_is_up_to_date() {
    let world = World::new().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/signaturepolicy.schema.json");
    let schema = world.run(&["policy", "schema"]).exits(0);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &schema.stdout).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == schema.stdout, "policies/signaturepolicy.schema.json is stale: make generate");
    let document = schema.json();
    assert_eq!(document["properties"]["kind"]["const"], "SignaturePolicy");
    assert_eq!(document["properties"]["spec"]["additionalProperties"], false);
    // A folder of policies may hold it.
    fs::copy(&path, world.path("signaturepolicy.schema.json")).unwrap();
    world.write("folder/policy.yaml", &world.read("policy.yaml"));
    fs::copy(&path, world.path("folder/signaturepolicy.schema.json")).unwrap();
    world.run(&["policy", "check", "folder"]).exits(0);
}
