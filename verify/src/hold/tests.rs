use super::*;
use crate::statement::tests::statement;

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

/// The digest of the statement, and the memory once it was accepted.
fn accept(memory: &Memory, sequence: u64, artifact: &str, parameters: &[&str]) -> (Digest, Memory) {
    let mut statement = statement();
    statement.release.sequence = sequence;
    statement.artifact = digest(artifact);
    statement.release.parameters = parameters.iter().map(|text| text.parse().unwrap()).collect();
    let payload = Digest::of(&statement.to_payload());
    (payload, memory.advanced(payload, &statement, at(0)))
}

fn accepted(artifacts: &[&str]) -> Memory {
    let each = artifacts.iter().zip(1..);
    each.fold(Memory::default(), |memory, (artifact, sequence)| accept(&memory, sequence, artifact, &[]).1)
}

fn hold(name: &str, until: i64) -> Hold {
    Hold { digest: digest(name), until: at(until), reason: "incident 7".into() }
}

#[test]
fn only_what_was_accepted_here_before_can_be_held_and_only_for_a_time_and_a_reason() {
    let memory = accepted(&["one", "two", "three"]);
    let held = |hold: Hold| memory.held(&hold, at(1)).map(|mark| mark.position.sequence);
    assert_eq!((held(hold("one", 5)), held(hold("two", 5))), (Ok(1), Ok(2)));
    assert_eq!(held(hold("foreign", 5)), Err(NotHeld::Unknown { digest: digest("foreign") }));
    assert_eq!(held(hold("three", 5)), Err(NotHeld::Newest { digest: digest("three") }));
    assert_eq!(Memory::default().held(&hold("one", 5), at(1)), Err(NotHeld::Unknown { digest: digest("one") }));
    assert_eq!(held(hold("one", 1)), Err(NotHeld::Over { until: at(1) }), "its very end is over");
    assert_eq!(held(hold("one", 1 + 7 * 24)), Ok(1));
    let (until, latest) = (at(2 + 7 * 24), at(1 + 7 * 24));
    assert_eq!(held(hold("one", 2 + 7 * 24)), Err(NotHeld::TooLong { until, latest }));
    for reason in ["", " ", "two\nlines", "\u{1b}[2J", &"x".repeat(REASON_LIMIT + 1)] {
        assert_eq!(held(Hold { reason: reason.into(), ..hold("one", 5) }), Err(NotHeld::Reason), "{reason:?}");
    }
}

#[test]
fn a_higher_release_ends_a_hold_for_good_and_a_new_hold_is_a_new_one() {
    let memory = accepted(&["one", "two"]).holding(&hold("one", 5), at(1));
    assert!(memory.held(&hold("one", 5), at(2)).is_ok());
    let (_, memory) = accept(&memory, 3, "three", &[]);
    let by = Position { epoch: 0, sequence: 3 };
    assert_eq!(memory.held(&hold("one", 5), at(2)), Err(NotHeld::Superseded { by }));
    // Also where it brings back the very artifact that was held.
    let again = accept(&accepted(&["one", "two"]).holding(&hold("one", 5), at(1)), 3, "one", &[]).1;
    assert_eq!(again.held(&hold("one", 5), at(2)), Err(NotHeld::Superseded { by }));
    assert_eq!(memory.held(&hold("one", 6), at(2)).map(|mark| mark.position.sequence), Ok(1));
    assert_eq!(memory.marks[0].position, by, "no mark is lowered");
}

/// Whoever may set one hold may set another, so their time is counted together.
#[test]
fn holds_in_a_row_have_one_time_together() {
    let mut memory = accepted(&["one", "two"]);
    for day in 0..7 {
        let next = hold("one", (day + 1) * 24);
        assert!(memory.held(&next, at(day * 24)).is_ok(), "day {day}");
        memory = memory.holding(&next, at(day * 24));
    }
    let (until, latest) = (at(8 * 24), at(7 * 24));
    assert_eq!(memory.held(&hold("one", 8 * 24), at(6 * 24)), Err(NotHeld::TooLong { until, latest }));
    let (_, memory) = accept(&memory, 3, "three", &[]);
    assert!(memory.held(&hold("one", 8 * 24), at(6 * 24)).is_ok(), "under a newer release the time begins anew");
    assert_eq!(memory.holding(&hold("foreign", 8 * 24), at(6 * 24)), memory, "no note of what may not be");
}

/// Whoever may edit the Delivery may change its stream too.
#[test]
fn holds_that_go_to_and_fro_between_streams_have_one_time_together() {
    let other = |memory: &Memory, sequence: u64, hour: i64| {
        let mut statement = statement();
        (statement.release.stream, statement.release.sequence) = ("other".into(), sequence);
        statement.artifact = digest(&format!("other {sequence}"));
        memory.advanced(Digest::of(&statement.to_payload()), &statement, at(hour))
    };
    let memory = other(&other(&accepted(&["one", "two"]), 1, 0), 2, 0);
    let week = 7 * 24;
    let memory = memory.holding(&hold("one", 1 + week), at(1));
    let there = hold("other 1", 100 + week);
    let latest = at(1 + week);
    assert_eq!(memory.held(&there, at(100)), Err(NotHeld::TooLong { until: there.until, latest }));
    let memory = memory.holding(&hold("other 1", 1 + week), at(100));
    let back = hold("one", 101 + week);
    assert_eq!(memory.held(&back, at(101)), Err(NotHeld::TooLong { until: back.until, latest }));
    // Something newer begins anew, in either stream.
    let (_, newer) = accept(&memory, 3, "three", &[]);
    let newer =
        Memory { marks: newer.marks.into_iter().map(|mark| Mark { first_seen: at(102), ..mark }).collect(), ..newer };
    assert!(newer.held(&hold("one", 103 + week), at(103)).is_ok());
    assert!(other(&memory, 3, 102).held(&hold("other 1", 103 + week), at(103)).is_ok());
}

#[test]
fn the_memory_of_earlier_releases_has_a_bound_and_holds_no_artifact_twice() {
    let names: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    let memory = accepted(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(memory.earlier.len(), crate::memory::EARLIER);
    assert_eq!(memory.earlier[0].artifact, digest("38"), "newest first");
    let refreshed = accepted(&["one", "two", "two", "two", "one"]);
    let artifacts: Vec<_> = refreshed.earlier.iter().map(|mark| mark.artifact).collect();
    assert_eq!(artifacts, [digest("two")], "a statement made anew is no other release");
}

/// Where versions are defaults of parameters, every release is about the same artifact.
#[test]
fn releases_of_one_artifact_are_told_apart_by_their_statements() {
    let (first, memory) = accept(&Memory::default(), 1, "app", &["TAG=v1"]);
    let (second, memory) = accept(&memory, 2, "app", &["TAG=v2"]);
    let held = |digest| memory.held(&Hold { digest, ..hold("", 5) }, at(1)).map(|mark| mark.position.sequence);
    assert_eq!(held(first), Ok(1));
    for newest in [second, digest("app")] {
        assert_eq!(held(newest), Err(NotHeld::Newest { digest: newest }));
    }
}

#[test]
fn the_note_is_read_back_as_it_was_written() {
    let memory = accepted(&["one", "two"]).holding(&hold("one", 5), at(1));
    assert_eq!(serde_json::from_value::<Memory>(serde_json::to_value(&memory).unwrap()).unwrap(), memory);
}
