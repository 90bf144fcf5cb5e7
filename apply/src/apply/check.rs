//! Asking the server by dry-run, and taking its answers for what they mean.

use futures::{StreamExt, stream};

use super::{Access, look_again, patience::Patience, replace, write::patient};
use crate::{
    IN_FLIGHT,
    api::Mark,
    change::Refused,
    cluster::{Class, Cluster, ClusterError, Write},
    diff,
    owner::mark_of,
    plan::{Asked, Refusal, Step, Terms, Todo},
};

/// How often an object may turn out to be another one before it is left to the next reconcile.
pub(super) const SURPRISES: usize = 3;

/// A step as it is after the server was asked, and why it is refused if it is.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) step: Step,
    pub(super) refusal: Option<Refusal>,
}

/// Asks about every step of a stage that was not asked about. Answers with the steps, and all that would be refused.
pub(super) async fn all(
    access: Access<'_>,
    terms: &Terms,
    steps: Vec<Step>,
    patience: &Patience,
) -> (Vec<Step>, Vec<Refused>) {
    let asked = steps.into_iter().map(|step| check(access, terms, step, patience));
    let answers: Vec<_> = stream::iter(asked).buffered(IN_FLIGHT).collect().await;
    let (mut steps, mut refused) = (vec![], vec![]);
    for Answer { step, refusal } in answers {
        refused.extend(refusal.map(|(why, _)| Refused { id: step.id.clone(), why }));
        steps.push(step);
    }
    (steps, refused)
}

/// Asks about one step, unless it was asked about already or changes nothing.
pub(super) async fn check(access: Access<'_>, terms: &Terms, mut step: Step, patience: &Patience) -> Answer {
    let refused = |step, refusal| Answer { step, refusal: Some(refusal) };
    let mut surprises = 0;
    loop {
        if step.todo.value().is_none() || step.asked != Asked::No {
            return Answer { step, refusal: None };
        }
        match dry_run(access.account, &step, patience).await {
            Ok(Outcome::Same(mark)) => step.todo = Todo::Confirmed(mark),
            Ok(Outcome::Taken) => step.asked = Asked::Passed,
            Ok(Outcome::NoDryRun) => step.asked = Asked::Impossible,
            Err(error) if error.is_other_object() && surprises < SURPRISES => {
                surprises += 1;
                match look_again(access, terms, &step).await {
                    Ok(other) => step = other,
                    Err(refusal) => return refused(step, refusal),
                }
            }
            Err(error) if error.is_immutable() => match replace::instead(access.account, terms, &mut step, error).await
            {
                Ok(()) => step.asked = Asked::Passed,
                Err(why) => return refused(step, (why, None)),
            },
            Err(error) => return refused(step, (error.into(), None)),
        }
    }
}

enum Outcome {
    /// It is as it should be.
    Same(Mark),
    /// It would be written.
    Taken,
    /// A webhook takes no part in dry-runs.
    NoDryRun,
}

async fn dry_run(account: &Cluster, step: &Step, patience: &Patience) -> Result<Outcome, ClusterError> {
    let Some(value) = step.todo.value() else { return Ok(Outcome::Taken) };
    let live = match step.todo {
        Todo::Check(_) => account.get(&step.resource, &step.id).await?,
        _ => None,
    };
    let after = match patient(account, step, &step.guard.on(value), Write::DryRun, patience).await {
        Err(ClusterError::Answer { class: Class::NoDryRun, .. }) => return Ok(Outcome::NoDryRun),
        answer => answer?,
    };
    let Some(live) = live else { return Ok(Outcome::Taken) };
    let (Some(mark), Some(new)) = (mark_of(&live), mark_of(&after)) else { return Ok(Outcome::Taken) };
    // Equal values under another set of fields: we lost our hold on them, or still hold some we no longer send.
    let same = mark.uid == new.uid && mark.fields == new.fields && diff::changes(&live, &after).is_empty();
    Ok(if same { Outcome::Same(mark) } else { Outcome::Taken })
}
