//! `sealift policy schema`: the JSON Schema of SignaturePolicy, generated from the types that read it.

use sealift_verify::policy::{API_VERSION, KIND, PolicySpec};
use serde_json::{Value, json};

use crate::{exit::Exit, failure::Failure, output::Output};

pub(crate) fn run(output: &mut Output) -> Result<Exit, Failure> {
    output.json(&schema())?;
    Ok(Exit::Done)
}

/// The schema of a whole document: what the types say of `spec`, within an object of Kubernetes.
fn schema() -> Value {
    let mut spec = schemars::schema_for!(PolicySpec).to_value();
    let mut take = |name: &str| spec.as_object_mut().and_then(|schema| schema.remove(name));
    take("title");
    let dialect = take("$schema");
    let mut definitions = take("$defs").unwrap_or_default();
    // "Exactly one of" is a rule of the code that editors can hold too.
    for (name, fields) in [("RequireSpec", 1), ("MatcherSpec", 1), ("AuthoritySpec", 2)] {
        if let Some(definition) = definitions.get_mut(name) {
            definition["minProperties"] = json!(fields);
            definition["maxProperties"] = json!(fields);
        }
    }
    json!({
        "$schema": dialect,
        "title": KIND,
        "description": "Who may release what, where. `sealift policy schema` prints this document.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": KIND},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 253}},
            },
            "spec": spec,
            "status": {"type": "object"},
        },
        "$defs": definitions,
    })
}
