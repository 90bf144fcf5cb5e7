//! What is compared, fetched or read.

use sealift_registry::{fetch, store::Address};
use sealift_verify::{artifact::Limits, objects::Objects};
use serde_json::{Value, json};

use super::statement::{Stated, stated};
use crate::{
    cli::{RegistryAccess, diff::DiffArgs},
    failure::Failure,
    manifests,
    output::Output,
    packed::{Head, Packed, only},
    release::Artifact,
    render::{self, Rendered},
    transport,
};

/// One of two sides.
#[derive(Debug)]
pub(super) struct Side {
    /// For the line that names it.
    pub(super) name: String,
    /// For documents.
    pub(super) about: Value,
    pub(super) objects: Objects,
    /// What is claimed of it, the latest first.
    pub(super) stated: Vec<Stated>,
}

/// An artifact, or one variant of it, believed in nothing but its digests.
pub(super) async fn artifact(
    address: &Address,
    variant: Option<&str>,
    registry: &RegistryAccess,
    output: &mut Output,
) -> Result<Side, Failure> {
    let client = transport::open(&address.location, registry).await?;
    let reference = transport::unnamed(address, None);
    let place = reference.repository.pin(transport::digest(&client, &reference, output).await?);
    let shown = client.shown(&place);
    output.progress(format_args!("fetching {shown}"));
    let artifact = Artifact::fetch(&client, place.clone()).await?;
    let head = Head::parse(&place, &artifact.manifest)?;
    let layer = fetch::layer(&client, &place.repository, &head.layer).await?;
    let Packed { sets, .. } = head.open(&layer, client.limits(), variant)?;
    let objects = only(&sets)?.clone();
    let about = json!({"kind": "artifact", "reference": shown, "digest": place.digest});
    Ok(Side { name: shown, about, objects, stated: stated(&artifact) })
}

/// Files as a push would read them.
pub(super) async fn files(args: &DiffArgs, output: &mut Output) -> Result<Side, Failure> {
    let limits = Limits::default();
    let Rendered { sources, .. } = render::sources(&args.files, &args.render, &limits, output).await?;
    let objects = manifests::read(&sources, &limits)?;
    let paths: Vec<_> = args.files.iter().map(|path| path.display().to_string()).collect();
    let about = json!({"kind": "files", "paths": paths});
    Ok(Side { name: paths.join(", "), about, objects, stated: Vec::new() })
}
