//! `sealift pin`: which image each tag names, written down once and committed, so that a push needs nobody's word for it.

mod at_push;
mod changes;
mod lock;
mod resolve;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use sealift_verify::{
    artifact::Limits,
    objects::{
        Origin,
        images::{ImageName, ImageNameError},
    },
};
use serde_json::json;

pub(crate) use self::{
    at_push::{Pinning, Unpinned, counted, pin},
    resolve::tag_of,
};
use self::{
    changes::Changes,
    lock::Lock,
    written::{Use, Written, uses},
};
use crate::{
    cli::pin::PinArgs,
    exit::Exit,
    failure::{Failure, usage},
    manifests::{self, Positions},
    output::{Format, Output},
    render::Rendered,
    table::plain,
    variants::{self, parts},
};

/// A text in the place of an image's name that no runtime could pull.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {object} names image {image:?}, which is none")]
struct NoName {
    at: Origin,
    object: String,
    image: String,
    #[source]
    source: ImageNameError,
}

pub(crate) async fn run(args: &PinArgs, output: &mut Output) -> Result<Exit, Failure> {
    let limits = Limits::default();
    let parts = parts(&args.files, &args.variants, &args.render)?;
    let mut sets = Vec::with_capacity(parts.len());
    for part in &parts {
        let Rendered { sources, .. } = part.rendered(&limits, output).await?;
        sets.push((manifests::read(&sources, &limits)?, sources));
    }
    let path = path(args)?;
    let before = Lock::find(&path)?.unwrap_or_default();
    let places = if args.image_place.is_empty() { before.places.clone() } else { args.image_place.clone() };
    let (mut tags, mut parameters) = (BTreeMap::new(), BTreeSet::new());
    for (objects, sources) in &sets {
        let found = named(&uses(objects, &places), &mut Positions::new(sources, &limits))?;
        tags.extend(found.tags);
        parameters.extend(found.parameters);
    }
    for part in &parts {
        let own = lock::beside(part.paths).filter(|own| part.variant.is_some() && *own != path && own.exists());
        if let (Some(name), Some(own)) = (part.variant, own) {
            output.warn(format_args!("for variant {name}, push takes {} and not {}", own.display(), path.display()));
        }
    }

    // registry: only about what is not known yet, unless all is asked again.
    let known = |image: &String| before.images.get(image).filter(|_| !args.update).copied();
    let mut images: BTreeMap<_, _> = tags.keys().filter_map(|image| Some((image.clone(), known(image)?))).collect();
    let unknown = tags.into_iter().filter(|(image, _)| !images.contains_key(image)).collect();
    images.extend(resolve::resolve(unknown, &args.registry, output).await?);

    let after = Lock { images, places };
    let changes = Changes::between(&before, &after);
    let same = path.exists() && before == after;
    if !same && !args.check {
        after.write(&path)?;
    }
    for parameter in &parameters {
        output.note(format_args!("{} is left to the parameter in it", plain(parameter)));
    }
    let (outcome, said) = match (same, args.check) {
        (true, _) => ("unchanged", "is as it was"),
        (false, true) => ("changes", "would change"),
        (false, false) => ("written", "is written"),
    };
    output.note(format_args!("{} {said}: {}", path.display(), at_push::counted(after.images.len())));
    match output.format {
        Format::Text => changes.lines().iter().try_for_each(|line| output.product(line))?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/pin/v1",
            "outcome": outcome,
            "lock": path.display().to_string(),
            "images": changes.json(),
            "parameters": parameters,
        }))?,
    }
    Ok(if args.check && !same { Exit::Changes } else { Exit::Done })
}

fn path(args: &PinArgs) -> Result<PathBuf, Failure> {
    let together = || variants::folder(&args.variants).map(|folder| folder.join(lock::NAME));
    let path = args.lock.clone().or_else(together).or_else(|| lock::beside(&args.files));
    path.ok_or_else(|| usage("there is no folder that images.lock could lie in").hint("name the lock with --lock FILE"))
}

/// The images of manifests that somebody has to say more about.
#[derive(Debug, Default)]
struct Named {
    /// By tag: a registry says it.
    tags: BTreeMap<String, ImageName>,
    /// By parameter: a cluster says it.
    parameters: Vec<String>,
}

fn named(uses: &BTreeMap<&str, Use<'_>>, positions: &mut Positions<'_>) -> Result<Named, Failure> {
    let mut named = Named::default();
    for (image, Use { object, pointer }) in uses {
        match Written::of(image) {
            Written::Pinned => {}
            Written::Tag(name) => drop(named.tags.insert((*image).to_owned(), name)),
            Written::Parameter => named.parameters.push((*image).to_owned()),
            Written::Unreadable(source) => {
                let (at, object) = (positions.at(object, pointer), object.id.to_string());
                let error = NoName { at, object, image: (*image).to_owned(), source };
                return Err(Failure::new(Exit::InvalidInput, error));
            }
        }
    }
    Ok(named)
}
