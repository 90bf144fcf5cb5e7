use sealift_apply::{api::Condition, health::Health};
use sealift_verify::{digest::Digest, objects::ObjectId, refusal::Refusal};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(300);

fn at(second: i64) -> About<'static> {
    About { generation: Some(1), requested: None, timeout: TIMEOUT, now: Timestamp::from_second(second).unwrap() }
}

fn applied(content: &str) -> LastApplied {
    let digest = Digest::of(content.as_bytes());
    LastApplied {
        digest,
        short: digest.short(),
        version: Some("1.2.3".into()),
        epoch: Some(0),
        sequence: Some(7),
        statement: Some(digest),
        variant: None,
        objects: digest,
        parameters: None,
        issued_at: None,
        source: None,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn report(healthy: bool) -> Report {
    let id = ObjectId {
        group: "apps".into(),
        version: "v1".into(),
        kind: "Deployment".into(),
        namespace: Some("a".into()),
        name: "web".into(),
    };
    let rest = if healthy { vec![] } else { vec![(id, Health::Progressing("0 of 2 available".into()))] };
    Report {
        attempted: Some((Digest::of(b"a"), Some("stable".into()))),
        applied: Some(applied("a")),
        objects: Some(3),
        health: Some(HealthReport { healthy: 2, rest }),
        ..Report::default()
    }
}

fn refused() -> Report {
    Report { stop: Some(Stop::Refused(Refusal::Unsigned(Digest::of(b"b")))), ..Report::default() }
}

fn word(status: &DeliveryStatus, type_: &str) -> String {
    let Condition { status, reason, .. } = condition(&status.conditions, type_).unwrap();
    format!("{status} {reason}")
}

#[test]
fn a_reconcile_with_nothing_to_tell_gives_the_same_status() {
    let first = next(&DeliveryStatus::default(), at(10), &report(true));
    assert_eq!(
        [word(&first, READY), word(&first, HEALTHY), word(&first, STALLED)],
        ["True Applied", "True Healthy", "False Applied"]
    );
    assert_eq!(next(&first, at(500), &report(true)), first);
    let refusal = next(&DeliveryStatus::default(), at(10), &refused());
    assert_eq!(next(&refusal, at(500), &refused()), refusal);
}

#[test]
fn objects_that_do_not_settle_fail_at_the_deadline_and_recover_later() {
    let mut status = next(&DeliveryStatus::default(), at(1_000), &report(false));
    assert_eq!([word(&status, READY), word(&status, RECONCILING)], ["Unknown Progressing", "True Progressing"]);
    status = next(&status, at(1_299), &report(false));
    assert_eq!(word(&status, READY), "Unknown Progressing");
    status = next(&status, at(1_300), &report(false));
    assert_eq!([word(&status, READY), word(&status, STALLED)], ["False HealthCheckFailed", "True HealthCheckFailed"]);
    status = next(&status, at(5_000), &report(false));
    assert_eq!(word(&status, READY), "False HealthCheckFailed");
    status = next(&status, at(6_000), &report(true));
    assert_eq!([word(&status, READY), word(&status, STALLED)], ["True Applied", "False Applied"]);
}

#[test]
fn what_is_degraded_has_a_moment_to_recover() {
    let degraded = || {
        let mut report = report(false);
        report.health.as_mut().unwrap().rest[0].1 = Health::Degraded("the issuer is not there".into());
        report
    };
    let healthy = next(&DeliveryStatus::default(), at(500), &report(true));
    for before in [DeliveryStatus::default(), healthy] {
        let mut status = next(&before, at(1_000), &degraded());
        status = next(&status, at(1_019), &degraded());
        assert_eq!([word(&status, READY), word(&status, STALLED)], ["Unknown Progressing", "False Progressing"]);
        assert_eq!(word(&next(&status, at(1_019), &report(true)), READY), "True Applied");
        status = next(&status, at(1_020), &degraded());
        assert_eq!(
            [word(&status, READY), word(&status, HEALTHY)],
            ["False HealthCheckFailed", "False HealthCheckFailed"]
        );
        assert_eq!(word(&next(&status, at(1_021), &degraded()), READY), "False HealthCheckFailed");
    }
}

#[test]
fn a_healthy_release_that_turns_unhealthy_gets_the_whole_timeout_again() {
    let status = next(&DeliveryStatus::default(), at(10), &report(true));
    let status = next(&status, at(90_000), &report(false));
    assert_eq!(word(&status, READY), "Unknown Progressing");
    assert_eq!(deadline(&status, TIMEOUT), Some(Timestamp::from_second(90_300).unwrap()));
}

#[test]
fn a_refusal_leaves_what_was_applied_in_the_status() {
    let status = next(&next(&DeliveryStatus::default(), at(10), &report(true)), at(20), &refused());
    assert_eq!(
        [word(&status, READY), word(&status, VERIFIED), word(&status, HEALTHY)],
        ["False Unsigned", "False Unsigned", "True Healthy"]
    );
    assert_eq!(status.last_applied.unwrap().digest, applied("a").digest);
    assert_eq!(status.verification.unwrap().verdict, "Refused");
}

#[test]
fn what_is_suspended_stays_ready_and_says_so() {
    let ready = next(&DeliveryStatus::default(), at(10), &report(true));
    assert_eq!(word(&suspended(&ready, at(20)), READY), "True Suspended");
    assert_eq!(word(&suspended(&DeliveryStatus::default(), at(20)), READY), "Unknown Suspended");
}

#[test]
fn the_reconcile_now_annotation_is_echoed_only_once_it_was_acted_on() {
    let asked = About { requested: Some("now"), ..at(10) };
    assert_eq!(working(&DeliveryStatus::default(), asked, &report(true)).last_handled_reconcile_at, None);
    assert_eq!(
        next(&DeliveryStatus::default(), asked, &report(true)).last_handled_reconcile_at.as_deref(),
        Some("now")
    );
}

#[test]
fn what_would_be_refused_now_is_told_of_what_is_applied_until_it_is_accepted() {
    let denied = || Refusal::Denied { policy: "prod".into(), what: "key".into() };
    let standing = || Standing::of(&Stop::Refused(denied()));
    let nothing_applied = Report { standing: standing(), ..refused() };
    assert_eq!(next(&DeliveryStatus::default(), at(5), &nothing_applied).would_refuse_now, None);
    let ready = next(&DeliveryStatus::default(), at(10), &report(true));
    let revoked = Stop::Revoked {
        policy: "prod".into(),
        refusal: Box::new(denied()),
        selected: Box::new(Stop::Refused(Refusal::Unsigned(Digest::of(b"b")))),
    };
    let status = next(&ready, at(20), &Report { standing: standing(), stop: Some(revoked), ..Report::default() });
    assert_eq!(
        [word(&status, READY), word(&status, VERIFIED), word(&status, STALLED)],
        ["False Revoked", "False Unsigned", "True Revoked"]
    );
    let told = status.would_refuse_now.clone().unwrap();
    assert_eq!((told.reason.as_str(), told.since.as_second()), ("Denied", 20));
    assert_eq!(next(&status, at(30), &refused()).would_refuse_now, Some(told), "nothing new was found about it");
    assert_eq!(next(&status, at(40), &report(true)).would_refuse_now, None);
}

#[test]
fn a_hold_is_told_as_long_as_somebody_asks_for_one() {
    let hold = sealift_verify::hold::Hold {
        digest: Digest::of(b"a"),
        until: Timestamp::from_second(600).unwrap(),
        reason: "incident 7".into(),
    };
    let found = |state| super::super::hold::Finding::Found { hold: hold.clone(), state, message: "said".into() };
    let held = next(&DeliveryStatus::default(), at(10), &Report { hold: found(HoldState::InForce), ..report(true) });
    assert_eq!([word(&held, READY), word(&held, HELD)], ["True Held", "True EmergencyHold"]);
    let message = &condition(&held.conditions, READY).unwrap().message;
    assert!(message.ends_with("held in an emergency until 1970-01-01T00:10:00Z: incident 7"), "{message}");
    assert_eq!(held.history[0].reason.as_deref(), Some("Held"));
    assert_eq!(super::super::events::hold(&DeliveryStatus::default(), &held).unwrap().reason, "EmergencyHold");

    let stopped = next(&held, at(20), &Report { stop: Some(Stop::NoServiceAccount), ..Report::default() });
    assert_eq!(stopped.hold, held.hold, "what was not looked at is as it was");
    assert!(super::super::events::hold(&held, &stopped).is_none());
    let ended = next(&held, at(600), &Report { hold: found(HoldState::Ended), ..report(true) });
    assert_eq!([word(&ended, READY), word(&ended, HELD)], ["True Applied", "False HoldEnded"]);
    assert_eq!(super::super::events::hold(&held, &ended).unwrap().reason, "HoldEnded");
    let gone = next(&held, at(20), &Report { hold: super::super::hold::Finding::Absent, ..report(true) });
    assert!(gone.hold.is_none() && condition(&gone.conditions, HELD).is_none());
    assert_eq!(super::super::events::hold(&held, &gone).unwrap().reason, "HoldEnded");
}
