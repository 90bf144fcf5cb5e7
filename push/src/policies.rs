//! Policy files: any policy or trust root that cannot be read whole is an error, and none is passed over.

use std::{path::PathBuf, sync::Arc};

use sealift_verify::{
    artifact::Limits,
    objects::Object,
    policy::{Policy, PolicyError},
    sigstore::{TrustRoot, TrustRootDocumentError, TrustRoots},
};

use crate::{exit::Exit, failure::Failure, manifests, output::Output};

/// A policy or trust root that cannot be used, and where it stands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
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

/// What policy files say: the policies, and the trust roots they may name.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    pub(crate) policies: Vec<Arc<Policy>>,
    pub(crate) roots: TrustRoots,
}

/// What an object of a policy file means.
#[derive(Debug)]
pub(crate) enum Document {
    Policy(Arc<Policy>),
    Root(TrustRoot),
}

/// An object of a policy file, and what it means or why it means nothing.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) object: Object,
    pub(crate) document: Result<Document, Box<Unusable>>,
}

/// A policy as it is written and as it is meant.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Object,
    pub(crate) policy: Arc<Policy>,
}

/// Every object of `files`, usable or not.
pub(crate) fn each(files: &[PathBuf], output: &mut Output) -> Result<Vec<Entry>, Failure> {
    let limits = Limits::default();
    let mut sources = manifests::sources(files, &limits, output).map_err(|failure| match failure.hint {
        None => failure.hint("what is named here holds SignaturePolicies; policies/production.yaml is a start"),
        Some(_) => failure,
    })?;
    // The schema for editors lies beside the policies of a folder.
    sources.retain(|source| !source.name.ends_with(".schema.json"));
    let objects = manifests::read(&sources, &limits)?.into_vec();
    Ok(objects.into_iter().map(|object| Entry { document: document(&object).map_err(Box::new), object }).collect())
}

#[expect(clippy::result_large_err, reason = "boxed by the one caller")]
fn document(object: &Object) -> Result<Document, Unusable> {
    let origin = || object.origin.to_string();
    if TrustRoot::is_document(object) {
        let root = TrustRoot::from_object(object).map_err(|source| Unusable::Root { origin: origin(), source })?;
        return Ok(Document::Root(root));
    }
    let policy = Policy::from_object(object).map_err(|source| Unusable::Policy { origin: origin(), source })?;
    Ok(Document::Policy(Arc::new(policy)))
}

/// Every policy of `files` with its text, and the trust roots beside them.
pub(crate) fn written(files: &[PathBuf], output: &mut Output) -> Result<(Vec<Written>, TrustRoots), Failure> {
    let (mut policies, mut roots) = (Vec::new(), TrustRoots::default());
    for Entry { object, document } in each(files, output)? {
        match document {
            Ok(Document::Policy(policy)) => policies.push(Written { object, policy }),
            Ok(Document::Root(root)) => roots.insert(object.id.name, Ok(root)),
            Err(error) => {
                let hint = "what cannot be read whole is not used at all; `sealift policy check` lists every problem";
                return Err(Failure::new(Exit::InvalidInput, *error).hint(hint));
            }
        }
    }
    Ok((policies, roots))
}

/// Every policy and trust root of `files`.
pub(crate) fn read(files: &[PathBuf], output: &mut Output) -> Result<Trust, Failure> {
    let (policies, roots) = written(files, output)?;
    Ok(Trust { policies: policies.into_iter().map(|written| written.policy).collect(), roots })
}
