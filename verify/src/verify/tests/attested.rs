//! Attestations, epochs, approvals and deletions, as policies demand them.

use super::*;
use crate::{approval::Approval, memory::Mark};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

fn statement_about(artifact: Digest, kind: &str, predicate: &Value) -> Vec<u8> {
    let subject = json!([{"name": REPOSITORY, "digest": {"sha256": artifact.hex()}}]);
    json!({"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": kind, "predicate": predicate})
        .to_string()
        .into_bytes()
}

/// Provenance as SLSA has it, of a build by `builder` of `commit`.
fn provenance(builder: &str, commit: &str) -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://ci.example/build/v1",
            "externalParameters": {},
            "resolvedDependencies": [{"uri": "git+https://git.example/acme/shop", "digest": {"gitCommit": commit}}],
        },
        "runDetails": {"builder": {"id": builder}},
    })
}

fn release_and(key: &KeyPair, attested: &[(Digest, &str, Value, &KeyPair)]) -> World {
    let with = |world: World, (artifact, kind, predicate, by): &(Digest, &str, Value, &KeyPair)| {
        world.with(bundle(&statement_about(*artifact, kind, predicate), by))
    };
    attested.iter().fold(World::signed(key), with)
}

fn rule(v: &mut Value) {
    v["spec"]["attestations"] = json!([{
        "name": "provenance",
        "predicateType": PROVENANCE,
        "expressions": [
            "predicate.runDetails.builder.id == 'https://ci.example/builder'",
            "predicate.buildDefinition.resolvedDependencies.exists(d, d.digest.gitCommit == 'abc')",
        ],
    }]);
}

#[test]
fn an_attestation_counts_if_it_is_about_this_artifact_signed_as_required_and_true_of_every_expression() {
    let (release, stranger) = (key(), key());
    let artifact = World::new().statement.artifact;
    let good = provenance("https://ci.example/builder", "abc");
    let judge = |attested: &[(Digest, &str, Value, &KeyPair)]| {
        let decision = release_and(&release, attested)
            .judge(&[policy(&[("release", &release)], rule).unwrap()], &Facts::at(now()));
        (reason(&decision), decision.evidence.check(CheckId::Attestations).clone())
    };
    let (missing, refused) = (Some(Reason::AttestationMissing), Some(Reason::AttestationRefused));
    let elsewhere = Digest::of(b"elsewhere");
    for (what, attested, expected) in [
        ("none", vec![], missing),
        ("the right one", vec![(artifact, PROVENANCE, good.clone(), &release)], None),
        ("one about another artifact", vec![(elsewhere, PROVENANCE, good.clone(), &release)], missing),
        ("another type", vec![(artifact, "https://slsa.dev/provenance/v0.2", good.clone(), &release)], missing),
        ("a stranger's", vec![(artifact, PROVENANCE, good.clone(), &stranger)], refused),
        ("another builder", vec![(artifact, PROVENANCE, provenance("https://x.example", "abc"), &release)], refused),
        (
            "another commit",
            vec![(artifact, PROVENANCE, provenance("https://ci.example/builder", "abd"), &release)],
            refused,
        ),
        ("nothing in it", vec![(artifact, PROVENANCE, json!({}), &release)], refused),
        (
            "bad ones around a good one",
            vec![
                (artifact, PROVENANCE, provenance("https://x.example", "abc"), &release),
                (artifact, PROVENANCE, good.clone(), &release),
                (artifact, PROVENANCE, json!(null), &release),
                (artifact, PROVENANCE, json!({"a": 1}), &stranger),
            ],
            None,
        ),
    ] {
        let (actual, row) = judge(&attested);
        assert_eq!(actual, expected, "{what}: {}", row.detail);
        assert_eq!(row.result == CheckResult::Pass, expected.is_none(), "{what}");
    }
    let (_, row) = judge(&[(artifact, PROVENANCE, good, &release)]);
    assert!(row.detail.starts_with("provenance: sha256:") && row.detail.ends_with(" by release"), "{}", row.detail);
}

#[test]
fn an_attestation_is_signed_by_enough_on_the_very_same_payload() {
    let (release, builder, other) = (key(), key(), key());
    let keys = [("release", &release), ("builder", &builder), ("other", &other)];
    let policies = [policy(&keys, |v| {
        v["spec"]["require"] = json!({"anyOf": ["release"]});
        v["spec"]["attestations"] = json!([{
            "name": "provenance", "predicateType": PROVENANCE,
            "require": {"allOf": ["builder", "other"]},
        }]);
    })
    .unwrap()];
    let artifact = World::new().statement.artifact;
    let judge = |attested: &[(Digest, &str, Value, &KeyPair)]| {
        reason(&release_and(&release, attested).judge(&policies, &Facts::at(now())))
    };
    let (one, two) = (json!({"n": 1}), json!({"n": 2}));
    let by = |predicate: &Value, key| (artifact, PROVENANCE, predicate.clone(), key);
    assert_eq!(judge(&[by(&one, &builder), by(&one, &other)]), None);
    assert_eq!(judge(&[by(&one, &builder)]), Some(Reason::AttestationRefused));
    assert_eq!(judge(&[by(&one, &builder), by(&one, &builder)]), Some(Reason::AttestationRefused));
    let halves = [by(&one, &builder), by(&two, &other)];
    assert_eq!(judge(&halves), Some(Reason::AttestationRefused), "two halves are no whole");
    assert_eq!(
        judge(&[by(&one, &release), by(&one, &builder)]),
        Some(Reason::AttestationRefused),
        "others than asked for"
    );
}

#[test]
fn expressions_see_the_release_the_subject_and_the_time() {
    let key = key();
    let artifact = World::new().statement.artifact;
    let judge = |expression: &str| {
        let policy = policy(&[("release", &key)], |v| {
            let expressions = [expression];
            v["spec"]["attestations"] = json!([{"name": "a", "predicateType": "t", "expressions": expressions}]);
        });
        let attested = [(artifact, "t", json!({"at": "2026-05-31T23:00:00Z", "commit": "abc"}), &key)];
        release_and(&key, &attested).judge(&[policy.unwrap()], &Facts::at(now()))
    };
    for (expression, holds) in [
        ("statement.predicate.stream == 'acme/shop'", true),
        ("statement.subject[0].digest.sha256 == subject.digest.sha256", true),
        ("subject.name == 'registry.example/acme/shop'", true),
        ("timestamp(now) - timestamp(predicate.at) <= duration('1h')", true),
        ("timestamp(now) - timestamp(predicate.at) < duration('1h')", false),
        ("certificate == null", true),
        ("certificate.issuer == 'x'", false),
        ("predicate.commit", false),
        ("predicate.missing == 'x'", false),
        ("!predicate.commit.missing", false),
    ] {
        let decision = judge(expression);
        assert_eq!(reason(&decision), (!holds).then_some(Reason::AttestationRefused), "{expression}");
        let row = &decision.evidence.check(CheckId::Attestations).detail;
        assert!(holds || row.contains(&format!("{expression:?}")), "{row}");
    }
}

#[test]
fn an_attestation_without_a_verified_time_is_too_old_where_age_matters() {
    let key = key();
    let artifact = World::new().statement.artifact;
    let policy = policy(&[("release", &key)], |v| {
        v["spec"]["attestations"] = json!([{"name": "scan", "predicateType": "t", "maxAge": "24h"}]);
    });
    let decision = release_and(&key, &[(artifact, "t", json!({}), &key)]).judge(&[policy.unwrap()], &Facts::at(now()));
    assert_eq!(reason(&decision), Some(Reason::AttestationRefused));
    assert!(decision.evidence.message.unwrap().contains("older than 24h"));
}

#[test]
fn a_denied_attestation_does_not_count_and_one_beyond_the_cap_is_no_final_no() {
    let key = key();
    let artifact = World::new().statement.artifact;
    let denied = Digest::of(&statement_about(artifact, "t", &json!({})));
    let with = |world: &World| {
        let policy = policy(&[("release", &key)], |v| {
            v["spec"]["attestations"] = json!([{"name": "a", "predicateType": "t"}]);
            v["spec"]["deny"] = json!({"digests": [denied]});
        });
        reason(&world.judge(&[policy.unwrap()], &Facts::at(now())))
    };
    let attested = release_and(&key, &[(artifact, "t", json!({}), &key)]);
    assert_eq!(with(&attested), Some(Reason::AttestationRefused));
    assert_eq!(with(&World { truncated: true, ..attested }), Some(Reason::TooManySignatures));
}

/// Whoever may push a referrer may push a hundred: only what the right people signed is counted to the cap.
#[test]
fn attestations_that_nobody_trusted_signed_never_hide_a_good_one() {
    let (key, stranger) = (key(), key());
    let artifact = World::new().statement.artifact;
    let policy = policy(&[("release", &key)], rule).unwrap();
    let good = provenance("https://ci.example/builder", "abc");
    let judge = |count: usize, by: &KeyPair| {
        let junk = (0..count).map(|n| (artifact, PROVENANCE, json!({"n": n}), by));
        let mut all: Vec<_> = junk.collect();
        all.push((artifact, PROVENANCE, good.clone(), &key));
        reason(&release_and(&key, &all).judge(std::slice::from_ref(&policy), &Facts::at(now())))
    };
    assert_eq!(judge(200, &stranger), None);
    let of_ours = judge(200, &key);
    assert!(matches!(of_ours, None | Some(Reason::TooManySignatures)), "bounded, and no final no: {of_ours:?}");
}

#[test]
fn an_audit_policy_says_which_attestation_it_misses_and_decides_nothing() {
    let key = key();
    let enforce = policy(&[("release", &key)], |_| ()).unwrap();
    let audit = policy(&[("release", &key)], |v| {
        rule(v);
        v["metadata"]["name"] = "audit".into();
        v["spec"]["mode"] = "audit".into();
    });
    let decision = World::signed(&key).judge(&[enforce, audit.unwrap()], &Facts::at(now()));
    assert_eq!(reason(&decision), None);
    let record = decision.evidence.policies.iter().find(|record| record.name == "audit").unwrap();
    assert!(record.unmet.as_ref().is_some_and(|unmet| unmet.contains("\"provenance\"")), "{record:?}");
}

#[test]
fn rules_that_could_not_be_judged_by_are_errors_of_the_policy() {
    let key = key();
    let wrong =
        |rules: Value| policy(&[("release", &key)], |v| v["spec"]["attestations"] = rules).unwrap_err().to_string();
    let with = |field: &str, value: Value| {
        let mut rule = json!({"name": "a", "predicateType": "t"});
        rule[field] = value;
        wrong(json!([rule]))
    };
    assert!(with("expressions", json!(["predicat.x == 1"])).contains("there is no variable \"predicat\""));
    assert!(with("expressions", json!(["predicate."])).contains("not CEL"));
    assert!(with("require", json!({"anyOf": ["nobody"]})).contains("not defined"));
    assert!(with("predicateType", json!(crate::statement::PREDICATE_TYPE)).contains("the release itself"));
    assert!(with("name", json!("")).contains("no name"));
    assert!(wrong(json!([{"name": "a", "predicateType": "t"}, {"name": "a", "predicateType": "u"}])).contains("twice"));
    let epochs = |v: &mut Value| v["spec"]["release"]["epochs"] = json!({"require": {"anyOf": ["nobody"]}});
    assert!(policy(&[("release", &key)], epochs).unwrap_err().to_string().contains("release.epochs.require"));
}

/// Who signed, which epoch was reached how, and whether the statement counts.
#[test]
fn an_epoch_is_raised_only_with_the_signatures_of_those_who_may() {
    let (ci, security) = (key(), key());
    let with = |minimum: Option<u64>| {
        policy(&[("ci", &ci), ("security", &security)], |v| {
            v["spec"]["require"] = json!({"anyOf": ["ci"]});
            v["spec"]["release"]["epochs"] = json!({"require": {"allOf": ["security"]}});
            if let Some(epoch) = minimum {
                v["spec"]["release"]["minimum"] = json!({"epoch": epoch});
            }
        })
        .unwrap()
    };
    let memory = |epoch: u64| {
        let World { statement, .. } = World::new();
        let mark = Mark {
            stream: statement.release.stream.clone(),
            environment: statement.release.environment.clone(),
            position: crate::statement::Position { epoch, sequence: 7 },
            statement: Digest::of(b"before"),
            artifact: Digest::of(b"before"),
            first_seen: now(),
        };
        Memory { marks: vec![mark], ..Memory::default() }
    };
    let first = Memory::default();
    let (raised, rolled_back) = (Some(Reason::EpochRaised), Some(Reason::RolledBack));
    for (what, memory, minimum, epoch, by_security, expected) in [
        ("the same epoch", Some(memory(1)), None, 1, false, None),
        ("a higher one by ci alone", Some(memory(1)), None, 2, false, raised),
        ("a much higher one by ci alone", Some(memory(1)), None, u64::MAX, false, raised),
        ("a higher one by both", Some(memory(1)), None, 2, true, None),
        ("a lower one by both", Some(memory(1)), None, 0, true, rolled_back),
        ("first contact at 0", Some(first.clone()), None, 0, false, None),
        ("first contact at 1 by ci alone", Some(first.clone()), None, 1, false, raised),
        ("first contact at 1 by both", Some(first.clone()), None, 1, true, None),
        ("first contact at the minimum", Some(first.clone()), Some(1), 1, false, None),
        ("first contact above the minimum", Some(first), Some(1), 2, false, raised),
        ("no memory", None, None, 1, false, None),
    ] {
        let mut world = World::new();
        world.statement.release.epoch = epoch;
        let payload = world.statement.to_payload();
        let world = world.with(bundle(&payload, &ci));
        let world = if by_security { world.with(bundle(&payload, &security)) } else { world };
        let decision = world.judge(&[with(minimum)], &Facts { memory: memory.as_ref(), ..Facts::at(now()) });
        assert_eq!(reason(&decision), expected, "{what}");
        let row = decision.evidence.check(CheckId::Epoch).result;
        let expected = match (expected, memory) {
            (None, None) => CheckResult::NotChecked,
            (Some(Reason::EpochRaised), _) => CheckResult::Fail,
            _ => CheckResult::Pass,
        };
        assert_eq!(row, expected, "{what}");
    }
}

#[test]
fn a_burned_counter_by_the_daily_key_hides_no_release() {
    let (ci, security) = (key(), key());
    let policies = [policy(&[("ci", &ci), ("security", &security)], |v| {
        v["spec"]["require"] = json!({"anyOf": ["ci"]});
        v["spec"]["release"]["epochs"] = json!({"require": {"anyOf": ["security"]}});
    })
    .unwrap()];
    let burned = World::signed(&ci).changed(|release| release.epoch = u64::MAX, &ci);
    let memory = Memory::default();
    let decision = burned.judge(&policies, &Facts { memory: Some(&memory), ..Facts::at(now()) });
    assert_eq!(decision.outcome.unwrap().statement().unwrap().release.epoch, 0);
}

#[test]
fn only_plans_that_those_who_may_have_approved_are() {
    let (ci, lead) = (key(), key());
    let policies = [policy(&[("ci", &ci), ("lead", &lead)], |v| {
        v["spec"]["require"] = json!({"anyOf": ["ci"]});
        v["spec"]["release"]["approval"] = json!({"require": {"anyOf": ["lead"]}});
    })
    .unwrap()];
    let reference = World::new().unverified().reference;
    let plan = Digest::of(b"plan");
    let approval = |delivery: Option<&str>, expires: Option<&str>| Approval {
        plan,
        delivery: delivery.map(str::to_owned),
        expires_at: expires.map(|end| end.parse().unwrap()),
    };
    let judge = |approval: &Approval, by: &KeyPair, about: &Pinned| {
        let world = World::signed(&ci).with(bundle(&approval.to_payload(about), by));
        let decision = world.judge(&policies, &Facts::at(now()));
        assert_eq!(reason(&decision), None, "an approval is asked for where a plan is, and never hides a release");
        assert_eq!(decision.evidence.skipped, [], "and is nothing that was passed over");
        let verified = decision.outcome.unwrap();
        assert!(verified.approvals().are_demanded());
        verified.approvals().judge(&plan, "shop/web", now()).is_ok()
    };
    assert!(judge(&approval(None, None), &lead, &reference));
    assert!(judge(&approval(Some("shop/web"), Some("2026-06-01T00:00:00Z")), &lead, &reference));
    assert!(!judge(&approval(Some("shop/api"), None), &lead, &reference));
    assert!(!judge(&approval(None, Some("2026-05-31T23:59:59Z")), &lead, &reference));
    assert!(!judge(&approval(None, None), &ci, &reference), "who releases does not approve");
    let plain = [policy(&[("ci", &ci)], |_| ()).unwrap()];
    let verified = World::signed(&ci).judge(&plain, &Facts::at(now())).outcome.unwrap();
    assert!(!verified.approvals().are_demanded());
    assert!(verified.approvals().judge(&plan, "shop/web", now()).is_ok());
}

#[test]
fn an_approval_of_another_artifact_is_none_of_this_one() {
    let (ci, lead) = (key(), key());
    let policies = [policy(&[("ci", &ci), ("lead", &lead)], |v| {
        v["spec"]["require"] = json!({"anyOf": ["ci"]});
        v["spec"]["release"]["approval"] = json!({"require": {"anyOf": ["lead"]}});
    })
    .unwrap()];
    let plan = Digest::of(b"plan");
    let other = REPOSITORY.parse::<crate::reference::Repository>().unwrap().pin(Digest::of(b"other"));
    let payload = Approval { plan, delivery: None, expires_at: None }.to_payload(&other);
    let verified =
        World::signed(&ci).with(bundle(&payload, &lead)).judge(&policies, &Facts::at(now())).outcome.unwrap();
    let refused = verified.approvals().judge(&plan, "shop/web", now()).unwrap_err();
    assert_eq!((refused.policy.as_str(), refused.require.as_str()), ("test", "needs 1 of [lead]"));
}
