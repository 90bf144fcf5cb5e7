//! What was found to differ, for status, events and metrics. *pure*

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

use jiff::Timestamp;
use kube::runtime::events::{Event, EventType};
use sealift_apply::{
    api::{DriftState, DriftStatus, DriftedObject, ForeignFields},
    change::{Action, Change, ChangeSet, Look},
    drift::{Contention, stays_away},
    inventory::Key,
};
use sealift_verify::objects::ObjectId;

use super::events::cut;

/// Findings kept in the status.
const MOST: usize = 20;
/// Fields and managers named of one object.
const MOST_NAMED: usize = 10;
/// Objects named in one event.
const MOST_TOLD: usize = 5;

/// Takes note of what was put right after whom, and of objects that are other ones now.
pub(super) fn fought(contention: &mut Contention, changes: &ChangeSet, now: Instant) {
    for change in &changes.entries {
        let looked = changes.looks.iter().any(|look| look.id == change.id);
        if !looked && matches!(change.action, Action::Created | Action::Configured | Action::Deleted) {
            contention.renewed(&Key::of(&change.id));
        }
    }
    for look in &changes.looks {
        let Some(found) = look.found.as_ref().filter(|found| found.state == DriftState::Corrected) else { continue };
        for touched in &found.fields {
            if let (Some(pointer), Some(by)) = (&touched.released, &touched.by) {
                contention.corrected(&Key::of(&look.id), pointer, by, now);
            }
        }
    }
}

/// Objects that are gone and are not made again, since whoever removed them did so on purpose: they have no health.
pub(super) fn removed_on_purpose(changes: &ChangeSet) -> HashSet<ObjectId> {
    let skipped = changes.entries.iter().filter(|change| change.action == Action::Skipped);
    let reasons = |id: &ObjectId| [stays_away(id, false), stays_away(id, true)];
    let meant = |change: &&Change| change.reason.is_some() && reasons(&change.id).contains(&change.reason.as_deref());
    skipped.filter(meant).map(|change| change.id.clone()).collect()
}

/// What the status says after these changes: what was found now, and before of objects that nothing was done with.
pub(super) fn status(previous: Option<&DriftStatus>, changes: &ChangeSet, now: Timestamp) -> Option<DriftStatus> {
    let before = previous.cloned().unwrap_or_default();
    let done = |object: &DriftedObject| {
        let is = |id: &ObjectId| {
            object.api_version == id.api_version()
                && object.kind == id.kind
                && object.namespace == id.namespace
                && object.name == id.name
        };
        let written = |action| matches!(action, Action::Created | Action::Configured | Action::Deleted);
        changes.looks.iter().any(|look| is(&look.id))
            || object.state.is_open() && changes.entries.iter().any(|change| is(&change.id) && written(change.action))
    };
    let mut objects: Vec<_> = changes.looks.iter().filter_map(|look| drifted(look, &before, now)).collect();
    // What was put right stays told until newer findings take its place.
    let again = |object: &DriftedObject| objects.iter().any(|new| same(new, object));
    let corrected = |object: &DriftedObject| object.state == DriftState::Corrected && !again(object);
    let kept: Vec<_> = before.objects.iter().filter(|object| !done(object) || corrected(object)).cloned().collect();
    objects.extend(kept);
    objects.sort_by(|a, b| (!a.state.is_open(), b.at, &a.name).cmp(&(!b.state.is_open(), a.at, &b.name)));
    let open = objects.iter().filter(|object| object.state.is_open()).count() as u64;
    objects.truncate(MOST);
    let mut foreign: Vec<_> = changes.looks.iter().flat_map(foreign).collect();
    let looked: Vec<_> = changes.looks.iter().map(|look| look.id.to_string()).collect();
    foreign.extend(before.foreign.into_iter().filter(|fields| !looked.contains(&fields.object)));
    foreign.truncate(MOST);
    let next = DriftStatus { open, objects, foreign };
    (next != DriftStatus::default()).then_some(next)
}

/// When the first of the changes by hand that are held is over, of those that are not over yet.
pub(super) fn ends(status: Option<&DriftStatus>, now: Timestamp) -> Option<Timestamp> {
    held(status).filter(|until| *until > now).min()
}

/// True if the time of one of them is over.
pub(super) fn is_over(status: Option<&DriftStatus>, now: Timestamp) -> bool {
    held(status).any(|until| until <= now)
}

fn held(status: Option<&DriftStatus>) -> impl Iterator<Item = Timestamp> {
    status.into_iter().flat_map(|status| &status.objects).filter_map(|object| object.until)
}

fn same(a: &DriftedObject, b: &DriftedObject) -> bool {
    (&a.api_version, &a.kind, &a.namespace, &a.name) == (&b.api_version, &b.kind, &b.namespace, &b.name)
}

fn drifted(look: &Look, before: &DriftStatus, now: Timestamp) -> Option<DriftedObject> {
    let found = look.found.as_ref()?;
    let ObjectId { kind, namespace, name, .. } = look.id.clone();
    let mut by: Vec<_> = found.fields.iter().filter_map(|field| field.by.clone()).collect();
    by.sort();
    by.dedup();
    by.truncate(MOST_NAMED);
    let fields = found.fields.iter().take(MOST_NAMED).map(|field| field.pointer.clone()).collect();
    let (api_version, what) = (look.id.api_version(), found.what.clone());
    let new = DriftedObject {
        api_version,
        kind,
        namespace,
        name,
        state: found.state,
        what,
        fields,
        by,
        at: now,
        until: found.until,
    };
    // What stays open is told since it was first seen.
    let known = before.objects.iter().find(|known| **known == DriftedObject { at: known.at, ..new.clone() });
    Some(known.filter(|known| known.state.is_open()).cloned().unwrap_or(new))
}

fn foreign(look: &Look) -> impl Iterator<Item = ForeignFields> {
    let fields = |(manager, fields): &(String, Vec<String>)| ForeignFields {
        object: look.id.to_string(),
        manager: manager.clone(),
        fields: fields.clone(),
    };
    look.foreign.iter().map(fields)
}

/// One event for each sort of finding that the status did not tell before.
pub(super) fn events(previous: Option<&DriftStatus>, next: Option<&DriftStatus>) -> Vec<Event> {
    let known = previous.map(|status| &status.objects[..]).unwrap_or_default();
    let news: Vec<_> =
        next.iter().flat_map(|status| &status.objects).filter(|object| !known.contains(object)).collect();
    let event = |state: DriftState| {
        let objects: Vec<_> = news.iter().filter(|object| object.state == state).collect();
        let mut told: Vec<_> = objects.iter().take(MOST_TOLD).map(|object| words(object)).collect();
        told.extend((objects.len() > MOST_TOLD).then(|| format!("and {} more", objects.len() - MOST_TOLD)));
        let note = told.join("; ");
        // The same action and reason only raise a count, and the note is lost: another finding is another action.
        let mut hasher = DefaultHasher::new();
        (&note, objects.iter().map(|object| object.at).max()).hash(&mut hasher);
        (!objects.is_empty()).then(|| Event {
            type_: if state.is_open() { EventType::Warning } else { EventType::Normal },
            reason: format!("Drift{}", state.as_str()),
            note: Some(cut(note)),
            action: format!("Correct-{:x}", hasher.finish()),
            secondary: None,
        })
    };
    [DriftState::Held, DriftState::Contended, DriftState::Reported, DriftState::Corrected]
        .into_iter()
        .filter_map(event)
        .collect()
}

fn words(object: &DriftedObject) -> String {
    let DriftedObject { kind, namespace, name, what, fields, by, .. } = object;
    let place = namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let fields = if fields.is_empty() { what.clone() } else { fields.join(", ") };
    let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
    format!("{kind} {place}{name}: {fields}{by}")
}

#[cfg(test)]
mod tests {
    use sealift_apply::drift::{Found, Touched};

    use super::*;

    fn id(name: &str) -> ObjectId {
        let (group, version, kind) = (String::new(), "v1".to_owned(), "ConfigMap".to_owned());
        ObjectId { group, version, kind, namespace: Some("apps".into()), name: name.into() }
    }

    fn look(name: &str, state: Option<DriftState>) -> ChangeSet {
        let touched =
            Touched { pointer: "/data/a".into(), released: Some("/data/a".into()), by: Some("injector".into()) };
        let found = state.map(|state| Found { state, what: "x".into(), fields: vec![touched], until: None });
        ChangeSet { looks: vec![Look { id: id(name), found, foreign: vec![] }], ..ChangeSet::default() }
    }

    fn told(status: Option<&DriftStatus>) -> Vec<String> {
        status.iter().flat_map(|status| &status.objects).map(|o| format!("{} {}", o.name, o.state.as_str())).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_open_stays_told_once_until_it_is_put_right() {
        let first = status(None, &look("a", Some(DriftState::Reported)), at(1));
        assert_eq!((told(first.as_ref()), first.as_ref().unwrap().open), (vec!["a Reported".to_owned()], 1));
        let event = events(None, first.as_ref()).pop().unwrap();
        assert_eq!(event.reason, "DriftReported");
        assert_eq!(event.note.as_deref(), Some("ConfigMap apps/a: /data/a by injector"));
        // Seen again it is no news.
        let again = status(first.as_ref(), &look("a", Some(DriftState::Reported)), at(2));
        assert_eq!(again, first);
        let second = status(first.as_ref(), &look("b", Some(DriftState::Corrected)), at(3));
        assert_eq!(told(second.as_ref()), ["a Reported", "b Corrected"]);
        assert_eq!(events(first.as_ref(), second.as_ref()).len(), 1);
        // A release that writes the object puts it right.
        let mut changes = ChangeSet::default();
        changes.push(id("a"), Action::Configured, None);
        let third = status(second.as_ref(), &changes, at(4));
        assert_eq!((told(third.as_ref()), third.as_ref().unwrap().open), (vec!["b Corrected".to_owned()], 0));
        // A look that finds nothing does too, and keeps what was put right.
        let fine = status(second.as_ref(), &look("a", None), at(5));
        assert_eq!(told(fine.as_ref()), ["b Corrected"]);
        assert_eq!(told(status(third.as_ref(), &look("b", None), at(6)).as_ref()), ["b Corrected"]);
        assert!(events(second.as_ref(), fine.as_ref()).is_empty());
    }

    #[test]
    fn findings_have_a_bound_and_the_oldest_go_first() {
        let mut told_before = None;
        for second in 0..30 {
            told_before =
                status(told_before.as_ref(), &look(&format!("o{second}"), Some(DriftState::Corrected)), at(second));
        }
        let names = told(told_before.as_ref());
        assert_eq!((names.len(), names[0].as_str()), (MOST, "o29 Corrected"));
    }

    #[test]
    fn what_is_fought_about_is_remembered_until_the_object_changes() {
        let (now, mut contention) = (Instant::now(), Contention::default());
        for _ in 0..3 {
            fought(&mut contention, &look("a", Some(DriftState::Corrected)), now);
        }
        assert_eq!(contention.left().len(), 1);
        let mut changes = ChangeSet::default();
        changes.push(id("a"), Action::Configured, None);
        fought(&mut contention, &changes, now);
        assert!(contention.left().is_empty());
    }
}
