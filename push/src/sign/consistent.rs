//! Whether a payload is a release statement about this very artifact, and the artifact what the statement says: pure.

use sealift_verify::{
    artifact::{Descriptor, Format, Limits},
    digest::Digest,
    layer,
    objects::Objects,
    reference::Pinned,
    refusal::Refusal,
    statement::Statement,
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

/// The objects of the layer, if they are those of the statement.
pub(super) fn objects(
    statement: &Statement,
    bytes: &[u8],
    format: Format,
    limits: &Limits,
) -> Result<Objects, Refusal> {
    let content = &statement.release.content;
    same("the layer", content.layer, Digest::of(bytes))?;
    let unpacked =
        layer::unpack(bytes, format, limits).map_err(|error| Refusal::BadLayer(sealift_verify::chain(&error)))?;
    same("the expanded layer", content.uncompressed, unpacked.uncompressed)?;
    let objects =
        layer::objects(&unpacked, format, limits).map_err(|error| Refusal::BadLayer(sealift_verify::chain(&error)))?;
    let inventory = layer::inventory(&objects);
    let found = (unpacked.files.len(), objects.len(), inventory);
    if found != (content.files, content.objects, content.inventory) {
        let difference = format!(
            "{} files and {} objects, inventory {inventory}; the statement says {}, {} and {}",
            found.0, found.1, content.files, content.objects, content.inventory
        );
        return Err(Refusal::InventoryMismatch(difference));
    }
    Ok(objects)
}

fn same(what: &'static str, expected: Digest, actual: Digest) -> Result<(), Refusal> {
    if expected == actual { Ok(()) } else { Err(Refusal::DigestMismatch { what, expected, actual }) }
}
