use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use sigstore_crypto::KeyPair;

use super::*;
use crate::{
    artifact::Limits,
    objects::{
        Objects,
        yaml::{self, Source},
    },
    policy::{Policy, tests::policy},
    refusal::Refusal,
};

const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: ${REPLICAS} # as many as it takes
  template:
    spec:
      containers:
        - name: web
          image: web:${TAG}
          args:
            - ${REPLICAS}
          env:
            - {name: PORT, value: "${REPLICAS}"}
            - name: NOTE
              value: |
                replicas: ${REPLICAS}
                ${UNDECLARED}
"#;

fn read(text: &str, parameters: &mut [Parameter]) -> Result<Objects, Vec<BindError>> {
    let source = Source { name: "web.yaml".into(), bytes: mark(text, parameters).into_bytes() };
    let mut objects = yaml::read(&[source], &Limits::default()).unwrap().into_vec();
    bind(&mut objects, parameters)?;
    Ok(Objects::new(objects).unwrap())
}

fn declared(names: &[&str]) -> Vec<Parameter> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn policies(places: Value) -> Vec<Arc<Policy>> {
    let key = KeyPair::generate_ecdsa_p256().unwrap();
    vec![Arc::new(policy(&[("a", &key)], |v| v["spec"]["objects"] = json!({"parameters": places})).unwrap())]
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn an_unquoted_variable_is_typed_and_a_quoted_one_stays_text() {
    let mut parameters = declared(&["REPLICAS:int=2", "TAG"]);
    let objects = read(MANIFEST, &mut parameters).unwrap();
    let path = "shop/apps/Deployment/web.json";
    assert_eq!(
        parameters[0].typed,
        [format!("{path}#/spec/replicas"), format!("{path}#/spec/template/spec/containers/0/args/0")]
    );
    assert_eq!(parameters[0].pointers.len(), 2);
    let given = values(&[("REPLICAS", "3"), ("TAG", "v1")]);
    let done = substitute(objects, &parameters, &given, &policies(json!(["images"]))).unwrap();
    let value = &done.iter().next().unwrap().value;
    assert_eq!(value["spec"]["replicas"], 3);
    let container = &value["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "web:v1");
    assert_eq!(container["env"][0]["value"], "3");
    assert_eq!(container["env"][1]["value"], "replicas: 3\n${UNDECLARED}\n");
}

#[test]
fn a_policy_opens_images_names_and_rbac_or_they_stay_closed() {
    let mut parameters = declared(&["REPLICAS:int=2", "TAG=v1"]);
    let objects = read(MANIFEST, &mut parameters).unwrap();
    let refused = substitute(objects, &parameters, &values(&[]), &policies(json!([])));
    assert!(
        matches!(refused, Err(Refusal::BadParameter { name, problem }) if name == "TAG" && problem.contains("images"))
    );
}

#[test]
fn values_must_be_given_known_and_of_the_type() {
    let mut parameters = declared(&["REPLICAS:int", "TAG=v1"]);
    let objects = read(MANIFEST, &mut parameters).unwrap();
    let open = policies(json!(["images"]));
    for wrong in [&[][..], &[("REPLICAS", "many")], &[("REPLICAS", "1"), ("OTHER", "x")]] {
        let refused = substitute(objects.clone(), &parameters, &values(wrong), &open);
        assert!(matches!(refused, Err(Refusal::BadParameter { .. })), "{wrong:?}");
    }
}

#[test]
fn keys_kinds_and_unused_names_are_refused_at_push() {
    let fixed = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {\"${X}\": b}\n";
    assert!(matches!(read(fixed, &mut declared(&["X"])).unwrap_err()[..], [BindError::Fixed { .. }, ..]));
    assert_eq!(read(MANIFEST, &mut declared(&["NOWHERE"])).unwrap_err(), [BindError::Unused("NOWHERE".into())]);
}

#[test]
fn a_value_cannot_inject_structure() {
    let mut parameters = declared(&["REPLICAS:int=1", "TAG"]);
    let objects = read(MANIFEST, &mut parameters).unwrap();
    let evil = values(&[("TAG", "v1\n          securityContext: {privileged: true}")]);
    let done = substitute(objects, &parameters, &evil, &policies(json!(["images"]))).unwrap();
    let container = &done.iter().next().unwrap().value["spec"]["template"]["spec"]["containers"][0];
    assert!(container.get("securityContext").is_none());
}

#[test]
fn names_vary_where_the_policy_says_so_and_never_collide() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"app-${X}\"}\n---\n\
                apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-b}\n";
    let mut parameters = declared(&["X"]);
    let objects = read(text, &mut parameters).unwrap();
    let open = policies(json!(["names"]));
    let done = substitute(objects.clone(), &parameters, &values(&[("X", "a")]), &open).unwrap();
    assert!(done.iter().any(|o| o.id.name == "app-a"));
    for wrong in ["b", "../../etc", "A B", "${X}"] {
        assert!(substitute(objects.clone(), &parameters, &values(&[("X", wrong)]), &open).is_err(), "{wrong}");
    }
}

#[test]
fn reads_declarations() {
    let plain: Parameter = "DOMAIN".parse().unwrap();
    assert_eq!((plain.kind, plain.default), (ParameterType::String, None));
    let typed: Parameter = "REPLICAS:int=2".parse().unwrap();
    assert_eq!((typed.kind, typed.default.as_deref()), (ParameterType::Int, Some("2")));
    for wrong in ["", "1A", "A-B", "A:float", "A:int=x", "A:bool=yes"] {
        assert!(wrong.parse::<Parameter>().is_err(), "{wrong}");
    }
}

#[test]
fn a_refused_value_is_never_repeated() {
    let parameter: Parameter = "TOKEN:int".parse().unwrap();
    assert!(!parameter.check("s3cret").unwrap_err().contains("s3cret"));
}

/// A tenant may both write values and sign releases: neither may take the memory of whoever serves everybody.
#[test]
fn values_do_not_make_objects_grow_without_end() {
    let text =
        |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: \"{data}\"}}\n");
    let mut parameters = declared(&["X"]);
    let wide = read(&text(&"${X}".repeat(1000)), &mut parameters).unwrap();
    let refused = substitute(wide, &parameters, &values(&[("X", &"x".repeat(1 << 20))]), &policies(json!([])));
    assert!(matches!(refused, Err(Refusal::BadParameter { problem, .. }) if problem.contains("grow")));
    // Doubled at each of many pointers to one place.
    let mut parameters = declared(&["X"]);
    let objects = read(&text("${X}"), &mut parameters).unwrap();
    parameters[0].pointers = vec![parameters[0].pointers[0].clone(); 64];
    let refused = substitute(objects, &parameters, &values(&[("X", "${X}${X}")]), &policies(json!([])));
    assert!(matches!(refused, Err(Refusal::BadParameter { problem, .. }) if problem.contains("grow")));
}

#[test]
fn a_pattern_is_about_the_whole_value_and_bounded() {
    let with = |pattern: &str| Parameter { pattern: Some(pattern.into()), ..declared(&["X"]).remove(0) };
    assert!(with("a|b").check("b").is_ok());
    assert!(with("a|b").check("bc").is_err());
    assert!(with("a)|(?:b").check("xb").is_err(), "no pattern by itself");
    assert!(with(r"(\w{1,1000}){1,10}").check("a").is_err(), "too large");
}
