//! By which fields the items of a list are told apart: the merge keys of Kubernetes' own types, and names elsewhere.

use std::collections::BTreeMap;

use serde_json::Value;

/// Items by their keys, each with its index.
type Keyed<'a> = BTreeMap<String, (usize, &'a Value)>;

const NAME: &[&[&str]] = &[&["name"]];

/// For lists of this name, the fields that tell items apart; the first that do so on both sides count.
const KEYS: &[(&str, &[&[&str]])] = &[
    ("ports", &[&["name"], &["containerPort", "protocol"], &["port", "protocol"]]),
    ("volumeMounts", &[&["mountPath"]]),
    ("volumeDevices", &[&["devicePath"]]),
    ("hostAliases", &[&["ip"]]),
    ("topologySpreadConstraints", &[&["topologyKey", "whenUnsatisfiable"]]),
    ("subjects", &[&["kind", "namespace", "name"]]),
    ("conditions", &[&["type"]]),
    ("ownerReferences", &[&["uid"]]),
];

/// Both lists by the same keys, if every item has one and no two of a list have the same.
pub(super) fn by_key<'a>(list: &str, before: &'a [Value], after: &'a [Value]) -> Option<(Keyed<'a>, Keyed<'a>)> {
    let candidates = KEYS.iter().find(|(name, _)| *name == list).map_or(NAME, |(_, candidates)| candidates);
    candidates.iter().find_map(|fields| Some((keyed(before, fields)?, keyed(after, fields)?)))
}

fn keyed<'a>(items: &'a [Value], fields: &[&str]) -> Option<Keyed<'a>> {
    let keyed: Option<Keyed<'a>> =
        items.iter().enumerate().map(|(index, item)| Some((key(item, fields)?, (index, item)))).collect();
    keyed.filter(|keyed| keyed.len() == items.len())
}

/// The first field has to be there; of the others the API server knows what they are by default.
fn key(item: &Value, fields: &[&str]) -> Option<String> {
    let parts = fields.iter().enumerate().map(|(at, field)| match (item.get(field), *field) {
        (Some(Value::String(text)), _) => Some(text.clone()),
        (Some(Value::Number(number)), _) => Some(number.to_string()),
        (None, "protocol") => Some("TCP".to_owned()),
        (None, _) if at > 0 => Some(String::new()),
        _ => None,
    });
    Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
}
