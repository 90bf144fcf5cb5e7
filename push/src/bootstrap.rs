//! `sealift bootstrap`: from an empty cluster to one that delivers, by one signed artifact.
//!
//! ```text
//! files ─policy, memory→ cluster: what is there ─→ registry or tar: admit → the Delivery in it → verify
//!       ─→ verify as the cluster will ─→ definitions, Delivery → inventory → dry-run → memory of trust → apply
//! ```

mod bring;
mod handover;
mod remembered;
mod root;
mod running;

use bytes::Bytes;
use sealift_apply::{
    accepted,
    api::{Delivery, DeliveryName},
    change::{Action, ChangeSet},
    cluster::{Class, Cluster, ClusterError},
    explain::explain,
    inventory::store,
    observe::{Unknown, observe},
    plan::preview,
};
use sealift_verify::{
    artifact::Limits,
    evidence::Evidence,
    memory::Memory,
    objects::ObjectId,
    policy::select,
    verify::{Facts, Unverified, Verified, admit},
};
use serde_json::json;

use self::{
    bring::{Bringing, Brought, bring},
    handover::{HandoverError, There},
    remembered::Remembered,
    root::{RootError, shown},
};
use crate::{
    cli::bootstrap::BootstrapArgs,
    cluster::{self, custom},
    delivery::{Settings, other_memory},
    exit::Exit,
    failure::{Failure, usage},
    judge::{self, Extent, Fetched, Subject},
    output::{Format, Output},
    packed::{Head, only},
    plan, policies,
    policies::Trust,
    release,
    table::plain,
    transport, wait,
};

/// What is true of the cluster before anything is done.
#[derive(Debug)]
struct Before {
    /// The Delivery, if there is one of this name.
    delivery: Option<Delivery>,
    there: There,
}

/// What was judged: by the policies at hand, by those that the cluster has, and by those that it will have.
struct Judged {
    verified: Verified,
    /// What the cluster's own policies say of it, if one is about it.
    by_cluster: Option<Verified>,
    evidence: Evidence,
    root: ObjectId,
    settings: Settings,
}

pub(crate) async fn run(args: &BootstrapArgs, output: &mut Output) -> Result<Exit, Failure> {
    // 1. files: everything that can be wrong on this side is found before the first request.
    let trust = policies::read(&args.policy, output)?;
    let name = DeliveryName { namespace: args.delivery.0.clone(), name: args.delivery.1.clone() };
    let remembered = remembered::read(args.memory.as_deref(), &name)?;
    let reference = transport::named(&args.reference, args.as_repository.as_ref())?;
    let logical = args.as_repository.clone().unwrap_or_else(|| reference.repository.clone());
    select(&trust.policies, &logical, Some(&name.namespace))?;

    // 2. cluster: what is there, and what does it remember?
    let connected = cluster::connect(args.cluster.context.as_deref()).await?;
    output.note(format_args!("cluster   of context {}", connected.context));
    let cluster = &connected.cluster;
    let (before, memory) = before(cluster, &name).await?;
    if let Some(there) = &before.delivery {
        root::is_ours(there, &name, &logical)?;
    }
    let Remembered { root: given, others } = remembered;
    let memory = memory.raised(&given)?;

    // 3. registry, or wherever it lies: the verdict.
    let client = transport::open(&args.reference.location, &args.registry).await?;
    let digest = transport::digest(&client, &reference, output).await?;
    let subject = Subject { place: reference.repository.pin(digest), logical: logical.pin(digest) };
    output.progress(format_args!("verifying {}", client.shown(&subject.place)));
    let settings = Settings {
        namespace: Some(name.namespace.clone()),
        variant: args.variant.clone(),
        memory: Some(memory),
        ..Settings::default()
    };
    let unverified = judge::unverified(&client, &subject, &trust.policies, &settings.facts(&trust.roots)).await?;
    let court = Court { args, client: &client, subject: &subject, name: &name, cluster };
    let judged = court.judged(&trust, unverified, settings, before.there, output).await?;
    let Judged { verified, by_cluster, evidence, root, settings } = &judged;
    let memory = settings.memory.as_ref().expect("it was set above");
    let last = before.delivery.as_ref().and_then(|there| there.status.as_ref()?.last_applied.as_ref());
    running::nothing_older(verified, last, memory)?;
    running::nothing_new_if_stale(verified, last)?;
    running::nothing_new_if_frozen(cluster, verified, before.delivery.as_ref()).await?;
    running::nothing_new_if_to_be_approved(verified, by_cluster.as_ref(), last)?;
    if verified.approvals().are_demanded() {
        return Err(Failure::new(Exit::Refused, Approval)
            .hint("bootstrap by a policy without release.approval; the release may bring one that has it"));
    }

    // 4. cluster: show, or do.
    let shown_as = client.shown(&subject.place);
    if args.dry_run {
        return dry_run(cluster, &judged, before.delivery.as_ref(), output).await;
    }
    let options = &settings.options;
    let bringing = Bringing { cluster, verified, evidence, root, name: &name, options, memory, others: &others };
    let brought = bring(&bringing, output).await?;
    output.note(format_args!("applied   {} objects: {}", verified.objects().len(), brought.changes));
    if !brought.changes.waiting.is_empty() {
        let waiting = brought.changes.waiting.len();
        output.note(format_args!(
            "left      {waiting} admission objects to the controller, once its workloads are healthy"
        ));
    }
    if let Some(limit) = args.wait {
        let waited = wait::until_there(&connected, (&name.namespace, &name.name), &subject.logical, limit, output);
        waited.await.map_err(|failure| not_taken_over(failure, &name, &connected.context))?;
        output.note(format_args!("ready     Delivery {} has taken over", shown(&name)));
    }
    match output.format {
        Format::Text => output.product(shown_as)?,
        Format::Json => {
            let document = document(&shown_as, &connected.context, &name, verified, &brought, args.wait.is_some());
            output.json(&document)?;
        }
    }
    Ok(Exit::Done)
}

/// Where time alone ran out, the controller may not run at all, and no Delivery can say so.
fn not_taken_over(failure: Failure, name: &DeliveryName, context: &str) -> Failure {
    let DeliveryName { namespace, .. } = name;
    match failure.exit {
        Exit::CouldNotCheck => failure.hint(format!(
            "everything is applied, and it may still come: `kubectl get pods -n {namespace} --context {context}` shows \
             whether the controller runs, and `sealift status -n {namespace} --context {context}` how far it is"
        )),
        _ => failure,
    }
}

/// A plan that nobody could have approved.
#[derive(Debug, thiserror::Error)]
#[error("a policy demands that plans are approved, and nobody can approve one for a Delivery that is not there yet")]
struct Approval;

/// By what and where is judged.
struct Court<'a> {
    args: &'a BootstrapArgs,
    client: &'a sealift_registry::store::Store,
    subject: &'a Subject,
    name: &'a DeliveryName,
    cluster: &'a Cluster,
}

impl Court<'_> {
    /// The Delivery is in the artifact and has its say about what is accepted, so the artifact is admitted first, then looked
    /// into, then verified as that Delivery wants it; and then as the controller will, by the policies it will find.
    async fn judged(
        &self,
        trust: &Trust,
        unverified: Unverified,
        mut settings: Settings,
        there: There,
        output: &mut Output,
    ) -> Result<Judged, Failure> {
        let Self { client, subject, name, .. } = *self;
        let logical = &subject.logical.repository;
        let mut layer = None;
        let mut read = None;
        if let Ok(admitted) = admit(&unverified, &trust.policies, &settings.facts(&trust.roots)).outcome {
            let bytes = judge::fetch_layer(client, subject, &admitted).await?;
            let (root, delivery) = self.look_into(&unverified, &bytes, settings.variant.as_deref())?;
            root::check(&delivery, name, (logical, subject.place.digest), settings.variant.as_deref())?;
            settings.complete(&delivery, &name.namespace, self.cluster).await?;
            (layer, read) = (Some(bytes), Some((root, delivery)));
        }
        // Where it was not admitted, this says so with its record.
        let (verified, evidence) = self.verdict(trust, &unverified, &layer, &settings, output).await?;
        match verified.statement() {
            Some(statement) => output.note(format_args!("verified  {}", plain(&release::line(&statement.release)))),
            None => output.note(format_args!("verified  {}", sealift_verify::evidence::THIRD_PARTY)),
        }
        let (_, asked) = read.ok_or_else(|| usage("what is verified was admitted"))?;
        let (root, found) = root::find(verified.objects(), name)?;
        if found.spec != asked.spec || root.namespace.as_deref() != Some(&name.namespace) {
            return Err(RootError::Changed(shown(name)).into());
        }
        root::is_alone(verified.objects(), (&root, &found))?;
        root::doubts(&found, name).into_iter().for_each(|doubt| output.warn(plain(&doubt)));

        let by_cluster = self.is_taken_now(&there.now(), &unverified, &layer, &settings).await?;
        let after = there.after(verified.objects(), (logical, &name.namespace))?;
        self.will_be_taken(&after, unverified, layer, &settings).await?;
        output.note(format_args!("accepted  for Delivery {}, by the policies that the cluster will have", shown(name)));
        Ok(Judged { verified, by_cluster, evidence, root, settings })
    }

    fn look_into(
        &self,
        unverified: &Unverified,
        layer: &Bytes,
        variant: Option<&str>,
    ) -> Result<(ObjectId, Delivery), Failure> {
        let head = Head::parse(&self.subject.place, &unverified.manifest)?;
        let packed = head.open(layer, &Limits::default(), variant)?;
        Ok(root::find(only(&packed.sets)?, self.name)?)
    }

    async fn verdict(
        &self,
        trust: &Trust,
        unverified: &Unverified,
        layer: &Option<Bytes>,
        settings: &Settings,
        output: &mut Output,
    ) -> Result<(Verified, Evidence), Failure> {
        let judged = self.decide(trust, unverified.clone(), layer.clone(), settings).await?;
        let evidence = judged.decision.evidence.clone();
        Ok((judged.accepted(&trust.policies, output)?, evidence))
    }

    /// Whether the policies that are there accept it, as the controller there would have to before it changes them.
    async fn is_taken_now(
        &self,
        now: &Trust,
        unverified: &Unverified,
        layer: &Option<Bytes>,
        settings: &Settings,
    ) -> Result<Option<Verified>, Failure> {
        if select(&now.policies, &self.subject.logical.repository, Some(&self.name.namespace)).is_err() {
            return Ok(None);
        }
        let judged = self.decide(now, unverified.clone(), layer.clone(), settings).await?;
        let refused = |refusal| HandoverError::RefusedNow(Box::new(refusal)).into();
        judged.decision.outcome.map(Some).map_err(refused)
    }

    /// Whether the controller would accept what it takes over.
    async fn will_be_taken(
        &self,
        after: &Trust,
        unverified: Unverified,
        layer: Option<Bytes>,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let refused = |refusal| HandoverError::Refused(Box::new(refusal));
        select(&after.policies, &self.subject.logical.repository, Some(&self.name.namespace)).map_err(refused)?;
        let judged = self.decide(after, unverified, layer, settings).await?;
        judged.decision.outcome.map(drop).map_err(|refusal| refused(refusal).into())
    }

    async fn decide(
        &self,
        trust: &Trust,
        unverified: Unverified,
        layer: Option<Bytes>,
        settings: &Settings,
    ) -> Result<judge::Judged, Failure> {
        let Self { args, client, subject, cluster, .. } = *self;
        let rendering = settings.rendering(Some(cluster)).await?;
        let facts: Facts<'_> = settings.facts(&trust.roots);
        let fetched = Fetched { unverified, layer };
        let judged = (&facts, Extent::Chosen);
        judge::decide(client, &args.registry, subject, fetched, &trust.policies, judged, &rendering).await
    }
}

/// What is there of a cluster that may be empty.
async fn before(cluster: &Cluster, name: &DeliveryName) -> Result<(Before, Memory), Failure> {
    let delivery = unless_unserved(custom::<Delivery>(cluster, Some(&name.namespace), &name.name).await)?;
    let memory = match unless_unserved(accepted::read(cluster, name).await)? {
        Some(found) if found.spec.delivery != *name => return Err(other_memory(&accepted::id(name).name)),
        Some(found) => found.spec.memory(),
        None => Memory::default(),
    };
    Ok((Before { delivery, there: There::read(cluster).await? }, memory))
}

/// Of a kind that is not served there is nothing.
fn unless_unserved<T>(answer: Result<Option<T>, ClusterError>) -> Result<Option<T>, ClusterError> {
    match answer {
        Err(ClusterError::Answer { class: Class::NotServed, .. }) => Ok(None),
        answer => answer,
    }
}

/// What would be done, by dry-run as far as the cluster can be asked.
async fn dry_run(
    cluster: &Cluster,
    judged: &Judged,
    there: Option<&Delivery>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let Judged { verified, settings, .. } = judged;
    let objects = verified.objects();
    output.progress(format_args!("comparing {} objects", objects.len()));
    let inventory = match there.and_then(Delivery::reference) {
        Some(owner) => Some(store::read(cluster, &owner).await?),
        None => None,
    };
    let live = observe(cluster, cluster, objects, inventory.as_ref(), &Unknown).await?;
    let differences = explain(cluster, preview(objects, inventory.as_ref(), live, &settings.options)).await;
    plan::show(&differences, false, output)?;
    plan::verdict(&differences)?;
    Ok(Exit::Done)
}

fn document(
    reference: &str,
    context: &str,
    name: &DeliveryName,
    verified: &Verified,
    brought: &Brought,
    waited: bool,
) -> serde_json::Value {
    let Brought { changes, given_back } = brought;
    let count = |action| changes.entries.iter().filter(|change| change.action == action).count();
    let ChangeSet { waiting, .. } = changes;
    json!({
        "schema": "sealift.dev/bootstrap/v1",
        "outcome": if waited { "ready" } else { "applied" },
        "reference": reference,
        "digest": verified.digest(),
        "statement": verified.grounds().stated().map(|stated| release::statement_json(&stated.payload, &stated.statement.release)),
        "stale": verified.stale().map(ToString::to_string),
        "context": context,
        "delivery": shown(name),
        "objects": {
            "created": count(Action::Created),
            "configured": count(Action::Configured),
            "unchanged": count(Action::Unchanged),
            "skipped": count(Action::Skipped),
            "waiting": waiting.len(),
        },
        "recordsGivenBack": given_back,
    })
}
