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
    /// Those that a digest was put to, as they were written.
    pinned: BTreeSet<String>,
    unused: Vec<String>,
}

/// The lock lacks images that the manifests name.
#[derive(Debug, thiserror::Error)]
#[error("{} lacks {} of the manifests' images{}", .lock.display(), .missing.len(), .missing.iter().map(|line| format!("\n  {line}")).collect::<String>())]
struct Missing {
    lock: PathBuf,
    missing: Vec<String>,
}

/// A set of objects whose images are to be pinned, and what it was read from.
#[derive(Debug)]
pub(crate) struct Unpinned<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) sources: &'a [Source],
    pub(crate) paths: &'a [PathBuf],
}

/// Pins the images of all sets of a release, in their order. The lock of a set is its own, or else the one in the folder
/// that all lie in.
pub(crate) async fn pin(
    sets: Vec<Unpinned<'_>>,
    shared: Option<&Path>,
    args: &PushPinArgs,
    registry: &RegistryAccess,
    output: &mut Output,
) -> Result<Vec<Pinning>, Failure> {
    let limits = Limits::default();
    let mut tags = BTreeMap::new();
    if args.pin_images {
        for Unpinned { objects, sources, .. } in &sets {
            tags.extend(named(&uses(objects, &args.image_place), &mut Positions::new(sources, &limits))?.tags);
        }
    }
    // A tag is asked for once, so that it cannot mean two images in one release.
    let resolved = if tags.is_empty() { BTreeMap::new() } else { resolve(tags, registry, output).await? };
    let mut pinned = Vec::with_capacity(sets.len());
    for Unpinned { objects, sources, paths } in sets {
        let lock = if args.pin_images { None } else { find_lock(paths, shared, args.images_lock.as_deref())? };
        let mut places = args.image_place.clone();
        places.extend(lock.iter().flat_map(|(_, lock)| lock.places.iter().cloned()));
        if let Some((path, lock)) = &lock {
            complete(path, lock, objects, &places, &mut Positions::new(sources, &limits))?;
        }
        let pins = lock.as_ref().map_or(&resolved, |(_, lock)| &lock.images);
        let mut objects = objects.clone().into_vec();
        let used = write(&mut objects, pins, &places);
        let unused = match lock {
            Some(_) => pins.keys().filter(|image| !used.contains(*image)).cloned().collect(),
            None => Vec::new(),
        };
        let objects = Objects::new(objects).map_err(Problems::from)?;
        pinned.push(Pinning {
            lock: lock.map(|(path, _)| path),
            pinned: used,
            unused,
            ..Pinning::left(objects, &places)
        });
    }
    Pinning::share(&mut pinned);
    Ok(pinned)
}

fn find_lock(
    files: &[PathBuf],
    shared: Option<&Path>,
    named: Option<&Path>,
) -> Result<Option<(PathBuf, Lock)>, Failure> {
    if let Some(path) = named {
        return Ok(Some((path.to_owned(), Lock::read(path)?)));
    }
    let together = shared.map(|folder| folder.join(lock::NAME));
    for path in lock::beside(files).into_iter().chain(together) {
        if let Some(lock) = Lock::find(&path)? {
            return Ok(Some((path, lock)));
        }
    }
    Ok(None)
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
        Self { objects, images, unpinned, lock: None, pinned: BTreeSet::new(), unused: Vec::new() }
    }

    /// Of a lock that several sets of objects have in common, only what none of them names is unused; one of them says so.
    fn share(sets: &mut [Self]) {
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

    /// What a person should know about the images of a release, of all its sets.
    pub(crate) fn notes<'a>(sets: impl Iterator<Item = &'a Self> + Clone, output: &mut Output) {
        let mut pinned: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for set in sets.clone() {
            pinned.entry(set.lock.as_ref()).or_default().extend(&set.pinned);
        }
        for (lock, images) in pinned {
            match lock {
                Some(lock) => output.note(format_args!("pinned    {} by {}", counted(images.len()), lock.display())),
                None if images.is_empty() => {}
                None => output.note(format_args!("pinned    {} as tags are now", counted(images.len()))),
            }
        }
        for (lock, unused) in sets.clone().filter_map(|set| Some((set.lock.as_ref()?, &set.unused))) {
            if !unused.is_empty() {
                output.warn(format_args!(
                    "{} holds {} that no manifest names: {}",
                    lock.display(),
                    counted(unused.len()),
                    listed(unused)
                ));
            }
        }
        let unpinned: BTreeSet<_> = sets.flat_map(|set| set.unpinned.iter().cloned()).collect();
        let (parameters, tags): (Vec<_>, Vec<_>) =
            unpinned.into_iter().partition(|image| Written::of(image) == Written::Parameter);
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
        let (mut pinned, mut locks, mut unused, mut unpinned) =
            (BTreeSet::new(), BTreeSet::new(), Vec::new(), BTreeSet::new());
        for set in sets {
            pinned.extend(&set.pinned);
            locks.insert(set.lock.as_ref());
            unused.extend(&set.unused);
            unpinned.extend(&set.unpinned);
        }
        let lock = locks.first().filter(|_| locks.len() == 1);
        json!({"lock": lock, "pinned": pinned.len(), "unused": unused, "unpinned": unpinned})
    }
}

/// `1 image`, `2 images`.
pub(crate) fn counted(count: usize) -> String {
    if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(|name| plain(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
