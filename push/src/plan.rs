//! `sealift plan`: what exactly would change in a cluster. The API server answers by dry-run; nothing is written.

mod show;

use std::{collections::BTreeMap, sync::Arc};

use sealift_apply::{
    api::Delivery,
    cluster::Cluster,
    explain::explain,
    inventory::{Inventory, store},
    observe::{Unknown, observe},
    plan::preview,
};
use sealift_registry::store::Address;
use sealift_verify::{
    artifact::Limits,
    objects::Objects,
    parameters::Parameter,
    policy::Policy,
    reference::Repository,
    refusal::Refusal,
    render::{self as rendering, Rendering},
    signature::Candidate,
};

use crate::{
    cli::plan::PlanArgs,
    cluster::{self, custom},
    delivery::{self, Settings},
    exit::Exit,
    failure::{Failure, usage},
    judge::{Subject, explain_keys, judge},
    manifests,
    output::{Format, Output},
    policies::{self, Trust},
    render::{self, Rendered},
    transport,
};

/// The Delivery named does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no Delivery {namespace}/{name} in this cluster")]
struct NoDelivery {
    namespace: String,
    name: String,
}

pub(crate) async fn run(args: &PlanArgs, output: &mut Output) -> Result<Exit, Failure> {
    // Everything that can be wrong on this side is found before the first request.
    let files = if args.files.is_empty() { None } else { Some(local(args, output).await?) };
    let trust = if args.policy.is_empty() { Trust::default() } else { policies::read(&args.policy, output)? };

    let connected = cluster::connect(args.cluster.context.as_deref()).await?;
    output.note(format_args!("cluster of context {}", connected.context));
    let cluster = connected.cluster;
    let (mut settings, inventory) = settings(args, &cluster, output).await?;
    settings.namespace.get_or_insert(connected.namespace);
    settings.values.extend(args.set.iter().cloned());
    output.progress("asking the cluster for its kinds");
    let rendering = settings.rendering(Some(&cluster)).await?;
    let objects = match (files, &args.reference) {
        (Some((objects, parameters)), _) => {
            output.note("a preview: nothing here is signed or verified");
            // Where nothing is declared, a Delivery's values have nowhere to go.
            let values = if parameters.is_empty() { BTreeMap::new() } else { rendering.values.clone() };
            rendering::render::<Arc<Policy>>(objects, &parameters, &Rendering { values, ..rendering }, &[])?.0
        }
        (None, Some(reference)) => verified(args, reference, &trust, &settings, &rendering, output).await?,
        (None, None) => return Err(usage("name an artifact, or files with -f")),
    };

    output.progress(format_args!("comparing {} objects", objects.len()));
    let live = observe(&cluster, &cluster, &objects, inventory.as_ref(), &Unknown).await?;
    let differences = explain(&cluster, preview(&objects, inventory.as_ref(), live, &settings.options)).await;
    match output.format {
        Format::Text => output.product(show::text(&differences, args.show_unchanged))?,
        Format::Json => output.json(&show::json(&differences, args.show_unchanged))?,
    }
    show::verdict(&differences)?;
    let changes = differences.iter().any(sealift_apply::explain::Difference::is_change);
    Ok(if changes && args.exit_code { Exit::Changes } else { Exit::Done })
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

/// What the Delivery says, remembers and owns; without one, what the command line says, and nothing owned.
async fn settings(
    args: &PlanArgs,
    cluster: &Cluster,
    output: &mut Output,
) -> Result<(Settings, Option<Inventory>), Failure> {
    let mut settings = Settings {
        namespace: args.namespace.clone(),
        target_namespace: args.target_namespace.clone(),
        ..Settings::default()
    };
    let Some((namespace, name)) = &args.delivery else { return Ok((settings, None)) };
    let Some(found) = custom::<Delivery>(cluster, Some(namespace), name).await? else {
        let error = NoDelivery { namespace: namespace.clone(), name: name.clone() };
        return Err(Failure::new(Exit::NotFound, error).hint("`sealift status -A` lists them"));
    };
    settings.namespace = Some(namespace.clone());
    settings.complete(&found, namespace, cluster).await?;
    settings.memory = Some(delivery::accepted(cluster, namespace, name, output).await?);
    let inventory = match found.reference() {
        Some(owner) => Some(store::read(cluster, &owner).await?),
        None => None,
    };
    Ok((settings, inventory))
}

async fn verified(
    args: &PlanArgs,
    address: &Address,
    trust: &Trust,
    settings: &Settings,
    rendering: &Rendering,
    output: &mut Output,
) -> Result<Objects, Failure> {
    let Trust { policies, roots } = trust;
    let reference = &transport::named(address, args.as_repository.as_ref())?;
    let logical: Repository = args.as_repository.clone().unwrap_or_else(|| reference.repository.clone());
    sealift_verify::policy::select(policies, &logical, settings.namespace.as_deref())?;
    let client = transport::open(&address.location, &args.registry).await?;
    let digest = transport::digest(&client, reference, output).await?;
    let facts = settings.facts(roots);
    let subject = Subject { place: reference.repository.pin(digest), logical: logical.pin(digest) };
    let judged = judge(&client, &args.registry, &subject, policies, &facts, rendering).await?;
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
