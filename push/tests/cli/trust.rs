//! A trusted root comes from a TUF repository of this test's own, and only where all of its metadata verifies.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT};

use crate::support::{Run, World};

const LATER: &str = "2999-01-01T00:00:00Z";
const BEFORE: &str = "2020-01-01T00:00:00Z";

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A TUF repository with consistent snapshots, as Sigstore's is.
struct Tuf {
    files: Files,
    address: String,
    version: u64,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn key_id(key: &Ed25519KeyPair) -> String {
    hex(digest(&SHA256, key.public_key().as_ref()).as_ref())
}

/// What is signed: sorted keys, no space, and nothing escaped but quotes and backslashes.
fn canonical(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields =
                sorted.into_iter().map(|(key, value)| format!("{}:{}", canonical(&json!(key)), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn signed(value: &Value, keys: &[&Ed25519KeyPair]) -> Vec<u8> {
    let text = canonical(value);
    let signature =
        |key: &&Ed25519KeyPair| json!({"keyid": key_id(key), "sig": hex(key.sign(text.as_bytes()).as_ref())});
    json!({"signed": value, "signatures": keys.iter().map(signature).collect::<Vec<_>>()}).to_string().into_bytes()
}

/// Root metadata that trusts one key with everything.
fn root(version: u64, expires: &str, trusted: &Ed25519KeyPair, signers: &[&Ed25519KeyPair]) -> Vec<u8> {
    let id = key_id(trusted);
    let role = json!({"keyids": [id], "threshold": 1});
    let key =
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex(trusted.public_key().as_ref())}});
    let value = json!({
        "_type": "root", "spec_version": "1.0.31", "version": version, "expires": expires, "consistent_snapshot": true,
        "keys": {id: key}, "roles": {"root": role, "timestamp": role, "snapshot": role, "targets": role},
    });
    signed(&value, signers)
}

impl Tuf {
    fn new() -> Self {
        let files = Files::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::clone(&files);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = Arc::clone(&served);
                thread::spawn(move || serve(stream, &files));
            }
        });
        Self { files, address, version: 0 }
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(format!("/{name}"), bytes);
    }

    /// Publishes this as `trusted_root.json`, signed with a key, in a version above the last one.
    fn publish(&mut self, text: &str, key: &Ed25519KeyPair, expires: &str) {
        self.version += 1;
        self.publish_as(self.version, text, key, expires);
    }

    fn publish_as(&self, version: u64, text: &str, key: &Ed25519KeyPair, expires: &str) {
        let hash = hex(digest(&SHA256, text.as_bytes()).as_ref());
        let file =
            |bytes: &[u8]| json!({"length": bytes.len(), "hashes": {"sha256": hex(digest(&SHA256, bytes).as_ref())}});
        let head = |type_: &str, expires: &str| json!({"_type": type_, "spec_version": "1.0.31", "version": version, "expires": expires});
        let with = |mut value: Value, field: &str, content: Value| {
            value[field] = content;
            signed(&value, &[key])
        };
        let targets = with(head("targets", LATER), "targets", json!({"trusted_root.json": file(text.as_bytes())}));
        let snapshot = with(head("snapshot", LATER), "meta", json!({"targets.json": {"version": version}}));
        let timestamp = with(head("timestamp", expires), "meta", json!({"snapshot.json": {"version": version}}));
        self.put(&format!("targets/{hash}.trusted_root.json"), text.as_bytes().to_vec());
        self.put(&format!("{version}.targets.json"), targets);
        self.put(&format!("{version}.snapshot.json"), snapshot);
        self.put("timestamp.json", timestamp);
    }
}

fn serve(mut stream: TcpStream, files: &Files) {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&piece[..length]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let found = files.lock().unwrap().get(&path).cloned();
    let (status, body) = found.map_or((404, Vec::new()), |body| (200, body));
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn update(world: &World, tuf: &Tuf, more: &[&str]) -> Run {
    let words =
        ["trust", "update", "--name", "private", "--tuf", &tuf.address, "--root", "root.json", "-f", "root.yaml"];
    world.run(&[&words[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_root_is_fetched_across_a_rotation_and_written_as_a_document() {
    let world = World::new().await;
    let (old, new, mut tuf) = (key(1), key(2), Tuf::new());
    world.write("root.json", &String::from_utf8(root(1, LATER, &old, &[&old])).unwrap());
    tuf.put("1.root.json", root(1, LATER, &old, &[&old]));
    tuf.publish(SIGSTORE_PRODUCTION_TRUSTED_ROOT, &old, LATER);
    let made = update(&world, &tuf, &["-o", "json"]).exits(0);
    let document: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!((&document["outcome"], &document["rootVersion"]), (&json!("created"), &json!(1)), "{document}");
    let text = world.read("root.yaml");
    assert!(
        text.contains("kind: TrustRoot") && text.contains("name: private") && text.contains("fetchedAt: "),
        "{text}"
    );

    // Its keys are others by now, and it holds another root.
    tuf.put("2.root.json", root(2, LATER, &new, &[&old, &new]));
    tuf.publish(SIGSTORE_STAGING_TRUSTED_ROOT, &new, LATER);
    let changed = update(&world, &tuf, &[]).exits(0);
    assert!(
        changed.stderr.contains("root version 2") && changed.stderr.contains("changed   TrustRoot private"),
        "{}",
        changed.stderr
    );
    update(&world, &tuf, &[]).exits(0).says(&["unchanged"]);
    // What it writes is what policies are judged with, and what a release may hold.
    world.run(&["push", &world.oci(":trust"), "-f", "root.yaml", "--key", "cosign.key"]).exits(0);
    // Another document is not written over.
    world.write("root.yaml", "kind: ConfigMap\n");
    update(&world, &tuf, &[]).exits(5).silent().says(&["would be lost"]);
    assert_eq!(world.read("root.yaml"), "kind: ConfigMap\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_verify_is_refused_and_nothing_is_written() {
    let world = World::new().await;
    let (own, foreign) = (key(1), key(2));
    world.write("root.json", &String::from_utf8(root(1, LATER, &own, &[&own])).unwrap());
    let good = SIGSTORE_PRODUCTION_TRUSTED_ROOT;
    let fresh = |text: &str, key: &Ed25519KeyPair, expires: &str| {
        let mut tuf = Tuf::new();
        tuf.put("1.root.json", root(1, LATER, &own, &[&own]));
        tuf.publish(text, key, expires);
        tuf
    };
    let hash = hex(digest(&SHA256, good.as_bytes()).as_ref());
    let altered = fresh(good, &own, LATER);
    altered.put(&format!("targets/{hash}.trusted_root.json"), good.replacen('a', "b", 1).into_bytes());
    let usurped = fresh(good, &own, LATER);
    usurped.put("2.root.json", root(2, LATER, &foreign, &[&foreign]));
    let outdated = fresh(good, &own, LATER);
    outdated.put("2.root.json", root(2, BEFORE, &own, &[&own]));
    let mixed = fresh(good, &own, LATER);
    let elsewhere = fresh(good, &foreign, LATER);
    let timestamp = elsewhere.files.lock().unwrap()["/timestamp.json"].clone();
    mixed.put("timestamp.json", timestamp);
    let empty = Tuf::new();
    for (what, tuf, code) in [
        ("another key's metadata", fresh(good, &foreign, LATER), 3),
        ("an expired timestamp", fresh(good, &own, BEFORE), 3),
        ("a target that was altered", altered, 3),
        ("a root that the old root has not signed", usurped, 3),
        ("a root that has expired", outdated, 3),
        ("a timestamp by another key", mixed, 3),
        ("what is no trusted root", fresh("{}", &own, LATER), 3),
        ("no repository at all", empty, 3),
    ] {
        let run = update(&world, &tuf, &[]);
        assert_eq!(run.code, code, "{what}: {}", run.stderr);
        assert!(!world.path("root.yaml").exists() && run.stdout.is_empty(), "{what}");
    }
    update(&world, &fresh(good, &own, LATER), &["--target", "another.json"]).exits(6).silent();
    let mut nowhere = Tuf::new();
    nowhere.address = "http://127.0.0.1:1".to_owned();
    update(&world, &nowhere, &["--timeout", "1s"]).exits(4).silent().says(&["cannot be reached"]);
    let mut plain = Tuf::new();
    plain.address = "http://tuf.example".to_owned();
    update(&world, &plain, &[]).exits(2).silent().says(&["TLS"]);
    world.write("root.json", "{}");
    update(&world, &fresh(good, &own, LATER), &[]).exits(5).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_last_time_is_refused_where_a_cache_remembers_it() {
    let world = World::new().await;
    let (own, mut tuf) = (key(1), Tuf::new());
    world.write("root.json", &String::from_utf8(root(1, LATER, &own, &[&own])).unwrap());
    tuf.put("1.root.json", root(1, LATER, &own, &[&own]));
    tuf.publish(SIGSTORE_PRODUCTION_TRUSTED_ROOT, &own, LATER);
    tuf.publish(SIGSTORE_STAGING_TRUSTED_ROOT, &own, LATER);
    update(&world, &tuf, &["--cache", "cache"]).exits(0);
    update(&world, &tuf, &["--cache", "cache"]).exits(0).says(&["unchanged"]);
    tuf.publish_as(1, SIGSTORE_PRODUCTION_TRUSTED_ROOT, &own, LATER);
    update(&world, &tuf, &["--cache", "cache"]).exits(3).silent();
    update(&world, &tuf, &[]).exits(0).says(&["changed"]);
}
