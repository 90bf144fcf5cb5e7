use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn key(namespace: &str, name: &str) -> Key {
    Key::new(namespace, name)
}

fn next_names(fair: &mut Fair, most: usize) -> Vec<String> {
    (0..most).map_while(|_| fair.next()).map(|turn| turn.key.to_string()).collect()
}

#[test]
fn a_tenant_with_many_delays_another_by_a_turn() {
    let (mut fair, now) = (Fair::new(1), Instant::now());
    for n in 0..5000 {
        fair.wake(&key("big", &n.to_string()), Reason::Policy, now);
    }
    assert_eq!(next_names(&mut fair, 1), ["big/0"]);
    fair.wake(&key("small", "only"), Reason::Changed, now);
    fair.done(&key("big", "0"));
    assert_eq!(next_names(&mut fair, 1), ["small/only"]);
    fair.done(&key("small", "only"));
    assert_eq!(next_names(&mut fair, 1), ["big/1"]);
    assert_eq!((fair.waiting(), fair.running()), (4998, 1));
}

#[test]
fn a_namespace_never_holds_all_workers() {
    for (limit, share) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12), (256, 192)] {
        let (mut fair, now) = (Fair::new(limit), Instant::now());
        for n in 0..300 {
            fair.wake(&key("big", &n.to_string()), Reason::Due, now);
        }
        assert_eq!(next_names(&mut fair, 300).len(), share, "of {limit}");
        fair.wake(&key("small", "only"), Reason::Due, now);
        assert_eq!(next_names(&mut fair, 300).len(), usize::from(limit > 1), "of {limit}");
    }
}

#[test]
fn what_is_woken_while_it_runs_runs_once_more_and_never_twice_at_once() {
    let (mut fair, now, a) = (Fair::new(4), Instant::now(), key("n", "a"));
    fair.wake(&a, Reason::Due, now);
    fair.wake(&a, Reason::Policy, now);
    let turn = fair.next().unwrap();
    assert!(turn.reasons.has(Reason::Due) && turn.reasons.has(Reason::Policy));
    fair.wake(&a, Reason::Changed, now);
    fair.wake(&a, Reason::Observed, now);
    assert_eq!(fair.next(), None);
    fair.done(&a);
    let turn = fair.next().unwrap();
    assert!(turn.reasons.has(Reason::Changed) && turn.reasons.has(Reason::Observed) && !turn.reasons.has(Reason::Due));
    fair.done(&a);
    fair.done(&a);
    assert_eq!((fair.next(), fair.running(), fair.waiting()), (None, 0, 0));
    assert!(fair.items.is_empty() && fair.spaces.is_empty() && fair.turns.is_empty(), "nothing is left behind");
}

#[test]
fn what_is_gone_waits_no_more_and_does_not_run_again() {
    let (mut fair, now) = (Fair::new(1), Instant::now());
    for name in ["a", "b"] {
        fair.wake(&key("n", name), Reason::Due, now);
    }
    assert_eq!(next_names(&mut fair, 2), ["n/a"]);
    fair.wake(&key("n", "a"), Reason::Due, now);
    fair.forget(&key("n", "a"));
    fair.forget(&key("n", "b"));
    fair.forget(&key("n", "never seen"));
    fair.done(&key("n", "a"));
    assert_eq!(fair.next(), None);
    assert!(fair.items.is_empty() && fair.spaces.is_empty() && fair.turns.is_empty());
}

#[test]
fn what_ends_what_was_begun_and_what_is_new_take_turns() {
    let (mut fair, now) = (Fair::new(1), Instant::now());
    for n in 0..4 {
        fair.wake(&key("n", &format!("new-{n}")), Reason::Changed, now);
    }
    for n in 0..3 {
        fair.wake(&key("n", &format!("begun-{n}")), if n == 1 { Reason::Owed } else { Reason::Health }, now);
    }
    let mut order = vec![];
    while let Some(turn) = fair.next() {
        fair.done(&turn.key);
        order.push(turn.key.name);
    }
    assert_eq!(order, ["begun-0", "new-0", "begun-1", "new-1", "begun-2", "new-2", "new-3"]);
    assert!(fair.items.is_empty() && fair.spaces.is_empty() && fair.turns.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Wake(u8, u8),
    Begin,
    End(usize),
    Forget(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5_u8, 0..6_u8).prop_map(|(space, name)| Step::Wake(space, name)),
        4 => Just(Step::Begin),
        3 => any::<usize>().prop_map(Step::End),
        1 => (0..5_u8, 0..6_u8).prop_map(|(space, name)| Step::Forget(space, name)),
    ];
    prop::collection::vec(step, 0..400)
}

/// What the queue owes, told from nothing but what happened to it.
#[derive(Default)]
struct Owed {
    wanted: BTreeSet<Key>,
    running: BTreeSet<Key>,
    /// How often others were preferred to a namespace while it could have had a turn.
    passed_over: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Owed {
    fn running_in(&self, namespace: &str) -> usize {
        self.running.iter().filter(|key| key.namespace == namespace).count()
    }

    /// Namespaces with something that could begin.
    fn eligible(&self, share: usize) -> BTreeSet<String> {
        let waiting = self.wanted.difference(&self.running).map(|key| key.namespace.clone());
        waiting.filter(|namespace| self.running_in(namespace) < share).collect()
    }
}

proptest! {
    #[test]
    fn nothing_runs_twice_at_once_nothing_is_lost_and_nobody_is_passed_over_twice_by_the_same(
        limit in 1..9_usize, steps in steps(),
    ) {
        let (mut fair, now, share) = (Fair::new(limit), Instant::now(), share(limit));
        let mut owed = Owed::default();
        for step in steps {
            match step {
                Step::Wake(space, name) => {
                    let key = key(&space.to_string(), &name.to_string());
                    // Whether it ends what was begun decides its turn within the namespace only.
                    fair.wake(&key, if name % 2 == 0 { Reason::Due } else { Reason::Health }, now);
                    owed.wanted.insert(key);
                }
                Step::Begin => {
                    let eligible = owed.eligible(share);
                    match fair.next() {
                        None => prop_assert!(eligible.is_empty() || owed.running.len() == limit, "a worker idles"),
                        Some(Turn { key, .. }) => {
                            prop_assert!(owed.wanted.remove(&key), "nobody wanted {key}");
                            prop_assert!(eligible.contains(&key.namespace), "{key} is beyond its share");
                            prop_assert!(owed.running.insert(key.clone()), "{key} runs twice at once");
                            prop_assert!(owed.running.len() <= limit);
                            owed.passed_over.remove(&key.namespace);
                            for other in eligible.iter().filter(|other| **other != key.namespace) {
                                let passed = owed.passed_over.entry(other.clone()).or_default();
                                let times = passed.entry(key.namespace.clone()).or_default();
                                *times += 1;
                                prop_assert!(*times <= 1, "{} was preferred to {other} twice", key.namespace);
                            }
                        }
                    }
                }
                Step::End(which) if !owed.running.is_empty() => {
                    let key = owed.running.iter().nth(which % owed.running.len()).cloned().unwrap();
                    owed.running.remove(&key);
                    fair.done(&key);
                }
                Step::End(_) => {}
                Step::Forget(space, name) => {
                    let key = key(&space.to_string(), &name.to_string());
                    fair.forget(&key);
                    owed.wanted.remove(&key);
                }
            }
            // Who cannot have a turn now was not passed over.
            let eligible = owed.eligible(share);
            owed.passed_over.retain(|namespace, _| eligible.contains(namespace));
            prop_assert_eq!(fair.waiting(), owed.wanted.difference(&owed.running).count());
            prop_assert_eq!(fair.running(), owed.running.len());
        }
        // Everything that is still wanted gets its turn, and then nothing is left behind.
        while !owed.running.is_empty() || !owed.wanted.is_empty() {
            match fair.next() {
                Some(Turn { key, .. }) => {
                    prop_assert!(owed.wanted.remove(&key));
                    owed.running.insert(key);
                }
                None => {
                    let key = owed.running.pop_first();
                    prop_assert!(key.is_some(), "{:?} are lost", owed.wanted);
                    fair.done(&key.unwrap());
                }
            }
        }
        prop_assert!(fair.items.is_empty() && fair.spaces.is_empty() && fair.turns.is_empty());
    }
}
