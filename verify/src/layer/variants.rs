//! Layers of variants: each under `variants/<name>/`, laid out as a layer of its own.
//!
//! A file of a plain layer has four parts to its path and a file of a variant six, so neither can be taken for the other,
//! whatever namespaces are called.

use std::collections::BTreeMap;

use super::{ContentError, Layer, PackError, Unpacked, canonical_objects, compressed, files};
use crate::{
    artifact::{Format, Limits},
    objects::Objects,
    statement::{VARIANTS as FOLDER, is_variant},
};

/// Packs variants by their names, which are [`is_variant`]. Only Sealift reads them, so there is one format.
///
/// # Errors
/// [`PackError`] if there are none, one is empty, or two objects of one cannot lie beside each other.
pub fn pack_variants(variants: &BTreeMap<String, Objects>) -> Result<Layer, PackError> {
    if variants.is_empty() {
        return Err(PackError::Empty);
    }
    let mut all = BTreeMap::new();
    for (name, objects) in variants {
        let own = files(objects, Format::Sealift)?;
        all.extend(own.into_iter().map(|(path, bytes)| (format!("{FOLDER}/{name}/{path}"), bytes)));
    }
    compressed(all, Format::Sealift)
}

/// The variants of a layer, with the number of their files; none for a layer that is one set of objects.
///
/// # Errors
/// [`ContentError::NoVariant`] if some files belong to variants and others do not.
pub fn variants(unpacked: &Unpacked, format: Format) -> Result<BTreeMap<String, usize>, ContentError> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut stray = None;
    for file in unpacked.files.iter().filter(|_| format == Format::Sealift) {
        match variant_of(&file.path) {
            Some((name, _)) => *found.entry(name.to_owned()).or_default() += 1,
            None => stray = stray.or(Some(&file.path)),
        }
    }
    match stray.filter(|_| !found.is_empty()) {
        Some(path) => Err(ContentError::NoVariant(path.clone())),
        None => Ok(found),
    }
}

/// Reads the objects of one variant. What the others hold is not looked at.
///
/// # Errors
/// [`ContentError`], the first.
pub fn variant_objects(unpacked: &Unpacked, name: &str, limits: &Limits) -> Result<Objects, ContentError> {
    let of_it = unpacked.files.iter().filter_map(|file| {
        let (found, path) = variant_of(&file.path)?;
        (found == name).then_some((path, file))
    });
    canonical_objects(of_it, limits).map_err(|error| match error {
        ContentError::Empty => ContentError::Unknown(name.to_owned()),
        other => other,
    })
}

/// How many bytes the files of a variant have, or all files.
pub fn size(unpacked: &Unpacked, variant: Option<&str>) -> u64 {
    let counts = |path: &str| variant.is_none_or(|name| variant_of(path).is_some_and(|(found, _)| found == name));
    unpacked.files.iter().filter(|file| counts(&file.path)).map(|file| file.bytes.len() as u64).sum()
}

/// The variant that a file belongs to by its path, and its path in that.
fn variant_of(path: &str) -> Option<(&str, &str)> {
    let (name, rest) = path.strip_prefix(FOLDER)?.strip_prefix('/')?.split_once('/')?;
    (is_variant(name) && rest.matches('/').count() == 3).then_some((name, rest))
}
