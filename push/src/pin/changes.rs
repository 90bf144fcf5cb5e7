//! What became of a lock.

use std::collections::BTreeMap;

use sealift_verify::digest::Digest;
use serde_json::{Value, json};

use super::{lock::Lock, written::pinned};
use crate::{
    output::{ADDED, CHANGED, REMOVED, paint},
    table::plain,
};

/// One image, before and after; one of them is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) before: Option<Digest>,
    pub(super) after: Option<Digest>,
}

/// Every image of either lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changes<'a>(BTreeMap<&'a str, Change>);

impl<'a> Changes<'a> {
    pub(super) fn between(before: &'a Lock, after: &'a Lock) -> Self {
        let names = before.images.keys().chain(after.images.keys());
        let change =
            |name: &String| Change { before: before.images.get(name).copied(), after: after.images.get(name).copied() };
        Self(names.map(|name| (name.as_str(), change(name))).collect())
    }

    /// One line an image that is not as it was.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(image, change): (&&str, &Change)| {
            let image = plain(image);
            match (change.before, change.after) {
                (None, Some(after)) => Some(paint(ADDED, format!("+ {image} {after}"))),
                (Some(before), None) => Some(paint(REMOVED, format!("- {image} {before}"))),
                (Some(before), Some(after)) if before != after => {
                    Some(paint(CHANGED, format!("~ {image} {before} → {after}")))
                }
                _ => None,
            }
        };
        self.0.iter().filter_map(line).collect()
    }

    pub(super) fn json(&self) -> Vec<Value> {
        let entry = |(image, change): (&&str, &Change)| {
            let word = match (change.before, change.after) {
                (None, _) => "added",
                (_, None) => "removed",
                (before, after) if before != after => "moved",
                _ => "unchanged",
            };
            json!({
                "image": image,
                "pinned": change.after.map(|digest| pinned(image, &digest)),
                "before": change.before.map(|digest| pinned(image, &digest)),
                "change": word,
            })
        };
        self.0.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_told_as_added_moved_removed_or_not_at_all() {
        let digest = |of: &str| Digest::of(of.as_bytes());
        let lock = |images: &[(&str, &str)]| Lock {
            images: images.iter().map(|(image, of)| ((*image).to_owned(), digest(of))).collect(),
            places: Vec::new(),
        };
        let (before, after) =
            (lock(&[("a", "1"), ("b", "1"), ("c", "1")]), lock(&[("b", "1"), ("c", "2"), ("d", "1")]));
        let changes = Changes::between(&before, &after);
        let marks: Vec<_> = changes.lines().iter().map(|line| line.contains('→')).collect();
        assert_eq!(marks, [false, true, false]);
        let words: Vec<_> = changes.json().iter().map(|entry| entry["change"].as_str().unwrap().to_owned()).collect();
        assert_eq!(words, ["removed", "unchanged", "moved", "added"]);
        assert!(Changes::between(&after, &after).lines().is_empty());
    }
}
