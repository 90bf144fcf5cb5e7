//! One object by what is known of its kind. Pure.

use std::collections::BTreeMap;

use sealift_verify::objects::{Object, ObjectId};
use serde_json::Value;

use super::{
    catalogue::{Catalogue, Version, is_off_by_default},
    check::{Check, Reader, Varies, Violation},
    custom::{Custom, Form, Served},
    rule::Rule,
    schema::Schema,
};

/// Everything that is known of kinds.
pub(super) struct Kinds<'a> {
    catalogue: Catalogue,
    custom: &'a Custom,
    metadata: Schema,
}

/// `Kind.group`.
pub(super) fn name(id: &ObjectId) -> String {
    if id.group.is_empty() { id.kind.clone() } else { format!("{}.{}", id.kind, id.group) }
}

fn said(rule: Rule, pointer: &str, message: impl Into<String>) -> Violation {
    Violation { rule, pointer: pointer.to_owned(), message: message.into() }
}

impl<'a> Kinds<'a> {
    pub(super) fn new(version: Version, custom: &'a Custom) -> Self {
        Self { catalogue: Catalogue::of(version), custom, metadata: Schema::object_meta() }
    }

    /// What is wrong with an object, given where variables stand in it.
    pub(super) fn judge(&self, object: &Object, varying: &BTreeMap<String, Varies>) -> Vec<Violation> {
        let ObjectId { group, kind, .. } = &object.id;
        if self.catalogue.owns(group) {
            return self.built_in(object, varying);
        }
        match self.custom.versions(group, kind) {
            Some(versions) => self.defined(object, versions, varying),
            None => {
                let mut found = vec![said(Rule::NoSchema, "", "nothing here describes this kind")];
                found.extend(self.metadata(object, varying));
                found
            }
        }
    }

    fn built_in(&self, object: &Object, varying: &BTreeMap<String, Varies>) -> Vec<Violation> {
        let ObjectId { group, kind, .. } = &object.id;
        let (api_version, version) = (object.id.api_version(), self.catalogue.version);
        let mut found = self.lifecycle(&api_version, kind);
        let removed = found.iter().any(|violation| violation.rule == Rule::RemovedApi);
        match self.catalogue.schema(&api_version, kind) {
            Some(schema) => {
                if is_off_by_default(&api_version) {
                    let message = format!("{api_version} is served only where somebody turned it on");
                    found.push(said(Rule::ApiOffByDefault, "/apiVersion", message));
                }
                let mut check = Check::new(&self.catalogue.definitions, Reader::BuiltIn, varying);
                check.value(schema, &object.value, &mut String::new());
                found.append(&mut check.found);
            }
            None if !removed => {
                let instead = self.catalogue.instead(group, kind).map(|kind| format!("; there is {kind}"));
                let message =
                    format!("Kubernetes {version} has no {api_version} {kind}{}", instead.unwrap_or_default());
                found.push(said(Rule::UnknownKind, "/apiVersion", message));
            }
            None => {}
        }
        found
    }

    /// Whether the API goes or is gone.
    fn lifecycle(&self, api_version: &str, kind: &str) -> Vec<Violation> {
        let version = self.catalogue.version;
        let Some(life) = self.catalogue.lifecycle(api_version, kind) else { return Vec::new() };
        let instead = life.replacement.as_ref().map(|kind| format!("; use {kind}")).unwrap_or_default();
        match life.removed {
            Some(removed) if removed <= version => {
                let message = format!("{api_version} {kind} is gone since Kubernetes {removed}{instead}");
                vec![said(Rule::RemovedApi, "/apiVersion", message)]
            }
            removed if life.deprecated <= version => {
                let gone = removed.map(|removed| format!(", gone in {removed}")).unwrap_or_default();
                let message = format!("{api_version} {kind} is deprecated since {}{gone}{instead}", life.deprecated);
                vec![said(Rule::DeprecatedApi, "/apiVersion", message)]
            }
            _ => Vec::new(),
        }
    }

    fn defined(
        &self,
        object: &Object,
        versions: &BTreeMap<String, Served>,
        varying: &BTreeMap<String, Varies>,
    ) -> Vec<Violation> {
        let served = versions.get(&object.id.version).filter(|served| served.served);
        let Some(Served { deprecated, schema, .. }) = served else {
            let there: Vec<_> = versions.iter().filter(|(_, v)| v.served).map(|(name, _)| name.as_str()).collect();
            let message = format!("its definition serves {}, not {}", there.join(", "), object.id.version);
            return vec![said(Rule::UnknownKind, "/apiVersion", message)];
        };
        let mut found = Vec::new();
        if let Some(words) = deprecated {
            found.push(said(Rule::DeprecatedApi, "/apiVersion", words.clone()));
        }
        match schema {
            Some(Form::Custom(schema)) => {
                let Value::Object(fields) = &object.value else { return found };
                let mut rest = fields.clone();
                ["apiVersion", "kind", "metadata"].iter().for_each(|name| drop(rest.remove(*name)));
                let mut check = Check::new(&self.catalogue.definitions, Reader::Custom, varying);
                let own = without_common(schema);
                check.value(&own, &Value::Object(rest), &mut String::new());
                found.append(&mut check.found);
                found.extend(self.metadata(object, varying));
            }
            Some(Form::OpenApi(document, name)) => {
                let definitions = self.custom.document(*document);
                let mut check = Check::new(definitions, Reader::BuiltIn, varying);
                if let Some(schema) = definitions.get(name) {
                    check.value(schema, &object.value, &mut String::new());
                }
                found.append(&mut check.found);
            }
            None => {
                found.push(said(Rule::NoSchema, "", "its definition has no schema"));
                found.extend(self.metadata(object, varying));
            }
        }
        found
    }

    fn metadata(&self, object: &Object, varying: &BTreeMap<String, Varies>) -> Vec<Violation> {
        let mut check = Check::new(&self.catalogue.definitions, Reader::BuiltIn, varying);
        check.value(&self.metadata, &object.value["metadata"], &mut "/metadata".to_owned());
        check.found
    }
}

/// The schema of a custom resource about the fields that only it has.
fn without_common(schema: &Schema) -> Schema {
    let mut own = schema.clone();
    let common = ["apiVersion", "kind", "metadata"];
    common.iter().for_each(|name| drop(own.properties.remove(*name)));
    own.required.retain(|name| !common.contains(&name.as_str()));
    own
}
