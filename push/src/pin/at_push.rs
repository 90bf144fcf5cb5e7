//! Images of a push: pinned by the lock alone, or on the spot where somebody asked for it, or left and said.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use sealift_verify::{
    artifact::Limits,
    objects::{
        Objects, Origin,
        images::{Place, find},
        yaml::Source,
    },
};
use serde_json::{Value, json};

use super::{
    lock::{self, Lock},
    named,
    resolve::resolve,
    written::{Written, uses, write},
};
use crate::{
    cli::{RegistryAccess, pin::PushPinArgs},
    exit::Exit,
    failure::Failure,
    manifests::{Positions, Problems},
    output::Output,
    table::plain,
};

/// Names shown before the rest is only counted.
const SHOWN: usize = 5;

/// Objects as they are packed, and what is known of their images.
#[derive(Debug)]
pub(crate) struct Pinning {
    pub(crate) objects: Objects,
    /// Every image, also where only a place tells of it.
    pub(crate) images: BTreeSet<String>,
    /// Those of them that name no digest.
    pub(crate) unpinned: BTreeSet<String>,
    lock: Option<PathBuf>,
    pinned: usize,
    unused: Vec<String>,
}

/// The lock lacks images that the manifests name.
#[derive(Debug, thiserror::Error)]
#[error("{} lacks {} of the manifests' images{}", .lock.display(), .missing.len(), .missing.iter().map(|line| format!("\n  {line}")).collect::<String>())]
struct Missing {
    lock: PathBuf,
    missing: Vec<String>,
}

/// Pins the images of `objects`, which were read from `sources`.
pub(crate) async fn pin(
    objects: Objects,
    (files, sources): (&[PathBuf], &[Source]),
    args: &PushPinArgs,
    registry: &RegistryAccess,
    output: &mut Output,
) -> Result<Pinning, Failure> {
    let limits = Limits::default();
    let mut positions = Positions::new(sources, &limits);
    let lock = if args.pin_images { None } else { find_lock(files, args.images_lock.as_deref())? };
    let mut places = args.image_place.clone();
    places.extend(lock.iter().flat_map(|(_, lock)| lock.places.iter().cloned()));
    let pins = match &lock {
        Some((path, lock)) => {
            complete(path, lock, &objects, &places, &mut positions)?;
            lock.images.clone()
        }
        None if args.pin_images => {
            let tags = named(&uses(&objects, &places), &mut positions)?.tags;
            resolve(tags, registry, output).await?
        }
        None => BTreeMap::new(),
    };
    let mut objects = objects.into_vec();
    let used = write(&mut objects, &pins, &places);
    let objects = Objects::new(objects).map_err(Problems::from)?;
    Ok(Pinning {
        lock: lock.map(|(path, _)| path),
        pinned: used.len(),
        unused: pins.into_keys().filter(|image| !used.contains(image)).collect(),
        ..Pinning::left(objects, &places)
    })
}

fn find_lock(files: &[PathBuf], named: Option<&Path>) -> Result<Option<(PathBuf, Lock)>, Failure> {
    if let Some(path) = named {
        return Ok(Some((path.to_owned(), Lock::read(path)?)));
    }
    let Some(path) = lock::beside(files) else { return Ok(None) };
    Ok(Lock::find(&path)?.map(|lock| (path, lock)))
}

/// Fails unless the lock says of every image which it is.
fn complete(
    path: &Path,
    lock: &Lock,
    objects: &Objects,
    places: &[Place],
    positions: &mut Positions<'_>,
) -> Result<(), Failure> {
    let mut missing: Vec<(Origin, String)> = Vec::new();
    for object in objects {
        for found in find(object, places) {
            let open = matches!(Written::of(found.image), Written::Tag(_) | Written::Unreadable(_));
            if open && !lock.images.contains_key(found.image) {
                let line = format!("{} names {:?}", object.id, found.image);
                missing.push((positions.at(object, &found.pointer), line));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.into_iter().map(|(at, line)| format!("{at}: {line}")).collect();
    let error = Missing { lock: path.to_owned(), missing };
    Err(Failure::new(Exit::InvalidInput, error).hint("`sealift pin` with the same -f adds what the lock lacks"))
}

impl Pinning {
    /// Images as they are written, in pods and at `places`.
    pub(crate) fn left(objects: Objects, places: &[Place]) -> Self {
        let found = objects.iter().flat_map(|object| find(object, places));
        let images: BTreeSet<String> = found.map(|found| found.image.to_owned()).collect();
        let unpinned = images.iter().filter(|image| Written::of(image) != Written::Pinned).cloned().collect();
        Self { objects, images, unpinned, lock: None, pinned: 0, unused: Vec::new() }
    }

    /// Of a lock that several sets of objects have in common, only what none of them names is unused; one of them says so.
    pub(crate) fn share(mut sets: Vec<&mut Self>) {
        let locks: BTreeSet<_> = sets.iter().filter_map(|set| set.lock.clone()).collect();
        for lock in locks {
            let mut of_it: Vec<_> = sets.iter_mut().filter(|set| set.lock.as_ref() == Some(&lock)).collect();
            let lists: Vec<BTreeSet<_>> = of_it.iter_mut().map(|set| set.unused.drain(..).collect()).collect();
            let in_all = lists.into_iter().reduce(|all, list| &all & &list).unwrap_or_default();
            if let Some(first) = of_it.first_mut() {
                first.unused = in_all.into_iter().collect();
            }
        }
    }

    /// What a person should know about the images of this release.
    pub(crate) fn notes(&self, output: &mut Output) {
        if let Some(lock) = &self.lock {
            output.note(format_args!("pinned    {} by {}", counted(self.pinned), lock.display()));
            if !self.unused.is_empty() {
                output.warn(format_args!(
                    "{} holds {} that no manifest names: {}",
                    lock.display(),
                    counted(self.unused.len()),
                    listed(&self.unused)
                ));
            }
        } else if self.pinned > 0 {
            output.note(format_args!("pinned    {} as tags are now", counted(self.pinned)));
        }
        let (parameters, tags): (Vec<_>, Vec<_>) =
            self.unpinned.iter().cloned().partition(|image| Written::of(image) == Written::Parameter);
        if !parameters.is_empty() {
            output.note(format_args!("images    left to parameters: {}", listed(&parameters)));
        }
        if !tags.is_empty() {
            output.warn(format_args!(
                "{} without a digest, so what runs may change without a release: {}; see `sealift pin`, or --pin-images",
                counted(tags.len()),
                listed(&tags)
            ));
        }
    }

    /// How the images of all sets were pinned; a lock is named where they have it in common.
    pub(crate) fn json<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Value {
        let (mut pinned, mut locks, mut unused, mut unpinned) = (0, BTreeSet::new(), Vec::new(), BTreeSet::new());
        for set in sets {
            pinned += set.pinned;
            locks.insert(set.lock.as_ref());
            unused.extend(&set.unused);
            unpinned.extend(&set.unpinned);
        }
        let lock = locks.first().filter(|_| locks.len() == 1);
        json!({"lock": lock, "pinned": pinned, "unused": unused, "unpinned": unpinned})
    }
}

/// `1 image`, `2 images`.
pub(super) fn counted(count: usize) -> String {
    if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(|name| plain(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
