//! Which watches there are: one a kind as the controller where it may, else one a namespace as the Delivery's account, and
//! never more than a bound. *pure*

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use sealift_apply::{cluster::Resource, inventory::Key};

/// How long a right that was refused is not asked for again: at first, since a server that has just begun refuses
/// everything, and at last, each time twice as long.
const REFUSED_FIRST: Duration = Duration::from_secs(60);
const REFUSED_FOR: Duration = Duration::from_secs(600);
/// How long a kind that is not served is not asked for again, unless somebody has applied an object of it since.
const UNSERVED_FOR: Duration = Duration::from_secs(60);
/// After an error a watch is not relied on for this long. It is longer than the longest pause between two attempts, so
/// that a watch that keeps failing is not relied on at all.
const UNSURE_FOR: Duration = Duration::from_secs(45);

/// A kind whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) kind: String,
}

/// A service account: namespace and name.
pub(super) type Account = (String, String);

/// What one watch follows, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    /// `None` for all namespaces, and for kinds that lie in none.
    pub(super) namespace: Option<String>,
    /// `None` for the controller itself.
    pub(super) account: Option<Account>,
}

/// Where objects lie that some Delivery owns, and as whom it may see them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Need {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    pub(super) account: Account,
}

/// Why objects are not followed by a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Uncovered {
    /// The bound on watches.
    Bound,
    /// Neither the controller nor the account may watch them.
    Forbidden,
    /// There is no such kind.
    Unserved,
    /// The watch has not brought everything yet, or broke off.
    Unsure,
}

#[derive(Debug)]
struct Wanted {
    resource: Resource,
    /// How many Deliveries need it.
    needs: BTreeMap<Need, usize>,
}

#[derive(Debug, Default)]
struct Watch {
    listed: bool,
    unsure_until: Option<Instant>,
}

#[derive(Debug)]
struct Refusal {
    until: Instant,
    pause: Duration,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Scopes {
    most: usize,
    wanted: BTreeMap<Kind, Wanted>,
    running: HashMap<Scope, Watch>,
    refused: HashMap<Scope, Refusal>,
    unserved: HashMap<Kind, Instant>,
}

/// What is to be done about watches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub(super) start: Vec<(Scope, Resource)>,
    pub(super) stop: Vec<Scope>,
}

impl Scopes {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            wanted: BTreeMap::new(),
            running: HashMap::new(),
            refused: HashMap::new(),
            unserved: HashMap::new(),
        }
    }

    /// One Delivery more needs this. True if nobody did before.
    pub(super) fn need(&mut self, need: Need, resource: &Resource) -> bool {
        let wanted = self.wanted.entry(need.kind.clone());
        let wanted = wanted.or_insert_with(|| Wanted { resource: resource.clone(), needs: BTreeMap::new() });
        let count = wanted.needs.entry(need).or_default();
        *count += 1;
        *count == 1
    }

    /// One Delivery less needs this. True if nobody does any more.
    pub(super) fn drop_need(&mut self, need: &Need) -> bool {
        let Some(wanted) = self.wanted.get_mut(&need.kind) else { return false };
        let Some(count) = wanted.needs.get_mut(need) else { return false };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        wanted.needs.remove(need);
        if wanted.needs.is_empty() {
            self.wanted.remove(&need.kind);
        }
        true
    }

    /// What to start and stop so that what is needed is followed, as far as the bound allows.
    pub(super) fn moves(&mut self, now: Instant) -> Moves {
        // How long the last pause was is known a while longer than it lasts.
        self.refused.retain(|_, refusal| refusal.until + REFUSED_FOR > now);
        self.unserved.retain(|_, until| *until > now);
        let wanted: BTreeSet<Scope> =
            self.wanted.iter().flat_map(|(kind, wanted)| self.scopes_of(kind, wanted, now)).collect();
        let stop: Vec<_> = self.running.keys().filter(|scope| !wanted.contains(scope)).cloned().collect();
        for scope in &stop {
            self.running.remove(scope);
        }
        let mut start = vec![];
        // What covers most comes first: without a namespace sorts before any namespace.
        let (whole, parts): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|scope| scope.account.is_none());
        for scope in whole.into_iter().chain(parts) {
            if self.running.len() >= self.most {
                break;
            }
            let Some(resource) = self.wanted.get(&scope.kind).map(|wanted| wanted.resource.clone()) else { continue };
            if !self.running.contains_key(&scope) {
                self.running.insert(scope.clone(), Watch::default());
                start.push((scope, resource));
            }
        }
        Moves { start, stop }
    }

    /// The whole where it was not refused, else its parts where they were not.
    fn scopes_of(&self, kind: &Kind, wanted: &Wanted, now: Instant) -> Vec<Scope> {
        if self.unserved.contains_key(kind) {
            return vec![];
        }
        let fine = |scope: &Scope| !self.is_refused(scope, now);
        match whole(kind).filter(fine) {
            Some(whole) => vec![whole],
            None => wanted.needs.keys().map(part).filter(fine).collect(),
        }
    }

    fn is_refused(&self, scope: &Scope, now: Instant) -> bool {
        self.refused.get(scope).is_some_and(|refusal| refusal.until > now)
    }

    /// The watch has brought everything there is.
    pub(super) fn listed(&mut self, scope: &Scope) {
        self.refused.remove(scope);
        if let Some(watch) = self.running.get_mut(scope) {
            watch.listed = true;
        }
    }

    /// The watch begins anew, or broke off.
    pub(super) fn unsure(&mut self, scope: &Scope, now: Instant) {
        if let Some(watch) = self.running.get_mut(scope) {
            watch.unsure_until = Some(now + UNSURE_FOR);
        }
    }

    /// The watch has ended with its kind, such as when a definition is deleted. No account is served it either.
    pub(super) fn unserved(&mut self, scope: &Scope, now: Instant) {
        self.running.remove(scope);
        self.unserved.insert(scope.kind.clone(), now + UNSERVED_FOR);
    }

    /// An object of this kind was applied. True if there was no such kind before.
    pub(super) fn served(&mut self, kind: &Kind) -> bool {
        self.unserved.remove(kind).is_some()
    }

    /// The watch has ended, since it is not allowed.
    pub(super) fn refused(&mut self, scope: &Scope, now: Instant) {
        self.running.remove(scope);
        let last = self.refused.get(scope).map(|refusal| refusal.pause);
        let pause = last.map_or(REFUSED_FIRST, |last| (last * 2).min(REFUSED_FOR));
        self.refused.insert(scope.clone(), Refusal { until: now + pause, pause });
    }

    /// True if the watch is one of those that were started and not stopped since.
    pub(super) fn is_running(&self, scope: &Scope) -> bool {
        self.running.contains_key(scope)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// True if all of these objects are followed by watches that can be relied on.
    pub(super) fn follow(&self, mut keys: impl Iterator<Item = Key>, account: &Account, now: Instant) -> bool {
        keys.all(|key| self.covers(&Need::of(&key, account), now).is_ok())
    }

    /// Whether what is needed is followed by a watch that can be relied on.
    pub(super) fn covers(&self, need: &Need, now: Instant) -> Result<(), Uncovered> {
        let part = part(need);
        let mut reason = match (self.unserved.contains_key(&need.kind), self.is_refused(&part, now)) {
            (true, _) => Uncovered::Unserved,
            (false, true) => Uncovered::Forbidden,
            (false, false) => Uncovered::Bound,
        };
        for scope in whole(&need.kind).iter().chain([&part]) {
            match self.running.get(scope) {
                Some(watch) if watch.listed && watch.unsure_until.is_none_or(|until| until <= now) => return Ok(()),
                Some(_) => reason = Uncovered::Unsure,
                None => {}
            }
        }
        Err(reason)
    }
}

impl Need {
    /// Where `key` lies, for a Delivery that acts as `account`.
    pub(super) fn of(key: &Key, account: &Account) -> Self {
        let kind = Kind { group: key.group.clone(), kind: key.kind.clone() };
        Self { kind, namespace: key.namespace.clone(), account: account.clone() }
    }
}

/// All objects of a kind, as the controller; never Secrets.
fn whole(kind: &Kind) -> Option<Scope> {
    let is_secret = kind.group.is_empty() && kind.kind == "Secret";
    (!is_secret).then(|| Scope { kind: kind.clone(), namespace: None, account: None })
}

fn part(need: &Need) -> Scope {
    let Need { kind, namespace, account } = need.clone();
    Scope { kind, namespace, account: Some(account) }
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;

    use super::*;

    fn need(group: &str, kind: &str, namespace: &str) -> (Need, Resource) {
        let kind = Kind { group: group.into(), kind: kind.into() };
        let api = ApiResource {
            group: kind.group.clone(),
            version: "v1".into(),
            api_version: "v1".into(),
            kind: kind.kind.clone(),
            plural: kind.kind.to_lowercase(),
        };
        let account = (namespace.to_owned(), "deployer".to_owned());
        (
            Need { kind, namespace: Some(namespace.into()), account },
            Resource { api, namespaced: true, has_status: true },
        )
    }

    fn started(scopes: &mut Scopes, now: Instant) -> Vec<String> {
        let moves = scopes.moves(now);
        let word = |scope: &Scope| format!("{} {}", scope.kind.kind, scope.namespace.as_deref().unwrap_or("*"));
        moves
            .start
            .iter()
            .map(|(scope, _)| word(scope))
            .chain(moves.stop.iter().map(|s| format!("-{}", word(s))))
            .collect()
    }

    fn with(most: usize, needs: &[(Need, Resource)]) -> Scopes {
        let mut scopes = Scopes::new(most);
        for (need, resource) in needs {
            scopes.need(need.clone(), resource);
        }
        scopes
    }

    #[test]
    fn a_kind_is_watched_once_and_secrets_only_where_they_are_owned() {
        let needs = [
            need("apps", "Deployment", "a"),
            need("apps", "Deployment", "b"),
            need("", "Secret", "a"),
            need("", "Secret", "b"),
            need("secrets.example", "Secret", "a"),
        ];
        let mut scopes = with(10, &needs);
        let now = Instant::now();
        assert_eq!(started(&mut scopes, now), ["Deployment *", "Secret *", "Secret a", "Secret b"]);
        assert!(started(&mut scopes, now).is_empty(), "each once");
        assert_eq!(scopes.covers(&needs[0].0, now), Err(Uncovered::Unsure), "not listed yet");
        scopes.listed(&whole(&needs[0].0.kind).unwrap());
        assert_eq!(scopes.covers(&needs[1].0, now), Ok(()));
        scopes.unsure(&whole(&needs[0].0.kind).unwrap(), now);
        assert_eq!(scopes.covers(&needs[1].0, now), Err(Uncovered::Unsure));
        assert_eq!(scopes.covers(&needs[1].0, now + UNSURE_FOR), Ok(()));
    }

    #[test]
    fn what_the_controller_may_not_watch_is_watched_as_each_account_and_what_nobody_may_is_not() {
        let needs = [need("x.example", "Widget", "a"), need("x.example", "Widget", "b")];
        let mut scopes = with(10, &needs);
        let now = Instant::now();
        assert_eq!(started(&mut scopes, now), ["Widget *"]);
        scopes.refused(&whole(&needs[0].0.kind).unwrap(), now);
        assert_eq!(started(&mut scopes, now), ["Widget a", "Widget b"]);
        scopes.refused(&part(&needs[0].0), now);
        assert!(started(&mut scopes, now).is_empty());
        assert_eq!(scopes.covers(&needs[0].0, now), Err(Uncovered::Forbidden));
        assert_eq!(scopes.covers(&needs[1].0, now), Err(Uncovered::Unsure));
        // and is asked for again later: then the whole takes the place of its parts
        assert_eq!(started(&mut scopes, now + REFUSED_FIRST), ["Widget *", "-Widget b"]);
    }

    /// For ten minutes after a server had restarted nothing was followed, since it refused everything at first.
    #[test]
    fn what_was_refused_is_asked_for_again_soon_and_later_each_time() {
        let one = need("apps", "Deployment", "a");
        let (mut scopes, mut now) = (with(10, std::slice::from_ref(&one)), Instant::now());
        let whole = whole(&one.0.kind).unwrap();
        let mut pauses = vec![];
        for _ in 0..6 {
            scopes.moves(now);
            scopes.refused(&whole, now);
            let begins = |at: &u64| !scopes.is_refused(&whole, now + Duration::from_secs(*at));
            let pause = (0..2000).find(begins).unwrap();
            pauses.push(pause);
            now += Duration::from_secs(pause);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 600, 600]);
        scopes.listed(&whole);
        scopes.refused(&whole, now);
        assert_eq!(scopes.covers(&one.0, now), Err(Uncovered::Bound), "its part was not refused");
        assert!(!scopes.is_refused(&whole, now + REFUSED_FIRST), "and from the beginning once it was granted");
    }

    /// Refused as a right is, its objects would not be followed for ten minutes after the definition is back.
    #[test]
    fn a_kind_that_is_not_served_is_watched_again_once_something_of_it_is_applied_or_after_a_while() {
        let needs = [need("x.example", "Widget", "a"), need("x.example", "Widget", "b")];
        let mut scopes = with(10, &needs);
        let (now, kind) = (Instant::now(), &needs[0].0.kind);
        started(&mut scopes, now);
        scopes.unserved(&whole(kind).unwrap(), now);
        assert!(started(&mut scopes, now).is_empty(), "nor as any account");
        assert_eq!(scopes.covers(&needs[0].0, now), Err(Uncovered::Unserved));
        assert!(scopes.served(kind) && !scopes.served(kind));
        assert_eq!(started(&mut scopes, now), ["Widget *"]);
        scopes.unserved(&whole(kind).unwrap(), now);
        assert_eq!(started(&mut scopes, now + UNSERVED_FOR), ["Widget *"]);
    }

    #[test]
    fn past_the_bound_nothing_more_is_watched_until_something_is_not_needed() {
        let needs = [need("", "Secret", "a"), need("", "Secret", "b"), need("apps", "Deployment", "a")];
        let mut scopes = with(2, &needs);
        let now = Instant::now();
        assert_eq!(started(&mut scopes, now), ["Deployment *", "Secret a"], "what covers most comes first");
        assert_eq!((scopes.len(), scopes.covers(&needs[1].0, now)), (2, Err(Uncovered::Bound)));
        assert!(scopes.drop_need(&needs[0].0));
        assert_eq!(started(&mut scopes, now), ["Secret b", "-Secret a"]);
    }

    #[test]
    fn a_need_goes_with_the_last_who_has_it() {
        let (one, resource) = need("apps", "Deployment", "a");
        let mut scopes = Scopes::new(10);
        assert!(scopes.need(one.clone(), &resource));
        assert!(!scopes.need(one.clone(), &resource));
        assert!(!scopes.drop_need(&one));
        assert!(scopes.drop_need(&one));
        assert!(!scopes.drop_need(&one));
    }
}
