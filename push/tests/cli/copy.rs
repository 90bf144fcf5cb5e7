//! `sealift copy`, and every command on what it made: folders and tar files, with the registry as the yardstick.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use sealift_e2e::{
    Tool,
    faulty::{Behaviour, Fault, FaultyRegistry, What},
};
use sealift_registry::{
    client::{ClientConfig, PutAs},
    server::ServerOptions,
};
use sealift_verify::digest::Digest;
use serde_json::Value;

use crate::support::World;

impl World {
    fn logical(&self) -> String {
        format!("{}/acme/shop", self.registry.addr)
    }

    /// The verdict's rows about a place read as the repository, and the exit code.
    fn verdict(&self, place: &str) -> (i32, Value) {
        let run = self.run(&[
            "verify",
            place,
            "--as",
            &self.logical(),
            "--policy",
            "policy.yaml",
            "--env",
            "prod",
            "-o",
            "json",
        ]);
        let record = run.json();
        (run.code, record["predicate"]["verificationResult"].clone())
    }
}

fn digest_of(run: &crate::support::Run) -> Digest {
    let (_, digest) = run.stdout.trim().rsplit_once('@').unwrap();
    digest.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_round_by_folder_and_tar_and_stays_what_it_is() {
    let world = World::new().await;
    let pushed = digest_of(&world.push("prod", &["--version", "1.0.0"]).exits(0));
    let logical = world.logical();
    let (source, policy) = (world.oci(":prod"), ["--policy", "policy.yaml", "--env", "prod"]);
    let expected = world.verdict(&source);
    assert_eq!(expected.0, 0);

    let run = |from: &str, to: &str| world.run(&[&["copy", from, to, "--as", &logical][..], &policy].concat()).exits(0);
    for (from, to) in [
        (source.as_str(), "oci-layout:layout"),
        ("oci-layout:layout:prod", "shop.tar"),
        ("shop.tar:prod", "oci-layout:sub/other"),
    ] {
        let copied = run(from, to);
        assert_eq!(digest_of(&copied), pushed, "{to}");
        assert!(copied.stderr.contains("every digest is right"), "{}", copied.stderr);
        assert!(copied.stderr.contains("the policy accepts what is there now"), "{}", copied.stderr);
        assert_eq!(world.verdict(&format!("{to}:prod")), expected, "{to}");
    }
    // Back into another registry, which is a mirror.
    let other = World::new().await;
    let mirror = other.oci("");
    assert_eq!(digest_of(&run("oci-layout:sub/other:prod", &mirror)), pushed);
    assert_eq!(world.verdict(&format!("{mirror}:prod")), expected);

    // The same again sends nothing and moves nothing.
    let again = world.run(&["copy", "shop.tar:prod", &mirror, "--as", &logical, "-o", "json"]).exits(0).json();
    assert_eq!(again["schema"], "sealift.dev/copy/v1");
    assert_eq!((&again["blobs"]["sent"], &again["tags"][0]["moved"]), (&Value::from(0), &Value::from(false)));
    assert_eq!(again["repository"], logical.as_str());
    let left: Vec<_> = fs::read_dir(world.folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "nothing waits any more: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_takes_a_layout() {
    let world = World::new().await;
    let logical = world.logical();
    for place in ["oci-layout:layout", "shop.tar"] {
        let tagged = format!("{place}:prod");
        let to = ["--as", logical.as_str()];
        let push = ["push", &tagged, "-f", "manifests", "--key", "cosign.key", "--env", "prod", "--version", "1.0.0"];
        let pushed = world.run(&[&push[..], &to].concat()).exits(0);
        let pinned = pushed.stdout.trim();
        assert!(pinned.ends_with(&digest_of(&pushed).to_string()) && !pinned.contains(&logical), "{pinned}");
        assert_eq!(world.verdict(&tagged).0, 0);

        let listed = world.run(&["list", place]).exits(0);
        assert!(listed.stdout.contains("prod") && listed.stdout.contains("1.0.0"), "{}", listed.stdout);
        assert!(world.run(&["inspect", &tagged]).exits(0).stdout.contains("Pod"));
        assert!(world.run(&["inspect", place]).exits(0).stdout.contains("1.0.0"));
        let out = format!("out-{}", place.len());
        world
            .run(&["pull", &tagged, "--as", &logical, "--policy", "policy.yaml", "--env", "prod", "--output-dir", &out])
            .exits(0);
        world.run(&["refresh", &tagged, "--key", "cosign.key", "--expires-in", "24h"]).exits(0);
        world
            .run(&["sign", pinned, "--as", &logical, "--key", "cosign.key", "--statement", statement_of(&pushed)])
            .exits(0);
        let tag = ["tag", pinned, "stable", "--as", &logical, "--policy", "policy.yaml", "--env", "prod"];
        world.run(&tag).exits(0);
        assert_eq!(world.verdict(&format!("{place}:stable")).0, 0);

        // Whoever judges or signs has to say what it stands for.
        let unnamed = world.run(&["verify", &tagged, "--policy", "policy.yaml"]).exits(2).silent();
        assert!(unnamed.stderr.contains("no name of its own") && unnamed.stderr.contains("--as"), "{}", unnamed.stderr);
        world.run(&["verify", &format!("{place}:gone"), "--as", &logical, "--policy", "policy.yaml"]).exits(6);
    }
}

fn statement_of(pushed: &crate::support::Run) -> &str {
    pushed.stderr.lines().find_map(|line| line.strip_prefix("statement ")).unwrap().trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_stands_for_another_repository_is_refused() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let logical = world.logical();
    world.run(&["copy", &world.oci(":prod"), "shop.tar"]).exits(0);
    let elsewhere = format!("oci://{}/acme/other", world.registry.addr);
    for arguments in [
        vec!["copy", "shop.tar:prod", &elsewhere],
        vec!["copy", "shop.tar:prod", "oci-layout:other", "--as", "registry.example/acme/other"],
    ] {
        let refused = world.run(&arguments).exits(3).silent();
        assert!(refused.stderr.contains("WrongRepository") && refused.stderr.contains(&logical), "{}", refused.stderr);
    }
    assert!(!world.path("other").exists(), "nothing was written");
    // A mirror that says whose it is, and a release that names both.
    world.run(&["copy", "shop.tar:prod", &elsewhere, "--as", &logical]).exits(0);
    let both = format!("{}/acme/both", world.registry.addr);
    world.push("both", &["--repository", &both]).exits(0);
    world.run(&["copy", &world.oci(":both"), &format!("oci://{both}")]).exits(0);
    // Two places without a name.
    world.run(&["copy", "shop.tar:prod", "oci-layout:x"]).exits(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_at_the_destination_is_not_moved_back() {
    let world = World::new().await;
    world.push("prod", &["--version", "1.0.0"]).exits(0);
    world.run(&["copy", &world.oci(":prod"), "old.tar"]).exits(0);
    world.write("manifests/settings.yaml", &crate::support::SETTINGS.replace("blue", "green"));
    world.push("prod", &["--version", "1.1.0"]).exits(0);
    let logical = world.logical();
    let run = world.run(&["copy", "old.tar:prod", &world.oci(""), "--as", &logical]).exits(8);
    assert!(run.stderr.contains("already names newer release"), "{}", run.stderr);
    assert!(world.verify(":prod", &["--env", "prod"]).exits(0).stdout.contains("1.1.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_is_gone_on_with_and_what_was_changed_is_refused() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    world.run(&["copy", &world.oci(":prod"), "oci-layout:whole"]).exits(0);
    let blobs = |name: &str| {
        let mut found: Vec<_> =
            fs::read_dir(world.path(name).join("blobs/sha256")).unwrap().flatten().map(|entry| entry.path()).collect();
        found.sort();
        found
    };
    // Cut: some blobs arrived, one of them in part, and nothing names them.
    fs::create_dir_all(world.path("cut/.sealift-registry")).unwrap();
    fs::create_dir_all(world.path("cut/blobs/sha256")).unwrap();
    let all = blobs("whole");
    for path in &all[..all.len() - 2] {
        fs::copy(path, world.path("cut/blobs/sha256").join(path.file_name().unwrap())).unwrap();
    }
    let logical = world.logical();
    let copied =
        world.run(&["copy", &world.oci(":prod"), "oci-layout:cut", "--as", &logical, "-o", "json"]).exits(0).json();
    assert!(copied["blobs"]["present"].as_u64().unwrap() >= 1, "{copied}");
    assert_eq!(world.verdict("oci-layout:cut:prod").0, 0);

    // Changed content is never copied on, and never accepted where it lies.
    for (number, path) in blobs("whole").into_iter().enumerate() {
        // What is there already would not be asked for.
        let bad = format!("bad-{number}");
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let run = world.run(&["copy", "oci-layout:whole:prod", &format!("oci-layout:{bad}"), "--as", &logical]);
        // A changed signature is no signature any more for a verdict; a copy leaves nothing out.
        assert_ne!(run.code, 0, "{path:?}: {}", run.stdout);
        assert!(!world.path(&bad).join("index.json").exists(), "nothing has a name there");
        fs::write(&path, before).unwrap();
    }
    world
        .run(&["copy", "oci-layout:whole:prod", "oci-layout:good", "--as", &logical, "--policy", "policy.yaml"])
        .exits(0);
}

/// A file of the layout in `folder`, by what it holds.
fn content(world: &World, folder: &str, digest: &str) -> std::path::PathBuf {
    world.path(folder).join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_at_the_destination_is_found_and_said() {
    let world = World::new().await;
    let pushed = digest_of(&world.push("prod", &[]).exits(0));
    let copy = |to: &str| world.run(&["copy", &world.oci(":prod"), to, "--as", &world.logical()]);
    let verify = |place: &str| world.run(&["verify", place, "--as", &world.logical(), "--policy", "policy.yaml"]);
    copy("oci-layout:there").exits(0);
    copy("there.tar").exits(0);
    let manifest: Value =
        serde_json::from_slice(&fs::read(content(&world, "there", &pushed.to_string())).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();

    // The same size and other bytes: whoever changed them, they are not written over without a word.
    for digest in [layer, &pushed.to_string()] {
        let path = content(&world, "there", digest);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let refused = copy("oci-layout:there").exits(3).silent();
        refused.says(&["oci-layout:there", digest, "treat the place as compromised or broken"]);
        verify("oci-layout:there:prod").exits(3);
        fs::remove_file(&path).unwrap();
        copy("oci-layout:there").exits(0);
        assert_eq!(fs::read(&path).unwrap(), whole, "what was taken away is brought again");
    }
    // Cut short, as where a disk was full: no name has to be taken away for that.
    let path = content(&world, "there", layer);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    copy("oci-layout:there").exits(0);
    assert_eq!(fs::read(&path).unwrap(), whole);
    verify("oci-layout:there:prod").exits(0);

    // In a tar the bytes stand where they were written.
    let mut tar = fs::read(world.path("there.tar")).unwrap();
    let at = tar.windows(whole.len()).position(|window| window == whole).unwrap();
    tar[at + whole.len() / 2] ^= 1;
    fs::write(world.path("there.tar"), tar).unwrap();
    copy("there.tar").exits(3).silent().says(&["oci-archive:there.tar", layer]);
    verify("there.tar:prod").exits(3);
}

/// Content so large that it goes in pieces, in an artifact of nobody in particular.
const LARGE: usize = 20 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_goes_on_where_it_was() {
    let world = World::new().await;
    let large: Vec<u8> = (0..LARGE).map(|at| (at >> 12) as u8).collect();
    let digest = Digest::of(&large);
    let path: &'static str = format!("/blobs/{digest}").leak();
    // The first two pieces arrive, and then nothing: twice, for a folder and for a tar.
    let silent = |spare| Fault { method: "GET", path, spare, times: 1, what: What::Silence };
    let source = FaultyRegistry::start(Behaviour { faults: vec![silent(2), silent(6)], ..Behaviour::default() });
    let repository = format!("{}/acme/large", source.host()).parse().unwrap();
    let client = sealift_registry::client::Client::new(source.host(), ClientConfig::default()).unwrap();
    let layer = client.push_blob(&repository, "application/octet-stream", large.into()).await.unwrap();
    let config = client.push_blob(&repository, "application/vnd.oci.empty.v1+json", "{}".into()).await.unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example", "config": config, "layers": [layer],
    });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    client.put_manifest(&repository, PutAs::Tag("a"), media_type, manifest.to_string().into()).await.unwrap();

    for (to, unfinished) in [("oci-layout:there", "there/.sealift-registry"), ("there.tar", ".there.tar.sealift")] {
        let (from, requests) = (format!("oci://{repository}:a"), source.count("GET", path));
        let copy = ["copy", &from, to, "-o", "json"];
        let mut killed = Served(world.command(&copy).stderr(Stdio::null()).spawn().unwrap());
        let partial = || partial(&world.path(unfinished), &format!("{}.partial", digest.hex()));
        wait_for(|| source.count("GET", path) == requests + 3 && partial() == Some(16 << 20));
        let _ = killed.0.kill();
        let _ = killed.0.wait();
        assert!(!world.path("there/index.json").exists() || to == "there.tar", "nothing has a name");
        assert!(!world.path("there.tar").exists());

        let copied = world.run(&copy).exits(0).json();
        assert!(copied["blobs"]["bytes"].as_u64().unwrap() <= (4 << 20) + 2, "{copied}");
        assert!(copied["readBackBytes"].as_u64().unwrap() > LARGE as u64, "{copied}");
        let asked: Vec<_> =
            source.seen().into_iter().filter(|seen| seen.path.ends_with(path) && seen.method == "GET").collect();
        let ranges: Vec<_> = asked[requests + 3..].iter().map(|seen| seen.headers["range"].to_str().unwrap()).collect();
        assert!(ranges[0].starts_with("bytes=16777216-"), "{ranges:?}");
        assert_eq!(partial(), None, "nothing is left over");
    }
}

/// How much of a blob has arrived: the folder may lie in another one that is named for it.
fn partial(folder: &std::path::Path, name: &str) -> Option<u64> {
    let found = fs::metadata(folder.join(name)).or_else(|_| fs::metadata(folder.join(".sealift-registry").join(name)));
    found.ok().map(|found| found.len())
}

fn wait_for(done: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        assert!(begun.elapsed().as_secs() < 120, "it did not come to that");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_blobs_go_in_pieces_and_indexes_go_whole() {
    let (Some(oras), world) = (Tool::find("oras"), World::new().await) else { return };
    let large = vec![7; 20 << 20];
    fs::write(world.path("large.bin"), large).unwrap();
    let host = world.registry.addr.to_string();
    let reference = |name: &str| format!("{host}/acme/{name}");
    let oras = |arguments: &[&str]| {
        let done = oras.command().current_dir(world.folder.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    oras(&["push", "--plain-http", &reference("large:a"), "large.bin"]);
    fs::write(world.path("small.txt"), "x").unwrap();
    oras(&["push", "--plain-http", &reference("large:b"), "small.txt"]);
    oras(&["manifest", "index", "create", "--plain-http", &reference("large:both"), "a", "b"]);
    for (from, to) in [
        (format!("oci://{}", reference("large:both")), "oci-layout:large".to_owned()),
        ("oci-layout:large:both".to_owned(), "large.tar".to_owned()),
        ("large.tar:both".to_owned(), format!("oci://{}", reference("back"))),
    ] {
        let repository = reference("large");
        let copied = world.run(&["copy", &from, &to, "--as", &repository, "-o", "json"]).exits(0).json();
        assert_eq!(copied["manifests"], 3, "{to}");
        assert!(copied["readBackBytes"].as_u64().unwrap() > 20 << 20, "{to}");
    }
    // oras reads what we wrote, and we read what it writes.
    oras(&["cp", "--from-oci-layout", "large:both", "--to-oci-layout", "theirs:both"]);
    world.run(&["copy", "oci-layout:theirs:both", "oci-layout:ours", "--as", "registry.example/large"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tools_read_what_a_copy_wrote_and_bring_it_on_with_its_signature() {
    let (Some(oras), Some(crane)) = (Tool::find("oras"), Tool::find("crane")) else { return };
    let world = World::new().await;
    let pushed = digest_of(&world.push("prod", &["--version", "1.0.0"]).exits(0));
    let expected = world.verdict(&world.oci(":prod"));
    world.run(&["copy", &world.oci(":prod"), "oci-layout:there"]).exits(0);
    world.run(&["copy", &world.oci(":prod"), "there.tar"]).exits(0);
    let run = |program: Command, arguments: &[&str]| {
        let mut program = program;
        let home = world.folder.path();
        let done = program.args(arguments).current_dir(home).env("HOME", home).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let host = world.registry.addr.to_string();
    for layout in ["there", "there.tar"] {
        let (tagged, to) = (format!("{layout}:prod"), format!("{host}/by-oras/{layout}:prod"));
        let resolved = run(oras.command(), &["resolve", "--oci-layout", &tagged]);
        assert_eq!(resolved.trim().parse(), Ok(pushed), "{layout}");
        let found = run(oras.command(), &["discover", "--oci-layout", &tagged, "--format", "json"]);
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["referrers"].as_array().unwrap().len(), 1, "{found:#}");
        run(oras.command(), &["cp", "-r", "--from-oci-layout", &tagged, "--to-plain-http", &to]);
        assert_eq!(world.verdict(&format!("oci://{to}")), expected, "{layout}");
    }
    // crane reads layouts in folders only, all that the index lists, and tar is tar.
    fs::create_dir(world.path("unpacked")).unwrap();
    run(Command::new("tar"), &["-xf", "there.tar", "-C", "unpacked"]);
    for layout in ["there", "unpacked"] {
        let to = format!("{host}/by-crane/{layout}");
        run(crane.command(), &["push", "--index", layout, &format!("{to}:all")]);
        assert_eq!(world.verdict(&format!("oci://{to}@{pushed}")), expected, "{layout}");
        let pulled = run(crane.command(), &["digest", &format!("{to}@{pushed}")]);
        assert_eq!(pulled.trim().parse(), Ok(pushed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_site_serves_what_was_copied_to_it() {
    let world = World::new().await;
    let pushed = digest_of(&world.push("prod", &["--version", "1.0.0"]).exits(0));
    let logical = world.logical();
    for layout in ["shop.tar", "shop"] {
        let place = if layout == "shop" { "oci-layout:shop" } else { layout };
        world.run(&["copy", &world.oci(":prod"), place]).exits(0);
        let serve = ["registry", "serve", "--layout", layout, "--as", &logical, "--listen", "127.0.0.1:0"];
        let mut served = Served(world.command(&serve).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(served.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let edge = format!("oci://{}/acme/shop", line.trim());
        assert_eq!(world.verdict(&format!("{edge}:prod")).0, 0);
        let copied = world.run(&["copy", &format!("{edge}:prod"), "back.tar", "--as", &logical]).exits(0);
        assert_eq!(digest_of(&copied), pushed);
        // It is never written to.
        let push = ["push", &format!("{edge}:next"), "--as", &logical, "-f", "manifests", "--key", "cosign.key"];
        assert_ne!(world.run(&push).code, 0);
    }
    world.run(&["registry", "serve", "--layout", "shop.tar"]).exits(2);
}

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_under_tags_of_their_own_are_copied_too() {
    let options = ServerOptions { referrers_api: false, ..ServerOptions::default() };
    let world = World::with(options).await;
    let pushed = digest_of(&world.push("prod", &[]).exits(0));
    // As cosign did it before referrers: a manifest under the digest's own tag.
    let host = world.registry.addr.to_string();
    let client = sealift_registry::client::Client::new(&host, ClientConfig::default()).unwrap();
    let repository = world.logical().parse().unwrap();
    let layer =
        client.push_blob(&repository, "application/vnd.dev.cosign.simplesigning.v1+json", "{}".into()).await.unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": layer, "layers": [layer],
    });
    let tag = format!("sha256-{}.sig", pushed.hex());
    let name = PutAs::Tag(&tag);
    client
        .put_manifest(&repository, name, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().into())
        .await
        .unwrap();

    let copied = world.run(&["copy", &world.oci(":prod"), "shop.tar", "-o", "json"]).exits(0).json();
    assert_eq!(copied["legacyTags"], serde_json::json!([tag]));
    assert_eq!(copied["referrers"], 1, "what the fallback tag lists");
    assert_eq!(world.verdict("shop.tar:prod").0, 0);
    // Into a registry that keeps no referrers either.
    let other = World::with(ServerOptions { referrers_api: false, ..ServerOptions::default() }).await;
    let mirror = other.oci("");
    world.run(&["copy", "shop.tar", &mirror, "--all-tags", "--as", &world.logical()]).exits(0);
    assert_eq!(world.verdict(&format!("{mirror}:prod")).0, 0);
    let tags = world.run(&["list", &mirror, "--all"]).exits(0);
    assert!(tags.stdout.contains(&tag), "{}", tags.stdout);
}
