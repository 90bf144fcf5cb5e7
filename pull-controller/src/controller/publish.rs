//! Writing a Delivery's own record: status and finalizer. *cluster*

use std::{future::Future, time::Duration};

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use sealift_apply::{
    api::{Delivery, DeliveryStatus, FINALIZER},
    cluster::ClusterError,
    permit::{self, Left},
};
use serde_json::{Map, Value, json};

use super::context::{Context, Memo};

const CALL_LIMIT: Duration = Duration::from_secs(30);

/// The status as it stands, even if the watch has not yet delivered what was written last.
pub(super) fn current(delivery: &Delivery, memo: &Memo) -> DeliveryStatus {
    let seen: u64 = delivery.resource_version().and_then(|version| version.parse().ok()).unwrap_or(u64::MAX);
    match &memo.written {
        Some((version, status)) if *version > seen => status.clone(),
        _ => delivery.status.clone().unwrap_or_default(),
    }
}

/// Writes the status, if it says something new.
pub(super) async fn status(
    context: &Context,
    delivery: &Delivery,
    memo: &mut Memo,
    previous: &DeliveryStatus,
    next: &DeliveryStatus,
) -> Result<(), ClusterError> {
    if previous == next {
        return Ok(());
    }
    // The uid is a precondition: another Delivery of the same name gets nothing of this one.
    let patch = json!({"metadata": {"uid": delivery.uid()}, "status": difference(previous, next)});
    let api = api(context, delivery);
    let written = within(api.patch_status(&delivery.name_any(), &PatchParams::default(), &Patch::Merge(patch))).await;
    match written {
        Ok(written) => {
            let version = written.resource_version().and_then(|version| version.parse().ok());
            memo.written = version.map(|version| (version, next.clone()));
            Ok(())
        }
        // It was deleted meanwhile, or made anew: either way somebody else's reconcile.
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Adds or removes our finalizer, if the object is still the version that was looked at.
pub(super) async fn finalizer(context: &Context, delivery: &Delivery, keep: bool) -> Result<(), ClusterError> {
    let others = delivery.finalizers().iter().filter(|name| *name != FINALIZER).cloned();
    let finalizers: Vec<String> = others.chain(keep.then(|| FINALIZER.to_owned())).collect();
    let patch = json!({"metadata": {"uid": delivery.uid(), "resourceVersion": delivery.resource_version(), "finalizers": finalizers}});
    let api = api(context, delivery);
    match within(api.patch(&delivery.name_any(), &PatchParams::default(), &Patch::Merge(patch))).await {
        Ok(_) => Ok(()),
        Err(error) if !keep && is_not_found(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The Delivery as the API server has it now.
pub(super) async fn fresh(context: &Context, delivery: &Delivery) -> Result<Option<Delivery>, ClusterError> {
    within(api(context, delivery).get_opt(&delivery.name_any())).await
}

fn api(context: &Context, delivery: &Delivery) -> Api<Delivery> {
    Api::namespaced(context.cluster.client().clone(), &delivery.namespace().unwrap_or_default())
}

async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    let limit = match permit::left() {
        Left::Unlimited => CALL_LIMIT,
        Left::For(left) => left.min(CALL_LIMIT),
        Left::Nothing => return Err(ClusterError::NoPermit),
    };
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(ClusterError::from),
        Err(_) => Err(ClusterError::Timeout { seconds: limit.as_secs() }),
    }
}

fn is_not_found(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Answer { class: sealift_apply::cluster::Class::NotFound, .. })
}

fn is_gone(error: &ClusterError) -> bool {
    is_not_found(error) || error.is_conflict()
}

/// A merge patch from one status to the other: what is no longer there is null.
fn difference(previous: &DeliveryStatus, next: &DeliveryStatus) -> Value {
    let fields = |status: &DeliveryStatus| match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (before, mut after) = (fields(previous), fields(next));
    merge(&before, &mut after);
    Value::Object(after)
}

fn merge(before: &Map<String, Value>, after: &mut Map<String, Value>) {
    for (key, old) in before {
        match (old, after.get_mut(key)) {
            (_, None) => {
                after.insert(key.clone(), Value::Null);
            }
            (Value::Object(old), Some(Value::Object(new))) => merge(old, new),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use sealift_apply::api::VerificationStatus;

    use super::*;

    #[test]
    fn a_patch_takes_away_what_is_no_longer_said() {
        let verification =
            VerificationStatus { verdict: "Refused".into(), reason: Some("Unsigned".into()), ..Default::default() };
        let previous =
            DeliveryStatus { objects: Some(3), verification: Some(verification.clone()), ..Default::default() };
        let next = DeliveryStatus {
            verification: Some(VerificationStatus { verdict: "Verified".into(), reason: None, ..verification }),
            ..Default::default()
        };
        assert_eq!(
            difference(&previous, &next),
            json!({"objects": null, "verification": {"verdict": "Verified", "reason": null}})
        );
    }
}
