//! What an artifact holds: manifest, layer, objects. Read here for every command that looks into one; whether it may be
//! believed is for [`judge`](crate::judge) to say.

use sealift_registry::{fetch, store::Store};
use sealift_verify::{
    artifact::{Descriptor, Format, Limits, Manifest, ManifestError},
    layer::{self, ContentError, LayerError, Unpacked},
    objects::Objects,
    reference::Pinned,
};

use crate::{
    exit::Exit,
    failure::{Failure, usage},
};

/// An artifact taken apart.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) head: Head,
    /// How many files it holds.
    pub(crate) files: usize,
    /// Its sets of objects, each with its variant where there are some.
    pub(crate) sets: Vec<Set>,
}

/// A set of objects, or what is made of one, with the variant that it is.
pub(crate) type Set<T = Objects> = (Option<String>, T);

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

    /// Takes the layer apart; of its variants one, if that is named.
    pub(crate) fn open(self, bytes: &[u8], limits: &Limits, variant: Option<&str>) -> Result<Packed, Failure> {
        let unpacked =
            layer::unpack(bytes, self.format, limits).map_err(|error| PackedError::Layer(self.place.clone(), error))?;
        let sets = sets(&unpacked, self.format, limits, variant)
            .map_err(|error| PackedError::Content(self.place.clone(), error))?;
        Ok(Packed { files: unpacked.files.len(), head: self, sets })
    }
}

fn sets(unpacked: &Unpacked, format: Format, limits: &Limits, wanted: Option<&str>) -> Result<Vec<Set>, ContentError> {
    let variants = layer::variants(unpacked, format)?;
    if let Some(unknown) = wanted.filter(|name| !variants.contains_key(*name)) {
        return Err(ContentError::Unknown(unknown.to_owned()));
    }
    if variants.is_empty() {
        return Ok(vec![(None, layer::objects(unpacked, format, limits)?)]);
    }
    let names = variants.into_keys().filter(|name| wanted.is_none_or(|wanted| name == wanted));
    let read = names.map(|name| Ok((Some(name.clone()), layer::variant_objects(unpacked, &name, limits)?)));
    read.collect()
}

/// The one set there is, or the one that was asked for.
pub(crate) fn only<T>(sets: &[Set<T>]) -> Result<&T, Failure> {
    match sets {
        [(_, one)] => Ok(one),
        several => {
            let names: Vec<_> = several.iter().filter_map(|(name, _)| name.as_deref()).collect();
            let error = usage(format!("the release has the variants {}", names.join(", ")));
            Err(error.hint("name the one that is meant with --variant"))
        }
    }
}
