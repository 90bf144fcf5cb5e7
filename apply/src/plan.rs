//! What would be done: a pure function from objects, inventory and what was seen in the cluster.
//!
//! Who may have an object, in short: one that nobody owns is adopted, as server-side apply with force does. One that
//! another Delivery owns is handed over once that Delivery's inventory no longer names it, and refused until then. One
//! that another tool manages is refused unless the Delivery says `adopt: takeOver` or the release annotates the object
//! with `sealift.dev/adopt: enabled`.
//!
//! A plan need not have looked at every object: what it takes for granted goes along with the request as a precondition
//! ([`Guard`]), and an object that turns out to be another is looked at and planned anew.

mod provided;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealift_verify::{
    objects::{ObjectId, Objects, canonical},
    policy::DeletionRules,
    verify::Verified,
};
use serde_json::Value;

pub use self::{
    provided::{Provided, is_definition},
    step::{Asked, Guard, Step, Todo},
};
use crate::{
    api::{Adopt, BREAK_GLASS_UNTIL_ANNOTATION, DeliveryReference, DriftMode, DriftState, GROUP, Row},
    change::{Look, Refused, Why},
    cluster::Resource,
    drift::{Found, Rules, Sign, Standing, Verdict, leave, standing, stays_away, verdict},
    inventory::{Inventory, Key},
    observe::{Live, Seen},
    options::{Manner, Options, Own},
    order::Stage,
    owner::{LiveOwner, Meta, Writer, stamped},
};

/// Why an object is left that hands have changed.
pub(crate) const HELD: &str = "a break-glass change of it is held";

/// Why drift stays.
pub(crate) const TOLD: &str = "it differs, and spec.drift.mode says report";

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
    pub(crate) terms: Terms,
}

/// By what every object of a release is judged.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// For whom; nobody in a preview without a Delivery.
    pub(crate) owner: Option<DeliveryReference>,
    pub(crate) provided: Provided,
    pub(crate) options: Options,
    /// What policies protect from deletion; nothing in a preview.
    pub(crate) deletions: DeletionRules,
}

/// What is to be done with a verified release: made by [`plan`] and by nothing else.
#[derive(Debug)]
pub struct Plan(Preview);

/// What is to be done with a release that passed every check. The only maker of a [`Plan`].
///
/// ```
/// # use sealift_apply::{apply::{Access, prepare}, inventory::Inventory, observe::Live, options::Options, plan::plan};
/// # use sealift_verify::verify::Verified;
/// async fn deliver(access: Access<'_>, release: &Verified, inventory: &mut Inventory, live: Live) {
///     let plan = plan(release, inventory, live, &Options::default());
///     let _ = prepare(access, plan, inventory).await;
/// }
/// ```
///
/// Objects that nobody verified have no plan:
///
/// ```compile_fail,E0308
/// # use sealift_apply::{apply::{Access, prepare}, inventory::Inventory, observe::Live, options::Options, plan::plan};
/// # use sealift_verify::objects::Objects;
/// async fn deliver(access: Access<'_>, release: &Objects, inventory: &mut Inventory, live: Live) {
///     let plan = plan(release, inventory, live, &Options::default());
///     let _ = prepare(access, plan, inventory).await;
/// }
/// ```
pub fn plan(release: &Verified, inventory: &Inventory, live: Live, options: &Options) -> Plan {
    let mut preview = steps(release.objects(), Some(inventory), live, options);
    preview.terms.deletions = release.deletions().clone();
    Plan(preview)
}

/// What would be done with `objects`, for people. There is no way from here to [`crate::apply`]:
///
/// ```
/// # use sealift_apply::{explain::explain, cluster::Cluster, observe::Live, options::Options, plan::preview};
/// # use sealift_verify::objects::Objects;
/// async fn show(cluster: &Cluster, objects: &Objects, live: Live) {
///     let _ = explain(cluster, preview(objects, None, live, &Options::default())).await;
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use sealift_apply::{apply::{Access, prepare}, inventory::Inventory, observe::Live, options::Options, plan::preview};
/// # use sealift_verify::objects::Objects;
/// async fn deliver(access: Access<'_>, objects: &Objects, inventory: &mut Inventory, live: Live) {
///     let _ = prepare(access, preview(objects, Some(inventory), live, &Options::default()), inventory).await;
/// }
/// ```
pub fn preview(objects: &Objects, inventory: Option<&Inventory>, live: Live, options: &Options) -> Preview {
    steps(objects, inventory, live, options)
}

fn steps(objects: &Objects, inventory: Option<&Inventory>, live: Live, options: &Options) -> Preview {
    let Live { mut seen, settled, owned, owners } = live;
    let terms = Terms {
        owner: inventory.map(|inventory| inventory.owner().clone()),
        provided: Provided::by(objects),
        options: options.clone(),
        deletions: DeletionRules::default(),
    };
    let mut preview = Preview { stages: BTreeMap::new(), prunes: vec![], refused: vec![], claims: vec![], terms };
    for object in objects {
        let key = Key::of(&object.id);
        let seen = seen.remove(&key).unwrap_or(Seen::UnknownKind);
        let row = inventory.and_then(|inventory| inventory.row(&key));
        match step(&object.id, &object.value, row, seen, &owners, &preview.terms) {
            Ok(mut step) => {
                let same = row.is_some_and(|row| row.content == Some(step.content));
                match step.todo {
                    Todo::Check(_) if settled.contains(&key) && !step.ends_break_glass => step.todo = Todo::Unchanged,
                    Todo::Create(_) if same && owned.contains(&key) => {
                        step.look = None;
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

/// Other Deliveries that own objects of a release, and what they still want.
pub(crate) type Owners = BTreeMap<String, (DeliveryReference, BTreeSet<Key>)>;

/// Why an object is refused, and what is claimed of the Delivery that has it.
pub(crate) type Refusal = (Why, Option<Box<Claim>>);

/// A step anew for an object that turned out to be another than was planned for.
pub(crate) fn again(before: &Step, seen: Seen, owners: &Owners, terms: &Terms) -> Result<Step, Refusal> {
    // What is sent holds all that was signed, and stamping it twice changes nothing.
    let value = before.todo.value().unwrap_or(&Value::Null);
    step(&before.id, value, None, seen, owners, terms)
}

/// One object: its step, or why it is refused and what is claimed.
fn step(
    id: &ObjectId,
    signed: &Value,
    row: Option<&Row>,
    seen: Seen,
    owners: &Owners,
    terms: &Terms,
) -> Result<Step, Refusal> {
    let Terms { owner, provided, options, deletions: _ } = terms;
    let alone = |why| (why, None);
    let Place { resource, sight, defined_here } = place(id, seen, provided).map_err(alone)?;
    let own = Own::of(signed).map_err(alone)?;
    let value = stamped(signed, owner.as_ref());
    let content = canonical::digest(&value);
    let live_version = match &sight {
        Sight::There(meta) => Some(meta.resource_version.clone()),
        Sight::Absent | Sight::Unseen => None,
    };
    let whole = |todo, guard| Step {
        id: id.clone(),
        resource,
        content,
        todo,
        live_version,
        defined_here,
        own,
        guard,
        migrate: false,
        asked: Asked::No,
        leave: vec![],
        sign: None,
        look: None,
        ends_break_glass: false,
    };
    if own.manner == Manner::Ignore {
        return Ok(whole(Todo::Skip("its annotation sealift.dev/apply says ignore"), Guard::None));
    }
    let same = row.is_some_and(|row| row.content == Some(content));
    let mark = row.and_then(|row| row.mark.as_ref());
    let once = own.manner == Manner::IfNotPresent;
    const THERE: Todo = Todo::Skip("it is there, and its annotation sealift.dev/apply says ifNotPresent");
    let meta = match (sight, mark) {
        // Made again only for new content: whatever removed a finished Job or a bare Pod did so on purpose.
        (Sight::Absent, _) if same && stays_away(id, false).is_some() => {
            return Ok(whole(Todo::Skip(stays_away(id, false).unwrap_or_default()), Guard::None));
        }
        (Sight::Absent, Some(_)) if same => return Ok(gone(whole(Todo::Create(value), Guard::Absent), options)),
        (Sight::Absent, _) | (Sight::Unseen, None) => return Ok(whole(Todo::Create(value), Guard::Absent)),
        (Sight::Unseen, Some(_)) if same => return Ok(whole(Todo::Unchanged, Guard::None)),
        (Sight::Unseen | Sight::There(_), _) if once => return Ok(whole(THERE, Guard::None)),
        (Sight::Unseen, Some(mark)) => {
            // Whether somebody scales it is seen when it is asked about.
            let leave = leave::with_replicas(left_alone(id, &value, &[], options, same), true, &value);
            return Ok(Step { leave, ..whole(Todo::Configure(value), Guard::Uid(mark.uid.clone())) });
        }
        (Sight::There(meta), _) => meta,
    };
    let adopts = own.adopt || options.adopt == Adopt::TakeOver;
    let other = may_have(&Key::of(id), adopts, &meta, owner.as_ref(), owners).map_err(alone)?;
    let takes = |writer: &Writer| own.manner != Manner::Merge && options.take_over.takes(writer);
    let migrate = meta.writers.iter().any(takes);
    let leave = left_alone(id, &value, &meta.writers, options, same);
    // An object that hands put in the place of ours is put right: anybody may do that who may create one.
    let is_ours = owner.as_ref().is_some_and(|owner| meta.is_ours(owner));
    let unchanged = same && mark.is_some() && other.is_none() && is_ours;
    let owner = owner.as_ref().map_or("", |owner| owner.uid.as_str());
    let ended = match by_hand(signed, &meta, options, unchanged) {
        Some(Standing::Held(until)) => return Ok(held(whole(Todo::Skip(HELD), Guard::None), &meta, until)),
        Some(Standing::Ended(ended)) => Some(ended),
        None => None,
    };
    let (todo, sign) = match mark {
        _ if other.is_some() || !same => (Todo::Configure(value), None),
        None => (Todo::Check(value), None),
        Some(mark) => match (verdict(mark, owner, Some(&meta), &takes), ended) {
            (_, Some(ended)) => (Todo::Check(value), Some(Sign::BreakGlass(ended))),
            (Verdict::Undisturbed, None) => (Todo::Unchanged, None),
            (Verdict::Drifted(sign) | Verdict::LookCloser(sign), None) => (Todo::Check(value), Some(sign)),
        },
    };
    let ends_break_glass = ended.is_some();
    let step = Step { migrate, leave, sign, ends_break_glass, ..whole(todo, Guard::Uid(meta.mark.uid)) };
    match other {
        None => Ok(step),
        Some(DeliveryReference { namespace, name, uid: from }) => {
            Err((Why::OwnedByDelivery { namespace, name }, Some(Box::new(Claim { step, from }))))
        }
    }
}

/// What becomes of a break-glass change, if there is one. Where drift is only told, hands need not ask to be left alone, and
/// what the signed object says for itself is no change by hand.
fn by_hand(signed: &Value, meta: &Meta, options: &Options, unchanged: bool) -> Option<Standing> {
    let is_signed = signed["metadata"]["annotations"].get(BREAK_GLASS_UNTIL_ANNOTATION).is_some();
    let asked = meta.break_glass.as_deref().filter(|_| !is_signed);
    let standing = standing(asked, options.break_glass, unchanged);
    standing.filter(|standing| options.drift.mode == DriftMode::Correct || matches!(standing, Standing::Held(_)))
}

/// An object that is left as hands have made it, and told.
fn held(step: Step, meta: &Meta, until: Timestamp) -> Step {
    let what = meta.break_glass.as_ref().map(|asked| asked.words(until)).unwrap_or_default();
    let found = Found { state: DriftState::Held, what, fields: vec![], until: Some(until) };
    let look = Some(Look { id: step.id.clone(), found: Some(found), foreign: vec![] });
    Step { look, ..step }
}

/// An object that was applied with this content and is gone: made again, unless drift is only told.
fn gone(step: Step, options: &Options) -> Step {
    let state = match options.drift.mode {
        DriftMode::Correct => DriftState::Corrected,
        DriftMode::Report => DriftState::Reported,
    };
    let found = Some(Found { state, what: Sign::Gone.words(), fields: vec![], until: None });
    let look = Some(Look { id: step.id.clone(), found, foreign: vec![] });
    let todo = if state.is_open() { Todo::Skip(TOLD) } else { step.todo };
    Step { todo, look, ..step }
}

/// The fields of an object that stay as they are in the cluster. What is fought over does as long as the release is the
/// `same`.
pub(crate) fn left_alone(
    id: &ObjectId,
    value: &Value,
    writers: &[Writer],
    options: &Options,
    same: bool,
) -> Vec<String> {
    let Rules { mode: _, ignore, autoscaled, contended } = &options.drift;
    let key = Key::of(id);
    let scaled = autoscaled.contains(&key) || leave::is_scaled(writers, &|manager| options.take_over.has(manager));
    let mut pointers = leave::with_replicas(leave::ignored(ignore, id), scaled, value);
    pointers.extend(contended.get(&key).filter(|_| same).into_iter().flatten().cloned());
    pointers.retain(|pointer| value.pointer(pointer).is_some());
    pointers.sort();
    pointers.dedup();
    pointers
}

/// What is known of the live object.
#[allow(clippy::large_enum_variant, reason = "it lives for a moment")]
enum Sight {
    Unseen,
    Absent,
    There(Meta),
}

struct Place {
    resource: Resource,
    sight: Sight,
    /// Whether only this release defines the kind.
    defined_here: bool,
}

/// How the cluster serves the object, and what of it is there.
fn place(id: &ObjectId, seen: Seen, provided: &Provided) -> Result<Place, Why> {
    // Delivered as the controller itself, these would rewrite what it remembers and owns.
    if id.group == GROUP && ["AcceptedRelease", "Inventory"].contains(&id.kind.as_str()) {
        return Err(Why::Reserved);
    }
    let (resource, sight, defined_here) = match seen {
        Seen::Present(resource, meta) => (resource, Sight::There(meta), false),
        Seen::Absent(resource) => (resource, Sight::Absent, false),
        Seen::Unseen(resource) => (resource, Sight::Unseen, false),
        Seen::UnknownKind => match provided.resource(id) {
            Some(resource) => (resource.clone(), Sight::Absent, true),
            None => return Err(Why::UnknownKind { api_version: id.api_version(), kind: id.kind.clone() }),
        },
        Seen::Unknown(error) => return Err(error.into()),
    };
    match (&id.namespace, resource.namespaced) {
        (None, true) => Err(Why::NoNamespace),
        (Some(namespace), false) => Err(Why::NotNamespaced { namespace: namespace.clone() }),
        _ => Ok(Place { resource, sight, defined_here }),
    }
}

/// Whether a live object may become or stay this Delivery's; the Delivery to ask for it, if there is one.
fn may_have(
    key: &Key,
    adopts: bool,
    meta: &Meta,
    owner: Option<&DeliveryReference>,
    owners: &Owners,
) -> Result<Option<DeliveryReference>, Why> {
    match &meta.owner {
        LiveOwner::Elsewhere(by) if !adopts => return Err(Why::ManagedElsewhere { by: by.clone() }),
        LiveOwner::Delivery { uid, .. } if owner.is_some_and(|owner| owner.uid != *uid) => {
            if let Some((other, wanted)) = owners.get(uid)
                && wanted.contains(key)
            {
                return Ok(Some(other.clone()));
            }
        }
        LiveOwner::Nobody | LiveOwner::Elsewhere(_) | LiveOwner::Delivery { .. } => {}
    }
    if meta.deleting { Err(Why::Terminating { held: None }) } else { Ok(None) }
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
