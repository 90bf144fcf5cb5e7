//! Policy files: policies and the trust roots they name. Any that cannot be read whole is an error, and none is passed
//! over.

use std::{path::PathBuf, sync::Arc};

use sealift_verify::{
    artifact::Limits,
    objects::Object,
    policy::{Policy, PolicyError},
    sigstore::{TrustRoot, TrustRootDocumentError, TrustRoots},
};

use crate::{exit::Exit, failure::Failure, manifests, output::Output};

/// Whom to trust: all that `--policy` files say.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    pub(crate) policies: Vec<Arc<Policy>>,
    pub(crate) roots: TrustRoots,
}

/// A document that cannot be used, and where it stands.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{origin} is not a usable policy")]
    Policy {
        origin: String,
        #[source]
        source: PolicyError,
    },
    #[error("{origin} is not a usable trust root")]
    Root {
        origin: String,
        #[source]
        source: TrustRootDocumentError,
    },
}

/// Every policy and trust root in `files`.
pub(crate) fn read(files: &[PathBuf], output: &mut Output) -> Result<Trust, Failure> {
    let limits = Limits::default();
    let sources = manifests::sources(files, &limits, output)?;
    let objects = manifests::read(&sources, &limits)?;
    let mut trust = Trust::default();
    for object in objects.iter() {
        add(&mut trust, object).map_err(|error| {
            Failure::new(Exit::InvalidInput, error).hint("a policy that cannot be read whole is not used at all")
        })?;
    }
    Ok(trust)
}

fn add(trust: &mut Trust, object: &Object) -> Result<(), Unusable> {
    let origin = || object.origin.to_string();
    if TrustRoot::is_document(object) {
        let root = TrustRoot::from_object(object).map_err(|source| Unusable::Root { origin: origin(), source })?;
        trust.roots.insert(object.id.name.clone(), Ok(root));
    } else {
        let policy = Policy::from_object(object).map_err(|source| Unusable::Policy { origin: origin(), source })?;
        trust.policies.push(Arc::new(policy));
    }
    Ok(())
}
