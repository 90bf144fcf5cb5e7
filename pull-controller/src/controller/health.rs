//! How the objects of a release fare right now. *cluster*

use std::collections::HashMap;

use sealift_apply::{
    api::Delivery,
    apply::Access,
    assess::{HealthReport, assess, judge_live},
    change::ChangeSet,
    cluster::Cluster,
    health::HealthChecks,
    inventory::Key,
};
use sealift_verify::objects::ObjectId;

use super::{context::Memo, policies::Policies, report::Report};
use crate::watch::View;

/// Whether what watches tell is enough, or somebody asked and an event may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is.
    Watches,
    /// What they tell is. What was found by looking may have been by other checks than the Delivery has now.
    WatchesAlone,
    /// Only of what was written just now, which no watch is behind of.
    Writes,
}

/// Looks once, at what neither a watch tells nor an answer to a write has shown just now and what may have changed since it
/// was last found healthy. Nothing waits here and nothing is asked again and again: an object that moves wakes its
/// Delivery.
pub(super) async fn health(
    account: &Cluster,
    view: &View<'_>,
    trust: Trust,
    ids: &[ObjectId],
    changes: &ChangeSet,
    checks: &HealthChecks,
) -> HealthReport {
    let known = (trust != Trust::Writes).then_some(view);
    let shown: HashMap<_, _> = changes
        .entries
        .iter()
        .filter_map(|change| Some((&change.id, change.live.as_ref()?.value.as_deref()?)))
        .collect();
    // What a watch tells of an object that was just written is no older than the answer, and may be newer.
    let told = |id: &ObjectId| {
        let trusted = trust != Trust::Writes || shown.contains_key(id);
        view.told(&Key::of(id)).filter(|_| trusted && checks.about(id).is_none())
    };
    let told: HashMap<_, _> = ids.iter().filter_map(|id| Some((id, told(id)?))).collect();
    let is_healthy = |id: &&ObjectId| trust == Trust::Watches && view.is_healthy(&Key::of(id));
    let others = ids.iter().filter(|id| !shown.contains_key(id) && !told.contains_key(id));
    let (healthy, rest): (Vec<_>, Vec<_>) = others.partition(is_healthy);
    let unseen: Vec<ObjectId> = rest.into_iter().cloned().collect();
    // What moves from here on is seen to have moved.
    let before: Vec<_> = unseen.iter().map(|id| known.and_then(|view| view.version(&Key::of(id)))).collect();
    let mut report = assess(account, &unseen, checks).await;
    for (id, version) in unseen.iter().zip(before) {
        if let (Some(view), Some(version)) = (known, version)
            && !report.rest.iter().any(|(other, _)| other == id)
        {
            view.healthy(&Key::of(id), version);
        }
    }
    report.healthy += healthy.len();
    for id in ids {
        match (told.get(id), shown.get(id)) {
            (Some(health), _) => report.add(id.clone(), health.clone()),
            (None, Some(value)) => report.add(id.clone(), judge_live(account, id, value, checks).await),
            (None, None) => {}
        }
    }
    report
}

/// Looks again at what was not healthy of a release that was applied, if nothing else can have changed: no registry, no
/// plan, only health.
pub(super) async fn looked_again(
    access: Access<'_>,
    delivery: &Delivery,
    memo: &mut Memo,
    policies: &std::sync::Arc<Policies>,
    view: &View<'_>,
    checks: &HealthChecks,
) -> Option<Report> {
    let awaited = memo.awaited.as_ref().filter(|awaited| awaited.still_stands(delivery, policies))?;
    let none = ChangeSet::default();
    let health = health(access.account, view, Trust::Watches, &awaited.ids, &none, checks).await;
    let (awaited, report) = awaited.looked(health, view.follows(awaited.ids.iter()))?;
    memo.awaited = Some(std::sync::Arc::new(awaited));
    Some(report)
}
