//! Two sets of objects, object by object. *pure*

use sealift_apply::{
    change::Action,
    diff::{FieldChange, changes},
    explain::Difference,
};
use sealift_verify::objects::{Object, ObjectId, Objects};

/// How one object differs.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) id: ObjectId,
    pub(super) what: What,
    /// What a cluster adds to it.
    pub(super) note: Option<&'static str>,
}

/// In which way.
#[derive(Debug)]
pub(super) enum What {
    Added,
    Removed,
    Changed(Vec<FieldChange>),
    /// A cluster would not take it.
    Refused(String),
}

/// What differs, and how much does not.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) changes: Vec<Change>,
    pub(super) unchanged: usize,
}

/// The same object on both sides, or on one.
pub(super) struct Pair<'a> {
    pub(super) id: &'a ObjectId,
    pub(super) before: Option<&'a Object>,
    pub(super) after: Option<&'a Object>,
}

/// Every object once, in order; whatever version each side writes it in.
pub(super) fn pairs<'a>(before: &'a Objects, after: &'a Objects) -> Vec<Pair<'a>> {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let mut pairs = Vec::with_capacity(before.len().max(after.len()));
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.id.key().cmp(&new.id.key()),
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        pairs.extend(after.or(before).map(|object| Pair { id: &object.id, before, after }));
    }
}

/// What differs between two sets. What only servers write says nothing.
pub(super) fn compare(before: &Objects, after: &Objects) -> Compared {
    let mut compared = Compared::default();
    for Pair { id, before, after } in pairs(before, after) {
        let what = match (before, after) {
            (Some(before), Some(after)) => {
                Some(changes(&before.value, &after.value)).filter(|fields| !fields.is_empty()).map(What::Changed)
            }
            (Some(_), None) => Some(What::Removed),
            (None, _) => Some(What::Added),
        };
        match what {
            Some(what) => compared.changes.push(Change { id: id.clone(), what, note: None }),
            None => compared.unchanged += 1,
        }
    }
    compared
}

/// What a cluster says would change.
pub(super) fn of_cluster(differences: Vec<Difference>) -> Compared {
    let mut compared = Compared::default();
    for Difference { id, action, fields, note, refused, .. } in differences {
        let what = match (refused, action) {
            (Some(why), _) => What::Refused(sealift_verify::chain(&why)),
            (None, Action::Created) => What::Added,
            (None, Action::Deleted) => What::Removed,
            (None, Action::Configured) => What::Changed(fields),
            (None, Action::Unchanged | Action::Skipped) => {
                compared.unchanged += 1;
                continue;
            }
        };
        compared.changes.push(Change { id, what, note });
    }
    compared
}

#[cfg(test)]
pub(super) mod tests {
    use sealift_verify::{artifact::Limits, objects::yaml::Source};

    use super::*;
    use crate::manifests;

    pub(crate) fn objects(text: &str) -> Objects {
        let source = Source { name: "t.yaml".into(), bytes: text.as_bytes().to_vec() };
        manifests::read(&[source], &Limits::default()).unwrap()
    }

    fn map(name: &str, rest: &str) -> String {
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n{rest}\n")
    }

    #[test]
    fn every_object_is_told_once() {
        let before = objects(&[map("a", "data: {x: '1'}"), map("b", ""), map("c", "")].concat());
        let after = objects(&[map("a", "data: {x: '2'}"), map("c", "status: {}"), map("d", "")].concat());
        let Compared { changes, unchanged } = compare(&before, &after);
        let said: Vec<_> = changes
            .iter()
            .map(|change| {
                let what = match &change.what {
                    What::Added => "+".to_owned(),
                    What::Removed => "-".to_owned(),
                    What::Changed(fields) => fields.iter().map(|field| field.path.clone()).collect(),
                    What::Refused(why) => why.clone(),
                };
                format!("{} {what}", change.id.name)
            })
            .collect();
        assert_eq!((said, unchanged), (vec!["a data.x".to_owned(), "b -".into(), "d +".into()], 1));
    }

    #[test]
    fn an_object_in_another_version_is_the_same_object() {
        let version = |version: &str| {
            objects(&format!("apiVersion: example.com/{version}\nkind: Thing\nmetadata: {{name: a}}\n"))
        };
        let Compared { changes, .. } = compare(&version("v1"), &version("v2"));
        assert!(matches!(&changes[..], [Change { what: What::Changed(fields), .. }] if fields[0].path == "apiVersion"));
    }
}
