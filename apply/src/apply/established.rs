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
    health::{Health, health},
    plan::is_definition,
};

/// A definition is established within a second or never; the rest is patience with a busy server.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until each CustomResourceDefinition among `changed` is established, then discovers the kinds anew.
///
/// What stays unserved is returned: its custom resources would only be refused one by one.
pub(super) async fn wait(account: &Cluster, changed: &[ObjectId]) -> Vec<Refused> {
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
    if failed.is_empty()
        && let Err(error) = account.refresh_kinds().await
    {
        // Custom resources find their way by the release's own definitions; only later plans need discovery.
        tracing::debug!(%error, "discovery after new definitions failed");
    }
    failed
}

async fn established(account: &Cluster, id: &ObjectId, until: Instant) -> Result<(), Why> {
    let resource = account.resolve(id).await?;
    let mut delay = Duration::from_millis(25);
    loop {
        let live = account.get(&resource, id).await?.unwrap_or(Value::Null);
        match health(&live) {
            Health::Healthy if live.is_object() => return Ok(()),
            Health::Degraded(reason) => return Err(Why::NotEstablished { reason }),
            Health::Healthy | Health::Progressing(_) | Health::Unknown(_) if Instant::now() > until => {
                return Err(ClusterError::Timeout { seconds: LIMIT.as_secs() }.into());
            }
            Health::Healthy | Health::Progressing(_) | Health::Unknown(_) => sleep(delay).await,
        }
        delay = (delay * 2).min(Duration::from_secs(1));
    }
}
