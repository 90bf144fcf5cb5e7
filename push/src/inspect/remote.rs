//! An artifact in a registry: manifest, content and signatures, all of it the registry's word.

use sealift_registry::{
    client::{Client, ClientError},
    fetch::{self, Legacy, Signatures},
};
use sealift_verify::{
    artifact::{Descriptor, Format, Manifest, ManifestError},
    layer::{self, ContentError, LayerError},
    reference::Pinned,
};
use serde_json::{Value, json};

use super::{content::Content, signatures};
use crate::{exit::Exit, failure::Failure, table::plain};

/// What was found at a digest.
#[derive(Debug)]
pub(super) struct Artifact {
    reference: Pinned,
    manifest: Manifest,
    format: Format,
    layer: Descriptor,
    files: usize,
    pub(super) content: Content,
    signatures: Signatures,
    largest_bundle: u64,
}

/// Why an artifact is no release.
#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("BadManifest: {0} is not a release")]
    Manifest(Pinned, #[source] ManifestError),
    #[error("BadLayer: the layer of {0} cannot be unpacked")]
    Layer(Pinned, #[source] LayerError),
    #[error("BadLayer: the layer of {0} does not hold a release's objects")]
    Content(Pinned, #[source] ContentError),
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        Self::new(Exit::Refused, error).hint("sealift shows releases; `oras manifest fetch` shows any artifact")
    }
}

pub(super) async fn fetch(client: &Client, reference: &Pinned) -> Result<Artifact, Failure> {
    let limits = *client.limits();
    let at = || reference.clone();
    let bytes = fetch::artifact(client, reference).await?;
    let manifest = Manifest::parse(&bytes, &reference.digest).map_err(|error| InspectError::Manifest(at(), error))?;
    let (descriptor, format) = manifest.content().map_err(|error| InspectError::Manifest(at(), error))?;
    let descriptor = descriptor.clone();
    let both: Result<_, ClientError> = tokio::try_join!(
        fetch::layer(client, &reference.repository, &descriptor),
        fetch::signatures(client, reference, &limits, Legacy::Included),
    );
    let (bytes, signatures) = both?;
    let unpacked = layer::unpack(&bytes, format, &limits).map_err(|error| InspectError::Layer(at(), error))?;
    let objects = layer::objects(&unpacked, format, &limits).map_err(|error| InspectError::Content(at(), error))?;
    Ok(Artifact {
        reference: reference.clone(),
        manifest,
        format,
        layer: descriptor,
        files: unpacked.files.len(),
        content: Content::new(objects),
        signatures,
        largest_bundle: limits.bundle,
    })
}

impl Artifact {
    pub(super) fn text(&self) -> String {
        let Self { reference, manifest, format, layer, files, content, signatures, largest_bundle } = self;
        let name = format!("{format:?}").to_lowercase();
        let annotations = manifest.annotations.iter();
        let annotations: String = annotations.map(|(k, v)| format!("\n  {} = {}", plain(k), plain(v))).collect();
        format!(
            "{reference}\nformat: {name}, {files} files in {} bytes, {}\nlayer: {}\nannotations:{}\n{}\n{}",
            layer.size,
            layer.media_type,
            layer.digest,
            if annotations.is_empty() { " none" } else { &annotations },
            content.text(),
            signatures::text(signatures, reference, *largest_bundle),
        )
    }

    pub(super) fn json(&self) -> Value {
        let Self { reference, manifest, format, layer, files, content, signatures, largest_bundle } = self;
        let mut document = content.json();
        document["schema"] = json!("sealift.dev/inspect/v1");
        document["reference"] = json!(reference.to_string());
        document["digest"] = json!(reference.digest);
        document["format"] = json!(format);
        document["layer"] = json!(layer);
        document["files"] = json!(files);
        document["manifest"] = json!(manifest);
        document["unverified"] = signatures::json(signatures, reference, *largest_bundle);
        document
    }
}
