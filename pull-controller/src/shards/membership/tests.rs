#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const TERMS: Terms = Terms(Duration::from_secs(20));

fn lease(version: &str) -> Lease {
    Lease { uid: "u".into(), version: version.into(), is_leaving: false }
}

fn member(id: &str) -> Member {
    Member::new(id, "1")
}

/// A replica that has joined and listed these others, and the table.
fn joined(id: &str, others: &[&str], table: Option<Table>, now: Instant) -> Membership {
    let mut knows = Membership::new(TERMS, member(id), false);
    knows.renewed(now, now);
    listed(&mut knows, others, table, now);
    knows
}

fn listed(knows: &mut Membership, others: &[&str], table: Option<Table>, now: Instant) {
    knows.listing();
    knows.saw(knows.me().clone(), lease("1"), now);
    others.iter().for_each(|other| knows.saw(member(other), lease("1"), now));
    table.into_iter().for_each(|table| knows.agreed(Some(("1".into(), table))));
    assert!(!knows.listed(now));
}

fn table(ids: &[&str]) -> Table {
    let members: BTreeSet<Member> = ids.iter().map(|id| member(id)).collect();
    let mut owners = Owners::default();
    Table::default().next(&member("?"), |_| true, owners.among(&members.iter().collect()), &ShardSet::default())
}

#[test]
fn one_alone_takes_everything_and_works_once_that_is_agreed() {
    let now = Instant::now();
    let mut knows = Membership::new(TERMS, member("a"), false);
    assert_eq!(knows.decide(now), Decision::default(), "it has no Lease");
    knows.renewed(now, now);
    assert_eq!(knows.decide(now), Decision::default(), "it has not seen who else there is");
    listed(&mut knows, &[], None, now);
    let decision = knows.decide(now);
    let write = decision.write.unwrap();
    assert_eq!(
        (write.over, write.table.held_by(&member("a")), decision.hold),
        (None, ShardSet::ALL, ShardSet::default())
    );
    assert_eq!(knows.decide(now).write, None, "it is on its way");
    knows.agreed(Some(("7".into(), write.table)));
    let decision = knows.decide(now);
    assert_eq!((decision.hold, decision.taken.fresh, decision.write), (ShardSet::ALL, 256, None));
}

#[test]
fn what_another_is_to_have_is_ended_first_and_given_then() {
    let now = Instant::now();
    let mut knows = joined("a", &[], Some(table(&["a"])), now);
    assert_eq!(knows.decide(now).hold, ShardSet::ALL);
    knows.saw(member("b"), lease("2"), now);
    let decision = knows.decide(now);
    let of_b = table(&["a", "b"]).held_by(&member("b"));
    assert_eq!((decision.give, decision.hold, decision.write), (of_b, ShardSet::ALL.without(&of_b), None));
    knows.parted(&of_b);
    let write = knows.decide(now).write.unwrap();
    assert_eq!((write.over.as_deref(), write.table.held_by(&member("b"))), (Some("1"), of_b));
    // b goes away before it has them: what was offered may be b's all the same, until the server cannot take it any more.
    knows.not_taken(now);
    assert!(!knows.gone(&member("b")));
    assert_eq!(knows.decide(now).hold, ShardSet::ALL.without(&of_b));
    let later = now + TERMS.patience();
    knows.renewed(later, later);
    assert_eq!(knows.decide(later).hold, ShardSet::ALL);
}

#[test]
fn who_is_silent_for_long_is_buried_in_the_version_that_was_seen_by_those_who_could_hear() {
    let start = Instant::now();
    let mut knows = joined("a", &["b", "c"], Some(table(&["a", "b", "c"])), start);
    for seconds in (0..=24).step_by(4) {
        let now = start + SECOND * seconds;
        knows.renewed(now, now);
        knows.saw(member("c"), lease(&format!("c{seconds}")), now);
        // The same version once more is no sign of life.
        knows.saw(member("b"), lease("1"), now);
        assert_eq!(knows.decide(now).bury, []);
    }
    let now = start + TERMS.patience();
    let decision = knows.decide(now);
    assert_eq!(decision.bury, [Burial { member: member("b"), lease: lease("1") }]);
    // It was renewed in that moment.
    knows.not_buried(&member("b"), now);
    assert_eq!(knows.decide(now).bury, []);
    assert_eq!(knows.decide(now + TERMS.renewed_every()).bury.len(), 1);
    assert!(!knows.gone(&member("b")));
    let write = knows.decide(now).write.unwrap();
    assert!(write.table.held_by(&member("b")).is_empty());
    assert_eq!(write.table.held_by(&member("c")).and(&write.table.held_by(&member("a"))), ShardSet::ALL);
    knows.agreed(Some(("2".into(), write.table)));
    let taken = knows.decide(now).taken;
    assert!(taken.orphaned > 20 && taken.given == 0, "{taken:?}");

    // After an outage nobody is held to have been silent.
    knows.unheard();
    let later = now + TERMS.patience() * 3;
    assert_eq!(knows.decide(later).bury, [], "its own Lease has run out");
    knows.renewed(later, later);
    assert_eq!(knows.decide(later).bury, []);
    assert_eq!(knows.decide(later).wake, Some(later + TERMS.patience()));
}

#[test]
fn a_pause_longer_than_the_lease_ends_what_was_held_only_once_others_have_taken_it() {
    let now = Instant::now();
    let mut knows = joined("a", &["b"], Some(table(&["a", "b"])), now);
    let mine = knows.decide(now).hold;
    // It wakes, and has heard nothing yet: it judges nobody, and its permit has run out with the Lease.
    let woken = now + 10 * TERMS.patience();
    let decision = knows.decide(woken);
    assert_eq!((decision.hold, decision.bury, decision.write, decision.robbed), (mine, vec![], None, false));
    // Its Lease is there all the same, say because all were paused: nobody was silent meanwhile.
    knows.renewed(woken, woken);
    let decision = knows.decide(woken);
    assert_eq!((decision.hold, decision.bury, decision.wake), (mine, vec![], Some(woken + TERMS.patience())));
    // Or b has deleted it, and has everything.
    let later = woken + 10 * TERMS.patience();
    assert!(knows.gone(&member("a")));
    knows.lost(Member::new("a", "2"));
    knows.agreed(Some(("2".into(), table(&["b"]))));
    let decision = knows.decide(later);
    assert_eq!((decision.hold, decision.forget, decision.write), (ShardSet::default(), mine, None));
    knows.renewed(later, later);
    let decision = knows.decide(later);
    assert_eq!((decision.hold, decision.forget, decision.bury), (ShardSet::default(), mine, vec![]));
}

#[test]
fn a_former_run_of_the_same_replica_is_buried_at_once_if_it_is_known_to_have_ended() {
    let now = Instant::now();
    for (replaces, buried) in [(true, vec![Member::new("a", "0")]), (false, vec![])] {
        let mut knows = Membership::new(TERMS, member("a"), replaces);
        knows.renewed(now, now);
        knows.listing();
        knows.saw(Member::new("a", "0"), lease("1"), now);
        knows.saw(member("b"), lease("1"), now);
        knows.listed(now);
        // One that begins later is no former one.
        knows.saw(Member::new("a", "9"), lease("2"), now);
        let names: Vec<Member> = knows.decide(now).bury.into_iter().map(|burial| burial.member).collect();
        assert_eq!(names, buried);
    }
}

#[test]
fn what_is_taken_away_is_ended_and_forgotten_before_it_is_worked_on_again() {
    let now = Instant::now();
    let mut knows = joined("a", &["b"], Some(table(&["a"])), now);
    knows.leases.remove(&member("b"));
    assert_eq!(knows.decide(now).hold, ShardSet::ALL);
    // Somebody has changed the table by hand.
    knows.saw(member("b"), lease("2"), now);
    knows.agreed(Some(("2".into(), table(&["b"]))));
    let decision = knows.decide(now);
    assert_eq!((decision.robbed, decision.forget, decision.hold), (true, ShardSet::ALL, ShardSet::default()));
    assert!(!knows.decide(now).robbed, "it is told once");
    knows.agreed(Some(("3".into(), table(&["a"]))));
    assert!(knows.decide(now).hold.is_empty());
    knows.parted(&ShardSet::ALL);
    assert!(!knows.decide(now).hold.is_empty());

    assert!(knows.gone(&member("a")), "its Lease was deleted");
    let held = knows.decide(now).hold;
    knows.lost(Member::new("a", "2"));
    let decision = knows.decide(now);
    assert_eq!((decision.forget, decision.hold, decision.write), (held, ShardSet::default(), None));
}

#[test]
fn one_that_leaves_gives_everything_away_and_keeps_it_where_nobody_takes_it() {
    let now = Instant::now();
    let mut knows = joined("a", &["b"], Some(table(&["a", "b"])), now);
    let mine = knows.decide(now).hold;
    knows.leave();
    let decision = knows.decide(now);
    assert_eq!((decision.give, decision.hold), (mine, ShardSet::default()));
    knows.parted(&mine);
    assert_eq!(knows.decide(now).write.unwrap().table.held_by(&member("b")), ShardSet::ALL);

    let mut alone = joined("a", &[], Some(table(&["a"])), now);
    alone.leave();
    assert_eq!(alone.decide(now).hold, ShardSet::ALL);
    // Who leaves too takes nothing either.
    let leaving = Lease { is_leaving: true, ..lease("2") };
    alone.saw(member("b"), leaving, now);
    assert_eq!(alone.decide(now).hold, ShardSet::ALL);
}

#[test]
fn while_its_own_lease_has_run_out_it_takes_nothing_and_decides_nothing_about_others() {
    let now = Instant::now();
    let mut knows = joined("a", &["b"], Some(table(&["a", "b"])), now);
    let mine = knows.decide(now).hold;
    let late = now + TERMS.lasts();
    knows.agreed(Some(("2".into(), table(&["a"]))));
    assert!(!knows.gone(&member("b")));
    let decision = knows.decide(late);
    assert_eq!((decision.hold, decision.write, decision.bury), (mine, None, vec![]));
    knows.renewed(late, late);
    assert_eq!(knows.decide(late).hold, ShardSet::ALL);
}

#[test]
fn half_a_list_says_nothing() {
    let now = Instant::now();
    let mut knows = joined("a", &["b"], Some(table(&["a", "b"])), now);
    let mine = knows.decide(now).hold;
    knows.listing();
    // The table comes first, and those whom it names only then.
    knows.agreed(Some(("2".into(), table(&["a", "b", "c"]))));
    let decision = knows.decide(now);
    assert_eq!((decision.hold, decision.write, decision.robbed), (mine, None, false));
    knows.saw(member("c"), lease("2"), now);
    knows.saw(member("b"), lease("2"), now);
    assert!(knows.listed(now), "its own Lease is not there any more");
}
