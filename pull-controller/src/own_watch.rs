//! Following resources of ours that tenants and the platform write beside Deliveries.

use std::{fmt, pin::pin, sync::Arc};

use futures::{StreamExt as _, stream};
use kube::{
    Api, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Store},
        watcher,
    },
};
use sealift_apply::cluster::Cluster;
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::vitals::{BEAT, Vitals};

/// All objects of one kind, as they are now.
#[derive(Clone, Debug)]
pub(crate) struct Own<K> {
    all: Vec<Arc<K>>,
    known: bool,
}

impl<K> Default for Own<K> {
    fn default() -> Self {
        Self { all: Vec::new(), known: false }
    }
}

impl<K> Own<K> {
    /// All that are there.
    pub(crate) fn all(&self) -> &[Arc<K>] {
        &self.all
    }

    /// True once it is known which there are, or that nobody says.
    pub(crate) fn are_known(&self) -> bool {
        self.known
    }
}

/// Where they are looked for: in the namespaces that are looked after, and in the platform's own; everywhere by default.
pub(crate) fn scopes(namespaces: &[String], platform: Option<&str>) -> Vec<Option<String>> {
    if namespaces.is_empty() {
        return vec![None];
    }
    let mut scopes: Vec<_> = namespaces.iter().map(String::as_str).chain(platform).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into_iter().map(|namespace| Some(namespace.to_owned())).collect()
}

/// Follows them for ever; every change wakes whoever holds a receiver.
pub(crate) async fn follow<K>(
    name: &'static str,
    cluster: Cluster,
    scopes: Vec<Option<String>>,
    sender: Arc<watch::Sender<Arc<Own<K>>>>,
    vitals: Vitals,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (mut stores, mut streams) = (Vec::<Store<K>>::new(), Vec::new());
    for (at, scope) in scopes.iter().enumerate() {
        let client = cluster.client().clone();
        let api: Api<K> = match scope {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let (store, writer) = reflector::store();
        stores.push(store);
        let events = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
        streams.push(events.map(move |event| (at, event)).boxed());
    }
    let mut events = pin!(stream::select_all(streams));
    let mut listed = vec![false; stores.len()];
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (at, event) = tokio::select! {
            _ = ticks.tick() => {
                vitals.beat(name);
                continue;
            }
            event = events.next() => match event {
                Some(event) => event,
                None => return,
            },
        };
        match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => continue,
            Ok(_) => listed[at] = true,
            Err(error) => {
                tracing::warn!(
                    kind = &*K::kind(&()),
                    error = &error as &dyn std::error::Error,
                    "the watch broke off; it is taken up again"
                );
                // Where there are none, or nobody may say which, nothing waits for an answer.
                if !is_final(&error) {
                    continue;
                }
                listed[at] = true;
            }
        }
        let all = stores.iter().flat_map(Store::state).collect();
        sender.send_replace(Arc::new(Own { all, known: !listed.contains(&false) }));
    }
}

fn is_final(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => matches!(status.code, 403 | 404),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_own_namespace_is_looked_at_too() {
        let names = |scopes: Vec<Option<String>>| {
            scopes.into_iter().map(|scope| scope.unwrap_or("all".into())).collect::<Vec<_>>()
        };
        assert_eq!(names(scopes(&[], Some("platform"))), ["all"]);
        assert_eq!(names(scopes(&["b".into(), "a".into()], Some("platform"))), ["a", "b", "platform"]);
        assert_eq!(names(scopes(&["a".into()], Some("a"))), ["a"]);
        assert_eq!(names(scopes(&["a".into()], None)), ["a"]);
    }
}
