//! Which repository has which tags, manifests and blobs. Pure data; the bytes lie in [`super::blobs`].

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{content_digest::ContentDigest, manifest::Manifest, route::Reference};

/// All repositories. One exists as long as something is in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalogue {
    repositories: BTreeMap<String, Repository>,
}

/// One repository's content.
#[derive(Debug, Clone, Default)]
pub(super) struct Repository {
    pub(super) tags: BTreeMap<String, ContentDigest>,
    pub(super) manifests: BTreeMap<ContentDigest, Arc<Manifest>>,
    pub(super) blobs: HashSet<ContentDigest>,
}

impl Catalogue {
    pub(super) fn get(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// The repository to add to.
    pub(super) fn entry(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Repository)> {
        self.repositories.iter()
    }

    /// Whether repository `name` has the blob.
    pub(super) fn has_blob(&self, name: &str, digest: &ContentDigest) -> bool {
        self.get(name).is_some_and(|repository| repository.blobs.contains(digest))
    }

    /// Whether any repository has the content, as a blob or as a manifest.
    pub(super) fn holds(&self, digest: &ContentDigest) -> bool {
        self.repositories.values().any(|it| it.blobs.contains(digest) || it.manifests.contains_key(digest))
    }

    /// Whether any repository has the blob: what a mount without `from` asks.
    pub(super) fn any_has_blob(&self, digest: &ContentDigest) -> bool {
        self.repositories.values().any(|it| it.blobs.contains(digest))
    }

    /// Takes the blob out of the repository; whether it was there.
    pub(super) fn remove_blob(&mut self, name: &str, digest: &ContentDigest) -> bool {
        self.edit(name, |repository| repository.blobs.remove(digest))
    }

    /// Takes the manifest and every tag that names it out of the repository; whether it was there.
    pub(super) fn remove_manifest(&mut self, name: &str, digest: &ContentDigest) -> bool {
        self.edit(name, |repository| {
            repository.tags.retain(|_, target| target != digest);
            repository.manifests.remove(digest).is_some()
        })
    }

    /// Takes the tag off; the manifest stays reachable by digest. Whether it was there.
    pub(super) fn remove_tag(&mut self, name: &str, tag: &str) -> bool {
        self.edit(name, |repository| repository.tags.remove(tag).is_some())
    }

    fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Repository) -> bool) -> bool {
        let Some(repository) = self.repositories.get_mut(name) else { return false };
        let changed = edit(repository);
        if repository.manifests.is_empty() && repository.blobs.is_empty() {
            self.repositories.remove(name);
        }
        changed
    }
}

impl Repository {
    /// The manifest that `reference` names, with its digest.
    pub(super) fn resolve(&self, reference: &Reference) -> Option<(ContentDigest, Arc<Manifest>)> {
        let digest = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => self.tags.get(tag)?,
        };
        self.manifests.get(digest).map(|manifest| (*digest, Arc::clone(manifest)))
    }

    /// Adds a manifest and points `tags` at it.
    pub(super) fn add_manifest(&mut self, digest: ContentDigest, manifest: Arc<Manifest>, tags: Vec<String>) {
        self.manifests.insert(digest, manifest);
        self.tags.extend(tags.into_iter().map(|tag| (tag, digest)));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::content_digest::Algorithm, *};

    fn manifest() -> (ContentDigest, Arc<Manifest>) {
        let bytes = br#"{"schemaVersion":2}"#;
        let manifest = Manifest::read("application/vnd.oci.image.manifest.v1+json", bytes).unwrap();
        (ContentDigest::of(Algorithm::Sha256, bytes), Arc::new(manifest))
    }

    #[test]
    fn a_manifest_outlives_its_tag_but_no_tag_outlives_its_manifest() {
        let (digest, manifest) = manifest();
        let mut catalogue = Catalogue::default();
        catalogue.entry("a").add_manifest(digest, manifest, vec!["one".to_owned(), "two".to_owned()]);
        assert!(catalogue.remove_tag("a", "one"));
        assert!(!catalogue.remove_tag("a", "one"));
        assert!(catalogue.get("a").unwrap().resolve(&Reference::Digest(digest)).is_some());
        assert!(catalogue.remove_manifest("a", &digest));
        assert!(catalogue.get("a").is_none(), "an empty repository is no repository");
    }

    #[test]
    fn content_of_one_repository_is_not_seen_from_another() {
        let (digest, manifest) = manifest();
        let mut catalogue = Catalogue::default();
        catalogue.entry("a").add_manifest(digest, manifest, Vec::new());
        catalogue.entry("b").blobs.insert(digest);
        assert!(!catalogue.has_blob("a", &digest));
        assert!(catalogue.remove_manifest("a", &digest));
        assert!(catalogue.holds(&digest), "b still has it");
    }
}
