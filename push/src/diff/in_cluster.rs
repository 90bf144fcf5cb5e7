//! An artifact beside a cluster, which is asked by dry-run. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use sealift_apply::{
    change::Action,
    cluster::{Cluster, ClusterError},
    explain::Difference,
};
use sealift_verify::objects::{Object, ObjectId, Objects, Origin};
use serde_json::json;

use super::side::{Side, Whole};
use crate::{
    cli::diff::DiffArgs,
    failure::Failure,
    output::Output,
    plan::{Aim, Aimed},
};

/// Live objects asked for at the same time.
const AT_ONCE: usize = 8;

/// What the cluster says.
pub(super) struct Seen {
    pub(super) differences: Vec<Difference>,
    /// The cluster as far as the release is about it.
    pub(super) before: Side,
    /// The release as the cluster would get it.
    pub(super) after: Side,
    pub(super) aimed: Aimed,
}

pub(super) async fn look(
    args: &DiffArgs,
    context: &str,
    release: &Whole,
    output: &mut Output,
) -> Result<Seen, Failure> {
    let aim = Aim {
        context: Some(context),
        delivery: args.delivery.as_ref(),
        namespace: args.namespace.as_deref(),
        target_namespace: None,
        variant: args.variant.as_deref(),
        values: &args.set,
    };
    let aimed = aim.take(output).await?;
    // What a statement claims to be a parameter is taken for one: whoever wants to be sure verifies, with `plan`.
    let variant = aimed.settings.variant.as_deref();
    if let Some(name) = variant.filter(|_| !release.has_variants()) {
        return Err(release.lacks(name));
    }
    let release = release.of(variant)?;
    let chosen = release.stated.first().and_then(|stated| stated.release.chosen(variant).ok());
    let parameters = chosen.map(|chosen| chosen.parameters.to_vec()).unwrap_or_default();
    let after = Side { objects: aimed.rendered(release.objects, &parameters)?, ..release };
    let differences = aimed.differences(&after.objects, output).await?;
    output.progress("asking for what is there");
    let objects = live(&aimed.cluster, &differences, &after.objects).await?;
    let about = json!({"kind": "cluster", "context": context});
    let before = Side { name: format!("cluster of context {context}"), about, objects, stated: Vec::new() };
    Ok(Seen { differences, before, after, aimed })
}

/// The objects that are there. Those that would not change are taken for what the release says they are.
async fn live(cluster: &Cluster, differences: &[Difference], release: &Objects) -> Result<Objects, ClusterError> {
    let mut wanted = Vec::new();
    let mut absent = BTreeSet::new();
    for Difference { id, action, refused, .. } in differences.iter().filter(|difference| difference.is_change()) {
        match action {
            Action::Created if refused.is_none() => drop(absent.insert(id.key())),
            _ => wanted.push(id.clone()),
        }
    }
    let found: Vec<_> =
        stream::iter(wanted).map(async |id| get(cluster, id).await).buffered(AT_ONCE).try_collect().await?;
    let mut there: BTreeMap<_, &Object> = release.iter().map(|object| (object.id.key(), object)).collect();
    there.retain(|key, _| !absent.contains(key));
    there.extend(found.iter().flatten().map(|object| (object.id.key(), object)));
    let objects = there.into_values().cloned().collect();
    Ok(Objects::new(objects).expect("a map holds each object once"))
}

async fn get(cluster: &Cluster, id: ObjectId) -> Result<Option<Object>, ClusterError> {
    let resource = cluster.resolve_any_version(&id).await?;
    let value = cluster.get(&resource, &id).await?;
    Ok(value.map(|value| Object { id, value, origin: Origin::default() }))
}
