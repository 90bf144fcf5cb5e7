//! Images wherever an object names them: in anything shaped like a pod's spec, and at places that a policy knows.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde_json::Value;

use super::known;
use crate::objects::{
    Object,
    pointer::{escaped, within},
};

/// Lists of containers in a pod's spec.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// An image that an object names, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found<'a> {
    /// JSON pointer into the object.
    pub pointer: String,
    /// The text there.
    pub image: &'a str,
}

/// A place where objects of one kind name images: a JSON pointer in which `*` stands for every item or field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    kind: String,
    steps: Vec<String>,
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place of images: Kind.group/field/*/image")]
pub struct PlaceError(String);

/// `Prometheus.monitoring.coreos.com/spec/image`, `Pipeline.example.com/spec/steps/*/image`; `~0` and `~1` stand for `~`
/// and `/` in a field's name.
impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let invalid = || PlaceError(text.to_owned());
        let (kind, pointer) = text.split_once('/').ok_or_else(invalid)?;
        let steps: Vec<String> = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
        match kind.is_empty() || steps.iter().any(String::is_empty) {
            true => Err(invalid()),
            false => Ok(Self { kind: kind.to_owned(), steps }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.steps.iter().try_for_each(|step| write!(f, "/{}", escaped(step)))
    }
}

impl Place {
    fn is_in(&self, object: &Object) -> bool {
        let (kind, group) = self.kind.split_once('.').unwrap_or((&self.kind, ""));
        (kind, group) == (object.id.kind.as_str(), object.id.group.as_str())
    }
}

/// Every image that an object names, each place once, in the order of the places: containers, init and ephemeral
/// containers and image volumes of anything shaped like a pod's spec, however deep in whatever kind, and what stands at
/// `places` or where widely used kinds have it. Images that a controller adds by itself cannot be known here.
pub fn find<'a>(object: &'a Object, places: &[Place]) -> Vec<Found<'a>> {
    let mut found = BTreeSet::new();
    walk(&object.value, &mut String::new(), &mut found);
    for place in places.iter().chain(known::places()).filter(|place| place.is_in(object)) {
        follow(&object.value, &place.steps, &mut String::new(), &mut found);
    }
    found.into_iter().collect()
}

fn walk<'a>(value: &'a Value, pointer: &mut String, found: &mut BTreeSet<Found<'a>>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                within(pointer, name, |pointer| {
                    match (name.as_str(), field) {
                        (list, items) if CONTAINERS.contains(&list) => named(items, "/image", pointer, found),
                        ("volumes", items) => named(items, "/image/reference", pointer, found),
                        _ => {}
                    }
                    walk(field, pointer, found);
                });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                within(pointer, &index.to_string(), |pointer| walk(item, pointer, found));
            }
        }
        _ => {}
    }
}

/// What stands at the same place in each of the items, which some kinds keep by name. An empty text is what a runtime takes
/// for none.
fn named<'a>(items: &'a Value, at: &str, pointer: &str, found: &mut BTreeSet<Found<'a>>) {
    let mut each = |name: &str, item: &'a Value| {
        if let Some(image) = item.pointer(at).and_then(Value::as_str).filter(|image| !image.is_empty()) {
            found.insert(Found { pointer: format!("{pointer}/{}{at}", escaped(name)), image });
        }
    };
    match items {
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| each(&index.to_string(), item)),
        Value::Object(items) => items.iter().for_each(|(name, item)| each(name, item)),
        _ => {}
    }
}

fn follow<'a>(value: &'a Value, steps: &[String], pointer: &mut String, found: &mut BTreeSet<Found<'a>>) {
    let Some((step, rest)) = steps.split_first() else {
        if let Some(image) = value.as_str().filter(|image| !image.is_empty()) {
            found.insert(Found { pointer: pointer.clone(), image });
        }
        return;
    };
    let mut into = |name: &str, value: &'a Value, pointer: &mut String| {
        within(pointer, name, |pointer| follow(value, rest, pointer, found));
    };
    match value {
        Value::Object(fields) if step == "*" => {
            fields.iter().for_each(|(name, field)| into(name, field, pointer));
        }
        Value::Array(items) if step == "*" => {
            items.iter().enumerate().for_each(|(index, item)| into(&index.to_string(), item, pointer));
        }
        Value::Object(fields) => {
            if let Some(field) = fields.get(step) {
                into(step, field, pointer);
            }
        }
        Value::Array(items) => {
            if let Some((index, item)) = step.parse().ok().and_then(|index: usize| Some((index, items.get(index)?))) {
                into(&index.to_string(), item, pointer);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::Limits,
        objects::yaml::{Source, read},
    };

    fn found(yaml: &str, places: &[&str]) -> Vec<String> {
        let source = Source { name: "t".into(), bytes: yaml.as_bytes().to_vec() };
        let objects = read(&[source], &Limits::default()).unwrap();
        let places: Vec<Place> = places.iter().map(|place| place.parse().unwrap()).collect();
        let object = objects.iter().next().unwrap();
        find(object, &places).into_iter().map(|found| format!("{} {}", found.pointer, found.image)).collect()
    }

    #[test]
    fn a_pod_is_known_by_its_shape_in_whatever_it_stands() {
        let spec = "{containers: [{name: a, image: a}, {name: none}, {name: empty, image: ''}], initContainers: [{name: i, image: i}], \
                    ephemeralContainers: [{name: e, image: e}], volumes: [{name: v, image: {reference: v}}, {name: w, emptyDir: {}}]}";
        let expected = |at: &str| {
            [
                "containers/0/image a",
                "ephemeralContainers/0/image e",
                "initContainers/0/image i",
                "volumes/0/image/reference v",
            ]
            .map(|rest| format!("{at}/{rest}"))
            .to_vec()
        };
        for (kind, at) in [
            ("{apiVersion: v1, kind: Pod", ""),
            ("{apiVersion: batch/v1, kind: CronJob", "/jobTemplate/spec/template/spec"),
            ("{apiVersion: argoproj.io/v1alpha1, kind: Rollout", "/a~1b/1"),
        ] {
            let nested = match at {
                "" => spec.to_owned(),
                "/a~1b/1" => format!("{{a/b: [x, {spec}]}}"),
                _ => format!("{{jobTemplate: {{spec: {{template: {{spec: {spec}}}}}}}}}"),
            };
            let yaml = format!("{kind}, metadata: {{name: x}}, spec: {nested}}}\n");
            assert_eq!(found(&yaml, &[]), expected(&format!("/spec{at}")), "{yaml}");
        }
    }

    #[test]
    fn a_schema_that_describes_containers_names_no_image() {
        let yaml = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\nspec:\n  \
                    properties: {containers: {items: {properties: {image: {type: string}}}}, image: {description: a}}\n";
        assert!(found(yaml, &[]).is_empty());
    }

    #[test]
    fn containers_that_are_kept_by_name_are_containers() {
        let yaml = "apiVersion: example.com/v1\nkind: App\nmetadata: {name: x}\nspec: {containers: {main/a: {image: one}, b: {}}, volumes: {v: {image: {reference: two}}}}\n";
        assert_eq!(found(yaml, &[]), ["/spec/containers/main~1a/image one", "/spec/volumes/v/image/reference two"]);
    }

    /// Their controllers run these images in pods of their own, so rules for images that did not see them would not hold.
    #[test]
    fn images_of_widely_used_kinds_are_known_without_a_policys_help() {
        let object = |kind: &str, spec: &str| {
            let (kind, group) = kind.split_once('.').unwrap();
            format!("apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n")
        };
        for (kind, spec, expected) in [
            (
                "CronWorkflow.argoproj.io",
                "{workflowSpec: {templates: [{container: {image: a}}, {script: {image: b}, sidecars: [{image: c}]}]}}",
                &["templates/0/container/image a", "templates/1/script/image b", "templates/1/sidecars/0/image c"][..],
            ),
            (
                "Pipeline.tekton.dev",
                "{tasks: [{taskSpec: {steps: [{image: a}, {ref: x}], stepTemplate: {image: b}}}], finally: [{taskSpec: {sidecars: [{image: c}]}}]}",
                &["sidecars/0/image c", "stepTemplate/image b", "steps/0/image a"],
            ),
            (
                "Prometheus.monitoring.coreos.com",
                "{image: a, containers: [{image: b}]}",
                &["containers/0/image b", "spec/image a"],
            ),
            ("Provider.pkg.crossplane.io", "{package: a}", &["spec/package a"]),
            ("Provider.example.com", "{package: a}", &[]),
        ] {
            let found = found(&object(kind, spec), &[]);
            assert_eq!(found.len(), expected.len(), "{kind}: {found:?}");
            for (found, end) in found.iter().zip(expected) {
                assert!(found.ends_with(end), "{kind}: {found} is not {end}");
            }
        }
    }

    #[test]
    fn other_places_are_known_by_kind_and_path() {
        let yaml = "apiVersion: example.com/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {image: one, steps: [{image: two}, {run: y}, {image: three}], \
                    by/name: {a: {image: four}}, containers: [{name: c, image: five}]}\n";
        let places = [
            "Pipeline.example.com/spec/image",
            "Pipeline.example.com/spec/steps/*/image",
            "Pipeline.example.com/spec/by~1name/*/image",
            "Pipeline.example.com/spec/steps/0/image",
            "Pipeline.example.com/spec/containers/*/image",
            "Pipeline.other.com/metadata/name",
            "Pipeline/metadata/name",
        ];
        assert_eq!(
            found(yaml, &places),
            [
                "/spec/by~1name/a/image four",
                "/spec/containers/0/image five",
                "/spec/image one",
                "/spec/steps/0/image two",
                "/spec/steps/2/image three"
            ]
        );
    }

    #[test]
    fn a_place_names_kind_and_field_and_is_written_as_it_was_read() {
        for text in ["", "Kind", "/spec/image", "Kind/", "Kind//image"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        let text = "Kind.group/a~1b/*/c~0d";
        assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
    }
}
