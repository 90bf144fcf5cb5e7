//! What is to be done: the inventory, a look at the cluster, and the plan that follows from them. *cluster*

use std::collections::BTreeMap;

use sealift_apply::{
    api::DeliverySpec,
    apply::Access,
    cluster::ClusterError,
    drift::{Contention, Limit, autoscaled},
    inventory::{Inventory, store},
    observe::{Known, Unknown, observe},
    options::Options,
    plan::{Plan, plan},
    presume::presume,
};
use sealift_verify::{
    objects::scope::Scope,
    verify::{Admitted, Verified},
};

use super::{
    follow::{self, Follower, Glance},
    stop::Stop,
};

/// How far a plan goes by what is known already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Whoever asks for a reconcile wants it to see what is there now; an event may be on its way.
    pub(super) fresh: bool,
    /// Whether the release is new: what differs from the inventory in the cluster is drift then, and found as such.
    pub(super) is_new: bool,
    /// Whether the inventory is known to be true.
    pub(super) trusted: bool,
    /// How far break-glass changes are held, if they are.
    pub(super) break_glass: Option<Limit>,
}

/// Reads the inventory unless it was kept, looks at objects as far as needed and plans.
///
/// A new release goes by the inventory where that is known to be true or holds nothing yet.
pub(super) async fn planned(
    access: Access<'_>,
    verified: &Verified,
    follower: Follower<'_>,
    spec: &DeliverySpec,
    contention: &Contention,
    sight: Sight,
    kept: Option<Inventory>,
) -> Result<(Plan, Inventory, Glance), Stop> {
    let failed = |doing| move |source: ClusterError| Stop::Cluster { doing, source };
    let inventory = match kept {
        Some(inventory) => inventory,
        None => store::read(access.controller, follower.owner).await.map_err(failed("reading the inventory"))?,
    };
    let view = follower.view(access, &inventory).await;
    let Sight { fresh, is_new, trusted, break_glass } = sight;
    let (account, controller, objects) = (access.account, access.controller, verified.objects());
    let presumes = is_new && (trusted || inventory.rows().all(|row| row.mark.is_none()));
    let known: &dyn Known = if fresh && !presumes { &Unknown } else { &view };
    let live = match presumes {
        true => presume(account, controller, objects, &inventory, known).await,
        false => observe(account, controller, objects, Some(&inventory), known).await,
    };
    let live = live.map_err(failed("looking at the objects"))?;
    let glance = follow::glance(&live, known);
    let mut options = Options::of(spec);
    options.drift.autoscaled = autoscaled(verified.objects());
    options.drift.contended.clone_from(contention.left());
    options.break_glass = break_glass;
    Ok((plan(verified, &inventory, live, &options), inventory, glance))
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
