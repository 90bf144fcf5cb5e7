//! `sealift bootstrap` against whoever holds the registry, the file that is carried, a tenant's key, or another platform's key:
//! each is refused before the first write, on an empty cluster and on one that delivers already.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{fs, io::Read as _, path::Path};

use sealift_e2e::{Attacker, ControlPlane, KeyPair, Output, Platform};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};
use tar::{Archive, Builder, EntryType, Header};

const NAMESPACE: &str = "sealift-system";
const POLICY: &str = "platform/policy.yaml";

/// One file of a tar, or what pretends to be one.
struct Entry {
    kind: EntryType,
    name: String,
    /// Its content, or where a link leads.
    content: Vec<u8>,
}

fn read(path: &Path) -> Vec<Entry> {
    let mut archive = Archive::new(fs::File::open(path).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let (kind, name) = (entry.header().entry_type(), entry.path().unwrap().display().to_string());
        let mut content = vec![];
        entry.read_to_end(&mut content).unwrap();
        Entry { kind, name, content }
    });
    entries.collect()
}

/// Names as they are given, which a careful writer would not write.
fn written(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Builder::new(vec![]);
    for Entry { kind, name, content } in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        let content = match kind {
            EntryType::Symlink => {
                header.set_link_name(String::from_utf8_lossy(content).as_ref()).unwrap();
                &[][..]
            }
            _ => content,
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap()
}

struct Site<'a> {
    control_plane: &'a ControlPlane,
    platform: &'a Platform,
    attacker: Attacker,
}

impl Site<'_> {
    fn push(&self, tag: &str, folders: &[&str], key: &KeyPair, more: &[&str]) -> Digest {
        let to = format!("oci://{}:{tag}", self.platform.repository());
        let key = key.private().display().to_string();
        let folders = folders.iter().flat_map(|folder| ["-f", folder]);
        let words = ["push", &to, "--key", &key, "--env", "prod", "-q"];
        let words: Vec<&str> = words.into_iter().chain(folders).chain(more.iter().copied()).collect();
        self.platform.cli.run(&words).digest()
    }

    fn bootstrap(&self, reference: &str, policies: &[&str], more: &[&str]) -> Output {
        let repository = self.platform.repository();
        let policies = policies.iter().flat_map(|policy| ["--policy", policy]);
        let words: Vec<&str> = ["bootstrap", reference, "--as", &repository]
            .into_iter()
            .chain(policies)
            .chain(more.iter().copied())
            .collect();
        self.platform.cli.run(&words)
    }

    fn by_tag(&self, tag: &str, policies: &[&str]) -> Output {
        self.bootstrap(&format!("oci://{}:{tag}", self.platform.repository()), policies, &[])
    }

    /// A tag's artifact as somebody changes it, with the signatures of the one before.
    async fn forged(&self, tag: &str, change: impl FnOnce(&mut Value)) {
        let signed = self.attacker.digest(tag).await;
        let forged = self.attacker.replace_manifest(tag, change).await;
        self.attacker.copy_referrers(signed, forged).await;
    }

    fn kubectl(&self, words: &[&str]) -> String {
        self.control_plane.kubectl(words).unwrap_or_else(|error| panic!("{error}"))
    }

    fn assert_untouched(&self) {
        let left = self.kubectl(&["get", "crd,namespace,clusterrole,clusterrolebinding", "-o", "name"]);
        assert!(!left.contains("sealift"), "{left}");
    }

    /// What the cluster trusts and runs.
    fn state(&self) -> String {
        self.kubectl(&["get", "signaturepolicies,acceptedreleases,deliveries,deployments", "-A", "-o", "yaml"])
    }
}

fn assert_says(what: &str, output: &Output, code: i32, says: &str) {
    let Output { stdout, stderr, .. } = output;
    assert!(output.code == code && stderr.contains(says), "{what}: {} {stdout}{stderr}", output.code);
    assert!(code == 0 || stdout.is_empty() && stderr.contains("hint: "), "{what}: {stdout}{stderr}");
}

/// Who holds the registry or a tenant's key, and no key of the platform.
async fn what_others_made_is_refused(site: &Site<'_>, stranger: &KeyPair) {
    let Site { platform, attacker, .. } = site;
    let (own, tenant) = (&platform.key, KeyPair::generate(&platform.cli, "tenant"));
    platform.policy("tenants.yaml", &[&tenant], |policy| {
        policy["metadata"]["name"] = json!("tenants");
        policy["spec"]["match"] = json!({"repositories": [format!("{}/tenants/**", platform.host())]});
    });
    platform.policy("strange/policy.yaml", &[stranger], |_| {});
    let strange = site.push("strange", &["whole", "strange"], stranger, &[]);
    let strange = attacker.manifest(&strange.to_string()).await["layers"][0].clone();
    for tag in ["good", "swapped", "longer"] {
        site.push(tag, &["whole", "platform"], own, &["--annotation", &format!("case={tag}")]);
    }
    site.forged("swapped", |manifest| manifest["layers"][0] = strange.clone()).await;
    site.forged("longer", |manifest| manifest["layers"].as_array_mut().unwrap().push(strange.clone())).await;
    site.push("tenant", &["whole", "platform"], &tenant, &[]);
    platform.manifests("twins", |text| match text.rsplit_once("\n---\n") {
        Some((_, delivery)) if delivery.contains("kind: Delivery\nmetadata:") => {
            format!("{text}\n---\n{}", delivery.replace("\n  name: sealift\n", "\n  name: twin\n"))
        }
        _ => text.to_owned(),
    });
    site.push("twins", &["twins", "platform"], own, &[]);

    for (what, tag, policies, code, says) in [
        ("a layer with another policy", "swapped", &[POLICY][..], 3, "error: DigestMismatch: the signed subject"),
        ("one more layer", "longer", &[POLICY], 3, "error: BadManifest:"),
        ("by a tenant's key", "tenant", &[POLICY, "tenants.yaml"], 3, "error: NoTrustedSignature:"),
        ("by a tenant's policy alone", "tenant", &["tenants.yaml"], 3, "error: NoPolicy:"),
        ("two Deliveries of itself", "twins", &[POLICY], 5, "two Deliveries of itself"),
    ] {
        let output = site.by_tag(tag, policies);
        assert_says(what, &output, code, says);
    }
    let status = site.platform.cli.run(&["status"]);
    assert_says("status without Sealift", &status, 6, "is Sealift installed in this cluster?");
    site.assert_untouched();
}

/// Who carries the file.
fn what_was_carried_wrongly_is_refused(site: &Site<'_>, layer: &Digest) {
    let cli = &site.platform.cli;
    cli.succeed(&["copy", &format!("oci://{}:good", site.platform.repository()), "good.tar", "-q"]);
    let good = site.platform.path("good.tar");
    let own = format!("blobs/sha256/{}", layer.hex());
    let victim = cli.write("victim", "the victim's own").display().to_string();
    let changed = |change: &dyn Fn(&mut Entry)| {
        let mut entries = read(&good);
        entries.iter_mut().filter(|entry| entry.name == own).for_each(change);
        entries
    };
    let linked = |entry: &mut Entry| (entry.kind, entry.content) = (EntryType::Symlink, victim.clone().into_bytes());
    let mut twice = read(&good);
    twice.extend(read(&good).into_iter().filter(|entry| entry.name == "index.json"));
    let cut = fs::read(&good).unwrap();
    for (what, tar, code, says) in [
        ("a layer of other bytes", written(&changed(&|entry| entry.content.reverse())), 3, "error: DigestMismatch:"),
        ("a link where the layer was", written(&changed(&linked)), 6, "does not exist"),
        (
            "a layer above the folder",
            written(&changed(&|entry| entry.name = format!("../../{own}"))),
            6,
            "does not exist",
        ),
        ("two indexes", written(&twice), 5, "or holds one name twice"),
        ("half a file", cut[..cut.len() / 2].to_vec(), 5, "it is cut short"),
        ("an empty file", vec![], 6, "does not exist"),
    ] {
        cli.write("carried.tar", tar);
        let output = site.bootstrap("carried.tar:good", &[POLICY], &[]);
        assert_says(what, &output, code, says);
    }
    // What does not belong to a layout is passed over, wherever its name leads.
    let mut entries = read(&good);
    for name in ["../outside", "/outside"] {
        entries.push(Entry { kind: EntryType::Regular, name: name.to_owned(), content: b"x".to_vec() });
    }
    entries.push(Entry { kind: EntryType::Symlink, name: "blobs".to_owned(), content: b"/tmp".to_vec() });
    cli.write("deep/carried.tar", written(&entries));
    let output = site.bootstrap("deep/carried.tar:good", &[POLICY], &["--dry-run"]);
    assert_says("names that lead elsewhere", &output, 0, "by the policies that the cluster will have");
    assert!(!site.platform.path("outside").exists() && !Path::new("/outside").exists());
    assert_eq!(fs::read(victim).unwrap(), b"the victim's own");
    site.assert_untouched();
}

/// A cluster that delivers already does not change hands, nor go back, by a command that somebody aims at it.
async fn a_cluster_that_delivers_stays_as_it_is(site: &Site<'_>, stranger: &KeyPair) {
    let platform = site.platform;
    site.push("older", &["whole", "platform"], &platform.key, &["--version", "1.0.0"]);
    let newer = site.push("newer", &["whole", "platform"], &platform.key, &["--version", "1.1.0"]);
    site.push("taking", &["whole", "strange"], stranger, &["--version", "2.0.0"]);
    assert_says("the first time", &site.by_tag("newer", &[POLICY]), 0, "applied ");
    let before = site.state();
    let by_stranger = site.by_tag("taking", &["strange/policy.yaml"]);
    let says = "error: NoTrustedSignature: by the policies that are in the cluster now";
    assert_says("another platform", &by_stranger, 3, says);
    assert!(by_stranger.stderr.contains("--context"), "{}", by_stranger.stderr);
    assert_says("what is older", &site.by_tag("older", &[POLICY]), 3, "error: RolledBack:");
    assert_eq!(site.state(), before);

    // The record is lost, but the Delivery says what it has applied.
    let record = site.kubectl(&["get", "acceptedreleases", "-o", "json"]);
    let record: Value = serde_json::from_str(&record).unwrap();
    let position = &record["items"][0]["spec"]["marks"][0]["position"];
    let status = json!({"status": {"lastApplied": {
        "digest": newer, "short": &newer.hex()[..12], "objects": newer, "at": jiff::Timestamp::now(),
        "epoch": position["epoch"], "sequence": position["sequence"],
    }}});
    let patch = ["patch", "delivery", "sealift", "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p"];
    site.kubectl(&[&patch[..], &[&status.to_string()]].concat());
    site.kubectl(&["delete", "acceptedreleases", "--all"]);
    assert_says("what is older, without a record", &site.by_tag("older", &[POLICY]), 3, "error: RolledBack:");

    // Who approves plans is not got round by a policy file without it.
    let approval = json!({"spec": {"release": {"approval": {"require": {"anyOf": ["key-0"]}}}}});
    site.kubectl(&["patch", "signaturepolicy", "platform", "--type=merge", "-p", &approval.to_string()]);
    site.push("later", &["whole", "platform"], &platform.key, &["--version", "1.2.0"]);
    let says = "a policy in the cluster demands that plans are approved";
    assert_says("what nobody approved", &site.by_tag("later", &[POLICY]), 3, says);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_platform_brings_a_cluster_to_anything() {
    let Some(control_plane) = ControlPlane::start() else { return };
    let platform = Platform::new();
    platform.aim(&control_plane);
    platform.manifests("whole", str::to_owned);
    platform.policy(POLICY, &[&platform.key], |_| {});
    let stranger = KeyPair::generate(&platform.cli, "stranger");
    let attacker = Attacker::at(&platform.repository());
    let site = Site { control_plane: &control_plane, platform: &platform, attacker };
    what_others_made_is_refused(&site, &stranger).await;
    let layer = site.attacker.manifest("good").await["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    what_was_carried_wrongly_is_refused(&site, &layer);
    a_cluster_that_delivers_stays_as_it_is(&site, &stranger).await;
}
