//! Which repository a copy stands for, and whether what was signed allows that. Pure.
//!
//! Statements speak of logical repositories, and a layout has no name. So a copy into a registry stands for the
//! repository there, a copy into a layout for the one it comes from, and `--as` says otherwise: that the destination is a
//! mirror. Whatever is said, the statements decide.

use sealift_registry::store::Location;
use sealift_verify::{reference::Repository, refusal::Refusal};

use crate::{
    cli::copy::CopyArgs,
    failure::{Failure, usage},
    release::Artifact,
};

/// The repository that the copy stands for.
pub(super) fn name(args: &CopyArgs) -> Result<Repository, Failure> {
    let CopyArgs { source, destination, facts, .. } = args;
    if let Some(logical) = &facts.as_repository {
        return Ok(logical.clone());
    }
    match (&destination.location, &source.location) {
        (Location::Registry(repository), _) | (_, Location::Registry(repository)) => Ok(repository.clone()),
        _ => Err(usage("neither place has a name of its own, and statements speak of repositories")
            .hint("say which repository the copy stands for with --as HOST/REPO, as it stands in the Delivery")),
    }
}

/// Refuses an artifact whose release statements are all about other repositories: as that one it would verify nowhere.
/// One without any statement is bound to none.
pub(super) fn may_stand_for(artifact: &Artifact, logical: &Repository) -> Result<(), Failure> {
    let releases = artifact.releases();
    let mut signed: Vec<String> = Vec::new();
    for (_, statement) in &releases {
        if statement.release.repositories.contains(logical) {
            return Ok(());
        }
        signed.extend(statement.release.repositories.iter().map(ToString::to_string));
    }
    if releases.is_empty() {
        artifact.all_seen()?;
        return Ok(());
    }
    signed.sort();
    signed.dedup();
    let first = signed.first().cloned().unwrap_or_default();
    let refusal = Refusal::WrongRepository { signed, actual: logical.clone() };
    Err(Failure::from(refusal).hint(format!(
        "a mirror is read as the repository it mirrors: --as {first}; a release for both is pushed with --repository"
    )))
}
