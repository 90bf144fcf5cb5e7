//! Keys to sign with, and policies that trust them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::cli::Cli;

/// A key pair whose private half lies, not encrypted, in a file.
#[derive(Debug, Clone)]
pub struct KeyPair {
    private: PathBuf,
    public: String,
    pair: Arc<EcdsaKeyPair>,
}

impl KeyPair {
    /// Makes one in the home of `cli`.
    ///
    /// # Panics
    /// Where no key can be made.
    #[must_use]
    pub fn generate(cli: &Cli, name: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key pair can be made");
        let private = pair.to_pkcs8v1().expect("a new key can be written");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a new key can be written");
        let pem = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der)).replace("\r\n", "\n");
        let private = cli.write(&format!("keys/{name}.key"), pem("PRIVATE KEY", private.as_ref()));
        Self { private, public: pem("PUBLIC KEY", public.as_ref()), pair: Arc::new(pair) }
    }

    /// One more signature, over the very statement that a Sigstore bundle holds: what the second of two signers adds.
    ///
    /// # Panics
    /// Where `bundle` holds no DSSE envelope.
    #[must_use]
    pub fn sign_as_well(&self, bundle: &Value) -> Value {
        let envelope = &bundle["dsseEnvelope"];
        let kind = envelope["payloadType"].as_str().expect("an envelope has a type");
        let payload = envelope["payload"].as_str().and_then(|text| STANDARD.decode(text).ok()).expect("and a payload");
        let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        signed.extend(payload);
        let signature = self.pair.sign(&SystemRandom::new(), &signed).expect("a key can sign");
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().expect("a key can be written");
        let mut bundle = bundle.clone();
        bundle["dsseEnvelope"]["signatures"] = json!([{"sig": STANDARD.encode(signature)}]);
        bundle["verificationMaterial"]["publicKey"]["hint"] = json!(STANDARD.encode(digest(&SHA256, der.as_ref())));
        bundle
    }

    /// The file of the private half.
    #[must_use]
    pub fn private(&self) -> &Path {
        &self.private
    }

    /// The public half as PEM.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }
}

/// A policy that accepts whatever `key` signed for these repositories. JSON, hence YAML, hence a policy file as well.
#[must_use]
pub fn policy(name: &str, repositories: &[&str], key: &KeyPair) -> Value {
    json!({
        "apiVersion": "sealift.dev/v1alpha1",
        "kind": "SignaturePolicy",
        "metadata": {"name": name},
        "spec": {
            "match": {"repositories": repositories},
            "authorities": [{"name": "release", "key": {"pem": key.public()}}],
            "require": {"anyOf": ["release"]},
            "release": {"streams": [{"regex": "[a-z0-9./-]+"}]},
        },
    })
}
