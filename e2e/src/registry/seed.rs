//! What whoever holds a registry's disk can put there, without asking the registry.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealift_verify::digest::Digest;
use serde_json::{Value, json};

use super::Registry;

impl Registry {
    /// Puts that many manifests into one repository of [`Registry::embedded`] and restarts it.
    ///
    /// # Panics
    /// Where its layout cannot be written.
    pub fn seed_manifests(&mut self, repository: &str, manifests: &[Vec<u8>]) {
        self.stop();
        let layout = self.layout();
        let index = layout.join("index.json");
        let bytes = fs::read(&index).unwrap_or_else(|error| panic!("{}: {error}", index.display()));
        let mut listed: Value = serde_json::from_slice(&bytes).expect("an index is JSON");
        let entries = listed["manifests"].as_array_mut().expect("an index has manifests");
        for bytes in manifests {
            let digest = Digest::of(bytes);
            let manifest: Value = serde_json::from_slice(bytes).expect("a manifest is JSON");
            write(&layout.join("blobs/sha256").join(digest.hex()), bytes);
            entries.push(json!({
                "mediaType": manifest["mediaType"], "digest": digest, "size": bytes.len(),
                "annotations": {"org.opencontainers.image.ref.name": format!("{repository}@{digest}")},
            }));
        }
        write(&index, listed.to_string().as_bytes());
        self.restart();
    }

    /// Makes a tag of [`Registry::distribution`] name this manifest, of whatever size.
    ///
    /// # Panics
    /// Where its storage cannot be written.
    pub fn seed_tag(&self, repository: &str, tag: &str, manifest: &[u8]) {
        let digest = Digest::of(manifest);
        let (hex, link) = (digest.hex(), digest.to_string());
        let root = self.storage().join("docker/registry/v2");
        let manifests: PathBuf = root.join("repositories").join(repository).join("_manifests");
        write(&root.join("blobs/sha256").join(&hex[..2]).join(&hex).join("data"), manifest);
        let tag = manifests.join("tags").join(tag);
        for place in
            [manifests.join("revisions/sha256").join(&hex), tag.join("index/sha256").join(&hex), tag.join("current")]
        {
            write(&place.join("link"), link.as_bytes());
        }
    }
}

fn write(path: &Path, bytes: &[u8]) {
    let folder = path.parent().expect("a file lies in a folder");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, bytes));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
