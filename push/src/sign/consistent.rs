//! Whether a payload is a release statement about this very artifact, and the artifact what the statement says: pure.

use sealift_verify::{
    artifact::{Descriptor, Format, Limits},
    digest::Digest,
    layer,
    objects::Objects,
    reference::Pinned,
    refusal::Refusal,
    statement::{Release, Statement},
};

/// The statement, if it is one and speaks of this artifact in this repository.
pub(super) fn statement(payload: &[u8], about: &Pinned) -> Result<Statement, Refusal> {
    let statement = Statement::parse(payload).map_err(|error| Refusal::BadStatement(sealift_verify::chain(&error)))?;
    same("the statement's subject", about.digest, statement.artifact)?;
    let repositories = &statement.release.repositories;
    if !repositories.contains(&about.repository) {
        let signed = repositories.iter().map(ToString::to_string).collect();
        return Err(Refusal::WrongRepository { signed, actual: about.repository.clone() });
    }
    Ok(statement)
}

/// The manifest's layer is the statement's.
pub(super) fn layer(statement: &Statement, described: &Descriptor) -> Result<(), Refusal> {
    same("the layer", statement.release.content.layer, described.digest)
}

/// The sets of objects in the layer, each with its variant where there are some, if they are those of the statement.
pub(super) fn sets(
    statement: &Statement,
    bytes: &[u8],
    format: Format,
    limits: &Limits,
) -> Result<Vec<(Option<String>, Objects)>, Refusal> {
    let release = &statement.release;
    let content = &release.content;
    same("the layer", content.layer, Digest::of(bytes))?;
    let bad = |error: &dyn std::error::Error| Refusal::BadLayer(sealift_verify::chain(error));
    let unpacked = layer::unpack(bytes, format, limits).map_err(|error| bad(&error))?;
    same("the expanded layer", content.uncompressed, unpacked.uncompressed)?;
    let there = layer::variants(&unpacked, format).map_err(|error| bad(&error))?;
    let stated = release.variants.iter().map(|variant| (variant.name.clone(), variant.files)).collect();
    if there != stated || unpacked.files.len() != content.files {
        let difference = format!(
            "{} files, of variants {there:?}; the statement says {}, of {stated:?}",
            unpacked.files.len(),
            content.files
        );
        return Err(Refusal::InventoryMismatch(difference));
    }
    if there.is_empty() {
        let objects = layer::objects(&unpacked, format, limits).map_err(|error| bad(&error))?;
        return Ok(vec![(None, stated_as(release, None, objects)?)]);
    }
    let each = there.into_keys().map(|name| {
        let objects = layer::variant_objects(&unpacked, &name, limits).map_err(|error| bad(&error))?;
        let objects = stated_as(release, Some(&name), objects)?;
        Ok((Some(name), objects))
    });
    each.collect()
}

fn stated_as(release: &Release, variant: Option<&str>, objects: Objects) -> Result<Objects, Refusal> {
    let chosen = release.chosen(variant)?;
    let inventory = layer::inventory(&objects);
    if (objects.len(), inventory) == (chosen.objects, chosen.inventory) {
        return Ok(objects);
    }
    Err(Refusal::InventoryMismatch(format!(
        "{} objects, inventory {inventory}; the statement says {} and {}",
        objects.len(),
        chosen.objects,
        chosen.inventory
    )))
}

fn same(what: &'static str, expected: Digest, actual: Digest) -> Result<(), Refusal> {
    if expected == actual { Ok(()) } else { Err(Refusal::DigestMismatch { what, expected, actual }) }
}
