//! One value by one schema, as a strict API server reads it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::{objects::pointer::within, parameters::ParameterType};
use serde_json::{Map, Value};

use super::{
    format,
    rule::Rule,
    schema::{Additional, Definitions, Schema},
};

/// Schemas that lead deeper than any object are circular.
const DEEPEST: usize = 256;
/// Longer values are not repeated in a message.
const SHOWN: usize = 60;

/// Something that the schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) rule: Rule,
    pub(super) pointer: String,
    pub(super) message: String,
}

/// What a variable makes of the value it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Varies {
    /// The whole value, of this type.
    Typed(ParameterType),
    /// A part of a text.
    Text,
}

/// Whose habits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A decoder of built-in kinds, for which null and an empty enumeration are nothing.
    BuiltIn,
    /// The schema of a custom resource alone.
    Custom,
}

/// Checks values and collects what is wrong.
pub(super) struct Check<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) reader: Reader,
    /// By pointer.
    pub(super) varying: &'a BTreeMap<String, Varies>,
    pub(super) found: Vec<Violation>,
}

/// What is looked at: structure and values, or values alone, within `anyOf` and its like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Structure,
    Values,
}

impl<'a> Check<'a> {
    pub(super) fn new(definitions: &'a Definitions, reader: Reader, varying: &'a BTreeMap<String, Varies>) -> Self {
        Self { definitions, reader, varying, found: Vec::new() }
    }

    /// Adds what is wrong with `value`, which stands at `pointer`.
    pub(super) fn value(&mut self, schema: &Schema, value: &Value, pointer: &mut String) {
        self.walk(schema, value, pointer, Depth::Structure, 0);
    }

    fn add(&mut self, rule: Rule, pointer: &str, message: impl Into<String>) {
        self.found.push(Violation { rule, pointer: pointer.to_owned(), message: message.into() });
    }

    fn walk(&mut self, schema: &Schema, value: &Value, pointer: &mut String, depth: Depth, level: usize) {
        if level > DEEPEST {
            return;
        }
        if let Some(target) = schema.target() {
            let definitions = self.definitions;
            if let Some(target) = definitions.get(target) {
                self.walk(target, value, pointer, depth, level + 1);
            }
            return;
        }
        if let Some(varies) = self.varying.get(pointer.as_str()) {
            return self.varying(schema, *varies, pointer);
        }
        if value.is_null() {
            let nothing = schema.nullable || schema.is_free() || schema.default.is_some();
            if !nothing && self.reader == Reader::Custom {
                self.add(Rule::WrongType, pointer, format!("null, not {}", expected(schema)));
            }
            return;
        }
        if !has_type(schema, value) {
            return self.add(Rule::WrongType, pointer, format!("{}, not {}", kind_of(value), expected(schema)));
        }
        self.allowed(schema, value, pointer);
        match value {
            Value::String(text) => self.text(schema, text, pointer),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default(), pointer),
            Value::Array(items) => self.items(schema, items, pointer, depth, level),
            Value::Object(fields) => self.fields(schema, fields, pointer, depth, level),
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(schema, value, pointer, level);
    }

    /// What comes from a variable is not known, but its type is.
    fn varying(&mut self, schema: &Schema, varies: Varies, pointer: &str) {
        let example = match varies {
            Varies::Typed(ParameterType::Int) => Value::from(0),
            Varies::Typed(ParameterType::Bool) => Value::from(false),
            Varies::Typed(ParameterType::String) | Varies::Text => Value::from(""),
        };
        if !has_type(schema, &example) {
            let message = format!("the variable makes it {}, not {}", kind_of(&example), expected(schema));
            self.add(Rule::WrongType, pointer, message);
        }
    }

    fn allowed(&mut self, schema: &Schema, value: &Value, pointer: &str) {
        let Some(values) = &schema.values else { return };
        let unset = self.reader == Reader::BuiltIn && value == "";
        if !unset && !values.contains(value) {
            let values = values.iter().map(shown).collect::<Vec<_>>().join(", ");
            self.add(Rule::InvalidValue, pointer, format!("{} is none of {values}", shown(value)));
        }
    }

    fn text(&mut self, schema: &Schema, text: &str, pointer: &str) {
        let length = text.chars().count() as u64;
        if let Some(least) = schema.min_length.filter(|least| length < *least) {
            self.add(Rule::InvalidValue, pointer, format!("{length} characters, fewer than {least}"));
        }
        if let Some(most) = schema.max_length.filter(|most| length > *most) {
            self.add(Rule::InvalidValue, pointer, format!("{length} characters, more than {most}"));
        }
        // A pattern that only Go's engine reads is left to the server.
        if let Some(pattern) = &schema.pattern
            && regex::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
        {
            let message = format!("{} does not match {pattern}", shown(&Value::from(text)));
            self.add(Rule::InvalidValue, pointer, message);
        }
        if let Some(format) = &schema.format
            && let Err(expected) = format::text(format, text)
        {
            self.add(Rule::InvalidValue, pointer, format!("{} is not {expected}", shown(&Value::from(text))));
        }
    }

    fn number(&mut self, schema: &Schema, number: f64, pointer: &str) {
        let (least, most) = (schema.minimum, schema.maximum);
        if let Some(least) = least.filter(|l| number < *l || schema.exclusive_minimum && number <= *l) {
            let or = if schema.exclusive_minimum { "not more than" } else { "less than" };
            self.add(Rule::InvalidValue, pointer, format!("{number} is {or} {least}"));
        }
        if let Some(most) = most.filter(|m| number > *m || schema.exclusive_maximum && number >= *m) {
            let or = if schema.exclusive_maximum { "not less than" } else { "more than" };
            self.add(Rule::InvalidValue, pointer, format!("{number} is {or} {most}"));
        }
        if let Some(step) = schema.multiple_of.filter(|step| *step > 0.0 && (number / step).fract().abs() > 1e-9) {
            self.add(Rule::InvalidValue, pointer, format!("{number} is no multiple of {step}"));
        }
        if schema.format.as_deref() == Some("int32") && i32::try_from(number as i64).is_err() {
            self.add(Rule::InvalidValue, pointer, format!("{number} does not fit into 32 bits"));
        }
    }

    fn items(&mut self, schema: &Schema, items: &[Value], pointer: &mut String, depth: Depth, level: usize) {
        let count = items.len() as u64;
        if let Some(least) = schema.min_items.filter(|least| count < *least) {
            self.add(Rule::InvalidValue, pointer, format!("{count} items, fewer than {least}"));
        }
        if let Some(most) = schema.max_items.filter(|most| count > *most) {
            self.add(Rule::InvalidValue, pointer, format!("{count} items, more than {most}"));
        }
        self.distinct(schema, items, pointer);
        let Some(each) = &schema.items else { return };
        for (index, item) in items.iter().enumerate() {
            within(pointer, &index.to_string(), |pointer| self.walk(each, item, pointer, depth, level + 1));
        }
    }

    fn distinct(&mut self, schema: &Schema, items: &[Value], pointer: &str) {
        let keys: Vec<Option<String>> = match schema.list_type.as_deref() {
            Some("map") => items.iter().map(|item| self.key(schema, item)).collect(),
            Some("set") => items.iter().map(|item| Some(item.to_string())).collect(),
            _ if schema.unique_items => items.iter().map(|item| Some(item.to_string())).collect(),
            _ => return,
        };
        let mut seen = BTreeSet::new();
        for (index, key) in keys.into_iter().enumerate() {
            if let Some(key) = key.filter(|key| !seen.insert(key.clone())) {
                let at = format!("{pointer}/{index}");
                self.add(Rule::DuplicateItem, &at, format!("a second item with {}", shortened(key)));
            }
        }
    }

    /// The values of the key fields; `None` if one is missing or varies.
    fn key(&self, schema: &Schema, item: &Value) -> Option<String> {
        let each = schema.items.as_deref()?;
        let each = each.target().map_or(Some(each), |target| self.definitions.get(target));
        let field = |name: &String| {
            let default = each.and_then(|each| each.properties.get(name)?.default.as_ref());
            let value = item.get(name).or(default)?;
            Some(format!("{name} {value}")).filter(|text| !text.contains("${"))
        };
        Some(schema.list_map_keys.iter().map(field).collect::<Option<Vec<_>>>()?.join(", "))
    }

    fn fields(&mut self, schema: &Schema, fields: &Map<String, Value>, at: &mut String, depth: Depth, level: usize) {
        let count = fields.len() as u64;
        if let Some(least) = schema.min_properties.filter(|least| count < *least) {
            self.add(Rule::InvalidValue, at, format!("{count} fields, fewer than {least}"));
        }
        if let Some(most) = schema.max_properties.filter(|most| count > *most) {
            self.add(Rule::InvalidValue, at, format!("{count} fields, more than {most}"));
        }
        for name in &schema.required {
            let absent = match fields.get(name) {
                None => true,
                Some(value) => value.is_null() && self.reader == Reader::BuiltIn,
            };
            let defaulted = schema.properties.get(name).is_some_and(|field| field.default.is_some());
            if absent && !defaulted {
                self.add(Rule::MissingField, at, format!("{name} is missing"));
            }
        }
        if schema.embedded_resource && depth == Depth::Structure {
            self.embedded(fields, at);
        }
        for (name, value) in fields {
            if let Some(field) = schema.properties.get(name) {
                within(at, name, |at| self.walk(field, value, at, depth, level + 1));
                continue;
            }
            match &schema.additional_properties {
                Some(Additional::Each(each)) => {
                    within(at, name, |at| self.walk(each, value, at, depth, level + 1));
                }
                Some(Additional::Allowed(true)) => {}
                _ => {
                    let free = schema.preserve_unknown_fields || schema.is_free() || depth == Depth::Values;
                    let own = schema.embedded_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
                    if !free && !own {
                        let message = unknown(name, schema);
                        within(at, name, |at| self.add(Rule::UnknownField, at, message));
                    }
                }
            }
        }
    }

    /// A whole object within another.
    fn embedded(&mut self, fields: &Map<String, Value>, pointer: &mut String) {
        for name in ["apiVersion", "kind"] {
            if fields.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
                self.add(Rule::MissingField, pointer, format!("{name} of the embedded object is missing"));
            }
        }
        if let Some(metadata) = fields.get("metadata").filter(|metadata| !metadata.is_null()) {
            let mut inner = Check::new(self.definitions, Reader::BuiltIn, self.varying);
            within(pointer, "metadata", |at| inner.value(&Schema::object_meta(), metadata, at));
            self.found.append(&mut inner.found);
        }
    }

    fn combined(&mut self, schema: &Schema, value: &Value, pointer: &mut String, level: usize) {
        for part in &schema.all_of {
            self.walk(part, value, pointer, Depth::Values, level + 1);
        }
        let fits = |part: &Schema, pointer: &mut String| {
            let mut inner = Check::new(self.definitions, self.reader, self.varying);
            inner.walk(part, value, pointer, Depth::Values, level + 1);
            inner.found.is_empty()
        };
        let any = schema.any_of.iter().filter(|part| fits(part, pointer)).count();
        let one = schema.one_of.iter().filter(|part| fits(part, pointer)).count();
        let none = schema.not.as_deref().is_none_or(|part| !fits(part, pointer));
        if !schema.any_of.is_empty() && any == 0 {
            self.add(Rule::InvalidValue, pointer, "it fits none of the forms that anyOf lists");
        }
        if !schema.one_of.is_empty() && one != 1 {
            self.add(Rule::InvalidValue, pointer, format!("it fits {one} of the forms that oneOf lists, not 1"));
        }
        if !none {
            self.add(Rule::InvalidValue, pointer, "it has a form that the schema excludes");
        }
    }
}

fn is_int_or_string(schema: &Schema) -> bool {
    schema.int_or_string || schema.format.as_deref() == Some("int-or-string")
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    if is_int_or_string(schema) {
        return value.is_string() || is_whole(value);
    }
    match (schema.kind.as_deref(), schema.format.as_deref()) {
        (None, Some("quantity")) => value.is_string() || value.is_number(),
        (Some("string"), _) => value.is_string(),
        (Some("boolean"), _) => value.is_boolean(),
        (Some("integer"), _) => is_whole(value),
        (Some("number"), _) => value.is_number(),
        (Some("array"), _) => value.is_array(),
        (Some("object"), _) => value.is_object(),
        _ => true,
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn expected(schema: &Schema) -> &'static str {
    if is_int_or_string(schema) {
        return "a whole number or a string";
    }
    match (schema.kind.as_deref(), schema.format.as_deref()) {
        (None, Some("quantity")) => "a quantity",
        (Some("string"), _) => "a string",
        (Some("boolean"), _) => "a boolean",
        (Some("integer"), _) => "a whole number",
        (Some("number"), _) => "a number",
        (Some("array"), _) => "a list",
        (Some("object"), _) => "an object",
        _ => "what the schema says",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    shortened(value.to_string())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn unknown(name: &str, schema: &Schema) -> String {
    let near = schema.properties.keys().map(|known| (distance(name, known), known)).min();
    match near {
        Some((distance, known)) if distance <= 2 && distance < known.len() => {
            format!("unknown field; did you mean {known}?")
        }
        _ => "unknown field".to_owned(),
    }
}

/// How many characters have to change, case apart.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    if one.len().abs_diff(other.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let next = (row[j + 1] + 1).min(row[j] + 1).min(diagonal + usize::from(a != b));
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
