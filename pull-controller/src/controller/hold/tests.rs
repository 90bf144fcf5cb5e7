use std::sync::Arc;

use sealift_verify::{policy::Policy, statement::Position};
use serde_json::json;

use super::*;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

fn mark(name: &str, sequence: u64) -> Mark {
    Mark {
        stream: "shop".into(),
        environment: None,
        position: Position { epoch: 0, sequence },
        statement: Digest::of(format!("statement of {name}").as_bytes()),
        artifact: Digest::of(name.as_bytes()),
        first_seen: at(0),
    }
}

fn memory() -> Memory {
    Memory { marks: vec![mark("two", 2)], earlier: vec![mark("one", 1)], holding: None }
}

fn policies(emergency: &[&str]) -> Selected {
    let policy = |(n, emergency): (usize, &&str)| {
        let key = include_str!("../../../../policies/production.yaml");
        let pem: String = key
            .lines()
            .map(str::trim)
            .skip_while(|line| !line.starts_with("-----BEGIN"))
            .take_while(|line| !line.is_empty())
            .fold(String::new(), |text, line| text + line + "\n");
        let end = "-----END PUBLIC KEY-----\n";
        let pem = &pem[..pem.find(end).unwrap() + end.len()];
        let spec = json!({
            "match": {"repositories": ["registry.example/**"]},
            "authorities": [{"name": "release", "key": {"pem": pem}}],
            "require": {"allOf": ["release"]},
            "release": {"streams": [{"exact": "shop"}], "emergency": emergency},
        });
        Arc::new(Policy::new(format!("p{n}"), serde_json::from_value(spec).unwrap()).unwrap())
    };
    Selected { enforcing: emergency.iter().enumerate().map(policy).collect(), auditing: vec![] }
}

fn spec(name: &str, until: i64) -> HoldSpec {
    HoldSpec { digest: Digest::of(name.as_bytes()), until: at(until), reason: "incident 7".into() }
}

#[test]
fn a_hold_is_meant_only_if_every_policy_allows_it_and_the_memory_knows_what_it_is_to() {
    let state = |spec: Option<&HoldSpec>, emergency: &[&str], now| {
        let (meant, finding) = meant(spec, &policies(emergency), &memory(), at(now));
        match (meant, finding) {
            (Some(meant), Finding::Unjudged) => format!("to {}", meant.mark.position),
            (None, Finding::Absent) => "absent".to_owned(),
            (None, Finding::Found { state, message, .. }) => format!("{state:?}: {message}"),
            other => panic!("{other:?}"),
        }
    };
    let (allow, one) = (&["allow"][..], spec("one", 5));
    assert_eq!(state(None, allow, 1), "absent");
    assert_eq!(state(Some(&one), allow, 1), "to 0.1");
    let forbidden = "Refused: policy p1 does not allow emergency holds (release.emergency)";
    assert_eq!(state(Some(&one), &["allow", "forbid"], 1), forbidden);
    assert_eq!(state(Some(&spec("foreign", 5)), &["allow", "forbid"], 1), forbidden, "the policy speaks first");
    assert!(state(Some(&spec("foreign", 5)), allow, 1).starts_with("Refused: sha256:"));
    assert!(state(Some(&spec("two", 5)), allow, 1).contains("accepted last"));
    assert!(state(Some(&spec("one", 1000)), allow, 1).starts_with("Refused: until"));
    for emergency in [allow, &["forbid"]] {
        assert!(state(Some(&one), emergency, 5).starts_with("Ended: the hold ended at"), "{emergency:?}");
    }
}

#[test]
fn only_a_higher_release_ends_a_hold_before_its_time() {
    let table = [
        (None, false),
        (Some(Standing::Current), false),
        (Some(Standing::Held), false),
        (Some(Standing::Advance), true),
        (Some(Standing::First), true),
    ];
    for (standing, expected) in table {
        assert_eq!(ends(standing), expected, "{standing:?}");
    }
}

#[test]
fn what_is_refused_is_not_held_and_what_cannot_be_judged_keeps_what_runs() {
    for (held, expected) in [
        (None, (Course::Held, HoldState::InForce)),
        (Some(Verdict::Refused), (Course::Selected, HoldState::Refused)),
        (Some(Verdict::CouldNotCheck), (Course::Kept, HoldState::Pending)),
        (Some(Verdict::Untouched), (Course::Kept, HoldState::Pending)),
    ] {
        assert_eq!(course(held), expected, "{held:?}");
    }
}

#[test]
fn since_when_is_said_only_anew_when_something_else_is_said() {
    let hold = spec("one", 5).asked();
    let finding = |state, message: &str| Finding::of(&hold, state, message.into());
    let first = finding(HoldState::InForce, "a").told(None, at(1));
    assert_eq!(finding(HoldState::InForce, "a").told(first.as_ref(), at(2)), first);
    assert_eq!(Finding::Unjudged.told(first.as_ref(), at(2)), first);
    assert_eq!(Finding::Absent.told(first.as_ref(), at(2)), None);
    let ended = finding(HoldState::Ended, "b").told(first.as_ref(), at(3)).unwrap();
    assert_eq!((ended.state, ended.since), (HoldState::Ended, at(3)));
    let ends = [HoldState::InForce, HoldState::Pending, HoldState::Refused, HoldState::Ended]
        .map(|state| finding(state, "").ends());
    assert_eq!(ends, [Some(at(5)), Some(at(5)), None, None]);
}
