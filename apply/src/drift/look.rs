//! What a dry-run shows of an object that something had happened to. *pure*

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use super::{Sign, fields, leave};
use crate::{
    api::{DriftMode, DriftSpec, DriftState, IgnoreRule},
    diff::changes,
    inventory::Key,
    owner::{is_ours, mark_of},
};

/// Fields named of an object at most.
const MOST_FIELDS: usize = 10;
/// Fields named of a manager at most.
const MOST_FOREIGN: usize = 5;

/// What a Delivery says about drift, and what is known that bears on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether drift is put right.
    pub mode: DriftMode,
    /// Fields that are left as they are.
    pub ignore: Vec<IgnoreRule>,
    /// Objects that an autoscaler of the release scales.
    pub autoscaled: BTreeSet<Key>,
    /// Fields of the release that somebody takes back again and again, by JSON pointer.
    pub contended: BTreeMap<Key, BTreeSet<String>>,
}

impl Rules {
    /// What the spec says.
    pub fn of(spec: &DriftSpec) -> Self {
        let DriftSpec { mode, ignore } = spec.clone();
        Self { mode, ignore, ..Self::default() }
    }
}

/// A field that differed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// JSON pointer into the object in the cluster.
    pub pointer: String,
    /// JSON pointer into the object of the release, where it has the field.
    pub released: Option<String>,
    /// The field manager that wrote it, if the cluster says.
    pub by: Option<String>,
}

/// What was found to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is done about it.
    pub state: DriftState,
    /// What was seen.
    pub what: String,
    /// The fields; none if the whole object was gone.
    pub fields: Vec<Touched>,
    /// Until when it is left so; `None` if nobody said.
    pub until: Option<Timestamp>,
}

/// What is to be done after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// It is as it should be, or is to be as it is.
    Same,
    /// It is told and left, and stays marked as it was applied.
    Left,
    /// It is written.
    Differs,
}

/// What a look needs.
#[derive(Debug)]
pub(crate) struct Looked<'a> {
    pub(crate) live: &'a Value,
    pub(crate) after: &'a Value,
    /// What the release says.
    pub(crate) released: &'a Value,
    pub(crate) sign: Option<&'a Sign>,
    pub(crate) mode: DriftMode,
    pub(crate) contended: Option<&'a BTreeSet<String>>,
}

/// Compares an object with what it would be once applied.
pub(crate) fn conclude(
    looked: &Looked<'_>,
    takes: &dyn Fn(&ManagedFieldsEntry) -> bool,
) -> (Conclusion, Option<Found>) {
    let Looked { live, after, released, sign, mode, contended } = *looked;
    let entries = fields::entries(live);
    let mut touched: Vec<Touched> = changes(live, after)
        .into_iter()
        .map(|change| {
            let by =
                fields::owners(&entries, live, &change.pointer).max_by_key(|entry| entry.time.as_ref().map(|t| t.0));
            Touched {
                by: by.and_then(|entry| entry.manager.clone()),
                released: leave::place(after, released, &change.pointer)
                    .filter(|place| released.pointer(place).is_some()),
                pointer: change.pointer,
            }
        })
        .collect();
    let taken: Vec<_> = entries.iter().filter(|entry| takes(entry)).collect();
    for entry in &taken {
        touched.extend(beside(entry, released, live, MOST_FIELDS).into_iter().map(|pointer| Touched {
            pointer,
            released: None,
            by: entry.manager.clone(),
        }));
    }
    touched.truncate(MOST_FIELDS);
    let what = || sign.map_or_else(|| Sign::Written.words(), Sign::words);
    let found = |state, fields| Some(Found { state, what: what(), fields, until: None });
    if !touched.is_empty() {
        return match mode {
            DriftMode::Report => (Conclusion::Left, found(DriftState::Reported, touched)),
            DriftMode::Correct => (Conclusion::Differs, found(DriftState::Corrected, touched)),
        };
    }
    // Fields that are left to whoever takes them back differ from the release, and from nothing that would be sent.
    let left: Vec<_> =
        contended.into_iter().flatten().filter_map(|pointer| contended_field(pointer, looked, &entries)).collect();
    let told = if left.is_empty() { None } else { found(DriftState::Contended, left) };
    let (before, now) = (mark_of(live), mark_of(after));
    let held = match (&before, &now) {
        // Equal values under another set of fields: we lost our hold on them, or still hold some we no longer send.
        (Some(before), Some(now)) => before.uid == now.uid && before.fields == now.fields && taken.is_empty(),
        _ => false,
    };
    match (held, mode) {
        (true, _) => (Conclusion::Same, told),
        (false, DriftMode::Report) => (Conclusion::Left, told),
        (false, DriftMode::Correct) => (Conclusion::Differs, told),
    }
}

fn contended_field(pointer: &str, looked: &Looked<'_>, entries: &[ManagedFieldsEntry]) -> Option<Touched> {
    let place = leave::place(looked.released, looked.live, pointer)?;
    if looked.live.pointer(&place) == looked.released.pointer(pointer) {
        return None;
    }
    let by = fields::owners(entries, looked.live, &place).next().and_then(|entry| entry.manager.clone());
    Some(Touched { pointer: place, released: Some(pointer.to_owned()), by })
}

/// What a manager owns beside the release.
fn beside(entry: &ManagedFieldsEntry, released: &Value, live: &Value, most: usize) -> Vec<String> {
    let set = entry.fields_v1.as_ref().map(|fields| &fields.0);
    set.map(|set| fields::beside(set, released, live, most)).unwrap_or_default()
}

/// What managers that are not taken over have beside the release, outside status: it stays.
pub(crate) fn foreign(
    released: &Value,
    live: &Value,
    takes: &dyn Fn(&ManagedFieldsEntry) -> bool,
) -> Vec<(String, Vec<String>)> {
    let entries = fields::entries(live);
    let others = entries.iter().filter(|entry| {
        !is_ours(entry) && !takes(entry) && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    let fields = others.map(|entry| {
        let fields = beside(entry, released, live, MOST_FOREIGN);
        (entry.manager.clone().unwrap_or_default(), fields)
    });
    fields.filter(|(_, fields)| !fields.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &str, entries: &[(&str, &str, Value)]) -> Value {
        let entry = |(manager, operation, fields): &(&str, &str, Value)| {
            json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
                "time": "2026-01-01T00:00:00Z"})
        };
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value, "b": "1"},
            "metadata": {"name": "x", "uid": "u", "managedFields": entries.iter().map(entry).collect::<Vec<_>>()}})
    }

    fn kubectl(entry: &ManagedFieldsEntry) -> bool {
        entry.manager.as_deref().is_some_and(|name| name.starts_with("kubectl"))
    }

    fn judge(
        live: &Value,
        after: &Value,
        mode: DriftMode,
        contended: &[&str],
    ) -> (Conclusion, Option<(DriftState, Vec<String>)>) {
        let contended: BTreeSet<String> = contended.iter().map(|&pointer| pointer.to_owned()).collect();
        let released = json!({"data": {"a": "1", "b": "1"}});
        let looked = Looked { live, after, released: &released, sign: None, mode, contended: Some(&contended) };
        let (conclusion, found) = conclude(&looked, &kubectl);
        let word = |touched: &Touched| format!("{} {}", touched.pointer, touched.by.as_deref().unwrap_or("-"));
        (conclusion, found.map(|found| (found.state, found.fields.iter().map(word).collect())))
    }

    #[test]
    fn a_dry_run_decides_and_names_who_wrote_what() {
        let both = json!({"f:data": {"f:a": {}, "f:b": {}}});
        let (a, b) = (json!({"f:data": {"f:a": {}}}), json!({"f:data": {"f:b": {}}}));
        let ours = || ("sealift", "Apply", both.clone());
        let as_applied = object("1", &[ours()]);
        let changed = object("2", &[("sealift", "Apply", b.clone()), ("injector", "Update", a.clone())]);
        let extra = object("1", &[ours(), ("kubectl-patch", "Update", json!({"f:data": {"f:extra": {}}}))]);
        let lost = object("1", &[("sealift", "Apply", b), ("injector", "Update", a)]);
        use Conclusion::{Differs, Left, Same};
        use DriftMode::{Correct, Report};
        let fields =
            |state, fields: &[&str]| Some((state, fields.iter().map(|&field| field.to_owned()).collect::<Vec<_>>()));
        for (what, live, after, mode, contended, wanted) in [
            ("nothing", &as_applied, &as_applied, Correct, &[][..], (Same, None)),
            (
                "a value",
                &changed,
                &as_applied,
                Correct,
                &[],
                (Differs, fields(DriftState::Corrected, &["/data/a injector"])),
            ),
            ("told", &changed, &as_applied, Report, &[], (Left, fields(DriftState::Reported, &["/data/a injector"]))),
            (
                "a field beside",
                &extra,
                &extra,
                Correct,
                &[],
                (Differs, fields(DriftState::Corrected, &["/data/extra kubectl-patch"])),
            ),
            ("our hold alone", &lost, &as_applied, Correct, &[], (Differs, None)),
            ("our hold alone, told", &lost, &as_applied, Report, &[], (Left, None)),
            (
                "left",
                &changed,
                &changed,
                Correct,
                &["/data/a"],
                (Same, fields(DriftState::Contended, &["/data/a injector"])),
            ),
            ("no more contended", &as_applied, &as_applied, Correct, &["/data/a"], (Same, None)),
        ] {
            assert_eq!(judge(live, after, mode, contended), wanted, "{what}");
        }
    }

    #[test]
    fn what_others_add_is_listed() {
        let ours = ("sealift", "Apply", json!({"f:data": {"f:a": {}}}));
        let live = object(
            "1",
            &[
                ours,
                ("operator", "Update", json!({"f:data": {"f:a": {}, "f:b": {}}})),
                ("kubectl-edit", "Update", json!({"f:data": {"f:c": {}}})),
            ],
        );
        let released = json!({"data": {"a": "1"}});
        assert_eq!(foreign(&released, &live, &kubectl), [("operator".to_owned(), vec!["/data/b".to_owned()])]);
    }
}
