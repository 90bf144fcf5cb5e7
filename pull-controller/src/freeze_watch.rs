//! Following the Freezes of the cluster: before anything new comes it is known whether there is one.
//!
//! The watch only says that something happened; what is so is said by a list. After a watch broke off a list must confirm
//! what was known, and soon: otherwise it is not known any more.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Resource as _,
    api::ApiResource,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        events::{Event, EventType, Recorder, Reporter},
        watcher,
    },
};
use sealift_apply::{
    api::{self, Delivery},
    cluster::{Class, Cluster, ClusterError, Resource},
    freeze::{Freeze, Freezes, State},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    controller::{Freezing, cut},
    delivery_watch::Deliveries,
    queue::{Key, Queue, Reason},
    shards::Shards,
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "freezes";
/// How long what was known is good for once the watch broke off.
const DOUBT: Duration = Duration::from_secs(60);
/// How long a watch that broke off is not taken up again, so that a kind that is not served is not asked for all the time.
/// Until it is, and gives no error, lists say what is so.
const AGAIN: Duration = Duration::from_secs(10);
/// How long one list may take; the loop gives no sign of life meanwhile.
const LIST_LIMIT: Duration = Duration::from_secs(20);
/// An event is worth no longer wait.
const EVENT_LIMIT: Duration = Duration::from_secs(10);

/// Follows them for ever; whatever changes, also by time alone, wakes whoever holds a receiver.
pub(crate) async fn follow_freezes(
    cluster: Cluster,
    shards: Shards,
    sender: Arc<watch::Sender<Arc<Freezing>>>,
    vitals: Vitals,
) {
    let api: Api<PartialObjectMeta<api::Freeze>> = Api::all(cluster.client().clone());
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let recorder = Recorder::new(cluster.client().clone(), Reporter::from("sealift-controller"));
    // Nothing is taken for confirmed that an earlier loop has heard of.
    let mut doubted = Some(Instant::now());
    let mut broke: Option<Instant> = None;
    loop {
        vitals.beat(LOOP);
        let next = tokio::select! {
            () = sleep(pause(&sender.borrow(), Timestamp::now())) => None,
            // A watch that breaks off at once each time is asked for again by and by.
            next = events.next(), if broke.is_none_or(|at| at.elapsed() >= AGAIN) => Some(next),
        };
        match next {
            // Nobody says that a watch is well again; it is once it has been for a while.
            None => match broke {
                Some(at) if at.elapsed() < AGAIN + BEAT => doubted = doubted.or_else(|| Some(Instant::now())),
                _ => broke = None,
            },
            Some(None) => return,
            Some(Some(Ok(watcher::Event::Init | watcher::Event::InitApply(_)))) => continue,
            Some(Some(Ok(_))) => doubted = doubted.or_else(|| Some(Instant::now())),
            Some(Some(Err(error))) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the watch of Freezes broke off");
                doubted = doubted.or_else(|| Some(Instant::now()));
                broke = Some(Instant::now());
            }
        }
        let before = Arc::clone(&sender.borrow());
        let now = match doubted {
            None => before.at(Timestamp::now()),
            Some(since) => match listed(&cluster).await {
                Ok(freezes) => {
                    doubted = None;
                    Freezing::known(freezes, Timestamp::now())
                }
                Err(why) if before.is_known() && since.elapsed() < DOUBT => {
                    tracing::debug!(why, "Freezes cannot be listed");
                    continue;
                }
                Err(why) => Freezing::unknown(why, Timestamp::now()),
            },
        };
        tell(&recorder, &before, &now, shards.lead()).await;
        sender.send_replace(Arc::new(now));
    }
}

/// Until a freeze ends by itself, or the next sign of life.
fn pause(freezing: &Freezing, now: Timestamp) -> Duration {
    let end = freezing.freezes().and_then(|freezes| freezes.next_end(now));
    let left = end.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
    left.map_or(BEAT, |left| left.min(BEAT))
}

/// All Freezes there are, or why that cannot be said. None are where the API server says that it serves no such kind.
async fn listed(cluster: &Cluster) -> Result<Freezes, String> {
    let (api, namespaced, has_status) = (ApiResource::erase::<api::Freeze>(&()), false, false);
    let resource = Resource { api, namespaced, has_status };
    let asked = async {
        match cluster.list(&resource, None, None).await {
            Ok(objects) => Ok(Freezes::read(&objects)),
            Err(ClusterError::Answer { class: Class::NotServed | Class::NotFound, .. })
                if !is_served(cluster).await? =>
            {
                Ok(Freezes::default())
            }
            Err(error) => Err(sealift_verify::chain(&error)),
        }
    };
    let late = || format!("the API server did not list them within {} seconds", LIST_LIMIT.as_secs());
    timeout(LIST_LIMIT, asked).await.unwrap_or_else(|_| Err(late()))
}

/// Whether the API server serves Freezes. One that has just begun serves none of our kinds, and says nothing by that.
async fn is_served(cluster: &Cluster) -> Result<bool, String> {
    let version = api::Freeze::api_version(&());
    let kinds = cluster.client().list_api_group_resources(&version).await;
    let kinds = kinds.map_err(|error| sealift_verify::chain(&ClusterError::from(error)))?.resources;
    let serves = |plural: &str| kinds.iter().any(|kind| kind.name == plural);
    if !serves(&Delivery::plural(&())) {
        return Err("the API server does not serve the kinds of Sealift yet".to_owned());
    }
    Ok(serves(&api::Freeze::plural(&())))
}

/// Says what is new of each Freeze in the log, and in an Event about it.
///
/// One replica sends Events for all.
async fn tell(recorder: &Recorder, before: &Freezing, now: &Freezing, leads: bool) {
    match (before.is_known(), now.is_known()) {
        (true, false) => tracing::warn!("whether there is a freeze is not known any more: nothing new is applied"),
        (false, true) => tracing::info!("it is known whether there is a freeze"),
        _ => {}
    }
    let news = news(before, now);
    let told = async {
        for (freeze, event) in news {
            tracing::info!(freeze = %freeze.name, reason = %event.reason, "{}", event.note.as_deref().unwrap_or_default());
            if !leads {
                continue;
            }
            let about = ObjectReference {
                api_version: Some(api::Freeze::api_version(&()).into_owned()),
                kind: Some(api::Freeze::kind(&()).into_owned()),
                name: Some(freeze.name.clone()),
                uid: freeze.uid.clone(),
                ..ObjectReference::default()
            };
            if let Err(error) = recorder.publish(&event, &about).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "the event was not recorded");
            }
        }
    };
    if timeout(EVENT_LIMIT, told).await.is_err() {
        tracing::debug!("the events about Freezes were not recorded in time");
    }
}

/// What became of a Freeze, and its end: what there is an Event about.
type Told = (State, Option<Timestamp>);

fn told(freeze: &Freeze, freezing: &Freezing) -> Told {
    (freeze.state(freezing.as_of()), freeze.terms.as_ref().ok().map(|terms| terms.spec.until))
}

/// An Event for each Freeze that begins, ends, changes or cannot be used. One that was over before anybody looked is none.
fn news<'a>(before: &'a Freezing, now: &'a Freezing) -> Vec<(&'a Freeze, Event)> {
    let (Some(old), Some(new)) = (before.freezes(), now.freezes()) else { return Vec::new() };
    let earlier = |freeze: &Freeze| {
        let same = old.iter().find(|old| (&old.name, &old.uid) == (&freeze.name, &freeze.uid));
        same.map(|old| told(old, before))
    };
    let mut events = Vec::new();
    for freeze in new.iter() {
        let (was, is) = (earlier(freeze), told(freeze, now));
        if was == Some(is) || was.is_none() && is.0 == State::Over {
            continue;
        }
        let (type_, reason, note) = match (&freeze.terms, is.0) {
            (Ok(terms), State::InForce) => {
                let note = format!("nothing new is applied until {}: {}", terms.spec.until, terms.spec.reason);
                (EventType::Normal, "FreezeBegun", note)
            }
            (Ok(_), _) => (EventType::Normal, "FreezeEnded", "its time is over".to_owned()),
            (Err(why), _) => {
                (EventType::Warning, "FreezeUnusable", format!("nothing new is applied in any namespace: {why}"))
            }
        };
        events.push((freeze, event(type_, reason, note)));
    }
    // Nobody can be told of one that is gone but those who read the log.
    for freeze in old.iter().filter(|old| old.state(before.as_of()) != State::Over) {
        if !new.iter().any(|new| (&new.name, &new.uid) == (&freeze.name, &freeze.uid)) {
            events.push((freeze, event(EventType::Normal, "FreezeEnded", "it was taken back".to_owned())));
        }
    }
    events
}

fn event(type_: EventType, reason: &str, note: String) -> Event {
    Event { type_, reason: reason.to_owned(), note: Some(cut(note)), action: "Freeze".to_owned(), secondary: None }
}

/// Whom a freeze kept something from is looked at again once it does not any more, or says something else.
pub(crate) async fn wake_thawed(mut freezing: watch::Receiver<Arc<Freezing>>, deliveries: Deliveries, queue: Queue) {
    let mut before = Arc::clone(&freezing.borrow_and_update());
    while freezing.changed().await.is_ok() {
        let now = Arc::clone(&freezing.borrow_and_update());
        for delivery in deliveries.store().state() {
            let key = Key::from(&*delivery);
            if now.moves(&before, &key.namespace) {
                queue.wake(&key, Reason::Thawed);
            }
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn freezing(objects: &[Value], now: i64) -> Freezing {
        Freezing::known(Freezes::read(objects), at(now))
    }

    fn freeze(name: &str, until: i64) -> Value {
        json!({"metadata": {"name": name, "uid": name}, "spec": {"until": at(until), "reason": "r"}})
    }

    #[test]
    fn an_end_is_waited_for_and_a_sign_of_life_comes_meanwhile() {
        let freezes = freezing(&[freeze("a", 100)], 0);
        let pauses = [0, 98, 100].map(|now| pause(&freezes, at(now)));
        assert_eq!(pauses, [BEAT, Duration::from_secs(2), BEAT]);
        assert_eq!(pause(&Freezing::default(), at(0)), BEAT);
    }

    #[test]
    fn each_beginning_change_and_end_is_told_once() {
        let broken = json!({"metadata": {"name": "broken", "uid": "broken"}, "spec": {}});
        let (none, a, prolonged) = (freezing(&[], 0), freezing(&[freeze("a", 9)], 0), freezing(&[freeze("a", 99)], 0));
        for (before, now, wanted) in [
            (&none, &a, vec!["FreezeBegun"]),
            (&a, &a, vec![]),
            (&a, &prolonged, vec!["FreezeBegun"]),
            (&a, &a.at(at(9)), vec!["FreezeEnded"]),
            (&a.at(at(9)), &a.at(at(10)), vec![]),
            (&a, &none, vec!["FreezeEnded"]),
            (&a.at(at(9)), &none, vec![]),
            (&none, &freezing(&[freeze("old", 9)], 10), vec![]),
            (&none, &freezing(&[broken], 0), vec!["FreezeUnusable"]),
            // After a start nobody knows what was told before.
            (&Freezing::default(), &a, vec![]),
        ] {
            let told: Vec<_> = news(before, now).into_iter().map(|(_, event)| event.reason).collect();
            assert_eq!(told, wanted, "{before:?} → {now:?}");
        }
    }
}
