//! What a Delivery names beside its objects, values and pull secrets: read as its account, and followed by name. *cluster*
//!
//! A watch of one name takes no more than the right to list and watch it, which a Role gives by `resourceNames`. Where the
//! account has it, an interval asks for nothing and a change wakes whoever names the object; where it has not, and past the
//! bound, the object is read at every interval. Rights that are taken away are noticed when the API server ends the watch,
//! which it does within five minutes.

mod table;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::watcher::{self, Event},
};
use sealift_apply::{
    api::DeliverySpec,
    cluster::{Cluster, ClusterError},
};
use serde::de::DeserializeOwned;

use self::table::{Kind, Name, Seen, Table};
use super::{read, schedule, tell::random};
use crate::{
    queue::{Key, Queue, Reason},
    vitals::AbortOnDrop,
};

/// What is larger is not kept.
const LARGEST: usize = 64 << 10;

/// An object that is followed. Its content is never printed.
#[derive(Clone)]
pub(super) enum Object {
    /// Values.
    ConfigMap(Arc<ConfigMap>),
    /// Values, or credentials.
    Secret(Arc<Secret>),
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Object(..)")
    }
}

/// A kind whose objects Deliveries name.
pub(super) trait Nameable:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + fmt::Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Which.
    const KIND: Kind;
    /// As it is kept.
    fn kept(this: Arc<Self>) -> Object;
    /// What was kept.
    fn of(object: Object) -> Option<Arc<Self>>;
    /// Bytes of its content.
    fn size(&self) -> usize;
}

impl Nameable for ConfigMap {
    const KIND: Kind = Kind::ConfigMap;

    fn kept(this: Arc<Self>) -> Object {
        Object::ConfigMap(this)
    }

    fn of(object: Object) -> Option<Arc<Self>> {
        match object {
            Object::ConfigMap(map) => Some(map),
            Object::Secret(_) => None,
        }
    }

    fn size(&self) -> usize {
        let texts = self.data.iter().flatten().map(|(key, value)| key.len() + value.len());
        let bytes = self.binary_data.iter().flatten().map(|(key, value)| key.len() + value.0.len());
        texts.chain(bytes).sum()
    }
}

impl Nameable for Secret {
    const KIND: Kind = Kind::Secret;

    fn kept(this: Arc<Self>) -> Object {
        Object::Secret(this)
    }

    fn of(object: Object) -> Option<Arc<Self>> {
        match object {
            Object::Secret(secret) => Some(secret),
            Object::ConfigMap(_) => None,
        }
    }

    fn size(&self) -> usize {
        self.data.iter().flatten().map(|(key, value)| key.len() + value.0.len()).sum()
    }
}

/// All that are followed. Clones are the same.
#[derive(Clone)]
pub(super) struct Named(Arc<Shared>);

struct Shared {
    table: Mutex<Table<Object>>,
    tasks: Mutex<HashMap<Name, AbortOnDrop<()>>>,
    queue: Queue,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Named")
    }
}

impl Named {
    /// Nothing yet; at most so many watches.
    pub(super) fn new(queue: Queue, most: usize) -> Self {
        Self(Arc::new(Shared { table: Mutex::new(Table::new(most)), tasks: Mutex::default(), queue }))
    }

    /// What a Delivery reads from now on, as the service account of this name: what its spec names, and no more, is
    /// followed. Whoever asks for `fresh` answers gets them from the API server, since an event may be on its way.
    pub(super) fn reader<'a>(
        &'a self,
        delivery: &'a Key,
        spec: &DeliverySpec,
        name: &'a str,
        account: &'a Cluster,
        fresh: bool,
    ) -> Reader<'a> {
        let reader = Reader { named: self, delivery, name, account, fresh };
        let names = named(spec).map(|(kind, name)| reader.name_of(kind, name)).collect();
        self.arrange(delivery, names, Some(account));
        reader
    }

    /// The Delivery needs nothing any more.
    pub(super) fn leave(&self, key: &Key) {
        self.arrange(key, Vec::new(), None);
    }

    fn arrange(&self, key: &Key, names: Vec<Name>, cluster: Option<&Cluster>) {
        let mut tasks = self.tasks();
        let moves = self.table().follow(key, names, Instant::now());
        moves.stop.iter().for_each(|name| drop(tasks.remove(name)));
        for (name, cluster) in moves.start.into_iter().filter_map(|name| Some((name, cluster?))) {
            let (this, client, of) = (self.clone(), cluster.client().clone(), name.clone());
            let task = match name.kind {
                Kind::ConfigMap => tokio::spawn(async move { this.watch::<ConfigMap>(&of, client).await }),
                Kind::Secret => tokio::spawn(async move { this.watch::<Secret>(&of, client).await }),
            };
            tasks.insert(name, AbortOnDrop(task));
        }
    }

    /// Taken before the table, never after it.
    fn tasks(&self) -> MutexGuard<'_, HashMap<Name, AbortOnDrop<()>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, Table<Object>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows one name until it may not be followed any more.
    async fn watch<K: Nameable>(&self, name: &Name, client: Client) {
        let mut failures = 0;
        loop {
            match self.watched::<K>(name, client.clone(), &mut failures).await {
                Broken::ForGood => {
                    tracing::debug!(namespace = name.namespace, kind = ?name.kind, name = name.name, "read at every interval");
                    // Nobody begins it anew between the two.
                    let mut tasks = self.tasks();
                    self.table().refused(name, Instant::now());
                    tasks.remove(name);
                    return;
                }
                Broken::ForNow => {
                    self.table().unsure(name);
                    tokio::time::sleep(schedule::after_failure(failures, random())).await;
                    failures += 1;
                }
            }
        }
    }

    async fn watched<K: Nameable>(&self, name: &Name, client: Client, failures: &mut u32) -> Broken {
        let api = Api::<K>::namespaced(client, &name.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", name.name));
        let mut events = std::pin::pin!(watcher::watcher(api, config));
        let mut listed = false;
        while let Some(event) = events.next().await {
            let seen = match event {
                Ok(Event::Init) => {
                    listed = false;
                    continue;
                }
                Ok(Event::InitDone) if listed => continue,
                Ok(Event::InitDone) => Seen { object: None, version: 0 },
                Ok(Event::Delete(object)) => Seen { object: None, version: version(&object) },
                // It is read at the next turn of whoever names it, and at every interval from then on.
                Ok(Event::InitApply(object) | Event::Apply(object)) if object.size() > LARGEST => {
                    self.wake(name, Seen { object: None, version: version(&object) });
                    return Broken::ForGood;
                }
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    listed = true;
                    Seen { version: version(&object), object: Some(K::kept(Arc::new(object))) }
                }
                Err(error) => return Broken::by(&error),
            };
            *failures = 0;
            self.wake(name, seen);
        }
        Broken::ForNow
    }

    fn wake(&self, name: &Name, seen: Seen<Object>) {
        let woken = self.table().told(name, seen);
        woken.iter().for_each(|key| self.0.queue.wake(key, Reason::Changed));
    }
}

/// Why a watch ended.
enum Broken {
    /// It may be taken up again.
    ForNow,
    /// It is not allowed, or the object is too large.
    ForGood,
}

impl Broken {
    fn by(error: &watcher::Error) -> Self {
        let code = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => status.code,
            _ => 0,
        };
        if matches!(code, 401 | 403 | 404 | 405) { Self::ForGood } else { Self::ForNow }
    }
}

fn version<K: kube::Resource>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// The objects that a spec names.
fn named(spec: &DeliverySpec) -> impl Iterator<Item = (Kind, &str)> {
    let values = spec.parameters.iter().filter_map(|parameter| parameter.value_from.as_ref()).flat_map(|source| {
        let map = source.config_map_key_ref.as_ref().map(|reference| (Kind::ConfigMap, reference.name.as_str()));
        let secret = source.secret_key_ref.as_ref().map(|reference| (Kind::Secret, reference.name.as_str()));
        map.into_iter().chain(secret)
    });
    values.chain(spec.pull_secret_name.as_deref().map(|name| (Kind::Secret, name)))
}

/// Reads what one Delivery names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    named: &'a Named,
    delivery: &'a Key,
    name: &'a str,
    account: &'a Cluster,
    fresh: bool,
}

impl Reader<'_> {
    /// The object, if it is there: as a watch tells, else as the API server answers.
    pub(super) async fn object<K: Nameable>(&self, name: &str) -> Result<Option<Arc<K>>, ClusterError> {
        let Self { named, delivery, name: _, account, fresh } = *self;
        let of = self.name_of(K::KIND, name);
        if !fresh && let Some(known) = named.table().known(&of, delivery) {
            return Ok(known.and_then(K::of));
        }
        let found: Option<K> = read::object(account, &delivery.namespace, name).await?;
        let version = found.as_ref().map_or(0, version);
        let seen = Seen { object: found.map(|object| K::kept(Arc::new(object))), version };
        Ok(named.table().read(&of, delivery, seen).and_then(K::of))
    }

    fn name_of(&self, kind: Kind, name: &str) -> Name {
        let (namespace, account) = (self.delivery.namespace.clone(), self.name.to_owned());
        Name { namespace, account, kind, name: name.to_owned() }
    }
}
