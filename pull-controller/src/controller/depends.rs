//! What a Delivery waits for before it brings anything new. *pure*
//!
//! Nothing polls: a Delivery that becomes ready wakes those that depend on it.

use std::{collections::BTreeSet, sync::Arc};

use sealift_apply::api::{ALLOW_DEPENDENTS_ANNOTATION, Delivery, condition};

use super::{status::READY, stop::Stop};
use crate::queue::Key;

/// The Deliveries that one depends on.
pub(crate) fn dependencies(delivery: &Delivery) -> impl Iterator<Item = Key> + '_ {
    let own = delivery.metadata.namespace.as_deref().unwrap_or_default();
    let key =
        move |on: &sealift_apply::api::Dependency| Key::new(on.namespace.as_deref().unwrap_or(own), on.name.as_str());
    delivery.spec.depends_on.iter().map(key)
}

/// True if what the Delivery asks for now, and nothing older, is applied and healthy.
pub(crate) fn is_ready(delivery: &Delivery) -> bool {
    let status = delivery.status.as_ref();
    delivery.metadata.deletion_timestamp.is_none()
        && status.is_some_and(|status| {
            status.observed_generation == delivery.metadata.generation
                && condition(&status.conditions, READY).is_some_and(|ready| ready.status == "True")
        })
}

/// Whether all a Delivery depends on is ready; `find` knows every Delivery there is.
pub(super) fn met(delivery: &Delivery, find: impl Fn(&Key) -> Option<Arc<Delivery>>) -> Result<(), Stop> {
    if delivery.spec.depends_on.is_empty() {
        return Ok(());
    }
    let own = Key::from(delivery);
    if let Some(path) = way_back(&own, delivery, &find) {
        let path: Vec<_> = path.iter().map(ToString::to_string).collect();
        return Err(Stop::DependencyCycle(path.join(" → ")));
    }
    let unmet: Vec<_> = dependencies(delivery)
        .filter_map(|on| {
            let problem = match find(&on) {
                // Not even whether it is there is told to whom it has not let depend on it.
                found if on.namespace != own.namespace && !found.as_deref().is_some_and(|on| lets(on, &own)) => {
                    format!("does not let namespace {} depend on it ({ALLOW_DEPENDENTS_ANNOTATION})", own.namespace)
                }
                None => "does not exist".to_owned(),
                Some(found) if is_ready(&found) => return None,
                Some(_) => "is not ready".to_owned(),
            };
            Some(format!("{on} {problem}"))
        })
        .collect();
    if unmet.is_empty() { Ok(()) } else { Err(Stop::Dependency(unmet.join("; "))) }
}

/// True if a Delivery lets those of another namespace depend on it.
fn lets(on: &Delivery, dependent: &Key) -> bool {
    let annotations = on.metadata.annotations.as_ref();
    let allowed = annotations.and_then(|annotations| annotations.get(ALLOW_DEPENDENTS_ANNOTATION));
    allowed
        .is_some_and(|allowed| allowed.split(',').map(str::trim).any(|name| name == "*" || name == dependent.namespace))
}

/// A way from a Delivery along dependencies back to itself, if there is one. Each Delivery is visited once.
fn way_back(own: &Key, delivery: &Delivery, find: &impl Fn(&Key) -> Option<Arc<Delivery>>) -> Option<Vec<Key>> {
    let mut visited = BTreeSet::new();
    let mut ways: Vec<Vec<Key>> = dependencies(delivery).map(|on| vec![own.clone(), on]).collect();
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        if last == own {
            return Some(way);
        }
        if !visited.insert(last.clone()) {
            continue;
        }
        let Some(found) = find(last) else { continue };
        ways.extend(dependencies(&found).map(|on| way.iter().cloned().chain([on]).collect()));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    /// `namespace/name`, what it depends on, whether it is ready, and whom it lets depend on it.
    type Row<'a> = (&'a str, &'a [&'a str], bool, Option<&'a str>);

    fn delivery((name, on, ready, allow): &Row<'_>) -> Delivery {
        let split = |name: &str| name.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let ((namespace, name), on) = (split(name), on.iter().map(|on| split(on)));
        let on: Vec<_> = on.map(|(namespace, name)| json!({"namespace": namespace, "name": name})).collect();
        let annotations = allow.map(|allow| json!({ALLOW_DEPENDENTS_ANNOTATION: allow}));
        let status = if *ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"namespace": namespace, "name": name, "generation": 2, "annotations": annotations},
            "spec": {"repository": "registry.example/app", "select": {"tag": "stable"}, "dependsOn": on},
            "status": {"observedGeneration": 2, "conditions": [
                {"type": "Ready", "status": status, "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    /// How the first of these fares.
    fn told(rows: &[Row<'_>]) -> Result<(), String> {
        let all: HashMap<Key, Arc<Delivery>> =
            rows.iter().map(|row| delivery(row)).map(|delivery| (Key::from(&delivery), Arc::new(delivery))).collect();
        let first = delivery(&rows[0]);
        met(&first, |key| all.get(key).cloned()).map_err(|stop| format!("{}: {stop}", stop.reason()))
    }

    #[test]
    fn everything_it_depends_on_must_be_ready_as_it_is_asked_for_now() {
        assert_eq!(told(&[("n/a", &[], false, None)]), Ok(()));
        assert_eq!(
            told(&[("n/a", &["n/b", "n/c"], false, None), ("n/b", &[], true, None), ("n/c", &[], true, None)]),
            Ok(())
        );
        let error = told(&[("n/a", &["n/b", "n/c"], false, None), ("n/b", &[], false, None)]).unwrap_err();
        assert_eq!(error, "DependencyNotReady: waits for what it depends on: n/b is not ready; n/c does not exist");
        let mut changed = delivery(&("n/b", &[], true, None));
        assert!(is_ready(&changed));
        changed.metadata.generation = Some(3);
        assert!(!is_ready(&changed), "ready, but not yet as it is asked for now");
    }

    #[test]
    fn another_namespace_must_let_it() {
        for (allow, fine) in
            [(None, false), (Some(""), false), (Some("m, n"), true), (Some("*"), true), (Some("nn"), false)]
        {
            let told = told(&[("n/a", &["other/b"], false, None), ("other/b", &[], true, allow)]);
            assert_eq!(told.is_ok(), fine, "{allow:?}");
        }
        let hidden = |there: &[Row<'_>]| told(&[&[("n/a", &["other/b"][..], false, None)], there].concat());
        assert_eq!(hidden(&[]), hidden(&[("other/b", &[], false, None)]), "whether it is there is not told");
    }

    #[test]
    fn a_cycle_is_told_with_its_way_and_one_elsewhere_is_not_ours() {
        assert_eq!(
            told(&[("n/a", &["n/a"], true, None)]).unwrap_err(),
            "DependencyCycle: depends on itself: n/a → n/a"
        );
        let cycle: [Row<'_>; 3] =
            [("n/a", &["n/b"], false, None), ("n/b", &["n/c"], false, None), ("n/c", &["n/a"], false, None)];
        assert_eq!(told(&cycle).unwrap_err(), "DependencyCycle: depends on itself: n/a → n/b → n/c → n/a");
        let elsewhere = [&[("n/z", &["n/a"][..], false, None)], &cycle[..]].concat();
        assert!(told(&elsewhere).unwrap_err().starts_with("DependencyNotReady"));
    }
}
