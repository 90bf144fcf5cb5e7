//! Images as manifests write them, and how they become pinned.

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::{
    digest::Digest,
    objects::{
        Object, Objects,
        images::{ImageName, ImageNameError, Place, find},
    },
};

/// What a text that names an image leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Nothing: it names a digest.
    Pinned,
    /// Which image a tag names is for its registry to say. No tag is `latest`.
    Tag(ImageName),
    /// The cluster says it, by a parameter.
    Parameter,
    /// It is no name.
    Unreadable(ImageNameError),
}

impl Written {
    pub(crate) fn of(text: &str) -> Self {
        match ImageName::parse(text) {
            Ok(name) if name.digest.is_some() => Self::Pinned,
            Ok(name) => Self::Tag(name),
            Err(_) if text.contains("${") => Self::Parameter,
            Err(error) => Self::Unreadable(error),
        }
    }
}

/// An image as it is written once it is pinned: what it was, with a tag if it had one, and the digest.
pub(crate) fn pinned(image: &str, digest: &Digest) -> String {
    format!("{image}@{digest}")
}

/// A place where an image stands.
#[derive(Clone, Debug)]
pub(crate) struct Use<'a> {
    pub(crate) object: &'a Object,
    pub(crate) pointer: String,
}

/// Every image of the objects by its text, and where it stands first.
pub(crate) fn uses<'a>(objects: &'a Objects, places: &[Place]) -> BTreeMap<&'a str, Use<'a>> {
    let mut uses = BTreeMap::new();
    for object in objects {
        for found in find(object, places) {
            uses.entry(found.image).or_insert(Use { object, pointer: found.pointer });
        }
    }
    uses
}

/// Writes the digests of `pins` into every image that is a key of it, and returns the keys that were found.
pub(crate) fn write(objects: &mut [Object], pins: &BTreeMap<String, Digest>, places: &[Place]) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for object in objects {
        let changes = find(object, places).into_iter().filter_map(|found| {
            let (image, digest) = pins.get_key_value(found.image)?;
            used.insert(image.clone());
            Some((found.pointer, pinned(image, digest)))
        });
        for (pointer, image) in changes.collect::<Vec<_>>() {
            if let Some(text) = object.value.pointer_mut(&pointer) {
                *text = image.into();
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use sealift_verify::{artifact::Limits, objects::yaml::Source};

    use super::*;
    use crate::manifests;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    const YAML: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: a, image: 'nginx:1'}\n  - {name: b, image: 'nginx:1'}\n  \
                        - {name: c, image: '${C}'}\n---\napiVersion: example.com/v1\nkind: App\nmetadata: {name: x}\nspec: {image: redis, other: 'nginx:1'}\n";

    #[test]
    fn a_name_is_told_by_what_it_leaves_open() {
        let pinned = format!("nginx:1@{DIGEST}");
        assert_eq!(Written::of(&pinned), Written::Pinned);
        assert!(matches!(Written::of("nginx:1"), Written::Tag(name) if name.tag.as_deref() == Some("1")));
        assert!(matches!(Written::of("nginx"), Written::Tag(name) if name.tag.is_none()));
        assert_eq!(Written::of("registry.example/${APP}:1"), Written::Parameter);
        assert!(matches!(Written::of("A b"), Written::Unreadable(_)));
    }

    #[test]
    fn only_images_are_rewritten_and_each_where_it_stands() {
        let source = Source { name: "t".into(), bytes: YAML.into() };
        let objects = manifests::read(&[source], &Limits::default()).unwrap();
        let places = ["App.example.com/spec/image".parse().unwrap()];
        assert_eq!(uses(&objects, &places).into_keys().collect::<Vec<_>>(), ["${C}", "nginx:1", "redis"]);
        let pins = ["nginx:1", "redis", "unused"].map(|image| (image.to_owned(), DIGEST.parse().unwrap())).into();
        let mut objects = objects.into_vec();
        let used = write(&mut objects, &pins, &places);
        assert_eq!(used, ["nginx:1", "redis"].map(str::to_owned).into());
        let app = &objects.iter().find(|object| object.id.kind == "App").unwrap().value["spec"];
        assert_eq!(
            (app["image"].as_str(), app["other"].as_str()),
            (Some(&*format!("redis@{DIGEST}")), Some("nginx:1"))
        );
        let pod = &objects.iter().find(|object| object.id.kind == "Pod").unwrap().value["spec"]["containers"];
        let images: Vec<_> = pod.as_array().unwrap().iter().map(|c| c["image"].as_str().unwrap()).collect();
        assert_eq!(images, [&*format!("nginx:1@{DIGEST}"), &format!("nginx:1@{DIGEST}"), "${C}"]);
    }
}
