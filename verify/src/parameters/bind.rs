//! Finding declared variables in manifests, at push.

use serde_json::Value;

use super::{Parameter, ParameterType};
use crate::{
    layer,
    objects::{Object, ObjectId, Origin, pointer},
};

/// Stands in for an unquoted variable while YAML is read, since a parser does not tell how a text was quoted.
/// Private-use characters are allowed in plain scalars and have no business in a manifest.
const OPEN: char = '\u{E5EA}';
const CLOSE: char = '\u{E5EB}';

/// Why a variable cannot stand where it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// In a key, `apiVersion` or `kind`.
    #[error("{origin}: ${{{name}}} stands in {place} of {id}, which cannot vary")]
    Fixed {
        /// The file and line.
        origin: Origin,
        /// The object.
        id: Box<ObjectId>,
        /// The variable.
        name: String,
        /// Where.
        place: String,
    },
    /// Declared and found nowhere.
    #[error("${{{0}}} is declared and stands nowhere in the manifests")]
    Unused(String),
}

/// Marks every declared variable that is a whole unquoted value, so that it can be told from a quoted one later.
pub fn mark(text: &str, parameters: &[Parameter]) -> String {
    let typed = |p: &&Parameter| p.kind != ParameterType::String;
    let lines = text.split_inclusive('\n').map(|line| {
        let found = parameters.iter().filter(typed).find_map(|p| mark_line(line, &p.name));
        found.unwrap_or_else(|| line.to_owned())
    });
    lines.collect()
}

/// `key: ${NAME}` or `- ${NAME}`, perhaps with a comment behind.
fn mark_line(line: &str, name: &str) -> Option<String> {
    let variable = format!("${{{name}}}");
    let (before, after) = line.split_once(&variable)?;
    let value_starts = before.ends_with(": ") || before.trim_end().ends_with(':') && before.ends_with(' ');
    let item_starts = before.trim() == "-" || before.trim_end().ends_with(" -") && before.ends_with(' ');
    let rest = after.trim();
    let ends = rest.is_empty() || (rest.starts_with('#') && after.starts_with(char::is_whitespace));
    ((value_starts || item_starts) && ends).then(|| format!("{before}{OPEN}{name}{CLOSE}{after}"))
}

/// Writes down where every declared variable stands and takes the marks out again.
///
/// # Errors
/// Every [`BindError`].
pub fn bind(objects: &mut [Object], parameters: &mut [Parameter]) -> Result<(), Vec<BindError>> {
    let mut errors = Vec::new();
    for object in objects {
        let path = layer::path(&object.id);
        let mut walk = Walk { path: &path, parameters, fixed: Vec::new() };
        walk.value(&mut object.value, &mut String::new());
        errors.extend(walk.fixed.into_iter().map(|(name, place)| BindError::Fixed {
            origin: object.origin.clone(),
            id: Box::new(object.id.clone()),
            name,
            place,
        }));
        object.id.namespace = object.id.namespace.take().map(|text| unmarked(&text));
        object.id.name = unmarked(&object.id.name);
    }
    let unused = parameters.iter().filter(|p| p.pointers.is_empty() && p.typed.is_empty());
    errors.extend(unused.map(|p| BindError::Unused(p.name.clone())));
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

struct Walk<'a> {
    path: &'a str,
    parameters: &'a mut [Parameter],
    fixed: Vec<(String, String)>,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value, pointer: &mut String) {
        match value {
            Value::String(text) => self.text(text, pointer),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.step(item, pointer, &index.to_string());
                }
            }
            Value::Object(fields) => {
                for key in fields.keys() {
                    if let Some(p) = self.parameters.iter().find(|p| key.contains(&format!("${{{}}}", p.name))) {
                        self.fixed.push((p.name.clone(), format!("the key {key:?}")));
                    }
                }
                for (key, item) in fields {
                    self.step(item, pointer, key);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn step(&mut self, value: &mut Value, pointer: &mut String, token: &str) {
        pointer::within(pointer, token, |pointer| self.value(value, pointer));
    }

    fn text(&mut self, text: &mut String, pointer: &str) {
        let whole = text.strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE)).map(str::to_owned);
        *text = unmarked(text);
        for parameter in self.parameters.iter_mut() {
            if !text.contains(&format!("${{{}}}", parameter.name)) {
                continue;
            }
            if matches!(pointer, "/apiVersion" | "/kind") {
                self.fixed.push((parameter.name.clone(), pointer[1..].to_owned()));
            }
            let list =
                if whole.as_ref() == Some(&parameter.name) { &mut parameter.typed } else { &mut parameter.pointers };
            list.push(format!("{}#{pointer}", self.path));
        }
    }
}

fn unmarked(text: &str) -> String {
    if text.contains(OPEN) { text.replace(OPEN, "${").replace(CLOSE, "}") } else { text.to_owned() }
}
