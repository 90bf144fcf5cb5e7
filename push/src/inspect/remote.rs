//! An artifact in a registry: manifest, content and signatures, all of it the registry's word.

use sealift_registry::{
    client::ClientError,
    fetch::{self, Legacy, Signatures},
    store::Store,
};
use sealift_verify::reference::Pinned;
use serde_json::{Value, json};

use super::{content::Content, signatures};
use crate::{
    failure::Failure,
    packed::{Head, Packed},
    table::plain,
};

/// What was found at a digest.
#[derive(Debug)]
pub(super) struct Artifact {
    /// Where it lies, as a person would name it.
    shown: String,
    head: Head,
    files: usize,
    pub(super) content: Content,
    signatures: Signatures,
    largest_bundle: u64,
}

pub(super) async fn fetch(client: &Store, reference: &Pinned) -> Result<Artifact, Failure> {
    let limits = *client.limits();
    let head = Head::fetch(client, reference).await?;
    let both: Result<_, ClientError> = tokio::try_join!(
        fetch::layer(client, &reference.repository, &head.layer),
        fetch::signatures(client, reference, &limits, Legacy::Included),
    );
    let (bytes, signatures) = both?;
    let Packed { head, files, objects } = head.open(&bytes, &limits)?;
    let shown = client.shown(reference);
    Ok(Artifact { shown, head, files, content: Content::new(objects), signatures, largest_bundle: limits.bundle })
}

impl Artifact {
    pub(super) fn text(&self) -> String {
        let Self { shown, head, files, content, signatures, largest_bundle } = self;
        let Head { place: reference, manifest, format, layer } = head;
        let name = format!("{format:?}").to_lowercase();
        let annotations = manifest.annotations.iter();
        let annotations: String = annotations.map(|(k, v)| format!("\n  {} = {}", plain(k), plain(v))).collect();
        format!(
            "{shown}\nformat: {name}, {files} files in {} bytes, {}\nlayer: {}\nannotations:{}\n{}\n{}",
            layer.size,
            layer.media_type,
            layer.digest,
            if annotations.is_empty() { " none" } else { &annotations },
            content.text(),
            signatures::text(signatures, reference, *largest_bundle),
        )
    }

    pub(super) fn json(&self) -> Value {
        let Self { shown, head, files, content, signatures, largest_bundle } = self;
        let Head { place: reference, manifest, format, layer } = head;
        let mut document = content.json();
        document["schema"] = json!("sealift.dev/inspect/v1");
        document["reference"] = json!(shown);
        document["digest"] = json!(reference.digest);
        document["format"] = json!(format);
        document["layer"] = json!(layer);
        document["files"] = json!(files);
        document["manifest"] = json!(manifest);
        document["unverified"] = signatures::json(signatures, reference, *largest_bundle);
        document
    }
}
