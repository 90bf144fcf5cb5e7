//! The `index.json` of a layout: which manifest has which tag. Pure data.
//!
//! Entries and fields of other tools survive every change. A name is a tag alone (oras, skopeo, this client), or a whole
//! reference (cosign, an embedded registry), which then has to be of the repository that the layout is read as.

mod draft;

use std::{collections::BTreeMap, fmt};

use sealift_verify::{
    artifact::Descriptor,
    digest::Digest,
    reference::{Repository, is_tag},
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

pub(super) use self::draft::Draft;
use super::LayoutFault;

/// The annotation that holds a name.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// More entries than this are not read.
const MOST_ENTRIES: usize = 10_000;

/// What an index says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index {
    listed: Vec<Listed>,
    unreadable: usize,
}

/// One manifest as the index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) descriptor: Descriptor,
    /// The name, whatever its form.
    pub(super) name: Option<String>,
}

/// Entries as they are written, and no more of them than show that there are too many: whoever wrote the layout decides
/// what they hold, and parsed JSON of any kind takes a hundred times the memory of its text.
struct Entries<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of manifests")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Entries(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while entries.len() <= MOST_ENTRIES
                    && let Some(entry) = list.next_element()?
                {
                    entries.push(entry);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_any(List)
    }
}

impl Index {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LayoutFault> {
        let document: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).map_err(LayoutFault::Index)?;
        let entries = match document.get("manifests") {
            Some(list) => serde_json::from_str::<Entries<'_>>(list.get()).map_err(|_| LayoutFault::NotAnIndex)?.0,
            None => Vec::new(),
        };
        if entries.len() > MOST_ENTRIES {
            return Err(LayoutFault::Entries(MOST_ENTRIES));
        }
        let listed: Vec<_> =
            entries.iter().filter_map(|entry| Some(Listed::of(serde_json::from_str(entry.get()).ok()?))).collect();
        let unreadable = entries.len() - listed.len();
        Ok(Self { listed, unreadable })
    }

    /// What can be read of the entries, and how many cannot.
    pub(super) fn listed(&self) -> (&[Listed], usize) {
        (&self.listed, self.unreadable)
    }

    /// What the tag names, read as `repository`.
    ///
    /// # Errors
    /// If it names two manifests: nobody can say which is meant.
    pub(super) fn resolve(&self, repository: &Repository, tag: &str) -> Result<Option<Digest>, LayoutFault> {
        let mut found = None;
        for one in self.listed.iter().filter(|one| one.tag(repository) == Some(tag)) {
            match found {
                Some(other) if other != one.descriptor.digest => return Err(LayoutFault::TwoNamed(tag.to_owned())),
                _ => found = Some(one.descriptor.digest),
            }
        }
        Ok(found)
    }

    /// Every tag once, in order.
    pub(super) fn tags(&self, repository: &Repository) -> Vec<String> {
        let mut tags: Vec<_> = self.listed.iter().filter_map(|one| one.tag(repository).map(str::to_owned)).collect();
        tags.sort();
        tags.dedup();
        tags
    }
}

impl Listed {
    fn of(mut descriptor: Descriptor) -> Self {
        let name = descriptor.annotations.remove(REF_NAME);
        Self { descriptor, name }
    }

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

#[cfg(test)]
mod tests {
    use sealift_verify::artifact::IMAGE_MANIFEST;
    use serde_json::{Value, json};

    use super::*;

    pub(super) fn repository() -> Repository {
        "registry.example/acme/shop".parse().unwrap()
    }

    pub(super) fn descriptor(content: &str) -> Descriptor {
        Descriptor::of(IMAGE_MANIFEST, content.as_bytes())
    }

    pub(super) fn named(content: &str, name: &str) -> Value {
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
