//! What the command line prints as JSON, held against the schemas that are published in `docs/schemas/`.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::OnceLock};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Map, Value};

use crate::tool::workspace;

/// Every published schema, by the name that documents carry.
struct Published {
    schemas: Schemas,
    by_name: BTreeMap<String, SchemaIndex>,
}

/// What documents without a `schema` of their own are documented as.
const EVIDENCE: &str = "sealift.dev/evidence/v1";

/// The files with the schemas, by name.
///
/// # Panics
/// Where one cannot be read.
#[must_use]
pub fn schemas() -> BTreeMap<String, Value> {
    let folder = folder();
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = entries.map(|entry| {
        let path = entry.expect("a folder can be listed").path();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let schema: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (schema["title"].as_str().unwrap_or_default().to_owned(), schema)
    });
    read.collect()
}

fn folder() -> PathBuf {
    workspace().join("docs/schemas")
}

/// Holds what was printed on standard output against its schema, if it is one of our JSON documents.
///
/// Readers must bear fields that they do not know, so the schemas allow them; here every field has to be documented.
///
/// # Panics
/// Where it is not as published, or nothing is published under its name.
pub fn check(printed: &str) {
    let Ok(document) = serde_json::from_str::<Map<String, Value>>(printed) else { return };
    let name = match (document.get("schema"), document.get("_type")) {
        (Some(Value::String(name)), _) => name.as_str(),
        (None, Some(_)) => EVIDENCE,
        // An object of Kubernetes, or of another format altogether.
        _ => return,
    };
    let Published { schemas, by_name } = published();
    let Some(index) = by_name.get(name) else {
        panic!("{name} is printed and not published: describe it in docs/schemas/, then `make generate`")
    };
    if let Err(error) = schemas.validate(&Value::Object(document.clone()), *index) {
        panic!("{name} is not as published in docs/schemas/:\n{error:#}\n{printed}");
    }
}

fn published() -> &'static Published {
    static PUBLISHED: OnceLock<Published> = OnceLock::new();
    PUBLISHED.get_or_init(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_format_assertions();
        let all = self::schemas();
        for schema in all.values() {
            compiler.add_resource(address(schema), closed(schema.clone())).expect("a schema is a resource");
        }
        let mut compile = |(name, schema): (&String, &Value)| {
            let index = compiler.compile(address(schema), &mut schemas);
            (name.clone(), index.unwrap_or_else(|error| panic!("{name} is no schema: {error:#}")))
        };
        let by_name = all.iter().map(&mut compile).collect();
        Published { schemas, by_name }
    })
}

fn address(schema: &Value) -> &str {
    schema["$id"].as_str().expect("every schema has an address")
}

/// The same with no field allowed that is not documented.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            for value in fields.values_mut() {
                *value = closed(value.take());
            }
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = closed(value.take())),
        _ => {}
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_not_published_is_found_however_deep() {
        let key =
            json!({"schema": "sealift.dev/public-key/v1", "keyId": format!("sha256:{}", "0".repeat(64)), "pem": ""});
        check(&key.to_string());
        let with = |field: &str, value: Value| {
            let mut document = key.clone();
            document[field] = value;
            std::panic::catch_unwind(|| check(&document.to_string())).is_err()
        };
        assert!(with("moon", json!("full")));
        assert!(with("keyId", json!("sha256:1")));
        assert!(with("schema", json!("sealift.dev/public-key/v2")));
    }
}
