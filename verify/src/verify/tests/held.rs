//! Emergency holds: what an earlier release may skip is the order, and nothing else.

use super::*;
use crate::{
    hold::{Hold, NotHeld},
    memory::Standing,
    policy::Policy,
};

/// What was accepted, and then something newer.
fn memory(world: &World) -> Memory {
    let payload = Digest::of(&world.statement.to_payload());
    let mut newer = world.statement.clone();
    newer.artifact = Digest::of(b"newer");
    newer.release.sequence += 1;
    let accepted = Memory::default().advanced(payload, &world.statement, now());
    accepted.advanced(Digest::of(&newer.to_payload()), &newer, now())
}

fn hold(digest: Digest) -> Hold {
    Hold { digest, until: "2026-06-01T04:00:00Z".parse().unwrap(), reason: "incident 7".into() }
}

fn allowing(key: &KeyPair, more: impl FnOnce(&mut Value)) -> Policy {
    policy(&[("release", key)], |spec| {
        spec["spec"]["release"]["emergency"] = json!("allow");
        more(spec);
    })
    .unwrap()
}

fn judged(world: &World, policies: &[Policy], memory: &Memory, hold: &Hold) -> Decision<Verified> {
    world.judge(policies, &Facts { memory: Some(memory), hold: Some(hold), ..Facts::at(now()) })
}

#[test]
fn what_was_accepted_before_is_held_and_the_rows_say_what_was_not_checked() {
    let key = key();
    let world = World::signed(&key);
    let (memory, asked) = (memory(&world), hold(world.statement.artifact));
    let decision = judged(&world, &[allowing(&key, |_| ())], &memory, &asked);
    let verified = decision.outcome.unwrap();
    let stated = verified.grounds().stated().unwrap();
    assert_eq!(stated.standing, Standing::Held);
    assert_eq!(memory.advanced(stated.payload, &stated.statement, now()), memory, "no mark is lowered");
    assert_eq!(decision.evidence.check(CheckId::Memory).result, CheckResult::NotChecked);
    let row = decision.evidence.check(CheckId::Hold);
    assert_eq!(row.result, CheckResult::Pass);
    assert!(
        row.detail.ends_with(": incident 7") && row.detail.contains("until 2026-06-01T04:00:00Z"),
        "{}",
        row.detail
    );
    assert!(crate::evidence::record::read(&decision.evidence.to_json()).is_ok());
    let without = world.judge(&[allowing(&key, |_| ())], &Facts { memory: Some(&memory), ..Facts::at(now()) });
    assert_eq!(reason(&without), Some(Reason::RolledBack), "nobody asked");
}

#[test]
fn every_policy_must_allow_it_and_none_does_by_saying_nothing() {
    let (key, other) = (key(), super::key());
    let world = World::signed(&key);
    let (memory, asked) = (memory(&world), hold(world.statement.artifact));
    let silent = policy(&[("release", &key)], |_| ()).unwrap();
    for policies in [vec![silent.clone()], vec![allowing(&key, |_| ()), silent]] {
        let decision = judged(&world, &policies, &memory, &asked);
        assert!(matches!(decision.outcome, Err(Refusal::Hold(NotHeld::Forbidden { .. }))));
        assert_eq!(decision.evidence.check(CheckId::Hold).result, CheckResult::Fail);
    }
    let foreign = Memory::default();
    assert_eq!(reason(&judged(&world, &[allowing(&key, |_| ())], &foreign, &asked)), Some(Reason::HoldRefused));
    let facts = Facts { hold: Some(&asked), ..Facts::at(now()) };
    assert_eq!(reason(&world.judge(&[allowing(&key, |_| ())], &facts)), Some(Reason::HoldRefused), "without a memory");
    let untrusted = judged(&world, &[allowing(&other, |_| ())], &memory, &asked);
    assert_eq!(reason(&untrusted), Some(Reason::NoTrustedSignature), "the key is trusted no more");
}

#[test]
fn everything_but_the_order_is_judged_as_of_now() {
    let key = key();
    let world = World::signed(&key);
    let (memory, asked) = (memory(&world), hold(world.statement.artifact));
    let refused = |more: fn(&mut Value, Digest)| {
        let policies = [allowing(&key, |spec| more(spec, world.statement.artifact))];
        reason(&judged(&world, &policies, &memory, &asked))
    };
    let denied = refused(|spec, artifact| spec["spec"]["deny"] = json!({"digests": [artifact]}));
    assert_eq!(denied, Some(Reason::Denied));
    assert_eq!(refused(|spec, _| spec["spec"]["release"]["maxAge"] = json!("1h")), Some(Reason::TooOld));
    let minimum = |spec: &mut Value, _| spec["spec"]["release"]["minimum"] = json!({"epoch": 9, "sequence": 0});
    assert_eq!(refused(minimum), Some(Reason::BelowMinimum));
    assert_eq!(
        refused(|spec, _| spec["spec"]["objects"] = json!({"kinds": ["Secret"]})),
        Some(Reason::ObjectNotAllowed)
    );

    let expired = World::new().changed(|release| release.expires_at = Some(now()), &key);
    let later =
        Facts { memory: Some(&super::held::memory(&expired)), ..Facts::at("2026-06-01T01:00:00Z".parse().unwrap()) };
    let asked = hold(expired.statement.artifact);
    let decision = expired.judge(&[allowing(&key, |_| ())], &Facts { hold: Some(&asked), ..later });
    assert_eq!(reason(&decision), Some(Reason::Expired), "what its signer let run out brings nothing back");
}

/// Others may have been attached since, with other defaults, by whoever holds the registry.
#[test]
fn only_the_statement_that_was_accepted_then_counts() {
    let key = key();
    let world = World::signed(&key);
    let (memory, asked) = (memory(&world), hold(world.statement.artifact));
    let policies = [allowing(&key, |_| ())];
    let payload = Digest::of(&world.statement.to_payload());
    let both = World::signed(&key).changed(|release| release.sequence -= 1, &key);
    let decision = judged(&both, &policies, &memory, &asked);
    assert_eq!(decision.outcome.unwrap().grounds().stated().unwrap().payload, payload);
    let other = World::new().changed(|release| release.sequence -= 1, &key);
    let decision = judged(&other, &policies, &memory, &asked);
    assert_eq!(reason(&decision), Some(Reason::NoTrustedSignature));
}
