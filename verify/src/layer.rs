//! The content layer: objects to one deterministic compressed tar, and back in memory.
//!
//! The same objects give the same bytes however the files they came from were laid out. Unpacking never touches a
//! disk and is bounded by [`Limits`]; what is unusual about an archive is refused rather than repaired.

mod compression;
mod place;
mod read;
mod variants;
mod write;

use std::collections::BTreeMap;

pub use self::{
    place::path,
    read::{File, LayerError, Unpacked, unpack},
    variants::{pack_variants, size, variant_objects, variants},
};
use crate::{
    artifact::{Descriptor, Format, Limits},
    digest::{Digest, Hasher},
    objects::{
        Object, Objects, Origin, canonical, emit, identity,
        yaml::{self, Problem, ReadError, Source},
    },
};

/// A packed layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The compressed bytes, as uploaded.
    pub bytes: Vec<u8>,
    /// What describes them in a manifest.
    pub descriptor: Descriptor,
    /// The digest of the tar; the compressed bytes also depend on the compressor's version.
    pub uncompressed: Digest,
    /// How many files the tar holds.
    pub files: usize,
}

/// Why objects could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// There is nothing to pack.
    #[error("there are no objects to pack")]
    Empty,
    /// Two objects whose files a file system that ignores case would confuse.
    #[error("the kinds of {first:?} and {second:?} differ only in case")]
    Case {
        /// The path of one.
        first: String,
        /// The path of the other.
        second: String,
    },
    /// The compressor failed.
    #[error("cannot compress the layer")]
    Compress(#[source] std::io::Error),
}

/// Why the files of a layer are not the objects of a release.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A file of a Sealift layer is not JSON.
    #[error("{file:?} is not JSON")]
    Json {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file of a Sealift layer is JSON, but not in its canonical form.
    #[error("{0:?} is not canonical JSON")]
    NotCanonical(String),
    /// A file of a Sealift layer is not an object.
    #[error("{file:?} is not an object")]
    NotAnObject {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        source: Problem,
    },
    /// A file of a Sealift layer lies elsewhere than its object belongs.
    #[error("{file:?} holds an object that belongs to {expected:?}")]
    Misplaced {
        /// Its path.
        file: String,
        /// The path of the object in it.
        expected: String,
    },
    /// A file of a Sealift layer nests too deep.
    #[error("{file:?} is nested deeper than {limit} levels")]
    TooDeep {
        /// Its path.
        file: String,
        /// The limit.
        limit: usize,
    },
    /// The YAML of a layer cannot be read, or objects are defined twice.
    #[error("the layer's manifests cannot be read: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Manifests(Vec<ReadError>),
    /// No file is an object.
    #[error("the layer holds no objects")]
    Empty,
    /// Variants, where one set of objects was to be read.
    #[error("the layer holds the variants {}, of which one has to be chosen", .0.join(", "))]
    Variants(Vec<String>),
    /// A file of no variant beside variants.
    #[error("{0:?} lies beside variants and belongs to none")]
    NoVariant(String),
    /// A variant that is not there.
    #[error("the layer holds no variant {0:?}")]
    Unknown(String),
}

/// Packs `objects` in the given format.
///
/// # Errors
/// [`PackError`] if there are none, or two cannot lie beside each other.
pub fn pack(objects: &Objects, format: Format) -> Result<Layer, PackError> {
    compressed(files(objects, format)?, format)
}

/// The files of a layer by path, one an object. No path leaves the folder it is put into.
///
/// # Errors
/// As of [`pack`].
pub fn files(objects: &Objects, format: Format) -> Result<BTreeMap<String, Vec<u8>>, PackError> {
    if objects.is_empty() {
        return Err(PackError::Empty);
    }
    let mut files = BTreeMap::new();
    let mut folded = BTreeMap::new();
    for object in objects {
        let (extension, bytes) = match format {
            Format::Sealift => ("json", canonical::to_vec(&object.value)),
            Format::Flux | Format::Oci => ("yaml", emit::to_yaml(&object.value).into_bytes()),
        };
        let path = place::with_extension(&object.id, extension);
        if let Some(first) = folded.insert(path.to_lowercase(), path.clone()) {
            return Err(PackError::Case { first, second: path });
        }
        files.insert(path, bytes);
    }
    Ok(files)
}

fn compressed(files: BTreeMap<String, Vec<u8>>, format: Format) -> Result<Layer, PackError> {
    let tar = write::tar(&files);
    let bytes = compression::compress(&tar, format).map_err(PackError::Compress)?;
    Ok(Layer {
        descriptor: Descriptor::of(format.layer_media_type(), &bytes),
        uncompressed: Digest::of(&tar),
        files: files.len(),
        bytes,
    })
}

/// Reads the objects of an unpacked layer.
///
/// A layer of variants is no set of objects; see [`variant_objects`].
///
/// In the format of Sealift every file has to be the canonical JSON of one object and lie where that object belongs.
/// In the others `.yaml`, `.yml` and `.json` files are read as kubectl reads them; other files are left alone.
///
/// # Errors
/// [`ContentError`], the first for Sealift's format, all of them for the others.
pub fn objects(unpacked: &Unpacked, format: Format, limits: &Limits) -> Result<Objects, ContentError> {
    match format {
        Format::Sealift => {
            let variants = variants(unpacked, format)?;
            if !variants.is_empty() {
                return Err(ContentError::Variants(variants.into_keys().collect()));
            }
            canonical_objects(unpacked.files.iter().map(|file| (file.path.as_str(), file)), limits)
        }
        Format::Flux | Format::Oci => {
            let manifests = unpacked.files.iter().filter(|file| is_manifest(&file.path));
            let sources: Vec<_> =
                manifests.map(|file| Source { name: file.path.clone(), bytes: file.bytes.clone() }).collect();
            yaml::read(&sources, limits).map_err(|errors| match errors.as_slice() {
                [ReadError::Empty { .. }] => ContentError::Empty,
                _ => ContentError::Manifests(errors),
            })
        }
    }
}

/// The digest over what a release holds, equal for all formats: one line an object, sorted,
/// `<group>/<version> <kind> <namespace or _> <name> <digest of its canonical JSON>`.
pub fn inventory(objects: &Objects) -> Digest {
    let mut lines: Vec<String> = objects.iter().map(inventory_line).collect();
    lines.sort_unstable();
    let mut hasher = Hasher::new();
    lines.iter().for_each(|line| hasher.update(line.as_bytes()));
    hasher.finish()
}

fn inventory_line(Object { id, value, origin: _ }: &Object) -> String {
    let namespace = id.namespace.as_deref().unwrap_or("_");
    format!("{}/{} {} {namespace} {} {}\n", id.group, id.version, id.kind, id.name, canonical::digest(value))
}

/// The objects of files, each by its path among them.
fn canonical_objects<'a>(
    files: impl Iterator<Item = (&'a str, &'a File)>,
    limits: &Limits,
) -> Result<Objects, ContentError> {
    let objects = files.map(|(path, file)| canonical_object(path, file, limits)).collect::<Result<Vec<_>, _>>()?;
    if objects.is_empty() {
        return Err(ContentError::Empty);
    }
    Objects::new(objects).map_err(|twice| ContentError::Manifests(twice.into_iter().map(Into::into).collect()))
}

fn canonical_object(at: &str, file: &File, limits: &Limits) -> Result<Object, ContentError> {
    let name = || file.path.clone();
    let value: serde_json::Value =
        serde_json::from_slice(&file.bytes).map_err(|source| ContentError::Json { file: name(), source })?;
    if depth(&value) > limits.depth {
        return Err(ContentError::TooDeep { file: name(), limit: limits.depth });
    }
    // Also what refuses duplicate keys, numbers that would be rounded, and white space.
    if canonical::to_vec(&value) != file.bytes {
        return Err(ContentError::NotCanonical(name()));
    }
    let id = identity::of(&value).map_err(|source| ContentError::NotAnObject { file: name(), source })?;
    let expected = path(&id);
    if expected != at {
        return Err(ContentError::Misplaced { file: name(), expected });
    }
    Ok(Object { id, value, origin: Origin { file: name(), line: 0 } })
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn is_manifest(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests;
