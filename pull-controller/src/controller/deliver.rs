//! From what a Delivery asks for to a healthy release: the driver. The steps in order, and nothing else.
//!
//! ```text
//! order ─policies→ resolve → fetch → verify → plan → dry-run ─memory→ apply → prune → health
//! ```

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures::future::join;

use jiff::Timestamp;
use sealift_apply::{
    api::{Delivery, DeliveryReference, DeliveryStatus, GROUP, condition},
    apply::Access,
    change::ChangeSet,
    drift::Limit,
    progress,
};
use sealift_registry::fetch::Legacy;
use sealift_verify::objects::ObjectId;

use super::{
    about,
    apply::applied,
    context::{Context, Memo},
    depends, drift,
    follow::Follower,
    health::{Trust, health, looked_again},
    hold,
    judge::{Judge, Judged},
    memory,
    order::{self, Order},
    owed,
    plan::{Sight, planned},
    prune::pruned,
    publish,
    registries::PullSecret,
    report::{Report, last_applied},
    resolve::{Asker, resolve},
    safety, self_refusal,
    source::{Source, SourceError},
    standing::{Standing, suspending},
    status::{self, READY},
    stop::Stop,
    trace,
    verify::{self, Freshness},
    wait::Awaited,
};
use tokio::time::timeout;

use crate::{
    options::places,
    queue::{Key, Reason, Reasons},
};

/// Work that takes longer is told of before it is done.
const SLOW: Duration = Duration::from_secs(1);

/// Does everything, or stops with the reason. What was found and done until then stands in `report`.
pub(super) async fn deliver(
    context: &Context,
    delivery: &Delivery,
    memo: &mut Memo,
    reasons: Reasons,
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
    let acting = |source| Stop::Cluster { doing: "acting as the service account", source };
    let account = context.account(&owner, name).map_err(acting)?;
    let access = Access { account: &account, controller: &context.cluster };
    let follower = Follower { hub: &context.hub, owner: &owner, account: name, take_over: &spec.take_over };
    let view = context.hub.view(&owner.namespace, name);
    if spec.hold.is_none()
        && reasons.are_among(&[Reason::Health, Reason::Due, Reason::Owed])
        && !drift::is_over(previous.drift.as_ref(), Timestamp::now())
        && let Some(looked) = looked_again(access, delivery, memo, &policies, &view, &checks).await
    {
        *report = looked;
        return Ok(());
    }

    // 2. registry: which artifact?
    progress::step("resolve");
    let key = Key::from(delivery);
    let asked = about(delivery).requested != previous.last_handled_reconcile_at.as_deref();
    let reader = context.named.reader(&key, spec, name, &account, asked);
    let secret = PullSecret::read(reader, spec.pull_secret_name.as_deref()).await;
    let source = Source {
        repository: &repository,
        places: places(&context.mirrors, &repository),
        secret: secret.map_err(SourceError::from)?,
        registries: &context.registries,
        legacy: Legacy::of(&matching),
        tenant: &owner.namespace,
        tags: &context.tags,
        metrics: &context.metrics,
    };
    let interval = context.interval(delivery);
    let changed = delivery.metadata.generation != previous.observed_generation;
    let asker = Asker { key: &key, interval, urgent: asked };
    let selected = resolve(&source, selection, asker).await;

    // 3. registry, cluster, pure: is it what this cluster may run, and nothing older?
    progress::step("memory");
    let remembered = memory::read(&context.cluster, &context.known, &owner).await?;
    let now = Timestamp::now();
    let (meant, finding) = hold::meant(spec.hold.as_ref(), &matching, &remembered.memory, now);
    report.hold = finding;
    let remembered = match &meant {
        Some(meant) => memory::note(&context.cluster, &context.known, remembered, &meant.hold, now).await?,
        None => remembered,
    };
    progress::step("verify");
    let judge = Judge {
        artifacts: &context.artifacts,
        images: &context.images,
        source: &source,
        reader,
        policies: &policies,
        suspending: suspending(&matching),
        access,
        owner: &owner,
        spec,
        memory: &remembered.memory,
        meant: meant.as_ref(),
        previous,
        now,
    };
    let awaits_approval =
        condition(&previous.conditions, READY).is_some_and(|ready| ready.reason == "ApprovalRequired");
    let asked = asked || awaits_approval;
    let freshness = Freshness::of(interval, asked, changed);
    let may_come = || context.may_come(&owner.namespace);
    let met = || depends::met(delivery, |key| context.delivery(key));
    let timely = |judged: Judged| match verify::is_new(&judged.verified, previous) {
        true => may_come().and_then(|()| met()).map(|()| judged),
        false => Ok(judged),
    };
    let judged = match selected {
        Ok(resolved) => {
            report.attempted = Some((resolved.digest, resolved.tag.clone()));
            judge.selected(&resolved, freshness, &mut report.evidence).await.and_then(timely)
        }
        Err(error) => Err(error.into()),
    };
    // What cannot run does not come, but what runs is kept in repair; why is told at the end.
    let judged = match &meant {
        Some(meant) => hold::held(&judge, meant, freshness, judged, report).await,
        None => judged.map(|judged| (judged, None)),
    };
    let is_held = report.hold.is_in_force();
    let (Judged { verified, evidence, accepted }, held_up) = match judged {
        Ok(judged) => judged,
        Err(stop) => {
            let (judged, stop) = judge.last_known(stop, memo.accepted.as_deref(), report).await?;
            (judged, Some(stop))
        }
    };
    let is_chosen = held_up.is_none() || is_held;
    if is_chosen {
        report.trace = trace::stated(&verified);
    }
    if is_chosen && !verify::is_new(&verified, previous) {
        report.standing = Standing::Accepted;
    }

    // 4. cluster: plan, dry-run, remember, apply, prune.
    progress::step("plan");
    let is_new = is_chosen && verify::is_new(&verified, previous);
    // Whatever ends this early, from here to the end of the prune the inventory may name what is not so.
    let (trusted, kept) = (std::mem::take(&mut memo.trusted), owed::taken(context, &owner.uid).await?);
    context.remember(&owner.uid, memo.clone());
    // Approved is an effect on the cluster as it is, so that is looked at.
    let demanded = verified.approvals().are_demanded();
    let break_glass = context.break_glass.map(|longest| Limit { now, longest });
    let sight = Sight { fresh: asked || is_new && demanded, is_new: is_new && !demanded, trusted, break_glass };
    let (plan, mut inventory, glance) =
        planned(access, &verified, follower, spec, &memo.contention, sight, kept).await?;
    // What an emergency hold goes back to, policies allow also under a freeze.
    let frozen = if is_held { None } else { may_come().err() };
    if is_new && let Some(stop) = frozen {
        return Err(stop);
    }
    let leaves = spec.prune && !plan.prunes().is_empty();
    let rows = if leaves && frozen.is_none() { plan.prunes().to_vec() } else { Vec::new() };
    if is_new {
        safety::judged(access, &verified, &plan, &rows, &inventory, now, report).await?;
        self_refusal::judged(context, &judge, &verified, &plan, &rows).await?;
    }
    let brings = is_new && !plan.preview().is_noop();
    let working = brings.then(|| status::working(previous, about(delivery), report));
    progress::step("apply");
    let may = || if is_new && !is_held { may_come() } else { Ok(()) };
    // A statement that came under a freeze is none of what runs, also where it is about the same objects.
    let noted = frozen.is_none().then_some(&remembered);
    let work = applied(access, &context.known, plan, &mut inventory, noted, &verified, now, may, report);
    let done = told_if_slow(work, async {
        let Some(working) = working else { return };
        let written = publish::current(delivery, memo);
        if let Err(error) = publish::status(context, delivery, memo, &written, &working).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "that it works was not written");
        }
    })
    .await;
    follower.own(access, &inventory, &glance, &report.changes).await;
    drift::fought(&mut memo.contention, &report.changes, std::time::Instant::now());
    done?;
    if report.changes.waiting.is_empty() {
        let applied = evidence.filter(|_| frozen.is_none());
        report.applied = applied.map(|evidence| last_applied(&verified, &evidence));
        memo.accepted = Some(Arc::new(accepted));
    }
    progress::step("prune");
    let gone = pruned(access, &rows, &mut inventory, report).await;
    if !rows.is_empty() {
        // What was deleted here is missed by nobody.
        follower.own(access, &inventory, &glance, &ChangeSet::default()).await;
    }
    memo.trusted = gone.is_ok();
    report.objects = Some(inventory.len());
    match gone {
        Ok(()) => owed::keep(context, inventory).await,
        Err(_) => owed::write(context, &mut inventory).await,
    };

    // 5. cluster: did it help?
    progress::step("health");
    let removed = drift::removed_on_purpose(&report.changes);
    let held_back = |id: &_| report.changes.waiting.contains(id) || removed.contains(id) || is_itself(&owner, id);
    let ids: Vec<_> = verified.objects().iter().map(|object| object.id.clone()).filter(|id| !held_back(id)).collect();
    let trust = match (asked, changed) {
        (true, _) => Trust::Writes,
        (false, true) => Trust::WatchesAlone,
        (false, false) => Trust::Watches,
    };
    report.health = Some(health(&account, &view, trust, &ids, &report.changes, &checks).await);
    memo.awaited = Awaited::after(delivery, interval, &policies, report).map(Arc::new);
    gone?;
    held_up.or(frozen.filter(|_| leaves)).map_or(Ok(()), Err)
}

/// True for the Delivery in its own release: waiting until it is ready, it would wait for itself.
fn is_itself(owner: &DeliveryReference, id: &ObjectId) -> bool {
    let ObjectId { group, kind, namespace, name, version: _ } = id;
    (group.as_str(), kind.as_str()) == (GROUP, "Delivery")
        && (namespace.as_deref(), name) == (Some(&owner.namespace), &owner.name)
}

/// Does the work, and says that it is being done only if it takes so long that somebody may wonder.
async fn told_if_slow<T>(work: impl Future<Output = T>, tell: impl Future<Output = ()>) -> T {
    let mut work = pin!(work);
    match timeout(SLOW, &mut work).await {
        Ok(done) => done,
        Err(_) => join(tell, work).await.1,
    }
}
