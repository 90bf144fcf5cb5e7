//! How long an API server's schemas may lag behind definitions that a release has just changed.

use std::time::Duration;

use sealift_verify::objects::ObjectId;
use tokio::time::Instant;

use crate::{
    cluster::{Class, ClusterError},
    plan::Provided,
};

/// How long an API server may take to serve a definition that it has accepted.
const SCHEMA_LAG: Duration = Duration::from_secs(10);

/// Kinds whose definition this apply has changed, and until when their schema may still lag behind.
#[derive(Debug, Default)]
pub(super) struct Patience {
    with: Provided,
    until: Option<Instant>,
}

impl Patience {
    /// With these kinds, from now on.
    pub(super) fn with(kinds: Provided) -> Self {
        Self { with: kinds, until: Some(Instant::now() + SCHEMA_LAG) }
    }

    /// Whether an answer may be another in a moment.
    pub(super) fn has(&self, id: &ObjectId, error: &ClusterError) -> bool {
        let lagging = [Class::Schema, Class::NotFound, Class::NotServed, Class::Invalid];
        matches!(error, ClusterError::Answer { class, .. } if lagging.contains(class))
            && self.with.resource(id).is_some()
            && self.until.is_some_and(|until| Instant::now() < until)
    }
}
