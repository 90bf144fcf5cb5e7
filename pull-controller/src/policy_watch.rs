//! Following the policies of the cluster.

use std::{future::Future, pin::pin, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt as _,
        events::{Event, EventType, Recorder, Reporter},
        reflector, watcher,
    },
};
use sealift_apply::{api::SignaturePolicy, cluster::Cluster};
use tokio::sync::watch;

use crate::controller::Policies;

/// Follows the policies; a change wakes whoever holds the receiver.
///
/// They are read as JSON, not as a type: a policy with a field this version does not know is an error to be told, not an
/// object to be passed over.
pub(crate) fn watch_policies(
    cluster: &Cluster,
) -> (watch::Receiver<Arc<Policies>>, impl Future<Output = ()> + Send + 'static) {
    let (sender, receiver) = watch::channel(Arc::new(Policies::default()));
    let resource = ApiResource::erase::<SignaturePolicy>(&());
    let api: Api<DynamicObject> = Api::all_with(cluster.client().clone(), &resource);
    let writer = reflector::store::Writer::<DynamicObject>::new(resource);
    let store = writer.as_reader();
    let recorder = Recorder::new(cluster.client().clone(), Reporter::from("sealift-controller"));
    let following = async move {
        let events = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
        let mut events = pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => continue,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the watch of SignaturePolicies broke off; it is taken up again"
                    );
                    continue;
                }
            }
            let objects = store.state();
            let values = objects.iter().filter_map(|object| serde_json::to_value(&**object).ok()).collect();
            let policies = Policies::read(values);
            let before = sender.borrow().clone();
            if policies.same_as(&before) {
                continue;
            }
            tell_unusable(&recorder, &before, &policies, &objects).await;
            tracing::info!(unusable = policies.unusable().len(), policies = objects.len(), "policies read");
            sender.send_replace(Arc::new(policies));
        }
    };
    (receiver, following)
}

/// Says of each policy that became unusable what is wrong with it, where whoever wrote it looks first.
async fn tell_unusable(recorder: &Recorder, before: &Policies, now: &Policies, objects: &[Arc<DynamicObject>]) {
    use kube::Resource as _;
    for policy in now.unusable().iter().filter(|policy| !before.unusable().contains(policy)) {
        tracing::warn!(policy = %policy.name, reason = "PolicyInvalid", "{}", policy.problem);
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
