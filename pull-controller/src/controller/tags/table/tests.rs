use sealift_registry::client::{At, Credentials, Outage, Reply};

use super::*;

fn question(tenant: Option<&str>, tag: &str) -> Question {
    let who = Who { fingerprint: Credentials::Anonymous.fingerprint(), tenant: tenant.map(str::to_owned) };
    let repository: sealift_verify::reference::Repository = "registry.example/app".parse().unwrap();
    Question { place: repository.into(), who, what: What::Tag(tag.to_owned()) }
}

fn digest(content: &str) -> Answer {
    Ok(Found::Digest(Digest::of(content.as_bytes())))
}

fn tags(tags: &[&str]) -> Answer {
    Ok(Found::Tags(tags.iter().map(ToString::to_string).collect()))
}

fn at() -> Box<At> {
    Box::new(At { host: "registry.example".into(), repository: "app".into(), path: "/v2/app/manifests/stable".into() })
}

fn silent() -> Answer {
    Err(Arc::new(ClientError::Unreachable { at: at(), outage: Box::new(Outage::TimedOut) }))
}

fn reply(status: u16, retry_after: Option<Duration>) -> Box<Reply> {
    Box::new(Reply { status, code: String::new(), message: String::new(), retry_after })
}

fn missing() -> Answer {
    Err(Arc::new(ClientError::NotFound { at: at(), reply: reply(404, None) }))
}

fn limited(seconds: u64) -> Answer {
    Err(Arc::new(ClientError::RateLimited { at: at(), reply: reply(429, Some(Duration::from_secs(seconds))) }))
}

fn every(seconds: u64) -> Interest {
    Interest { interval: Duration::from_secs(seconds), range: None, unanswered: false }
}

/// A table, and a clock that starts at zero.
struct Case {
    table: Table<()>,
    start: Instant,
}

impl Case {
    fn new() -> Self {
        Self { table: Table::default(), start: Instant::now() }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn answered(&mut self, question: &Question, answer: &Answer, second: u64) -> Vec<String> {
        let now = self.at(second);
        let mut woken: Vec<_> =
            self.table.answered(question, (), answer, None, now, 0.0).into_iter().map(|key| key.name).collect();
        woken.sort();
        woken
    }

    fn follow(&mut self, name: &str, question: &Question, interest: Interest) {
        let now = self.start;
        self.table.follow(&Key::new("apps", name), vec![(question.clone(), interest)], now);
    }

    fn due(&mut self, second: u64) -> usize {
        self.table.take_due(self.at(second)).len()
    }

    fn knows(&self, question: &Question, second: u64, urgent: bool) -> Option<Answer> {
        self.table.known(question, Duration::from_secs(600), self.at(second), urgent)
    }
}

#[test]
fn a_thousand_deliveries_ask_once_an_interval_and_the_shortest_rules() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    assert!(case.answered(&stable, &digest("a"), 0).is_empty());
    for n in 0..1000 {
        case.follow(&n.to_string(), &stable, every(600));
    }
    case.follow("hasty", &stable, every(60));
    assert_eq!((case.due(59), case.due(60), case.due(61)), (0, 1, 0), "given out once");
    assert!(case.answered(&stable, &digest("a"), 61).is_empty(), "the same digest wakes nobody");
    assert_eq!((case.due(120), case.due(121)), (0, 1));
    assert_eq!(case.answered(&stable, &digest("b"), 121).len(), 1001);
}

#[test]
fn an_answer_is_good_for_its_interval_and_not_for_whoever_wants_news() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    case.answered(&stable, &digest("a"), 0);
    case.follow("a", &stable, every(100));
    assert!(case.knows(&stable, 124, false).is_some_and(|answer| answer.is_ok()));
    assert!(case.knows(&stable, 126, false).is_none());
    assert!(case.knows(&stable, 1, true).is_none());
    assert!(case.knows(&question(Some("team-a"), "stable"), 1, false).is_none(), "nothing is shared between tenants");
    assert!(case.knows(&question(None, "latest"), 1, false).is_none());
}

#[test]
fn of_tags_only_the_highest_in_the_range_is_news() {
    let mut case = Case::new();
    let all = Question { what: What::Tags, ..question(None, "") };
    case.answered(&all, &tags(&["1.0.0", "2.0.0"]), 0);
    for (name, range) in [("one", "1.x"), ("two", "2.x")] {
        case.follow(name, &all, Interest { range: Some(range.parse().unwrap()), ..every(60) });
    }
    assert!(case.answered(&all, &tags(&["1.0.0", "2.0.0", "nightly", "3.0.0"]), 60).is_empty());
    assert_eq!(case.answered(&all, &tags(&["1.0.1", "1.0.0", "2.0.0"]), 120), ["one"]);
}

#[test]
fn one_failed_look_is_no_outage_and_two_are_until_there_is_an_answer() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    case.answered(&stable, &digest("a"), 0);
    case.follow("a", &stable, every(60));
    case.follow("b", &stable, every(60));
    assert!(case.answered(&stable, &silent(), 60).is_empty());
    assert!(case.knows(&stable, 61, false).is_some_and(|answer| answer.is_ok()), "the last answer is still young");
    assert_eq!((case.due(61), case.due(62)), (0, 1), "asked again after the first pause");
    assert_eq!(case.answered(&stable, &silent(), 62), ["a", "b"]);
    assert!(case.knows(&stable, 63, false).is_some_and(|answer| answer.is_err()), "nobody asks while it backs off");
    assert!(case.knows(&stable, 63, true).is_none(), "but whoever is told to");
    for name in ["a", "b"] {
        case.follow(name, &stable, Interest { unanswered: true, ..every(60) });
    }
    assert!(case.answered(&stable, &silent(), 66).is_empty());
    assert_eq!(case.answered(&stable, &digest("a"), 80), ["a", "b"], "the same digest, but they had none");
}

#[test]
fn who_did_without_an_answer_learns_of_it_even_after_a_blip() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    case.answered(&stable, &digest("a"), 0);
    case.follow("a", &stable, every(60));
    case.answered(&stable, &silent(), 75);
    assert!(case.knows(&stable, 76, false).is_some_and(|answer| answer.is_err()), "too old, and not to be asked");
    case.follow("a", &stable, Interest { unanswered: true, ..every(60) });
    assert_eq!(case.answered(&stable, &digest("a"), 77), ["a"]);
}

#[test]
fn a_tag_that_is_not_there_yet_is_looked_for_soon_and_then_less_often() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    case.answered(&stable, &missing(), 0);
    case.follow("a", &stable, Interest { unanswered: true, ..every(60) });
    let mut looked = vec![];
    for second in 0..200 {
        if case.due(second) == 1 {
            looked.push(second);
            case.answered(&stable, &missing(), second);
        }
    }
    assert_eq!(looked, [2, 6, 14, 30, 62, 122, 182], "never less often than the interval");
    assert!(case.knows(&stable, 199, false).is_some(), "others who want it do not ask either");
    assert!(case.knows(&question(None, "latest"), 199, false).is_none(), "another tag may be there");
    assert_eq!(case.answered(&stable, &digest("a"), 200), ["a"]);
}

#[test]
fn a_registry_that_names_a_time_is_not_asked_before_by_anybody() {
    let (mut case, stable, latest) = (Case::new(), question(None, "stable"), question(None, "latest"));
    case.answered(&stable, &limited(500), 0);
    case.follow("a", &stable, Interest { unanswered: true, ..every(60) });
    for (second, urgent) in [(1, false), (499, true)] {
        for question in [&stable, &latest] {
            assert!(case.knows(question, second, urgent).is_some_and(|answer| answer.is_err()), "{second} {urgent}");
        }
    }
    assert_eq!((case.due(499), case.due(500)), (0, 1));
    assert!(case.knows(&latest, 501, false).is_none());
}

#[test]
fn what_nobody_follows_is_dropped() {
    let (mut case, stable, latest) = (Case::new(), question(None, "stable"), question(None, "latest"));
    for question in [&stable, &latest] {
        case.answered(question, &digest("a"), 0);
    }
    case.follow("a", &stable, every(60));
    case.follow("b", &stable, every(60));
    case.follow("a", &latest, every(60));
    assert_eq!(case.table.len(), 2);
    let now = case.at(1);
    case.table.follow(&Key::new("apps", "b"), vec![], now);
    assert_eq!(case.table.len(), 1);
    case.table.follow(&Key::new("apps", "a"), vec![], now);
    assert_eq!((case.table.len(), case.table.follows.len(), case.table.next_due()), (0, 0, None));
    // Whoever asked broke off before it could follow.
    case.answered(&stable, &digest("a"), 0);
    let later = case.at(1000);
    case.table.sweep(later);
    assert_eq!(case.table.len(), 0);
}

#[test]
fn an_outage_is_told_in_the_words_it_began_with() {
    let mut case = Case::new();
    let question = question(None, "stable");
    let path = |answer: &Answer| match answer {
        Err(error) => error.at().path.clone(),
        Ok(_) => String::new(),
    };
    let other = || {
        let at = Box::new(At { path: "/v2/app/manifests/other".into(), ..*at() });
        Err(Arc::new(ClientError::Unreachable { at, outage: Box::new(Outage::TimedOut) }))
    };
    case.answered(&question, &silent(), 0);
    case.answered(&question, &other(), 10);
    assert_eq!(path(&case.table.told(&question, other())), path(&silent()));
    assert_eq!(
        path(&case.table.known(&question, Duration::from_secs(5), case.at(10), false).unwrap()),
        path(&silent())
    );
    case.answered(&question, &limited(1), 20);
    assert!(matches!(case.table.told(&question, limited(1)), Err(error) if error.retry_after().is_some()));
    case.answered(&question, &digest("1"), 30);
    case.answered(&question, &other(), 40);
    assert_eq!(path(&case.table.told(&question, other())), path(&other()), "another outage");
}

fn hint<'a>(repository: &'a str, tag: Option<&'a str>, namespace: Option<&'a str>) -> Hint<'a> {
    Hint { repository: Some(repository), tag, namespace, among: &[] }
}

#[test]
fn whoever_says_that_something_is_new_has_what_he_means_asked_at_once() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    let all = Question { what: What::Tags, ..question(None, "") };
    for (name, question) in [("shop", &stable), ("range", &all)] {
        case.answered(question, &digest("a"), 0);
        case.follow(name, question, every(3600));
    }
    for (hint, meant) in [
        (hint("app", Some("stable"), None), 2),
        (hint("registry.example/app", Some("stable"), Some("apps")), 2),
        (hint("app", None, Some("apps")), 2),
        (hint("app", Some("latest"), None), 1),
        (hint("app", Some("stable"), Some("elsewhere")), 0),
        (hint("other", Some("stable"), None), 0),
        (hint("elsewhere.example/app", None, None), 0),
        (Hint { repository: None, ..hint("", None, None) }, 2),
        (Hint { among: &["registry.example/*".to_owned()], ..hint("app", None, None) }, 2),
        (Hint { among: &["registry.example/app".to_owned()], ..hint("app", None, None) }, 2),
        (Hint { among: &["registry.example/a".to_owned()], ..hint("app", None, None) }, 0),
        (Hint { among: &["app".to_owned()], ..hint("app", None, None) }, 0),
    ] {
        let now = case.at(1);
        assert_eq!(case.table.hinted(&hint, now), meant, "{hint:?}");
    }
    assert_eq!((case.due(1), case.due(1)), (2, 0), "each once, however often it was said");
}

#[test]
fn hints_neither_hurry_a_registry_nor_get_lost_in_an_answer_from_before() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    let says = || hint("app", Some("stable"), None);
    case.answered(&stable, &digest("a"), 0);
    case.follow("shop", &stable, every(3600));
    let now = case.at(10);
    case.table.hinted(&says(), now);
    let (_, (), since) = case.table.take_due(now).remove(0);
    assert_eq!(since, Some(now), "an answer that is on its way since before is not enough");
    // It moves again while it is being asked, and the answer is that of before.
    let now = case.at(11);
    case.table.hinted(&says(), now);
    assert!(case.answered(&stable, &digest("a"), 11).is_empty());
    assert_eq!((case.due(11), case.due(12)), (0, 1), "two seconds after it was asked for that last");
    assert_eq!(case.answered(&stable, &digest("b"), 12), ["shop"]);
    assert_eq!(case.due(600), 0, "by itself it is asked once an interval");
    // A registry that wishes to be left alone is.
    case.answered(&stable, &limited(100), 700);
    let now = case.at(701);
    case.table.hinted(&says(), now);
    assert_eq!((case.due(701), case.due(799), case.due(800)), (0, 0, 1));
}

#[test]
fn what_is_told_before_it_is_so_is_asked_for_twice_more_and_no_longer() {
    let (mut case, stable) = (Case::new(), question(None, "stable"));
    let says = || hint("app", Some("stable"), None);
    case.answered(&stable, &digest("a"), 0);
    case.follow("shop", &stable, every(3600));
    let now = case.at(10);
    case.table.hinted(&says(), now);
    for (before, at) in [(9, 10), (11, 12), (21, 22)] {
        assert_eq!((case.due(before), case.due(at)), (0, 1), "{at}");
        assert!(case.answered(&stable, &digest("a"), at).is_empty());
    }
    assert_eq!(case.due(1000), 0);
    let now = case.at(1000);
    case.table.hinted(&says(), now);
    assert_eq!(case.due(1000), 1);
    assert_eq!(case.answered(&stable, &digest("b"), 1000), ["shop"]);
    assert_eq!(case.due(2000), 0, "it has come");
}
