//! Waiting until the API server serves what a release defines.

use std::time::Duration;

use futures::{StreamExt, stream};
use sealift_verify::objects::ObjectId;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    IN_FLIGHT,
    change::{Refused, Why},
    cluster::{Cluster, ClusterError},
    health::{Circumstances, Health, health},
    plan::{Provided, is_definition},
};

/// A definition is established within a second or never; the rest is patience with a busy server.
const LIMIT: Duration = Duration::from_secs(30);

/// How long discovery may lag behind an established definition; usually less than a second.
const DISCOVERY_LAG: Duration = Duration::from_secs(5);

/// Waits until each CustomResourceDefinition among `changed` is established, then discovers the kinds anew.
///
/// What stays unserved is returned: its custom resources would only be refused one by one.
pub(crate) async fn wait(account: &Cluster, changed: &[ObjectId], provided: &Provided) -> Vec<Refused> {
    let definitions: Vec<_> = changed.iter().filter(|id| is_definition(id)).cloned().collect();
    if definitions.is_empty() {
        return vec![];
    }
    let until = Instant::now() + LIMIT;
    let waits = definitions.into_iter().map(|id| async move {
        match established(account, &id, until).await {
            Ok(()) => None,
            Err(why) => Some(Refused { id, why }),
        }
    });
    let failed: Vec<_> = stream::iter(waits).buffered(IN_FLIGHT).filter_map(std::future::ready).collect().await;
    if failed.is_empty() {
        discovered(account, &provided.clone().of_definitions(changed)).await;
    }
    failed
}

/// Waits until discovery lists the new kinds, so that the next plan knows them. This apply does without: it finds its
/// way by the release's own definitions, and a discovery that fails is none of its errors.
async fn discovered(account: &Cluster, new: &Provided) {
    let until = Instant::now() + DISCOVERY_LAG;
    while Instant::now() < until {
        match account.refresh_kinds(new.resources()).await {
            Ok(true) => return,
            Ok(false) => sleep(Duration::from_millis(100)).await,
            Err(error) => {
                tracing::debug!(%error, "discovery after new definitions failed");
                return;
            }
        }
    }
}

async fn established(account: &Cluster, id: &ObjectId, until: Instant) -> Result<(), Why> {
    let resource = account.resolve(id).await?;
    let mut delay = Duration::from_millis(25);
    loop {
        let live = account.get(&resource, id).await?.unwrap_or(Value::Null);
        match health(&live, &Circumstances { now: jiff::Timestamp::now(), has_status: resource.has_status }) {
            Health::Healthy if live.is_object() => return Ok(()),
            Health::Degraded(reason) => return Err(Why::NotEstablished { reason }),
            _ if Instant::now() > until => {
                return Err(ClusterError::Timeout { seconds: LIMIT.as_secs() }.into());
            }
            _ => sleep(delay).await,
        }
        delay = (delay * 2).min(Duration::from_secs(1));
    }
}
