//! `sealift policy check`: policy files by themselves, every problem at once.

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::{
    policy::{Policy, PolicyError},
    sigstore::{PUBLIC_GOOD, TrustRootDocumentError},
};
use serde_json::json;

use crate::{
    cli::policy::CheckArgs,
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    policies::{self, Document, Entry, Unusable},
    table::plain,
};

/// Some documents cannot be used; each with its causes.
#[derive(Debug, thiserror::Error)]
#[error("{} of {all} documents cannot be used{}", .problems.len(), .problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
struct Problems {
    all: usize,
    problems: Vec<String>,
}

pub(crate) fn run(args: &CheckArgs, output: &mut Output) -> Result<Exit, Failure> {
    let entries = policies::each(&args.files, output)?;
    // A cluster may have a root that no file here holds, so this is told and is no error.
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Entry { object, document } in &entries {
        if let Ok(Document::Policy(policy)) = document {
            missing.insert(&object.id.name, missing_roots(policy, &entries));
        }
    }
    let documents: Vec<_> = entries
        .iter()
        .map(|Entry { object, document }| {
            let problem = document.as_ref().err();
            let digest = document.as_ref().ok().map(|document| match document {
                Document::Policy(policy) => policy.digest,
                Document::Root(root) => root.digest(),
            });
            json!({
                "origin": object.origin.to_string(),
                "kind": object.id.kind,
                "name": object.id.name,
                "usable": problem.is_none(),
                "missingTrustRoots": missing.get(object.id.name.as_str()),
                "digest": digest,
                "field": problem.map(|unusable| field(unusable)),
                "problem": problem.map(|unusable| chain(unusable)),
            })
        })
        .collect();
    for (policy, root) in missing.iter().flat_map(|(policy, roots)| roots.iter().map(move |root| (policy, root))) {
        output.warn(format_args!(
            "policy {} names trust root {root:?}, which none of these files holds: where there is none it is not usable",
            plain(policy)
        ));
    }
    match output.format {
        Format::Json => output.json(&json!({"schema": "sealift.dev/policy-check/v1", "policies": documents}))?,
        Format::Text => {
            for Entry { object, .. } in entries.iter().filter(|entry| entry.document.is_ok()) {
                output.product(format_args!(
                    "{} {} {}: usable",
                    object.origin,
                    object.id.kind,
                    plain(&object.id.name)
                ))?;
            }
        }
    }
    let problems = entries.iter().filter_map(|entry| entry.document.as_ref().err());
    let problems: Vec<_> = problems.map(|unusable| chain(unusable)).collect();
    if problems.is_empty() {
        return Ok(Exit::Done);
    }
    let error = Problems { all: entries.len(), problems };
    Err(Failure::new(Exit::InvalidInput, error).hint("what cannot be read whole is not used at all"))
}

/// The trust roots that a policy needs, and that are neither built in nor among these documents.
fn missing_roots<'a>(policy: &'a Policy, entries: &[Entry]) -> BTreeSet<&'a str> {
    let there = |name: &str| {
        let held = |entry: &Entry| matches!(entry.document, Ok(Document::Root(_))) && entry.object.id.name == name;
        name == PUBLIC_GOOD || entries.iter().any(held)
    };
    let needed = policy.authorities.iter().filter(|authority| authority.needs_root());
    needed.map(|authority| authority.trust_root.as_str()).filter(|name| !there(name)).collect()
}

/// The field that is wrong.
fn field(unusable: &Unusable) -> String {
    match unusable {
        Unusable::Policy { source, .. } => match source {
            PolicyError::Field { path, .. } | PolicyError::Unknown { path, .. } => path.clone(),
            PolicyError::Matcher { path, .. }
            | PolicyError::Empty { path, .. }
            | PolicyError::Contradiction { path, .. } => format!("spec.{path}"),
            PolicyError::Require { path, .. } => format!("spec.{path}"),
            PolicyError::Attestation { .. } => "spec.attestations".to_owned(),
            PolicyError::ImageSigners { .. } => "spec.images.signedBy".to_owned(),
            PolicyError::ImagePlace { .. } => "spec.images.places".to_owned(),
            PolicyError::Key { .. } | PolicyError::Twice { .. } | PolicyError::Authority { .. } => {
                "spec.authorities".to_owned()
            }
            PolicyError::Kind(_) => "kind".to_owned(),
        },
        Unusable::Root { source, .. } => match source {
            TrustRootDocumentError::Field { path, .. } | TrustRootDocumentError::Unknown { path, .. } => path.clone(),
            TrustRootDocumentError::Root { .. } => "spec.trustedRoot".to_owned(),
            TrustRootDocumentError::Kind(_) => "kind".to_owned(),
        },
    }
}

fn chain(unusable: &Unusable) -> String {
    let (Unusable::Policy { origin, .. } | Unusable::Root { origin, .. }) = unusable;
    let causes = std::iter::successors(std::error::Error::source(unusable), |cause| cause.source());
    causes.fold(origin.clone(), |text, cause| format!("{text}: {cause}"))
}
