//! The custom-resource configuration of kube-state-metrics, held against what its documentation says of the format, and carried
//! out on real objects as the documentation says that it is. Its binary is not among the tools of the tests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Fields of each part, and whether they must be there.
const RESOURCE: &[(&str, bool)] = &[
    ("groupVersionKind", true),
    ("commonLabels", false),
    ("labelsFromPath", false),
    ("metrics", true),
    ("metricNamePrefix", false),
    ("errorLogV", false),
    ("resourcePlural", false),
];
const METRIC: &[(&str, bool)] = &[
    ("name", true),
    ("help", true),
    ("each", true),
    ("commonLabels", false),
    ("labelsFromPath", false),
    ("errorLogV", false),
];
const GAUGE: &[(&str, bool)] =
    &[("path", false), ("labelFromKey", false), ("labelsFromPath", false), ("valueFrom", false), ("nilIsZero", false)];
const INFO: &[(&str, bool)] = &[("path", false), ("labelFromKey", false), ("labelsFromPath", false)];
const STATE_SET: &[(&str, bool)] =
    &[("labelName", true), ("labelsFromPath", false), ("list", true), ("path", true), ("valueFrom", false)];
/// Labels that kube-state-metrics sets itself, and those that Prometheus gives to what it scrapes.
const RESERVED: &[&str] =
    &["customresource_group", "customresource_version", "customresource_kind", "namespace", "job", "instance"];

/// Fails unless the configuration is one that the documentation describes, every path of it is in one of the objects, and every
/// value is one that can be told.
pub(crate) fn assert_fits(config: &str, objects: &[Value]) {
    let config: Value = serde_saphyr::from_str(config).unwrap();
    fields("the configuration", &config, &[("kind", true), ("spec", true)]);
    assert_eq!(config["kind"], "CustomResourceStateMetrics");
    fields("spec", &config["spec"], &[("resources", true)]);
    let (mut names, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for resource in config["spec"]["resources"].as_array().unwrap() {
        fields("a resource", resource, RESOURCE);
        let of = &resource["groupVersionKind"];
        fields("groupVersionKind", of, &[("group", true), ("version", true), ("kind", true)]);
        assert!(kinds.insert(of.to_string()), "two entries for one kind end kube-state-metrics");
        let (group, version) = (of["group"].as_str().unwrap(), of["version"].as_str().unwrap());
        let served =
            |object: &&Value| object["apiVersion"] == format!("{group}/{version}") && object["kind"] == of["kind"];
        let objects: Vec<&Value> = objects.iter().filter(served).collect();
        assert!(!objects.is_empty(), "none of the objects is a {of}");
        labels(&resource["labelsFromPath"], &objects);
        for metric in resource["metrics"].as_array().unwrap() {
            let name =
                format!("{}_{}", resource["metricNamePrefix"].as_str().unwrap(), metric["name"].as_str().unwrap());
            fields(&name, metric, METRIC);
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(names.insert(name.clone()), "{name} twice");
            each(&name, metric, &objects);
        }
    }
}

fn fields(what: &str, value: &Value, known: &[(&str, bool)]) {
    let found = value.as_object().unwrap_or_else(|| panic!("{what} is {value}"));
    for name in found.keys() {
        assert!(known.iter().any(|(known, _)| known == name), "{what} has no field {name}");
    }
    for (name, _) in known.iter().filter(|(_, must)| *must) {
        assert!(found.contains_key(*name), "{what} lacks {name}");
    }
}

fn each(name: &str, metric: &Value, objects: &[&Value]) {
    let each = &metric["each"];
    let (field, known) = match each["type"].as_str().unwrap() {
        "Gauge" => ("gauge", GAUGE),
        "Info" => ("info", INFO),
        "StateSet" => ("stateSet", STATE_SET),
        other => panic!("{name}: {other} is no type of metrics"),
    };
    fields(name, each, &[("type", true), (field, true)]);
    let way = &each[field];
    fields(name, way, known);
    // What a hold, which no Delivery here has, would be told by is in the definition; see `missing`.
    if let Some(path) = way.get("path")
        && !is_seen(path, objects)
    {
        return missing(name, path);
    }
    labels(&metric["labelsFromPath"], objects);
    // A path to a list makes a series of each of its items, and what follows is relative to them.
    let at: Vec<Value> = match way.get("path") {
        Some(path) => objects.iter().filter_map(|object| find(object, &segments(path))).collect(),
        None => objects.iter().map(|object| (*object).clone()).collect(),
    };
    let items: Vec<Value> = at
        .into_iter()
        .flat_map(|found| match found {
            Value::Array(items) => items,
            other => vec![other],
        })
        .collect();
    labels(&way["labelsFromPath"], &items.iter().collect::<Vec<_>>());
    if field == "gauge" {
        let told = |item: &Value| match way.get("valueFrom") {
            Some(from) => find(item, &segments(from)),
            None => Some(item.clone()),
        };
        let values: Vec<Value> = items.iter().filter_map(told).collect();
        assert!(!values.is_empty(), "{name}: nothing is told");
        values.iter().for_each(|value| assert!(is_number(value), "{name}: {value} cannot be told as a number"));
    }
}

/// Paths that no Delivery of the test has are held against the definition of the resource instead.
fn missing(name: &str, path: &Value) {
    let known = ["sealift_delivery_hold_until_timestamp_seconds", "sealift_delivery_suspended"];
    assert!(known.contains(&name), "{name}: no Delivery has {path}");
    let definition = super::read("deploy/crds/sealift.dev_deliveries.yaml");
    let definition: Value = serde_saphyr::from_str(&definition).unwrap();
    let mut schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    for segment in segments(path) {
        schema = &schema["properties"][segment.as_str()];
    }
    assert!(schema["type"].is_string(), "{name}: the definition has no {path}");
}

fn is_seen(path: &Value, objects: &[&Value]) -> bool {
    objects.iter().any(|object| find(object, &segments(path)).is_some())
}

fn labels(paths: &Value, objects: &[&Value]) {
    let none = BTreeMap::new();
    let paths: BTreeMap<String, Value> =
        paths.as_object().map_or(none, |paths| paths.iter().map(|(name, path)| (name.clone(), path.clone())).collect());
    for (label, path) in paths {
        assert!(!RESERVED.contains(&label.as_str()), "{label} would be overwritten");
        let found: Vec<Value> = objects.iter().filter_map(|object| find(object, &segments(&path))).collect();
        let variant = label == "variant";
        assert!(!found.is_empty() || variant, "{label}: no object has {path}");
        assert!(found.iter().all(|value| !value.is_array() && !value.is_object()), "{label}: {path} is no text");
    }
}

fn segments(path: &Value) -> Vec<String> {
    path.as_array().unwrap().iter().map(|segment| segment.as_str().unwrap().to_owned()).collect()
}

/// A path as the documentation has it: names, indices, and `[name=value]` for the item of a list.
fn find(value: &Value, path: &[String]) -> Option<Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value.clone()) };
    let next = match (value, first.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'))) {
        (Value::Array(items), Some(inner)) => {
            let (name, wanted) = inner.split_once('=').unwrap();
            items.iter().find(|item| item[name].as_str() == Some(wanted))?
        }
        (Value::Array(items), None) => items.get(first.parse::<usize>().ok()?)?,
        (other, _) => other.get(first)?,
    };
    find(next, rest)
}

/// Numbers, booleans, and the texts that are converted: times, and what conditions say.
fn is_number(value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Bool(_) => true,
        Value::String(text) => {
            ["true", "yes", "false", "no", "unknown"].contains(&text.to_lowercase().as_str())
                || text.parse::<jiff::Timestamp>().is_ok()
        }
        _ => false,
    }
}
