//! What the API server's structural schemas ask of schemas that are stricter elsewhere.

use schemars::{
    Schema,
    transform::{Transform, transform_subschemas},
};

/// The server forbids `additionalProperties: false` beside properties, and drops unknown fields by itself.
pub(super) struct Pruning;

/// Unknown fields are kept, so that the reader sees them and can refuse: a policy that says more than we understand is
/// not the policy its author meant.
pub(super) struct Preserving;

impl Transform for Pruning {
    fn transform(&mut self, schema: &mut Schema) {
        opened(schema);
        transform_subschemas(self, schema);
    }
}

impl Transform for Preserving {
    fn transform(&mut self, schema: &mut Schema) {
        if opened(schema) {
            schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
        }
        transform_subschemas(self, schema);
    }
}

/// Removes what closes an object; true if it was closed.
fn opened(schema: &mut Schema) -> bool {
    let closed = ["additionalProperties", "unevaluatedProperties"]
        .map(|word| schema.get(word).is_some_and(|value| *value == false).then(|| schema.remove(word)).is_some());
    closed.contains(&true)
}
