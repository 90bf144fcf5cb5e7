//! Which image a tag names now, by its registry's word.

use std::collections::BTreeMap;

use sealift_registry::images;
use sealift_verify::{digest::Digest, objects::images::ImageName};

use super::at_push::counted;
use crate::{cli::RegistryAccess, failure::Failure, output::Output, table::plain, transport};

/// The tag that a name without one stands for.
const DEFAULT_TAG: &str = "latest";

/// Some tags could not be resolved; each with its causes.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be resolved{}", counted(.0.len()), .0.iter().map(|line| format!("\n  {line}")).collect::<String>())]
struct Unresolved(Vec<String>);

/// The digest of each image, of the index where the registry has one for several platforms.
pub(super) async fn resolve(
    wanted: BTreeMap<String, ImageName>,
    access: &RegistryAccess,
    output: &mut Output,
) -> Result<BTreeMap<String, Digest>, Failure> {
    if !wanted.is_empty() {
        output.progress(format_args!("resolving {} images", wanted.len()));
    }
    let answers = images::each(wanted, |(image, name)| async move { (image, digest_of(&name, access).await) }).await;
    let mut digests = BTreeMap::new();
    let mut failed: BTreeMap<String, Failure> = BTreeMap::new();
    for (image, answer) in answers {
        match answer {
            Ok(digest) => drop(digests.insert(image, digest)),
            Err(failure) => drop(failed.insert(image, failure)),
        }
    }
    let lines = failed.iter().map(|(image, failure)| format!("{}: {}", plain(image), chain(failure))).collect();
    match failed.into_values().next() {
        None => Ok(digests),
        // What the first one means stands for all.
        Some(Failure { exit, hint, .. }) => Err(Failure { exit, error: Box::new(Unresolved(lines)), hint }),
    }
}

async fn digest_of(name: &ImageName, access: &RegistryAccess) -> Result<Digest, Failure> {
    let client = transport::client(&name.repository, access).await?;
    Ok(client.resolve(&name.repository, tag_of(name)).await?)
}

/// The tag that a name without a digest is asked for by.
pub(crate) fn tag_of(name: &ImageName) -> &str {
    name.tag.as_deref().unwrap_or(DEFAULT_TAG)
}

fn chain(failure: &Failure) -> String {
    plain(&sealift_verify::chain(failure.error.as_ref()))
}
