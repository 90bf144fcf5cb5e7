//! Writing a stage: one request an object, recorded as the answers come.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::Value;
use tokio::time::sleep;

use super::{Access, check::SURPRISES, look_again, patience::Patience, replace};
use crate::{
    IN_FLIGHT,
    change::{Action, Answer, Change, ChangeSet, Refused, Why},
    cluster::{Cluster, ClusterError, Write},
    drift::taken_off,
    inventory::{Inventory, Key},
    plan::{Asked, Step, Terms, Todo},
    progress, takeover,
};

/// Writes a stage. What was written is recorded as it comes; what was not is returned.
pub(super) async fn all(
    access: Access<'_>,
    terms: &Terms,
    steps: Vec<Step>,
    patience: &Patience,
    inventory: &mut Inventory,
    done: &mut ChangeSet,
) -> Vec<Refused> {
    let writes = steps.into_iter().map(|step| write(access, terms, step, patience));
    let mut answers = stream::iter(writes).buffered(IN_FLIGHT);
    let mut failed = vec![];
    while let Some((step, answer)) = answers.next().await {
        match answer {
            Some(Err(why)) => failed.push(Refused { id: step.id, why }),
            Some(Ok(live)) => written(step, live, inventory, done),
            None => not_written(step, inventory, done),
        }
    }
    failed
}

/// Writes one object; `None` if there is nothing to write. The step is the one that was done in the end.
async fn write(
    access: Access<'_>,
    terms: &Terms,
    mut step: Step,
    patience: &Patience,
) -> (Step, Option<Result<Value, Why>>) {
    let mut surprises = 0;
    loop {
        let Some(value) = step.todo.value() else { return (step, None) };
        if progress::is_ending() {
            return (step, Some(Err(Why::Stopping)));
        }
        let why = match send(access.account, terms, &step, value, patience).await {
            Ok(live) => return (step, Some(Ok(live))),
            Err(why) => why,
        };
        match why {
            Why::Cluster(error) if error.is_other_object() && surprises < SURPRISES => {
                surprises += 1;
                match look_again(access, terms, &step).await {
                    Ok(other) => step = other,
                    Err((why, _)) => return (step, Some(Err(why))),
                }
            }
            Why::Cluster(error) if error.is_immutable() && !matches!(step.todo, Todo::Recreate(_)) => {
                if let Err(why) = replace::instead(access.account, terms, &mut step, error).await {
                    return (step, Some(Err(why)));
                }
            }
            why => return (step, Some(Err(why))),
        }
    }
}

async fn send(account: &Cluster, terms: &Terms, step: &Step, value: &Value, patience: &Patience) -> Result<Value, Why> {
    if matches!(step.todo, Todo::Recreate(_)) {
        return replace::replace(account, step, value).await;
    }
    if step.migrate {
        take_over(account, terms, step).await?;
    }
    let live = patient(account, step, &step.guard.on(value), Write::Persist, patience).await?;
    match terms.options.break_glass {
        Some(_) => Ok(end_break_glass(account, step, value, live).await?),
        None => Ok(live),
    }
}

/// Takes the annotations off an object that was written: what hands asked for is over then, whatever the reason. Answers with
/// the object as it is afterwards.
async fn end_break_glass(
    account: &Cluster,
    step: &Step,
    released: &Value,
    mut live: Value,
) -> Result<Value, ClusterError> {
    let mut tries = 0;
    while let Some(patch) = taken_off(&live, released) {
        match account.json_patch(&step.resource, &step.id, &patch).await {
            // Somebody wrote in between.
            Err(error) if error.is_conflict() && tries < SURPRISES => {
                tries += 1;
                live = account.get(&step.resource, &step.id).await?.unwrap_or(live);
            }
            answer => return answer,
        }
    }
    Ok(live)
}

/// Makes fields of managers that are taken over our own, before the apply that lets go of those it does not hold.
async fn take_over(account: &Cluster, terms: &Terms, step: &Step) -> Result<(), ClusterError> {
    let mut tries = 0;
    loop {
        let Some(live) = account.get_metadata(&step.resource, &step.id).await? else { return Ok(()) };
        let entries = live.managed_fields.unwrap_or_default();
        let Some(taken) = takeover::taken(&entries, &terms.options.take_over) else { return Ok(()) };
        let patch = takeover::patch(&taken, live.resource_version.as_deref().unwrap_or_default());
        match account.json_patch(&step.resource, &step.id, &patch).await {
            // Somebody wrote in between: what is computed anew holds his entry too.
            Err(error) if error.is_conflict() && tries < SURPRISES => tries += 1,
            answer => return answer.map(drop),
        }
    }
}

/// An apply that waits for schemas which this release has changed.
pub(super) async fn patient(
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

fn written(mut step: Step, live: Value, inventory: &mut Inventory, done: &mut ChangeSet) {
    done.looks.extend(step.look.take());
    let answer = Answer::of(&step.id, live);
    let before = inventory.row(&Key::of(&step.id));
    let same = answer.as_ref().is_some_and(|answer| match &step.live_version {
        Some(version) => *version == answer.resource_version,
        // Marks tell seconds, and some kinds have no generation: other content within the second leaves an equal one.
        None => before.is_some_and(|row| row.content == Some(step.content) && row.mark.as_ref() == Some(&answer.mark)),
    });
    let (action, mut reason) = match &step.todo {
        Todo::Create(_) => (Action::Created, None),
        Todo::Recreate(_) => (Action::Configured, Some("deleted and created anew: a field that changed is immutable")),
        _ if same => (Action::Unchanged, None),
        _ => (Action::Configured, None),
    };
    if step.asked == Asked::Impossible {
        reason = Some("not dry-run: a webhook takes no part in dry-runs");
    }
    if let Some(answer) = &answer {
        inventory.record(&step.id, step.content, answer.mark.clone());
    }
    done.entries.push(Change { id: step.id, action, reason: reason.map(str::to_owned), live: answer });
}

fn not_written(mut step: Step, inventory: &mut Inventory, done: &mut ChangeSet) {
    done.looks.extend(step.look.take());
    match step.todo {
        Todo::Confirmed(mark) => {
            inventory.record(&step.id, step.content, mark);
            done.push(step.id, Action::Unchanged, None);
        }
        Todo::Skip(why) => {
            // It was claimed before it turned out to be there already.
            let key = Key::of(&step.id);
            if inventory.row(&key).is_some_and(|row| row.mark.is_none() && row.claimed_from.is_none()) {
                inventory.forget(&key);
            }
            done.push(step.id, Action::Skipped, Some(why.to_owned()));
        }
        Todo::Unchanged | Todo::Create(_) | Todo::Configure(_) | Todo::Check(_) | Todo::Recreate(_) => {
            done.push(step.id, Action::Unchanged, None);
        }
    }
}
