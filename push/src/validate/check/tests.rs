use serde_json::json;

use super::*;

fn rules_of(schema: &Value, value: &Value, reader: Reader) -> Vec<(&'static str, String)> {
    let schema: Schema = serde_json::from_value(schema.clone()).unwrap();
    let (definitions, varying) = (Definitions::new(), BTreeMap::new());
    let mut check = Check::new(&definitions, reader, &varying);
    check.value(&schema, value, &mut String::new());
    check.found.into_iter().map(|found| (found.rule.id(), found.pointer)).collect()
}

#[test]
fn a_custom_resource_is_what_its_schema_says() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let listed = |kind: &str| {
        let item = json!({"type": "object", "properties": {"k": {"type": "string", "default": "d"}, "v": {"type": "integer"}}});
        json!({"type": "array", "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": ["k"], "items": item})
    };
    let forms = json!([{"required": ["a"]}, {"required": ["b"]}]);
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "anyOf": forms});
    let one = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "oneOf": forms});
    let embedded =
        json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}});
    let whole = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}});
    for (schema, value, expected) in [
        (object(json!({"a": {"type": "string"}})), json!({"a": "x"}), vec![]),
        (object(json!({"a": {"type": "string"}})), json!({"a": 1}), vec![("wrong-type", "/a")]),
        (object(json!({"a": {"type": "string"}})), json!({"a": null}), vec![("wrong-type", "/a")]),
        (object(json!({"a": {"type": "string", "nullable": true}})), json!({"a": null}), vec![]),
        (object(json!({"a": {"type": "string", "default": ""}})), json!({"a": null}), vec![]),
        (object(json!({"a/b": {"type": "string"}})), json!({"a/c": 1}), vec![("unknown-field", "/a~1c")]),
        (object(json!({"a": object(json!({}))})), json!({"a": {"b": 1}}), vec![("unknown-field", "/a/b")]),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"a": 1, "b": "x"}),
            vec![("wrong-type", "/b")],
        ),
        (json!({"type": "object", "additionalProperties": true}), json!({"a": 1}), vec![]),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "integer"}}}),
            json!({"a": "x", "b": 1}),
            vec![("wrong-type", "/a")],
        ),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), json!({"a": 1}), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!("50%"), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!(50), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!(true), vec![("wrong-type", "")]),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
            json!({}),
            vec![("missing-field", "")],
        ),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "default": "x"}}}),
            json!({}),
            vec![],
        ),
        (json!({"type": "string", "enum": ["a", "b"]}), json!("c"), vec![("invalid-value", "")]),
        (json!({"type": "string", "enum": ["a", "b"]}), json!(""), vec![("invalid-value", "")]),
        (json!({"type": "string", "pattern": "^a+$"}), json!("ab"), vec![("invalid-value", "")]),
        (json!({"type": "string", "pattern": "(?!a)"}), json!("ab"), vec![]),
        (json!({"type": "string", "minLength": 2, "maxLength": 3}), json!("é"), vec![("invalid-value", "")]),
        (json!({"type": "string", "minLength": 2, "maxLength": 3}), json!("ééé"), vec![]),
        (json!({"type": "string", "format": "date-time"}), json!("now"), vec![("invalid-value", "")]),
        (json!({"type": "integer", "minimum": 1, "maximum": 3}), json!(0), vec![("invalid-value", "")]),
        (json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}), json!(3), vec![("invalid-value", "")]),
        (json!({"type": "integer", "multipleOf": 5}), json!(7), vec![("invalid-value", "")]),
        (json!({"type": "integer"}), json!(1.5), vec![("wrong-type", "")]),
        (json!({"type": "integer", "format": "int32"}), json!(3_000_000_000_u64), vec![("invalid-value", "")]),
        (json!({"type": "number"}), json!(1.5), vec![]),
        (json!({"type": "array", "items": {"type": "string"}, "minItems": 1}), json!([]), vec![("invalid-value", "")]),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", 1]),
            vec![("invalid-value", ""), ("wrong-type", "/1")],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["a", "b", "a"]),
            vec![("duplicate-item", "/2")],
        ),
        (listed("map"), json!([{"k": "a"}, {"k": "b"}, {"k": "a"}]), vec![("duplicate-item", "/2")]),
        (listed("map"), json!([{"v": 1}, {"k": "d"}]), vec![("duplicate-item", "/1")]),
        (listed("map"), json!([{"k": "${A}"}, {"k": "${A}"}]), vec![]),
        (listed("atomic"), json!([{"k": "a"}, {"k": "a"}]), vec![]),
        (any.clone(), json!({"a": 1, "b": 1}), vec![]),
        (any, json!({"c": 1}), vec![("invalid-value", "")]),
        (one.clone(), json!({"a": 1}), vec![]),
        (one, json!({"a": 1, "b": 1}), vec![("invalid-value", "")]),
        (json!({"type": "string", "not": {"enum": ["x"]}}), json!("x"), vec![("invalid-value", "")]),
        (
            json!({"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 3}]}),
            json!("x"),
            vec![("invalid-value", "")],
        ),
        (embedded.clone(), whole, vec![]),
        (
            embedded,
            json!({"kind": "Pod", "metadata": 1, "other": 1}),
            vec![("missing-field", ""), ("unknown-field", "/other")],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(rule, at)| (rule, at.to_owned())).collect();
        assert_eq!(rules_of(&schema, &value, Reader::Custom), expected, "{schema} {value}");
    }
}

#[test]
fn decoders_of_built_in_kinds_take_null_and_no_word_for_nothing() {
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "enum": ["x"]}, "q": {"format": "quantity"}}});
    for (value, expected) in [
        (json!({"a": ""}), vec![]),
        (json!({"a": null}), vec![("missing-field", String::new())]),
        (json!({"a": "x", "q": null}), vec![]),
        (json!({"a": "x", "q": 1.5}), vec![]),
        (json!({"a": "x", "q": "1Gi"}), vec![]),
        (json!({"a": "x", "q": "1 GB"}), vec![("invalid-value", "/q".to_owned())]),
        (json!({"a": "x", "q": true}), vec![("wrong-type", "/q".to_owned())]),
    ] {
        assert_eq!(rules_of(&schema, &value, Reader::BuiltIn), expected, "{value}");
    }
}

#[test]
fn a_variable_has_its_type_and_any_value() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}, "s": {"type": "string", "enum": ["a"]}}});
    let schema: Schema = serde_json::from_value(schema).unwrap();
    let value = json!({"n": "${N}", "s": "${S}"});
    let definitions = Definitions::new();
    for (n, s, expected) in [
        (Varies::Typed(ParameterType::Int), Varies::Text, vec![]),
        (Varies::Text, Varies::Typed(ParameterType::String), vec!["/n"]),
        (Varies::Typed(ParameterType::Bool), Varies::Typed(ParameterType::Int), vec!["/n", "/s"]),
    ] {
        let varying = BTreeMap::from([("/n".to_owned(), n), ("/s".to_owned(), s)]);
        let mut check = Check::new(&definitions, Reader::Custom, &varying);
        check.value(&schema, &value, &mut String::new());
        let found: Vec<_> = check.found.iter().map(|found| found.pointer.as_str()).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_name_that_is_nearly_right_is_told() {
    let schema: Schema =
        serde_json::from_value(json!({"properties": {"containers": {}, "replicas": {}, "ip": {}}})).unwrap();
    for (name, message) in [
        ("container", "unknown field; did you mean containers?"),
        ("Replicas", "unknown field; did you mean replicas?"),
        ("relpicas", "unknown field; did you mean replicas?"),
        ("port", "unknown field"),
        ("x", "unknown field"),
    ] {
        assert_eq!(unknown(name, &schema), message);
    }
}
