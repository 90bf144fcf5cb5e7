//! Doing what a plan says: stage by stage, dry-run before write, inventory before both.
//!
//! Everything is dry-run before the first write, as far as it can be: what an earlier stage of the same release may cure (a
//! namespace, a role, a definition that is not there yet) is asked again once that stage is applied, and anything else is
//! refused while nothing has been touched.
//!
//! Dropping a future of this module at any point leaves nothing untracked: every object was in the stored inventory
//! before the first of them was sent.

mod check;
mod error;
pub(crate) mod established;
mod hold_back;
mod patience;
mod replace;
mod write;

use futures::{StreamExt, stream};
use sealift_verify::objects::ObjectId;

pub use self::error::ApplyError;
use self::{
    check::{Answer, check},
    patience::Patience,
};
use crate::{
    IN_FLIGHT,
    change::{Action, ChangeSet, Refused, Why},
    cluster::{Class, Cluster, ClusterError},
    inventory::{Inventory, Key, store},
    observe::{Seen, Unknown, look_at, owners},
    order::Stage,
    plan::{Claim, Plan, Preview, Refusal, Step, Terms, Todo, again},
    terminating,
};

/// Who sends what: objects as the Delivery's account, inventories as the controller.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// As whom objects are read and written.
    pub account: &'a Cluster,
    /// As whom inventories are read and written.
    pub controller: &'a Cluster,
}

/// A plan of which the server would take everything it could be asked, and whose objects are all in the stored inventory.
#[derive(Debug)]
pub struct Prepared {
    plan: Preview,
}

/// Claims every object in the stored inventory and dry-runs what would change something.
///
/// After this and before [`apply`] is the moment to advance the memory of trust: nothing has been written yet.
///
/// # Errors
/// [`ApplyError::Refused`] with every object the plan or the dry-run refuses; nothing was applied.
pub async fn prepare(access: Access<'_>, plan: Plan, inventory: &mut Inventory) -> Result<Prepared, ApplyError> {
    let mut plan = plan.into_preview();
    let mut refused = std::mem::take(&mut plan.refused);
    let mut claims = std::mem::take(&mut plan.claims);
    let more = dry_run_all(access, &mut plan).await;
    refused.extend(more.into_iter().map(|(id, (why, claim))| {
        claims.extend(claim.map(|claim| *claim));
        Refused { id, why }
    }));
    for (id, uid) in claimable(access, claims, &plan.terms).await {
        inventory.claim_from(&id, &uid);
    }
    if refused.is_empty() {
        inventory.claim(plan.steps().filter(|step| !matches!(step.todo, Todo::Skip(_))).map(|step| &step.id));
    }
    // Stored in either case: a refused object may be one that another Delivery is to hand over.
    let not_stored = |source| ApplyError::Inventory { source, done: ChangeSet::default() };
    store::write(access.controller, inventory).await.map_err(not_stored)?;
    if refused.is_empty() {
        return Ok(Prepared { plan });
    }
    terminating::explain(access.controller, refused.iter_mut().map(|refused| (&refused.id, &mut refused.why))).await;
    Err(ApplyError::Refused { stage: None, refused, done: ChangeSet::default() })
}

/// Asks about every object, and answers with what is refused for good: of the first stage that changes something
/// everything, of later ones what no earlier stage could cure.
async fn dry_run_all(access: Access<'_>, plan: &mut Preview) -> Vec<(ObjectId, Refusal)> {
    let stages = std::mem::take(&mut plan.stages);
    let first = stages.iter().find(|(_, steps)| steps.iter().any(|step| step.todo.value().is_some()));
    let first = first.map(|(stage, _)| *stage);
    let (patience, terms) = (Patience::default(), &plan.terms);
    let asked = stages.into_iter().flat_map(|(stage, steps)| steps.into_iter().map(move |step| (stage, step)));
    let asked = asked.map(|(stage, step)| {
        let patience = &patience;
        async move {
            // The first of a kind that is not served yet is no question of a dry-run.
            let answer = match step.defined_here && Some(stage) != first {
                true => Answer { step, refusal: None },
                false => check(access, terms, step, patience).await,
            };
            (stage, answer)
        }
    });
    let answers: Vec<_> = stream::iter(asked).buffered(IN_FLIGHT).collect().await;
    let mut refused = vec![];
    for (stage, Answer { step, refusal }) in answers {
        match refusal {
            Some(refusal) if Some(stage) == first || !is_curable(&step, &refusal.0, terms) => {
                refused.push((step.id, refusal));
            }
            // Asked again in its stage.
            Some(_) | None => plan.stages.entry(stage).or_default().push(step),
        }
    }
    refused
}

/// Whether something of an earlier stage may be what is missing. What the API's own rules or an owner forbid, nothing
/// cures; what a definition of this release governs may be fine once that is applied.
fn is_curable(step: &Step, why: &Why, terms: &Terms) -> bool {
    match why {
        Why::Cluster(ClusterError::Answer { class: Class::Invalid | Class::Schema, .. }) => {
            terms.provided.resource(&step.id).is_some()
        }
        Why::Cluster(_) => true,
        _ => false,
    }
}

/// Applies what was prepared, and records in the inventory how each object looked right after.
///
/// That is not stored yet ([`store::write`] does): whatever ends the program before, the objects are named, and are looked at
/// again since nothing is known of how they were left.
///
/// # Errors
/// [`ApplyError`], with what was done until then, which is stored then.
pub async fn apply(access: Access<'_>, prepared: Prepared, inventory: &mut Inventory) -> Result<ChangeSet, ApplyError> {
    let mut done = ChangeSet::default();
    match apply_stages(access, prepared, inventory, &mut done).await {
        Ok(()) => Ok(done),
        Err(mut error) => {
            let refused = error.objects_mut().iter_mut().map(|refused| (&refused.id, &mut refused.why));
            terminating::explain(access.controller, refused).await;
            // What went wrong is the answer, also where this goes wrong too.
            let _ = store::write(access.controller, inventory).await;
            Err(error)
        }
    }
}

async fn apply_stages(
    access: Access<'_>,
    prepared: Prepared,
    inventory: &mut Inventory,
    done: &mut ChangeSet,
) -> Result<(), ApplyError> {
    let Preview { stages, prunes: _, refused: _, claims: _, terms } = prepared.plan;
    let mut patience = Patience::default();
    let mut workloads = vec![];
    for (stage, mut steps) in stages {
        if stage == Stage::Workloads {
            workloads = hold_back::backends(&steps);
        }
        if stage == Stage::Admission {
            hold_back::hold_back(access.account, &workloads, &mut steps, done).await;
        }
        let refused;
        (steps, refused) = check::all(access, &terms, steps, &patience).await;
        if !refused.is_empty() {
            return Err(ApplyError::Refused { stage: Some(stage), refused, done: std::mem::take(done) });
        }
        let mut failed = write::all(access, &terms, steps, &patience, inventory, done).await;
        if failed.is_empty() && stage == Stage::Definitions {
            let changed: Vec<_> =
                done.entries.iter().filter(|c| c.action != Action::Unchanged).map(|c| c.id.clone()).collect();
            failed = established::wait(access.account, &changed, &terms.provided).await;
            patience = Patience::with(terms.provided.clone().of_definitions(&changed));
        }
        if !failed.is_empty() {
            return Err(ApplyError::Failed { stage, failed, done: std::mem::take(done) });
        }
    }
    Ok(())
}

/// The claims this account could make good: nobody may keep another Delivery from pruning what is out of reach.
async fn claimable(access: Access<'_>, claims: Vec<Claim>, terms: &Terms) -> Vec<(ObjectId, String)> {
    let asked = claims.into_iter().map(|Claim { step, from }| async move {
        let answer = check(access, terms, step, &Patience::default()).await;
        answer.refusal.is_none().then_some((answer.step.id, from))
    });
    stream::iter(asked).buffered(IN_FLIGHT).filter_map(std::future::ready).collect().await
}

/// Looks at an object that turned out to be another than was planned for, and plans it anew.
async fn look_again(access: Access<'_>, terms: &Terms, step: &Step) -> Result<Step, Refusal> {
    let alone = |error: ClusterError| (Why::from(error), None);
    let mut seen = look_at(access.account, &[&step.id], None, &Unknown).await.map_err(alone)?;
    let own = terms.owner.as_ref().map(|owner| owner.uid.as_str());
    let owners = owners(access.controller, &seen, own).await.map_err(alone)?;
    let seen = seen.remove(&Key::of(&step.id)).unwrap_or(Seen::UnknownKind);
    again(step, seen, &owners, terms)
}
