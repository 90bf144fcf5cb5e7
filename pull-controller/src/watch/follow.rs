//! One watch: metadata of the objects of a kind that some Delivery owns. *cluster*
//!
//! Built-in kinds whose health follows from the object alone are watched whole, judged as they come and dropped: managed
//! fields, which are metadata, are most of such an object, and nobody need ask how it fares.

use std::{collections::HashSet, fmt::Debug, future::Future, time::Duration};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use kube::{
    Api, Client, Resource as _,
    api::{ApiResource, DynamicObject, ObjectMeta},
    core::{DynamicResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use sealift_apply::{
    api::OWNER_LABEL,
    cluster::Resource,
    health::{Health, by_itself, speaks_for_itself},
    inventory::Key,
    owner::Meta,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Hub, scopes::Scope};

/// By then a server that knows streaming lists has sent the mark of their end; one that does not never will.
const FIRST_LIST: Duration = Duration::from_secs(60);

/// A watch that has worked is not given up at once: an API server that has just begun has read neither rights nor
/// definitions, and says of everything that it is forbidden or not there.
const DOUBTED: Duration = Duration::from_secs(60);

/// How a watch ended.
enum End {
    /// It may not be watched, or there is no such kind.
    Refused(u16),
    /// The server does not know streaming lists.
    NoStreaming,
    /// Nobody is interested any more.
    Stopped,
}

/// Follows a scope until it is stopped, refused or its kind is gone.
pub(super) async fn follow(hub: Hub, scope: Scope, resource: Resource, client: Client) {
    let streaming = hub.streams_lists();
    let mut end = followed(&hub, &scope, &resource, client.clone(), streaming).await;
    if let End::NoStreaming = end {
        tracing::debug!(kind = %resource.api.kind, "the server sends no streaming lists; it is asked for pages");
        hub.lists_pages(&scope);
        end = followed(&hub, &scope, &resource, client, false).await;
    }
    if let End::Refused(code) = end {
        let (kind, namespace) = (&resource.api.kind, scope.namespace.as_deref().unwrap_or("*"));
        let whom = scope.account.as_ref().map_or("controller", |(_, name)| name);
        tracing::info!(%kind, namespace, r#as = whom, code, "not watched");
        match code {
            404 => hub.unserved(&scope),
            _ => hub.refused(&scope),
        }
    }
}

async fn followed(hub: &Hub, scope: &Scope, resource: &Resource, client: Client, streaming: bool) -> End {
    let config = watcher::Config::default().labels(OWNER_LABEL);
    let config = if streaming { config.streaming_lists() } else { config };
    let mut events: BoxStream<'_, _> = match speaks_for_itself(&scope.kind.group, &scope.kind.kind) {
        true => sights(api::<DynamicObject>(scope, resource, client), config, |object| whole(scope, resource, object))
            .boxed(),
        false => {
            let api = api::<PartialObjectMeta<DynamicObject>>(scope, resource, client);
            sights(api, config, |object| Sight::of(scope, &object.metadata, None)).boxed()
        }
    };
    let (mut listing, mut began) = (HashSet::new(), tokio::time::Instant::now());
    let mut listed = false;
    let mut refused_since = None;
    loop {
        let next = events.next();
        let event = match streaming && !listed {
            true => match tokio::time::timeout_at(began + FIRST_LIST, next).await {
                Ok(event) => event,
                Err(_) => return End::NoStreaming,
            },
            false => next.await,
        };
        if !hub.is_running(scope) {
            return End::Stopped;
        }
        if event.as_ref().is_some_and(Result::is_ok) {
            refused_since = None;
        }
        match event {
            None => return End::Stopped,
            Some(Ok(Event::Init)) => {
                listing.clear();
                began = tokio::time::Instant::now();
            }
            Some(Ok(Event::InitApply(Sight { key, meta, health }))) => {
                hub.told(key.clone(), meta, health);
                listing.insert(key);
            }
            Some(Ok(Event::InitDone)) => {
                listed = true;
                hub.listed(scope, &std::mem::take(&mut listing));
            }
            Some(Ok(Event::Apply(Sight { key, meta, health }))) => hub.told(key, meta, health),
            Some(Ok(Event::Delete(Sight { key, meta, health: _ }))) => hub.went(key, &meta),
            Some(Err(error)) => match code(&error) {
                Some(403 | 404)
                    if listed && refused_since.get_or_insert_with(tokio::time::Instant::now).elapsed() < DOUBTED =>
                {
                    hub.unsure(scope);
                }
                Some(code @ (403..=405)) => return End::Refused(code),
                Some(400 | 422) if streaming && !listed => return End::NoStreaming,
                _ => {
                    hub.unsure(scope);
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(kind = %resource.api.kind, error, "the watch broke off; it is taken up again");
                }
            },
        }
    }
}

/// What is kept of an object that a watch brings.
struct Sight {
    key: Key,
    meta: Meta,
    health: Option<Health>,
}

impl Sight {
    fn of(scope: &Scope, metadata: &ObjectMeta, health: Option<Health>) -> Self {
        let key = Key {
            group: scope.kind.group.clone(),
            kind: scope.kind.kind.clone(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        Self { key, meta: Meta::of(metadata), health }
    }
}

fn api<K>(scope: &Scope, resource: &Resource, client: Client) -> Api<K>
where
    K: kube::Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match &scope.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource.api),
        None => Api::all_with(client, &resource.api),
    }
}

/// The events of a watch, each reduced before the next one comes.
fn sights<'a, K>(
    api: Api<K>,
    config: watcher::Config,
    sight: impl Fn(K) -> Sight + Send + 'a,
) -> impl Stream<Item = Result<Event<Sight>, watcher::Error>> + Send + 'a
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Clone,
{
    watcher::watcher(api, config).default_backoff().map(move |event| {
        Ok(match event? {
            Event::Init => Event::Init,
            Event::InitApply(object) => Event::InitApply(sight(object)),
            Event::InitDone => Event::InitDone,
            Event::Apply(object) => Event::Apply(sight(object)),
            Event::Delete(object) => Event::Delete(sight(object)),
        })
    })
}

/// The rules go by kind and API version, which items of a list do not name.
fn whole(scope: &Scope, resource: &Resource, mut object: DynamicObject) -> Sight {
    let mut value = std::mem::take(&mut object.data);
    let metadata = ObjectMeta { managed_fields: None, ..object.meta().clone() };
    if let (Value::Object(fields), Ok(metadata)) = (&mut value, serde_json::to_value(metadata)) {
        fields.insert("apiVersion".to_owned(), resource.api.api_version.clone().into());
        fields.insert("kind".to_owned(), resource.api.kind.clone().into());
        fields.insert("metadata".to_owned(), metadata);
    }
    Sight::of(scope, &object.metadata, by_itself(&value))
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// A task that ends with whoever holds it.
#[derive(Debug)]
pub(super) struct Task(tokio::task::JoinHandle<()>);

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
