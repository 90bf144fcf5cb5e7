//! What a push packs: one set of objects, or variants, of which a cluster chooses one.

use std::{collections::BTreeSet, path::PathBuf};

use sealift_verify::{
    artifact::Limits,
    parameters::{BindError, Parameter},
};
use serde_json::{Value, json};

use crate::{
    cli::{
        push::{FormatArg, PushArgs},
        render::RenderArgs,
    },
    failure::{Failure, usage},
    manifests::{self, Problems},
    output::Output,
    pin::{self, Pinning},
    render::{self, Rendered},
    validate,
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

/// The sets, and how folders became manifests.
pub(super) async fn read(
    args: &PushArgs,
    declared: &[Parameter],
    limits: &Limits,
    output: &mut Output,
) -> Result<(Vec<Set>, Vec<Value>), Failure> {
    if args.variant.is_empty() {
        let Rendered { sources, builds } = render::sources(&args.files, &args.render, limits, output).await?;
        let mut parameters = declared.to_vec();
        let objects = manifests::read_with(&sources, &mut parameters, limits)?;
        validate::before_push(&objects, (&sources, &parameters), &args.validation, output)?;
        let pinning = pin::pin(objects, (&args.files, &sources), &args.pin, &args.registry, output).await?;
        return Ok((vec![Set { variant: None, pinning, parameters }], builds));
    }
    let variants = variants(args)?;
    let (mut sets, mut builds, mut unused) = (Vec::new(), Vec::new(), Vec::new());
    for (name, path) in variants {
        let rendering = rendering(name, args);
        let path = std::slice::from_ref(path);
        let Rendered { sources, builds: own } = render::sources(path, &rendering, limits, output).await?;
        builds.extend(own.into_iter().map(|mut build| {
            build["variant"] = json!(name);
            build
        }));
        let mut parameters = declared.to_vec();
        let (objects, nowhere) = manifests::bind(&sources, &mut parameters, limits)?;
        validate::before_push(&objects, (&sources, &parameters), &args.validation, output)?;
        let pinning = pin::pin(objects, (path, &sources), &args.pin, &args.registry, output).await?;
        unused.push(nowhere);
        sets.push(Set { variant: Some(name.clone()), pinning, parameters });
    }
    Pinning::share(sets.iter_mut().map(|set| &mut set.pinning).collect());
    match in_all(&unused) {
        nowhere if nowhere.is_empty() => Ok((sets, builds)),
        nowhere => Err(Problems::of(nowhere.into_iter().map(|name| BindError::Unused(name.clone()))).into()),
    }
}

/// The variants in the order of their names; there is nothing they could be mixed with.
fn variants(args: &PushArgs) -> Result<Vec<&(String, PathBuf)>, Failure> {
    if args.format != FormatArg::Sealift {
        let error = usage("variants are packed in Sealift's own format only, since no other tool could choose one");
        return Err(error.hint("leave --format out, or push each variant to a repository or tag of its own"));
    }
    let mut variants: Vec<_> = args.variant.iter().collect();
    variants.sort();
    if let Some(pair) = variants.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(usage(format!("variant {} is given twice", pair[0].0)));
    }
    let known = |name: &String| variants.iter().any(|(variant, _)| variant == name);
    match args.variant_values.iter().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(usage(format!("--variant-values names {name}, which is no --variant"))),
        None => Ok(variants),
    }
}

/// How one variant is rendered: as all are, with its own values after those of all.
fn rendering(name: &str, args: &PushArgs) -> RenderArgs {
    let mut rendering = args.render.clone();
    let own = args.variant_values.iter().filter(|(variant, _)| variant == name);
    rendering.values.extend(own.map(|(_, path)| path.clone()));
    rendering
}

/// Names that are in every list: a variable may stand in some variants only.
fn in_all(lists: &[Vec<String>]) -> BTreeSet<&String> {
    let mut lists = lists.iter().map(|list| list.iter().collect::<BTreeSet<_>>());
    let first = lists.next().unwrap_or_default();
    lists.fold(first, |all, list| all.intersection(&list).copied().collect())
}
