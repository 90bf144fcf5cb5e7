//! The few fields of a manifest that a registry reads. It keeps and serves the bytes as they came.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{content_digest::ContentDigest, error::RegistryError};

const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// A manifest as the catalogue remembers it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) size: u64,
    pub(super) subject: Option<ContentDigest>,
    pub(super) artifact_type: Option<String>,
    annotations: Option<Map<String, Value>>,
    /// The blobs it names: config and layers.
    pub(super) blobs: Vec<ContentDigest>,
    /// The manifests it names, if it is an index, with their media types.
    pub(super) children: Vec<(ContentDigest, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    media_type: Option<String>,
    artifact_type: Option<String>,
    subject: Option<WireDescriptor>,
    config: Option<WireDescriptor>,
    #[serde(default)]
    layers: Vec<WireDescriptor>,
    #[serde(default)]
    manifests: Vec<WireDescriptor>,
    annotations: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDescriptor {
    media_type: String,
    digest: String,
}

impl Manifest {
    /// Reads `bytes`, sent with `content_type` (may be empty).
    ///
    /// What it names need not be there: copies that leave platforms out are legitimate, and readers check what they
    /// fetch.
    pub(super) fn read(content_type: &str, bytes: &[u8]) -> Result<Self, RegistryError> {
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|_| RegistryError::ManifestInvalid("not a JSON manifest"))?;
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = match wire.media_type.as_deref() {
            Some(inner) if content_type.is_empty() || content_type == inner => inner,
            Some(_) => return Err(RegistryError::ManifestInvalid("mediaType and Content-Type differ")),
            None if content_type.is_empty() => return Err(RegistryError::ManifestInvalid("no media type")),
            None => content_type,
        };
        let digest = |descriptor: &WireDescriptor| {
            ContentDigest::parse(&descriptor.digest)
                .ok_or(RegistryError::ManifestInvalid("a descriptor has no valid digest"))
        };
        let is_index = INDEX_TYPES.contains(&media_type);
        let config_type = wire.config.as_ref().filter(|_| !is_index).map(|config| config.media_type.clone());
        Ok(Self {
            media_type: media_type.to_owned(),
            size: bytes.len() as u64,
            subject: wire.subject.as_ref().map(digest).transpose()?,
            artifact_type: wire.artifact_type.filter(|kind| !kind.is_empty()).or(config_type),
            annotations: wire.annotations,
            blobs: wire.config.iter().chain(&wire.layers).map(digest).collect::<Result<_, _>>()?,
            children: wire
                .manifests
                .iter()
                .map(|child| Ok((digest(child)?, child.media_type.clone())))
                .collect::<Result<_, RegistryError>>()?,
        })
    }

    /// The descriptor under which the referrers API lists this manifest.
    pub(super) fn referrer_descriptor(&self, digest: &ContentDigest) -> Value {
        let mut descriptor = json!({"mediaType": self.media_type, "digest": digest.to_string(), "size": self.size});
        if let Some(kind) = &self.artifact_type {
            descriptor["artifactType"] = json!(kind);
        }
        if let Some(annotations) = &self.annotations {
            descriptor["annotations"] = json!(annotations);
        }
        descriptor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

    #[test]
    fn takes_the_artifact_type_from_the_config_of_an_image_only() {
        let config = json!({"mediaType": "text/x", "digest": format!("sha256:{}", "a".repeat(64)), "size": 1});
        let bytes = json!({"schemaVersion": 2, "config": config}).to_string();
        let read = |kind| Manifest::read(kind, bytes.as_bytes()).unwrap().artifact_type;
        assert_eq!(read(IMAGE).as_deref(), Some("text/x"));
        assert_eq!(read(INDEX_TYPES[0]), None);
    }

    #[test]
    fn refuses_what_is_no_manifest() {
        let cases: [(&str, &[u8]); 5] = [
            (IMAGE, b"not json"),
            (IMAGE, b"[]"),
            ("", b"{}"),
            ("text/plain", br#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#),
            (IMAGE, br#"{"layers":[{"mediaType":"x","digest":"sha256:00","size":1}]}"#),
        ];
        for (content_type, bytes) in cases {
            assert!(Manifest::read(content_type, bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
