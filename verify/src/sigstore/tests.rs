//! Each thing that a bundle may lack, or have wrong, has a fixture that is refused for it.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sigstore_types::dsse::pae;

use super::{
    lab::{Lab, RELEASER, SIGNED_AT, Who},
    *,
};
use crate::{digest::Digest, evidence::CheckResult, keys::PublicKey, statement::PAYLOAD_TYPE};

/// A private instance without a certificate log.
const PRIVATE: Demands = Demands { tlog: Demand::Required, timestamp: Demand::Optional, sct: Demand::Off };

fn payload() -> Vec<u8> {
    crate::statement::tests::statement().to_payload()
}

fn parse(bundle: &Value) -> Result<Signed, BundleError> {
    Signed::parse(bundle.to_string().as_bytes(), 1 << 20)
}

fn prove(bundle: &Value, root: &TrustRoot, demands: Demands) -> Result<Proof, ProofError> {
    parse(bundle).unwrap().prove_certificate(Subject::Stated, root, demands)
}

/// The check that failed.
#[track_caller]
fn step(result: Result<Proof, ProofError>) -> &'static str {
    match result.unwrap_err() {
        ProofError::Check { step, .. } => step,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_built_in_root_can_be_used() {
    assert_eq!(TrustRoot::public_good().digest(), TrustRoots::built_in().get(PUBLIC_GOOD).unwrap().digest());
    let pinned = include_str!("../../../Cargo.toml").lines().find(|line| line.starts_with("sigstore-trust-root "));
    assert!(pinned.unwrap().contains("\"=0.15.1\""), "another root is built in: since when, BUILT_IN_SINCE says");
}

#[test]
fn a_keyless_bundle_proves_identity_claims_log_and_time() {
    let lab = Lab::new();
    let proof = prove(&lab.keyless(&payload(), RELEASER), &lab.root(), PRIVATE).unwrap();
    let Proof { certificate, sct, log, entries, timestamp, times, trust_root } = proof;
    let certificate = certificate.unwrap();
    assert_eq!((certificate.identity.as_str(), certificate.issuer.as_str()), (RELEASER.identity, RELEASER.issuer));
    assert_eq!(certificate.claims[&Claim::DeploymentEnvironment], "production");
    assert_eq!(certificate.claims[&Claim::SourceRepositoryUri], "https://ci.example/acme/shop");
    assert_eq!(certificate.claims.len(), 4);
    assert_eq!((sct, log, timestamp), (CheckResult::NotChecked, CheckResult::Pass, CheckResult::NotPresent));
    let [LogEntry { origin, index, kind, promised }] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((origin.as_deref(), *index, kind.as_str(), *promised), (Some("log.example"), 1, "dsse/0.0.1", true));
    let time = SIGNED_AT.parse().unwrap();
    assert_eq!(times, [VerifiedTime { time, source: TimeSource::TransparencyLog }]);
    assert_eq!(trust_root, Some(lab.root().digest()));
}

#[test]
fn a_missing_sct_is_refused_unless_the_policy_says_otherwise() {
    let lab = Lab::new();
    let bundle = lab.keyless(&payload(), RELEASER);
    let with = |sct| prove(&bundle, &lab.root(), Demands { sct, ..PRIVATE });
    assert_eq!(step(with(Demand::Required)), "signed certificate timestamp");
    assert_eq!(with(Demand::Optional).unwrap().sct, CheckResult::NotPresent);
}

#[test]
fn refuses_each_wrong_in_a_keyless_bundle() {
    let lab = Lab::new();
    let good = lab.keyless(&payload(), RELEASER);
    prove(&good, &lab.root(), PRIVATE).unwrap();
    let other = lab.keyless(&payload(), RELEASER);
    let changed = |pointer: &str, value: Value| {
        let mut bundle = good.clone();
        *bundle.pointer_mut(pointer).unwrap() = value;
        prove(&bundle, &lab.root(), PRIVATE)
    };
    let entry = |rest: &str| format!("/verificationMaterial/tlogEntries/0/{rest}");
    let of = |bundle: &Value, pointer: &str| bundle.pointer(pointer).unwrap().clone();
    let taken = |pointer: &str| changed(pointer, of(&other, pointer));
    let bytes = |text: &str| json!(STANDARD.encode(Digest::of(text.as_bytes()).as_bytes()));

    let log = "transparency log entry";
    // The tree does not hold the entry.
    assert_eq!(step(changed(&entry("inclusionProof/hashes/0"), bytes("x"))), log);
    assert!(changed(&entry("inclusionProof/rootHash"), bytes("x")).is_err());
    assert!(changed(&entry("inclusionProof/logIndex"), json!("0")).is_err());
    // The checkpoint is of another tree, or of nobody.
    assert!(taken(&entry("inclusionProof/checkpoint/envelope")).is_err());
    let stranger = of(&Lab::new().keyless(&payload(), RELEASER), &entry("inclusionProof"));
    assert!(changed(&entry("inclusionProof"), stranger).is_err());
    // The promise covers another time, index or entry.
    assert_eq!(step(changed(&entry("integratedTime"), json!("1780185601"))), log);
    assert_eq!(step(changed(&entry("logIndex"), json!("8"))), log);
    assert_eq!(step(taken(&entry("inclusionPromise/signedEntryTimestamp"))), log);
    // The entry is true and about another signature (CVE-2022-36056).
    assert_eq!(step(taken("/verificationMaterial/tlogEntries/0")), log);
    // Nothing says when.
    assert!(matches!(changed("/verificationMaterial/tlogEntries", json!([])), Err(ProofError::Missing(_))));
    assert!(matches!(changed(&entry("inclusionProof"), Value::Null), Err(ProofError::NoInclusionProof)));
    let empty = changed(&entry("inclusionProof/checkpoint/envelope"), json!(""));
    assert!(matches!(empty, Err(ProofError::NoInclusionProof)));
    let promise = changed(&entry("inclusionPromise"), Value::Null);
    assert_eq!(step(promise), "timestamp", "an inclusion proof has no time in it");
    // Something else is signed, or by somebody else.
    assert!(changed("/dsseEnvelope/payload", json!(STANDARD.encode(payload().to_ascii_uppercase()))).is_err());
    assert_eq!(step(taken("/dsseEnvelope/signatures/0/sig")), "signature");
    assert_eq!(step(taken("/verificationMaterial/certificate/rawBytes")), "signature");
}

#[test]
fn what_another_instance_vouches_for_is_refused() {
    let (ours, theirs) = (Lab::new(), Lab::new());
    let bundle = theirs.keyless(&payload(), RELEASER);
    assert!(prove(&bundle, &ours.root(), PRIVATE).is_err());
    assert!(prove(&bundle, &TrustRoot::public_good(), PRIVATE).is_err());
    // Their certificate on our log.
    let certificate = STANDARD.decode(bundle["verificationMaterial"]["certificate"]["rawBytes"].as_str().unwrap());
    let pem = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.unwrap()));
    let signature = STANDARD.decode(bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    let mut mixed = bundle;
    mixed["verificationMaterial"]["tlogEntries"] = json!([ours.entry(&payload(), &signature, &pem, SIGNED_AT)]);
    assert_eq!(step(prove(&mixed, &ours.root(), PRIVATE)), "certificate");
}

#[test]
fn a_certificate_that_had_expired_when_it_signed_is_refused() {
    let lab = Lab::new();
    for logged in ["2026-05-30T23:50:00Z", "2026-05-31T00:05:01Z"] {
        let bundle = lab.keyless_at(&payload(), RELEASER, logged);
        assert_eq!(step(prove(&bundle, &lab.root(), PRIVATE)), "certificate", "{logged}");
    }
}

#[test]
fn what_is_switched_off_lends_no_time_to_a_certificate() {
    let lab = Lab::new();
    let off = Demands { tlog: Demand::Off, ..PRIVATE };
    assert!(prove(&lab.keyless(&payload(), RELEASER), &lab.root(), off).is_err());
}

#[test]
fn a_certificate_without_identity_or_issuer_is_not_read() {
    let lab = Lab::new();
    let mut bundle = lab.keyless(&payload(), Who { claims: &[], ..RELEASER });
    assert!(parse(&bundle).is_ok());
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = json!(STANDARD.encode(b"none"));
    assert!(matches!(parse(&bundle), Err(BundleError::Certificate)));
}

/// Which version a bundle has is signed by nobody, and v0.1 needs no inclusion proof: so it is not for policies.
#[test]
fn a_bundle_called_older_is_read_by_the_conformance_command_only() {
    let lab = Lab::new();
    let mut bundle = lab.keyless(&payload(), RELEASER);
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"] = Value::Null;
    assert!(matches!(parse(&bundle), Err(BundleError::Version(_))));
    let signed = Signed::parse_any_version(bundle.to_string().as_bytes(), 1 << 20).unwrap();
    let proof = signed.prove_certificate(Subject::Stated, &lab.root(), PRIVATE).unwrap();
    assert_eq!(proof.entries[0].origin, None, "nothing is claimed of a tree that nobody proved");
}

fn pem_of(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("PUBLIC KEY", der.to_vec()))
}

/// Public key and signature over the payload, by each algorithm that cosign's key pairs may have.
fn keys() -> [(&'static str, String, Vec<u8>); 3] {
    let message = pae(PAYLOAD_TYPE, &payload());
    let ecdsa = |algorithm| {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        (pem_of(der.as_ref()), key.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec())
    };
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let (p256, p384) =
        (ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING), ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING));
    [("P-256", p256.0, p256.1), ("P-384", p384.0, p384.1), ("RSA", pem_of(der.as_ref()), signature)]
}

#[test]
fn keys_of_each_algorithm_sign_with_and_without_a_log() {
    let lab = Lab::new();
    for (name, pem, signature) in keys() {
        let key = PublicKey::from_pem(&pem).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let bundle = lab.keyed(&payload(), &pem, &signature, SIGNED_AT);
        let prove = |bundle: &Value, tlog| {
            let demands = Demands { tlog, timestamp: Demand::Off, sct: Demand::Off };
            parse(bundle).unwrap().prove_key(Subject::Stated, &key, &lab.root(), demands)
        };
        let proof = prove(&bundle, Demand::Required).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((proof.log, proof.times.len(), proof.certificate), (CheckResult::Pass, 1, None), "{name}");
        let proof = prove(&bundle, Demand::Off).unwrap();
        assert_eq!((proof.log, proof.times.len(), proof.trust_root), (CheckResult::NotChecked, 0, None), "{name}");
        let mut bare = bundle;
        bare["verificationMaterial"]["tlogEntries"] = json!([]);
        assert_eq!(prove(&bare, Demand::Optional).unwrap().log, CheckResult::NotPresent, "{name}");
        assert!(matches!(prove(&bare, Demand::Required), Err(ProofError::Missing(_))), "{name}");
    }
}

#[test]
fn another_key_a_log_about_another_key_and_another_subject_are_refused() {
    let lab = Lab::new();
    let [(_, ours, signature), (_, theirs, _), _] = keys();
    let key = |pem: &str| PublicKey::from_pem(pem).unwrap();
    let required = Demands { tlog: Demand::Required, timestamp: Demand::Optional, sct: Demand::Off };
    let signed = |logged: &str| parse(&lab.keyed(&payload(), logged, &signature, SIGNED_AT)).unwrap();
    let prove = |signed: &Signed, pem: &str| signed.prove_key(Subject::Stated, &key(pem), &lab.root(), required);
    assert!(prove(&signed(&ours), &ours).is_ok());
    assert_eq!(step(prove(&signed(&ours), &theirs)), "signature");
    assert_eq!(step(prove(&signed(&theirs), &ours)), "transparency log entry");
    let elsewhere = Subject::Digest(Digest::of(b"elsewhere"));
    assert_eq!(step(signed(&ours).prove_key(elsewhere, &key(&ours), &lab.root(), required)), "artifact");
    let bare = signed(&ours).prove_signature(elsewhere, &key(&ours));
    assert!(matches!(bare, Err(ProofError::OtherSubject(_))));
    assert!(matches!(signed(&ours).prove_signature(Subject::Stated, &key(&theirs)), Err(ProofError::Signature)));
    let keyless = parse(&lab.keyless(&payload(), RELEASER)).unwrap();
    assert!(matches!(prove(&keyless, &ours), Err(ProofError::NotAKey)));
    let none = signed(&ours).prove_certificate(Subject::Stated, &lab.root(), PRIVATE);
    assert!(matches!(none, Err(ProofError::NoCertificate)));
}

mod documents {
    use super::*;
    use crate::objects::{Object, ObjectId, Origin};

    fn read(change: impl FnOnce(&mut Value)) -> Result<TrustRoot, TrustRootDocumentError> {
        let mut value = json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": "lab"},
            "spec": {"trustedRoot": Lab::new().root_json()}});
        change(&mut value);
        let version = value["apiVersion"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let kind = value["kind"].as_str().unwrap().to_owned();
        let id = ObjectId { group: "sealift.dev".into(), version, kind, namespace: None, name: "lab".into() };
        TrustRoot::from_object(&Object { id, value, origin: Origin::default() })
    }

    #[test]
    fn a_trust_root_that_cannot_be_read_whole_is_not_used() {
        assert!(read(|_| ()).is_ok());
        assert!(matches!(read(|v| v["apiVersion"] = "sealift.dev/v2".into()), Err(TrustRootDocumentError::Kind(_))));
        assert!(matches!(read(|v| v["kind"] = "Other".into()), Err(TrustRootDocumentError::Kind(_))));
        assert!(matches!(read(|v| v["root"] = json!({})), Err(TrustRootDocumentError::Unknown { .. })));
        assert!(matches!(read(|v| v["spec"]["root"] = "".into()), Err(TrustRootDocumentError::Field { .. })));
        assert!(matches!(read(|v| v["spec"] = json!({})), Err(TrustRootDocumentError::Field { .. })));
        for text in ["", "{}", r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#] {
            let broken = read(|v| v["spec"]["trustedRoot"] = text.into());
            assert!(matches!(broken, Err(TrustRootDocumentError::Root { .. })), "{text}");
        }
    }

    #[test]
    fn a_broken_root_falls_back_to_no_other() {
        let mut roots = TrustRoots::default();
        roots.insert(PUBLIC_GOOD.to_owned(), Err("broken".to_owned()));
        assert!(matches!(roots.get(PUBLIC_GOOD), Err(UnknownTrustRoot::Unusable { .. })));
        assert!(matches!(roots.get("other"), Err(UnknownTrustRoot::Missing(_))));
    }
}
