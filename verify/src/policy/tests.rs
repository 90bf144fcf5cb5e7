use sigstore_crypto::KeyPair;

use super::*;
use crate::objects::{ObjectId, Origin};

pub(crate) fn pem_of(key: &KeyPair) -> String {
    pem::encode(&pem::Pem::new("PUBLIC KEY", key.public_key_der().unwrap().as_bytes().to_vec()))
}

/// A policy that accepts releases of `acme/*` in repositories `registry.example/acme/*` by any of `keys`,
/// after `change` had its way with it.
pub(crate) fn policy(keys: &[(&str, &KeyPair)], change: impl FnOnce(&mut Value)) -> Result<Policy, PolicyError> {
    let authorities: Vec<_> =
        keys.iter().map(|(name, key)| serde_json::json!({"name": name, "key": {"pem": pem_of(key)}})).collect();
    let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    let mut value = serde_json::json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "test"},
        "spec": {
            "match": {"repositories": ["registry.example/acme/*"]},
            "authorities": authorities,
            "require": {"anyOf": names},
            "release": {"streams": [{"glob": "acme/*"}]},
        }
    });
    change(&mut value);
    let id = ObjectId {
        group: "sealift.dev".into(),
        version: "v1alpha1".into(),
        kind: value["kind"].as_str().unwrap().to_owned(),
        namespace: None,
        name: value["metadata"]["name"].as_str().unwrap().to_owned(),
    };
    Policy::from_object(&Object { id, value, origin: Origin::default() })
}

fn key() -> KeyPair {
    KeyPair::generate_ecdsa_p256().unwrap()
}

#[test]
fn an_unknown_field_anywhere_is_an_error_that_names_it() {
    let key = key();
    for pointer in
        ["/spec", "/spec/match", "/spec/release", "/spec/require", "/spec/authorities/0", "/spec/authorities/0/key"]
    {
        let wrong = policy(&[("a", &key)], |v| v.pointer_mut(pointer).unwrap()["maxage"] = "1h".into());
        let error = wrong.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("unknown field `maxage`"), "{pointer}: {source}");
        assert!(error.to_string().contains("spec"), "{error}");
    }
    let top = policy(&[("a", &key)], |v| v["mode"] = "audit".into());
    assert!(matches!(top, Err(PolicyError::Unknown { path, .. }) if path == "mode"));
}

#[test]
fn a_text_where_a_matcher_stands_is_told_what_belongs_there() {
    let error = policy(&[("a", &key())], |v| v["spec"]["release"]["streams"] = serde_json::json!(["acme/*"]));
    let told = crate::chain(&error.unwrap_err());
    assert!(told.ends_with("expected one of exact, glob and regex with a text"), "{told}");
}

#[test]
fn what_is_missing_at_the_top_is_missing_in_the_spec() {
    let error = policy(&[("a", &key())], |v| drop(v["spec"].as_object_mut().unwrap().remove("match"))).unwrap_err();
    assert_eq!(error.to_string(), "policy test: field spec cannot be read");
}

#[test]
fn what_would_trust_nobody_or_everybody_is_an_error() {
    let key = key();
    let refused = |change: fn(&mut Value)| policy(&[("a", &key)], change).unwrap_err();
    refused(|v| v["spec"]["authorities"] = serde_json::json!([]));
    refused(|v| v["spec"]["match"]["repositories"] = serde_json::json!([]));
    refused(|v| v["spec"]["release"]["streams"] = serde_json::json!([]));
    refused(|v| v["spec"]["release"]["streams"] = serde_json::json!([{"regex": ".*"}]));
    refused(|v| v["spec"]["require"] = serde_json::json!({}));
    refused(|v| v["spec"]["require"] = serde_json::json!({"anyOf": []}));
    refused(|v| v["spec"]["require"] = serde_json::json!({"allOf": ["a"], "anyOf": ["a"]}));
    refused(|v| v["spec"]["require"] = serde_json::json!({"anyOf": ["b"]}));
    refused(|v| v["spec"]["require"] = serde_json::json!({"atLeast": {"count": 0, "of": ["a"]}}));
    refused(|v| v["spec"]["require"] = serde_json::json!({"atLeast": {"count": 2, "of": ["a"]}}));
    refused(|v| v["spec"]["authorities"][0]["key"]["pem"] = "nonsense".into());
    refused(|v| v["kind"] = "Other".into());
}

#[test]
fn one_key_under_two_names_does_not_count_twice() {
    let key = key();
    let two = policy(&[("a", &key), ("b", &key)], |v| v["spec"]["require"] = serde_json::json!({"allOf": ["a", "b"]}));
    assert!(matches!(two, Err(PolicyError::Require { .. })));
}

#[test]
fn only_enforcing_policies_authorise() {
    let key = key();
    let repository = "registry.example/acme/shop".parse().unwrap();
    let other = "registry.example/other/shop".parse().unwrap();
    let audit = std::sync::Arc::new(policy(&[("a", &key)], |v| v["spec"]["mode"] = "audit".into()).unwrap());
    let enforce = std::sync::Arc::new(policy(&[("a", &key)], |_| ()).unwrap());
    assert!(select(&[], &repository, None).is_err());
    assert!(select(std::slice::from_ref(&audit), &repository, None).is_err());
    assert!(select(std::slice::from_ref(&enforce), &other, None).is_err());
    let both = select(&[audit, enforce], &repository, None).unwrap();
    assert_eq!((both.enforcing.len(), both.auditing.len()), (1, 1));
}

#[test]
fn a_policy_for_some_namespaces_speaks_for_those_alone() {
    let key = key();
    let team = policy(&[("a", &key)], |v| v["spec"]["match"]["namespaces"] = serde_json::json!(["team-*"])).unwrap();
    assert!(team.matches("registry.example/acme/shop", Some("team-a")));
    assert!(!team.matches("registry.example/acme/shop", Some("kube-system")));
    assert!(team.matches("registry.example/acme/shop", None), "stricter where the namespace is not known");
}

#[test]
fn an_empty_environment_and_an_empty_commit_are_errors() {
    let key = key();
    let environment = policy(&[("a", &key)], |v| v["spec"]["release"]["environment"] = "".into());
    assert!(matches!(environment, Err(PolicyError::Empty { path: "release.environment", .. })));
    let commit = policy(&[("a", &key)], |v| v["spec"]["deny"] = serde_json::json!({"commits": [""]}));
    assert!(matches!(commit, Err(PolicyError::Empty { path: "deny.commits", .. })));
}
