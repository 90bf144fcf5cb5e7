//! What is to be done: the inventory, a look at the cluster, and the plan that follows from them. *cluster*

use sealift_apply::{api::DeliveryReference, apply::Access};
use std::collections::BTreeMap;

use sealift_apply::{
    cluster::ClusterError,
    inventory::{Inventory, store},
    observe::{Known, Unknown, observe},
    plan::{Plan, plan},
};
use sealift_verify::{
    objects::scope::Scope,
    verify::{Admitted, Verified},
};

use super::{
    follow::{self, Follower, Glance},
    stop::Stop,
};

/// Reads the inventory, looks at every object once and plans.
pub(super) async fn planned(
    access: Access<'_>,
    owner: &DeliveryReference,
    verified: &Verified,
    follower: Follower<'_>,
    fresh: bool,
) -> Result<(Plan, Inventory, Glance), Stop> {
    let failed = |doing| move |source: ClusterError| Stop::Cluster { doing, source };
    let inventory = store::read(access.controller, owner).await.map_err(failed("reading the inventory"))?;
    // Whoever asks for a reconcile wants it to see what is there now; an event may be on its way.
    let view = follower.view(access, &inventory).await;
    let known: &dyn Known = if fresh { &Unknown } else { &view };
    let live = observe(access.account, access.controller, verified.objects(), Some(&inventory), known)
        .await
        .map_err(failed("looking at the objects"))?;
    let glance = follow::glance(&live, known);
    Ok((plan(verified, &inventory, live), inventory, glance))
}

/// The scopes that the statement calls unknown, as discovery tells them. Most releases need no request for this; where
/// there is no statement, nobody has said that none is needed.
pub(super) async fn discovered(
    access: Access<'_>,
    admitted: &Admitted,
) -> Result<BTreeMap<(String, String), Scope>, Stop> {
    if admitted.statement().is_some_and(|statement| statement.release.scope.unknown.is_empty()) {
        return Ok(BTreeMap::new());
    }
    access.controller.scopes().await.map_err(|source| Stop::Cluster { doing: "discovering the kinds", source })
}
