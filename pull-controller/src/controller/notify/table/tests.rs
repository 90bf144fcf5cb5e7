use sealift_apply::api::Severity;
use serde_json::json;

use super::{
    super::filter::tests::{event, notification},
    *,
};

const SECOND: Duration = Duration::from_secs(1);

/// A table, the services that are told, and a clock.
struct Case {
    table: Table,
    services: Vec<Arc<Notification>>,
    start: Instant,
    clock: Timestamp,
}

impl Case {
    fn new(services: &[&str]) -> Self {
        let spec = || json!({"type": "generic", "address": "https://a.example"});
        let services = services.iter().map(|name| Arc::new(notification("apps", name, spec()))).collect();
        Self { table: Table::default(), services, start: Instant::now(), clock: Timestamp::UNIX_EPOCH }
    }

    fn keep(&mut self, delivery: &str, numbers: &[u64], restored: bool) -> PendingEvents {
        let pending: Vec<_> = numbers.iter().map(|number| event(*number, Severity::Error, "Unsigned")).collect();
        let events = PendingEvents { next: 100, pending, ..PendingEvents::default() };
        self.take_in(delivery, &events, restored);
        events
    }

    fn take_in(&mut self, delivery: &str, events: &PendingEvents, restored: bool) {
        self.table.keep(delivery, &Key::new("apps", delivery), &BTreeMap::new(), Some(events), restored);
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + SECOND * u32::try_from(seconds).unwrap()
    }

    fn due(&mut self, seconds: u64) -> Due {
        let now = self.at(seconds);
        self.table.due(&self.services, None, now, self.clock)
    }

    /// Jobs as `service delivery number`, sorted.
    fn jobs(&mut self, seconds: u64) -> (Vec<String>, Vec<Job>) {
        let jobs = self.due(seconds).jobs;
        let mut told: Vec<_> = jobs.iter().map(said).collect();
        told.sort();
        (told, jobs)
    }

    fn answer(&mut self, jobs: &[Job], outcome: Outcome, seconds: u64) {
        let now = self.at(seconds);
        for job in jobs {
            self.table.answered(job, outcome, now, 0.0);
        }
    }
}

fn said(job: &Job) -> String {
    format!("{} {} {}{}", job.service, job.uid, job.event.number, if job.again { " again" } else { "" })
}

const FAILED: Outcome = Outcome::Failed { wish: None, uncertain: false };

#[test]
fn events_of_a_delivery_reach_each_service_in_their_order_and_are_taken_out_once_all_have_them() {
    let mut case = Case::new(&["a", "b"]);
    let events = case.keep("shop", &[0, 1], false);
    let (told, jobs) = case.jobs(0);
    assert_eq!(told, ["apps/a shop 0", "apps/b shop 0"]);
    assert!(case.jobs(0).0.is_empty(), "the second waits for the first");
    let of_a: Vec<_> = jobs.iter().filter(|job| job.service == "apps/a").cloned().collect();
    case.answer(&of_a, Outcome::Took, 1);
    assert_eq!(case.jobs(1).0, ["apps/a shop 1"]);
    assert!(case.due(1).unsaved.is_empty(), "b has not got the first");
    case.answer(&jobs[..1], Outcome::Took, 1);
    case.answer(&jobs[1..], Outcome::Took, 1);
    assert_eq!(case.due(1).unsaved, [Key::new("apps", "shop")]);
    let saved = case.table.saved("shop", Some(events)).unwrap();
    let numbers: Vec<_> = saved.pending.iter().map(|event| event.number).collect();
    assert_eq!((numbers, saved.dropped, saved.next), (vec![1], 0, 100));
    case.take_in("shop", &saved, false);
    assert!(!case.table.is_unsaved("shop") && case.table.pending() == 1);
}

#[test]
fn a_service_that_is_down_is_asked_ever_later_by_one_event_and_holds_up_no_other() {
    let mut case = Case::new(&["down", "up"]);
    for delivery in ["x", "y", "z"] {
        case.keep(delivery, &[0], false);
    }
    let (told, jobs) = case.jobs(0);
    assert_eq!(told.iter().filter(|job| job.contains("down")).count(), AT_ONCE);
    let (down, up): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.service == "apps/down");
    case.answer(&up, Outcome::Took, 0);
    case.answer(&down, FAILED, 0);
    assert_eq!(case.jobs(0).0.len(), 1, "the third event goes to the service that works");
    let next = case.due(0).next.unwrap();
    assert_eq!(next, case.at(4), "two failures");
    for (failures, second) in [(3_u64, 4), (4, 12), (5, 28)] {
        let (told, jobs) = case.jobs(second);
        assert_eq!(told.len(), 1, "{failures}: {told:?}");
        case.answer(&jobs, FAILED, second);
    }
    // Another specification deserves another try at once.
    let changed = Arc::make_mut(&mut case.services[0]);
    changed.metadata.generation = Some(2);
    let (told, jobs) = case.jobs(29);
    assert_eq!(told.len(), AT_ONCE);
    case.answer(&jobs, Outcome::Took, 29);
    assert_eq!(case.jobs(29).0.len(), 1, "all come once it works");
}

#[test]
fn who_has_it_is_noted_while_others_have_it_not_so_that_a_restart_repeats_less() {
    let mut case = Case::new(&["down", "up"]);
    let events = case.keep("shop", &[0], false);
    let (_, jobs) = case.jobs(0);
    for job in &jobs {
        let outcome = if job.service == "apps/up" { Outcome::Took } else { FAILED };
        case.answer(std::slice::from_ref(job), outcome, 0);
    }
    assert_eq!(case.due(0).unsaved.len(), 1);
    let saved = case.table.saved("shop", Some(events)).unwrap();
    assert_eq!(saved.pending[0].told, ["apps/up"]);
    case.take_in("shop", &saved, false);
    assert!(case.due(0).unsaved.is_empty());

    let mut restarted = Case::new(&["down", "up"]);
    restarted.take_in("shop", &saved, true);
    assert_eq!(restarted.jobs(0).0, ["apps/down shop 0 again"]);
}

#[test]
fn a_service_that_asks_for_time_gets_it_and_no_more_than_an_hour() {
    let mut case = Case::new(&["a"]);
    case.keep("shop", &[0], false);
    for (wish, wanted, at) in [(30, 30, 0), (1, 34, 30), (1_000_000, 3634, 34)] {
        let (_, jobs) = case.jobs(at);
        assert_eq!(jobs.len(), 1);
        case.answer(&jobs, Outcome::Failed { wish: Some(SECOND * wish), uncertain: false }, at);
        assert_eq!(case.due(at).next, Some(case.at(wanted)), "{wish}");
    }
}

#[test]
fn what_a_service_does_not_want_is_given_up_and_holds_up_nothing_for_long() {
    let mut case = Case::new(&["a"]);
    case.keep("shop", &[0, 1], false);
    case.keep("other", &[0], false);
    let mut second = 0;
    for refusal in 1..=MOST_REFUSALS {
        let (_, jobs) = case.jobs(second);
        let (shop, other): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.uid == "shop");
        case.answer(&other, Outcome::Took, second);
        let now = case.at(second);
        assert_eq!(case.table.answered(&shop[0], Outcome::Refused, now, 0.0), refusal == MOST_REFUSALS);
        second += 64;
    }
    assert_eq!(case.jobs(second).0, ["apps/a shop 1"]);
}

#[test]
fn an_answer_that_never_came_makes_the_next_time_a_repetition() {
    let mut case = Case::new(&["a"]);
    case.keep("shop", &[0], false);
    let (told, jobs) = case.jobs(0);
    assert_eq!(told, ["apps/a shop 0"]);
    case.answer(&jobs, Outcome::Failed { wish: None, uncertain: true }, 0);
    assert_eq!(case.jobs(10).0, ["apps/a shop 0 again"]);
    // The loop was begun anew while it was on its way.
    case.table.restart();
    assert_eq!(case.jobs(20).0, ["apps/a shop 0 again"]);
}

#[test]
fn what_is_a_day_old_is_given_up_and_counted() {
    let mut case = Case::new(&["a", "b"]);
    let events = case.keep("shop", &[0], false);
    case.clock = Timestamp::UNIX_EPOCH + LONGEST + SignedDuration::from_secs(1);
    let due = case.due(0);
    assert_eq!((due.jobs.len(), due.given_up.len(), due.unsaved.len()), (0, 2, 1));
    let saved = case.table.saved("shop", Some(events)).unwrap();
    assert_eq!((saved.pending.len(), saved.dropped), (0, 1));
    assert!(case.due(0).given_up.is_empty(), "once");
}

#[test]
fn what_nobody_wants_any_more_is_taken_out_without_being_told_or_counted() {
    let mut case = Case::new(&["a"]);
    let events = case.keep("shop", &[0], false);
    Arc::make_mut(&mut case.services[0]).spec.suspend = true;
    let due = case.due(0);
    assert_eq!((due.jobs.len(), due.given_up.len(), due.unsaved.len()), (0, 0, 1));
    let saved = case.table.saved("shop", Some(events)).unwrap();
    assert_eq!((saved.pending.len(), saved.dropped), (0, 0));
}

#[test]
fn a_delivery_that_is_gone_is_told_of_and_then_forgotten() {
    let mut case = Case::new(&["a"]);
    let events = case.keep("shop", &[0], false);
    case.table.gone("shop", &Key::new("apps", "shop"), &BTreeMap::new(), Some(&events));
    case.table.sweep(|_| false);
    let (told, jobs) = case.jobs(0);
    assert_eq!(told, ["apps/a shop 0"]);
    case.answer(&jobs, Outcome::Took, 0);
    assert!(case.due(0).unsaved.is_empty(), "there is no status to write");
    case.table.sweep(|_| false);
    assert!(!case.table.knows("shop"));
}

#[test]
fn there_is_a_bound_on_what_is_on_its_way() {
    let names: Vec<_> = (0..100).map(|number| format!("s{number}")).collect();
    let mut case = Case::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for delivery in ["x", "y"] {
        case.keep(delivery, &[0], false);
    }
    assert_eq!(case.due(0).jobs.len(), AT_ONCE_IN_ALL);
    assert!(case.due(0).jobs.is_empty());
}

#[test]
fn what_another_replica_tells_is_not_told_here_but_what_is_gone_is() {
    let mut case = Case::new(&["a"]);
    case.keep("given", &[0], false);
    let events = case.keep("gone", &[0], false);
    case.table.gone("gone", &Key::new("apps", "gone"), &BTreeMap::new(), Some(&events));
    for delivery in ["given", "gone"] {
        case.table.part(delivery);
    }
    assert_eq!(case.jobs(0).0, ["apps/a gone 0"]);
    case.keep("given", &[0], true);
    assert_eq!(case.jobs(0).0, ["apps/a given 0 again"], "it came back");
}
