//! Policies over certificates, logs and times, on releases signed by a private Sigstore.

use sigstore_types::dsse::pae;

use super::*;
use crate::{
    policy::PolicyError,
    sigstore::{
        Claim, TrustRoots,
        lab::{Lab, RELEASER, SIGNED_AT, Who},
    },
};

fn bytes(bundle: &Value) -> Vec<u8> {
    bundle.to_string().into_bytes()
}

fn keyless(lab: &Lab, who: Who<'_>) -> World {
    let world = World::new();
    let payload = world.statement.to_payload();
    world.with(bytes(&lab.keyless(&payload, who)))
}

/// A release signed by a key and logged.
fn logged(lab: &Lab, key: &KeyPair) -> World {
    let world = World::new();
    let payload = world.statement.to_payload();
    let signature = key.sign(&pae(PAYLOAD_TYPE, &payload)).unwrap();
    world.with(bytes(&lab.keyed(&payload, &pem_of(key), signature.as_bytes(), SIGNED_AT)))
}

/// An authority that is the releaser of the lab.
fn releaser(name: &str) -> Value {
    json!({"name": name, "keyless": {
        "issuer": {"exact": RELEASER.issuer}, "subject": {"exact": RELEASER.identity}, "trustRoot": "lab"}})
}

/// A policy of the lab, which has no certificate log, with these authorities.
fn lab_policy(authorities: Value, change: impl FnOnce(&mut Value)) -> Result<Policy, PolicyError> {
    policy(&[], |v| {
        let names: Vec<_> = authorities.as_array().unwrap().iter().map(|a| a["name"].clone()).collect();
        v["spec"]["require"] = json!({"anyOf": names});
        v["spec"]["authorities"] = authorities;
        v["spec"]["transparency"] = json!({"sct": "off"});
        change(v);
    })
}

fn judge(world: &World, policy: Policy, trust: &TrustRoots) -> Decision<Verified> {
    world.judge(&[policy], &Facts { trust, ..Facts::at(now()) })
}

#[test]
fn a_keyless_release_is_accepted_and_the_evidence_says_what_was_verified() {
    let lab = Lab::new();
    let policy = lab_policy(json!([releaser("ci")]), |_| ()).unwrap();
    let decision = judge(&keyless(&lab, RELEASER), policy, &lab.roots());
    assert_eq!(reason(&decision), None);
    let row = |check| {
        let row = decision.evidence.check(check);
        (row.result, row.detail.as_str())
    };
    let certificate = format!("{} by {} (SCT not checked)", RELEASER.identity, RELEASER.issuer);
    assert_eq!(row(CheckId::Certificate), (CheckResult::Pass, certificate.as_str()));
    assert_eq!(row(CheckId::TransparencyLog), (CheckResult::Pass, "log.example index 1"));
    assert_eq!(row(CheckId::Timestamp), (CheckResult::NotPresent, "the signature has none"));
    let [record] = decision.evidence.statement.as_ref().unwrap().signatures.as_slice() else { panic!() };
    let signer = decision.evidence.policies[0].signers[0].key;
    assert_eq!(record.signer, signer);
    let certificate = record.proof.certificate.as_ref().unwrap();
    assert_eq!((certificate.identity.as_str(), certificate.issuer.as_str()), (RELEASER.identity, RELEASER.issuer));
    assert_eq!(certificate.claims[&Claim::DeploymentEnvironment], "production");
    assert_eq!(record.proof.times[0].time, SIGNED_AT.parse().unwrap());
    let back: crate::evidence::Evidence =
        serde_json::from_value(serde_json::to_value(&decision.evidence).unwrap()).unwrap();
    assert_eq!(back, decision.evidence, "a record is read back as it was written");
    assert_eq!(crate::evidence::record::read(&decision.evidence.to_json()).unwrap(), decision.evidence);
}

#[test]
fn each_demand_on_a_certificate_is_kept() {
    let lab = Lab::new();
    let world = keyless(&lab, RELEASER);
    let with = |change: fn(&mut Value)| {
        let mut authority = releaser("ci");
        change(&mut authority["keyless"]);
        reason(&judge(&world, lab_policy(json!([authority]), |_| ()).unwrap(), &lab.roots()))
    };
    let no = Some(Reason::NoTrustedSignature);
    assert_eq!(with(|k| k["subject"] = json!({"glob": "https://ci.example/acme/shop/**"})), None);
    assert_eq!(with(|k| k["subject"] = json!({"regex": "https://ci\\.example/acme/[a-z]+/release\\.yml@.*"})), None);
    assert_eq!(with(|k| k["subject"] = json!({"exact": "https://ci.example/acme/shop/release.yml"})), no);
    assert_eq!(with(|k| k["subject"] = json!({"glob": "https://ci.example/other/**"})), no);
    assert_eq!(with(|k| k["issuer"] = json!({"exact": "https://token.other.example"})), no);
    assert_eq!(with(|k| k["claims"] = json!({"deploymentEnvironment": {"exact": "production"}})), None);
    assert_eq!(with(|k| k["claims"] = json!({"deploymentEnvironment": {"exact": "staging"}})), no);
    assert_eq!(with(|k| k["claims"] = json!({"sourceRepositoryUri": {"glob": "https://ci.example/acme/*"}})), None);
    assert_eq!(with(|k| k["claims"] = json!({"runnerEnvironment": {"exact": "self-hosted"}})), no);
    assert_eq!(with(|k| k["claims"] = json!({"sourceRepositoryRef": {"glob": "refs/**"}})), no, "it has no such claim");
    assert_eq!(with(|k| k["trustRoot"] = json!("public-good")), no, "another instance");
}

#[test]
fn why_a_certificate_does_not_count_is_in_the_evidence() {
    let lab = Lab::new();
    let world = keyless(&lab, RELEASER);
    let skipped = |authorities, change: fn(&mut Value)| {
        let decision = judge(&world, lab_policy(authorities, change).unwrap(), &lab.roots());
        assert_eq!(reason(&decision), Some(Reason::NoTrustedSignature));
        decision.evidence.skipped.into_iter().map(|skipped| skipped.reason).collect::<Vec<_>>().join("; ")
    };
    let mut stranger = releaser("ci");
    stranger["keyless"]["subject"] = json!({"exact": "somebody@acme.example"});
    let text = skipped(json!([stranger]), |_| ());
    assert!(text.contains(RELEASER.identity) && text.contains("differs in subject"), "{text}");
    let text = skipped(json!([releaser("ci")]), |v| v["spec"]["transparency"] = json!({}));
    assert!(text.contains("authority ci") && text.contains("signed certificate timestamp"), "{text}");
    let key = json!({"name": "key", "key": {"pem": pem_of(&key())}});
    let text = skipped(json!([key]), |_| ());
    assert!(text.contains("no authority here is keyless"), "{text}");
}

#[test]
fn a_policy_that_names_a_trust_root_there_is_none_of_is_no_policy() {
    let lab = Lab::new();
    let policy = || lab_policy(json!([releaser("ci")]), |_| ()).unwrap();
    let world = keyless(&lab, RELEASER);
    let decision = judge(&world, policy(), TrustRoots::built_in());
    assert_eq!(reason(&decision), Some(Reason::PolicyInvalid));
    assert_eq!(decision.evidence.check(CheckId::Policy).result, CheckResult::Fail);
    let mut broken = lab.roots();
    broken.insert("lab".to_owned(), Err("one key of it is no key".to_owned()));
    let decision = judge(&world, policy(), &broken);
    assert_eq!(reason(&decision), Some(Reason::PolicyInvalid));
    assert!(decision.evidence.message.unwrap().contains("one key of it is no key"));
}

#[test]
fn a_key_needs_a_log_where_the_policy_says_so_and_evidence_tells_all_four_cases_apart() {
    let (lab, key) = (Lab::new(), key());
    let authority = json!([{"name": "key", "key": {"pem": pem_of(&key), "trustRoot": "lab"}}]);
    let judge = |world: &World, tlog: &str| {
        let change = |v: &mut Value| v["spec"]["transparency"] = json!({"tlog": tlog});
        let decision = judge(world, lab_policy(authority.clone(), change).unwrap(), &lab.roots());
        (reason(&decision), decision.evidence.check(CheckId::TransparencyLog).result)
    };
    let (bare, logged) = (World::signed(&key), logged(&lab, &key));
    assert_eq!(judge(&bare, "off"), (None, CheckResult::NotChecked));
    assert_eq!(judge(&logged, "off"), (None, CheckResult::NotChecked));
    assert_eq!(judge(&bare, "optional"), (None, CheckResult::NotPresent));
    assert_eq!(judge(&logged, "optional"), (None, CheckResult::Pass));
    assert_eq!(judge(&bare, "required"), (Some(Reason::NoTrustedSignature), CheckResult::NotChecked));
    assert_eq!(judge(&logged, "required"), (None, CheckResult::Pass));
    let foreign = super::keyless::logged(&Lab::new(), &key);
    assert_eq!(judge(&foreign, "optional").0, Some(Reason::NoTrustedSignature), "what is there must verify");
    assert_eq!(judge(&foreign, "off").0, None);
}

#[test]
fn a_row_passes_only_if_it_holds_for_every_signer() {
    let (lab, key) = (Lab::new(), key());
    let authorities = json!([releaser("ci"), {"name": "key", "key": {"pem": pem_of(&key), "trustRoot": "lab"}}]);
    let both = |v: &mut Value| v["spec"]["require"] = json!({"allOf": ["ci", "key"]});
    let world = keyless(&lab, RELEASER);
    let payload = world.statement.to_payload();
    let world = world.with(bundle(&payload, &key));
    let decision = judge(&world, lab_policy(authorities, both).unwrap(), &lab.roots());
    assert_eq!(reason(&decision), None);
    let row = decision.evidence.check(CheckId::TransparencyLog);
    assert_eq!(row.result, CheckResult::NotChecked, "nobody asked for the key's");
    assert!(row.detail.contains("log.example index 1"), "{}", row.detail);
}

/// The log says when the key signed, so a key that was retired since still counts for what it signed before.
#[test]
fn a_keys_window_is_judged_at_the_verified_time_if_there_is_one() {
    let (lab, key) = (Lab::new(), key());
    let judge = |world: &World, window: Value, tlog: &str| {
        let mut authority = json!({"name": "key", "key": {"pem": pem_of(&key), "trustRoot": "lab"}});
        authority["key"].as_object_mut().unwrap().extend(window.as_object().unwrap().clone());
        let change = |v: &mut Value| v["spec"]["transparency"] = json!({"tlog": tlog});
        reason(&judge(world, lab_policy(json!([authority]), change).unwrap(), &lab.roots()))
    };
    let (bare, logged) = (World::signed(&key), logged(&lab, &key));
    let retired = json!({"notAfter": "2026-05-31T12:00:00Z"});
    assert_eq!(judge(&logged, retired.clone(), "optional"), None);
    assert_eq!(judge(&logged, retired.clone(), "off"), Some(Reason::NoTrustedSignature), "now, as nobody looked");
    assert_eq!(judge(&bare, retired, "optional"), Some(Reason::NoTrustedSignature));
    let begun = json!({"notBefore": "2026-05-31T12:00:00Z"});
    assert_eq!(judge(&logged, begun.clone(), "optional"), Some(Reason::NoTrustedSignature));
    assert_eq!(judge(&bare, begun, "optional"), None);
}

#[test]
fn thresholds_count_distinct_identities() {
    let lab = Lab::new();
    let second = Who { identity: "https://ci.example/acme/shop/approve.yml@refs/heads/main", ..RELEASER };
    let broad = |name: &str| {
        json!({"name": name, "keyless": {"issuer": {"exact": RELEASER.issuer},
            "subject": {"glob": "https://ci.example/acme/shop/**"}, "trustRoot": "lab"}})
    };
    let mut exact = broad("exact");
    exact["keyless"]["subject"] = json!({"exact": second.identity});
    let two = |v: &mut Value| v["spec"]["require"] = json!({"allOf": ["broad", "exact"]});
    let policy = || lab_policy(json!([broad("broad"), exact]), two).unwrap();
    let world = |who: &[Who<'_>]| {
        let world = World::new();
        let payload = world.statement.to_payload();
        who.iter().fold(world, |world, who| world.with(bytes(&lab.keyless(&payload, *who))))
    };
    let judge = |world: World| reason(&judge(&world, policy(), &lab.roots()));
    assert_eq!(judge(world(&[second])), Some(Reason::NoTrustedSignature), "one identity under two names");
    assert_eq!(judge(world(&[second, second])), Some(Reason::NoTrustedSignature), "two certificates of one identity");
    let third = Who { identity: "https://ci.example/acme/shop/other.yml@refs/heads/main", ..RELEASER };
    assert_eq!(judge(world(&[RELEASER, third])), Some(Reason::NoTrustedSignature), "two identities of one name");
    assert_eq!(judge(world(&[RELEASER, second])), None);
    let twins = lab_policy(json!([broad("a"), broad("b")]), |v| v["spec"]["require"] = json!({"allOf": ["a", "b"]}));
    assert!(matches!(twins, Err(PolicyError::Require { .. })));
}

#[test]
fn deny_lists_name_certificates_and_their_commits() {
    let lab = Lab::new();
    let world = keyless(&lab, RELEASER);
    let deny = |deny: Value| {
        let change = |v: &mut Value| v["spec"]["deny"] = deny;
        judge(&world, lab_policy(json!([releaser("ci")]), change).unwrap(), &lab.roots())
    };
    let accepted = deny(json!({}));
    let certificate = accepted.evidence.statement.unwrap().signatures[0].proof.certificate.clone().unwrap();
    for digest in [certificate.fingerprint, certificate.key] {
        assert_eq!(reason(&deny(json!({"keys": [digest]}))), Some(Reason::Denied));
    }
    assert_eq!(reason(&deny(json!({"commits": ["0123456789AB"]}))), Some(Reason::Denied));
    assert_eq!(reason(&deny(json!({"commits": ["ffff"]}))), None);
}

#[test]
fn an_authority_is_one_thing_and_somebody_in_particular() {
    let refused = |change: fn(&mut Value)| {
        let mut authority = releaser("ci");
        change(&mut authority);
        lab_policy(json!([authority]), |_| ()).unwrap_err()
    };
    let both = refused(|a| a["key"] = json!({"pem": "x"}));
    assert!(matches!(both, PolicyError::Authority { .. }), "{both}");
    let neither = refused(|a| drop(a.as_object_mut().unwrap().remove("keyless")));
    assert!(matches!(neither, PolicyError::Authority { .. }), "{neither}");
    for anybody in ["*", "**", "*@*", "https://**", "{a,**}"] {
        for field in ["issuer", "subject"] {
            let mut authority = releaser("ci");
            authority["keyless"][field] = json!({"glob": anybody});
            let error = lab_policy(json!([authority]), |_| ()).unwrap_err();
            assert!(matches!(error, PolicyError::Matcher { .. }), "{field} {anybody}: {error}");
        }
    }
    assert!(matches!(
        refused(|a| a["keyless"]["claims"] = json!({"sourceRepositoryUrl": {"exact": "x"}})),
        PolicyError::Field { .. }
    ));
    assert!(matches!(
        refused(|a| a["keyless"]["claims"] = json!({"buildTrigger": {"regex": ".*"}})),
        PolicyError::Matcher { .. }
    ));
    let off = |v: &mut Value| v["spec"]["transparency"] = json!({"tlog": "off", "timestamp": "off"});
    let timeless = lab_policy(json!([releaser("ci")]), off).unwrap_err();
    assert!(matches!(timeless, PolicyError::Authority { .. }), "{timeless}");
}

/// Anyone who may push may hang foreign and broken certificates on an artifact; none of them is in the way.
#[test]
fn broken_and_foreign_certificates_never_hide_a_good_one() {
    let (lab, theirs) = (Lab::new(), Lab::new());
    let world = World::new();
    let payload = world.statement.to_payload();
    let mut broken = lab.keyless(&payload, RELEASER);
    broken["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["logIndex"] = json!("0");
    let bundles = [broken, theirs.keyless(&payload, RELEASER), lab.keyless(&payload, RELEASER)];
    let world = bundles.iter().fold(world, |world, bundle| world.with(bytes(bundle)));
    let decision = judge(&world, lab_policy(json!([releaser("ci")]), |_| ()).unwrap(), &lab.roots());
    assert_eq!(reason(&decision), None);
    assert_eq!(decision.evidence.skipped.len(), 2, "{:?}", decision.evidence.skipped);
}

/// What an audit policy trusts, such as a Sigstore on trial, lends nothing to what an enforcing policy demands.
#[test]
fn what_another_policys_trust_root_vouches_for_meets_no_demand_of_this_one() {
    let (lab, trial, key) = (Lab::new(), Lab::new(), key());
    let world = World::new();
    let artifact = world.statement.artifact;
    let release = world.statement.to_payload();
    let attestation = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "t", "predicate": {},
        "subject": [{"digest": {"sha256": artifact.hex()}}],
    });
    let attestation = attestation.to_string().into_bytes();
    let mut trust = lab.roots();
    trust.insert("trial".to_owned(), Ok(trial.root()));
    let staging: Vec<_> =
        RELEASER.claims.iter().map(|(n, text)| (*n, if *n == 23 { "staging" } else { text })).collect();
    let staged = Who { claims: &staging, ..RELEASER };

    let judge = |world: World, authority: fn(&str, &KeyPair) -> Value, rule: Value| {
        let policy = |name: &str, mode: &str, root: &str| {
            lab_policy(json!([authority(root, &key)]), |v| {
                (v["metadata"]["name"], v["spec"]["mode"]) = (name.into(), mode.into());
                v["spec"]["transparency"] = json!({"tlog": "required", "sct": "off"});
                if mode == "enforce" {
                    v["spec"]["attestations"] = json!([rule]);
                }
            })
            .unwrap()
        };
        let policies = [policy("a", "enforce", "lab"), policy("b", "audit", "trial")];
        let decision = world.judge(&policies, &Facts { trust: &trust, ..Facts::at(now()) });
        (reason(&decision), decision)
    };
    let identity = |root: &str, _: &KeyPair| {
        let mut authority = releaser("ci");
        authority["keyless"]["trustRoot"] = root.into();
        authority
    };
    let with_key = |root: &str, key: &KeyPair| json!({"name": "key", "key": {"pem": pem_of(key), "trustRoot": root}});

    let claims = json!({"name": "a", "predicateType": "t",
        "expressions": ["certificate.claims.deploymentEnvironment == 'production'"]});
    let by = |world: World, instance: &Lab, who| world.with(bytes(&instance.keyless(&attestation, who)));
    let released = || World::new().with(bytes(&lab.keyless(&release, RELEASER)));
    assert_eq!(judge(by(released(), &lab, RELEASER), identity, claims.clone()).0, None);
    assert_eq!(judge(by(released(), &lab, staged), identity, claims.clone()).0, Some(Reason::AttestationRefused));
    let forged = by(by(released(), &trial, RELEASER), &lab, staged);
    assert_eq!(judge(forged, identity, claims).0, Some(Reason::AttestationRefused), "a certificate of the trial");

    let age = json!({"name": "a", "predicateType": "t", "maxAge": "1h"});
    let stamped = |world: World, instance: &Lab, payload: &[u8], at: &str| {
        let signature = key.sign(&pae(PAYLOAD_TYPE, payload)).unwrap();
        world.with(bytes(&instance.keyed(payload, &pem_of(&key), signature.as_bytes(), at)))
    };
    let recent = (now() - jiff::SignedDuration::from_mins(10)).to_string();
    let released = || stamped(World::new(), &lab, &release, SIGNED_AT);
    assert_eq!(judge(stamped(released(), &lab, &attestation, &recent), with_key, age.clone()).0, None);
    let old = |world| stamped(world, &lab, &attestation, SIGNED_AT);
    assert_eq!(judge(old(released()), with_key, age.clone()).0, Some(Reason::AttestationRefused));
    let renewed = old(stamped(released(), &trial, &attestation, &recent));
    assert_eq!(judge(renewed, with_key, age).0, Some(Reason::AttestationRefused), "a time of the trial's log");

    let plain = stamped(stamped(World::new(), &trial, &release, &recent), &lab, &release, SIGNED_AT);
    let mut mine = lab_policy(json!([with_key("lab", &key)]), |_| ()).unwrap();
    let mut theirs = lab_policy(json!([with_key("trial", &key)]), |v| {
        v["metadata"]["name"] = "trial".into();
        v["spec"]["transparency"] = json!({"tlog": "required", "sct": "off"});
    })
    .unwrap();
    (mine.mode, theirs.mode) = (crate::policy::Mode::Enforce, crate::policy::Mode::Audit);
    let decision = plain.judge(&[mine, theirs], &Facts { trust: &trust, ..Facts::at(now()) });
    assert_eq!(reason(&decision), None);
    let row = decision.evidence.check(CheckId::TransparencyLog);
    assert_eq!(row.result, CheckResult::NotChecked, "nobody who decides asked for it: {}", row.detail);
    assert!(!decision.evidence.check(CheckId::Signature).detail.contains(','), "one signer");
}
