//! Releases as they lie in a registry, and the keys that signed them.

use std::{collections::BTreeMap, sync::Arc};

use sealift_verify::{
    artifact::{Format, Limits, Manifest},
    digest::Digest,
    keys::PublicKey,
    layer,
    objects::{
        Objects,
        yaml::{self, Source},
    },
    policy::Policy,
    statement::{Content, PAYLOAD_TYPE, Release, Scope, Statement},
};
use sigstore_bundle::{BundleV03, builder::VerificationMaterialV03};
use sigstore_crypto::KeyPair;
use sigstore_types::{
    bundle::SignatureContent,
    dsse::{DsseEnvelope, DsseSignature, pae},
};

pub(crate) const REPOSITORY: &str = "registry.example/acme/shop";

/// Objects of several shapes: names a path has to encode, a path that needs a PAX record, numbers, texts.
pub(crate) const MANIFESTS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop, labels: {app: shop}}
data:
  plain: \"yes\"
  text: |
    two
    lines é
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  template:
    spec:
      containers:
      - {name: web, image: registry.example/web:1, ports: [{containerPort: 8080}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: 'system:Shop'}
rules: []
---
apiVersion: shop.example/v1
kind: Parcel
metadata:
  name: a-name-that-is-so-long-that-the-header-of-an-entry-has-no-room-for-it-and-a-record-has-to-say-it-in-its-place-a-name-that-is-so-long-that-the-header-of-an-entry-has-no-room
  namespace: a-namespace-that-is-long-as-well-but-not-longer-than-63-letters
spec: {weight: 9007199254740993, ratio: 0.1, none: null, flags: [true, false], empty: {}}
";

pub(crate) fn objects(text: &str) -> Objects {
    let source = Source { name: "manifests.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
    yaml::read(&[source], &Limits::default()).unwrap()
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate_ecdsa_p256().unwrap()
}

pub(crate) fn public(key: &KeyPair) -> PublicKey {
    PublicKey::from_pem(&pem_of(key)).unwrap()
}

fn pem_of(key: &KeyPair) -> String {
    pem::encode(&pem::Pem::new("PUBLIC KEY", key.public_key_der().unwrap().as_bytes().to_vec()))
}

/// A policy for `acme/*` that demands a signature of every one of `keys`.
pub(crate) fn policy_text(keys: &[(&str, &KeyPair)]) -> String {
    let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    let authorities: String = keys
        .iter()
        .map(|(name, key)| {
            let pem: String = pem_of(key).lines().map(|line| format!("        {line}\n")).collect();
            format!("  - name: {name}\n    key:\n      pem: |\n{pem}")
        })
        .collect();
    format!(
        "apiVersion: sealift.dev/v1alpha1\nkind: SignaturePolicy\nmetadata:\n  name: test\nspec:\n  mode: enforce\n  \
         match:\n    repositories: [\"registry.example/acme/*\"]\n  authorities:\n{authorities}  \
         require:\n    allOf: [{}]\n  release:\n    streams:\n    - glob: acme/*\n    environment: prod\n  \
         objects:\n    kinds: [\"*\", \"*.apps\", \"*.rbac.authorization.k8s.io\", \"*.example\"]\n  \
         deny:\n    commits: [deadbeef]\n",
        names.join(", ")
    )
}

pub(crate) fn policy(keys: &[(&str, &KeyPair)]) -> Arc<Policy> {
    Arc::new(Policy::from_object(objects(&policy_text(keys)).iter().next().unwrap()).unwrap())
}

/// A release: its bytes, what is said about it, and who signed that.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) manifest: Vec<u8>,
    pub(crate) layer: Vec<u8>,
    pub(crate) objects: Objects,
    pub(crate) statement: Statement,
    pub(crate) bundles: Vec<Vec<u8>>,
}

impl World {
    pub(crate) fn new(text: &str, format: Format, sequence: u64) -> Self {
        let objects = objects(text);
        let packed = layer::pack(&objects, format).unwrap();
        let manifest = Manifest::release(format, packed.descriptor.clone(), BTreeMap::new()).to_bytes();
        let release = Release {
            stream: "acme/shop".into(),
            environment: Some("prod".into()),
            repositories: vec![REPOSITORY.parse().unwrap()],
            version: Some(format!("1.0.{sequence}")),
            epoch: 0,
            sequence,
            previous: None,
            rollback_of: None,
            promoted_from: None,
            issued_at: "2026-05-31T00:00:00Z".parse().unwrap(),
            not_before: None,
            expires_at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            content: Content {
                layer: packed.descriptor.digest,
                uncompressed: packed.uncompressed,
                files: packed.files,
                objects: objects.len(),
                inventory: layer::inventory(&objects),
            },
            parameters: vec![],
            scope: Scope::default(),
            images: vec!["registry.example/web:1".into()],
            unpinned_images: vec!["registry.example/web:1".into()],
            variants: vec![],
            source: None,
            build: None,
            critical: vec![],
        };
        let statement = Statement { name: REPOSITORY.into(), artifact: Digest::of(&manifest), release };
        Self { manifest, layer: packed.bytes, objects, statement, bundles: vec![] }
    }

    pub(crate) fn signed_by(mut self, key: &KeyPair) -> Self {
        self.bundles.push(bundle(&self.statement.to_payload(), PAYLOAD_TYPE, key, &public(key).hint()));
        self
    }
}

/// A bundle over `payload`. Signatures of one length, so that mutations fall on the same places in every run.
pub(crate) fn bundle(payload: &[u8], payload_type: &str, key: &KeyPair, hint: &str) -> Vec<u8> {
    let message = pae(payload_type, payload);
    let signature = std::iter::repeat_with(|| key.sign(&message).unwrap()).find(|s| s.as_bytes().len() == 71).unwrap();
    let signature = DsseSignature::new(signature, Default::default());
    let envelope = DsseEnvelope::new(payload_type.to_owned(), payload.to_vec().into(), signature);
    let material = VerificationMaterialV03::PublicKey { hint: hint.to_owned() };
    let bundle = BundleV03::new(material, SignatureContent::DsseEnvelope(envelope)).into_bundle();
    bundle.to_json().unwrap().into_bytes()
}
