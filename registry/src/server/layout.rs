//! How an OCI image layout's `index.json` says which repository has which manifest.
//!
//! Every manifest of every repository has a descriptor there, annotated `org.opencontainers.image.ref.name`:
//! `repo/path:tag` once per tag, or `repo/path@sha256:…` when it has no tag (a child of an index, a signature). So
//! a manifest stays reachable by digest in exactly the repositories it was pushed to. Blobs have no entry: a repository
//! has, after a restart, the blobs that its manifests name.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    catalogue::Catalogue,
    content_digest::ContentDigest,
    manifest::Manifest,
    route::{Reference, is_name, is_tag},
};

pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The `index.json` of an image layout, with descriptors as they are.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    pub(super) manifests: Vec<Value>,
}

/// What this registry reads of a descriptor in `index.json`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: ContentDigest,
    pub(super) media_type: String,
    /// The repository and the tag, or no tag; nothing if another tool wrote a name that is not of this form.
    pub(super) name: Option<(String, Option<String>)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexFile {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Value>,
}

/// The same of a layout that other tools wrote for one repository, which is read as `name`: by tag alone, or by whole
/// references to a repository of that path.
pub(super) fn entry_of(descriptor: &Value, name: &str) -> Option<Entry> {
    let entry = entry(descriptor)?;
    let tag = match descriptor["annotations"][REF_NAME].as_str() {
        Some(tag) if is_tag(tag) => Some(tag.to_owned()),
        Some(reference) => reference
            .rsplit_once(':')
            .filter(|(of, tag)| (*of == name || of.ends_with(&format!("/{name}"))) && is_tag(tag))
            .map(|(_, tag)| tag.to_owned()),
        None => None,
    };
    Some(Entry { name: Some((name.to_owned(), tag)), ..entry })
}

/// Reads a descriptor; nothing if it is not one.
pub(super) fn entry(descriptor: &Value) -> Option<Entry> {
    let digest = ContentDigest::parse(descriptor["digest"].as_str()?)?;
    let media_type = descriptor["mediaType"].as_str()?.to_owned();
    let name = descriptor["annotations"][REF_NAME].as_str().and_then(|name| repository_and_tag(name, &digest));
    Some(Entry { digest, media_type, name })
}

fn repository_and_tag(ref_name: &str, digest: &ContentDigest) -> Option<(String, Option<String>)> {
    if let Some((repository, named)) = ref_name.split_once('@') {
        let right = is_name(repository) && ContentDigest::parse(named).as_ref() == Some(digest);
        return right.then(|| (repository.to_owned(), None));
    }
    let (repository, tag) = ref_name.rsplit_once(':')?;
    (is_name(repository) && is_tag(tag)).then(|| (repository.to_owned(), Some(tag.to_owned())))
}

/// The bytes of `index.json` for `catalogue`, after the `foreign` descriptors that other tools put there.
pub(super) fn render(catalogue: &Catalogue, foreign: &[Value]) -> Result<Vec<u8>, serde_json::Error> {
    let mut manifests = foreign.to_vec();
    for (name, repository) in catalogue.iter() {
        for (tag, digest) in &repository.tags {
            if let Some((digest, manifest)) = repository.resolve(&Reference::Digest(*digest)) {
                manifests.push(descriptor(&digest, &manifest, format!("{name}:{tag}")));
            }
        }
        let tagged: std::collections::HashSet<_> = repository.tags.values().collect();
        for (digest, manifest) in repository.manifests.iter().filter(|(digest, _)| !tagged.contains(digest)) {
            manifests.push(descriptor(digest, manifest, format!("{name}@{digest}")));
        }
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    serde_json::to_vec_pretty(&IndexFile { schema_version: 2, media_type, manifests })
}

fn descriptor(digest: &ContentDigest, manifest: &Manifest, ref_name: String) -> Value {
    json!({
        "mediaType": manifest.media_type,
        "digest": digest.to_string(),
        "size": manifest.size,
        "annotations": { REF_NAME: ref_name },
    })
}

#[cfg(test)]
mod tests {
    use super::{super::content_digest::Algorithm, *};

    #[test]
    fn reads_the_names_it_writes_and_leaves_others_alone() {
        let digest = ContentDigest::of(Algorithm::Sha256, b"");
        let other = ContentDigest::of(Algorithm::Sha256, b"other");
        let cases = [
            ("a/b:v1".to_owned(), Some(("a/b".to_owned(), Some("v1".to_owned())))),
            (format!("a/b@{digest}"), Some(("a/b".to_owned(), None))),
            (format!("a/b@{other}"), None),
            ("latest".to_owned(), None),
            ("../a:v1".to_owned(), None),
            ("a:".to_owned(), None),
        ];
        for (ref_name, expected) in cases {
            assert_eq!(repository_and_tag(&ref_name, &digest), expected, "{ref_name}");
        }
    }

    #[test]
    fn writes_one_descriptor_per_tag_and_one_for_a_manifest_without_tag() {
        let bytes = br#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
        let manifest = std::sync::Arc::new(Manifest::read("", bytes).unwrap());
        let (tagged, bare) =
            (ContentDigest::of(Algorithm::Sha256, b"tagged"), ContentDigest::of(Algorithm::Sha256, b"bare"));
        let mut catalogue = Catalogue::default();
        let tags = vec!["v1".to_owned(), "stable".to_owned()];
        catalogue.entry("a").add_manifest(tagged, std::sync::Arc::clone(&manifest), tags);
        catalogue.entry("a").add_manifest(bare, manifest, Vec::new());
        let foreign = json!({"mediaType": "x", "digest": bare.to_string(), "size": 1});
        let index: Index =
            serde_json::from_slice(&render(&catalogue, std::slice::from_ref(&foreign)).unwrap()).unwrap();
        assert_eq!(index.manifests[0], foreign);
        let names: Vec<_> =
            index.manifests[1..].iter().map(|it| it["annotations"][REF_NAME].as_str().unwrap()).collect();
        assert_eq!(names, ["a:stable".to_owned(), "a:v1".to_owned(), format!("a@{bare}")]);
    }
}
