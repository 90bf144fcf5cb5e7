//! What an artifact holds: manifest, layer, objects. Read here for every command that looks into one; whether it may be
//! believed is for [`judge`](crate::judge) to say.

use sealift_registry::{fetch, store::Store};
use sealift_verify::{
    artifact::{Descriptor, Format, Limits, Manifest, ManifestError},
    layer::{self, ContentError, LayerError},
    objects::Objects,
    reference::Pinned,
};

use crate::{exit::Exit, failure::Failure};

/// An artifact taken apart.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) head: Head,
    /// How many files it holds.
    pub(crate) files: usize,
    pub(crate) objects: Objects,
}

/// Its manifest, and which layer has the content.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) place: Pinned,
    pub(crate) manifest: Manifest,
    pub(crate) format: Format,
    pub(crate) layer: Descriptor,
}

/// Why an artifact is no release.
#[derive(Debug, thiserror::Error)]
enum PackedError {
    #[error("BadManifest: {0} is not a release")]
    Manifest(Pinned, #[source] ManifestError),
    #[error("BadLayer: the layer of {0} cannot be unpacked")]
    Layer(Pinned, #[source] LayerError),
    #[error("BadLayer: the layer of {0} does not hold a release's objects")]
    Content(Pinned, #[source] ContentError),
}

impl From<PackedError> for Failure {
    fn from(error: PackedError) -> Self {
        Self::new(Exit::Refused, error).hint("sealift reads releases; `oras manifest fetch` shows any artifact")
    }
}

impl Head {
    pub(crate) async fn fetch(client: &Store, place: &Pinned) -> Result<Self, Failure> {
        Self::parse(place, &fetch::artifact(client, place).await?)
    }

    /// Reads a manifest as served.
    pub(crate) fn parse(place: &Pinned, manifest: &[u8]) -> Result<Self, Failure> {
        let failed = |error| PackedError::Manifest(place.clone(), error);
        let manifest = Manifest::parse(manifest, &place.digest).map_err(failed)?;
        let (layer, format) = manifest.content().map_err(failed)?;
        let layer = layer.clone();
        Ok(Self { place: place.clone(), format, layer, manifest })
    }

    /// Takes the layer apart.
    pub(crate) fn open(self, bytes: &[u8], limits: &Limits) -> Result<Packed, Failure> {
        let unpacked =
            layer::unpack(bytes, self.format, limits).map_err(|error| PackedError::Layer(self.place.clone(), error))?;
        let objects = layer::objects(&unpacked, self.format, limits)
            .map_err(|error| PackedError::Content(self.place.clone(), error))?;
        Ok(Packed { files: unpacked.files.len(), head: self, objects })
    }
}
