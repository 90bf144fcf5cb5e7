//! Following the Deliveries of the cluster: the store that others read, and who is woken by what.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::ObjectMeta,
    runtime::{
        WatchStreamExt as _,
        reflector::{Store, store::Writer},
        watcher,
    },
};
use sealift_apply::{
    api::{Delivery, REQUESTED_AT_ANNOTATION},
    cluster::Cluster,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    controller::depends::{dependencies, is_ready},
    queue::{Key, Queue, Reason},
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "deliveries";

/// The Deliveries this controller looks after. Clones share what was seen, so that a loop begun anew goes on where the
/// last one was.
#[derive(Clone)]
pub(crate) struct Deliveries {
    store: Store<Delivery>,
    seen: Arc<Mutex<Seen>>,
    namespaces: Arc<Vec<String>>,
}

struct Seen {
    writer: Writer<Delivery>,
    /// What of each Delivery concerns us, as of the last event.
    marks: HashMap<Key, Mark>,
    /// Who depends on whom: dependency to dependents.
    dependents: HashMap<Key, HashSet<Key>>,
    /// While a list is coming in: what it named so far.
    listed: HashSet<Key>,
    /// What of it is new. It outlives a list that breaks off, since the next one would not call it new any more.
    changed: HashSet<Key>,
    /// What became ready.
    ready: HashSet<Key>,
}

/// What of a Delivery concerns us.
#[derive(Debug)]
struct Mark {
    asks: u64,
    ready: bool,
    depends: Vec<Key>,
}

impl Deliveries {
    /// None yet. With no namespaces given, those of all are looked after.
    pub(crate) fn new(namespaces: Vec<String>) -> Self {
        let writer = Writer::<Delivery>::default();
        let seen = Seen {
            writer,
            marks: HashMap::new(),
            dependents: HashMap::new(),
            listed: HashSet::new(),
            changed: HashSet::new(),
            ready: HashSet::new(),
        };
        Self { store: seen.writer.as_reader(), seen: Arc::new(Mutex::new(seen)), namespaces: Arc::new(namespaces) }
    }

    /// The Deliveries as they are now.
    pub(crate) fn store(&self) -> &Store<Delivery> {
        &self.store
    }

    /// Follows them for ever.
    pub(crate) async fn follow(self, cluster: Cluster, queue: Queue, vitals: Vitals) {
        // For one namespace a Role there suffices; several are picked out of all.
        let api: Api<Delivery> = match self.namespaces.as_slice() {
            [one] => Api::namespaced(cluster.client().clone(), one),
            _ => Api::all(cluster.client().clone()),
        };
        let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => vitals.beat(LOOP),
                event = events.next() => match event {
                    None => return,
                    Some(Ok(event)) => {
                        let listed = matches!(event, watcher::Event::InitDone);
                        self.take(event, &queue);
                        if listed {
                            vitals.ready(true);
                            tracing::info!(deliveries = self.store.len(), "ready");
                        }
                    }
                    Some(Err(error)) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the watch of Deliveries broke off; it is taken up again"
                    ),
                },
            }
        }
    }

    /// Takes note of an event, and wakes whom it concerns.
    fn take(&self, mut event: watcher::Event<Delivery>, queue: &Queue) {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        if let Apply(delivery) | InitApply(delivery) | Delete(delivery) = &mut event {
            let namespace = delivery.namespace().unwrap_or_default();
            if !self.namespaces.is_empty() && !self.namespaces.contains(&namespace) {
                return;
            }
            delivery.managed_fields_mut().clear();
        }
        let seen = &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Init => seen.listed.clear(),
            InitApply(delivery) => {
                let key = Key::from(delivery);
                if seen.is_news(&key, delivery) {
                    seen.changed.insert(key.clone());
                }
                seen.listed.insert(key);
            }
            Apply(delivery) => {
                let key = Key::from(delivery);
                if seen.is_news(&key, delivery) {
                    seen.changed.insert(key);
                }
            }
            Delete(delivery) => {
                let key = Key::from(delivery);
                seen.forget(&key);
                queue.forget(&key);
            }
            InitDone => {
                let listed = std::mem::take(&mut seen.listed);
                let gone: Vec<_> = seen.marks.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                for key in gone {
                    seen.forget(&key);
                    queue.forget(&key);
                }
            }
        }
        seen.writer.apply_watcher_event(&event);
        // While a list comes in, the store still holds what was before.
        if !matches!(event, Init | InitApply(_)) {
            seen.changed.drain().for_each(|key| queue.wake(&key, Reason::Changed));
            for ready in seen.ready.drain() {
                let dependents = seen.dependents.get(&ready).into_iter().flatten();
                dependents.for_each(|key| queue.wake(key, Reason::Dependency));
            }
        }
    }
}

impl Seen {
    /// Takes note of what of a Delivery concerns us, and says whether it was another before.
    fn is_news(&mut self, key: &Key, delivery: &Delivery) -> bool {
        let mark =
            Mark { asks: what_matters(delivery), ready: is_ready(delivery), depends: dependencies(delivery).collect() };
        let before = self.forget(key);
        if mark.ready && before.as_ref().is_none_or(|before| !before.ready) {
            self.ready.insert(key.clone());
        }
        for on in &mark.depends {
            self.dependents.entry(on.clone()).or_default().insert(key.clone());
        }
        let news = before.is_none_or(|before| before.asks != mark.asks);
        self.marks.insert(key.clone(), mark);
        news
    }

    fn forget(&mut self, key: &Key) -> Option<Mark> {
        let mark = self.marks.remove(key)?;
        for on in &mark.depends {
            let Some(dependents) = self.dependents.get_mut(on) else { continue };
            dependents.remove(key);
            if dependents.is_empty() {
                self.dependents.remove(on);
            }
        }
        Some(mark)
    }
}

/// Spec, deletion and the reconcile-now annotation. Our own status writes change none of them.
fn what_matters(delivery: &Delivery) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let ObjectMeta { uid, generation, deletion_timestamp, annotations, .. } = &delivery.metadata;
    let requested = annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT_ANNOTATION));
    let mut hasher = DefaultHasher::new();
    (uid, generation, deletion_timestamp.is_some(), requested).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use watcher::Event;

    use super::*;

    fn delivery(namespace: &str, name: &str, generation: i64) -> Delivery {
        serde_json::from_value(json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"namespace": namespace, "name": name, "uid": name, "generation": generation},
            "spec": {"repository": "registry.example/app", "select": {"tag": "stable"}},
        }))
        .unwrap()
    }

    async fn woken(queue: &Queue) -> Vec<String> {
        let mut woken = Vec::new();
        while let Ok(Some(taken)) = tokio::time::timeout(Duration::from_millis(1), queue.next()).await {
            queue.done(&taken.key, None);
            woken.push(taken.key.to_string());
        }
        woken.sort();
        woken
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_changed_is_woken_and_only_once_it_can_be_read() {
        let (deliveries, queue) = (Deliveries::new(vec!["apps".into()]), Queue::new(1));
        let take = |event| deliveries.take(event, &queue);
        take(Event::Init);
        take(Event::InitApply(delivery("apps", "a", 1)));
        take(Event::InitApply(delivery("elsewhere", "x", 1)));
        assert!(woken(&queue).await.is_empty(), "the store does not hold it yet");
        // The list breaks off and begins anew.
        take(Event::Init);
        take(Event::InitApply(delivery("apps", "a", 1)));
        take(Event::InitApply(delivery("apps", "b", 1)));
        take(Event::InitDone);
        assert_eq!(woken(&queue).await, ["apps/a", "apps/b"]);
        assert_eq!(deliveries.store().len(), 2);

        let mut told = delivery("apps", "a", 1);
        told.status = Some(sealift_apply::api::DeliveryStatus { objects: Some(3), ..Default::default() });
        take(Event::Apply(told));
        assert!(woken(&queue).await.is_empty(), "our own status is no news");
        take(Event::Apply(delivery("apps", "a", 2)));
        assert_eq!(woken(&queue).await, ["apps/a"]);

        queue.wake(&Key::new("apps", "b"), Reason::Due);
        take(Event::Init);
        take(Event::InitApply(delivery("apps", "a", 2)));
        take(Event::InitDone);
        assert!(woken(&queue).await.is_empty(), "what a new list does not name is gone, the rest is no news");
        take(Event::Delete(delivery("apps", "a", 2)));
        assert_eq!((deliveries.store().len(), deliveries.seen.lock().unwrap().marks.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_becomes_ready_wakes_those_that_depend_on_it_once() {
        let (deliveries, queue) = (Deliveries::new(vec![]), Queue::new(1));
        let take = |event| deliveries.take(event, &queue);
        let ready = |name: &str, ready: &str| {
            let mut value = serde_json::to_value(delivery("apps", name, 1)).unwrap();
            value["status"] = json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": ready,
                "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
            serde_json::from_value::<Delivery>(value).unwrap()
        };
        let mut dependent = delivery("apps", "b", 1);
        dependent.spec.depends_on = vec![sealift_apply::api::Dependency { name: "a".into(), namespace: None }];
        for event in [Event::Init, Event::InitApply(ready("a", "False")), Event::InitApply(dependent), Event::InitDone]
        {
            take(event);
        }
        assert_eq!(woken(&queue).await, ["apps/a", "apps/b"]);
        take(Event::Apply(ready("a", "Unknown")));
        assert!(woken(&queue).await.is_empty());
        take(Event::Apply(ready("a", "True")));
        assert_eq!(woken(&queue).await, ["apps/b"]);
        take(Event::Apply(ready("a", "True")));
        assert!(woken(&queue).await.is_empty());
        take(Event::Delete(delivery("apps", "b", 1)));
        take(Event::Apply(ready("a", "False")));
        take(Event::Apply(ready("a", "True")));
        assert!(woken(&queue).await.is_empty() && deliveries.seen.lock().unwrap().dependents.is_empty());
    }
}
