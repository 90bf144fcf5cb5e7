//! Where in an object: for programs as a JSON pointer, for people as a path.

use serde_json::Value;

use super::FieldChange;

/// A place, grown step by step.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pointer: String,
    path: String,
    /// The field's name, which for a list says how its items are told apart.
    name: String,
}

impl Place {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn field(&self, name: &str) -> Self {
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let path = match (is_plain, self.path.is_empty()) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{}.{name}", self.path),
            (false, _) => format!("{}[{name:?}]", self.path),
        };
        Self { pointer: format!("{}/{}", self.pointer, escaped(name)), path, name: name.to_owned() }
    }

    pub(super) fn item(&self, index: usize) -> Self {
        self.keyed(index, &index.to_string())
    }

    pub(super) fn keyed(&self, index: usize, key: &str) -> Self {
        let (pointer, path) = (format!("{}/{index}", self.pointer), format!("{}[{key}]", self.path));
        Self { pointer, path, name: String::new() }
    }

    pub(super) fn change(&self, before: Option<Value>, after: Option<Value>) -> FieldChange {
        FieldChange { pointer: self.pointer.clone(), path: self.path.clone(), before, after }
    }
}

pub(super) fn escaped(field: &str) -> String {
    field.replace('~', "~0").replace('/', "~1")
}
