//! Whom an event concerns, and when.

use kube::api::ApiResource;
use sealift_apply::{FIELD_MANAGER, api::OWNER_LABEL};
use serde_json::{Value, json};

use super::*;
use crate::watch::scopes::Kind;

const ACCOUNT: (&str, &str) = ("apps", "deployer");

fn delivery(name: &str) -> DeliveryReference {
    DeliveryReference { namespace: "apps".into(), name: name.into(), uid: format!("{name}-uid") }
}

fn id(kind: &str, name: &str) -> ObjectId {
    let (group, version) = ("".to_owned(), "v1".to_owned());
    ObjectId { group, version, kind: kind.into(), namespace: Some("apps".into()), name: name.into() }
}

/// The metadata of an object: its version, the time of our entry and what else is given.
fn meta(owner: &str, version: u64, time: &str, more: Value) -> Meta {
    let ours = json!({"manager": FIELD_MANAGER, "operation": "Apply", "time": time, "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {}}});
    let mut value = json!({"uid": "o1", "resourceVersion": version.to_string(), "labels": {OWNER_LABEL: format!("{owner}-uid")},
        "managedFields": [ours]});
    for (key, more) in more.as_object().unwrap() {
        match key.as_str() {
            "writers" => {
                value["managedFields"].as_array_mut().unwrap().extend(more.as_array().unwrap().iter().cloned())
            }
            _ => value[key] = more.clone(),
        }
    }
    Meta::of(&serde_json::from_value(value).unwrap())
}

const THEN: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:01:00Z";

fn first(owner: &str) -> Meta {
    meta(owner, 10, THEN, json!({}))
}

fn drifted(owner: &str, version: u64) -> Meta {
    meta(owner, version, THEN, json!({"uid": format!("o{version}")}))
}

fn applied(name: &str, objects: &[(&str, &str)], observed: Option<Observed>, looked: bool) -> Applied {
    let followed = |(kind, object): &(&str, &str)| {
        let (api_version, plural) = ("v1".to_owned(), format!("{}s", kind.to_lowercase()));
        let api = ApiResource { group: String::new(), version: "v1".into(), api_version, kind: (*kind).into(), plural };
        let resource = Resource { api, namespaced: true, has_status: true };
        Followed { resource, id: id(kind, object), mark: first(name).mark, observed, looked }
    };
    Applied {
        owner: delivery(name),
        account: (ACCOUNT.0.into(), ACCOUNT.1.into()),
        take_over: Managers::new(vec!["kubectl*".into()]),
        objects: objects.iter().map(followed).collect(),
    }
}

/// One Delivery that has applied one ConfigMap.
fn settled(now: Instant) -> State {
    let mut state = State::new(10);
    let seen = Observed::As(first("shop").fingerprint());
    state.own(applied("shop", &[("ConfigMap", "a")], Some(seen), false), now);
    state.scopes.moves(now);
    state.seen(Key::of(&id("ConfigMap", "a")), first("shop"), None, now);
    state.scopes.listed(&scope());
    state.end("shop-uid", HashSet::new(), now);
    state
}

fn scope() -> Scope {
    Scope { kind: Kind { group: String::new(), kind: "ConfigMap".into() }, namespace: None, account: None }
}

fn key() -> Key {
    Key::of(&id("ConfigMap", "a"))
}

/// Who is woken by then, in words.
fn woken(state: &mut State, by: Instant) -> Vec<String> {
    let (wakes, _) = state.wakes(by);
    wakes.iter().map(|wake| format!("{} {}", wake.delivery.name, if wake.drift { "drift" } else { "health" })).collect()
}

const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_watch_that_tells_of_health_wakes_at_once_when_all_that_was_waited_for_has_settled() {
    let now = Instant::now();
    let mut state = settled(now);
    let account = ("apps".to_owned(), "deployer".to_owned());
    let status = |version| meta("shop", version, THEN, json!({}));
    state.end("shop-uid", HashSet::from([key()]), now);
    assert_eq!(state.told(&key(), &account, now), None, "nobody has told");
    state.seen(key(), status(11), Some(Health::Progressing("1 of 2".into())), now);
    assert!(woken(&mut state, now).is_empty(), "what is on its way is told a little later, once for all of it");
    state.seen(key(), status(12), None, now);
    state.seen(key(), status(12), Some(Health::Healthy), now);
    assert_eq!(woken(&mut state, now), ["shop health"], "also where our own answer was faster than the watch");
    assert_eq!(state.told(&key(), &account, now), Some(Health::Healthy));
    // Of a later version that nobody judged nothing is known, nor of one that a broken watch has told.
    state.seen(key(), status(13), None, now);
    assert_eq!(state.told(&key(), &account, now), None);
    state.seen(key(), status(14), Some(Health::Healthy), now);
    state.scopes.unsure(&scope(), now);
    assert_eq!(state.told(&key(), &account, now), None);
}

#[test]
fn whoever_applied_an_object_is_woken_once_when_it_differs_and_not_when_its_status_moves() {
    let now = Instant::now();
    let mut state = settled(now);
    assert!(woken(&mut state, now + SOON).is_empty());
    let status =
        json!({"writers": [{"manager": "kcm", "operation": "Update", "subresource": "status", "time": LATER}]});
    state.seen(key(), meta("shop", 11, THEN, status), None, now);
    assert!(woken(&mut state, now + SOON).is_empty());
    for version in 12..20 {
        state.seen(key(), drifted("shop", version), None, now);
    }
    assert!(woken(&mut state, now).is_empty(), "events that come together wake once");
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
    assert!(woken(&mut state, now + SOON).is_empty());
}

#[test]
fn what_was_applied_just_now_wakes_nobody_however_late_its_event_comes() {
    let now = Instant::now();
    let mut state = settled(now);
    state.begin(&delivery("shop"));
    // Our own write is seen before its answer is recorded, and what was before it after that.
    let mut next = applied("shop", &[("ConfigMap", "a")], Some(Observed::As(first("shop").fingerprint())), false);
    next.objects[0].mark = meta("shop", 12, LATER, json!({})).mark;
    state.seen(key(), meta("shop", 12, LATER, json!({})), None, now);
    assert!(woken(&mut state, now + SOON).is_empty(), "not while it is being reconciled");
    state.own(next, now);
    state.end("shop-uid", HashSet::new(), now);
    assert!(woken(&mut state, now + SOON).is_empty());
    state.seen(key(), drifted("shop", 11), None, now);
    assert!(woken(&mut state, now + SOON).is_empty(), "an older event says nothing");
}

#[test]
fn what_is_taken_back_within_a_second_of_being_put_right_is_seen() {
    let now = Instant::now();
    let mut state = settled(now);
    let taken = |version| meta("shop", version, THEN, json!({"uid": "o2"}));
    state.seen(key(), taken(11), None, now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
    state.begin(&delivery("shop"));
    // Put right as version 12, and taken back as 13 with all times equal: only the version tells them apart.
    state.seen(key(), taken(13), None, now);
    state.seen(key(), first("shop"), None, now);
    let answered = Some(Observed::As(first("shop").fingerprint()));
    state.own(applied("shop", &[("ConfigMap", "a")], answered, true), now);
    state.end("shop-uid", HashSet::new(), now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
}

#[test]
fn what_moves_while_it_is_reconciled_is_looked_at_afterwards() {
    let now = Instant::now();
    let mut state = settled(now);
    state.begin(&delivery("shop"));
    state.seen(key(), drifted("shop", 12), None, now);
    assert!(woken(&mut state, now + SOON).is_empty());
    state.own(applied("shop", &[("ConfigMap", "a")], Some(Observed::As(first("shop").fingerprint())), false), now);
    state.end("shop-uid", HashSet::new(), now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
}

#[test]
fn what_was_judged_once_is_left_until_it_moves_again() {
    let now = Instant::now();
    let mut state = settled(now);
    let other = drifted("shop", 12);
    state.seen(key(), other.clone(), None, now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
    // The mode is report: nothing was put right.
    state.own(applied("shop", &[("ConfigMap", "a")], Some(Observed::As(other.fingerprint())), true), now);
    state.end("shop-uid", HashSet::new(), now);
    assert!(woken(&mut state, now + SOON).is_empty());
    assert!(state.is_settled(&key(), &other, now));
    state.seen(key(), drifted("shop", 13), None, now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
}

#[test]
fn a_closer_look_is_taken_once_a_minute_and_none_is_lost() {
    let now = Instant::now();
    let mut state = settled(now);
    let again = |version| meta("shop", version, &format!("2026-01-01T00:00:{version}Z"), json!({}));
    state.seen(key(), again(11), None, now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
    let seen = Some(Observed::As(again(11).fingerprint()));
    state.own(applied("shop", &[("ConfigMap", "a")], seen, true), now);
    state.end("shop-uid", HashSet::new(), now);
    state.seen(key(), again(12), None, now + SOON);
    assert!(woken(&mut state, now + 2 * SOON).is_empty());
    assert!(state.is_resting(&key(), &again(12), now + SOON), "a plan made for another reason leaves it too");
    assert!(!state.is_resting(&key(), &drifted("shop", 12), now + SOON), "what certainly drifted does not rest");
    let (wakes, next) = state.wakes(now + 2 * SOON);
    assert!(wakes.is_empty() && next.is_some_and(|at| at <= now + LOOK_PAUSE + SOON), "but is not forgotten");
    assert_eq!(woken(&mut state, now + LOOK_PAUSE + SOON), ["shop drift"]);
}

#[test]
fn what_goes_wakes_unless_it_was_to_go() {
    let now = Instant::now();
    for (kind, owner, wanted) in
        [("ConfigMap", None, vec!["shop drift"]), ("ConfigMap", Some("Widget"), vec![]), ("Pod", None, vec![])]
    {
        let mut state = State::new(10);
        let seen = Observed::As(first("shop").fingerprint());
        state.own(applied("shop", &[(kind, "a")], Some(seen), false), now);
        state.end("shop-uid", HashSet::new(), now);
        let more = match owner {
            Some(kind) => json!({"ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": "x", "uid": "y"}]}),
            None => json!({}),
        };
        let last = meta("shop", 12, THEN, more);
        state.seen(Key::of(&id(kind, "a")), last.clone(), None, now);
        state.went(Key::of(&id(kind, "a")), &last, now);
        assert_eq!(woken(&mut state, now + SOON), wanted, "{kind} owned by {owner:?}");
        assert_eq!(state.went_with_owner(&Key::of(&id(kind, "a"))), owner.is_some());
        // An answer that was on its way does not bring it back.
        state.seen(Key::of(&id(kind, "a")), first("shop"), None, now);
        assert!(state.objects[&Key::of(&id(kind, "a"))].seen.is_none());
    }
}

#[test]
fn a_new_list_tells_what_went_while_nobody_watched() {
    let now = Instant::now();
    let mut state = settled(now);
    state.listed(&scope(), &HashSet::from([key()]), now);
    assert!(woken(&mut state, now + SOON).is_empty());
    state.listed(&scope(), &HashSet::new(), now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"]);
    assert_eq!(state.meta(&key(), &(ACCOUNT.0.into(), ACCOUNT.1.into()), now), None);
}

#[test]
fn health_is_waited_for_by_events_of_the_objects_that_lack_it() {
    let now = Instant::now();
    let mut state = settled(now);
    state.seen(key(), meta("shop", 11, THEN, json!({})), None, now);
    assert!(woken(&mut state, now + SOON).is_empty(), "nothing is waited for");
    state.begin(&delivery("shop"));
    state.end("shop-uid", HashSet::from([key()]), now);
    assert!(woken(&mut state, now + SOON).is_empty());
    state.seen(key(), meta("shop", 12, THEN, json!({})), None, now);
    assert_eq!(woken(&mut state, now + SOON), ["shop health"]);
    // What moved between the look and its end is not missed.
    state.begin(&delivery("shop"));
    state.seen(key(), meta("shop", 13, THEN, json!({})), None, now);
    state.end("shop-uid", HashSet::from([key()]), now);
    assert_eq!(woken(&mut state, now + SOON), ["shop health"]);
}

#[test]
fn what_was_handed_over_is_its_new_owners_to_follow() {
    let now = Instant::now();
    let mut state = settled(now);
    state.seen(key(), first("other"), None, now);
    let observed = Some(Observed::As(meta("other", 11, THEN, json!({})).fingerprint()));
    state.seen(key(), meta("other", 11, THEN, json!({})), None, now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"], "its label is another Delivery's");
    state.own(applied("other", &[("ConfigMap", "a")], observed, false), now);
    state.end("other-uid", HashSet::new(), now);
    state.own(applied("shop", &[("ConfigMap", "a")], None, false), now);
    state.end("shop-uid", HashSet::new(), now);
    assert!(woken(&mut state, now + SOON).is_empty());
    let gone = meta("other", 12, THEN, json!({}));
    state.went(key(), &gone, now);
    assert_eq!(woken(&mut state, now + SOON), ["other drift"]);
    assert!(!state.disown("shop-uid"), "the kind is still needed");
    assert!(state.disown("other-uid"));
    state.sweep(now + GONE_FOR + SOON);
    assert!(state.objects.is_empty() && state.owners.is_empty());
}

/// It would be missing for ever, and its Delivery be woken again and again.
#[test]
fn an_object_that_is_made_while_a_list_comes_in_is_not_taken_for_gone_once_its_event_comes() {
    let now = Instant::now();
    let mut state = settled(now);
    state.listed(&scope(), &HashSet::new(), now);
    assert_eq!(woken(&mut state, now + SOON), ["shop drift"], "it is not on the list");
    state.seen(key(), first("shop"), None, now);
    assert!(woken(&mut state, now + SOON).is_empty());
    assert_eq!(state.version(&key()).as_deref(), Some("10"), "the event of the very write that was answered");
    // What a watch saw go is not brought back by what is as old.
    state.went(key(), &first("shop"), now);
    state.seen(key(), first("shop"), None, now);
    assert_eq!(state.version(&key()), None);
}
