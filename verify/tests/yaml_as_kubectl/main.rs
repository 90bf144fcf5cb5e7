//! Our reading of YAML held against kubectl's: `sigs.k8s.io/yaml`, run as the program `yamljson` of testenv.
//!
//! Without it these tests say so loudly and pass; in CI they fail.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program, which says what it skips")]

mod corpus;
mod mutations;
mod oracle;
mod scalars;

use sealift_verify::{
    artifact::Limits,
    objects::yaml::{ReadError, Source, read},
};
use serde_json::Value;

/// Makes an object of a fragment, so that it can be read by the public door.
fn document(fragment: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{fragment}\n")
}

/// What we make of one document: its value, or why not.
fn ours(text: &str) -> Result<Value, String> {
    let source = Source { name: "row".to_owned(), bytes: text.as_bytes().to_vec() };
    match read(&[source], &Limits::default()) {
        Ok(objects) => {
            assert_eq!(objects.len(), 1, "{text:?}");
            Ok(objects.into_vec().remove(0).value)
        }
        Err(errors) => Err(errors.iter().map(ReadError::to_string).collect::<Vec<_>>().join("; ")),
    }
}

/// kubectl turns its JSON into objects next, where `-0` is the integer 0.
fn without_negative_zero(value: Value) -> Value {
    match value {
        Value::Number(n) if n.as_f64() == Some(0.0) => Value::from(0),
        Value::Array(items) => items.into_iter().map(without_negative_zero).collect(),
        Value::Object(entries) => entries.into_iter().map(|(k, v)| (k, without_negative_zero(v))).collect(),
        other => other,
    }
}
