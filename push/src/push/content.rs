//! What a push packs: one set of objects, or variants, of which a cluster chooses one.

use sealift_verify::{
    artifact::Limits,
    objects::{Objects, yaml::Source},
    parameters::Parameter,
};
use serde_json::Value;

use crate::{
    cli::push::{FormatArg, PushArgs},
    failure::{Failure, usage},
    manifests,
    output::Output,
    pin::{self, Pinning, Unpinned},
    render::Rendered,
    validate::{self, Read},
    variants::{all_stand, folder, parts},
};

/// A set of objects, with the variables that are declared and where they stand in it.
#[derive(Debug)]
pub(crate) struct Set {
    /// The variant that it is; `None` for the one set of a release without variants.
    pub(crate) variant: Option<String>,
    /// The objects, and what is known of their images.
    pub(crate) pinning: Pinning,
    pub(crate) parameters: Vec<Parameter>,
}

/// A set as it was read.
struct Manifests {
    objects: Objects,
    sources: Vec<Source>,
    parameters: Vec<Parameter>,
}

/// The sets, and how folders became manifests. All of them are read, then all validated, then all pinned.
pub(super) async fn read(
    args: &PushArgs,
    declared: &[Parameter],
    limits: &Limits,
    output: &mut Output,
) -> Result<(Vec<Set>, Vec<Value>), Failure> {
    if !args.variants.variant.is_empty() && args.format != FormatArg::Sealift {
        let error = usage("variants are packed in Sealift's own format only, since no other tool could choose one");
        return Err(error.hint("leave --format out, or push each variant to a repository or tag of its own"));
    }
    let parts = parts(&args.files, &args.variants, &args.render)?;
    let (mut all, mut builds, mut nowhere) = (Vec::new(), Vec::new(), Vec::new());
    for part in &parts {
        let Rendered { sources, builds: own } = part.rendered(limits, output).await?;
        builds.extend(own);
        let mut parameters = declared.to_vec();
        let (objects, unused) = manifests::bind(&sources, &mut parameters, limits)?;
        nowhere.push(unused);
        all.push(Manifests { objects, sources, parameters });
    }
    all_stand(&nowhere)?;
    let read: Vec<_> = parts
        .iter()
        .zip(&all)
        .map(|(part, Manifests { objects, sources, parameters })| Read {
            variant: part.variant,
            objects,
            sources,
            parameters,
        })
        .collect();
    validate::before_push(&read, &args.validation, output)?;
    let unpinned = parts
        .iter()
        .zip(&all)
        .map(|(part, Manifests { objects, sources, .. })| Unpinned { objects, sources, paths: part.paths })
        .collect();
    let shared = folder(&args.variants);
    let pinned = pin::pin(unpinned, shared.as_deref(), &args.pin, &args.registry, output).await?;
    let sets = parts.iter().zip(pinned).zip(all).map(|((part, pinning), Manifests { parameters, .. })| Set {
        variant: part.variant.map(str::to_owned),
        pinning,
        parameters,
    });
    Ok((sets.collect(), builds))
}
