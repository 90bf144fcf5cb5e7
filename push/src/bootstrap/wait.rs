//! Waiting until the controller has taken over.

use std::time::Duration;

use sealift_apply::{
    api::{Delivery, DeliveryName, condition, is_true},
    cluster::{Cluster, ClusterError},
};
use sealift_verify::digest::Digest;
use tokio::time::{Instant, sleep};

use super::root::shown;
use crate::{cluster::custom, exit::Exit, failure::Failure, output::Output, table::plain};

/// Pause between looks.
const LOOK: Duration = Duration::from_secs(1);

/// Why it is not over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum NotYet {
    #[error("Delivery {0} is not there any more")]
    Gone(String),
    #[error("no controller has looked at Delivery {0}")]
    NotSeen(String),
    #[error("Delivery {0} is not ready: {1}")]
    NotReady(String, String),
}

/// The time is over, and what is missing.
#[derive(Debug, thiserror::Error)]
#[error("the controller has not taken over within {} seconds; everything is applied", .limit.as_secs())]
struct Late {
    limit: Duration,
    #[source]
    why: NotYet,
}

/// Waits until the Delivery has this artifact applied and everything of it is healthy.
pub(super) async fn wait(
    cluster: &Cluster,
    name: &DeliveryName,
    digest: Digest,
    limit: Duration,
    output: &mut Output,
) -> Result<(), Failure> {
    let until = Instant::now() + limit;
    loop {
        let why = match custom::<Delivery>(cluster, Some(&name.namespace), &name.name).await {
            Ok(found) => match not_yet(found.as_ref(), &shown(name), digest) {
                None => return Ok(()),
                Some(why) => why,
            },
            // The controller that comes up may take an API server's breath away.
            Err(error) if error.is_transient() && Instant::now() < until => {
                sleep(LOOK).await;
                continue;
            }
            Err(error) => return Err(ClusterError::into(error)),
        };
        if Instant::now() >= until {
            let hint = "`sealift status` shows what it waits for, `kubectl logs -n sealift-system deploy/sealift-controller` why";
            return Err(Failure::new(Exit::CouldNotCheck, Late { limit, why }).hint(hint));
        }
        output.progress(&why);
        sleep(LOOK).await;
    }
}

fn not_yet(found: Option<&Delivery>, name: &str, digest: Digest) -> Option<NotYet> {
    let Some(delivery) = found else { return Some(NotYet::Gone(name.to_owned())) };
    let status = delivery.status.as_ref().filter(|status| status.observed_generation == delivery.metadata.generation);
    let Some(status) = status else { return Some(NotYet::NotSeen(name.to_owned())) };
    let applied = status.last_applied.as_ref().is_some_and(|last| last.digest == digest);
    if applied && is_true(&status.conditions, "Ready") {
        return None;
    }
    let said =
        condition(&status.conditions, "Ready").map(|ready| plain(&format!("{}: {}", ready.reason, ready.message)));
    Some(NotYet::NotReady(name.to_owned(), said.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn delivery(status: &Value) -> Delivery {
        let value = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"namespace": "n", "name": "d", "generation": 2},
            "spec": {"repository": "registry.example/app", "select": {"tag": "stable"}}, "status": status,
        });
        serde_json::from_value(value).unwrap()
    }

    fn status(generation: i64, digest: &str, ready: &str) -> Value {
        json!({
            "observedGeneration": generation,
            "lastApplied": {"digest": digest, "short": "x", "objects": digest, "at": "2026-01-01T00:00:00Z"},
            "conditions": [{"type": "Ready", "status": ready, "reason": "Applied", "message": "so",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        })
    }

    #[test]
    fn it_is_over_once_this_very_artifact_is_ready() {
        let other = DIGEST.replace('4', "5");
        for (found, says) in [
            (None, Some("not there any more")),
            (Some(json!(null)), Some("no controller has looked")),
            (Some(status(1, DIGEST, "True")), Some("no controller has looked")),
            (Some(status(2, &other, "True")), Some("not ready: Applied: so")),
            (Some(status(2, DIGEST, "Unknown")), Some("not ready: Applied: so")),
            (Some(status(2, DIGEST, "True")), None),
        ] {
            let delivery = found.as_ref().map(delivery);
            match (not_yet(delivery.as_ref(), "n/d", DIGEST.parse().unwrap()), says) {
                (None, None) => {}
                (Some(why), Some(says)) => assert!(why.to_string().contains(says), "{why}"),
                (other, _) => panic!("{found:?}: {other:?}"),
            }
        }
    }
}
