//! A private Sigstore for tests: a certificate authority and a Rekor v1 log whose tree holds two entries.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use sigstore_crypto::KeyPair;
use sigstore_types::{SignatureBytes, dsse::pae};

use super::{SimpleSigning, TrustRoot, TrustRoots};
use crate::{artifact, digest::Digest, statement::PAYLOAD_TYPE};

/// Certificates are valid for ten minutes around this time.
pub(crate) const SIGNED_AT: &str = "2026-05-31T00:00:00Z";

/// Whom a certificate is issued to.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) identity: &'a str,
    pub(crate) issuer: &'a str,
    /// Numbers below Fulcio's arc 1.3.6.1.4.1.57264.1, with their texts.
    pub(crate) claims: &'a [(u64, &'a str)],
}

/// A workflow of a CI that deploys to production.
pub(crate) const RELEASER: Who<'_> = Who {
    identity: "https://ci.example/acme/shop/release.yml@refs/heads/main",
    issuer: "https://token.ci.example",
    claims: &[
        (11, "hosted"),
        (12, "https://ci.example/acme/shop"),
        (13, "0123456789abcdef0123456789abcdef01234567"),
        (23, "production"),
    ],
};

/// The instance.
pub(crate) struct Lab {
    authority: CertifiedIssuer<'static, rcgen::KeyPair>,
    log: KeyPair,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let authority = CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        Self { authority, log: KeyPair::generate_ecdsa_p256().unwrap() }
    }

    /// Its `trusted_root.json`.
    pub(crate) fn root_json(&self) -> String {
        let key = self.log.public_key_der().unwrap();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(key.as_bytes()), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": {"keyId": STANDARD.encode(self.log_id().as_bytes())},
            }],
            "certificateAuthorities": [{
                "subject": {"organization": "lab", "commonName": "lab"}, "uri": "https://fulcio.example",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(self.authority.der())}]},
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            }],
        })
        .to_string()
    }

    pub(crate) fn root(&self) -> TrustRoot {
        TrustRoot::from_json(&self.root_json()).unwrap()
    }

    /// The built-in root, and this one as `lab`.
    pub(crate) fn roots(&self) -> TrustRoots {
        let mut roots = TrustRoots::default();
        roots.insert("lab".to_owned(), Ok(self.root()));
        roots
    }

    fn log_id(&self) -> Digest {
        Digest::of(self.log.public_key_der().unwrap().as_bytes())
    }

    /// A bundle signed with a fresh certificate, logged when the certificate is valid.
    pub(crate) fn keyless(&self, payload: &[u8], who: Who<'_>) -> Value {
        self.keyless_at(payload, who, SIGNED_AT)
    }

    pub(crate) fn keyless_at(&self, payload: &[u8], who: Who<'_>, logged: &str) -> Value {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = self.issue(&key, who);
        let key = KeyPair::from_pkcs8_der(key.serialized_der()).unwrap();
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.clone()));
        let signature = key.sign(&pae(PAYLOAD_TYPE, payload)).unwrap();
        let material = json!({"certificate": {"rawBytes": STANDARD.encode(certificate)}});
        self.bundle(material, payload, signature.as_bytes(), &pem, logged)
    }

    /// A bundle signed with a key, and logged.
    pub(crate) fn keyed(&self, payload: &[u8], public: &str, signature: &[u8], logged: &str) -> Value {
        self.bundle(json!({"publicKey": {"hint": ""}}), payload, signature, public, logged)
    }

    fn issue(&self, key: &rcgen::KeyPair, who: Who<'_>) -> Vec<u8> {
        let Who { identity, issuer, claims } = who;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_before = rcgen::date_time_ymd(2026, 5, 30) + std::time::Duration::from_secs(86_100);
        params.not_after = rcgen::date_time_ymd(2026, 5, 31) + std::time::Duration::from_secs(300);
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let extension = |(number, text): &(u64, &str)| {
            // A DER UTF8String of fewer than 128 bytes.
            let der = [&[0x0c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            assert!(text.len() < 128);
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, *number], der)
        };
        params.custom_extensions = [(8, issuer)].iter().chain(claims).map(extension).collect();
        params.signed_by(key, &self.authority).unwrap().der().to_vec()
    }

    fn bundle(&self, mut material: Value, payload: &[u8], signature: &[u8], verifier: &str, logged: &str) -> Value {
        material["tlogEntries"] = json!([self.entry(payload, signature, verifier, logged)]);
        json!({
            "mediaType": artifact::BUNDLE,
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload), "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": STANDARD.encode(signature)}],
            },
        })
    }

    /// The log's word at `time`, in seconds, that it will include `body` at index 7.
    fn promise(&self, body: &str, time: i64) -> SignatureBytes {
        let promise = format!(
            r#"{{"body":"{}","integratedTime":{time},"logID":"{}","logIndex":7}}"#,
            STANDARD.encode(body),
            self.log_id().hex()
        );
        self.log.sign(promise.as_bytes()).unwrap()
    }

    /// cosign's older form, signed with a fresh certificate and promised by the log when the certificate is valid.
    pub(crate) fn simple_signing(&self, payload: &[u8], who: Who<'_>) -> SimpleSigning {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = pem::encode(&pem::Pem::new("CERTIFICATE", self.issue(&key, who)));
        let key = KeyPair::from_pkcs8_der(key.serialized_der()).unwrap();
        let signed = self.simple_signing_by(payload, &key, &certificate);
        SimpleSigning { certificate: Some(certificate), ..signed }
    }

    /// The same by a key, which the log knows as `verifier`.
    pub(crate) fn simple_signing_by(&self, payload: &[u8], key: &KeyPair, verifier: &str) -> SimpleSigning {
        let signature = STANDARD.encode(key.sign(payload).unwrap().as_bytes());
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": Digest::of(payload).hex()}},
            "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(verifier)}},
        }});
        let (body, time) = (body.to_string(), SIGNED_AT.parse::<Timestamp>().unwrap().as_second());
        let promise = json!({
            "SignedEntryTimestamp": STANDARD.encode(self.promise(&body, time).as_bytes()),
            "Payload": {
                "body": STANDARD.encode(&body), "integratedTime": time, "logIndex": 7, "logID": self.log_id().hex(),
            },
        });
        SimpleSigning { payload: payload.to_vec(), signature, promise: Some(promise.to_string()), ..Default::default() }
    }

    /// The second entry of a log with two, promised at a time.
    pub(crate) fn entry(&self, payload: &[u8], signature: &[u8], verifier: &str, logged: &str) -> Value {
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": Digest::of(b"envelope").hex()},
            "payloadHash": {"algorithm": "sha256", "value": Digest::of(payload).hex()},
            "signatures": [{"signature": STANDARD.encode(signature), "verifier": STANDARD.encode(verifier)}],
        }});
        let body = body.to_string();
        let time = logged.parse::<Timestamp>().unwrap().as_second();
        let promise = self.promise(&body, time);
        let (neighbour, leaf) = (Digest::of(b"\0neighbour"), Digest::of(&[b"\0", body.as_bytes()].concat()));
        let root = Digest::of(&[&[1], &neighbour.as_bytes()[..], leaf.as_bytes()].concat());
        let note = format!("log.example\n2\n{}\n", STANDARD.encode(root.as_bytes()));
        let signed = [&self.log_id().as_bytes()[..4], self.log.sign(note.as_bytes()).unwrap().as_bytes()].concat();
        json!({
            "logIndex": "7",
            "logId": {"keyId": STANDARD.encode(self.log_id().as_bytes())},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": time.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(promise.as_bytes())},
            "inclusionProof": {
                "logIndex": "1", "treeSize": "2", "rootHash": STANDARD.encode(root.as_bytes()),
                "hashes": [STANDARD.encode(neighbour.as_bytes())],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} log.example {}\n", STANDARD.encode(signed))},
            },
            "canonicalizedBody": STANDARD.encode(&body),
        })
    }
}
