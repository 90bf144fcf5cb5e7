//! Asking the server by dry-run, and taking its answers for what they mean.

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::{Access, look_again, patience::Patience, replace, write::patient};
use crate::{
    IN_FLIGHT,
    api::{DriftMode, DriftState, Mark, Validation},
    change::{Look, Refused},
    cluster::{Class, Cluster, ClusterError, Write},
    drift::{
        Found, leave,
        look::{Conclusion, Looked, conclude, foreign},
    },
    inventory::Key,
    options::Manner,
    owner::{mark_of, writers_of},
    plan::{Asked, Refusal, Step, TOLD, Terms, Todo, left_alone},
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
        let asks = terms.options.validation == Validation::DryRun
            || matches!(step.todo, Todo::Check(_))
            || !step.leave.is_empty();
        if step.todo.value().is_none() || step.asked != Asked::No || !asks {
            return Answer { step, refusal: None };
        }
        match dry_run(access.account, terms, &mut step, patience).await {
            // What is as it should be but for the annotations is written too: they go with the write.
            Ok(Outcome::Same(_)) if step.ends_break_glass => step.asked = Asked::Passed,
            Ok(Outcome::Same(mark)) => step.todo = Todo::Confirmed(mark),
            Ok(Outcome::Left) => step.todo = Todo::Skip(TOLD),
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
    /// It differs, and is left so.
    Left,
    /// It would be written.
    Taken,
    /// A webhook takes no part in dry-runs.
    NoDryRun,
}

async fn dry_run(
    account: &Cluster,
    terms: &Terms,
    step: &mut Step,
    patience: &Patience,
) -> Result<Outcome, ClusterError> {
    let Some(released) = step.todo.value().cloned() else { return Ok(Outcome::Taken) };
    let is_check = matches!(step.todo, Todo::Check(_));
    let live = match is_check || !step.leave.is_empty() {
        true => account.get(&step.resource, &step.id).await?,
        false => None,
    };
    let take_over = &terms.options.take_over;
    let mut leave = std::mem::take(&mut step.leave);
    if let (Some(live), None) = (&live, &step.live_version) {
        // It was planned without looking.
        leave = left_alone(&step.id, &released, &writers_of(live), &terms.options, false);
    }
    let value = match &live {
        Some(live) => leave::left(&released, live, &leave, &|manager| take_over.has(manager)),
        None => released.clone(),
    };
    let mode = terms.options.drift.mode;
    let after = patient(account, step, &step.guard.on(&value), Write::DryRun, patience).await;
    // What was left is left for good: it is sent so, however often.
    step.todo = std::mem::replace(&mut step.todo, Todo::Unchanged).with(value);
    let after = match after {
        Err(ClusterError::Answer { class: Class::NoDryRun, .. }) if is_check && mode == DriftMode::Report => {
            return Ok(Outcome::Left);
        }
        Err(ClusterError::Answer { class: Class::NoDryRun, .. }) => return Ok(Outcome::NoDryRun),
        answer => answer?,
    };
    let Some(live) = live.filter(|_| is_check) else { return Ok(Outcome::Taken) };
    let takes = |entry: &ManagedFieldsEntry| step.own.manner != Manner::Merge && take_over.take_entry(entry);
    let contended = terms.options.drift.contended.get(&Key::of(&step.id));
    let looked = Looked { live: &live, after: &after, released: &released, sign: step.sign.as_ref(), mode, contended };
    let (conclusion, mut found) = conclude(&looked, &takes);
    if let (None, true, Some(sign)) = (&found, step.ends_break_glass, &step.sign) {
        // Whoever asked is told why it is not so, though nothing differs.
        found = Some(Found { state: DriftState::Corrected, what: sign.words(), fields: vec![], until: None });
    }
    step.look = Some(Look { id: step.id.clone(), found, foreign: foreign(&released, &live, &takes) });
    Ok(match (conclusion, mark_of(&live)) {
        (Conclusion::Same, Some(mark)) => Outcome::Same(mark),
        (Conclusion::Left, _) => Outcome::Left,
        (Conclusion::Differs | Conclusion::Same, _) => Outcome::Taken,
    })
}
