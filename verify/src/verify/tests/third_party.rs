//! Artifacts that were signed and nothing else: what they are accepted on, what they lack, and how nobody gets rid of a
//! statement by leaving it out.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    evidence::record::{EXTENSION, RecordError},
    memory::{Mark, Memory},
    policy::PolicyError,
    signature::Form,
    sigstore::lab::{Lab, RELEASER, Who},
    statement::Position,
    third_party::tests::{simple_signing, statement},
};

const NO: Option<Reason> = Some(Reason::NoTrustedSignature);

/// A policy for which a signature is enough.
fn optional(keys: &[(&str, &KeyPair)], change: impl FnOnce(&mut Value)) -> Result<Policy, PolicyError> {
    policy(keys, |v| {
        v["spec"]["release"] = json!({"statement": "optional"});
        change(v);
    })
}

fn with_legacy(keys: &[(&str, &KeyPair)]) -> Policy {
    optional(keys, |v| v["spec"]["transparency"] = json!({"legacySignatures": true})).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// What `cosign sign --key` leaves.
fn signed(key: &KeyPair) -> World {
    signed_as(key, |_| ())
}

fn signed_as(key: &KeyPair, change: impl FnOnce(&mut Value)) -> World {
    let world = World::new();
    let mut payload = statement(world.statement.artifact);
    change(&mut payload);
    let bundle = bundle(&bytes(&payload), key);
    world.with(bundle)
}

/// The same with `--new-bundle-format=false`.
fn simple(key: &KeyPair, change: impl FnOnce(&mut Value)) -> SimpleSigning {
    let mut payload = simple_signing(World::new().statement.artifact);
    change(&mut payload);
    simple_over(key, bytes(&payload))
}

fn simple_over(key: &KeyPair, payload: Vec<u8>) -> SimpleSigning {
    let signature = STANDARD.encode(key.sign(&payload).unwrap().as_bytes());
    SimpleSigning { payload, signature, ..SimpleSigning::default() }
}

fn legacy(signatures: Vec<SimpleSigning>) -> World {
    World { legacy: signatures, ..World::new() }
}

fn judged(world: &World, policies: &[Policy]) -> Decision<Verified> {
    world.judge(policies, &Facts::at(now()))
}

/// A memory in which a statement was accepted.
fn memory() -> Memory {
    let digest = Digest::of(b"accepted before");
    let position = Position { epoch: 0, sequence: 41 };
    let (stream, environment) = ("acme/shop".into(), None);
    Memory {
        marks: vec![Mark { stream, environment, position, statement: digest, artifact: digest, first_seen: now() }],
        ..Memory::default()
    }
}

#[test]
fn a_signed_artifact_is_accepted_where_the_policy_says_so_and_no_row_claims_what_nobody_stated() {
    let key = key();
    let decision = judged(&signed(&key), &[optional(&[("vendor", &key)], |_| ()).unwrap()]);
    assert_eq!(reason(&decision), None, "{}", decision.evidence);
    let evidence = &decision.evidence;
    let rows =
        |result| -> Vec<_> { evidence.checks.iter().filter(|row| row.result == result).map(|row| row.check).collect() };
    use CheckId as C;
    assert_eq!(
        rows(CheckResult::Pass),
        [C::Policy, C::ManifestDigest, C::Manifest, C::DenyList, C::Signature, C::Subject, C::Layer, C::Objects]
    );
    assert_eq!(rows(CheckResult::NotChecked), [C::TransparencyLog, C::Timestamp, C::Memory]);
    let row = evidence.check(C::Statement);
    assert_eq!(row.result, CheckResult::NotPresent);
    assert!(
        row.detail.starts_with("third-party signature by vendor (") && row.detail.ends_with("no release statement")
    );
    let third = evidence.third_party.as_ref().unwrap();
    assert_eq!((third.annotations["env"].as_str(), third.signatures.len()), (Some("prod"), 1));
    assert!(evidence.to_string().contains("signed by a third party, no release statement"));
    let inputs = &evidence.to_json()["predicate"]["inputAttestations"];
    assert_eq!(inputs[0]["digest"]["sha256"], third.digest.hex());
    let verified = decision.outcome.unwrap();
    assert!(verified.statement().is_none() && verified.stale().is_none());
    assert!(matches!(verified.grounds(), Grounds::ThirdParty(third_party) if third_party.payload == third.digest));
    assert_eq!(verified.objects().len(), 2);
}

#[test]
fn by_default_a_signature_is_no_release() {
    let key = key();
    let required = || policy(&[("vendor", &key)], |_| ()).unwrap();
    let world = || World { legacy: vec![simple(&key, |_| ())], ..signed(&key) };
    let decision = judged(&world(), &[required()]);
    assert_eq!(reason(&decision), Some(Reason::NoStatement));
    assert_eq!(decision.evidence.check(CheckId::Statement).result, CheckResult::Fail);
    assert_eq!(decision.evidence.policies[0].unmet.as_deref(), decision.evidence.message.as_deref());
    // Every matching policy has its say, and one that only watches tells what it would have said.
    let lax = || optional(&[("vendor", &key)], |v| v["metadata"]["name"] = "lax".into()).unwrap();
    assert_eq!(reason(&judged(&world(), &[lax(), required()])), Some(Reason::NoStatement));
    let auditing = policy(&[("vendor", &key)], |v| v["spec"]["mode"] = "audit".into()).unwrap();
    let decision = judged(&world(), &[lax(), auditing]);
    assert_eq!(reason(&decision), None);
    assert!(
        decision.evidence.policies.iter().any(|policy| policy.mode == crate::policy::Mode::Audit && !policy.satisfied)
    );
}

#[test]
fn what_is_no_signature_of_this_very_manifest_by_those_who_may_does_not_count() {
    let (vendor, other) = (key(), key());
    let policies = [optional(&[("vendor", &vendor)], |_| ()).unwrap()];
    let judge = |world: World| reason(&judged(&world, &policies));
    assert_eq!(judge(World::new()), Some(Reason::Unsigned));
    assert_eq!(judge(signed(&other)), NO);
    // An attestation, even one that says the artifact is bad, is not a signature of it.
    let scan = |v: &mut Value| {
        v["predicateType"] = "https://example.com/scan/v1".into();
        v["predicate"] = json!({"result": "FAILED"});
    };
    assert_eq!(judge(signed_as(&vendor, scan)), NO);
    assert_eq!(judge(signed_as(&vendor, |v| v["predicateType"] = "https://slsa.dev/provenance/v1".into())), NO);
    let elsewhere = |v: &mut Value| v["subject"][0]["digest"]["sha256"] = Digest::of(b"elsewhere").hex().into();
    let decision = judged(&signed_as(&vendor, elsewhere), &policies);
    assert_eq!(reason(&decision), NO);
    assert!(decision.evidence.skipped[0].reason.contains("signs another artifact"), "{}", decision.evidence);
    assert_eq!(judge(signed_as(&vendor, |v| v["predicate"] = json!({"except": "prod"}))), NO);
    // And none of it hides one.
    let good = signed(&vendor).bundles.remove(0);
    assert_eq!(judge(signed_as(&vendor, scan).with(b"junk".to_vec()).with(good)), None);
    let (manifest, layer) = (b"{}".to_vec(), b"other".to_vec());
    assert_eq!(judge(World { manifest, ..signed(&vendor) }), Some(Reason::DigestMismatch));
    assert_eq!(judge(World { layer, ..signed(&vendor) }), Some(Reason::DigestMismatch));
    assert_eq!(judge(World { truncated: true, ..signed(&vendor) }), Some(Reason::TooManySignatures));
}

#[test]
fn what_only_a_statement_can_meet_is_not_met_without_one() {
    let key = key();
    let policies = [optional(&[("vendor", &key)], |_| ()).unwrap()];
    let none = Memory::default();
    let facts = || Facts { memory: Some(&none), ..Facts::at(now()) };
    let judge = |facts: Facts<'_>| {
        let decision = signed(&key).judge(&policies, &facts);
        let failed = decision.evidence.checks.iter().find(|row| row.result == CheckResult::Fail).map(|row| row.check);
        (reason(&decision), failed)
    };
    let no = Some(Reason::NoStatement);
    assert_eq!(judge(facts()), (None, None));
    assert_eq!(judge(Facts { stream: Some("acme/shop"), ..facts() }), (no, Some(CheckId::Stream)));
    assert_eq!(judge(Facts { environment: Some("prod"), ..facts() }), (no, Some(CheckId::Environment)));
    assert_eq!(judge(Facts { version: Some("1.4.2"), ..facts() }), (no, Some(CheckId::Version)));
    assert_eq!(judge(Facts { variant: Some("eu"), ..facts() }), (no, Some(CheckId::Variant)));
    assert_eq!(judge(Facts { memory: Some(&memory()), ..facts() }), (no, Some(CheckId::Memory)));
    let unknown = ["somebody".to_owned()];
    assert_eq!(judge(Facts { require: &unknown, ..facts() }).0, Some(Reason::PolicyInvalid));
    let demanded = ["vendor".to_owned()];
    assert_eq!(judge(Facts { require: &demanded, ..facts() }), (None, None));
}

#[test]
fn attestations_are_demanded_of_a_signed_artifact_too() {
    let key = key();
    let policies = [optional(&[("vendor", &key)], |v| {
        v["spec"]["attestations"] = json!([{"name": "scan", "predicateType": "https://example.com/scan/v1",
            "require": {"anyOf": ["vendor"]}, "expressions": ["predicate.result == 'PASSED'"]}]);
    })
    .unwrap()];
    let scanned = |result: &str| {
        let mut scan = statement(World::new().statement.artifact);
        scan["predicateType"] = "https://example.com/scan/v1".into();
        scan["predicate"] = json!({"result": result});
        reason(&judged(&signed(&key).with(bundle(&bytes(&scan), &key)), &policies))
    };
    assert_eq!(reason(&judged(&signed(&key), &policies)), Some(Reason::AttestationMissing));
    assert_eq!(scanned("FAILED"), Some(Reason::AttestationRefused));
    assert_eq!(scanned("PASSED"), None);
}

#[test]
fn a_policy_that_wants_what_only_a_statement_has_is_a_contradiction() {
    let key = key();
    let refused = |change: fn(&mut Value)| {
        let error = optional(&[("vendor", &key)], change).unwrap_err();
        assert!(matches!(error, PolicyError::Contradiction { .. }), "{error}");
    };
    refused(|v| v["spec"]["release"]["environment"] = "prod".into());
    refused(|v| v["spec"]["release"]["maxAge"] = "1h".into());
    refused(|v| v["spec"]["release"]["minimum"] = json!({"sequence": 1}));
    refused(|v| {
        v["spec"]["release"] = json!({"streams": [{"glob": "acme/*"}]});
        v["spec"]["transparency"] = json!({"legacySignatures": true});
    });
    let no_streams = policy(&[("vendor", &key)], |v| v["spec"]["release"] = json!({})).unwrap_err();
    assert!(matches!(no_streams, PolicyError::Empty { path: "release.streams", .. }), "{no_streams}");
}

/// Digests of policies stand in evidence, so a new field must not change them.
#[test]
fn what_is_not_written_is_not_in_the_digest() {
    let key = key();
    let spec =
        |v: Value| serde_json::from_value::<crate::policy::PolicySpec>(v).map(|s| serde_json::to_value(s).unwrap());
    let written = json!({
        "match": {"repositories": ["registry.example/acme/*"]},
        "authorities": [{"name": "a", "key": {"pem": pem_of(&key)}}],
        "require": {"anyOf": ["a"]},
        "transparency": {"tlog": "off"},
        "release": {"streams": [{"glob": "acme/*"}]},
    });
    let back = spec(written).unwrap();
    assert_eq!(back["transparency"], json!({"tlog": "off"}));
    assert!(back["release"].get("statement").is_none(), "{back}");
}

#[test]
fn a_statement_that_is_there_is_what_counts() {
    let key = key();
    let streams = |v: &mut Value| v["spec"]["release"]["streams"] = json!([{"glob": "acme/*"}]);
    let policies = [optional(&[("vendor", &key)], streams).unwrap()];
    let both = |change: fn(&mut Release)| {
        let bare = signed(&key).bundles.remove(0);
        World::new().changed(change, &key).with(bare)
    };
    let decision = judged(&both(|_| ()), &policies);
    assert_eq!(reason(&decision), None);
    assert_eq!(decision.evidence.check(CheckId::Statement).result, CheckResult::Pass);
    assert!(decision.evidence.third_party.is_none());
    assert_eq!(decision.outcome.unwrap().statement().unwrap().release.sequence, 42);
    // One that is refused is not replaced by a bare signature.
    assert_eq!(reason(&judged(&both(|r| r.stream = "other/shop".into()), &policies)), Some(Reason::WrongStream));
    let expired = both(|r| r.expires_at = Some("2026-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(reason(&judged(&expired, &policies)), Some(Reason::Expired));
    assert_eq!(reason(&judged(&both(|r| r.critical = vec!["moon".into()]), &policies)), Some(Reason::BadStatement));
    // One about another artifact is none about this.
    let elsewhere = Statement { artifact: Digest::of(b"elsewhere"), ..World::new().statement };
    let world = signed(&key).with(bundle(&elsewhere.to_payload(), &key));
    assert_eq!(reason(&judged(&world, &policies)), None);
    // Where the policy names no stream, no statement counts, and the bare signature does not count instead.
    let streamless = [optional(&[("vendor", &key)], |_| ()).unwrap()];
    assert_eq!(reason(&judged(&both(|_| ()), &streamless)), Some(Reason::WrongStream));
    // Nor is a half-approved one made whole by it.
    let (a, b) = (self::key(), self::key());
    let two = optional(&[("a", &a), ("b", &b)], |v| {
        streams(v);
        v["spec"]["require"] = json!({"allOf": ["a", "b"]});
    });
    let world = World::signed(&a).with(signed(&b).bundles.remove(0));
    assert_eq!(reason(&judged(&world, &[two.unwrap()])), NO);
}

#[test]
fn thresholds_add_up_what_says_the_same_in_whichever_form() {
    let (a, b) = (key(), key());
    let two = || {
        optional(&[("a", &a), ("b", &b)], |v| {
            v["spec"]["require"] = json!({"allOf": ["a", "b"]});
            v["spec"]["transparency"] = json!({"legacySignatures": true});
        })
        .unwrap()
    };
    let judge = |world: World| reason(&judged(&world, &[two()]));
    let bare = |key: &KeyPair, change: fn(&mut Value)| signed_as(key, change).bundles.remove(0);
    assert_eq!(judge(signed(&a)), NO, "one of two");
    assert_eq!(judge(signed(&a).with(bare(&b, |_| ()))), None);
    assert_eq!(judge(signed(&a).with(bare(&b, |v| v["subject"][0]["annotations"]["env"] = "dev".into()))), NO);
    assert_eq!(judge(signed(&a).with(bare(&b, |v| v["subject"][0]["name"] = "mirror.example/shop".into()))), None);
    assert_eq!(judge(World { legacy: vec![simple(&b, |_| ())], ..signed(&a) }), None);
    assert_eq!(judge(World { legacy: vec![simple(&b, |v| v["optional"] = Value::Null)], ..signed(&a) }), NO);
    let mirrored = |v: &mut Value| v["critical"]["identity"]["docker-reference"] = "mirror.example/shop".into();
    assert_eq!(judge(legacy(vec![simple(&a, |_| ()), simple(&b, mirrored)])), None);
    assert_eq!(judge(legacy(vec![simple(&a, |_| ()), simple(&a, mirrored)])), NO, "one key, two payloads");
}

#[test]
fn the_older_form_counts_only_in_the_eyes_of_a_policy_that_lets_it() {
    let key = key();
    let world = legacy(vec![simple(&key, |_| ())]);
    let decision = judged(&world, &[with_legacy(&[("vendor", &key)])]);
    assert_eq!(reason(&decision), None, "{}", decision.evidence);
    assert_eq!(decision.evidence.third_party.unwrap().signatures[0].form, Form::SimpleSigning);
    let strict = || optional(&[("vendor", &key)], |v| v["metadata"]["name"] = "strict".into()).unwrap();
    let decision = judged(&world, &[strict()]);
    assert_eq!(reason(&decision), NO);
    assert!(decision.evidence.skipped[0].reason.contains("no policy here lets legacy"), "{}", decision.evidence);
    assert_eq!(reason(&judged(&world, &[with_legacy(&[("vendor", &key)]), strict()])), NO, "each for itself");
}

#[test]
fn refuses_each_wrong_in_the_older_form() {
    let (vendor, other) = (key(), key());
    let policies = [with_legacy(&[("vendor", &vendor)])];
    let judge = |signature: SimpleSigning| reason(&judged(&legacy(vec![signature]), &policies));
    let good = || simple(&vendor, |_| ());
    assert_eq!(judge(good()), None);
    assert_eq!(judge(simple(&other, |_| ())), NO, "another key");
    assert_eq!(judge(SimpleSigning { signature: simple(&other, |_| ()).signature, ..good() }), NO);
    assert_eq!(judge(SimpleSigning { signature: "%".into(), ..good() }), NO);
    let payload = simple(&vendor, |v| v["optional"] = json!({"env": "dev"})).payload;
    assert_eq!(judge(SimpleSigning { payload, ..good() }), NO, "changed under its signature");
    let elsewhere = |v: &mut Value| v["critical"]["image"]["docker-manifest-digest"] = json!(Digest::of(b"elsewhere"));
    assert_eq!(judge(simple(&vendor, elsewhere)), NO);
    assert_eq!(judge(simple(&vendor, |v| v["critical"]["type"] = "atomic container signature".into())), NO);
    assert_eq!(judge(simple(&vendor, |v| v["critical"]["unless"] = json!({}))), NO);
    assert_eq!(judge(simple_over(&vendor, b"not JSON".to_vec())), NO);
    // A signed statement under that tag is not what the scheme signs.
    assert_eq!(judge(simple_over(&vendor, World::new().statement.to_payload())), NO);
    let huge = |v: &mut Value| v["optional"] = json!({"a": "x".repeat(1 << 20)});
    let decision = judged(&legacy(vec![simple(&vendor, huge)]), &policies);
    assert_eq!(reason(&decision), NO);
    assert!(decision.evidence.skipped[0].reason.contains("larger than"), "{}", decision.evidence);
    for certificate in ["", "nonsense", &pem_of(&vendor)] {
        assert_eq!(judge(SimpleSigning { certificate: Some(certificate.into()), ..good() }), NO, "{certificate:?}");
    }
    // What nobody asks for is not looked at, but it has to be readable.
    for promise in [
        "{}",
        "nonsense",
        r#"{"SignedEntryTimestamp":"","Payload":{"body":"e30=","integratedTime":1,"logIndex":1,"logID":"00"}}"#,
    ] {
        assert_eq!(judge(SimpleSigning { promise: Some(promise.into()), ..good() }), NO, "{promise}");
    }
    // And none of it hides a good one.
    let world = legacy(vec![simple(&other, |_| ()), simple_over(&vendor, b"junk".to_vec()), good()]);
    assert_eq!(reason(&judged(&world, &policies)), None);
    let denied = |digest: Digest| {
        let mut spec = json!({});
        spec["digests"] = json!([digest]);
        let policy = optional(&[("vendor", &vendor)], |v| {
            v["spec"]["transparency"] = json!({"legacySignatures": true});
            v["spec"]["deny"] = spec;
        });
        reason(&judged(&legacy(vec![good()]), &[policy.unwrap()]))
    };
    assert_eq!(denied(Digest::of(&good().payload)), Some(Reason::Denied));
    assert_eq!(denied(World::new().statement.artifact), Some(Reason::Denied));
    assert_eq!(denied(Digest::of(b"other")), None);
}

/// The lab's policy, with legacy signatures and no certificate log.
fn keyless(change: impl FnOnce(&mut Value)) -> Policy {
    optional(&[], |v| {
        v["spec"]["authorities"] = json!([{"name": "ci", "keyless": {
            "issuer": {"exact": RELEASER.issuer}, "subject": {"exact": RELEASER.identity}, "trustRoot": "lab"}}]);
        v["spec"]["require"] = json!({"anyOf": ["ci"]});
        v["spec"]["transparency"] = json!({"sct": "off", "legacySignatures": true});
        change(v);
    })
    .unwrap()
}

#[test]
fn a_certificate_in_the_older_form_needs_the_promise_of_a_log_that_is_about_it() {
    let lab = Lab::new();
    let trust = lab.roots();
    let payload = bytes(&simple_signing(World::new().statement.artifact));
    let judge = |signature: SimpleSigning, policy: Policy| {
        legacy(vec![signature]).judge(&[policy], &Facts { trust: &trust, ..Facts::at(now()) })
    };
    let good = || lab.simple_signing(&payload, RELEASER);
    let decision = judge(good(), keyless(|_| ()));
    assert_eq!(reason(&decision), None, "{}", decision.evidence);
    let row = decision.evidence.check(CheckId::TransparencyLog);
    assert_eq!(
        (row.result, row.detail.as_str()),
        (CheckResult::Pass, "a log's promise of index 7, without proof of inclusion")
    );
    assert_eq!(decision.evidence.check(CheckId::Certificate).result, CheckResult::Pass);

    let refused = |signature: SimpleSigning| assert_eq!(reason(&judge(signature, keyless(|_| ()))), NO);
    refused(SimpleSigning { promise: None, ..good() });
    refused(SimpleSigning { promise: good().promise, ..good() }); // about another certificate and signature
    refused(SimpleSigning { promise: Lab::new().simple_signing(&payload, RELEASER).promise, ..good() });
    refused(Lab::new().simple_signing(&payload, RELEASER)); // another instance
    refused(lab.simple_signing(&payload, Who { identity: "https://ci.example/other", ..RELEASER }));
    refused(SimpleSigning { certificate: good().certificate, ..good() });
    for (pointer, value) in [
        ("/Payload/integratedTime", json!(1_790_000_000)),
        ("/Payload/logIndex", json!(8)),
        ("/Payload/logID", json!(Digest::of(b"another log").hex())),
        ("/Payload/body", json!(STANDARD.encode(r#"{"apiVersion":"0.0.1","kind":"dsse","spec":{}}"#))),
        ("/SignedEntryTimestamp", json!(STANDARD.encode("forged"))),
    ] {
        let signature = good();
        let mut promise: Value = serde_json::from_str(signature.promise.as_deref().unwrap()).unwrap();
        *promise.pointer_mut(pointer).unwrap() = value;
        refused(SimpleSigning { promise: Some(promise.to_string()), ..signature });
    }
    let token = json!({"SignedRFC3161Timestamp": STANDARD.encode("forged")}).to_string();
    refused(SimpleSigning { timestamp: Some(token.clone()), ..good() });
    let off = |v: &mut Value| v["spec"]["transparency"]["timestamp"] = "off".into();
    let unseen = SimpleSigning { timestamp: Some(token), ..good() };
    assert_eq!(reason(&judge(unseen, keyless(off))), None, "what is switched off is not looked at");
    // A certificate is only valid at a time that somebody vouches for.
    let timestamps = |v: &mut Value| {
        v["spec"]["transparency"]["tlog"] = "off".into();
        v["spec"]["transparency"]["timestamp"] = "required".into();
    };
    assert_eq!(reason(&judge(good(), keyless(timestamps))), NO);
}

#[test]
fn a_key_in_the_older_form_is_held_against_the_log_where_the_policy_wants_one() {
    let lab = Lab::new();
    let (vendor, trust) = (key(), lab.roots());
    let payload = bytes(&simple_signing(World::new().statement.artifact));
    let wanting = |tlog: &str| {
        optional(&[("vendor", &vendor)], |v| {
            v["spec"]["authorities"][0]["key"]["trustRoot"] = "lab".into();
            v["spec"]["transparency"] = json!({"legacySignatures": true, "tlog": tlog});
        })
        .unwrap()
    };
    let judge = |signature: &SimpleSigning, tlog: &str| {
        let facts = Facts { trust: &trust, ..Facts::at(now()) };
        reason(&legacy(vec![signature.clone()]).judge(&[wanting(tlog)], &facts))
    };
    let good = lab.simple_signing_by(&payload, &vendor, &pem_of(&vendor));
    let bare = SimpleSigning { promise: None, ..good.clone() };
    let stranger = lab.simple_signing_by(&payload, &vendor, &pem_of(&key()));
    for (signature, tlog, wanted) in [
        (&good, "required", None),
        (&good, "optional", None),
        (&good, "off", None),
        (&bare, "required", NO),
        (&bare, "optional", None),
        (&stranger, "required", NO),
        (&stranger, "optional", NO),
        (&stranger, "off", None),
    ] {
        assert_eq!(judge(signature, tlog), wanted, "{tlog} {signature:?}");
    }
}

#[test]
fn a_record_that_claims_what_nobody_stated_is_refused() {
    let key = key();
    let decision = judged(&signed(&key), &[optional(&[("vendor", &key)], |_| ()).unwrap()]);
    let document = decision.evidence.to_json();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document = document.clone();
        change(&mut document["predicate"][EXTENSION]);
        crate::evidence::record::read(&document)
    };
    assert!(changed(&|_| ()).is_ok());
    for check in [CheckId::Statement, CheckId::Memory, CheckId::Inventory, CheckId::Repository] {
        let claimed = changed(&|record| record["checks"][check as usize]["result"] = "pass".into());
        assert!(matches!(claimed, Err(RecordError::Contradiction(_))), "{check:?}");
    }
    let nothing = changed(&|record| drop(record.as_object_mut().unwrap().remove("thirdParty")));
    assert!(matches!(nothing, Err(RecordError::Contradiction(_))));
}
