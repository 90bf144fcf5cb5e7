//! What watches have brought, what was applied, and whom the difference concerns. *pure*

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use sealift_apply::{
    api::{DeliveryReference, Mark},
    cluster::Resource,
    drift::{LOOK_PAUSE, Verdict, stays_away, verdict},
    health::Health,
    inventory::Key,
    owner::Meta,
    takeover::Managers,
};
use sealift_verify::objects::ObjectId;

use super::scopes::{Account, Need, Scope, Scopes, Uncovered};

/// Events within this time wake a Delivery once.
const DEBOUNCE: Duration = Duration::from_millis(700);
/// How long it is remembered that an object went, so that an older answer does not bring it back.
const GONE_FOR: Duration = Duration::from_secs(120);

/// One object: what was seen of it, and what was applied.
#[derive(Debug, Default)]
struct Object {
    seen: Option<Meta>,
    /// How it fared when it was seen so, where the watch tells.
    told: Option<Health>,
    gone: Option<Gone>,
    /// The version at which it was found healthy.
    healthy: Option<String>,
    expected: Option<Expected>,
}

impl Object {
    /// How it fares as it was seen last.
    fn told(&self) -> Option<&Health> {
        self.told.as_ref().filter(|_| self.seen.is_some())
    }
}

#[derive(Debug)]
struct Gone {
    version: Option<u64>,
    owned: bool,
    at: Instant,
}

#[derive(Debug)]
struct Expected {
    /// The uid of the Delivery that applied it.
    owner: Arc<str>,
    id: ObjectId,
    mark: Mark,
    /// What a plan has judged: as long as it is seen so, there is nothing more to do.
    settled: Option<Observed>,
    looked: Option<Instant>,
}

/// What a plan saw of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It was there, with this fingerprint.
    As(u64),
    /// It was not there.
    Absent,
}

/// An object that was applied.
#[derive(Debug)]
pub struct Followed {
    /// How the cluster serves it.
    pub resource: Resource,
    /// The object.
    pub id: ObjectId,
    /// How it looked right after it was applied.
    pub mark: Mark,
    /// What was judged of it just now; `None` if it was not.
    pub observed: Option<Observed>,
    /// Whether a dry-run was made of it.
    pub looked: bool,
}

/// What is known of a Delivery.
#[derive(Debug)]
struct Owner {
    delivery: DeliveryReference,
    account: Account,
    take_over: Managers,
    keys: Vec<Arc<Key>>,
    needs: BTreeSet<Need>,
    /// It is being reconciled: what is seen meanwhile is judged when that is over.
    busy: bool,
    /// Objects whose health it waits for.
    waits: HashSet<Key>,
    /// Objects that moved since it was last woken.
    moved: HashSet<Arc<Key>>,
    /// One of those it waits for moved.
    stirred: bool,
    due: Option<Instant>,
}

/// What a Delivery is woken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Which.
    pub delivery: DeliveryReference,
    /// Whether one of its objects differs or may differ from what was applied; else only health can have changed.
    pub drift: bool,
}

/// What was applied for a Delivery, as far as it is to be followed.
#[derive(Debug)]
pub struct Applied {
    /// Whose it is.
    pub owner: DeliveryReference,
    /// The account it acts as.
    pub account: Account,
    /// Whose fields are taken over.
    pub take_over: Managers,
    /// Every object of it.
    pub objects: Vec<Followed>,
}

/// All there is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) scopes: Scopes,
    objects: HashMap<Arc<Key>, Object>,
    owners: HashMap<Arc<str>, Owner>,
    /// When which Delivery is to be woken.
    due: BTreeSet<(Instant, Arc<str>)>,
}

impl State {
    pub(super) fn new(most_watches: usize) -> Self {
        Self {
            scopes: Scopes::new(most_watches),
            objects: HashMap::new(),
            owners: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// An object was seen, by a watch or in an answer; `told` is how it fares, where that follows from it. What is older than
    /// what is known says nothing.
    pub(super) fn seen(&mut self, key: Key, meta: Meta, told: Option<Health>, now: Instant) {
        let key = Arc::new(key);
        let object = self.objects.entry(Arc::clone(&key)).or_default();
        let same = object.seen.as_ref().is_some_and(|seen| seen.resource_version == meta.resource_version);
        if same && object.told.is_none() && told.is_some() {
            // The answer to our write was faster than the watch, which tells more.
            object.told = told;
            self.moved(&key, now);
            return;
        }
        let known = object.seen.as_ref().and_then(version).max(object.gone.as_ref().and_then(|gone| gone.version));
        // Versions of one object grow. What is no number cannot be compared, and counts as new.
        if version(&meta).is_some_and(|version| Some(version) <= known) {
            return;
        }
        object.seen = Some(meta);
        object.told = told;
        object.gone = None;
        self.moved(&key, now);
    }

    /// An object went, or lost the label by which it is watched.
    pub(super) fn went(&mut self, key: Key, last: &Meta, now: Instant) {
        let key = Arc::new(key);
        let object = self.objects.entry(Arc::clone(&key)).or_default();
        let version = version(last);
        if object.seen.as_ref().and_then(self::version) > version {
            return;
        }
        object.seen = None;
        object.gone = Some(Gone { version, owned: last.owned, at: now });
        self.moved(&key, now);
    }

    /// A watch has brought all there is: whatever else was known in its scope is gone.
    pub(super) fn listed(&mut self, scope: &Scope, all: &HashSet<Key>, now: Instant) {
        self.scopes.listed(scope);
        let within = |key: &Key| {
            key.group == scope.kind.group
                && key.kind == scope.kind.kind
                && (scope.namespace.is_none() || scope.namespace == key.namespace)
        };
        let concerned: Vec<_> = self.objects.keys().filter(|key| within(key)).cloned().collect();
        for key in concerned {
            let Some(object) = self.objects.get_mut(&key) else { continue };
            if !all.contains(&*key)
                && let Some(last) = object.seen.take()
            {
                // What was made while the list came in is not on it, and its event is yet to come: in the very version
                // that our own write was answered with.
                let version = version(&last).map(|version| version.saturating_sub(1));
                object.gone = Some(Gone { version, owned: last.owned, at: now });
            }
            self.moved(&key, now);
        }
    }

    /// Forgets what nobody expects and what went long ago.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.objects.retain(|_, object| {
            let remembered = object.gone.as_ref().is_some_and(|gone| now < gone.at + GONE_FOR);
            object.expected.is_some() || object.seen.is_some() || remembered
        });
    }

    /// A kind is not followed any more: what was seen of it says nothing about now.
    pub(super) fn unfollow(&mut self, scope: &Scope) {
        for (key, object) in &mut self.objects {
            if key.group == scope.kind.group
                && key.kind == scope.kind.kind
                && (scope.namespace.is_none() || scope.namespace == key.namespace)
            {
                object.seen = None;
            }
        }
    }

    /// A reconcile of this Delivery begins.
    pub(super) fn begin(&mut self, delivery: &DeliveryReference) {
        let uid: Arc<str> = delivery.uid.as_str().into();
        let fresh = || Owner {
            delivery: delivery.clone(),
            account: Account::default(),
            take_over: Managers::default(),
            keys: vec![],
            needs: BTreeSet::new(),
            busy: true,
            waits: HashSet::new(),
            moved: HashSet::new(),
            stirred: false,
            due: None,
        };
        let owner = self.owners.entry(uid).or_insert_with(fresh);
        owner.busy = true;
        owner.stirred = false;
    }

    /// The reconcile is over. `waits` are objects whose health is waited for.
    pub(super) fn end(&mut self, uid: &str, waits: HashSet<Key>, now: Instant) {
        let Some(uid) = self.owners.get_key_value(uid).map(|(uid, _)| Arc::clone(uid)) else { return };
        let Some(owner) = self.owners.get_mut(&uid) else { return };
        owner.busy = false;
        // What moved while it was looked at may have moved after the look.
        let stirred = owner.stirred && !waits.is_empty();
        owner.stirred = stirred;
        owner.waits = waits;
        if stirred || !owner.moved.is_empty() {
            let pause = if stirred && self.is_over(&uid) { Duration::ZERO } else { DEBOUNCE };
            self.call(&uid, now + pause);
        }
    }

    /// True if watches tell that all a Delivery waits for has settled: whatever else happens, that is worth a look.
    fn is_over(&self, uid: &str) -> bool {
        let settled = |key: &Key| self.objects.get(key).and_then(Object::told).is_some_and(Health::is_settled);
        self.owners.get(uid).is_some_and(|owner| !owner.waits.is_empty() && owner.waits.iter().all(settled))
    }

    /// What was applied for a Delivery from now on. True if other kinds or namespaces are to be followed than before.
    pub(super) fn own(&mut self, applied: Applied, now: Instant) -> bool {
        let Applied { owner, account, take_over, objects } = applied;
        self.begin(&owner);
        let uid: Arc<str> = owner.uid.as_str().into();
        let mut needs = BTreeSet::new();
        let mut changed = false;
        let before =
            self.owners.get_mut(&uid).map(|owner| (std::mem::take(&mut owner.keys), std::mem::take(&mut owner.needs)));
        let (old_keys, old_needs) = before.unwrap_or_default();
        let mut keys = Vec::with_capacity(objects.len());
        for object in objects {
            let key = Key::of(&object.id);
            let need = Need::of(&key, &account);
            changed |= self.scopes.served(&need.kind);
            if needs.insert(need.clone()) && !old_needs.contains(&need) {
                changed |= self.scopes.need(need, &object.resource);
            }
            keys.push(self.expect(key, object, &uid, now));
        }
        for need in old_needs.difference(&needs) {
            changed |= self.scopes.drop_need(need);
        }
        let kept: HashSet<&Arc<Key>> = keys.iter().collect();
        for key in old_keys.iter().filter(|key| !kept.contains(key)) {
            self.unexpect(key, &uid);
        }
        if let Some(known) = self.owners.get_mut(&uid) {
            (known.delivery, known.account, known.take_over) = (owner, account, take_over);
            (known.keys, known.needs) = (keys.clone(), needs);
        }
        // What was applied is judged against what is known: an event may have been faster than our answer.
        for key in &keys {
            self.moved(key, now);
        }
        changed
    }

    fn expect(&mut self, key: Key, object: Followed, uid: &Arc<str>, now: Instant) -> Arc<Key> {
        let Followed { resource: _, id, mark, observed, looked } = object;
        let key = self.objects.get_key_value(&key).map_or_else(|| Arc::new(key), |(known, _)| Arc::clone(known));
        let object = self.objects.entry(Arc::clone(&key)).or_default();
        let label = object.seen.as_ref().and_then(Meta::delivery);
        // What was handed over is its new owner's to follow, though the old one has not yet let go.
        if object.expected.as_ref().is_some_and(|other| other.owner != *uid && label == Some(&*other.owner)) {
            return key;
        }
        let before = object.expected.take().filter(|expected| expected.owner == *uid);
        let (settled, last) = before.map_or((None, None), |before| (before.settled, before.looked));
        object.expected = Some(Expected {
            owner: Arc::clone(uid),
            id,
            mark,
            settled: observed.or(settled),
            looked: if looked { Some(now) } else { last },
        });
        key
    }

    fn unexpect(&mut self, key: &Arc<Key>, uid: &Arc<str>) {
        if let Some(object) = self.objects.get_mut(key)
            && object.expected.as_ref().is_some_and(|expected| expected.owner == *uid)
        {
            object.expected = None;
        }
    }

    /// True if something was applied for this Delivery.
    pub(super) fn knows(&self, uid: &str) -> bool {
        self.owners.get(uid).is_some_and(|owner| !owner.keys.is_empty())
    }

    /// A Delivery is gone. True if less is to be followed.
    pub(super) fn disown(&mut self, uid: &str) -> bool {
        let Some((uid, owner)) = self.owners.remove_entry(uid) else { return false };
        if let Some(due) = owner.due {
            self.due.remove(&(due, Arc::clone(&uid)));
        }
        for key in &owner.keys {
            self.unexpect(key, &uid);
        }
        let mut changed = false;
        for need in &owner.needs {
            changed |= self.scopes.drop_need(need);
        }
        changed
    }

    /// The Deliveries to wake now, and when to ask again.
    pub(super) fn wakes(&mut self, now: Instant) -> (Vec<Wake>, Option<Instant>) {
        let mut wakes = vec![];
        while let Some((at, uid)) = self.due.first().cloned() {
            if at > now {
                return (wakes, Some(at));
            }
            self.due.pop_first();
            let Some(owner) = self.owners.get_mut(&uid) else { continue };
            owner.due = None;
            if owner.busy {
                continue;
            }
            let (moved, stirred) = (std::mem::take(&mut owner.moved), std::mem::take(&mut owner.stirred));
            let delivery = owner.delivery.clone();
            let calls: Vec<_> = moved.into_iter().map(|key| (self.wants(&key, now), key)).collect();
            let drift = calls.iter().any(|(at, _)| at.is_some_and(|at| at <= now));
            // What is not yet to be looked at again is so later.
            for (at, key) in calls {
                if let Some(at) = at.filter(|at| *at > now) {
                    self.mark_moved(&uid, key);
                    self.call(&uid, at);
                }
            }
            if drift || stirred {
                wakes.push(Wake { delivery, drift });
            }
        }
        (wakes, None)
    }

    /// What a watch says of an object, if it can be relied on.
    pub(super) fn meta(&self, key: &Key, account: &Account, now: Instant) -> Option<Meta> {
        let object = self.objects.get(key)?;
        self.scopes.covers(&Need::of(key, account), now).ok()?;
        object.seen.clone()
    }

    /// True if an object that looks so was looked at before, or is not to be looked at yet.
    pub(super) fn is_settled(&self, key: &Key, meta: &Meta, now: Instant) -> bool {
        let Some(expected) = self.objects.get(key).and_then(|object| object.expected.as_ref()) else { return false };
        if expected.settled == Some(Observed::As(meta.fingerprint())) {
            return true;
        }
        self.rests(expected, meta, now)
    }

    /// True if an object that looks so is not to be looked at yet, though it was not judged.
    pub(super) fn is_resting(&self, key: &Key, meta: &Meta, now: Instant) -> bool {
        let expected = self.objects.get(key).and_then(|object| object.expected.as_ref());
        expected.is_some_and(|expected| {
            expected.settled != Some(Observed::As(meta.fingerprint())) && self.rests(expected, meta, now)
        })
    }

    fn rests(&self, expected: &Expected, meta: &Meta, now: Instant) -> bool {
        let rests = expected.looked.is_some_and(|looked| now < looked + LOOK_PAUSE);
        rests && matches!(self.judge(expected, Some(meta)), Verdict::LookCloser(_))
    }

    /// True if an object had an owner of its own when it went.
    pub(super) fn went_with_owner(&self, key: &Key) -> bool {
        self.objects.get(key).and_then(|object| object.gone.as_ref()).is_some_and(|gone| gone.owned)
    }

    /// Why some of a Delivery's objects are not followed, and how many of its kinds and namespaces that concerns.
    pub(super) fn uncovered(&self, uid: &str, now: Instant) -> Vec<(Need, Uncovered)> {
        let Some(owner) = self.owners.get(uid) else { return vec![] };
        let needs = owner.needs.iter();
        needs.filter_map(|need| Some((need.clone(), self.scopes.covers(need, now).err()?))).collect()
    }

    /// True if every one of these objects is followed, so that waiting for events is enough.
    pub(super) fn follows(&self, uid: &str, keys: &HashSet<Key>, now: Instant) -> bool {
        let Some(owner) = self.owners.get(uid) else { return false };
        keys.iter().all(|key| self.scopes.covers(&Need::of(key, &owner.account), now).is_ok())
    }

    /// The version of an object as it was last seen.
    pub(super) fn version(&self, key: &Key) -> Option<String> {
        Some(self.objects.get(key)?.seen.as_ref()?.resource_version.clone())
    }

    /// How an object fares by the watch that tells of it, if that can be relied on.
    pub(super) fn told(&self, key: &Key, account: &Account, now: Instant) -> Option<Health> {
        let told = self.objects.get(key)?.told()?;
        self.scopes.covers(&Need::of(key, account), now).ok()?;
        Some(told.clone())
    }

    /// An object was found healthy after it was seen at this version.
    pub(super) fn healthy(&mut self, key: &Key, version: String) {
        if let Some(object) = self.objects.get_mut(key) {
            object.healthy = Some(version);
        }
    }

    /// True if an object was found healthy and has not moved since.
    pub(super) fn is_healthy(&self, key: &Key, account: &Account, now: Instant) -> bool {
        let Some(object) = self.objects.get(key) else { return false };
        let seen = object.seen.as_ref().map(|seen| &seen.resource_version);
        seen.is_some() && seen == object.healthy.as_ref() && self.scopes.covers(&Need::of(key, account), now).is_ok()
    }

    /// Notes that something happened to an object, for whoever applied it.
    fn moved(&mut self, key: &Arc<Key>, now: Instant) {
        let Some(expected) = self.objects.get(key).and_then(|object| object.expected.as_ref()) else { return };
        let uid = Arc::clone(&expected.owner);
        let at = self.wants(key, now);
        let pause = if self.is_over(&uid) { Duration::ZERO } else { DEBOUNCE };
        let Some(owner) = self.owners.get_mut(&uid) else { return };
        let waited_for = owner.waits.contains(&**key) || owner.busy;
        owner.stirred |= waited_for;
        let soon = (waited_for && !owner.busy).then_some(now + pause);
        if at.is_some() {
            self.mark_moved(&uid, Arc::clone(key));
        }
        if let Some(at) = at.map(|at| at.max(now + DEBOUNCE)).into_iter().chain(soon).min() {
            self.call(&uid, at);
        }
    }

    fn mark_moved(&mut self, uid: &Arc<str>, key: Arc<Key>) {
        if let Some(owner) = self.owners.get_mut(uid) {
            owner.moved.insert(key);
        }
    }

    /// When an object wants to be looked at, if it does.
    fn wants(&self, key: &Key, now: Instant) -> Option<Instant> {
        let object = self.objects.get(key)?;
        let expected = object.expected.as_ref()?;
        let Some(seen) = &object.seen else {
            let owned = object.gone.as_ref()?.owned;
            let stays = expected.settled == Some(Observed::Absent) || stays_away(&expected.id, owned).is_some();
            return (!stays).then_some(now);
        };
        if expected.settled == Some(Observed::As(seen.fingerprint())) {
            return None;
        }
        match self.judge(expected, Some(seen)) {
            // Whoever asks for it to be left alone is answered, though nothing was changed yet.
            Verdict::Undisturbed => seen.break_glass.is_some().then_some(now),
            Verdict::Drifted(_) => Some(now),
            Verdict::LookCloser(_) => Some(expected.looked.map_or(now, |looked| (looked + LOOK_PAUSE).max(now))),
        }
    }

    fn judge(&self, expected: &Expected, seen: Option<&Meta>) -> Verdict {
        let nobody = Managers::default();
        let take_over = self.owners.get(&expected.owner).map_or(&nobody, |owner| &owner.take_over);
        verdict(&expected.mark, &expected.owner, seen, &|writer| take_over.takes(writer))
    }

    /// Wakes a Delivery at that time or earlier.
    fn call(&mut self, uid: &Arc<str>, at: Instant) {
        let Some(owner) = self.owners.get_mut(uid) else { return };
        if let Some(due) = owner.due {
            if due <= at {
                return;
            }
            self.due.remove(&(due, Arc::clone(uid)));
        }
        owner.due = Some(at);
        self.due.insert((at, Arc::clone(uid)));
    }
}

fn version(meta: &Meta) -> Option<u64> {
    meta.resource_version.parse().ok()
}

#[cfg(test)]
mod tests;
