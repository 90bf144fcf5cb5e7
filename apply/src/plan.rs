//! What would be done: a pure function from objects, inventory and what was seen in the cluster.
//!
//! Who may have an object, in short: one that nobody owns is adopted, as server-side apply with force does. One that
//! another Delivery owns is handed over once that Delivery's inventory no longer names it, and refused until then. One
//! that another tool manages is refused unless the release annotates it with `sealift.dev/adopt: enabled`.

mod provided;

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::{
    digest::Digest,
    objects::{Object, ObjectId, Objects, canonical},
    verify::Verified,
};
use serde_json::Value;

pub use self::provided::{Provided, is_definition};
use crate::{
    api::{DeliveryReference, GROUP, Mark, Row},
    change::{Refused, Why},
    cluster::Resource,
    drift::stays_away,
    inventory::{Inventory, Key},
    observe::{Live, Seen},
    order::Stage,
    owner::{LiveOwner, Meta, adopts, stamped},
};

/// What is to be done with one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Todo {
    /// It is not there.
    Create(Value),
    /// It is there, and was last applied with other content or by somebody else.
    Configure(Value),
    /// It was applied with this content, and its metadata moved since: a dry-run decides.
    Check(Value),
    /// It was applied with this content and nobody touched it: no request.
    Unchanged,
    /// A dry-run showed that it is as it should be; this is how it looks now.
    Confirmed(Mark),
    /// It is left alone.
    Skip(&'static str),
}

/// One object of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The object.
    pub id: ObjectId,
    /// How the cluster serves it.
    pub resource: Resource,
    /// Digest of what is sent.
    pub content: Digest,
    /// What is to be done.
    pub todo: Todo,
    /// The resourceVersion of the live object: an apply that keeps it changed nothing.
    pub live_version: Option<String>,
    /// Whether the kind's definition is in this release and not yet in the cluster.
    pub defined_here: bool,
}

/// An object that another Delivery owns and still wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim {
    /// What would be done if that Delivery let go.
    pub(crate) step: Step,
    /// The uid of that Delivery.
    pub(crate) from: String,
}

/// What would be done with a release that nobody verified: it prints, and nothing applies it.
#[derive(Debug)]
pub struct Preview {
    pub(crate) stages: BTreeMap<Stage, Vec<Step>>,
    pub(crate) prunes: Vec<Row>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) provided: Provided,
}

/// What is to be done with a verified release: made by [`plan`] and by nothing else.
#[derive(Debug)]
pub struct Plan(Preview);

/// What is to be done with a release that passed every check. The only maker of a [`Plan`].
///
/// ```
/// # use sealift_apply::{apply::{Access, prepare}, inventory::Inventory, observe::Live, plan::plan};
/// # use sealift_verify::verify::Verified;
/// async fn deliver(access: Access<'_>, release: &Verified, inventory: &mut Inventory, live: Live) {
///     let plan = plan(release, inventory, live);
///     let _ = prepare(access, plan, inventory).await;
/// }
/// ```
///
/// Objects that nobody verified have no plan:
///
/// ```compile_fail,E0308
/// # use sealift_apply::{apply::{Access, prepare}, inventory::Inventory, observe::Live, plan::plan};
/// # use sealift_verify::objects::Objects;
/// async fn deliver(access: Access<'_>, release: &Objects, inventory: &mut Inventory, live: Live) {
///     let plan = plan(release, inventory, live);
///     let _ = prepare(access, plan, inventory).await;
/// }
/// ```
pub fn plan(release: &Verified, inventory: &Inventory, live: Live) -> Plan {
    Plan(steps(release.objects(), Some(inventory), live))
}

/// What would be done with `objects`, for people. There is no way from here to [`crate::apply`]:
///
/// ```
/// # use sealift_apply::{explain::explain, cluster::Cluster, observe::Live, plan::preview};
/// # use sealift_verify::objects::Objects;
/// async fn show(cluster: &Cluster, objects: &Objects, live: Live) {
///     let _ = explain(cluster, preview(objects, None, live)).await;
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use sealift_apply::{apply::{Access, prepare}, inventory::Inventory, observe::Live, plan::preview};
/// # use sealift_verify::objects::Objects;
/// async fn deliver(access: Access<'_>, objects: &Objects, inventory: &mut Inventory, live: Live) {
///     let _ = prepare(access, preview(objects, Some(inventory), live), inventory).await;
/// }
/// ```
pub fn preview(objects: &Objects, inventory: Option<&Inventory>, live: Live) -> Preview {
    steps(objects, inventory, live)
}

fn steps(objects: &Objects, inventory: Option<&Inventory>, live: Live) -> Preview {
    let Live { mut seen, settled, owned, owners } = live;
    let provided = Provided::by(objects);
    let mut preview = Preview { stages: BTreeMap::new(), prunes: vec![], refused: vec![], claims: vec![], provided };
    for object in objects {
        let seen = seen.remove(&Key::of(&object.id)).unwrap_or(Seen::UnknownKind);
        match step(object, inventory, seen, &owners, &preview.provided) {
            Ok(mut step) => {
                let key = Key::of(&object.id);
                let row = inventory.and_then(|inventory| inventory.row(&key));
                let same = row.is_some_and(|row| row.content == Some(step.content));
                match step.todo {
                    Todo::Check(_) if settled.contains(&key) => step.todo = Todo::Unchanged,
                    Todo::Create(_) if same && owned.contains(&key) => {
                        step.todo = Todo::Skip(stays_away(&object.id, true).unwrap_or_default());
                    }
                    _ => {}
                }
                preview.stages.entry(Stage::of(&object.id)).or_default().push(step);
            }
            Err((why, claim)) => {
                preview.claims.extend(claim.map(|claim| *claim));
                preview.refused.push(Refused { id: object.id.clone(), why });
            }
        }
    }
    if let Some(inventory) = inventory {
        let wanted: BTreeSet<_> = objects.iter().map(|object| Key::of(&object.id)).collect();
        preview.prunes = inventory.to_prune(&wanted);
    }
    preview
}

type Owners = BTreeMap<String, (DeliveryReference, BTreeSet<Key>)>;

/// One object: its step, or why it is refused and what is claimed.
fn step(
    object: &Object,
    inventory: Option<&Inventory>,
    seen: Seen,
    owners: &Owners,
    provided: &Provided,
) -> Result<Step, (Why, Option<Box<Claim>>)> {
    let id = object.id.clone();
    let (resource, meta, defined_here) = place(&id, seen, provided).map_err(|why| (why, None))?;
    let owner = inventory.map(Inventory::owner);
    let other = match &meta {
        Some(meta) => may_have(&Key::of(&id), &object.value, meta, owner, owners).map_err(|why| (why, None))?,
        None => None,
    };
    let value = stamped(&object.value, owner);
    let content = canonical::digest(&value);
    let row = inventory.and_then(|inventory| inventory.row(&Key::of(&id)));
    let same = row.is_some_and(|row| row.content == Some(content));
    let live_version = meta.as_ref().map(|meta| meta.resource_version.clone());
    let todo = match meta {
        // Made again only for new content: whatever removed a finished Job or a bare Pod did so on purpose.
        None => match stays_away(&id, false).filter(|_| same) {
            Some(why) => Todo::Skip(why),
            None => Todo::Create(value),
        },
        Some(_) if other.is_some() => Todo::Configure(value),
        Some(meta) if same && row.and_then(|row| row.mark.as_ref()) == Some(&meta.mark) => Todo::Unchanged,
        Some(_) if same => Todo::Check(value),
        Some(_) => Todo::Configure(value),
    };
    let step = Step { id, resource, content, todo, live_version, defined_here };
    match other {
        None => Ok(step),
        Some(DeliveryReference { namespace, name, uid: from }) => {
            Err((Why::OwnedByDelivery { namespace, name }, Some(Box::new(Claim { step, from }))))
        }
    }
}

/// How the cluster serves the object, what of it is there, and whether only this release defines its kind.
fn place(id: &ObjectId, seen: Seen, provided: &Provided) -> Result<(Resource, Option<Meta>, bool), Why> {
    // Delivered as the controller itself, these would rewrite what it remembers and owns.
    if id.group == GROUP && ["AcceptedRelease", "Inventory"].contains(&id.kind.as_str()) {
        return Err(Why::Reserved);
    }
    let (resource, meta, defined_here) = match seen {
        Seen::Present(resource, meta) => (resource, Some(meta), false),
        Seen::Absent(resource) => (resource, None, false),
        Seen::UnknownKind => match provided.resource(id) {
            Some(resource) => (resource.clone(), None, true),
            None => return Err(Why::UnknownKind { api_version: id.api_version(), kind: id.kind.clone() }),
        },
        Seen::Unknown(error) => return Err(error.into()),
    };
    match (&id.namespace, resource.namespaced) {
        (None, true) => Err(Why::NoNamespace),
        (Some(namespace), false) => Err(Why::NotNamespaced { namespace: namespace.clone() }),
        _ => Ok((resource, meta, defined_here)),
    }
}

/// Whether a live object may become or stay this Delivery's; the Delivery to ask for it, if there is one.
fn may_have(
    key: &Key,
    value: &Value,
    meta: &Meta,
    owner: Option<&DeliveryReference>,
    owners: &Owners,
) -> Result<Option<DeliveryReference>, Why> {
    match &meta.owner {
        LiveOwner::Elsewhere(by) if !adopts(value) => return Err(Why::ManagedElsewhere { by: by.clone() }),
        LiveOwner::Delivery { uid, .. } if owner.is_some_and(|owner| owner.uid != *uid) => {
            if let Some((other, wanted)) = owners.get(uid)
                && wanted.contains(key)
            {
                return Ok(Some(other.clone()));
            }
        }
        LiveOwner::Nobody | LiveOwner::Elsewhere(_) | LiveOwner::Delivery { .. } => {}
    }
    if meta.deleting { Err(Why::Terminating) } else { Ok(None) }
}

impl Todo {
    /// What is sent, if anything is.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Create(value) | Self::Configure(value) | Self::Check(value) => Some(value),
            Self::Unchanged | Self::Confirmed(_) | Self::Skip(_) => None,
        }
    }
}

impl Preview {
    /// Every step, stage by stage.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.values().flatten()
    }

    /// What would be deleted.
    pub fn prunes(&self) -> &[Row] {
        &self.prunes
    }

    /// What is refused; a plan with refusals applies nothing.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// True if it is certain without another request that nothing would change.
    pub fn is_noop(&self) -> bool {
        self.prunes.is_empty()
            && self.refused.is_empty()
            && self.steps().all(|step| matches!(step.todo, Todo::Unchanged | Todo::Skip(_)))
    }
}

impl Plan {
    pub(crate) fn into_preview(self) -> Preview {
        self.0
    }

    /// The plan as people see it.
    pub fn preview(&self) -> &Preview {
        &self.0
    }

    /// What is to be deleted.
    pub fn prunes(&self) -> &[Row] {
        self.0.prunes()
    }
}

#[cfg(test)]
mod tests;
