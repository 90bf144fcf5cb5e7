//! Following which records of trust there are, and in which version: what was read of them once need not be read again.

use std::{pin::pin, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use sealift_apply::{api::AcceptedRelease, cluster::Cluster};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    controller::Known,
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "memory";

/// Follows them for ever.
pub(crate) async fn follow_memory(cluster: Cluster, known: Arc<Known>, vitals: Vitals) {
    let api: Api<PartialObjectMeta<AcceptedRelease>> = Api::all(cluster.client().clone());
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            _ = ticks.tick() => {
                vitals.beat(LOOP);
                continue;
            }
            event = events.next() => event,
        };
        let version =
            |record: &kube::core::PartialObjectMeta<AcceptedRelease>| record.resource_version().unwrap_or_default();
        match event {
            None => return,
            Some(Ok(Event::Init)) => known.begins(),
            Some(Ok(Event::InitApply(record))) => known.names(record.name_any(), &version(&record)),
            Some(Ok(Event::InitDone)) => known.ends(),
            Some(Ok(Event::Apply(record))) => known.saw(record.name_any(), &version(&record)),
            Some(Ok(Event::Delete(record))) => known.gone(&record.name_any(), &version(&record)),
            Some(Err(error)) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the watch of AcceptedReleases broke off; it is taken up again"
            ),
        }
    }
}
