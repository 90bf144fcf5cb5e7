//! Following the policies of the cluster, and the trust roots they name.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt as _,
        events::{Event, EventType, Recorder, Reporter},
        reflector, watcher,
    },
};
use sealift_apply::{
    api::{SignaturePolicy, TrustRoot},
    cluster::Cluster,
};
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    controller::{Policies, trust_age::Fetched},
    metrics::Metrics,
    shards::Shards,
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "policies";
/// An event is worth no longer wait.
const EVENT_LIMIT: Duration = Duration::from_secs(10);

/// Follows policies and trust roots for ever; a change of either wakes whoever holds a receiver.
///
/// They are read as JSON, not as a type: a policy with a field this version does not know is an error to be told, not an
/// object to be passed over.
pub(crate) async fn follow_policies(
    cluster: Cluster,
    shards: Shards,
    sender: Arc<watch::Sender<Arc<Policies>>>,
    metrics: Metrics,
    vitals: Vitals,
) {
    let (policies, of_policies) = follow::<SignaturePolicy>(&cluster);
    let (roots, of_roots) = follow::<TrustRoot>(&cluster);
    let recorder = Recorder::new(cluster.client().clone(), Reporter::from("sealift-controller"));
    let of_policies = of_policies.map(|event| (Kind::Policy, event));
    let mut events = pin!(stream::select(of_policies, of_roots.map(|event| (Kind::Root, event))));
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listed = [false; 2];
    // What Events were sent about: one replica does that for all, and whoever takes that over tells what it finds.
    let mut told = Arc::new(Policies::default());
    let (mut fetched, mut told_old) = (Vec::<Fetched>::new(), BTreeSet::new());
    loop {
        let next = tokio::select! {
            _ = ticks.tick() => {
                vitals.beat(LOOP);
                let now = sender.borrow().clone();
                if shards.lead() && !now.same_as(&told) && !listed.contains(&false) {
                    tell(&recorder, &told, &now, &policies.state()).await;
                    told = now;
                }
                tell_old(&recorder, &fetched, &mut told_old, &metrics, shards.lead()).await;
                continue;
            }
            next = events.next() => next,
        };
        let Some((kind, event)) = next else { return };
        match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => continue,
            Ok(watcher::Event::InitDone) => listed[kind as usize] = true,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the watch of SignaturePolicies or TrustRoots broke off; it is taken up again"
                );
                continue;
            }
        }
        // A policy judged before the roots are known would be refused for want of one.
        if listed.contains(&false) {
            continue;
        }
        let objects = policies.state();
        let root_objects = values(&roots.state());
        let now = Policies::read(values(&objects)).with_trust_roots(&root_objects);
        fetched = root_objects.iter().filter_map(Fetched::of).collect();
        fetched.extend(now.rely_on_built_in_root().then(Fetched::built_in));
        let before = sender.borrow().clone();
        if now.same_as(&before) {
            continue;
        }
        tracing::info!(unusable = now.unusable().len(), policies = objects.len(), "policies read");
        let now = Arc::new(now);
        sender.send_replace(Arc::clone(&now));
        log_unusable(&before, &now);
        if shards.lead() {
            tell(&recorder, &told, &now, &objects).await;
            told = now;
        } else {
            told = Arc::default();
        }
    }
}

/// Counts how old the oldest trust root is, and says of each that is too old that it is, once.
async fn tell_old(
    recorder: &Recorder,
    fetched: &[Fetched],
    told: &mut BTreeSet<Fetched>,
    metrics: &Metrics,
    leads: bool,
) {
    let now = Timestamp::now();
    let oldest = fetched.iter().map(|root| now.duration_since(root.at).as_secs().max(0)).max();
    metrics.trust_root_age(oldest.unwrap_or(0));
    told.retain(|root| fetched.contains(root));
    // One replica tells for all, and whoever takes that over tells again.
    if !leads {
        return told.clear();
    }
    for root in fetched.iter().filter(|root| root.is_old(now)) {
        if !told.insert(root.clone()) {
            continue;
        }
        let event = root.event();
        tracing::warn!(trust_root = %root.name, reason = %event.reason, "{}", event.note.as_deref().unwrap_or_default());
        let about = ObjectReference {
            api_version: Some(TrustRoot::api_version(&()).into_owned()),
            kind: Some(TrustRoot::kind(&()).into_owned()),
            name: Some(root.name.clone()),
            uid: root.uid.clone(),
            ..ObjectReference::default()
        };
        if !matches!(tokio::time::timeout(EVENT_LIMIT, recorder.publish(&event, &about)).await, Ok(Ok(()))) {
            tracing::debug!("the event about an old trust root was not recorded");
        }
        // The next one by the next sign of life.
        break;
    }
}

/// Which of the two watches speaks.
#[derive(Clone, Copy)]
enum Kind {
    Policy,
    Root,
}

/// The objects of a kind as they are now, and what happens to them.
fn follow<K: Resource<DynamicType = ()>>(
    cluster: &Cluster,
) -> (
    reflector::Store<DynamicObject>,
    impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + Send + 'static,
) {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::all_with(cluster.client().clone(), &resource);
    let writer = reflector::store::Writer::<DynamicObject>::new(resource);
    let store = writer.as_reader();
    (store, watcher(api, watcher::Config::default()).default_backoff().reflect(writer))
}

fn values(objects: &[Arc<DynamicObject>]) -> Vec<Value> {
    objects.iter().filter_map(|object| serde_json::to_value(&**object).ok()).collect()
}

/// Logs what became unusable.
fn log_unusable(before: &Policies, now: &Policies) {
    for (name, problem) in now.roots().unusable().filter(|root| !before.roots().unusable().any(|known| known == *root))
    {
        tracing::warn!(trust_root = name, reason = "PolicyInvalid", "{problem}");
    }
    for policy in now.unusable().iter().filter(|policy| !before.unusable().contains(policy)) {
        tracing::warn!(policy = %policy.name, reason = "PolicyInvalid", "{}", policy.problem);
    }
}

async fn tell(recorder: &Recorder, told: &Policies, now: &Policies, objects: &[Arc<DynamicObject>]) {
    if tokio::time::timeout(EVENT_LIMIT, tell_unusable(recorder, told, now, objects)).await.is_err() {
        tracing::debug!("the events about unusable policies were not recorded in time");
    }
}

/// Says of each policy that became unusable what is wrong with it, where whoever wrote it looks first.
async fn tell_unusable(recorder: &Recorder, told: &Policies, now: &Policies, objects: &[Arc<DynamicObject>]) {
    for policy in now.unusable().iter().filter(|policy| !told.unusable().contains(policy)) {
        let Some(object) = objects.iter().find(|object| object.name_any() == policy.name) else { continue };
        let event = Event {
            type_: EventType::Warning,
            reason: "PolicyInvalid".to_owned(),
            note: Some(crate::controller::cut(policy.problem.clone())),
            action: "Read".to_owned(),
            secondary: None,
        };
        let reference = object.object_ref(&ApiResource::erase::<SignaturePolicy>(&()));
        if let Err(error) = recorder.publish(&event, &reference).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the event was not recorded");
        }
    }
}
