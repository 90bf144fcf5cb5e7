//! Whether objects are healthy right now. Nothing waits here: the controller asks again when something moves.

use std::{collections::BTreeMap, fmt};

use futures::{StreamExt, stream};
use sealift_verify::objects::ObjectId;
use serde_json::Value;

use crate::{
    IN_FLIGHT,
    cluster::{Cluster, ClusterError, Resource},
    health::{Health, always_healthy, health},
};

/// Kinds and namespaces at a time, and objects of each: [`IN_FLIGHT`] together.
const SIDE: usize = IN_FLIGHT.isqrt();

/// Up to this many objects of a kind and namespace are asked for one by one; more are listed.
const ONE_BY_ONE: usize = 4;

/// The health of a set of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// How many are healthy.
    pub healthy: usize,
    /// The others.
    pub rest: Vec<(ObjectId, Health)>,
}

impl HealthReport {
    /// Adds what is known of one more object.
    pub fn add(&mut self, id: ObjectId, health: Health) {
        match health {
            Health::Healthy => self.healthy += 1,
            // Degraded first: what a person has to look at.
            other => {
                let at = self.rest.partition_point(|(one, known)| (known.rank(), one) < (other.rank(), &id));
                self.rest.insert(at, (id, other));
            }
        }
    }

    /// True if every object is healthy.
    pub fn is_healthy(&self) -> bool {
        self.rest.is_empty()
    }

    /// True if waiting longer cannot help one of them.
    pub fn is_degraded(&self) -> bool {
        self.rest.iter().any(|(_, health)| matches!(health, Health::Degraded(_)))
    }
}

/// Looks at each object whose kind can be unhealthy; for the others existing is enough, and costs no request.
pub async fn assess(account: &Cluster, ids: &[ObjectId]) -> HealthReport {
    let mut report = HealthReport::default();
    let mut groups: BTreeMap<_, (Resource, Vec<&ObjectId>)> = BTreeMap::new();
    for id in ids {
        if always_healthy(id) {
            report.healthy += 1;
            continue;
        }
        match account.resolve(id).await {
            Ok(resource) => {
                let group = (resource.api.api_version.clone(), resource.api.plural.clone(), id.namespace.clone());
                groups.entry(group).or_insert_with(|| (resource, vec![])).1.push(id);
            }
            Err(error) => report.rest.push((id.clone(), unknown(&error))),
        }
    }
    // Collected: a closure that lives on in the stream would make the future one that cannot be spawned.
    let looks: Vec<_> = groups.into_values().map(|(resource, ids)| look(account, resource, ids)).collect();
    let found: Vec<_> = stream::iter(looks).buffer_unordered(SIDE).collect().await;
    for (id, health) in found.into_iter().flatten() {
        match health {
            Health::Healthy => report.healthy += 1,
            other => report.rest.push((id, other)),
        }
    }
    // Degraded first: what a person has to look at.
    report.rest.sort_by(|(a, one), (b, two)| (one.rank(), a).cmp(&(two.rank(), b)));
    report
}

async fn look(account: &Cluster, resource: Resource, ids: Vec<&ObjectId>) -> Vec<(ObjectId, Health)> {
    let mut listed = BTreeMap::new();
    if ids.len() > ONE_BY_ONE
        && let Ok(values) = account.list(&resource, ids[0].namespace.as_deref(), Some(crate::api::OWNER_LABEL)).await
    {
        let health = |value: &Value| Some((value["metadata"]["name"].as_str()?.to_owned(), of(&resource, value)));
        listed = values.iter().filter_map(health).collect();
    }
    let (listed, resource) = (&listed, &resource);
    let look = |id: ObjectId| async move {
        if let Some(health) = listed.get(&id.name) {
            return (id, Health::clone(health));
        }
        let found = match account.get(resource, &id).await {
            Ok(Some(value)) => health(&value),
            Ok(None) => Health::Degraded("it is not there".to_owned()),
            Err(error) => unknown(&error),
        };
        (id, found)
    };
    let looks: Vec<_> = ids.into_iter().cloned().map(look).collect();
    stream::iter(looks).buffer_unordered(SIDE).collect().await
}

/// Items of a list name neither kind nor API version; the rules go by both.
fn of(resource: &Resource, item: &Value) -> Health {
    let mut item = item.clone();
    item["kind"] = resource.api.kind.clone().into();
    item["apiVersion"] = resource.api.api_version.clone().into();
    health(&item)
}

fn unknown(error: &ClusterError) -> Health {
    Health::Unknown(error.to_string())
}

/// The first few in full: a condition's message is read by people.
impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let Self { healthy, rest } = self;
        write!(f, "{healthy} of {} healthy", healthy + rest.len())?;
        for (at, (id, health)) in rest.iter().take(SHOWN).enumerate() {
            write!(f, "{} {id}: {health}", if at == 0 { ":" } else { ";" })?;
        }
        if rest.len() > SHOWN { write!(f, "; and {} more", rest.len() - SHOWN) } else { Ok(()) }
    }
}
