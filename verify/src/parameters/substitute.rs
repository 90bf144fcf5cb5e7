//! Putting values where the statement says variables stand.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Parameter, place::place};
use crate::{
    layer,
    objects::{Object, Objects, identity},
    policy::Policy,
    refusal::Refusal,
};

/// How many bytes replacing may read and write in all, since neither values nor places are the platform's own: a text
/// full of one variable times a large value, or a value that holds its own variable, would have no end.
const MOST_WORK: usize = 64 << 20;

/// The objects with every declared variable replaced by its value or default.
///
/// # Errors
/// [`Refusal::BadParameter`] for a missing, unknown or ill-typed value, a pointer that leads nowhere, or a place that
/// one of `policies` does not open to parameters.
pub fn substitute<P: AsRef<Policy>>(
    objects: Objects,
    parameters: &[Parameter],
    values: &BTreeMap<String, String>,
    policies: &[P],
) -> Result<Objects, Refusal> {
    let bad = |name: &str, problem: String| Refusal::BadParameter { name: name.to_owned(), problem };
    if let Some(unknown) = values.keys().find(|name| !parameters.iter().any(|p| p.name == **name)) {
        return Err(bad(unknown, "is not declared by this release".into()));
    }
    let mut objects: BTreeMap<String, Object> =
        objects.into_vec().into_iter().map(|o| (layer::path(&o.id), o)).collect();
    let mut left = MOST_WORK;
    for parameter in parameters {
        let text = values.get(&parameter.name).or(parameter.default.as_ref());
        let text = text.ok_or_else(|| bad(&parameter.name, "has no value and no default".into()))?;
        let typed = parameter.check(text).map_err(|problem| bad(&parameter.name, problem))?;
        let variable = format!("${{{}}}", parameter.name);
        let pointers = parameter.pointers.iter().map(|p| (p, false)).chain(parameter.typed.iter().map(|p| (p, true)));
        for (location, whole) in pointers {
            let nowhere = || bad(&parameter.name, format!("is said to stand at {location}, and does not"));
            let (path, pointer) = location.split_once('#').ok_or_else(nowhere)?;
            let object = objects.get_mut(path).ok_or_else(nowhere)?;
            permitted(object, pointer, policies).map_err(|problem| bad(&parameter.name, problem))?;
            let place = object.value.pointer_mut(pointer).ok_or_else(nowhere)?;
            let times = place.as_str().map_or(0, |old| old.matches(&variable).count());
            let work = times.saturating_mul(text.len()).saturating_add(place.as_str().map_or(0, str::len));
            let too_much = || bad(&parameter.name, format!("would make the objects grow too much at {location}"));
            left = left.checked_sub(work).ok_or_else(too_much)?;
            match place {
                slot @ Value::String(_) if whole && *slot == *variable => *slot = typed.clone(),
                Value::String(old) if !whole && old.contains(&variable) => *old = old.replace(&variable, text.as_str()),
                _ => return Err(nowhere()),
            }
        }
    }
    let mut all: Vec<Object> = objects.into_values().collect();
    for object in &mut all {
        // A value may have become part of a name: it must still be one, and not a path or a variable again.
        let id = identity::of(&object.value).map_err(|problem| bad("(names)", problem.to_string()))?;
        if id.name.contains("${") || id.namespace.as_ref().is_some_and(|namespace| namespace.contains("${")) {
            return Err(bad("(names)", format!("leave a variable in the name of {id}")));
        }
        object.id = id;
    }
    Objects::new(all).map_err(|twice| {
        let what = twice.iter().map(|d| d.id.to_string()).collect::<Vec<_>>().join(", ");
        bad("(names)", format!("make two objects of one name: {what}"))
    })
}

fn permitted<P: AsRef<Policy>>(object: &Object, pointer: &str, policies: &[P]) -> Result<(), String> {
    if matches!(pointer, "/apiVersion" | "/kind") {
        return Err(format!("would change {} of {}", &pointer[1..], object.id));
    }
    let Some(place) = place(&object.id, pointer) else { return Ok(()) };
    match policies.iter().find(|policy| !policy.as_ref().objects.parameters.contains(&place)) {
        None => Ok(()),
        Some(policy) => Err(format!(
            "stands at {pointer} of {}, and objects.parameters of policy {} does not list {}",
            object.id,
            policy.as_ref().name,
            format!("{place:?}").to_lowercase()
        )),
    }
}
