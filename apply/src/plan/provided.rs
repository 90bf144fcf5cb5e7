//! Kinds that a release defines itself, so that a definition and its custom resources go in one release.

use std::collections::BTreeMap;

use kube::api::ApiResource;
use sealift_verify::objects::{ObjectId, Objects};
use serde_json::Value;

use crate::cluster::Resource;

/// The kinds that the CustomResourceDefinitions of a release serve, each with the name of its definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provided(BTreeMap<(String, String, String), (String, Resource)>);

impl Provided {
    /// The kinds defined by `objects`.
    pub fn by(objects: &Objects) -> Self {
        let definitions = objects.iter().filter(|object| is_definition(&object.id));
        let kinds = definitions.flat_map(|object| {
            let name = object.id.name.clone();
            served(&object.value).into_iter().map(move |(kind, resource)| (kind, (name.clone(), resource)))
        });
        Self(kinds.collect())
    }

    /// How the release's definition serves the kind of `id`.
    pub fn resource(&self, id: &ObjectId) -> Option<&Resource> {
        self.0.get(&(id.group.clone(), id.version.clone(), id.kind.clone())).map(|(_, resource)| resource)
    }

    /// How each kind is served.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.0.values().map(|(_, resource)| resource)
    }

    /// The kinds of the definitions named so.
    #[must_use]
    pub fn of_definitions(mut self, changed: &[ObjectId]) -> Self {
        self.0.retain(|_, (name, _)| changed.iter().any(|id| is_definition(id) && id.name == *name));
        self
    }
}

/// True for a CustomResourceDefinition.
pub fn is_definition(id: &ObjectId) -> bool {
    id.group == "apiextensions.k8s.io" && id.kind == "CustomResourceDefinition"
}

fn served(definition: &Value) -> Vec<((String, String, String), Resource)> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (Some(group), Some(kind), Some(plural)) =
        (text(&spec["group"]), text(&spec["names"]["kind"]), text(&spec["names"]["plural"]))
    else {
        return vec![];
    };
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let served = versions.iter().filter(|version| version["served"] == true);
    served
        .filter_map(|version| Some((text(&version["name"])?, version["subresources"]["status"].is_object())))
        .map(|(version, has_status)| {
            let api_version = format!("{group}/{version}");
            let api = ApiResource {
                group: group.clone(),
                version: version.clone(),
                api_version,
                kind: kind.clone(),
                plural: plural.clone(),
            };
            (
                (group.clone(), version, kind.clone()),
                Resource { api, namespaced: spec["scope"] == "Namespaced", has_status },
            )
        })
        .collect()
}
