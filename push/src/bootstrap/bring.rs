//! Applying the release as the controller would, so that it takes over without a change: definitions, the Delivery, what it
//! is to own, the memory of trust, and then the rest by the same plan.

use jiff::Timestamp;
use sealift_apply::{
    accepted,
    api::{AcceptedReleaseSpec, DeliveryName},
    apply::{Access, ApplyError, apply, prepare},
    change::{ChangeSet, Why},
    cluster::{Class, Cluster, ClusterError},
    drift::autoscaled,
    ground::{self, GroundError},
    inventory::store,
    observe::{Unknown, observe},
    options::Options,
    plan::plan,
};
use sealift_verify::{
    evidence::{Evidence, packed},
    memory::Memory,
    objects::ObjectId,
    verify::Verified,
};

use super::{remembered::give_back, root::is_ours};
use crate::{cluster, exit::Exit, failure::Failure, output::Output, table::plain};

/// What is brought, and in whose name.
#[derive(Debug)]
pub(super) struct Bringing<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) verified: &'a Verified,
    pub(super) evidence: &'a Evidence,
    /// The Delivery in the release, and its name.
    pub(super) root: &'a ObjectId,
    pub(super) name: &'a DeliveryName,
    /// How it wants objects to be applied.
    pub(super) options: &'a Options,
    /// What it has accepted, by which the release was judged.
    pub(super) memory: &'a Memory,
    /// The records of others.
    pub(super) others: &'a [AcceptedReleaseSpec],
}

/// What was done.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) changes: ChangeSet,
    pub(super) given_back: usize,
}

/// Does all of it, or as much as goes; the next try goes on from there.
pub(super) async fn bring(bringing: &Bringing<'_>, output: &mut Output) -> Result<Brought, Failure> {
    let Bringing { cluster, verified, root, name, options, others, .. } = *bringing;
    output.progress("waiting until the definitions are served");
    let mut made = ground::definitions(cluster, verified, &name.namespace).await?;
    let given_back = give_back(cluster, others).await?;
    if given_back > 0 {
        output.note(format_args!("memory    {given_back} records of other Deliveries are given back"));
    }
    let (delivery, is_new) = ground::delivery(cluster, verified, root).await?;
    made.extend(is_new.then(|| root.clone()));
    is_ours(&delivery, name, &verified.reference().repository)?;
    let owner = delivery.reference().expect("an API server gives every object a uid");

    output.progress(format_args!("applying {} objects", verified.objects().len()));
    let access = Access { account: cluster, controller: cluster };
    let mut inventory = store::read(cluster, &owner).await?;
    let mut options = options.clone();
    options.drift.autoscaled = autoscaled(verified.objects());
    let live = observe(cluster, cluster, verified.objects(), Some(&inventory), &Unknown).await?;
    let plan = plan(verified, &inventory, live, &options);
    let prepared = prepare(access, plan, &mut inventory).await.map_err(|error| not_applied(error, output))?;
    // Between dry-run and first write, as the controller has it. What leaves the release is left to the controller.
    advance(bringing).await?;
    let mut changes = apply(access, prepared, &mut inventory).await.map_err(|error| not_applied(error, output))?;
    store::write(cluster, &mut inventory).await?;
    created(&mut changes, &made);
    Ok(Brought { changes, given_back })
}

/// What was made before there was an owner was applied once more with the owner's label: it is new all the same.
fn created(changes: &mut ChangeSet, made: &[ObjectId]) {
    for change in changes.entries.iter_mut().filter(|change| made.contains(&change.id)) {
        change.action = sealift_apply::change::Action::Created;
    }
}

/// Raises the mark to what was verified, over the very record that is there.
async fn advance(bringing: &Bringing<'_>) -> Result<(), Failure> {
    let Bringing { cluster, verified, evidence, name, memory, .. } = *bringing;
    let (version, there) = match accepted::read(cluster, name).await? {
        Some(found) if found.spec.delivery != *name => {
            return Err(crate::delivery::other_memory(&accepted::id(name).name));
        }
        Some(found) => (found.metadata.resource_version.clone(), found.spec.memory()),
        None => (None, Memory::default()),
    };
    // A running controller may have raised it since the verdict.
    let mut advanced = there.raised(memory)?;
    if let Some(stated) = verified.grounds().stated() {
        advanced.judge(&stated.payload, &stated.statement)?;
        advanced = advanced.advanced(stated.payload, &stated.statement, Timestamp::now());
    }
    if advanced == there {
        return Ok(());
    }
    accepted::write(cluster, name, version, advanced, packed::pack(evidence)).await?;
    Ok(())
}

/// Says of each object why it was not taken.
fn not_applied(error: ApplyError, output: &mut Output) -> Failure {
    for refused in error.objects() {
        let causes = std::iter::successors(std::error::Error::source(&refused.why), |cause| cause.source());
        let line = causes.fold(refused.to_string(), |line, cause| format!("{line}: {cause}"));
        output.note(plain(&line));
    }
    let (exit, hint) = meaning(&error);
    Failure::new(exit, error)
        .hint(hint.unwrap_or("what was applied stays and is known; run the same again once this is put right"))
}

/// What it means for scripts, and what to do about it where the cluster's words say so.
fn meaning(error: &ApplyError) -> (Exit, Option<&'static str>) {
    let denied = |why: &Why| match why {
        Why::Cluster(error @ ClusterError::Answer { class: Class::Denied, .. }) => Some(cluster::meaning(error)),
        _ => None,
    };
    match error {
        error if error.is_transient() => (Exit::CouldNotCheck, None),
        ApplyError::Inventory { source, .. } => cluster::meaning(source),
        error => {
            let otherwise = if matches!(error, ApplyError::Refused { .. }) { Exit::Refused } else { Exit::Failed };
            error.objects().iter().find_map(|refused| denied(&refused.why)).unwrap_or((otherwise, None))
        }
    }
}

impl From<GroundError> for Failure {
    fn from(error: GroundError) -> Self {
        let (exit, hint) = match &error {
            GroundError::Cluster { source, .. } => cluster::meaning(source),
            error if error.is_transient() => (Exit::CouldNotCheck, None),
            _ => (Exit::Failed, None),
        };
        Self::new(exit, error).hint(hint.unwrap_or("what was made stays; run the same again"))
    }
}
