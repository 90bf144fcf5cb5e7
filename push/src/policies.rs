//! Policy files: any that cannot be read whole is an error, and none is passed over.

use std::{path::PathBuf, sync::Arc};

use sealift_verify::{
    artifact::Limits,
    policy::{Policy, PolicyError},
};

use crate::{exit::Exit, failure::Failure, manifests, output::Output};

/// A policy that cannot be used, and where it stands.
#[derive(Debug, thiserror::Error)]
#[error("{origin} is not a usable policy")]
struct Unusable {
    origin: String,
    #[source]
    source: PolicyError,
}

/// Every policy in `files`.
pub(crate) fn read(files: &[PathBuf], output: &mut Output) -> Result<Vec<Arc<Policy>>, Failure> {
    let limits = Limits::default();
    let sources = manifests::sources(files, &limits, output)?;
    let objects = manifests::read(&sources, &limits)?;
    let policy = |object| {
        Policy::from_object(object).map(Arc::new).map_err(|source| {
            let error = Unusable { origin: object.origin.to_string(), source };
            Failure::new(Exit::InvalidInput, error).hint("a policy that cannot be read whole is not used at all")
        })
    };
    objects.iter().map(policy).collect()
}
