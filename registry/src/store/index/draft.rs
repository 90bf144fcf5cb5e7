//! An index on its way to being written: what it does not know survives.

use sealift_verify::{
    artifact::{Descriptor, IMAGE_INDEX},
    reference::Repository,
};
use serde_json::{Map, Value, json};

use super::{Index, Listed, MOST_ENTRIES, REF_NAME};
use crate::store::{INDEX_LIMIT, LayoutFault};

/// An index that can be changed without losing what it does not know.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Draft {
    document: Map<String, Value>,
    entries: Vec<Value>,
}

impl Draft {
    /// An index that lists nothing.
    pub(in crate::store) fn empty() -> Self {
        let Value::Object(document) = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX}) else {
            unreachable!("it is written as an object")
        };
        Self { document, entries: Vec::new() }
    }

    pub(in crate::store) fn parse(bytes: &[u8]) -> Result<Self, LayoutFault> {
        Index::parse(bytes)?;
        let mut document: Map<String, Value> = serde_json::from_slice(bytes).map_err(LayoutFault::Index)?;
        let entries = match document.remove("manifests") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        Ok(Self { document, entries })
    }

    /// The index as it is written.
    ///
    /// # Errors
    /// [`LayoutFault::Full`] if nobody would read it: the layout stays what it is.
    pub(in crate::store) fn to_bytes(&self) -> Result<Vec<u8>, LayoutFault> {
        let mut document = self.document.clone();
        document.insert("manifests".to_owned(), Value::Array(self.entries.clone()));
        let bytes = serde_json::to_vec_pretty(&document).expect("JSON values are written as they were read");
        match self.entries.len() > MOST_ENTRIES || bytes.len() as u64 > INDEX_LIMIT {
            true => Err(LayoutFault::Full { entries: MOST_ENTRIES, bytes: INDEX_LIMIT }),
            false => Ok(bytes),
        }
    }

    /// Lists a manifest, under a tag if one is given, which no other then has.
    ///
    /// What loses its tag stays listed: a manifest that no entry leads to is garbage to other tools.
    pub(in crate::store) fn enter(&mut self, repository: &Repository, manifest: &Descriptor, tag: Option<&str>) {
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
    }

    fn list(&mut self, entry: Value) {
        if !self.entries.iter().any(|other| other["digest"] == entry["digest"]) {
            self.entries.push(entry);
        }
    }
}

fn listed(entry: &Value) -> Option<Listed> {
    serde_json::from_value(entry.clone()).ok().map(Listed::of)
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
    use sealift_verify::digest::Digest;

    use super::{
        super::tests::{descriptor, named, repository},
        *,
    };

    fn draft(entries: &[Value]) -> Draft {
        Draft::parse(json!({"schemaVersion": 2, "manifests": entries}).to_string().as_bytes()).unwrap()
    }

    fn read(draft: &Draft) -> Index {
        Index::parse(&draft.to_bytes().unwrap()).unwrap()
    }

    #[test]
    fn a_moved_tag_leaves_its_manifest_listed_and_foreign_entries_as_they_were() {
        let foreign =
            json!({"mediaType": "x", "digest": format!("sha512:{}", "0".repeat(128)), "size": 1, "data": "e30="});
        let mut draft = draft(&[foreign.clone(), named("a", "prod")]);
        draft.enter(&repository(), &descriptor("b"), Some("prod"));
        let index = read(&draft);
        assert_eq!(index.resolve(&repository(), "prod").unwrap(), Some(Digest::of(b"b")));
        assert_eq!(draft.entries[0], foreign);
        let (listed, unreadable) = index.listed();
        let digests: Vec<_> = listed.iter().map(|one| (one.descriptor.digest, one.name.as_deref())).collect();
        assert_eq!(digests, [(Digest::of(b"a"), None), (Digest::of(b"b"), Some("prod"))]);
        assert_eq!(unreadable, 1);
        let once = draft.clone();
        draft.enter(&repository(), &descriptor("a"), None);
        assert_eq!(draft, once, "it is listed already");
        draft.enter(&repository(), &descriptor("b"), Some("prod"));
        assert_eq!(draft.entries.len(), once.entries.len());
    }

    /// It was written before, and then nobody could read it: not even to take something out.
    #[test]
    fn an_index_that_nobody_would_read_is_not_written() {
        let mut draft = draft(&vec![json!(7); MOST_ENTRIES - 1]);
        draft.enter(&repository(), &descriptor("a"), None);
        read(&draft);
        draft.enter(&repository(), &descriptor("b"), None);
        assert!(matches!(draft.to_bytes(), Err(LayoutFault::Full { .. })));
        let mut large = descriptor("large");
        large.annotations.insert("a".to_owned(), "x".repeat(INDEX_LIMIT as usize));
        let mut draft = Draft::empty();
        draft.enter(&repository(), &large, None);
        assert!(matches!(draft.to_bytes(), Err(LayoutFault::Full { .. })));
    }
}
