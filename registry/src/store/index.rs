//! The `index.json` of a layout: which manifest has which tag. Pure data.
//!
//! Entries and fields of other tools survive every change. A name is a tag alone (oras, skopeo, this client), or a whole
//! reference (cosign, an embedded registry), which then has to be of the repository that the layout is read as.

use sealift_verify::{
    artifact::{Descriptor, IMAGE_INDEX},
    digest::Digest,
    reference::{Repository, is_tag},
};
use serde_json::{Map, Value, json};

use super::LayoutFault;

/// The annotation that holds a name.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// More entries than this are not read.
const MOST_ENTRIES: usize = 10_000;

/// An index that can be changed without losing what it does not know.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index {
    document: Map<String, Value>,
    entries: Vec<Value>,
}

/// One manifest as the index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) descriptor: Descriptor,
    /// The name, whatever its form.
    pub(super) name: Option<String>,
}

impl Index {
    /// An index that lists nothing.
    pub(super) fn empty() -> Self {
        let Value::Object(document) = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX}) else {
            unreachable!("it is written as an object")
        };
        Self { document, entries: Vec::new() }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LayoutFault> {
        let mut document: Map<String, Value> = serde_json::from_slice(bytes).map_err(LayoutFault::Index)?;
        let entries = match document.remove("manifests") {
            Some(Value::Array(entries)) => entries,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(LayoutFault::NotAnIndex),
        };
        if entries.len() > MOST_ENTRIES {
            return Err(LayoutFault::Entries(MOST_ENTRIES));
        }
        Ok(Self { document, entries })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut document = self.document.clone();
        document.insert("manifests".to_owned(), Value::Array(self.entries.clone()));
        serde_json::to_vec_pretty(&document).expect("JSON values are written as they were read")
    }

    /// What can be read of the entries, and how many cannot.
    pub(super) fn listed(&self) -> (Vec<Listed>, usize) {
        let read: Vec<_> = self.entries.iter().filter_map(listed).collect();
        let unreadable = self.entries.len() - read.len();
        (read, unreadable)
    }

    /// What the tag names, read as `repository`.
    ///
    /// # Errors
    /// If it names two manifests: nobody can say which is meant.
    pub(super) fn resolve(&self, repository: &Repository, tag: &str) -> Result<Option<Digest>, LayoutFault> {
        let (listed, _) = self.listed();
        let mut found = None;
        for one in listed.iter().filter(|one| one.tag(repository) == Some(tag)) {
            match found {
                Some(other) if other != one.descriptor.digest => return Err(LayoutFault::TwoNamed(tag.to_owned())),
                _ => found = Some(one.descriptor.digest),
            }
        }
        Ok(found)
    }

    /// Every tag once, in order.
    pub(super) fn tags(&self, repository: &Repository) -> Vec<String> {
        let (listed, _) = self.listed();
        let mut tags: Vec<_> = listed.iter().filter_map(|one| one.tag(repository).map(str::to_owned)).collect();
        tags.sort();
        tags.dedup();
        tags
    }

    /// Lists a manifest, under a tag if one is given, which no other then has. Whether anything changed.
    ///
    /// What loses its tag stays listed: a manifest that no entry leads to is garbage to other tools.
    pub(super) fn enter(&mut self, repository: &Repository, manifest: &Descriptor, tag: Option<&str>) -> bool {
        let before = self.entries.clone();
        let mut untagged = Vec::new();
        if let Some(tag) = tag {
            self.entries.retain(|entry| {
                let Some(one) = listed(entry) else { return true };
                let replaced = one.tag(repository) == Some(tag);
                if replaced && one.descriptor.digest != manifest.digest {
                    untagged.push(without_name(entry));
                }
                // The manifest itself is listed once more below; without a name it then need not be.
                let repeated = one.name.is_none() && one.descriptor.digest == manifest.digest;
                !(replaced || repeated)
            });
        }
        for entry in untagged {
            self.list(entry);
        }
        let mut entry = json!(manifest);
        if let Some(tag) = tag {
            name(&mut entry, tag);
            self.entries.push(entry);
        } else {
            self.list(entry);
        }
        self.entries != before
    }

    fn list(&mut self, entry: Value) {
        if !self.entries.iter().any(|other| other["digest"] == entry["digest"]) {
            self.entries.push(entry);
        }
    }
}

impl Listed {
    /// The tag that this entry has in `repository`.
    fn tag(&self, repository: &Repository) -> Option<&str> {
        let name = self.name.as_deref()?;
        if is_tag(name) {
            return Some(name);
        }
        let (of, tag) = name.rsplit_once(':')?;
        let ours = of == repository.path() || of == repository.to_string();
        (ours && is_tag(tag)).then_some(tag)
    }
}

fn listed(entry: &Value) -> Option<Listed> {
    let mut descriptor: Descriptor = serde_json::from_value(entry.clone()).ok()?;
    let name = descriptor.annotations.remove(REF_NAME);
    Some(Listed { descriptor, name })
}

fn name(entry: &mut Value, tag: &str) {
    if let Some(entry) = entry.as_object_mut() {
        let annotations = entry.entry("annotations").or_insert_with(|| json!({}));
        annotations[REF_NAME] = json!(tag);
    }
}

fn without_name(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Some(annotations) = entry.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(REF_NAME);
        if annotations.is_empty()
            && let Some(entry) = entry.as_object_mut()
        {
            entry.remove("annotations");
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use sealift_verify::artifact::IMAGE_MANIFEST;

    use super::*;

    fn repository() -> Repository {
        "registry.example/acme/shop".parse().unwrap()
    }

    fn descriptor(content: &str) -> Descriptor {
        Descriptor::of(IMAGE_MANIFEST, content.as_bytes())
    }

    fn named(content: &str, name: &str) -> Value {
        let mut entry = json!(descriptor(content));
        entry["annotations"] = json!({REF_NAME: name});
        entry
    }

    fn index(entries: &[Value]) -> Index {
        Index::parse(json!({"schemaVersion": 2, "manifests": entries}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_tag_is_found_by_itself_and_by_whole_references_of_the_repository() {
        for (name, found) in [
            ("prod", true),
            ("acme/shop:prod", true),
            ("registry.example/acme/shop:prod", true),
            ("other.example/acme/shop:prod", false),
            ("acme/other:prod", false),
            ("../shop:prod", false),
            ("prod ", false),
        ] {
            let index = index(&[named("a", name)]);
            let expected = found.then(|| Digest::of(b"a"));
            assert_eq!(index.resolve(&repository(), "prod").unwrap(), expected, "{name}");
            assert_eq!(index.tags(&repository()).len(), usize::from(found), "{name}");
        }
    }

    #[test]
    fn a_tag_that_names_two_manifests_names_none() {
        let both = index(&[named("a", "prod"), named("b", "prod")]);
        assert!(matches!(both.resolve(&repository(), "prod"), Err(LayoutFault::TwoNamed(_))));
        let twice = index(&[named("a", "prod"), named("a", "acme/shop:prod")]);
        assert_eq!(twice.resolve(&repository(), "prod").unwrap(), Some(Digest::of(b"a")));
    }

    #[test]
    fn a_moved_tag_leaves_its_manifest_listed_and_foreign_entries_as_they_were() {
        let foreign =
            json!({"mediaType": "x", "digest": format!("sha512:{}", "0".repeat(128)), "size": 1, "data": "e30="});
        let mut index = index(&[foreign.clone(), named("a", "prod")]);
        assert!(index.enter(&repository(), &descriptor("b"), Some("prod")));
        assert_eq!(index.resolve(&repository(), "prod").unwrap(), Some(Digest::of(b"b")));
        assert_eq!(index.entries[0], foreign);
        let (listed, unreadable) = index.listed();
        let digests: Vec<_> = listed.iter().map(|one| (one.descriptor.digest, one.name.as_deref())).collect();
        assert_eq!(digests, [(Digest::of(b"a"), None), (Digest::of(b"b"), Some("prod"))]);
        assert_eq!(unreadable, 1);
        let once = index.clone();
        assert!(!index.enter(&repository(), &descriptor("a"), None), "it is listed already");
        index.enter(&repository(), &descriptor("b"), Some("prod"));
        assert_eq!(index.listed().0.len(), once.listed().0.len());
    }

    #[test]
    fn junk_is_an_error_and_too_much_of_it_too() {
        for text in ["", "[]", "7", r#"{"manifests": 1}"#, r#"{"manifests": {"a": 1}}"#] {
            assert!(Index::parse(text.as_bytes()).is_err(), "{text}");
        }
        let many = vec![json!(7); MOST_ENTRIES + 1];
        let error = Index::parse(json!({"manifests": many}).to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, LayoutFault::Entries(_)));
        let odd = index(&[json!(7), json!({"digest": "../../etc/passwd"}), json!(null)]);
        assert_eq!((odd.listed().0.len(), odd.listed().1), (0, 3));
    }
}
