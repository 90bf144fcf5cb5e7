//! Every refusal has a fixture that causes it.

mod attested;
mod held;
mod images;
mod keyless;
mod third_party;
mod variants;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sigstore_bundle::{BundleV03, builder::VerificationMaterialV03};
use sigstore_crypto::KeyPair;
use sigstore_types::{
    bundle::SignatureContent,
    dsse::{DsseEnvelope, DsseSignature, pae},
};

use super::*;
use crate::{
    artifact::Manifest,
    evidence::{CheckId, CheckResult, Outcome},
    keys::PublicKey,
    layer,
    objects::{Object, ObjectId, Origin},
    policy::tests::{pem_of, policy},
    refusal::Reason,
    render::Rendering,
    signature::SimpleSigning,
    statement::{Content, PAYLOAD_TYPE, Release, Statement},
};

const NOW: &str = "2026-06-01T00:00:00Z";
const REPOSITORY: &str = "registry.example/acme/shop";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn key() -> KeyPair {
    KeyPair::generate_ecdsa_p256().unwrap()
}

fn object(kind: &str, name: &str) -> Object {
    let value =
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "data": {"k": "v"}});
    let id = ObjectId {
        group: String::new(),
        version: "v1".into(),
        kind: kind.into(),
        namespace: Some("shop".into()),
        name: name.into(),
    };
    Object { id, value, origin: Origin::default() }
}

/// A release as it lies in a registry, with the parts a test may tamper with.
struct World {
    layer: Vec<u8>,
    manifest: Vec<u8>,
    statement: Statement,
    bundles: Vec<Vec<u8>>,
    legacy: Vec<SimpleSigning>,
    truncated: bool,
}

impl World {
    fn new() -> Self {
        Self::of(vec![object("ConfigMap", "one"), object("ConfigMap", "two")])
    }

    fn of(objects: Vec<Object>) -> Self {
        let objects = Objects::new(objects).unwrap();
        let packed = layer::pack(&objects, Format::Sealift).unwrap();
        let manifest = Manifest::release(Format::Sealift, packed.descriptor.clone(), BTreeMap::new()).to_bytes();
        let release = Release {
            content: Content {
                layer: packed.descriptor.digest,
                uncompressed: packed.uncompressed,
                files: packed.files,
                objects: objects.len(),
                inventory: layer::inventory(&objects),
            },
            issued_at: "2026-05-31T00:00:00Z".parse().unwrap(),
            ..crate::statement::tests::statement().release
        };
        let statement = Statement { name: REPOSITORY.into(), artifact: Digest::of(&manifest), release };
        Self { layer: packed.bytes, manifest, statement, bundles: vec![], legacy: vec![], truncated: false }
    }

    fn signed(key: &KeyPair) -> Self {
        let world = Self::new();
        let payload = world.statement.to_payload();
        world.with(bundle(&payload, key))
    }

    fn with(mut self, bundle: Vec<u8>) -> Self {
        self.bundles.push(bundle);
        self
    }

    fn changed(mut self, change: impl FnOnce(&mut Release), key: &KeyPair) -> Self {
        change(&mut self.statement.release);
        let payload = self.statement.to_payload();
        self.with(bundle(&payload, key))
    }

    fn unverified(&self) -> Unverified {
        let candidate = |bytes: &Vec<u8>| Candidate::bundle(Digest::of(bytes), bytes.clone());
        let legacy = |signature: &SimpleSigning| Candidate {
            referrer: Digest::of(b"the manifest under the .sig tag"),
            content: crate::signature::Content::SimpleSigning(signature.clone()),
        };
        Unverified {
            reference: REPOSITORY.parse::<crate::reference::Repository>().unwrap().pin(self.statement.artifact),
            transport: None,
            manifest: self.manifest.clone(),
            candidates: self.bundles.iter().map(candidate).chain(self.legacy.iter().map(legacy)).collect(),
            skipped: vec![],
            truncated: self.truncated,
        }
    }

    fn judge(&self, policies: &[Policy], facts: &Facts<'_>) -> Decision<Verified> {
        self.judge_rendered(policies, facts, &Rendering::default())
    }

    fn judge_rendered(&self, policies: &[Policy], facts: &Facts<'_>, rendering: &Rendering) -> Decision<Verified> {
        let policies: Vec<_> = policies.iter().cloned().map(Arc::new).collect();
        let admitted = admit(&self.unverified(), &policies, facts);
        match admitted.outcome {
            Ok(admitted) => {
                let decision = verify(&admitted, &self.layer, rendering);
                the_same_opened_before(&admitted, &self.layer, rendering, &decision);
                decision
            }
            Err(refusal) => Decision { evidence: admitted.evidence, outcome: Err(refusal) },
        }
    }
}

/// Whoever opened the layer once for many comes to the very same verdicts and records.
fn the_same_opened_before(admitted: &Admitted, layer: &[u8], rendering: &Rendering, decision: &Decision<Verified>) {
    let opened = match open(admitted, layer) {
        Ok(opened) => opened,
        Err(_) => return assert!(decision.outcome.is_err(), "what cannot be opened is refused"),
    };
    assert!(opened.fits(admitted));
    let again = verify_opened(admitted, &opened, rendering, None);
    assert_eq!(again.evidence, decision.evidence);
    match (&again.outcome, &decision.outcome) {
        (Ok(again), Ok(first)) => assert_eq!(again.objects(), first.objects()),
        (Err(again), Err(first)) => assert_eq!(again, first),
        (again, first) => panic!("{again:?} is not {first:?}"),
    }
}

#[test]
fn a_layer_that_was_opened_for_another_artifact_is_refused() {
    let key = key();
    let policies = [Arc::new(policy(&[("release", &key)], |_| ()).unwrap())];
    let admitted = |world: &World| admit(&world.unverified(), &policies, &Facts::at(now())).outcome.unwrap();
    let world = World::signed(&key);
    let one = admitted(&world);
    let opened = open(&one, &world.layer).unwrap();
    let other = Admitted { layer: Descriptor { digest: Digest::of(b"other"), ..one.layer.clone() }, ..one.clone() };
    assert!(!opened.fits(&other));
    assert_eq!(reason(&verify_opened(&other, &opened, &Rendering::default(), None)), Some(Reason::DigestMismatch));
    let stricter = Admitted { limits: crate::artifact::Limits { file: 1, ..one.limits }, ..one };
    assert!(!opened.fits(&stricter));
    assert_eq!(reason(&verify_opened(&stricter, &opened, &Rendering::default(), None)), Some(Reason::BadLayer));
    assert!(open(&stricter, &world.layer).is_err());
}

fn bundle(payload: &[u8], key: &KeyPair) -> Vec<u8> {
    let hint = PublicKey::from_pem(&pem_of(key)).unwrap().hint();
    let signature = key.sign(&pae(PAYLOAD_TYPE, payload)).unwrap();
    let envelope = DsseEnvelope::new(
        PAYLOAD_TYPE.to_owned(),
        payload.to_vec().into(),
        DsseSignature::new(signature, Default::default()),
    );
    let bundle = BundleV03::new(VerificationMaterialV03::PublicKey { hint }, SignatureContent::DsseEnvelope(envelope))
        .into_bundle();
    bundle.to_json().unwrap().into_bytes()
}

fn reason(decision: &Decision<Verified>) -> Option<Reason> {
    assert_eq!(decision.evidence.outcome == Outcome::Accepted, decision.outcome.is_ok());
    let read = crate::evidence::record::read(&decision.evidence.to_json());
    assert_eq!(read.as_ref().ok(), Some(&decision.evidence), "the record does not carry its verdict: {read:?}");
    decision.outcome.as_ref().err().map(Refusal::reason)
}

#[test]
fn accepts_a_release_signed_by_an_authority_and_says_what_was_not_checked() {
    let key = key();
    let decision = World::signed(&key).judge(&[policy(&[("release", &key)], |_| ()).unwrap()], &Facts::at(now()));
    let verified = decision.outcome.unwrap();
    assert_eq!(verified.objects().len(), 2);
    let environment = decision.evidence.check(CheckId::Environment);
    assert_eq!(environment.result, CheckResult::NotPresent, "nobody demanded one");
    let rows = |result| -> Vec<_> {
        decision.evidence.checks.iter().filter(|row| row.result == result).map(|row| row.check).collect()
    };
    assert_eq!(rows(CheckResult::Fail), []);
    assert_eq!(rows(CheckResult::NotChecked), [CheckId::TransparencyLog, CheckId::Timestamp, CheckId::Memory]);
}

/// What happens to an artifact, and the one word it must be refused with.
#[test]
fn refuses_each_wrong_with_its_own_reason() {
    let (good, bad) = (key(), key());
    let policies = [policy(&[("release", &good)], |_| ()).unwrap()];
    let judge = |world: &World| reason(&world.judge(&policies, &Facts::at(now())));
    let signed = || World::signed(&good);
    assert_eq!(judge(&signed()), None);

    assert_eq!(judge(&World::new()), Some(Reason::Unsigned));
    assert_eq!(judge(&World::signed(&bad)), Some(Reason::NoTrustedSignature));
    assert_eq!(judge(&World { manifest: b"{}".to_vec(), ..signed() }), Some(Reason::DigestMismatch));
    assert_eq!(judge(&World { layer: b"other".to_vec(), ..signed() }), Some(Reason::DigestMismatch));
    assert_eq!(judge(&World { truncated: true, ..World::signed(&bad) }), Some(Reason::TooManySignatures));

    let copied =
        World { statement: Statement { artifact: Digest::of(b"elsewhere"), ..signed().statement }, ..World::new() };
    let payload = copied.statement.to_payload();
    assert_eq!(judge(&World::new().with(bundle(&payload, &good))), Some(Reason::DigestMismatch));

    let changed = |change: fn(&mut Release)| judge(&World::new().changed(change, &good));
    assert_eq!(changed(|r| r.stream = "other/shop".into()), Some(Reason::WrongStream));
    let elsewhere = |r: &mut Release| r.repositories = vec!["other.example/acme/shop".parse().unwrap()];
    assert_eq!(changed(elsewhere), Some(Reason::WrongRepository));
    assert_eq!(changed(|r| r.not_before = Some("2027-01-01T00:00:00Z".parse().unwrap())), Some(Reason::NotYetValid));
    assert_eq!(changed(|r| r.expires_at = Some("2026-01-01T00:00:00Z".parse().unwrap())), Some(Reason::Expired));
    assert_eq!(changed(|r| r.critical = vec!["moon".into()]), Some(Reason::BadStatement));
    assert_eq!(changed(|r| r.content.inventory = Digest::of(b"")), Some(Reason::InventoryMismatch));
    assert_eq!(changed(|r| r.content.objects = 3), Some(Reason::InventoryMismatch));
    assert_eq!(changed(|r| r.content.uncompressed = Digest::of(b"")), Some(Reason::DigestMismatch));
    assert_eq!(changed(|r| r.content.layer = Digest::of(b"")), Some(Reason::DigestMismatch));
}

#[test]
fn policies_refuse_what_they_say() {
    let key = key();
    let with = |change: fn(&mut Value)| {
        let policy = policy(&[("release", &key)], change).unwrap();
        reason(&World::signed(&key).judge(&[policy], &Facts::at(now())))
    };
    assert_eq!(with(|v| v["spec"]["release"]["environment"] = "prod".into()), None);
    assert_eq!(with(|v| v["spec"]["release"]["environment"] = "dev".into()), Some(Reason::WrongEnvironment));
    assert_eq!(with(|v| v["spec"]["release"]["maxAge"] = "48h".into()), None);
    assert_eq!(with(|v| v["spec"]["release"]["maxAge"] = "1h".into()), Some(Reason::TooOld));
    assert_eq!(with(|v| v["spec"]["release"]["minimum"] = json!({"sequence": 42})), None);
    assert_eq!(with(|v| v["spec"]["release"]["minimum"] = json!({"sequence": 43})), Some(Reason::BelowMinimum));
    assert_eq!(with(|v| v["spec"]["release"]["minimum"] = json!({"epoch": 1})), Some(Reason::BelowMinimum));
    assert_eq!(with(|v| v["spec"]["objects"] = json!({"kinds": ["ConfigMap"], "namespaces": ["shop"]})), None);
    assert_eq!(with(|v| v["spec"]["objects"] = json!({"kinds": ["Secret"]})), Some(Reason::ObjectNotAllowed));
    assert_eq!(with(|v| v["spec"]["objects"] = json!({"namespaces": ["web"]})), Some(Reason::ObjectNotAllowed));
    assert_eq!(with(|v| v["spec"]["mode"] = "audit".into()), Some(Reason::NoPolicy));
    assert_eq!(with(|v| v["spec"]["match"]["repositories"] = json!(["x.example/*"])), Some(Reason::NoPolicy));
    let expired = |v: &mut Value| v["spec"]["authorities"][0]["key"]["notAfter"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(with(expired), Some(Reason::NoTrustedSignature));
}

#[test]
fn deny_lists_win_over_signatures() {
    let key = key();
    let world = World::signed(&key);
    let denied = |list: &str, digest: Digest| {
        let policy = policy(&[("release", &key)], |v| v["spec"]["deny"] = json!({list: [digest]})).unwrap();
        reason(&world.judge(&[policy], &Facts::at(now())))
    };
    assert_eq!(denied("digests", world.statement.artifact), Some(Reason::Denied));
    assert_eq!(denied("digests", world.statement.release.content.layer), Some(Reason::Denied));
    assert_eq!(denied("digests", Digest::of(&world.statement.to_payload())), Some(Reason::Denied));
    assert_eq!(denied("keys", PublicKey::from_pem(&pem_of(&key)).unwrap().id()), Some(Reason::Denied));
    assert_eq!(denied("digests", Digest::of(b"unrelated")), None);
}

#[test]
fn junk_and_foreign_bundles_never_hide_a_good_one() {
    let (good, bad) = (key(), key());
    let policies = [policy(&[("release", &good)], |_| ()).unwrap()];
    let mut world = World::signed(&good);
    let payload = world.statement.to_payload();
    world.bundles.extend([b"junk".to_vec(), b"{}".to_vec(), bundle(&payload, &bad), bundle(b"not a statement", &bad)]);
    world.bundles.rotate_left(1);
    let decision = world.judge(&policies, &Facts::at(now()));
    assert_eq!(reason(&decision), None);
    assert_eq!(decision.evidence.skipped.len(), 2);
}

#[test]
fn an_older_bundle_version_is_not_read() {
    let key = key();
    let mut world = World::signed(&key);
    let text = String::from_utf8(world.bundles.remove(0)).unwrap();
    world.bundles.push(text.replace("bundle.v0.3+json", "bundle+json;version=0.1").into_bytes());
    let decision = world.judge(&[policy(&[("release", &key)], |_| ()).unwrap()], &Facts::at(now()));
    assert_eq!(reason(&decision), Some(Reason::NoTrustedSignature));
}

#[test]
fn an_attestation_by_a_trusted_key_is_no_release() {
    let key = key();
    let world = World::new();
    let mut attestation: Value = serde_json::from_slice(&world.statement.to_payload()).unwrap();
    attestation["predicateType"] = "https://example.com/scan/v1".into();
    attestation["predicate"] = json!({"result": "FAILED"});
    let world = world.with(bundle(&serde_json::to_vec(&attestation).unwrap(), &key));
    let decision = world.judge(&[policy(&[("release", &key)], |_| ()).unwrap()], &Facts::at(now()));
    assert_eq!(reason(&decision), Some(Reason::NoTrustedSignature));
}

#[test]
fn signatures_on_different_statements_are_never_added_up() {
    let (a, b) = (key(), key());
    let both = policy(&[("a", &a), ("b", &b)], |v| v["spec"]["require"] = json!({"allOf": ["a", "b"]})).unwrap();
    let half = World::signed(&a).changed(|r| r.sequence = 43, &b);
    assert_eq!(reason(&half.judge(std::slice::from_ref(&both), &Facts::at(now()))), Some(Reason::NoTrustedSignature));
    let whole = World::signed(&a);
    let payload = whole.statement.to_payload();
    assert_eq!(reason(&whole.with(bundle(&payload, &b)).judge(&[both], &Facts::at(now()))), None);
}

#[test]
fn every_matching_policy_must_pass() {
    let (a, b) = (key(), key());
    let mine = policy(&[("a", &a)], |_| ()).unwrap();
    let theirs = policy(&[("b", &b)], |v| v["metadata"]["name"] = "other".into()).unwrap();
    let world = World::signed(&a);
    let decision = world.judge(&[mine.clone(), theirs.clone()], &Facts::at(now()));
    assert_eq!(reason(&decision), Some(Reason::NoTrustedSignature));
    let mut audited = theirs;
    audited.mode = crate::policy::Mode::Audit;
    let decision = world.judge(&[mine, audited], &Facts::at(now()));
    assert_eq!(reason(&decision), None);
    assert!(decision.evidence.policies.iter().any(|p| !p.satisfied), "the audit policy's view is reported");
}

#[test]
fn a_delivery_may_demand_more_and_never_less() {
    let (a, b) = (key(), key());
    let policies = [policy(&[("a", &a), ("b", &b)], |_| ()).unwrap()];
    let world = World::signed(&a);
    let judge = |require: &[String]| reason(&world.judge(&policies, &Facts { require, ..Facts::at(now()) }));
    assert_eq!(judge(&[]), None);
    assert_eq!(judge(&["a".into()]), None);
    assert_eq!(judge(&["b".into()]), Some(Reason::NoTrustedSignature));
    assert_eq!(judge(&["c".into()]), Some(Reason::PolicyInvalid));
}

/// An audit policy authorises nothing, also not in the name of an authority that a deciding policy defines too.
#[test]
fn what_a_delivery_demands_of_an_authority_is_met_by_the_policies_that_decide() {
    let (a, b, theirs) = (key(), key(), key());
    let mine = || policy(&[("a", &a), ("b", &b)], |v| v["spec"]["require"] = json!({"anyOf": ["a"]})).unwrap();
    let other = |mode: &str| {
        policy(&[("b", &theirs)], |v| {
            (v["metadata"]["name"], v["spec"]["mode"]) = ("other".into(), mode.into());
            v["spec"]["require"] = json!({"anyOf": ["b"]});
        })
        .unwrap()
    };
    let world = World::signed(&a);
    let payload = world.statement.to_payload();
    let require = ["b".to_owned()];
    let judge = |by: &KeyPair, mode: &str| {
        let world = World::signed(&a).with(bundle(&payload, by));
        reason(&world.judge(&[mine(), other(mode)], &Facts { require: &require, ..Facts::at(now()) }))
    };
    assert_eq!(judge(&theirs, "audit"), Some(Reason::NoTrustedSignature), "the b of a policy on trial");
    assert_eq!(judge(&b, "audit"), None);
    assert_eq!(judge(&theirs, "enforce"), Some(Reason::NoTrustedSignature), "b means the same in every policy");

    let both = ["a".to_owned(), "twin".to_owned()];
    let twins = policy(&[("a", &a), ("twin", &a)], |v| v["spec"]["require"] = json!({"anyOf": ["a"]})).unwrap();
    let judged = World::signed(&a).judge(&[twins], &Facts { require: &both, ..Facts::at(now()) });
    assert_eq!(reason(&judged), Some(Reason::NoTrustedSignature), "one key is one signer, whatever it is called");
}

#[test]
fn the_highest_statement_meant_for_this_place_counts() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let world = World::signed(&key)
        .changed(|r| (r.sequence, r.environment) = (50, Some("dev".into())), &key)
        .changed(|r| (r.sequence, r.environment) = (45, Some("prod".into())), &key);
    let facts = Facts { environment: Some("prod"), ..Facts::at(now()) };
    let decision = world.judge(&policies, &facts);
    assert_eq!(decision.outcome.unwrap().statement().unwrap().release.sequence, 45);
    let twins = World::signed(&key).changed(|r| r.version = Some("9.9.9".into()), &key);
    assert_eq!(reason(&twins.judge(&policies, &facts)), Some(Reason::Equivocation));
}

#[test]
fn memory_refuses_what_is_older_and_says_so() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let later = World::new();
    let mut statement = later.statement.clone();
    statement.release.sequence = 99;
    statement.artifact = Digest::of(b"newer");
    let memory = Memory::default().advanced(Digest::of(b"payload"), &statement, now());
    let decision = World::signed(&key).judge(&policies, &Facts { memory: Some(&memory), ..Facts::at(now()) });
    assert_eq!(reason(&decision), Some(Reason::RolledBack));
    assert_eq!(decision.evidence.check(CheckId::Memory).result, CheckResult::Fail);
    assert!(!World::signed(&key).judge(&policies, &Facts::at(now())).evidence.is_complete());
    let first = World::signed(&key).judge(&policies, &Facts { memory: Some(&Memory::default()), ..Facts::at(now()) });
    assert_eq!(first.evidence.check(CheckId::Memory).detail, "first seen");
    assert!(first.evidence.is_complete());
}

#[test]
fn another_stream_or_environment_is_followed_only_when_it_is_asked_for_by_name() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let world = World::signed(&key);
    let mark = |stream: &str, environment: &str| {
        let mut followed = world.statement.clone();
        (followed.release.stream, followed.release.environment) = (stream.into(), Some(environment.into()));
        Memory::default().advanced(Digest::of(b"payload"), &followed, now())
    };
    let judge = |memory: &Memory, stream, environment| {
        let facts = Facts { memory: Some(memory), stream, environment, ..Facts::at(now()) };
        reason(&world.judge(&policies, &facts))
    };
    let other_stream = mark("acme/other", "prod");
    assert_eq!(judge(&other_stream, None, None), Some(Reason::WrongStream));
    assert_eq!(judge(&other_stream, Some("acme/shop"), None), None);
    let other_environment = mark("acme/shop", "dev");
    assert_eq!(judge(&other_environment, None, None), Some(Reason::WrongEnvironment));
    assert_eq!(judge(&other_environment, None, Some("prod")), None);
    assert_eq!(judge(&mark("acme/shop", "prod"), None, None), Some(Reason::Equivocation));
}

#[test]
fn an_expired_statement_confirms_what_runs_and_brings_nothing_new() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let expired = || World::new().changed(|r| r.expires_at = Some("2026-05-31T12:00:00Z".parse().unwrap()), &key);
    let world = expired();
    let running = Memory::default().advanced(Digest::of(&world.statement.to_payload()), &world.statement, now());
    let decision = world.judge(&policies, &Facts { memory: Some(&running), ..Facts::at(now()) });
    assert!(decision.outcome.unwrap().stale().is_some());
    let empty = Memory::default();
    let fresh = Facts { memory: Some(&empty), ..Facts::at(now()) };
    assert_eq!(reason(&expired().judge(&policies, &fresh)), Some(Reason::Expired));
    let latest = policy(&[("release", &key)], |v| v["spec"]["release"]["onFirstContact"] = "latest".into()).unwrap();
    assert!(expired().judge(&[latest], &fresh).outcome.unwrap().stale().is_some());
}

#[test]
fn the_selected_version_must_be_the_signed_one() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let judge =
        |version| reason(&World::signed(&key).judge(&policies, &Facts { version: Some(version), ..Facts::at(now()) }));
    assert_eq!(judge("1.4.2"), None);
    assert_eq!(judge("1.4.3"), Some(Reason::VersionMismatch));
}

#[test]
fn rules_are_judged_after_the_target_namespace() {
    let key = key();
    let rules = |v: &mut Value| v["spec"]["objects"] = json!({"namespaces": ["web"]});
    let policies = [policy(&[("release", &key)], rules).unwrap()];
    let rendering = Rendering { target_namespace: Some("web".into()), ..Rendering::default() };
    let decision = World::signed(&key).judge_rendered(&policies, &Facts::at(now()), &rendering);
    assert_ne!(decision.evidence.signed_inventory, decision.evidence.final_inventory);
    assert_eq!(reason(&decision), None);
}

#[test]
fn at_the_cap_no_refusal_is_final_that_another_statement_could_cure() {
    let key = key();
    let policies = [policy(&[("release", &key)], |v| v["spec"]["release"]["environment"] = "prod".into()).unwrap()];
    for change in [
        (|r| r.environment = Some("dev".into())) as fn(&mut Release),
        |r| r.expires_at = Some("2026-01-01T00:00:00Z".parse().unwrap()),
        |r| r.critical = vec!["moon".into()],
        |r| r.repositories = vec!["registry.example/acme/other".parse().unwrap()],
    ] {
        let mut world = World::new().changed(change, &key);
        assert!(!matches!(reason(&world.judge(&policies, &Facts::at(now()))), None | Some(Reason::TooManySignatures)));
        world.truncated = true;
        let decision = world.judge(&policies, &Facts::at(now()));
        assert_eq!(reason(&decision), Some(Reason::TooManySignatures));
        assert_eq!(decision.evidence.outcome, Outcome::CouldNotCheck);
    }
}

#[test]
fn an_audit_policy_decides_nothing_and_is_reported_whole() {
    let key = key();
    let mine = policy(&[("release", &key)], |_| ()).unwrap();
    let id = PublicKey::from_pem(&pem_of(&key)).unwrap().id();
    let world = World::signed(&key);
    let digest = world.statement.artifact;
    for change in [
        Box::new(move |v: &mut Value| v["spec"]["deny"] = json!({"keys": [id]})) as Box<dyn FnOnce(&mut Value)>,
        Box::new(move |v| v["spec"]["deny"] = json!({"digests": [digest]})),
        Box::new(|v| v["spec"]["release"]["minimum"] = json!({"sequence": 43})),
        Box::new(|v| v["spec"]["release"]["maxAge"] = "1h".into()),
    ] {
        let audit = policy(&[("release", &key)], |v| {
            (v["metadata"]["name"], v["spec"]["mode"]) = ("later".into(), "audit".into());
            change(v);
        });
        let decision = world.judge(&[mine.clone(), audit.unwrap()], &Facts::at(now()));
        assert_eq!(reason(&decision), None);
        let record = decision.evidence.policies.iter().find(|p| p.name == "later").unwrap();
        assert!(!record.satisfied && record.unmet.is_some(), "enforcing, it would refuse: {record:?}");
    }
}

#[test]
fn a_denied_commit_is_denied_however_it_is_written() {
    let key = key();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let judge = |named: &str, denied: &str| {
        let source = crate::statement::Source {
            uri: "https://git.example/shop".into(),
            digest: [(named.to_owned(), commit.to_owned())].into(),
            reference: None,
        };
        let world = World::new().changed(|r| r.source = Some(source), &key);
        let policy = policy(&[("release", &key)], |v| v["spec"]["deny"] = json!({"commits": [denied]})).unwrap();
        reason(&world.judge(&[policy], &Facts::at(now())))
    };
    assert_eq!(judge("gitCommit", "ffff"), None);
    for (named, denied) in
        [("gitCommit", commit), ("gitCommit", &commit.to_uppercase()), ("gitCommit", "0123456"), ("sha1", commit)]
    {
        assert_eq!(judge(named, denied), Some(Reason::Denied), "{named} {denied}");
    }
}

#[test]
fn the_deny_list_is_passed_only_once_a_statement_was_held_against_it() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let unsigned = World::new().judge(&policies, &Facts::at(now()));
    assert_eq!(reason(&unsigned), Some(Reason::Unsigned));
    assert_eq!(unsigned.evidence.check(CheckId::DenyList).result, CheckResult::NotChecked);
    let signed = World::signed(&key).judge(&policies, &Facts::at(now()));
    assert_eq!(signed.evidence.check(CheckId::DenyList).result, CheckResult::Pass);
}

#[test]
fn equal_numbers_of_different_streams_or_environments_are_no_equivocation() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    for change in [(|r| r.environment = Some("dev".into())) as fn(&mut Release), |r| r.stream = "acme/canary".into()] {
        let world = World::signed(&key).changed(change, &key);
        assert_eq!(reason(&world.judge(&policies, &Facts::at(now()))), None);
    }
}
