//! Doing what a plan says: stage by stage, dry-run before write, inventory before both.
//!
//! Dropping a future of this module at any point leaves nothing untracked: every object was in the stored inventory
//! before the first of them was sent.

mod established;

use std::{fmt, time::Duration};

use futures::{StreamExt, stream};
use sealift_verify::objects::ObjectId;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    IN_FLIGHT,
    api::Mark,
    assess::assess,
    change::{Action, ChangeSet, Refused},
    cluster::{Class, Cluster, ClusterError, Write},
    diff,
    inventory::{Inventory, store},
    order::Stage,
    owner::mark_of,
    plan::{Claim, Plan, Preview, Provided, Step, Todo},
};

/// How long an API server may take to serve a definition that it has accepted.
const SCHEMA_LAG: Duration = Duration::from_secs(10);

/// Who sends what: objects as the Delivery's account, inventories as the controller.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// As whom objects are read and written.
    pub account: &'a Cluster,
    /// As whom inventories are read and written.
    pub controller: &'a Cluster,
}

/// A plan whose first stage the server would take, and whose objects are all in the stored inventory.
#[derive(Debug)]
pub struct Prepared {
    plan: Preview,
    /// The stage whose changes were dry-run, and what it showed to be unchanged.
    first: Option<(Stage, Vec<Step>)>,
}

/// Why a plan was not done, or not done to the end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Objects were refused; nothing of their stage was applied.
    #[error("{}", Listed { refused, what: "refused", stage: *stage })]
    Refused {
        /// The stage; `None` if the plan already refused them and nothing was applied.
        stage: Option<Stage>,
        /// Each object and why.
        refused: Vec<Refused>,
        /// What stages before did.
        done: ChangeSet,
    },
    /// Objects that passed the dry-run were not taken; others of their stage were applied.
    #[error("{}", Listed { refused: failed, what: "not applied", stage: Some(*stage) })]
    Failed {
        /// The stage.
        stage: Stage,
        /// Each object and why.
        failed: Vec<Refused>,
        /// What was done.
        done: ChangeSet,
    },
    /// The inventory could not be stored, so nothing may be applied.
    #[error("the inventory cannot be stored")]
    Inventory {
        /// Why.
        #[source]
        source: ClusterError,
        /// What was done before.
        done: ChangeSet,
    },
}

impl ApplyError {
    /// What was done before it went wrong.
    pub fn done(&self) -> &ChangeSet {
        match self {
            Self::Refused { done, .. } | Self::Failed { done, .. } | Self::Inventory { done, .. } => done,
        }
    }

    /// The objects it is about.
    pub fn objects(&self) -> &[Refused] {
        match self {
            Self::Refused { refused, .. } => refused,
            Self::Failed { failed, .. } => failed,
            Self::Inventory { .. } => &[],
        }
    }

    /// True if trying again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Inventory { source, .. } => source.is_transient() || source.is_conflict(),
            Self::Refused { .. } | Self::Failed { .. } => {
                self.objects().iter().all(|refused| refused.why.is_transient())
            }
        }
    }
}

/// Claims every object in the stored inventory and dry-runs the first stage that would change something.
///
/// After this and before [`apply`] is the moment to advance the memory of trust: nothing has been written yet.
///
/// # Errors
/// [`ApplyError::Refused`] with every object the plan or the dry-run refuses; nothing was applied.
pub async fn prepare(access: Access<'_>, plan: Plan, inventory: &mut Inventory) -> Result<Prepared, ApplyError> {
    let mut plan = plan.into_preview();
    let not_stored = |source| ApplyError::Inventory { source, done: ChangeSet::default() };
    for (id, uid) in claimable(access.account, std::mem::take(&mut plan.claims)).await {
        inventory.claim_from(&id, &uid);
    }
    let mut refused = std::mem::take(&mut plan.refused);
    if refused.is_empty() {
        inventory.claim(plan.steps().map(|step| &step.id));
    }
    let first = plan
        .stages
        .iter()
        .find(|(_, steps)| steps.iter().any(|step| step.todo.value().is_some()))
        .map(|(stage, _)| *stage);
    let first = match first.and_then(|stage| plan.stages.remove_entry(&stage)) {
        None => None,
        Some((stage, steps)) => {
            let (steps, more) = dry_run(access.account, steps, &Patience::default()).await;
            refused.extend(more);
            Some((stage, steps))
        }
    };
    // Stored in either case: a refused object may be one that another Delivery is to hand over.
    store::write(access.controller, inventory).await.map_err(not_stored)?;
    match refused.is_empty() {
        true => Ok(Prepared { plan, first }),
        false => Err(ApplyError::Refused { stage: None, refused, done: ChangeSet::default() }),
    }
}

/// Applies what was prepared, and records in the inventory how each object looked right after.
///
/// # Errors
/// [`ApplyError`], with what was done until then. What was done is recorded in either case.
pub async fn apply(access: Access<'_>, prepared: Prepared, inventory: &mut Inventory) -> Result<ChangeSet, ApplyError> {
    let mut done = ChangeSet::default();
    let result = apply_stages(access, prepared, inventory, &mut done).await;
    let stored = store::write(access.controller, inventory).await;
    match (result, stored) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(source)) => Err(ApplyError::Inventory { source, done }),
        (Ok(()), Ok(_)) => Ok(done),
    }
}

async fn apply_stages(
    access: Access<'_>,
    prepared: Prepared,
    inventory: &mut Inventory,
    done: &mut ChangeSet,
) -> Result<(), ApplyError> {
    let Prepared { plan, first } = prepared;
    let Preview { mut stages, prunes: _, refused: _, claims: _, provided } = plan;
    let checked = first.as_ref().map(|(stage, _)| *stage);
    stages.extend(first);
    let mut patience = Patience::default();
    let mut workloads = vec![];
    for (stage, mut steps) in stages {
        if stage == Stage::Workloads {
            workloads = steps.iter().map(|step| &step.id).filter(|id| can_back_a_webhook(id)).cloned().collect();
        }
        if stage == Stage::Admission {
            hold_back(access.account, &workloads, &mut steps, done).await;
        }
        if checked != Some(stage) {
            let refused;
            (steps, refused) = dry_run(access.account, steps, &patience).await;
            if !refused.is_empty() {
                return Err(ApplyError::Refused { stage: Some(stage), refused, done: std::mem::take(done) });
            }
        }
        let mut failed = write(access.account, steps, &patience, inventory, done).await;
        if failed.is_empty() && stage == Stage::Definitions {
            let changed: Vec<_> =
                done.entries.iter().filter(|c| c.action != Action::Unchanged).map(|c| c.id.clone()).collect();
            failed = established::wait(access.account, &changed, &provided).await;
            patience =
                Patience { with: provided.clone().of_definitions(&changed), until: Some(Instant::now() + SCHEMA_LAG) };
        }
        if !failed.is_empty() {
            return Err(ApplyError::Failed { stage, failed, done: std::mem::take(done) });
        }
    }
    Ok(())
}

/// The claims this account could make good: nobody may keep another Delivery from pruning what is out of reach.
async fn claimable(account: &Cluster, claims: Vec<Claim>) -> Vec<(ObjectId, String)> {
    let asked = claims.into_iter().map(|Claim { step, from }| async move {
        let answer = dry_run_step(account, &step, &Patience::default()).await;
        answer.is_ok().then_some((step.id, from))
    });
    stream::iter(asked).buffered(IN_FLIGHT).filter_map(std::future::ready).collect().await
}

/// Custom resources are not among them: their health may be what the webhook is needed for.
fn can_back_a_webhook(id: &ObjectId) -> bool {
    matches!((id.group.as_str(), id.kind.as_str()), ("apps", _) | ("", "Pod"))
}

/// Leaves out what the API server would call into until the workloads of this Delivery are healthy. Only what is new
/// waits: a webhook that is there may be what keeps the workloads from getting healthy.
async fn hold_back(account: &Cluster, workloads: &[ObjectId], steps: &mut Vec<Step>, done: &mut ChangeSet) {
    if !steps.iter().any(|step| matches!(step.todo, Todo::Create(_))) {
        return;
    }
    if assess(account, workloads).await.is_healthy() {
        return;
    }
    steps.retain(|step| {
        let waits = matches!(step.todo, Todo::Create(_));
        if waits {
            done.push(
                step.id.clone(),
                Action::Skipped,
                Some("waits until the release's workloads are healthy".to_owned()),
            );
            done.waiting.push(step.id.clone());
        }
        !waits
    });
}

/// Kinds whose definition this apply has changed, and until when their schema may still lag behind.
#[derive(Debug, Default)]
struct Patience {
    with: Provided,
    until: Option<Instant>,
}

impl Patience {
    fn has(&self, id: &ObjectId, error: &ClusterError) -> bool {
        matches!(error, ClusterError::Answer { class: Class::Schema | Class::NotFound, .. })
            && self.with.resource(id).is_some()
            && self.until.is_some_and(|until| Instant::now() < until)
    }
}

/// Asks the server about every step that may change something. Answers with the steps, those that turned out to
/// change nothing marked so, and with everything that would be refused.
async fn dry_run(account: &Cluster, steps: Vec<Step>, patience: &Patience) -> (Vec<Step>, Vec<Refused>) {
    let asked = steps.into_iter().map(|step| async move {
        let outcome = dry_run_step(account, &step, patience).await;
        (step, outcome)
    });
    let answers: Vec<_> = stream::iter(asked).buffered(IN_FLIGHT).collect().await;
    let (mut steps, mut refused) = (vec![], vec![]);
    for (mut step, outcome) in answers {
        match outcome {
            Ok(None) => {}
            Ok(Some(mark)) => step.todo = Todo::Confirmed(mark),
            Err(error) => refused.push(Refused { id: step.id.clone(), why: error.into() }),
        }
        steps.push(step);
    }
    (steps, refused)
}

/// How a checked object looks, if it is as it should be; `None` if it is to be written.
async fn dry_run_step(account: &Cluster, step: &Step, patience: &Patience) -> Result<Option<Mark>, ClusterError> {
    let Some(value) = step.todo.value() else { return Ok(None) };
    let live = match step.todo {
        Todo::Check(_) => account.get(&step.resource, &step.id).await?,
        _ => None,
    };
    let after = match patient(account, step, value, Write::DryRun, patience).await {
        Err(ClusterError::Answer { class: Class::NoDryRun, .. }) => return Ok(None),
        answer => answer?,
    };
    let Some(live) = live else { return Ok(None) };
    let (Some(mark), Some(new)) = (mark_of(&live), mark_of(&after)) else { return Ok(None) };
    // Equal values under another set of fields: we lost our hold on them, or still hold some we no longer send.
    let same = mark.uid == new.uid && mark.fields == new.fields && diff::changes(&live, &after).is_empty();
    Ok(same.then_some(mark))
}

async fn patient(
    account: &Cluster,
    step: &Step,
    value: &Value,
    write: Write,
    patience: &Patience,
) -> Result<Value, ClusterError> {
    loop {
        match account.apply(&step.resource, &step.id, value, write).await {
            Err(error) if patience.has(&step.id, &error) => sleep(Duration::from_millis(250)).await,
            answer => return answer,
        }
    }
}

/// Writes a stage. What was written is recorded as it comes; what was not is returned.
async fn write(
    account: &Cluster,
    steps: Vec<Step>,
    patience: &Patience,
    inventory: &mut Inventory,
    done: &mut ChangeSet,
) -> Vec<Refused> {
    let writes = steps.into_iter().map(|step| async move {
        let answer = match step.todo.value() {
            Some(value) => Some(patient(account, &step, value, Write::Persist, patience).await),
            None => None,
        };
        (step, answer)
    });
    let mut answers = stream::iter(writes).buffered(IN_FLIGHT);
    let mut failed = vec![];
    while let Some((step, answer)) = answers.next().await {
        match answer {
            Some(Err(error)) => failed.push(Refused { id: step.id, why: error.into() }),
            Some(Ok(live)) => written(step, &live, inventory, done),
            None => not_written(step, inventory, done),
        }
    }
    failed
}

fn written(step: Step, live: &Value, inventory: &mut Inventory, done: &mut ChangeSet) {
    let Step { id, resource: _, content, todo, live_version, defined_here: _ } = step;
    if let Some(mark) = mark_of(live) {
        inventory.record(&id, content, mark);
    }
    let same = live_version.is_some() && live_version.as_deref() == live["metadata"]["resourceVersion"].as_str();
    let action = match todo {
        Todo::Create(_) => Action::Created,
        _ if same => Action::Unchanged,
        _ => Action::Configured,
    };
    done.push(id, action, None);
}

fn not_written(step: Step, inventory: &mut Inventory, done: &mut ChangeSet) {
    let Step { id, resource: _, content, todo, live_version: _, defined_here: _ } = step;
    match todo {
        Todo::Confirmed(mark) => {
            inventory.record(&id, content, mark);
            done.push(id, Action::Unchanged, None);
        }
        Todo::Skip(why) => done.push(id, Action::Skipped, Some(why.to_owned())),
        Todo::Unchanged | Todo::Create(_) | Todo::Configure(_) | Todo::Check(_) => {
            done.push(id, Action::Unchanged, None)
        }
    }
}

struct Listed<'a> {
    refused: &'a [Refused],
    what: &'static str,
    stage: Option<Stage>,
}

/// The first few in full: a condition's message is read by people.
impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let Self { refused, what, stage } = self;
        let objects = if refused.len() == 1 { "1 object".to_owned() } else { format!("{} objects", refused.len()) };
        match stage {
            Some(stage) => write!(f, "{objects} {what} in stage {stage}")?,
            None => write!(f, "{objects} {what}, nothing was applied")?,
        }
        for (at, refused) in refused.iter().take(SHOWN).enumerate() {
            write!(f, "{} {refused}", if at == 0 { ":" } else { ";" })?;
        }
        if refused.len() > SHOWN { write!(f, "; and {} more", refused.len() - SHOWN) } else { Ok(()) }
    }
}
