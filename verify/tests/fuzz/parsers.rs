//! What is parsed before or after a signature was checked: manifest, bundle, statement, policy, YAML.

use std::collections::BTreeSet;

use sealift_verify::{
    artifact::{Format, LAYER_GZIP, LAYER_ZSTD, Limits, Manifest},
    digest::Digest,
    objects::{
        canonical, emit,
        yaml::{self, Source},
    },
    policy::Policy,
    signature::{Candidate, Envelope},
    statement::Statement,
};
use serde_json::Value;

use crate::{
    campaign::{Came, run},
    mutate,
    random::Random,
    world::{MANIFESTS, World, key, policy_text, public},
};

/// JSON changed as bytes or as a tree.
fn changed_json(original: &[u8], donor: &[u8], tokens: &[&str], random: &mut Random) -> Vec<u8> {
    if random.once_in(2) {
        let mut bytes = original.to_vec();
        mutate::bytes(&mut bytes, tokens, donor, random);
        return bytes;
    }
    let mut value: Value = serde_json::from_slice(original).unwrap();
    mutate::json(&mut value, &serde_json::from_slice(donor).unwrap(), random);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn manifest() {
    let original = World::new(MANIFESTS, Format::Sealift, 1).manifest;
    let donor = World::new(MANIFESTS, Format::Flux, 2).manifest;
    let digest = Digest::of(&original);
    Manifest::parse(&original, &digest).unwrap().content().unwrap();
    let tokens = [LAYER_ZSTD, LAYER_GZIP, "\"layers\":", "\"mediaType\":", "\"size\":-1", "{}", "[]", "null"];
    run("manifest", "understood", |random| {
        let bytes = changed_json(&original, &donor, &tokens, random);
        let asked_for = Manifest::parse(&bytes, &digest);
        assert!(asked_for.is_err() || bytes == original, "other bytes passed for the digest asked for");
        let Ok(manifest) = Manifest::parse(&bytes, &Digest::of(&bytes)) else { return Came::Refused };
        let Ok((layer, format)) = manifest.content() else { return Came::Refused };
        assert_eq!(Format::of_layer(&layer.media_type), Some(format));
        assert_eq!(manifest.layers.len(), 1);
        Came::Taken
    });
}

#[test]
fn bundle() {
    let (ours, theirs) = (key(), key());
    let world = World::new(MANIFESTS, Format::Sealift, 1).signed_by(&ours);
    let donor = World::new(MANIFESTS, Format::Flux, 2).signed_by(&theirs);
    let (payload, key) = (world.statement.to_payload(), public(&ours));
    let limit = Limits::default().bundle;
    let parse = |bundle: Vec<u8>| Envelope::parse(&Candidate::bundle(Digest::of(b""), bundle), limit);
    assert!(parse(world.bundles[0].clone()).unwrap().signed_by(&key));
    let tokens =
        ["\"signatures\":[", "\"payloadType\":", "\"certificate\":{}", "\"messageSignature\":{}", "==", "\\u0000"];
    run("bundle", "still signed, all over the payload that was", |random| {
        let bytes = changed_json(&world.bundles[0], &donor.bundles[0], &tokens, random);
        let Ok(envelope) = parse(bytes) else { return Came::Refused };
        if !envelope.signed_by(&key) {
            return Came::Refused;
        }
        assert_eq!(envelope.payload(), payload, "a signature counted for another payload");
        Came::Taken
    });
}

#[test]
fn statement() {
    let original = World::new(MANIFESTS, Format::Sealift, 1).statement.to_payload();
    let donor = World::new(MANIFESTS, Format::Flux, 2).statement.to_payload();
    Statement::parse(&original).unwrap();
    let tokens = ["\"critical\":[\"x\"]", "\"epoch\":1", "\"subject\":[]", "\"env\":\"dev\"", "sha512", "null", "{}"];
    run("statement", "understood", |random| {
        let bytes = changed_json(&original, &donor, &tokens, random);
        let Ok(statement) = Statement::parse(&bytes) else { return Came::Refused };
        // What cosign reads in the annotations and what we read in the predicate is the same, also once written again.
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        for (name, text) in statement.annotations() {
            assert_eq!(value["subject"][0]["annotations"][&name], text, "{name}");
        }
        assert_eq!(Statement::parse(&statement.to_payload()).unwrap(), statement);
        Came::Taken
    });
}

const YAML_TOKENS: &[&str] = &[
    "\n",
    "\n  ",
    "\n- ",
    ": ",
    "- ",
    "? ",
    "---\n",
    "...",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!!binary ",
    "|",
    ">-\n",
    "'",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "#",
    "%YAML 1.1\n",
    "yes",
    "null",
    "~",
    "0777",
    "1e3",
    ".inf",
    "2001-01-01",
    "\t",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\r\n",
    "kind: List\nitems:\n- ",
    "apiVersion: v1\n",
    "metadata: {name: x}\n",
    "**",
    ".*",
    "(?s).*",
];

fn read(bytes: &[u8]) -> Option<sealift_verify::objects::Objects> {
    let source = Source { name: "fuzz.yaml".to_owned(), bytes: bytes.to_vec() };
    yaml::read(&[source], &Limits { entries: 100, ..Limits::default() }).ok()
}

#[test]
fn policy() {
    let (a, b) = (key(), key());
    let original = policy_text(&[("build", &a), ("release", &b)]);
    let donor = policy_text(&[("other", &a)]);
    let tokens = [
        YAML_TOKENS,
        &["anyOf: [build]", "atLeast: {count: 0, of: [build]}", "mode: audit", "regex: ", "namespaces: []"],
    ]
    .concat();
    run("policy", "usable, none met by nobody", |random| {
        let mut bytes = original.clone().into_bytes();
        mutate::bytes(&mut bytes, &tokens, donor.as_bytes(), random);
        let mut came = Came::Refused;
        for object in read(&bytes).iter().flatten() {
            let Ok(policy) = Policy::from_object(object) else { continue };
            assert!(!policy.require.is_met(&BTreeSet::new()), "a policy that demands no signature");
            assert!(!policy.authorities.is_empty() && !policy.streams.is_empty());
            assert_eq!(Policy::from_object(object).unwrap().digest, policy.digest);
            came = Came::Taken;
        }
        came
    });
}

#[test]
fn yaml() {
    let donor = policy_text(&[("build", &key())]);
    read(MANIFESTS.as_bytes()).unwrap();
    run("yaml", "read, and the same once written and read again", |random| {
        let mut bytes = MANIFESTS.as_bytes().to_vec();
        mutate::bytes(&mut bytes, YAML_TOKENS, donor.as_bytes(), random);
        let Some(objects) = read(&bytes) else { return Came::Refused };
        for object in &objects {
            let json = canonical::to_vec(&object.value);
            let back: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(canonical::to_vec(&back), json, "canonical JSON is not a fixed point");
            let text = emit::to_yaml(&object.value);
            let again = read(text.as_bytes()).unwrap_or_else(|| panic!("what was written cannot be read:\n{text}"));
            let again = again.iter().next().unwrap();
            assert_eq!((&again.id, canonical::to_vec(&again.value)), (&object.id, json), "{text}");
        }
        Came::Taken
    });
}
