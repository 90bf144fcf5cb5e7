//! JSON as the interpreter's values: whole numbers are `int` wherever they fit, so that they compare with what is written.

use std::{collections::HashMap, sync::Arc};

use kube_cel::cel::{Value as CelValue, objects::Key};
use serde_json::Value;

pub(super) fn of(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(truth) => CelValue::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => CelValue::Int(whole),
            (None, Some(whole)) => CelValue::UInt(whole),
            (None, None) => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(of).collect())),
        Value::Object(fields) => {
            let fields: HashMap<Key, CelValue> =
                fields.iter().map(|(name, value)| (Key::String(Arc::new(name.clone())), of(value))).collect();
            CelValue::Map(fields.into())
        }
    }
}
