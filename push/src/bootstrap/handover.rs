//! By what a controller would judge: now, by the policies and trust roots that are in the cluster; and once it has taken over,
//! by those that the release brings, and those that stay.

use std::{collections::BTreeMap, sync::Arc};

use sealift_apply::{
    api::{GROUP, SignaturePolicy, TrustRoot as TrustRootObject},
    cluster::{Class, Cluster, ClusterError},
};
use sealift_verify::{
    objects::{Object, Objects, Origin, identity},
    policy::{Policy, PolicyError, might_match},
    reference::Repository,
    refusal::Refusal,
    sigstore::{TrustRoot, TrustRoots},
};
use serde_json::Value;

use crate::{cluster::resource, exit::Exit, failure::Failure, policies::Trust};

/// The controller would not take over.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandoverError {
    #[error(
        "SignaturePolicy {name}, which would be in the cluster, cannot be used, and may be about this very release"
    )]
    Unusable {
        name: String,
        #[source]
        source: Box<PolicyError>,
    },
    #[error("{}: by the policies that would be in the cluster, this very release is refused", .0.reason())]
    Refused(#[source] Box<Refusal>),
    #[error("{}: by the policies that are in the cluster now, this release is refused", .0.reason())]
    RefusedNow(#[source] Box<Refusal>),
}

impl From<HandoverError> for Failure {
    fn from(error: HandoverError) -> Self {
        let exit = match &error {
            HandoverError::Refused(refusal) | HandoverError::RefusedNow(refusal) if refusal.is_undecided() => {
                Exit::CouldNotCheck
            }
            _ => Exit::Refused,
        };
        let hint = match &error {
            HandoverError::RefusedNow(_) => {
                "nothing was changed; is it the cluster that you mean (--context)? If whom it trusts is to change, change its \
                 SignaturePolicy first: `kubectl get signaturepolicies`"
            }
            _ => {
                "nothing was changed; push the release again with a SignaturePolicy that accepts it, signed by whom that one trusts"
            }
        };
        Self::new(exit, error).hint(hint)
    }
}

/// Policies and trust roots as they stand in the cluster; none where their kinds are not served yet.
#[derive(Debug, Default)]
pub(super) struct There {
    policies: Vec<Value>,
    roots: Vec<Value>,
}

impl There {
    pub(super) async fn read(cluster: &Cluster) -> Result<Self, ClusterError> {
        Ok(Self {
            policies: listed(cluster.list(&resource::<SignaturePolicy>(false), None, None).await)?,
            roots: listed(cluster.list(&resource::<TrustRootObject>(false), None, None).await)?,
        })
    }

    /// What there is. What cannot be used judges nothing, and the release may put it right.
    pub(super) fn now(&self) -> Trust {
        let policies = self.policies.iter().cloned().filter_map(object);
        let policies = policies.filter_map(|object| Policy::from_object(&object).ok().map(Arc::new)).collect();
        let roots = self.roots.iter().cloned().filter_map(object);
        Trust { policies, roots: trusted(roots.map(|object| (object.id.name.clone(), object))) }
    }

    /// What there will be: the release's own in the place of those of the same name.
    pub(super) fn after(self, release: &Objects, of: (&Repository, &str)) -> Result<Trust, HandoverError> {
        let Self { policies, roots } = self;
        let (policies, roots) = (merged(policies, release, "SignaturePolicy"), merged(roots, release, "TrustRoot"));
        let mut trust = Trust { policies: vec![], roots: trusted(roots) };
        let (repository, namespace) = of;
        for (name, object) in policies {
            match Policy::from_object(&object) {
                Ok(policy) => trust.policies.push(Arc::new(policy)),
                Err(source) if might_match(&object.value, repository, Some(namespace)) => {
                    return Err(HandoverError::Unusable { name, source: Box::new(source) });
                }
                Err(_) => {}
            }
        }
        Ok(trust)
    }
}

/// What is not served has no objects.
pub(super) fn listed(answer: Result<Vec<Value>, ClusterError>) -> Result<Vec<Value>, ClusterError> {
    match answer {
        Err(ClusterError::Answer { class: Class::NotServed, .. }) => Ok(vec![]),
        answer => answer,
    }
}

fn object(value: Value) -> Option<Object> {
    Some(Object { id: identity::of(&value).ok()?, value, origin: Origin::default() })
}

fn trusted(objects: impl IntoIterator<Item = (String, Object)>) -> TrustRoots {
    let mut roots = TrustRoots::default();
    for (name, object) in objects {
        roots.insert(name, TrustRoot::from_object(&object).map_err(|error| sealift_verify::chain(&error)));
    }
    roots
}

fn merged(there: Vec<Value>, release: &Objects, kind: &str) -> BTreeMap<String, Object> {
    let mut all: BTreeMap<String, Object> =
        there.into_iter().filter_map(object).map(|object| (object.id.name.clone(), object)).collect();
    let brought = release.iter().filter(|object| (object.id.group.as_str(), object.id.kind.as_str()) == (GROUP, kind));
    all.extend(brought.map(|object| (object.id.name.clone(), object.clone())));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PRODUCTION: &str = include_str!("../../../policies/production.yaml");

    fn policy(name: &str, spec: &Value) -> Value {
        json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "SignaturePolicy", "metadata": {"name": name}, "spec": spec})
    }

    fn usable(repositories: &str) -> Value {
        let mut spec = crate::yaml::read(PRODUCTION).unwrap()["spec"].clone();
        spec["match"] = json!({"repositories": [repositories]});
        spec
    }

    fn after(there: Vec<Value>, release: &[Value]) -> Result<Vec<String>, String> {
        let object = |value: &Value| Object {
            id: identity::of(value).unwrap(),
            value: value.clone(),
            origin: Origin::default(),
        };
        let release = Objects::new(release.iter().map(object).collect()).unwrap();
        let repository = "registry.example/sealift".parse().unwrap();
        let there = There { policies: there, roots: vec![] };
        let trust = there.after(&release, (&repository, "sealift-system")).map_err(|error| error.to_string())?;
        Ok(trust.policies.iter().map(|policy| policy.name.clone()).collect())
    }

    #[test]
    fn what_the_release_brings_replaces_what_is_there_and_the_rest_stays() {
        let there = vec![policy("a", &json!({"match": {"repositories": ["**"]}})), policy("b", &usable("x/**"))];
        let brought = [policy("a", &usable("registry.example/**"))];
        assert_eq!(after(there.clone(), &brought).unwrap(), ["a", "b"]);
        assert!(after(there, &[]).unwrap_err().starts_with("SignaturePolicy a"), "the broken one stays");
    }

    #[test]
    fn what_is_there_judges_as_far_as_it_can_be_used() {
        let broken = policy("a", &json!({"match": {"repositories": ["**"]}}));
        let there = There { policies: vec![broken, policy("b", &usable("x/**"))], roots: vec![] };
        let names: Vec<_> = there.now().policies.iter().map(|policy| policy.name.clone()).collect();
        assert_eq!(names, ["b"]);
        assert!(There::default().now().policies.is_empty());
    }

    #[test]
    fn a_broken_policy_about_something_else_stops_nothing() {
        let elsewhere = policy("a", &json!({"match": {"repositories": ["other.example/**"]}, "moon": "full"}));
        assert_eq!(after(vec![elsewhere], &[]).unwrap(), Vec::<String>::new());
    }
}
