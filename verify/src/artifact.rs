//! OCI artifacts: media types, descriptors, manifests, limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Media type of an OCI image manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of the empty config, whose content is `{}`.
pub const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
/// Media type of a tar layer compressed with zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Media type of a tar layer compressed with gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Artifact type of a Sealift release.
pub const RELEASE: &str = "application/vnd.sealift.release.v1";
/// Config media type of a Flux artifact.
pub const FLUX_CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";
/// Layer media type of a Flux artifact.
pub const FLUX_LAYER: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";
/// Media type, and artifact type, of a Sigstore bundle v0.3.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// How the content of an artifact is packed, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Canonical JSON, one file an object, tar+zstd: for Sealift's own readers.
    #[default]
    Sealift,
    /// YAML, tar+gzip, with the media types of Flux.
    Flux,
    /// YAML, tar+gzip, with plain OCI media types: for Argo CD and generic tools.
    Oci,
}

impl Format {
    /// Media type of the content layer.
    pub fn layer_media_type(self) -> &'static str {
        match self {
            Self::Sealift => LAYER_ZSTD,
            Self::Flux => FLUX_LAYER,
            Self::Oci => LAYER_GZIP,
        }
    }

    /// Media type of the config.
    pub fn config_media_type(self) -> &'static str {
        match self {
            Self::Sealift | Self::Oci => EMPTY_CONFIG,
            Self::Flux => FLUX_CONFIG,
        }
    }

    /// The format of a layer of this media type; `None` if Sealift does not read it.
    pub fn of_layer(media_type: &str) -> Option<Self> {
        match media_type {
            LAYER_ZSTD => Some(Self::Sealift),
            FLUX_LAYER => Some(Self::Flux),
            LAYER_GZIP => Some(Self::Oci),
            _ => None,
        }
    }
}

/// What bytes may cost before they are refused. All sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest manifest.
    pub manifest: u64,
    /// Largest compressed layer.
    pub compressed: u64,
    /// Largest expanded layer.
    pub expanded: u64,
    /// Largest expanded-to-compressed ratio, once 32 MiB have been expanded.
    pub ratio: u64,
    /// Most entries in a layer, and most objects in a release.
    pub entries: usize,
    /// Largest single file or document.
    pub file: u64,
    /// Deepest nesting of an object.
    pub depth: usize,
    /// Largest signature bundle.
    pub bundle: u64,
    /// Most signature candidates looked at in one attempt.
    pub candidates: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 << 20,
            compressed: 64 << 20,
            expanded: 256 << 20,
            ratio: 200,
            entries: 50_000,
            file: 16 << 20,
            depth: 100,
            bundle: 1 << 20,
            candidates: 64,
        }
    }
}

/// An OCI content descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Artifact type of the manifest described, in referrers lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations: hints, signed by nobody.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Describes `bytes` as content of `media_type`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// An OCI image manifest. Its digest is that of its bytes as served; never re-serialise one to hash it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u8,
    /// [`IMAGE_MANIFEST`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The layers; a release has one.
    pub layers: Vec<Descriptor>,
    /// The manifest this one is about, for referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Why bytes are not the manifest asked for.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes have another digest than the one asked for.
    #[error("the manifest served has digest {actual}, not {expected}")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What was served.
        actual: Digest,
    },
    /// The bytes are not an OCI image manifest.
    #[error("the manifest cannot be read as an OCI image manifest")]
    Json(#[source] serde_json::Error),
    /// An index, a Docker manifest or something else.
    #[error("the manifest has media type {0:?}, not that of an OCI image manifest")]
    MediaType(String),
    /// A release has exactly one layer of a media type Sealift reads.
    #[error("the artifact holds {found} layers that can be read, not one (layer media types: {media_types:?})")]
    Layers {
        /// How many can be read.
        found: usize,
        /// What there is.
        media_types: Vec<String>,
    },
}

impl Manifest {
    /// Reads `bytes` if, and only if, they have the digest asked for.
    ///
    /// # Errors
    /// [`ManifestError`] if the digest differs or the bytes are no OCI image manifest.
    pub fn parse(bytes: &[u8], expected: &Digest) -> Result<Self, ManifestError> {
        let actual = Digest::of(bytes);
        if actual != *expected {
            return Err(ManifestError::Digest { expected: *expected, actual });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        match manifest.media_type.as_deref() {
            None | Some(IMAGE_MANIFEST) if manifest.schema_version == 2 => Ok(manifest),
            other => Err(ManifestError::MediaType(other.unwrap_or_default().to_owned())),
        }
    }

    /// The one content layer.
    ///
    /// # Errors
    /// [`ManifestError::Layers`] if there is not exactly one that Sealift reads.
    pub fn content(&self) -> Result<(&Descriptor, Format), ManifestError> {
        let readable = || self.layers.iter().filter_map(|l| Format::of_layer(&l.media_type).map(|f| (l, f)));
        match (readable().count(), readable().next()) {
            (1, Some(found)) if self.layers.len() == 1 => Ok(found),
            (found, _) => Err(ManifestError::Layers {
                found,
                media_types: self.layers.iter().map(|l| l.media_type.clone()).collect(),
            }),
        }
    }

    /// The bytes to upload; deterministic for equal content.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest holds only strings and numbers")
    }

    /// The manifest of a release with one `layer`, in the given format.
    pub fn release(format: Format, layer: Descriptor, annotations: BTreeMap<String, String>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(IMAGE_MANIFEST.to_owned()),
            artifact_type: (format == Format::Sealift).then(|| RELEASE.to_owned()),
            config: Descriptor::of(format.config_media_type(), b"{}"),
            layers: vec![layer],
            subject: None,
            annotations,
        }
    }

    /// The manifest of a referrer that carries one Sigstore bundle about `subject`.
    pub fn bundle(bundle: Descriptor, subject: Descriptor, annotations: BTreeMap<String, String>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(IMAGE_MANIFEST.to_owned()),
            artifact_type: Some(BUNDLE.to_owned()),
            config: Descriptor::of(EMPTY_CONFIG, b"{}"),
            layers: vec![bundle],
            subject: Some(subject),
            annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Manifest {
        Manifest::release(Format::Sealift, Descriptor::of(LAYER_ZSTD, b"layer"), BTreeMap::new())
    }

    #[test]
    fn refuses_a_manifest_whose_digest_differs() {
        let bytes = release().to_bytes();
        assert!(Manifest::parse(&bytes, &Digest::of(&bytes)).is_ok());
        let other = Digest::of(b"other");
        assert!(matches!(Manifest::parse(&bytes, &other), Err(ManifestError::Digest { .. })));
    }

    #[test]
    fn refuses_more_than_one_layer_and_unknown_layers() {
        let mut two = release();
        two.layers.push(two.layers[0].clone());
        assert!(matches!(two.content(), Err(ManifestError::Layers { found: 2, .. })));
        let mut unknown = release();
        unknown.layers[0].media_type = "text/plain".into();
        assert!(matches!(unknown.content(), Err(ManifestError::Layers { found: 0, .. })));
    }

    #[test]
    fn refuses_an_index() {
        let bytes = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","config":{"mediaType":"a","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
        assert!(matches!(Manifest::parse(bytes, &Digest::of(bytes)), Err(ManifestError::MediaType(_))));
    }
}
