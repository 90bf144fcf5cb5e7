//! Whether a release that changes policies or trust roots, or a Delivery that takes them along when it is deleted, would
//! lock itself out: it, or the root Delivery, would be refused under the policies as they were then. *cluster* and
//! *registry*, as far as the verdict needs them
//!
//! Nobody could release a way back: what is to be released next is judged by what this release leaves behind.

use std::sync::Arc;

use jiff::Timestamp;
use sealift_apply::{
    api::{Delivery, DeliveryReference, DeliveryStatus, GROUP, Row},
    apply::Access,
    foresee::foresee,
    plan::Plan,
};
use sealift_registry::fetch::Legacy;
use sealift_verify::{objects::ObjectId, verify::Verified};

use super::{
    context::Context,
    judge::Judge,
    memory,
    order::{self, Order},
    policies::Policies,
    read,
    registries::PullSecret,
    source::{Source, SourceError},
    standing::suspending,
    stop::{Stop, Verdict},
};
use crate::{options::places, queue::Key};

/// The kinds that decide over trust.
const DECIDING: [&str; 2] = ["SignaturePolicy", "TrustRoot"];

/// True of what decides over trust.
fn decides(id: &ObjectId) -> bool {
    id.group == GROUP && DECIDING.contains(&id.kind.as_str())
}

/// Judges a new release, and what the root Delivery runs, under the policies as they would be once it is applied and `rows`
/// are deleted. A release that changes none costs nothing.
pub(super) async fn judged(
    context: &Context,
    judge: &Judge<'_>,
    verified: &Verified,
    plan: &Plan,
    rows: &[Row],
) -> Result<(), Stop> {
    let deleted: Vec<ObjectId> = rows.iter().map(Row::id).filter(decides).collect();
    if deleted.is_empty() && !verified.objects().iter().any(|object| decides(&object.id)) {
        return Ok(());
    }
    let changed = foresee(judge.access.account, plan.preview(), decides).await;
    if changed.is_empty() && deleted.is_empty() {
        return Ok(());
    }
    let after = Arc::new(judge.policies.after(changed, &deleted));
    let own = Key::new(&*judge.owner.namespace, &*judge.owner.name);
    judge.under(&after, verified).await.map_err(|stop| refusing(&own, stop))?;
    locks_out_root(context, &own, judge.policies, &after, judge.now).await
}

/// Judges what the root Delivery runs under the policies as they would be without these rows, before they are deleted with
/// the Delivery that brought them. One that brought no policy and no trust root costs nothing, and the root itself goes
/// with all it has.
pub(super) async fn by_deletion(context: &Context, owner: &DeliveryReference, rows: &[Row]) -> Result<(), Stop> {
    let deleted: Vec<ObjectId> = rows.iter().map(Row::id).filter(decides).collect();
    if deleted.is_empty() {
        return Ok(());
    }
    let now = context.policies.borrow().clone();
    let after = Arc::new(now.after(vec![], &deleted));
    let own = Key::new(&*owner.namespace, &*owner.name);
    locks_out_root(context, &own, &now, &after, Timestamp::now()).await
}

fn refusing(whose: &Key, stop: Stop) -> Stop {
    Stop::SelfRefusing { whose: whose.to_string(), why: Box::new(stop) }
}

/// Whether what the root Delivery runs would be refused under `after` and is not under `before`.
async fn locks_out_root(
    context: &Context,
    own: &Key,
    before: &Arc<Policies>,
    after: &Arc<Policies>,
    now: Timestamp,
) -> Result<(), Stop> {
    let Some(root) = context.root.as_ref().filter(|root| *root != own) else { return Ok(()) };
    match of_root(context, now, root, after).await {
        // What is refused as it is now is not refused for what is done here, and it may be the way out.
        Err(stop) if stop.verdict() == Verdict::Refused => match of_root(context, now, root, before).await {
            Err(before) if before.verdict() == Verdict::Refused => Ok(()),
            _ => Err(refusing(root, stop)),
        },
        Err(stop) => Err(refusing(root, stop)),
        Ok(()) => Ok(()),
    }
}

/// What the root Delivery runs, under these policies. One that is not there, or runs nothing yet, is not refused.
async fn of_root(context: &Context, now: Timestamp, root: &Key, policies: &Arc<Policies>) -> Result<(), Stop> {
    let failed = |source| Stop::Cluster { doing: "reading the root Delivery", source };
    let delivery = match context.delivery(root) {
        Some(delivery) => delivery,
        None => match read::object::<Delivery>(&context.cluster, &root.namespace, &root.name).await.map_err(failed)? {
            Some(delivery) => Arc::new(delivery),
            None => return Ok(()),
        },
    };
    let none = DeliveryStatus::default();
    let previous = delivery.status.as_ref().unwrap_or(&none);
    let Some(last) = &previous.last_applied else { return Ok(()) };
    let spec = &delivery.spec;
    let Order { owner, repository, account: name, .. } = order::read(&delivery, context.default_account.as_deref())?;
    let matching = policies.for_repository(&repository, &owner.namespace)?;
    let acting = |source| Stop::Cluster { doing: "acting as the service account", source };
    let account = context.account(&owner, name).map_err(acting)?;
    let reader = context.named.reader(root, spec, name, &account, false);
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
    let remembered = memory::read(&context.cluster, &context.known, &owner).await?;
    let judge = Judge {
        artifacts: &context.artifacts,
        images: &context.images,
        source: &source,
        reader,
        policies,
        suspending: suspending(&matching),
        access: Access { account: &account, controller: &context.cluster },
        owner: &owner,
        spec,
        memory: &remembered.memory,
        meant: None,
        previous,
        now,
    };
    judge.of_last(last).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_trust_roots_of_ours_decide_and_nothing_else() {
        for (group, kind, wanted) in [
            (GROUP, "SignaturePolicy", true),
            (GROUP, "TrustRoot", true),
            (GROUP, "Delivery", false),
            ("policy.sigstore.dev", "TrustRoot", false),
        ] {
            let (version, name) = ("v1alpha1".to_owned(), "a".to_owned());
            let id = ObjectId { group: group.into(), version, kind: kind.into(), namespace: None, name };
            assert_eq!(decides(&id), wanted, "{id}");
        }
    }
}
