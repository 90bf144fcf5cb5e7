//! What is wrong with objects beside their schemas: Secrets that anybody can read, namespaces that are not there.

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::objects::{Object, Objects};
use serde_json::Value;

use super::rule::Rule;

/// What every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// A finding without its line.
pub(super) type Said<'a> = (&'a Object, String, Rule, String);

/// Every Secret with a value that is more than one parameter. Sealed and external secrets are other kinds.
pub(super) fn secrets<'a>(objects: &'a Objects, parameters: &[String]) -> Vec<Said<'a>> {
    let is_parameter = |text: &str| {
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        name.is_some_and(|name| parameters.iter().any(|parameter| parameter == name))
    };
    let is_plain = |value: &Value| value.as_str().is_none_or(|text| !text.is_empty() && !is_parameter(text));
    let secrets = objects.iter().filter(|object| (object.id.group.as_str(), object.id.kind.as_str()) == ("", "Secret"));
    let found = secrets.filter_map(|object| {
        let field = ["data", "stringData"].into_iter().find_map(|field| {
            let values = object.value[field].as_object()?;
            let keys: Vec<_> =
                values.iter().filter(|(_, value)| is_plain(value)).map(|(key, _)| key.as_str()).collect();
            (!keys.is_empty()).then(|| (field, keys.join(", ")))
        });
        let (field, keys) = field?;
        let message = format!("whoever can pull the release reads {keys}");
        Some((object, format!("/{field}"), Rule::PlaintextSecret, message))
    });
    found.collect()
}

/// Every namespace that is nowhere, at the first object that is in it.
pub(super) fn namespaces<'a>(objects: &'a Objects, existing: &[String]) -> Vec<Said<'a>> {
    let made = objects.iter().filter(|object| object.id.group.is_empty() && object.id.kind == "Namespace");
    let mut there: BTreeSet<&str> = made.map(|object| object.id.name.as_str()).collect();
    there.extend(NAMESPACES.iter().copied().chain(existing.iter().map(String::as_str)));
    let mut missing: BTreeMap<&str, (&Object, usize)> = BTreeMap::new();
    for object in objects {
        if let Some(namespace) = object.id.namespace.as_deref().filter(|n| !there.contains(n) && !n.contains("${")) {
            missing.entry(namespace).or_insert((object, 0)).1 += 1;
        }
    }
    let said = |(namespace, (object, count)): (&str, (&'a Object, usize))| {
        let objects = if count == 1 { "1 object is".to_owned() } else { format!("{count} objects are") };
        let message = format!("{objects} in namespace {namespace}, which the release does not hold");
        (object, "/metadata/namespace".to_owned(), Rule::MissingNamespace, message)
    };
    missing.into_iter().map(said).collect()
}

#[cfg(test)]
mod tests {
    use sealift_verify::{artifact::Limits, objects::yaml::Source};

    use super::*;
    use crate::manifests;

    fn objects(text: &str) -> Objects {
        manifests::read(&[Source { name: "t".into(), bytes: text.into() }], &Limits::default()).unwrap()
    }

    #[test]
    fn a_secret_is_plain_if_anything_in_it_can_be_read() {
        for (kind, rest, plain) in [
            ("v1, kind: Secret", "data: {a: YQ==}", true),
            ("v1, kind: Secret", "stringData: {a: b}", true),
            ("v1, kind: Secret", "stringData: {a: '${TOKEN}', b: 'x${TOKEN}'}", true),
            ("v1, kind: Secret", "stringData: {a: '${OTHER}'}", true),
            ("v1, kind: Secret", "stringData: {a: '${TOKEN}', b: ''}", false),
            ("v1, kind: Secret", "type: kubernetes.io/service-account-token", false),
            ("v1, kind: Secret", "data: {}", false),
            ("v1, kind: ConfigMap", "data: {a: b}", false),
            ("bitnami.com/v1alpha1, kind: SealedSecret", "spec: {encryptedData: {a: AgB}}", false),
            ("external-secrets.io/v1, kind: ExternalSecret", "data: [{secretKey: a}]", false),
            ("example.com/v1, kind: Secret", "data: {a: b}", false),
        ] {
            let text = format!("{{apiVersion: {kind}, metadata: {{name: s}}, {rest}}}");
            assert_eq!(!secrets(&objects(&text), &["TOKEN".to_owned()]).is_empty(), plain, "{text}");
        }
    }

    #[test]
    fn a_namespace_is_missing_once_unless_somebody_has_it() {
        let object = |name: &str, namespace: &str| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: '{namespace}'}}\n---\n")
        };
        let all = [
            object("a", "shop"),
            object("b", "shop"),
            object("c", "made"),
            object("d", "kube-system"),
            object("e", "there"),
            object("f", "${WHERE}"),
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: made}\n".to_owned(),
        ];
        let objects = objects(&all.concat());
        let found = namespaces(&objects, &["there".to_owned()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].3, "2 objects are in namespace shop, which the release does not hold");
    }
}
