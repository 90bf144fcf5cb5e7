//! Which object a JSON value is.

use serde_json::{Map, Value};

use super::{ObjectId, yaml::Problem};

/// A document as kubectl takes it: one object, or the items of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Listed {
    /// An object.
    One(Value),
    /// What a list holds.
    Items(Vec<Value>),
}

/// Takes a list apart. Like kubectl, gives items without kind and apiVersion those of a typed list.
///
/// # Errors
/// [`Problem`] if the value is no object, or its `items` contradict its kind.
pub fn list_items(value: Value) -> Result<Listed, Problem> {
    let Value::Object(mut object) = value else { return Err(Problem::NotAnObject(name_of(&value))) };
    let Some(items) = object.remove("items") else { return Ok(Listed::One(Value::Object(object))) };
    let kind = text(&object, "kind")?;
    let api_version = text(&object, "apiVersion")?;
    let Some(item_kind) = kind.strip_suffix("List") else { return Err(Problem::ItemsOfNoList(kind.to_owned())) };
    let mut items = match items {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        _ => return Err(Problem::Items),
    };
    for item in &mut items {
        let Value::Object(item) = item else { return Err(Problem::NotAnObject(name_of(item))) };
        if !item_kind.is_empty() && !item.contains_key("kind") && !item.contains_key("apiVersion") {
            item.insert("apiVersion".to_owned(), api_version.into());
            item.insert("kind".to_owned(), item_kind.into());
        }
    }
    Ok(Listed::Items(items))
}

/// The identity of the object `value` describes. Call it again on what parameters made of an object: it is what keeps
/// a value from becoming a path of the API server.
///
/// # Errors
/// [`Problem`] if it is no object, or one the API server would not take.
pub fn of(value: &Value) -> Result<ObjectId, Problem> {
    let Value::Object(object) = value else { return Err(Problem::NotAnObject(name_of(value))) };
    let api_version = text(object, "apiVersion")?;
    let kind = text(object, "kind")?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let invalid = |field, value: &str| Err(Problem::Invalid { field, value: value.to_owned() });
    if group == "kustomize.config.k8s.io" {
        return Err(Problem::Kustomization);
    }
    // No cluster serves a group `core`: it is how layers write the group that has no name.
    if (api_version.contains('/') && (!is_subdomain(group) || group == "core")) || !is_label(version) {
        return invalid("apiVersion", api_version);
    }
    if !is_kind(kind) {
        return invalid("kind", kind);
    }
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => return Err(Problem::Missing("metadata.name")),
        Some(Value::Object(metadata)) => metadata,
        Some(_) => return Err(Problem::Missing("metadata.name")),
    };
    let name = match optional(metadata, "name", "metadata.name")? {
        Some(name) => name,
        None if optional(metadata, "generateName", "metadata.generateName")?.is_some() => {
            return Err(Problem::GenerateName);
        }
        None => return Err(Problem::Missing("metadata.name")),
    };
    if !is_name(name) {
        return invalid("metadata.name", name);
    }
    let namespace = optional(metadata, "namespace", "metadata.namespace")?;
    if let Some(namespace) = namespace.filter(|namespace| !is_namespace(namespace)) {
        return invalid("metadata.namespace", namespace);
    }
    Ok(ObjectId {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        version: version.to_owned(),
    })
}

fn text<'a>(object: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Problem> {
    optional(object, field, field)?.ok_or(Problem::Missing(field))
}

/// The field's text; `None` if it is missing, null or empty, which the API server does not tell apart.
fn optional<'a>(object: &'a Map<String, Value>, field: &str, shown: &'static str) -> Result<Option<&'a str>, Problem> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(Problem::NotText(shown)),
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a sequence",
        Value::Object(_) => "an object",
    }
}

/// A label, or one once its `${PARAMETER}`s are replaced. What comes out then has to be looked at again: see [`of`].
fn is_namespace(text: &str) -> bool {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (_, after))) =
        rest.split_once("${").and_then(|(before, variable)| Some((before, variable.split_once('}')?)))
    {
        filled.push_str(before);
        filled.push('x');
        rest = after;
    }
    filled.push_str(rest);
    is_label(&filled)
}

/// An RFC 1123 label.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
}

/// An RFC 1123 subdomain.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What every API server refuses whatever the kind: a name has to fit into one segment of a path.
/// RBAC names hold colons and capitals, so nothing narrower is right for all kinds. `?` and `#` are ours: names go into
/// URLs as they are, and there the path would end at one.
fn is_name(text: &str) -> bool {
    text.len() <= 253
        && !matches!(text, "." | "..")
        && !text.chars().any(|c| matches!(c, '/' | '%' | '?' | '#') || c.is_whitespace() || c.is_control())
}
