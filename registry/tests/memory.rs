//! What whoever writes a registry or a layout can make its reader hold: the text is small, and parsed JSON is not.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "allowed in tests, and the fake registry is that of the client's tests"
)]
#![cfg(target_os = "linux")]

#[path = "client/fake.rs"]
mod fake;

use std::fs;

use sealift_registry::{
    client::{Client, ClientConfig, Timeouts},
    store::{Layout, Location},
};
use sealift_verify::digest::Digest;

use crate::fake::{Fake, reply};

/// For answers of 4 MiB, twice, an index as large, and what is needed to read them.
const MOST: usize = 120 << 20;

/// A line of what the kernel says of this process, in bytes.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Lists that hold nothing, and as many objects as fit into the size.
fn bomb(size: usize) -> Vec<u8> {
    let mut text = b"{\"manifests\":[{\"\":0}".to_vec();
    while text.len() < size - 16 {
        text.extend_from_slice(b",{\"\":0}");
    }
    text.extend_from_slice(b"]}");
    text
}

#[tokio::test]
async fn a_list_of_manifests_is_not_a_bomb() {
    let index = bytes::Bytes::from(bomb(4 << 20));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(folder.path().join("index.json"), bomb(4 << 20)).unwrap();
    let layout = Location::Folder(folder.path().to_owned());
    let layout = Layout::at(&layout, &ClientConfig::default()).unwrap().unwrap();
    let registry =
        Fake::start(move |_| reply(200, &[("content-type", "application/vnd.oci.image.index.v1+json")], index.clone()));
    let registry = registry.await;
    let config = ClientConfig { timeouts: Timeouts::default(), ..registry.config() };
    let client = Client::new(&registry.host, config).unwrap();
    let before = status("VmRSS");
    let found = client.referrers(&registry.repository().pin(Digest::of(b"x")), 64).await.unwrap();
    assert!(found.descriptors.is_empty() && found.unreadable > 1_000_000, "{}", found.unreadable);
    let error = layout.resolve(&registry.repository(), "v1").await.unwrap_err();
    assert!(sealift_verify::chain(&error).contains("more than 10000 entries"), "{error:?}");
    let grown = status("VmHWM").saturating_sub(before);
    assert!(grown < MOST, "{} MiB", grown >> 20);
}
