//! What is compared, fetched or read.

use std::collections::BTreeSet;

use sealift_registry::store::Address;
use sealift_verify::{artifact::Limits, objects::Objects};
use serde_json::{Value, json};

use super::{
    judged::Judge,
    statement::{Stated, stated},
};
use crate::{
    cli::{RegistryAccess, diff::DiffArgs},
    exit::Exit,
    failure::Failure,
    manifests,
    output::{Output, transfer},
    packed::{Head, Packed, Set, only},
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
    /// What is claimed of it, the latest first; of what was judged, what it was accepted on.
    pub(super) stated: Vec<Stated>,
}

/// One of two sides with all its variants; what has none is one set.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) name: String,
    pub(super) about: Value,
    pub(super) sets: Vec<Set>,
    pub(super) stated: Vec<Stated>,
}

/// Two sides, and of which variant.
pub(super) type Pair = (Option<String>, Side, Side);

/// A variant was named that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{place} holds no variant {variant:?}")]
struct NoVariant {
    place: String,
    variant: String,
}

impl Whole {
    pub(super) fn has_variants(&self) -> bool {
        self.sets.iter().any(|(variant, _)| variant.is_some())
    }

    /// The side with one of its variants, or with the one set that it is.
    pub(super) fn of(&self, variant: Option<&str>) -> Result<Side, Failure> {
        match variant.filter(|_| self.has_variants()) {
            None => Ok(self.with(only(&self.sets)?.clone())),
            Some(name) => {
                let found = self.sets.iter().find(|(variant, _)| variant.as_deref() == Some(name));
                Ok(self.with(found.ok_or_else(|| self.lacks(name))?.1.clone()))
            }
        }
    }

    /// The error for a variant that is not there.
    pub(super) fn lacks(&self, variant: &str) -> Failure {
        let error = NoVariant { place: self.name.clone(), variant: variant.to_owned() };
        let names: Vec<_> = self.sets.iter().filter_map(|(name, _)| name.as_deref()).collect();
        let failure = Failure::new(Exit::NotFound, error);
        match names.is_empty() {
            true => failure.hint("it has no variants: leave --variant out"),
            false => failure.hint(format!("there are {}", names.join(", "))),
        }
    }

    fn with(&self, objects: Objects) -> Side {
        Side { name: self.name.clone(), about: self.about.clone(), objects, stated: self.stated.clone() }
    }
}

/// What is held against each other: one variant if it was named, else each that either side has. What has no variants is
/// held against the one that was named.
pub(super) fn pairs(before: &Whole, after: &Whole, variant: Option<&str>) -> Result<Vec<Pair>, Failure> {
    let both = [before, after];
    let have = both.map(Whole::has_variants);
    match variant {
        Some(name) if have == [false, false] => Err(before.lacks(name)),
        None if have == [true, true] => {
            let names: BTreeSet<_> =
                both.iter().flat_map(|side| &side.sets).filter_map(|(name, _)| name.clone()).collect();
            let of = |side: &Whole, name: &str| {
                let found = side.sets.iter().find(|(variant, _)| variant.as_deref() == Some(name));
                let none = || Objects::new(Vec::new()).expect("none of no objects is there twice");
                side.with(found.map_or_else(none, |(_, objects)| objects.clone()))
            };
            Ok(names.into_iter().map(|name| (Some(name.clone()), of(before, &name), of(after, &name))).collect())
        }
        _ => Ok(vec![(variant.map(str::to_owned), before.of(variant)?, after.of(variant)?)]),
    }
}

/// An artifact: judged, or believed in nothing but its digests.
pub(super) async fn artifact(
    address: &Address,
    judge: Option<&Judge>,
    registry: &RegistryAccess,
    output: &mut Output,
) -> Result<Whole, Failure> {
    match judge {
        Some(judge) => judge.accepted(address, registry, output).await,
        None => unverified(address, registry, output).await,
    }
}

async fn unverified(address: &Address, registry: &RegistryAccess, output: &mut Output) -> Result<Whole, Failure> {
    let client = transport::open(&address.location, registry).await?;
    let reference = transport::unnamed(address, None);
    let place = reference.repository.pin(transport::digest(&client, &reference, output).await?);
    let shown = client.shown(&place);
    output.progress(format_args!("fetching {shown}"));
    let artifact = Artifact::fetch(&client, place.clone()).await?;
    let head = Head::parse(&place, &artifact.manifest)?;
    let layer = transfer::layer(&client, &place.repository, &head.layer).await?;
    let Packed { sets, .. } = head.open(&layer, client.limits(), None)?;
    let about = json!({"kind": "artifact", "reference": shown, "digest": place.digest});
    Ok(Whole { name: shown, about, sets, stated: stated(&artifact) })
}

/// Files as a push would read them.
pub(super) async fn files(args: &DiffArgs, output: &mut Output) -> Result<Whole, Failure> {
    let limits = Limits::default();
    let Rendered { sources, .. } = render::sources(&args.files, &args.render, &limits, output).await?;
    let objects = manifests::read(&sources, &limits)?;
    let paths: Vec<_> = args.files.iter().map(|path| path.display().to_string()).collect();
    let about = json!({"kind": "files", "paths": paths});
    Ok(Whole { name: paths.join(", "), about, sets: vec![(None, objects)], stated: Vec::new() })
}

#[cfg(test)]
mod tests {
    use sealift_verify::objects::yaml::Source;

    use super::*;

    fn whole(sets: &[(Option<&str>, &str)]) -> Whole {
        let objects = |name: &str| {
            let bytes = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n").into_bytes();
            manifests::read(&[Source { name: "a".into(), bytes }], &Limits::default()).unwrap()
        };
        let sets = sets.iter().map(|(variant, name)| (variant.map(str::to_owned), objects(name))).collect();
        Whole { name: "a".into(), about: Value::Null, sets, stated: Vec::new() }
    }

    #[test]
    fn each_variant_is_held_against_its_own_and_a_release_without_against_the_one_that_is_named() {
        let plain = || whole(&[(None, "plain")]);
        let (one, two) = (|| whole(&[(Some("eu"), "eu")]), || whole(&[(Some("eu"), "eu2"), (Some("us"), "us")]));
        let names =
            |side: &Side| side.objects.iter().map(|object| object.id.name.clone()).collect::<Vec<_>>().join(" ");
        let told = |before: Whole, after: Whole, variant| {
            let pairs = pairs(&before, &after, variant).ok()?;
            let told = pairs.iter().map(|(variant, before, after)| {
                format!("{}: {} → {}", variant.as_deref().unwrap_or("-"), names(before), names(after))
            });
            Some(told.collect::<Vec<_>>().join(", "))
        };
        assert_eq!(told(plain(), plain(), None).unwrap(), "-: plain → plain");
        assert_eq!(told(one(), two(), None).unwrap(), "eu: eu → eu2, us:  → us");
        assert_eq!(told(one(), two(), Some("eu")).unwrap(), "eu: eu → eu2");
        assert_eq!(told(plain(), two(), Some("us")).unwrap(), "us: plain → us");
        for (before, after, variant) in
            [(plain(), two(), None), (one(), two(), Some("us")), (plain(), plain(), Some("eu"))]
        {
            assert_eq!(told(before, after, variant), None);
        }
    }
}
