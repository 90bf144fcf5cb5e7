//! From what a Delivery asks for to a healthy release: the driver. The steps in order, and nothing else.
//!
//! ```text
//! order ─policies→ resolve → fetch → verify → plan → dry-run ─memory→ apply → prune → health
//! ```

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use sealift_apply::{
    api::{Delivery, DeliveryStatus, condition},
    apply::Access,
    progress,
};
use sealift_registry::fetch::Legacy;

use super::{
    about,
    apply::applied,
    context::{Context, Memo},
    follow::Follower,
    health::{health, looked_again},
    judge::{Judge, Judged},
    memory,
    order::{self, Order},
    plan::{Sight, planned},
    prune::pruned,
    publish,
    registries::PullSecret,
    report::{Report, last_applied},
    resolve::resolve,
    safety,
    source::{Source, SourceError},
    standing::{Standing, suspending},
    status::{self, READY},
    stop::Stop,
    verify,
    wait::Awaited,
};
use crate::options::places;

/// Does everything, or stops with the reason. What was found and done until then stands in `report`.
pub(super) async fn deliver(
    context: &Context,
    delivery: &Delivery,
    memo: &mut Memo,
    previous: &DeliveryStatus,
    report: &mut Report,
) -> Result<(), Stop> {
    let spec = &delivery.spec;
    // 1. pure: who asks for what, and is there a policy for it at all? Nothing is contacted before that is known.
    let Order { owner, repository, selection, account: name, checks } =
        order::read(delivery, context.default_account.as_deref())?;
    let policies = context.policies.borrow().clone();
    let matching = policies.for_repository(&repository, &owner.namespace);
    let matching = matching.inspect_err(|stop| report.standing = Standing::of(stop))?;
    let account = context.account(&owner.namespace, name)?;
    let access = Access { account: &account, controller: &context.cluster };
    let follower = Follower { hub: &context.hub, owner: &owner, account: name, take_over: &spec.take_over };
    if let Some(looked) = looked_again(access, delivery, memo, &policies, &checks).await {
        *report = looked;
        return Ok(());
    }

    // 2. registry: which artifact?
    progress::step("resolve");
    let secret = PullSecret::read(&account, &owner.namespace, spec.pull_secret_name.as_deref()).await;
    let source = Source {
        repository: &repository,
        places: places(&context.mirrors, &repository),
        secret: secret.map_err(SourceError::from)?,
        registries: &context.registries,
        legacy: Legacy::of(&matching),
        metrics: &context.metrics,
    };
    let selected = resolve(&source, selection).await;

    // 3. registry, cluster, pure: is it what this cluster may run, and nothing older?
    progress::step("memory");
    let remembered = memory::read(&context.cluster, &owner).await?;
    let now = Timestamp::now();
    progress::step("verify");
    let judge = Judge {
        artifacts: &context.artifacts,
        source: &source,
        policies: &policies,
        suspending: suspending(&matching),
        access,
        owner: &owner,
        spec,
        memory: &remembered.memory,
        previous,
        now,
    };
    let awaits_approval =
        condition(&previous.conditions, READY).is_some_and(|ready| ready.reason == "ApprovalRequired");
    let asked = about(delivery).requested != previous.last_handled_reconcile_at.as_deref() || awaits_approval;
    let interval = if asked { Duration::ZERO } else { spec.interval.get() };
    let judged = match selected {
        Ok(resolved) => {
            report.attempted = Some((resolved.digest, resolved.tag.clone()));
            judge.selected(&resolved, interval, &mut report.evidence).await
        }
        Err(error) => Err(error.into()),
    };
    // What cannot run does not come, but what runs is kept in repair; why is told at the end.
    let (Judged { verified, evidence, accepted }, held_up) = match judged {
        Ok(judged) => (judged, None),
        Err(stop) => {
            let (judged, stop) = judge.last_known(stop, memo.accepted.as_deref(), report).await?;
            (judged, Some(stop))
        }
    };
    if held_up.is_none() && !verify::is_new(&verified, previous) {
        report.standing = Standing::Accepted;
    }

    // 4. cluster: plan, dry-run, remember, apply, prune.
    progress::step("plan");
    let is_new = held_up.is_none() && verify::is_new(&verified, previous);
    // Whatever ends this early, from here to the end of the prune the inventory may name what is not so.
    let trusted = std::mem::take(&mut memo.trusted);
    context.remember(&owner.uid, memo.clone());
    // Approved is an effect on the cluster as it is, so that is looked at.
    let demanded = verified.approvals().are_demanded();
    let sight = Sight { fresh: asked || is_new && demanded, is_new: is_new && !demanded, trusted };
    let (plan, mut inventory, glance) = planned(access, &owner, &verified, follower, spec, sight).await?;
    let rows = if spec.prune { plan.prunes().to_vec() } else { Vec::new() };
    if is_new {
        safety::judged(access, &verified, &plan, &rows, &inventory, now, report).await?;
    }
    if is_new && !plan.preview().is_noop() {
        let working = status::working(previous, about(delivery), report);
        let told = publish::status(context, delivery, memo, previous, &working).await;
        told.map_err(|source| Stop::Cluster { doing: "writing the status", source })?;
    }
    progress::step("apply");
    let done = applied(access, plan, &mut inventory, &remembered, &verified, now, report).await;
    follower.own(access, &inventory, &glance, &report.changes).await;
    done?;
    if report.changes.waiting.is_empty() {
        report.applied = evidence.map(|evidence| last_applied(&verified, &evidence));
        memo.accepted = Some(Arc::new(accepted));
    }
    progress::step("prune");
    let gone = pruned(access, &rows, &mut inventory, report).await;
    memo.trusted = gone.is_ok();
    report.objects = Some(inventory.len());

    // 5. cluster: did it help?
    progress::step("health");
    let held_back = |id: &_| report.changes.waiting.contains(id);
    let ids: Vec<_> = verified.objects().iter().map(|object| object.id.clone()).filter(|id| !held_back(id)).collect();
    report.health = Some(health(&account, &ids, &report.changes, &checks).await);
    memo.awaited = Awaited::after(delivery, &policies, ids, report).map(Arc::new);
    gone?;
    held_up.map_or(Ok(()), Err)
}
