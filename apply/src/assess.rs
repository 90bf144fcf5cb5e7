//! Whether objects are healthy right now. Nothing waits here: the controller asks again when something moves.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use sealift_verify::objects::ObjectId;
use serde_json::Value;

use crate::{
    IN_FLIGHT,
    cluster::{Cluster, ClusterError, Resource},
    health::{Circumstances, Health, HealthChecks, always_healthy, health},
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
    /// The others, worst first.
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

    /// True if every object is healthy, or stands still because it was asked to.
    pub fn is_healthy(&self) -> bool {
        self.rest.iter().all(|(_, health)| health.is_settled())
    }

    /// True if one of them is not there.
    pub fn is_incomplete(&self) -> bool {
        self.rest.iter().any(|(_, health)| matches!(health, Health::Missing(_)))
    }

    /// True if one of them has failed, or is not there.
    pub fn is_degraded(&self) -> bool {
        self.rest.iter().any(|(_, health)| matches!(health, Health::Degraded(_) | Health::Missing(_)))
    }
}

/// Looks at each object whose kind can be unhealthy, or that `checks` are about; for the others existing is enough, and
/// costs no request.
pub async fn assess(account: &Cluster, ids: &[ObjectId], checks: &HealthChecks) -> HealthReport {
    let mut report = HealthReport::default();
    let mut groups: BTreeMap<_, (Resource, Vec<&ObjectId>)> = BTreeMap::new();
    for id in ids {
        if always_healthy(id) && checks.about(id).is_none() {
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
    let looks: Vec<_> = groups.into_values().map(|(resource, ids)| look(account, resource, ids, checks)).collect();
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

async fn look(
    account: &Cluster,
    resource: Resource,
    ids: Vec<&ObjectId>,
    checks: &HealthChecks,
) -> Vec<(ObjectId, Health)> {
    let ids: Vec<ObjectId> = ids.into_iter().cloned().collect();
    let mut listed: BTreeMap<ObjectId, Health> = BTreeMap::new();
    if ids.len() > ONE_BY_ONE
        && let Ok(values) = account.list(&resource, ids[0].namespace.as_deref(), Some(crate::api::OWNER_LABEL)).await
    {
        let wanted: BTreeMap<String, ObjectId> = ids.iter().map(|id| (id.name.clone(), id.clone())).collect();
        for mut value in values {
            let Some(id) = value["metadata"]["name"].as_str().and_then(|name| wanted.get(name)).cloned() else {
                continue;
            };
            // Items of a list name neither kind nor API version; the rules go by both.
            value["kind"] = resource.api.kind.clone().into();
            value["apiVersion"] = resource.api.api_version.clone().into();
            let health = judge(&id, &resource, value, checks).await;
            listed.insert(id, health);
        }
    }
    let (listed, resource) = (&listed, &resource);
    let look = |id: ObjectId| async move {
        if let Some(health) = listed.get(&id) {
            return (id, Health::clone(health));
        }
        let found = match account.get(resource, &id).await {
            Ok(Some(value)) => judge(&id, resource, value, checks).await,
            Ok(None) => Health::Missing("it is not there".to_owned()),
            Err(error) => unknown(&error),
        };
        (id, found)
    };
    stream::iter(ids).map(look).buffer_unordered(SIDE).collect().await
}

/// The health of an object that was read a moment ago.
pub async fn judge_live(account: &Cluster, id: &ObjectId, value: &Value, checks: &HealthChecks) -> Health {
    match account.resolve(id).await {
        Ok(resource) => judge(id, &resource, value.clone(), checks).await,
        Err(error) => unknown(&error),
    }
}

async fn judge(id: &ObjectId, resource: &Resource, value: Value, checks: &HealthChecks) -> Health {
    let Some(check) = checks.about(id).map(Arc::clone) else { return health(&value, &circumstances(resource)) };
    // An expression may take its time, and nothing can stop it.
    let judged = tokio::task::spawn_blocking(move || check.judge(&value)).await;
    judged.unwrap_or_else(|_| Health::Unknown("its health check ended early".to_owned()))
}

fn circumstances(resource: &Resource) -> Circumstances {
    Circumstances { now: Timestamp::now(), has_status: resource.has_status }
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
