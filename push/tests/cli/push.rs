use std::{
    io::Write,
    process::{Command, Stdio},
};

use sealift_registry::server::ServerOptions;

use crate::support::{POD, Run, SETTINGS, World};

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_is_the_pinned_reference_and_nothing_else() {
    let world = World::new().await;
    let pushed = world.push("prod", &["--digest-file", "digest.txt"]).exits(0);
    assert_eq!(world.scrub(&pushed.stdout), "REGISTRY/acme/shop@sha256:…\n");
    assert_eq!(
        world.scrub(&pushed.stderr),
        "packed    2 objects in 2 files, N bytes, application/vnd.oci.image.layer.v1.tar+zstd\n\
         signed    stream acme/shop for prod, release 0.NOW, key …\n\
         statement sha256:…\n\
         attached  sha256:…\n\
         tagged    seq-NOW\n\
         moved     prod, which is new\n\
         format    sealift, for Sealift's own readers; --format flux or oci is for other tools\n"
    );
    let digest = world.read("digest.txt");
    assert!(pushed.stdout.ends_with(&format!("@{digest}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_the_outputs_of_a_github_job_name_the_same_digest() {
    let world = World::new().await;
    let to = world.oci(":prod");
    let mut command = world.command(&["push", &to, "-f", "manifests", "--key", "cosign.key", "-q", "-o", "json"]);
    command.args(["--namespace-exists", "shop"]);
    command.env("GITHUB_OUTPUT", world.path("outputs")).args(["--version", "1.4.2", "--expires-in", "720h"]);
    command.env("GITHUB_STEP_SUMMARY", world.path("summary")).args(["--dotenv", "build.env"]);
    command.envs([
        ("GITHUB_SERVER_URL", "https://git.example"),
        ("GITHUB_REPOSITORY", "acme/shop"),
        ("GITHUB_SHA", "0123456789012345678901234567890123456789"),
    ]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], "sealift.dev/push/v1");
    assert_eq!((document["tag"].as_str(), document["channel"]["tag"].as_str()), (Some("1.4.2"), Some("prod")));
    assert_eq!(document["statement"]["version"], "1.4.2");
    assert!(document["statement"]["expiresAt"].is_string());
    let expected = format!(
        "digest={}\nreference={}\nstatement={}\nversion=1.4.2\nsequence={}\n",
        document["digest"].as_str().unwrap(),
        document["reference"].as_str().unwrap(),
        document["statement"]["digest"].as_str().unwrap(),
        document["statement"]["sequence"]
    );
    assert_eq!(world.read("outputs"), expected);
    let dotenv: String = expected
        .lines()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            format!("SEALIFT_{}={value}\n", name.to_uppercase())
        })
        .collect();
    assert_eq!(world.read("build.env"), dotenv);
    assert_eq!(
        world.scrub(&world.read("summary")),
        "### Pushed `acme/shop` `1.4.2`\n\n| | |\n|---|---|\n| artifact | `REGISTRY/acme/shop@sha256:…` |\n\
         | statement | `sha256:…`, release 0.NOW, expires TIME |\n| signed by | `key …` |\n| channel | `prod`, new |\n\n"
    );
    // What CI's variables say stands in the statement, and not in the artifact.
    let shown = world.run(&["inspect", &world.oci(":1.4.2"), "-o", "json"]).exits(0).json();
    let predicate = &shown["unverified"]["statements"][0]["predicate"];
    assert_eq!(predicate["source"]["uri"], "https://git.example/acme/shop");
    assert_eq!(predicate["source"]["digest"]["gitCommit"], "0123456789012345678901234567890123456789");
    assert!(shown["manifest"]["annotations"].get("org.opencontainers.image.source").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_input_gives_the_same_digest_however_it_is_laid_out() {
    let (one, other) = tokio::join!(World::new(), World::new());
    let settings = r#"{"data": {"colour": "blue"}, "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"namespace": "shop", "name": "settings"}}"#;
    std::fs::remove_dir_all(other.path("manifests")).unwrap();
    other.write("manifests/z/all.json", settings);
    other.write("manifests/a.yml", &format!("# a comment\n---\n{POD}---\n"));
    for format in ["sealift", "flux", "oci"] {
        let digest = |world: &World| {
            world.push("prod", &["--format", format, "-o", "json"]).exits(0).json()["digest"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(digest(&one), digest(&other), "{format}");
        one.verify(":prod", &[]).exits(0);
    }
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}\n- {}\n", indent(POD), indent(SETTINGS));
    let mut command = one.command(&["push", &one.oci(":stdin"), "-f", "-", "--key", "cosign.key", "--env", "prod"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let by_folder = one.push("prod", &[]).exits(0).stdout;
    assert_eq!(String::from_utf8_lossy(&output.stdout), by_folder, "{}", String::from_utf8_lossy(&output.stderr));
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_comes_from_git_only_if_the_commit_holds_the_files() {
    let world = World::new().await;
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let status = Command::new("git").args(identity).args(arguments).current_dir(world.folder.path()).output();
        assert!(status.unwrap().status.success(), "git {arguments:?}");
    };
    git(&["init", "-q"]);
    git(&["remote", "add", "origin", "https://me:token@git.example/acme/shop.git"]);
    git(&["add", "manifests"]);
    git(&["commit", "-q", "-m", "manifests"]);
    let source = |tag: &str| {
        world.push(tag, &[]).exits(0);
        let shown = world.run(&["inspect", &world.oci(&format!(":{tag}")), "-o", "json"]).exits(0).json();
        shown["unverified"]["statements"][0]["predicate"]["source"].clone()
    };
    let clean = source("clean");
    assert_eq!(clean["uri"], "https://git.example/acme/shop.git");
    assert_eq!(clean["digest"]["gitCommit"].as_str().unwrap().len(), 40);
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:2"));
    let dirty = source("dirty");
    assert_eq!((dirty["uri"].as_str(), dirty.get("digest")), (Some("https://git.example/acme/shop.git"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channel_moves_forward_and_never_back() {
    let world = World::new().await;
    world.push("prod", &["--sequence", "10"]).exits(0);
    let ten = world.push("prod", &["--sequence", "11"]).exits(0).stdout;
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:9"));
    let late = world.push("prod", &["--sequence", "9"]).exits(8);
    assert!(late.stderr.ends_with("warning: tag prod already names newer release 0.11, and was left there\n"));
    assert_ne!(late.stdout, ten, "the late release is pushed all the same");
    let still = world.run(&["verify", &world.oci(":prod"), "--policy", "policy.yaml", "-o", "json"]).exits(0).json();
    assert!(ten.trim().ends_with(still["subject"][0]["digest"]["sha256"].as_str().unwrap()));
    let as_json = world.push("prod", &["--sequence", "8", "-o", "json"]).exits(8).json();
    assert_eq!(as_json["outcome"], "superseded");
    assert_eq!(as_json["channel"]["supersededBy"]["sequence"], 11);
    // Its own tag names it, so nothing released is without a tag.
    world.verify(":seq-9", &[]).exits(0);
}

/// It was signed and named by the channel, and every cluster refused it.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_reader_takes_is_not_signed() {
    let world = World::new().await;
    for (flag, value) in [("--env", "pr\nod"), ("--stream", "a\tb")] {
        for dry in [&[][..], &["--dry-run"]] {
            let to = world.oci(":prod");
            let words = ["push", &to, "-f", "manifests", "--key", "cosign.key", flag, value];
            let run = world.run(&[&words[..], dry].concat()).exits(5).silent();
            run.says(&["no statement that anybody reads"]);
        }
    }
    world.run(&["inspect", &world.oci(":prod")]).exits(6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_of_another_signer_does_not_hold_the_channel() {
    let world = World::new().await;
    world.run(&["keygen", "--output-prefix", "other"]).exits(0);
    let to = world.oci(":prod");
    world.run(&["push", &to, "-f", "manifests/pod.yaml", "--key", "other.key", "--sequence", "99"]).exits(0);
    let pushed = world.push("prod", &["--sequence", "1"]).exits(0);
    assert!(world.scrub(&pushed.stderr).contains("moved     prod from …"), "{}", pushed.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_version_never_changes() {
    let world = World::new().await;
    world.push("prod", &["--version", "1.4.2"]).exits(0);
    world.push("prod", &["--version", "1.4.2"]).exits(0);
    world.write("manifests/pod.yaml", &POD.replace("web:1", "web:9"));
    let changed = world.push("prod", &["--version", "1.4.2"]).exits(5).silent();
    assert_eq!(
        world.scrub(&changed.stderr),
        "error: tag 1.4.2 already names sha256:…, and a release's own tag never moves\n\
         hint: give the changed manifests another --version (or --sequence)\n"
    );
    world.push("prod", &["--sequence", "5"]).exits(8);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_channel_only_the_releases_own_tag_is_set() {
    let world = World::new().await;
    let pushed = world.run(&["push", &world.oci(""), "-f", "manifests", "--key", "cosign.key", "--no-tag"]).exits(0);
    assert!(!pushed.stderr.contains("moved"));
    let tags = world.run(&["inspect", &world.oci("")]).exits(0).stdout;
    assert_eq!(world.scrub(&tags), "seq-NOW\n");
    let usage = world.run(&["push", &world.oci(""), "-f", "manifests", "--key", "cosign.key"]).exits(2).silent();
    usage.says(&["has no tag to move", "hint: name the tag that clusters follow"]);
    for channel in [":seq-7", ":sha256-0000"] {
        let channel = world.oci(channel);
        world
            .run(&["push", &channel, "-f", "manifests", "--key", "cosign.key"])
            .exits(2)
            .says(&["cannot be a channel"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_the_referrers_api_is_served_by_tag() {
    let world = World::with(ServerOptions { referrers_api: false, ..ServerOptions::default() }).await;
    let pushed = world.push("prod", &["--sequence", "10"]).exits(0);
    assert!(pushed.stderr.contains("(by tag: the registry has no referrers API)"), "{}", pushed.stderr);
    world.verify(":prod", &[]).exits(0);
    world.push("prod", &["--sequence", "9", "--version", "0.9.0"]).exits(8);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_declared_at_push_and_given_at_the_end() {
    let world = World::new().await;
    world.write("manifests/settings.yaml", &SETTINGS.replace("blue", "the ${COLOUR} one"));
    let undeclared = world.push("prod", &["--var", "SIZE:int"]).exits(5);
    undeclared.says(&["${SIZE} is declared and stands nowhere in the manifests"]);
    world.push("prod", &["--var", "COLOUR"]).exits(0);
    world.verify(":prod", &[]).exits(3).says(&["BadParameter: parameter COLOUR: has no value and no default"]);
    let with = world.verify(":prod", &["--set", "COLOUR=crimson"]).exits(0);
    assert!(with.stdout.contains("pass         parameters         1 declared"), "{}", with.stdout);
    assert!(!with.stdout.contains("crimson"), "values are no evidence");
    world.push("prod", &["--var", "COLOUR", "--var", "COLOUR=x"]).exits(2).says(&["COLOUR is declared twice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn source_date_epoch_dates_the_artifact_and_nothing_else_does() {
    let world = World::new().await;
    let at = |epoch: Option<&str>, tag: &str| {
        let to = world.oci(&format!(":{tag}"));
        let mut command = world.command(&["push", &to, "-f", "manifests", "--key", "cosign.key", "-o", "json"]);
        let output = command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch))).output().unwrap();
        let shown = world.run(&["inspect", &to, "-o", "json"]);
        (output.status.code(), shown.code, shown)
    };
    let (_, _, shown) = at(Some("1700000000"), "dated");
    assert_eq!(shown.json()["manifest"]["annotations"]["org.opencontainers.image.created"], "2023-11-14T22:13:20Z");
    let (_, _, shown) = at(None, "undated");
    assert!(shown.json()["manifest"].get("annotations").is_none());
    let (code, found, _) = at(Some("yesterday"), "never");
    assert_eq!((code, found), (Some(5), 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_job_shows_errors_beside_the_line_and_verdicts_in_its_summary() {
    let world = World::new().await;
    let github = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", world.path("summary"));
        Run::of(command.output().unwrap())
    };
    world.write("manifests/bad.yaml", "apiVersion: v1\nkind: Pod\n");
    let prod = world.oci(":prod");
    let bad = github(&["push", &prod, "-f", "manifests", "--key", "cosign.key"]).exits(5);
    bad.says(&["\n::error file=manifests/bad.yaml,line=1,title="]);
    world.run(&["push", &prod, "-f", "manifests/bad.yaml", "--key", "cosign.key"]).exits(5);
    std::fs::remove_file(world.path("manifests/bad.yaml")).unwrap();
    world.push("prod", &[]).exits(0);
    let verify = ["verify", &prod, "--policy", "policy.yaml"];
    github(&verify).exits(0);
    github(&[&verify[..], &["--env", "stage"]].concat()).exits(3).says(&["\n::error title=", "::WrongEnvironment: "]);
    let summary = world.scrub(&world.read("summary"));
    for line in [
        "### Accepted `REGISTRY/acme/shop@sha256:…`\n",
        "### Refused `REGISTRY/acme/shop@sha256:…`: WrongEnvironment\n",
        "| environment | `",
    ] {
        assert!(summary.contains(line), "{line:?} is missing from\n{summary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_asks_for_nothing_twice() {
    // cold and warm: with the referrers API, and with the fallback tag that stands in for it
    for (referrers_api, expected) in [(true, [16, 14]), (false, [19, 17])] {
        let options = ServerOptions { referrers_api, ..ServerOptions::default() };
        let world = World::with(options).await;
        for expected in expected {
            let before = world.registry.requests();
            world.push("prod", &[]).exits(0);
            let asked = world.registry.requests().since(&before);
            assert_eq!(asked.total(), expected, "referrers API {referrers_api}: {asked:?}");
            assert_eq!(asked.get("HEAD", "blob"), 2, "the layer and the empty config, once: {asked:?}");
        }
    }
}
