//! Declared, typed variables: the only thing about a release that may differ between clusters.
//!
//! `push` finds where each declared variable stands and writes these places into the statement. Only there, and only
//! on parsed values, is anything replaced; every other `${` is text. Keys, `apiVersion` and `kind` never vary.

mod bind;
mod place;
mod substitute;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::policy::anchored;

pub use self::{
    bind::{BindError, bind, mark},
    place::place,
    substitute::substitute,
};

/// A variable as the statement declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, `[A-Za-z_][A-Za-z0-9_]*`.
    pub name: String,
    /// The type its values must have.
    #[serde(rename = "type", default)]
    pub kind: ParameterType,
    /// The value where a Delivery gives none; absent = a value must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// A regular expression that the whole of every value must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Where `${NAME}` stands inside a text: `<path of the object>#<JSON pointer>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pointers: Vec<String>,
    /// Where an unquoted `${NAME}` is the whole value, which then has the variable's type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub typed: Vec<String>,
}

/// The type of a variable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Any text.
    #[default]
    String,
    /// A whole number of 64 bits.
    Int,
    /// `true` or `false`.
    Bool,
}

/// Why a declaration `NAME[:TYPE][=DEFAULT]` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// Not an identifier.
    #[error("{0:?} is not a variable name (letters, digits and _ are allowed)")]
    Name(String),
    /// Not one of the three types.
    #[error("{0:?} is not a type (string, int and bool are)")]
    Type(String),
    /// The default is not of the type.
    #[error("the default of {name} {problem}")]
    Default {
        /// The variable.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl Parameter {
    /// Checks a value against type and pattern; the message never holds the value.
    ///
    /// # Errors
    /// What is wrong, as a clause after the parameter's name.
    pub fn check(&self, value: &str) -> Result<serde_json::Value, String> {
        let typed = match self.kind {
            ParameterType::String => value.into(),
            ParameterType::Int => value.parse::<i64>().map_err(|_| "is not a whole number")?.into(),
            ParameterType::Bool => value.parse::<bool>().map_err(|_| "is neither true nor false")?.into(),
        };
        if let Some(pattern) = &self.pattern {
            let regex = anchored(pattern).map_err(|_| "has a pattern that cannot be used")?;
            if !regex.is_match(value) {
                return Err(format!("does not match {pattern:?}"));
            }
        }
        Ok(typed)
    }
}

impl FromStr for Parameter {
    type Err = DeclarationError;

    /// Reads a declaration `NAME[:TYPE][=DEFAULT]`, as `sealift push --var` takes it.
    fn from_str(text: &str) -> Result<Self, DeclarationError> {
        let (head, default) = match text.split_once('=') {
            Some((head, default)) => (head, Some(default.to_owned())),
            None => (text, None),
        };
        let (name, kind) = head.split_once(':').unwrap_or((head, "string"));
        let mut letters = name.chars();
        let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(DeclarationError::Name(name.to_owned()));
        }
        let kind = match kind {
            "string" => ParameterType::String,
            "int" => ParameterType::Int,
            "bool" => ParameterType::Bool,
            other => return Err(DeclarationError::Type(other.to_owned())),
        };
        let parameter =
            Self { name: name.to_owned(), kind, default, pattern: None, pointers: Vec::new(), typed: Vec::new() };
        if let Some(default) = &parameter.default {
            parameter.check(default).map_err(|problem| DeclarationError::Default { name: name.to_owned(), problem })?;
        }
        Ok(parameter)
    }
}

#[cfg(test)]
mod tests;
