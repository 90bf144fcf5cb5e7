//! Kinds that are not Kubernetes' own: by their definitions in the release, and in files given beside it.

use std::collections::BTreeMap;

use sealift_verify::{
    artifact::Limits,
    objects::{Object, Objects, yaml::Source},
};
use serde_json::Value;

use super::schema::{Definitions, Schema};
use crate::manifests::{self, Problems};

/// One version of a kind.
#[derive(Debug)]
pub(super) struct Served {
    /// False if requests in this version are refused.
    pub(super) served: bool,
    /// That it will go, in the definition's own words.
    pub(super) deprecated: Option<String>,
    /// What objects are; `None` if the definition tells nothing that can be used.
    pub(super) schema: Option<Form>,
}

/// How the schema of a kind is written.
#[derive(Debug)]
pub(super) enum Form {
    /// In the definition of a custom resource: about everything but what all objects have.
    Custom(Box<Schema>),
    /// In a document of OpenAPI v3, by name: about the whole object.
    OpenApi(usize, String),
}

/// Kinds by group and kind, and in that by version.
#[derive(Debug, Default)]
pub(super) struct Custom {
    kinds: BTreeMap<(String, String), BTreeMap<String, Served>>,
    documents: Vec<Definitions>,
    /// Definitions that say nothing usable, with the pointer to the schema and what is wrong.
    pub(super) unusable: Vec<(Object, String, String)>,
}

/// A file of `--schemas` holds no schemas.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemasError {
    #[error("{name} is neither a document of OpenAPI v3 nor definitions of custom resources")]
    Neither {
        name: String,
        #[source]
        source: Problems,
    },
    #[error("the schemas of {name} cannot be read")]
    OpenApi {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{0} defines no kind of objects")]
    Nothing(String),
}

impl Custom {
    /// What the definitions among the objects tell.
    pub(super) fn of(objects: &Objects) -> Self {
        let mut custom = Self::default();
        for object in objects {
            custom.define(object);
        }
        custom
    }

    /// Adds what a file tells of kinds that the release does not define itself.
    pub(super) fn add(&mut self, source: Source, limits: &Limits) -> Result<(), SchemasError> {
        let name = source.name.clone();
        if let Ok(document) = serde_json::from_slice::<Value>(&source.bytes)
            && let Some(schemas) = document.pointer("/components/schemas")
        {
            return self.open_api(&name, schemas);
        }
        let objects = manifests::read(&[source], limits);
        let objects = objects.map_err(|source| SchemasError::Neither { name: name.clone(), source })?;
        let defined = objects.iter().filter(|object| self.define(object)).count();
        if defined == 0 { Err(SchemasError::Nothing(name)) } else { Ok(()) }
    }

    /// The versions of a kind, if it is defined.
    pub(super) fn versions(&self, group: &str, kind: &str) -> Option<&BTreeMap<String, Served>> {
        self.kinds.get(&(group.to_owned(), kind.to_owned()))
    }

    pub(super) fn document(&self, index: usize) -> &Definitions {
        &self.documents[index]
    }

    /// True if the object is a definition.
    fn define(&mut self, object: &Object) -> bool {
        if (object.id.group.as_str(), object.id.kind.as_str()) != ("apiextensions.k8s.io", "CustomResourceDefinition") {
            return false;
        }
        let text = |pointer: &str| object.value.pointer(pointer).and_then(Value::as_str);
        let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else { return true };
        let versions = object.value.pointer("/spec/versions").and_then(Value::as_array);
        let mut found = BTreeMap::new();
        for (index, version) in versions.into_iter().flatten().enumerate() {
            let Some(name) = version["name"].as_str() else { continue };
            let schema = version.pointer("/schema/openAPIV3Schema").and_then(|schema| {
                let schema = serde_json::from_value::<Schema>(schema.clone());
                let pointer = format!("/spec/versions/{index}/schema/openAPIV3Schema");
                schema.map_err(|error| self.unusable.push((object.clone(), pointer, error.to_string()))).ok()
            });
            let deprecated = version["deprecated"] == true;
            let words = version["deprecationWarning"].as_str().unwrap_or("its definition says that it will go");
            let served = Served {
                served: version["served"] != false,
                deprecated: deprecated.then(|| words.to_owned()),
                schema: schema.map(|schema| Form::Custom(Box::new(schema))),
            };
            found.insert(name.to_owned(), served);
        }
        self.kinds.entry((group.to_owned(), kind.to_owned())).or_insert(found);
        true
    }

    fn open_api(&mut self, name: &str, schemas: &Value) -> Result<(), SchemasError> {
        let failed = |source| SchemasError::OpenApi { name: name.to_owned(), source };
        let index = self.documents.len();
        let mut definitions: Definitions = serde_json::from_value(schemas.clone()).map_err(failed)?;
        // Time, quantities and ports are what every API server takes for them.
        for (name, schema) in &mut definitions {
            match name.rsplit('.').next() {
                Some("Quantity") => *schema = Schema { format: Some("quantity".to_owned()), ..Schema::default() },
                Some("IntOrString") => *schema = Schema { int_or_string: true, ..Schema::default() },
                _ => {}
            }
        }
        let mut kinds = 0;
        for (name, schema) in schemas.as_object().into_iter().flatten() {
            for mark in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                let text = |field: &str| mark[field].as_str().unwrap_or_default().to_owned();
                let form = Form::OpenApi(index, name.clone());
                let served = Served { served: true, deprecated: None, schema: Some(form) };
                let versions = self.kinds.entry((text("group"), text("kind"))).or_default();
                versions.entry(text("version")).or_insert(served);
                kinds += 1;
            }
        }
        self.documents.push(definitions);
        if kinds == 0 { Err(SchemasError::Nothing(name.to_owned())) } else { Ok(()) }
    }
}
