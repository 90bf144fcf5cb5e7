//! The policies of the cluster as the verdict needs them. *pure*
//!
//! A policy that cannot be read whole authorises nothing, and neither does any other where it may have had a say: it was
//! written to forbid something, and nobody knows what.

use std::sync::Arc;

use sealift_verify::{
    objects::{Object, Origin, identity},
    policy::{Policy, Selected, might_match, select},
    reference::Repository,
    sigstore::{TrustRoot, TrustRoots},
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
        let mut policies = Self { known: true, ..Self::default() };
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
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.roots.insert(name, read_root(object));
        }
        self
    }

    /// The trust roots that policies may name.
    pub fn roots(&self) -> &TrustRoots {
        &self.roots
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
