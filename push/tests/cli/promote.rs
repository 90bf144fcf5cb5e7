//! From environment to environment: the same digest, verified in one and signed for the next.

use serde_json::{Value, json};

use crate::support::{POD, Run, World, policy};

/// Three environments, each with a key and a policy of its own.
struct Stages {
    world: World,
}

impl Stages {
    async fn new() -> Self {
        let world = World::new().await;
        for stage in ["dev", "staging", "prod"] {
            world.run(&["keygen", "--output-prefix", stage]).exits(0);
            let text = policy(stage, &world.read(&format!("{stage}.pub")), "  require: {allOf: [ci]}\n");
            world.write(&format!("{stage}.yaml"), &text.replace("environment: prod", &format!("environment: {stage}")));
        }
        Self { world }
    }

    /// Pushes these manifests to dev, and gives `@DIGEST`.
    fn push(&self, image: &str, more: &[&str]) -> String {
        self.world.write("manifests/pod.yaml", &POD.replace("web:1", image));
        let to = self.world.oci(":dev");
        let push = ["push", &to, "-f", "manifests", "--key", "dev.key", "--env", "dev", "-o", "json"];
        let pushed = self.world.run(&[&push[..], more].concat()).exits(0).json();
        format!("@{}", pushed["digest"].as_str().unwrap())
    }

    /// Promotes by the policy of one stage into another.
    fn promote(&self, rest: &str, from: &str, to: &str, more: &[&str]) -> Run {
        let (what, policy, key) = (self.world.oci(rest), format!("{from}.yaml"), format!("{to}.key"));
        let words = ["promote", &what, "--environment", to, "--policy", &policy, "--key", &key];
        self.world.run(&[&words[..], more].concat())
    }

    fn accepts(&self, stage: &str, rest: &str) -> Run {
        let (what, policy) = (self.world.oci(rest), format!("{stage}.yaml"));
        self.world.run(&["verify", &what, "--policy", &policy, "--env", stage])
    }

    fn statements(&self, rest: &str) -> Vec<Value> {
        let what = self.world.oci(rest);
        let shown = self.world.run(&["inspect", &what, "-o", "json"]).exits(0).json();
        shown["unverified"]["statements"].as_array().unwrap().iter().map(|s| s["predicate"].clone()).collect()
    }
}

fn names(run: &Run) -> &str {
    run.stdout.trim().rsplit_once('@').unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_from_stage_to_stage_each_with_its_own_key_and_policy() {
    let stages = Stages::new().await;
    let more = ["--version", "1.4.2", "--source", "https://git.example/acme/shop", "--revision", "abc"];
    let digest = stages.push("web:1", &more);
    stages.accepts("prod", &digest).exits(3);

    let said = stages.promote(":dev", "dev", "staging", &[]).exits(0);
    assert_eq!(format!("@{}", names(&said)), digest);
    assert_eq!(
        stages.world.scrub(&said.stderr).lines().skip(1).collect::<Vec<_>>(),
        [
            "verified  stream acme/shop for dev, release 0.NOW, version 1.4.2",
            "signed    stream acme/shop for staging, release 0.NOW, version 1.4.2, key …",
            "statement sha256:…",
            "attached  sha256:…",
            "moved     staging, which is new",
        ],
        "the first line tells what the tag named"
    );
    let document = stages.promote(&digest, "staging", "prod", &["-o", "json"]).exits(0).json();
    assert_eq!((&document["schema"], &document["outcome"]), (&json!("sealift.dev/promote/v1"), &json!("promoted")));
    assert_eq!(document["channel"], json!({"tag": "prod", "moved": true, "from": null}));
    for stage in ["dev", "staging", "prod"] {
        stages.accepts(stage, &format!(":{stage}")).exits(0);
    }
    // What is signed is what was verified, but for place and order.
    let statements = stages.statements(&digest);
    let of = |stage: &str| statements.iter().find(|statement| statement["environment"] == stage).unwrap();
    for field in ["stream", "repositories", "version", "content", "scope", "images", "source", "build"] {
        assert_eq!(of("dev")[field], of("prod")[field], "{field}");
    }
    assert_eq!(of("prod")["promotedFrom"]["environment"], "staging");
    assert_eq!(of("prod")["promotedFrom"]["statement"], document["from"]["digest"]);
    assert_eq!(of("dev").get("promotedFrom"), None);
    assert_eq!(of("prod").get("previous"), None, "the first of its line");

    let second = stages.push("web:2", &["--version", "1.5.0"]);
    stages.promote(&second, "dev", "staging", &[]).exits(0);
    let document = stages.promote(&second, "staging", "prod", &["-o", "json"]).exits(0).json();
    assert_eq!(document["statement"]["previous"]["sequence"], of("prod")["sequence"]);
    assert_eq!(format!("@{}", document["channel"]["from"].as_str().unwrap()), digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_environment_is_left_out_and_nothing_is_promoted_that_its_policy_refuses() {
    let stages = Stages::new().await;
    let digest = stages.push("web:1", &["--expires-in", "720h"]);
    let long = ["--expires-in", "720h"];
    // prod takes what staging accepts, and staging has seen nothing yet
    let early = stages.promote(&digest, "staging", "prod", &long).exits(3).silent();
    early.says(&["error: NoTrustedSignature: "]);
    stages.promote(&digest, "staging", "prod", &[&long[..], &["--from", "dev"]].concat()).exits(3);
    stages.promote(&digest, "prod", "prod", &long).exits(3);
    // how long a release lasts there is the promoter's to say
    stages.promote(&digest, "dev", "staging", &[]).exits(2).silent().says(&["--expires-in"]);
    stages.promote(&digest, "dev", "staging", &long).exits(0);

    stages.promote(&digest, "dev", "dev", &long).exits(6).says(&["nothing but what is said for dev itself"]);
    stages.promote(&digest, "dev", "dev", &["--from", "dev"]).exits(2).says(&["from dev to dev", "refresh"]);
    stages.promote(&digest, "dev", "prod", &["--tag", "other/repository:prod"]).exits(2).says(&["sealift copy"]);
    stages.promote(&digest, "dev", "acme/prod", &long).exits(2).says(&["cannot be a tag", "--tag"]);

    // what has expired where it comes from goes nowhere
    let short = stages.push("web:2", &["--expires-in", "1s"]);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    stages.promote(&short, "dev", "staging", &long).exits(3).silent().says(&["error: Expired: "]);
    // nor what is denied there
    let denied = digest.trim_start_matches('@');
    let text = stages.world.read("staging.yaml") + &format!("  deny: {{digests: [\"{denied}\"]}}\n");
    stages.world.write("staging.yaml", &text);
    stages.promote(&digest, "staging", "prod", &long).exits(3).silent().says(&["error: Denied: "]);
    assert_eq!(stages.world.run(&["inspect", &stages.world.oci(":prod")]).code, 6, "no tag was ever set");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_be_signed_and_writes_nothing() {
    let stages = Stages::new().await;
    let digest = stages.push("web:1", &[]);
    let dry = stages.promote(&digest, "dev", "staging", &["--dry-run"]).exits(0);
    let said = stages.world.scrub(&dry.stderr);
    assert!(said.contains("would sign stream acme/shop for staging, release 0.NOW, key …\n"), "{said}");
    assert!(said.contains("would move staging, which is new\n"), "{said}");
    let document = stages.promote(&digest, "dev", "staging", &["--dry-run", "-o", "json"]).exits(0).json();
    assert_eq!((&document["outcome"], &document["signature"]), (&json!("would-promote"), &Value::Null));
    assert_eq!(document["statement"]["promotedFrom"]["environment"], "dev");
    assert_eq!(stages.statements(&digest).len(), 1);
    assert_eq!(stages.world.run(&["inspect", &stages.world.oci(":staging")]).code, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_where_it_comes_from_does_not_replace_what_is_newer() {
    let stages = Stages::new().await;
    let first = stages.push("web:1", &[]);
    let second = stages.push("web:2", &[]);
    stages.promote(&second, "dev", "staging", &[]).exits(0);
    let back = stages.promote(&first, "dev", "staging", &[]).exits(8).silent();
    back.says(&["tag staging names sha256:", "in dev, which is newer than 0.", "hint: `sealift rollback`"]);
    assert_eq!(stages.statements(&first).len(), 1, "nothing was signed that could bring it back later");
    // On purpose, as the newest of dev.
    let what = stages.world.oci(&first);
    stages.world.run(&["refresh", &what, "--key", "dev.key", "--expires-in", "720h"]).exits(0);
    stages.promote(&first, "dev", "staging", &["--expires-in", "720h"]).exits(0);
    stages.accepts("staging", ":staging").exits(0);

    // What went straight to staging later than this went to dev.
    stages.world.write("manifests/pod.yaml", &POD.replace("web:1", "hotfix:1"));
    let to = stages.world.oci(":staging");
    stages.world.run(&["push", &to, "-f", "manifests", "--key", "staging.key", "--env", "staging"]).exits(0);
    let over = stages.promote(&second, "dev", "staging", &[]).exits(8).silent();
    over.says(&["which never was in dev and was released later"]);
    let third = stages.push("web:3", &[]);
    stages.promote(&third, "dev", "staging", &[]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_several_environments_would_do_one_is_named() {
    let stages = Stages::new().await;
    let digest = stages.push("web:1", &[]);
    stages.promote(&digest, "dev", "staging", &[]).exits(0);
    let several = ["--policy", "dev.yaml", "--policy", "staging.yaml"];
    // Every policy must pass, and no statement satisfies both.
    let what = stages.world.oci(&digest);
    let words = ["promote", &what, "--environment", "prod", "--key", "prod.key"];
    stages.world.run(&[&words[..], &several[..]].concat()).exits(3);

    let key = |stage: &str| stages.world.read(&format!("{stage}.pub")).replace('\n', "\n        ");
    let authority =
        |stage: &str| format!("  - name: {stage}\n    key:\n      pem: |\n        {}\n", key(stage).trim_end());
    stages.world.write(
        "any.yaml",
        &format!(
            "apiVersion: sealift.dev/v1alpha1\nkind: SignaturePolicy\nmetadata: {{name: any}}\nspec:\n  match: \
             {{repositories: [\"127.0.0.1:*/acme/**\"]}}\n  authorities:\n{}{}  require: {{anyOf: [dev, staging]}}\n  \
             release: {{streams: [{{glob: \"acme/*\"}}]}}\n",
            authority("dev"),
            authority("staging")
        ),
    );
    let open = stages.promote(&digest, "any", "prod", &[]).exits(2).silent();
    open.says(&["in several environments: dev, staging", "--from"]);
    let document = stages.promote(&digest, "any", "prod", &["--from", "staging", "-o", "json"]).exits(0).json();
    assert_eq!(document["from"]["environment"], "staging");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_by_two_people_reaches_the_channel_once_both_have_signed() {
    let stages = Stages::new().await;
    let world = &stages.world;
    let both: String = ["prod", "staging"]
        .map(|name| {
            let key = world.read(&format!("{name}.pub")).replace('\n', "\n        ");
            format!("  - name: {name}\n    key:\n      pem: |\n        {}\n", key.trim_end())
        })
        .concat();
    world.write(
        "prod.yaml",
        &format!(
            "apiVersion: sealift.dev/v1alpha1\nkind: SignaturePolicy\nmetadata: {{name: prod}}\nspec:\n  match: \
             {{repositories: [\"127.0.0.1:*/acme/**\"]}}\n  authorities:\n{both}  require: {{allOf: [prod, staging]}}\n  \
             release: {{streams: [{{glob: \"acme/*\"}}], environment: prod}}\n"
        ),
    );
    let digest = stages.push("web:1", &[]);
    let document = stages.promote(&digest, "dev", "prod", &["--no-tag", "-o", "json"]).exits(0).json();
    assert_eq!((&document["channel"], &document["outcome"]), (&Value::Null, &json!("promoted")));
    let tag = || world.run(&["tag", &world.oci(&digest), "prod", "--policy", "prod.yaml"]);
    tag().exits(3).silent();
    let statement = document["statement"]["digest"].as_str().unwrap();
    let signed = world.run(&["sign", &world.oci(&digest), "--statement", statement, "--key", "staging.key"]).exits(0);
    signed.says(&["signing   stream acme/shop for prod", "promoted  from dev, statement sha256:"]);
    tag().exits(0);
    stages.accepts("prod", ":prod").exits(0);

    // One statement of several is renewed, what it says of its way stays, and the second follows.
    let refresh = ["refresh", &world.oci(":prod"), "--key", "prod.key", "--expires-in", "720h", "-o", "json"];
    let renewed = world.run(&refresh).exits(0).json();
    assert_eq!(renewed["statement"]["environment"], "prod");
    assert_eq!(renewed["statement"]["promotedFrom"], document["statement"]["promotedFrom"]);
    assert_eq!(renewed["statement"]["previous"]["statement"], statement);
}

/// The key is a pipe, so that the older release waits to be signed after it has looked at the tag. The sequence alone does
/// not say which is newer: here it is an epoch, elsewhere a clock that is ahead.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_promoted_while_an_older_release_is_signed_is_not_replaced_by_it() {
    let stages = Stages::new().await;
    let first = stages.push("web:1", &[]);
    let second = stages.push("web:2", &[]);
    let pipe = stages.world.path("slow.key");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (opened, is_open) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<String>();
    let signing = std::thread::spawn(move || {
        // Opened once the other end is.
        let mut key = std::fs::File::options().write(true).open(pipe).unwrap();
        opened.send(()).unwrap();
        std::io::Write::write_all(&mut key, may_go_on.recv().unwrap().as_bytes()).unwrap();
    });
    let what = stages.world.oci(&first);
    let words = ["promote", &what, "--environment", "staging", "--policy", "dev.yaml", "--key", "slow.key"];
    let mut command = stages.world.command(&[&words[..], &["--epoch", "1"]].concat());
    let older = std::thread::spawn(move || Run::of(command.output().unwrap()));
    is_open.recv_timeout(std::time::Duration::from_secs(60)).expect("the key is read");
    stages.promote(&second, "dev", "staging", &[]).exits(0);
    go_on.send(stages.world.read("staging.key")).unwrap();
    signing.join().unwrap();
    older.join().unwrap().exits(8).silent().says(&["which is newer than"]);
    let named = stages.world.run(&["inspect", &stages.world.oci(":staging"), "-o", "json"]).exits(0).json();
    assert_eq!(format!("@{}", named["digest"].as_str().unwrap()), second);
}
