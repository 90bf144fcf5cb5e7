//! The policies of the cluster as the verdict needs them. *pure*
//!
//! A policy that cannot be read whole authorises nothing, and neither does any other where it may have had a say: it was
//! written to forbid something, and nobody knows what.

use std::sync::Arc;

use sealift_verify::{
    objects::{Object, ObjectId, Origin, identity},
    policy::{Policy, Selected, might_match, select},
    reference::Repository,
    sigstore::{PUBLIC_GOOD, TrustRoot, TrustRoots},
};
use serde_json::Value;

use super::stop::{Stop, chain};

/// All policies at one moment.
#[derive(Debug, Default)]
pub struct Policies {
    known: bool,
    usable: Vec<Arc<Policy>>,
    unusable: Vec<Unusable>,
    roots: TrustRoots,
    /// What all this was read from.
    objects: Vec<Value>,
    root_objects: Vec<Value>,
}

/// A policy that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Unusable {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
    /// The object, to tell whom it may be about.
    object: Value,
}

impl Policies {
    /// Reads policy objects as they stand in the cluster.
    pub fn read(objects: Vec<Value>) -> Self {
        let mut policies = Self { known: true, objects: objects.clone(), ..Self::default() };
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            match parse(&object) {
                Ok(policy) => policies.usable.push(Arc::new(policy)),
                Err(problem) => policies.unusable.push(Unusable { name, problem, object }),
            }
        }
        policies.usable.sort_by(|a, b| a.name.cmp(&b.name));
        policies.unusable.sort_by(|a, b| a.name.cmp(&b.name));
        policies
    }

    /// With the trust roots of the cluster beside the built-in one. One that cannot be used keeps its name, so that the
    /// policies which name it are refused and never judged by another.
    #[must_use]
    pub fn with_trust_roots(mut self, objects: &[Value]) -> Self {
        self.roots = TrustRoots::default();
        self.root_objects = objects.to_vec();
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.roots.insert(name, read_root(object));
        }
        self
    }

    /// The policies and trust roots there would be with these objects as they are here, and without those that are deleted.
    #[must_use]
    pub(super) fn after(&self, changed: Vec<Value>, deleted: &[ObjectId]) -> Self {
        let next = |kind: &str, now: &[Value]| {
            let is = |object: &Value| object["kind"] == kind;
            let stays = |object: &&Value| {
                let name = object["metadata"]["name"].as_str();
                let gone = |id: &ObjectId| id.kind == kind && Some(id.name.as_str()) == name;
                let changes = |other: &Value| is(other) && other["metadata"]["name"].as_str() == name;
                !deleted.iter().any(gone) && !changed.iter().any(changes)
            };
            let stay = now.iter().filter(stays);
            stay.chain(changed.iter().filter(|object| is(object))).cloned().collect::<Vec<_>>()
        };
        let (policies, roots) = (next("SignaturePolicy", &self.objects), next("TrustRoot", &self.root_objects));
        Self::read(policies).with_trust_roots(&roots)
    }

    /// The trust roots that policies may name.
    pub fn roots(&self) -> &TrustRoots {
        &self.roots
    }

    /// Whether a policy that can be used relies on the built-in root, which no object of the cluster replaces.
    pub(crate) fn rely_on_built_in_root(&self) -> bool {
        let is_replaced = self.root_objects.iter().any(|object| object["metadata"]["name"] == PUBLIC_GOOD);
        !is_replaced && self.usable.iter().any(|policy| policy.trust_roots().any(|name| name == PUBLIC_GOOD))
    }

    /// False until the cluster was asked: nothing may be judged before.
    pub fn are_known(&self) -> bool {
        self.known
    }

    /// True if every verdict under `other` would be the same.
    pub fn same_as(&self, other: &Self) -> bool {
        let digests = |policies: &Self| policies.usable.iter().map(|policy| policy.digest).collect::<Vec<_>>();
        self.known == other.known
            && digests(self) == digests(other)
            && self.unusable == other.unusable
            && self.roots == other.roots
    }

    /// Those that cannot be used.
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// Those that can.
    pub(super) fn usable(&self) -> &[Arc<Policy>] {
        &self.usable
    }

    /// The policies that judge a repository, before anything of it is fetched.
    pub(super) fn for_repository(&self, repository: &Repository, namespace: &str) -> Result<Selected, Stop> {
        let broken = self.unusable.iter().find(|policy| might_match(&policy.object, repository, Some(namespace)));
        if let Some(Unusable { name, problem, .. }) = broken {
            return Err(Stop::PolicyInvalid { policy: name.clone(), problem: problem.clone() });
        }
        select(&self.usable, repository, Some(namespace)).map_err(Stop::Refused)
    }
}

fn parse(value: &Value) -> Result<Policy, String> {
    Policy::from_object(&object(value)?).map_err(|error| chain(&error))
}

fn read_root(value: &Value) -> Result<TrustRoot, String> {
    TrustRoot::from_object(&object(value)?).map_err(|error| chain(&error))
}

fn object(value: &Value) -> Result<Object, String> {
    let id = identity::of(value).map_err(|problem| problem.to_string())?;
    Ok(Object { id, value: value.clone(), origin: Origin::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8nXRh950IZbRj8Ra/N9sbqOPZrfM\n5/KAQN0/KjHcorm/J5yctVd7iEcnessRQjU917hmKO6JWVGHpDguIyakZA==\n-----END PUBLIC KEY-----\n";

    fn policy(name: &str, repositories: Value) -> Value {
        json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "SignaturePolicy", "metadata": {"name": name},
            "spec": {
                "match": {"repositories": repositories},
                "authorities": [{"name": "ci", "key": {"pem": KEY}}],
                "require": {"anyOf": ["ci"]},
                "release": {"streams": [{"regex": "[a-z0-9./-]+"}]},
            }
        })
    }

    fn judged(objects: Vec<Value>, repository: &str) -> Result<usize, &'static str> {
        let selected = Policies::read(objects).for_repository(&repository.parse().unwrap(), "apps");
        selected.map(|selected| selected.enforcing.len()).map_err(|stop| stop.reason())
    }

    #[test]
    fn nothing_is_trusted_by_default() {
        assert_eq!(judged(vec![], "registry.example/app"), Err("NoPolicy"));
        assert_eq!(judged(vec![policy("a", json!(["other.example/**"]))], "registry.example/app"), Err("NoPolicy"));
        assert_eq!(judged(vec![policy("a", json!(["registry.example/**"]))], "registry.example/app"), Ok(1));
    }

    #[test]
    fn a_policy_that_cannot_be_read_refuses_what_it_may_be_about() {
        let good = policy("good", json!(["**"]));
        let mut bad = policy("bad", json!(["registry.example/team/**"]));
        bad["spec"]["authoritys"] = json!([]);
        assert_eq!(judged(vec![good.clone(), bad.clone()], "registry.example/team/app"), Err("PolicyInvalid"));
        assert_eq!(judged(vec![good.clone(), bad.clone()], "registry.example/other"), Ok(1));
        bad["spec"]["match"] = json!({"repositorys": ["x"]});
        assert_eq!(judged(vec![good.clone(), bad.clone()], "registry.example/other"), Err("PolicyInvalid"));
        bad["spec"]["match"] = json!({"repositories": ["registry.example/**"], "namespaces": ["elsewhere"]});
        assert_eq!(judged(vec![good, bad], "registry.example/other"), Ok(1));
    }

    #[test]
    fn a_release_leaves_behind_what_it_changes_adds_and_does_not_delete() {
        let id = |kind: &str, name: &str| ObjectId {
            group: "sealift.dev".into(),
            version: "v1alpha1".into(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
        };
        let root = |name: &str| {
            json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": name},
                "spec": {"trustedRoot": "{}"}})
        };
        let now = Policies::read(vec![policy("a", json!(["**"])), policy("b", json!(["registry.example/b/**"]))]);
        let now = now.with_trust_roots(&[root("r")]);
        let judged = |after: &Policies, repository: &str| {
            let selected = after.for_repository(&repository.parse().unwrap(), "apps");
            selected.map(|selected| selected.enforcing.len()).map_err(|stop| stop.reason())
        };
        let mut broken = policy("c", json!(["**"]));
        broken["spec"]["authoritys"] = json!([]);
        for (what, changed, deleted, in_a, in_b) in [
            ("nothing", vec![], vec![], Ok(1), Ok(2)),
            ("one goes", vec![], vec![id("SignaturePolicy", "a")], Err("NoPolicy"), Ok(1)),
            (
                "both go",
                vec![],
                vec![id("SignaturePolicy", "a"), id("SignaturePolicy", "b")],
                Err("NoPolicy"),
                Err("NoPolicy"),
            ),
            ("another kind of that name goes", vec![], vec![id("TrustRoot", "a")], Ok(1), Ok(2)),
            ("one is about less", vec![policy("a", json!(["other.example/**"]))], vec![], Err("NoPolicy"), Ok(1)),
            ("one comes", vec![policy("c", json!(["**"]))], vec![], Ok(2), Ok(3)),
            ("one comes that nobody can read", vec![broken], vec![], Err("PolicyInvalid"), Err("PolicyInvalid")),
        ] {
            let after = now.after(changed, &deleted);
            let found = (judged(&after, "registry.example/a"), judged(&after, "registry.example/b/c"));
            assert_eq!(found, (in_a, in_b), "{what}");
            assert!(
                after.are_known() && after.roots().get("r").is_err_and(|why| !why.to_string().is_empty()),
                "{what}"
            );
        }
        let other = now.after(vec![root("public-good")], &[]);
        assert!(other.roots().get("public-good").is_err() && now.roots().get("public-good").is_ok());
        let gone = other.after(vec![], &[id("TrustRoot", "public-good")]);
        assert!(gone.roots().get("public-good").is_ok(), "the built-in one counts again");
    }

    #[test]
    fn the_built_in_root_counts_where_somebody_relies_on_it_and_nobody_replaces_it() {
        let with = |authority: Value, transparency: Value| {
            let mut object = policy("a", json!(["**"]));
            object["spec"]["authorities"] = json!([authority]);
            object["spec"]["transparency"] = transparency;
            let policies = Policies::read(vec![object]);
            assert!(policies.unusable().is_empty(), "{:?}", policies.unusable());
            policies
        };
        let key = |more: Value| {
            let mut authority = policy("a", json!(["**"]))["spec"]["authorities"][0].clone();
            authority["key"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            authority
        };
        let exact = |text: &str| json!({"exact": text});
        let whose = json!({"issuer": exact("https://ci.example"), "subject": exact("https://ci.example/job")});
        let keyless = json!({"name": "ci", "keyless": whose});
        let logged = json!({"tlog": "required"});
        for (what, policies, relies) in [
            ("a key alone", with(key(json!({})), json!({})), false),
            ("a key and a log", with(key(json!({})), logged.clone()), true),
            ("a key and another's log", with(key(json!({"trustRoot": "ours"})), logged), false),
            ("an identity", with(keyless.clone(), json!({})), true),
        ] {
            assert_eq!(policies.rely_on_built_in_root(), relies, "{what}");
        }
        let root = |name: &str| json!({"kind": "TrustRoot", "metadata": {"name": name}, "spec": {"trustedRoot": "{}"}});
        let policies = || with(keyless.clone(), json!({}));
        assert!(policies().with_trust_roots(&[root("ours")]).rely_on_built_in_root());
        assert!(!policies().with_trust_roots(&[root(PUBLIC_GOOD)]).rely_on_built_in_root());
        assert!(!Policies::default().rely_on_built_in_root());
    }

    #[test]
    fn notices_when_verdicts_may_differ() {
        let one = || Policies::read(vec![policy("a", json!(["**"]))]);
        assert!(one().same_as(&one()));
        assert!(!one().same_as(&Policies::read(vec![policy("a", json!(["*/x"]))])));
        assert!(!one().same_as(&Policies::default()));
        let root = |text: &str| {
            json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": "public-good"},
                "spec": {"trustedRoot": text}})
        };
        let broken = || one().with_trust_roots(&[root("broken")]);
        assert!(!one().same_as(&broken()), "a root that is replaced changes what policies mean");
        assert!(broken().same_as(&broken()));
        assert!(broken().roots().get("public-good").is_err(), "nothing falls back to the built-in root");
        assert!(one().with_trust_roots(&[]).roots().get("public-good").is_ok());
    }
}
