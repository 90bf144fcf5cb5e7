//! What an empty cluster must have before anything in it can own an object: the definitions of our kinds, a namespace, and
//! the Delivery itself, whose uid is the owner's.
//!
//! Only what is missing is made. What is there is left to the plan, which asks whose it is before it touches it.

use kube::core::ObjectMeta;
use sealift_verify::{
    objects::{Object, ObjectId},
    verify::Verified,
};
use serde_json::json;

use crate::{
    api::{Delivery, FINALIZER, GROUP},
    apply::established,
    change::{Refused, Why},
    cluster::{Cluster, ClusterError, Write},
    owner::stamped,
    plan::{Guard, Provided, is_definition},
};

/// How often the finalizer is tried again that somebody else's write came before.
const TRIES: usize = 5;

/// Why there is nothing to build on.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// The cluster did not take or tell something.
    #[error("{id} cannot be made sure of")]
    Cluster {
        /// What.
        id: Box<ObjectId>,
        /// Why.
        #[source]
        source: ClusterError,
    },
    /// A definition was taken and is not served.
    #[error("{id} was taken, and its kind is not served")]
    NotServed {
        /// The definition.
        id: Box<ObjectId>,
        /// Why.
        #[source]
        why: Why,
    },
    /// The Delivery is on its way out, and what is made in its name would go with it.
    #[error("{0} is being deleted")]
    Going(ObjectId),
    /// The release does not hold it.
    #[error("the release does not hold {0}")]
    Missing(ObjectId),
}

impl GroundError {
    /// True if trying again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => source.is_transient() || source.is_conflict(),
            Self::NotServed { why, .. } => why.is_transient(),
            Self::Going(_) => true,
            Self::Missing(_) => false,
        }
    }
}

/// Makes the definitions of our own kinds that the release holds, and this namespace if the release holds it, where they are
/// missing, and waits until the kinds are served. Answers with what was made.
///
/// # Errors
/// [`GroundError`]; what was made before stays, and is found by the next try.
pub async fn definitions(cluster: &Cluster, release: &Verified, namespace: &str) -> Result<Vec<ObjectId>, GroundError> {
    let is_ours = |object: &&Object| is_definition(&object.id) && object.value["spec"]["group"] == GROUP;
    let is_namespace = |object: &&Object| {
        let ObjectId { group, kind, name, .. } = &object.id;
        (group.as_str(), kind.as_str(), name.as_str()) == ("", "Namespace", namespace)
    };
    let wanted: Vec<&Object> =
        release.objects().iter().filter(|object| is_ours(object) || is_namespace(object)).collect();
    let mut made = vec![];
    for object in &wanted {
        if make(cluster, object).await? {
            made.push(object.id.clone());
        }
    }
    let ids: Vec<ObjectId> = wanted.iter().map(|object| object.id.clone()).collect();
    let failed = established::wait(cluster, &ids, &Provided::by(release.objects())).await;
    let not_served = |Refused { id, why }| Err(GroundError::NotServed { id: Box::new(id), why });
    failed.into_iter().next().map_or(Ok(made), not_served)
}

/// Makes the Delivery that the release holds where it is missing, and sees to it that it is looked after until its end.
/// Answers with it, and whether it was made just now.
///
/// # Errors
/// [`GroundError`].
pub async fn delivery(cluster: &Cluster, release: &Verified, id: &ObjectId) -> Result<(Delivery, bool), GroundError> {
    let object = release.objects().iter().find(|object| object.id == *id);
    let object = object.ok_or_else(|| GroundError::Missing(id.clone()))?;
    let failed = |source| GroundError::Cluster { id: Box::new(id.clone()), source };
    let is_new = make(cluster, object).await?;
    let resource = cluster.resolve(id).await.map_err(failed)?;
    let mut tries = 0;
    loop {
        let live = cluster.get(&resource, id).await.map_err(failed)?.ok_or_else(|| GroundError::Going(id.clone()))?;
        let live: Delivery = serde_json::from_value(live)
            .map_err(|source| failed(ClusterError::Unreadable { source: Box::new(source) }))?;
        if live.metadata.deletion_timestamp.is_some() {
            return Err(GroundError::Going(id.clone()));
        }
        // Before anything is owned, as the controller has it: without it, nothing was ever applied in this Delivery's name.
        if live.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER) {
            return Ok((live, is_new));
        }
        match cluster.json_patch(&resource, id, &with_finalizer(&live.metadata)).await {
            Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
            answer => answer.map(drop).map_err(failed)?,
        }
    }
}

/// A patch for this very version.
fn with_finalizer(metadata: &ObjectMeta) -> serde_json::Value {
    let finalizers: Vec<&str> = metadata.finalizers.iter().flatten().map(String::as_str).chain([FINALIZER]).collect();
    json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
        {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
    ])
}

/// Makes an object that is not there; false if it is.
async fn make(cluster: &Cluster, object: &Object) -> Result<bool, GroundError> {
    let failed = |source| GroundError::Cluster { id: Box::new(object.id.clone()), source };
    let resource = cluster.resolve(&object.id).await.map_err(failed)?;
    if cluster.get_metadata(&resource, &object.id).await.map_err(failed)?.is_some() {
        return Ok(false);
    }
    let value = Guard::Absent.on(&stamped(&object.value, None));
    match cluster.apply(&resource, &object.id, &value, Write::Persist).await {
        Ok(_) => Ok(true),
        // Somebody else has made it since.
        Err(error) if error.is_other_object() => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finalizer_is_added_to_the_version_that_was_looked_at_and_takes_none_away() {
        let metadata = ObjectMeta {
            resource_version: Some("7".into()),
            finalizers: Some(vec!["example.com/other".into()]),
            ..ObjectMeta::default()
        };
        let patch = with_finalizer(&metadata);
        assert_eq!(patch[0]["value"], "7");
        assert_eq!(patch[1]["value"], json!(["example.com/other", FINALIZER]));
    }
}
