//! `sealift plan`: what exactly would change in a cluster. The API server answers by dry-run; nothing is written.

mod aim;
mod show;

use std::sync::Arc;

use sealift_apply::explain::Difference;
use sealift_registry::store::Address;
use sealift_verify::{
    artifact::Limits, objects::Objects, parameters::Parameter, policy::Policy, reference::Repository, refusal::Refusal,
    signature::Candidate,
};

pub(crate) use self::{
    aim::{Aim, Aimed},
    show::{field_line, verdict},
};
use crate::{
    cli::plan::PlanArgs,
    exit::Exit,
    failure::{Failure, usage},
    judge::{Subject, explain_keys, judge},
    manifests,
    output::{Format, Output, OutputError},
    policies::{self, Trust},
    render::{self, Rendered},
    transport,
};

pub(crate) async fn run(args: &PlanArgs, output: &mut Output) -> Result<Exit, Failure> {
    // Everything that can be wrong on this side is found before the first request.
    let files = if args.files.is_empty() { None } else { Some(local(args, output).await?) };
    let trust = if args.policy.is_empty() { Trust::default() } else { policies::read(&args.policy, output)? };

    let aim = Aim {
        context: args.cluster.context.as_deref(),
        delivery: args.delivery.as_ref(),
        namespace: args.namespace.as_deref(),
        target_namespace: args.target_namespace.as_deref(),
        variant: args.variant.as_deref(),
        values: &args.set,
    };
    let aimed = aim.take(output).await?;
    let objects = match (files, &args.reference) {
        (Some((objects, parameters)), _) => {
            output.note("a preview: nothing here is signed or verified");
            aimed.rendered(objects, &parameters)?
        }
        (None, Some(reference)) => verified(args, reference, &trust, &aimed, output).await?,
        (None, None) => return Err(usage("name an artifact, or files with -f")),
    };

    let differences = aimed.differences(&objects, output).await?;
    show(&differences, args.show_unchanged, output)?;
    verdict(&differences)?;
    let changes = differences.iter().any(Difference::is_change);
    Ok(if changes && args.exit_code { Exit::Changes } else { Exit::Done })
}

/// Writes what would change.
pub(crate) fn show(differences: &[Difference], show_unchanged: bool, output: &mut Output) -> Result<(), OutputError> {
    match output.format {
        Format::Text => output.product(show::text(differences, show_unchanged)),
        Format::Json => output.json(&show::json(differences, show_unchanged)),
    }
}

async fn local(args: &PlanArgs, output: &mut Output) -> Result<(Objects, Vec<Parameter>), Failure> {
    let limits = Limits::default();
    if args.var.is_empty() && !args.set.is_empty() {
        return Err(usage("--set needs a variable to set: files declare none, so declare it with --var as push does"));
    }
    let mut parameters = args.var.clone();
    let Rendered { sources, .. } = render::sources(&args.files, &args.render, &limits, output).await?;
    let objects = manifests::read_with(&sources, &mut parameters, &limits)?;
    Ok((objects, parameters))
}

async fn verified(
    args: &PlanArgs,
    address: &Address,
    trust: &Trust,
    aimed: &Aimed,
    output: &mut Output,
) -> Result<Objects, Failure> {
    let Trust { policies, roots } = trust;
    let Aimed { settings, rendering, .. } = aimed;
    let reference = &transport::named(address, args.as_repository.as_ref())?;
    let logical: Repository = args.as_repository.clone().unwrap_or_else(|| reference.repository.clone());
    sealift_verify::policy::select(policies, &logical, settings.namespace.as_deref())?;
    let client = transport::open(&address.location, &args.registry).await?;
    let digest = transport::digest(&client, reference, output).await?;
    let facts = settings.facts(roots);
    let subject = Subject { place: reference.repository.pin(digest), logical: logical.pin(digest) };
    let judged = judge(&client, &args.registry, &subject, policies, (&facts, settings.extent), rendering).await?;
    match judged.decision.outcome {
        Ok(verified) => {
            output.note(format_args!("verified {}", client.shown(&subject.place)));
            Ok(verified.objects().clone())
        }
        Err(refusal) => Err(refused(refusal, &judged.candidates, policies, output)),
    }
}

fn refused(refusal: Refusal, candidates: &[Candidate], policies: &[Arc<Policy>], output: &mut Output) -> Failure {
    explain_keys(&refusal, candidates, policies, output);
    refusal.into()
}
