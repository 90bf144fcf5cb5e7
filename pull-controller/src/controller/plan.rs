//! What is to be done: the inventory, a look at the cluster, and the plan that follows from them. *cluster*

use sealift_apply::{api::DeliveryReference, apply::Access};
use sealift_apply::{
    cluster::ClusterError,
    inventory::{Inventory, store},
    observe::observe,
    plan::{Plan, plan},
};
use sealift_verify::verify::Verified;

use super::stop::Stop;

/// Reads the inventory, looks at every object once and plans.
pub(super) async fn planned(
    access: Access<'_>,
    owner: &DeliveryReference,
    verified: &Verified,
) -> Result<(Plan, Inventory), Stop> {
    let failed = |doing| move |source: ClusterError| Stop::Cluster { doing, source };
    let inventory = store::read(access.controller, owner).await.map_err(failed("reading the inventory"))?;
    let live = observe(access.account, access.controller, verified.objects(), Some(&inventory))
        .await
        .map_err(failed("looking at the objects"))?;
    Ok((plan(verified, &inventory, live), inventory))
}
