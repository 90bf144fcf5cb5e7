//! What is in the cluster of the objects a plan is about: metadata only, one request a kind and namespace where that
//! is cheaper than one an object.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sealift_verify::objects::{ObjectId, Objects};

use crate::{
    IN_FLIGHT,
    api::{DeliveryReference, OWNER_LABEL},
    cluster::{Class, Cluster, ClusterError, Resource},
    inventory::{Inventory, Key, store},
    owner::{LiveOwner, Meta},
    plan::Owners,
};

/// Kinds and namespaces at a time, and objects of each: [`IN_FLIGHT`] together.
const SIDE: usize = IN_FLIGHT.isqrt();

/// Up to this many objects of a kind and namespace are asked for one by one.
const ONE_BY_ONE: usize = 2;

/// What was seen of one object.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "most objects of a release are there")]
pub enum Seen {
    /// The cluster does not serve the kind.
    UnknownKind,
    /// There is no such object.
    Absent(Resource),
    /// It is there.
    Present(Resource, Meta),
    /// Nobody looked: what the inventory says is taken for granted, and what it does not name for absent.
    Unseen(Resource),
    /// The cluster did not say.
    Unknown(ClusterError),
}

/// What is known of objects without asking the cluster, from watches.
pub trait Known: Sync {
    /// How the object looks; `None` if the cluster is to be asked.
    fn meta(&self, key: &Key) -> Option<Meta>;
    /// True if an object that looks so needs no dry-run: one showed that it is as it should be or is to be left so, or
    /// was made less than [`crate::drift::LOOK_PAUSE`] ago.
    fn is_settled(&self, key: &Key, meta: &Meta) -> bool;
    /// True if it is settled for that time only.
    fn is_resting(&self, key: &Key, meta: &Meta) -> bool;
    /// True if the object is gone and had an owner of its own, whose deletion took it along.
    fn went_with_owner(&self, key: &Key) -> bool;
}

/// Nothing is known: everything is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unknown;

impl Known for Unknown {
    fn meta(&self, _: &Key) -> Option<Meta> {
        None
    }

    fn is_settled(&self, _: &Key, _: &Meta) -> bool {
        false
    }

    fn is_resting(&self, _: &Key, _: &Meta) -> bool {
        false
    }

    fn went_with_owner(&self, _: &Key) -> bool {
        false
    }
}

/// What was seen of all of them.
#[derive(Debug, Default)]
pub struct Live {
    pub(crate) seen: BTreeMap<Key, Seen>,
    /// What needs no dry-run though its marks moved.
    pub(crate) settled: BTreeSet<Key>,
    /// What went with an owner of its own.
    pub(crate) owned: BTreeSet<Key>,
    /// For each other Delivery that owns one of the objects: what it still wants.
    pub(crate) owners: BTreeMap<String, (DeliveryReference, BTreeSet<Key>)>,
}

impl Live {
    /// Each object that the cluster told of, or told to be absent.
    pub fn observed(&self) -> impl Iterator<Item = (&Key, Option<&Meta>)> {
        self.seen.iter().filter_map(|(key, seen)| match seen {
            Seen::Present(_, meta) => Some((key, Some(meta))),
            Seen::Absent(_) => Some((key, None)),
            Seen::UnknownKind | Seen::Unseen(_) | Seen::Unknown(_) => None,
        })
    }
}

/// Looks at every object once: metadata as `account`, other Deliveries' inventories as `controller`.
///
/// What is known needs no request. Else, in the steady state (every object is in the inventory), it is one LIST by our
/// label for each kind and namespace.
///
/// # Errors
/// If the cluster cannot be asked at all; what concerns one object stands beside it.
pub async fn observe(
    account: &Cluster,
    controller: &Cluster,
    objects: &Objects,
    inventory: Option<&Inventory>,
    known: &dyn Known,
) -> Result<Live, ClusterError> {
    let ids: Vec<_> = objects.iter().map(|object| &object.id).collect();
    let seen = look_at(account, &ids, inventory, known).await?;
    let own = inventory.map(|inventory| inventory.owner().uid.as_str());
    let owners = owners(controller, &seen, own).await?;
    Ok(told(seen, owners, known))
}

/// With what is known beside what was seen.
pub(crate) fn told(seen: BTreeMap<Key, Seen>, owners: Owners, known: &dyn Known) -> Live {
    let settled = |(key, seen): (&Key, &Seen)| match seen {
        Seen::Present(_, meta) => known.is_settled(key, meta).then(|| key.clone()),
        _ => None,
    };
    let owned = |(key, seen): (&Key, &Seen)| {
        (matches!(seen, Seen::Absent(_)) && known.went_with_owner(key)).then(|| key.clone())
    };
    let (settled, owned) = (seen.iter().filter_map(settled).collect(), seen.iter().filter_map(owned).collect());
    Live { seen, settled, owned, owners }
}

/// Looks at the objects themselves.
pub(crate) async fn look_at(
    account: &Cluster,
    ids: &[&ObjectId],
    inventory: Option<&Inventory>,
    known: &dyn Known,
) -> Result<BTreeMap<Key, Seen>, ClusterError> {
    let mut seen = BTreeMap::new();
    let mut groups: BTreeMap<_, (Resource, Vec<&ObjectId>)> = BTreeMap::new();
    for id in ids {
        match account.resolve(id).await {
            Ok(resource) if resource.namespaced != id.namespace.is_some() => {
                // Refused by the plan; asking for it would ask for another object.
                seen.insert(Key::of(id), Seen::Absent(resource));
            }
            Ok(resource) => {
                let key = Key::of(id);
                if let Some(meta) = known.meta(&key) {
                    seen.insert(key, Seen::Present(resource, meta));
                    continue;
                }
                let group = (format!("{}/{}", resource.api.api_version, resource.api.plural), id.namespace.clone());
                groups.entry(group).or_insert_with(|| (resource, vec![])).1.push(id);
            }
            Err(ClusterError::UnknownKind { .. }) => {
                seen.insert(Key::of(id), Seen::UnknownKind);
            }
            Err(error) => return Err(error),
        }
    }
    // Collected: a closure that lives on in the stream would make the future one that cannot be spawned.
    let looks: Vec<_> = groups.into_values().map(|(resource, ids)| look(account, resource, ids, inventory)).collect();
    let found: Vec<Vec<(Key, Seen)>> = stream::iter(looks).buffer_unordered(SIDE).collect().await;
    seen.extend(found.into_iter().flatten());
    Ok(seen)
}

/// What other Deliveries want of the objects they own: one request an owner, none if all are ours.
pub(crate) async fn owners(
    controller: &Cluster,
    seen: &BTreeMap<Key, Seen>,
    own: Option<&str>,
) -> Result<BTreeMap<String, (DeliveryReference, BTreeSet<Key>)>, ClusterError> {
    let uids: BTreeSet<_> = seen
        .values()
        .filter_map(|seen| match seen {
            Seen::Present(_, Meta { owner: LiveOwner::Delivery { uid, .. }, .. }) if Some(uid.as_str()) != own => {
                Some(uid)
            }
            _ => None,
        })
        .collect();
    let asked: Vec<_> =
        uids.into_iter().map(|uid| async move { (uid.clone(), store::wanted_by(controller, uid).await) }).collect();
    let found: Vec<_> = stream::iter(asked).buffer_unordered(IN_FLIGHT).collect().await;
    found.into_iter().filter_map(|(uid, wanted)| Some(wanted.transpose()?.map(|wanted| (uid, wanted)))).collect()
}

/// Looks at objects of one kind in one namespace.
async fn look(
    account: &Cluster,
    resource: Resource,
    ids: Vec<&ObjectId>,
    inventory: Option<&Inventory>,
) -> Vec<(Key, Seen)> {
    let mut listed = BTreeMap::new();
    let mut complete = false;
    if ids.len() > ONE_BY_ONE {
        let all_ours = inventory.filter(|inventory| ids.iter().all(|id| inventory.row(&Key::of(id)).is_some()));
        let labels = all_ours.map(|inventory| format!("{OWNER_LABEL}={}", inventory.owner().uid));
        let list = account.list_metadata(&resource, ids[0].namespace.as_deref(), labels.as_deref()).await;
        // An account may be allowed to get and not to list: then each object is asked for.
        if let Ok((metadata, whole)) = list {
            // A list by label says nothing about an object that lost the label.
            complete = whole && labels.is_none();
            listed = metadata.into_iter().filter_map(|m| Some((m.name.clone()?, m))).collect();
        }
    }
    let (listed, resource) = (&listed, &resource);
    let look = |id: ObjectId| async move {
        let seen = match (listed.get(&id.name), complete) {
            (Some(metadata), _) => Seen::Present(resource.clone(), Meta::of(metadata)),
            (None, true) => Seen::Absent(resource.clone()),
            (None, false) => seen(account.get_metadata(resource, &id).await, resource),
        };
        (Key::of(&id), seen)
    };
    let looks: Vec<_> = ids.into_iter().cloned().map(look).collect();
    stream::iter(looks).buffer_unordered(SIDE).collect().await
}

fn seen(answer: Result<Option<ObjectMeta>, ClusterError>, resource: &Resource) -> Seen {
    match answer {
        Ok(Some(metadata)) => Seen::Present(resource.clone(), Meta::of(&metadata)),
        Ok(None) => Seen::Absent(resource.clone()),
        Err(ClusterError::Answer { class: Class::NotServed, .. }) => Seen::UnknownKind,
        Err(error) => Seen::Unknown(error),
    }
}
