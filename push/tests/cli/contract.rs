//! What scripts rely on: every command prints JSON that is published, and every exit code is reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use sealift_e2e::contract::schemas;
use serde_json::Value;

use crate::support::World;

const HEAD: &str = "\
# What `-o json` prints

Made of the JSON Schemas in [schemas/](schemas) by `make generate`, and checked against git; every document that a test of this
repository sees the program print is validated by them. Each document says in `schema` what it is, with a version. Within a version
fields are only added, so pass over what you do not know. Where a command fails, standard output is empty, standard error says why,
and the [exit code](cli.md#exit-codes) says which kind of failure it was; `verify`, `policy check`, `policy test`, `plan`, `diff` and `wait` print their
document all the same. SARIF and JUnit are as those formats have them.
";

/// Commands whose product is a document of another format.
const OTHERWISE: &[(&str, &str)] = &[
    ("sealift completion", "a script for a shell, in any case"),
    ("sealift policy schema", "a JSON Schema, in any case"),
];

/// `sealift push` and the like, as the reference names them.
fn commands(reference: &str) -> BTreeSet<String> {
    let headings = reference.split("\n## ").skip(1).flat_map(|section| section.split("\n### "));
    let named = headings.filter(|section| section.starts_with("sealift ") && section.contains("\n```\nsealift"));
    named.map(|section| section.lines().next().unwrap_or_default().to_owned()).collect()
}

/// The commands that print a document.
fn printed_by(schema: &Value) -> Vec<String> {
    let commands = schema["x-commands"].as_array().into_iter().flatten();
    commands.map(|command| command.as_str().expect("a command").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_every_command_is_published() {
    let reference = World::new().await.run(&["man", "--markdown"]).exits(0).stdout;
    let published: BTreeSet<String> = schemas().values().flat_map(printed_by).collect();
    let otherwise = OTHERWISE.iter().map(|(command, _)| (*command).to_owned());
    let described: BTreeSet<String> = published.into_iter().chain(otherwise).collect();
    let there = commands(&reference);
    let missing: Vec<_> = there.difference(&described).collect();
    assert!(missing.is_empty(), "their JSON is not described in docs/schemas/: {missing:?}");
    let gone: Vec<_> = described.difference(&there).collect();
    assert!(gone.is_empty(), "docs/schemas/ describes what no command prints: {gone:?}");
}

#[test]
fn generated_output_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md");
    let text = reference(&schemas());
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/output.md is stale: UPDATE_GENERATED=1 cargo test -p sealift --test cli generated");
}

fn reference(schemas: &BTreeMap<String, Value>) -> String {
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "\n| command | document |\n|---|---|");
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for (name, schema) in schemas.iter().filter(|(_, schema)| schema["properties"].is_object()) {
        for command in printed_by(schema) {
            let row = rows.entry(command).or_default();
            let comma = if row.is_empty() { "" } else { ", " };
            let _ = write!(row, "{comma}[`{name}`](#{})", anchor(name));
        }
    }
    rows.extend(OTHERWISE.iter().map(|(command, what)| ((*command).to_owned(), (*what).to_owned())));
    for (command, document) in rows {
        let _ = writeln!(text, "| `{command}` | {document} |");
    }
    let (documents, common): (Vec<_>, Vec<_>) =
        schemas.iter().partition(|(_, schema)| schema["properties"].is_object());
    for (name, schema) in documents {
        let _ = writeln!(text, "\n## {name}\n\n{}\n\n{}", schema["description"].as_str().unwrap_or_default(), TABLE);
        fields(&mut text, "", schema);
    }
    for (title, schema) in common {
        let _ = writeln!(text, "\n## {title}");
        for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
            let _ = writeln!(text, "\n### {name}\n\n{}", part["description"].as_str().unwrap_or_default());
            if part["properties"].is_object() {
                let _ = writeln!(text, "\n{TABLE}");
                fields(&mut text, "", part);
            }
        }
    }
    text
}

const TABLE: &str = "| field | type | meaning |\n|---|---|---|";

/// The anchor that renderers of Markdown make of a heading.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

/// The fields of an object, and of the objects in it.
fn fields(text: &mut String, prefix: &str, schema: &Value) {
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let inner = field["anyOf"][0].as_object().map_or(field, |_| &field["anyOf"][0]);
        let always = if required.contains(name.as_str()) { "" } else { ", may be absent" };
        let meaning = [&field["description"], &inner["description"]].into_iter().find_map(Value::as_str);
        let _ = writeln!(
            text,
            "| `{path}` | {}{always} | {} |",
            kind(field),
            meaning.unwrap_or_default().replace('|', "\\|")
        );
        fields(text, &format!("{path}."), inner);
        fields(text, &format!("{path}[]."), &inner["items"]);
    }
}

fn kind(field: &Value) -> String {
    if let Some(parts) = field["anyOf"].as_array() {
        return parts.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(part) = field["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return format!("[{part}](#{part})");
    }
    if let Some(value) = field["const"].as_str() {
        return format!("`{value}`");
    }
    if let Some(values) = field["enum"].as_array() {
        return values
            .iter()
            .map(|value| format!("`{}`", value.as_str().unwrap_or("null")))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let one = |kind: &Value| match (kind.as_str(), field["format"].as_str()) {
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some("array"), _) => match kind_of_items(field) {
            Some(items) => format!("list of {items}"),
            None => "list".to_owned(),
        },
        (kind, _) => kind.unwrap_or_default().to_owned(),
    };
    match &field["type"] {
        Value::Array(kinds) => kinds.iter().map(one).collect::<Vec<_>>().join(" or "),
        kind => one(kind),
    }
}

fn kind_of_items(field: &Value) -> Option<String> {
    field.get("items").map(kind)
}
