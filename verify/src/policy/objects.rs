//! Which objects a policy allows, judged on the final objects.

use super::{
    matcher::{Globs, MatcherError},
    spec::{ObjectsSpec, ParameterPlace},
};
use crate::objects::{Object, scope::Scope};

/// Object rules ready to judge with.
#[derive(Clone, Debug)]
pub struct ObjectRules {
    namespaces: Option<Globs>,
    kinds: Option<Globs>,
    cluster_scoped: Option<Globs>,
    /// Sensitive places that parameters may reach.
    pub parameters: Vec<ParameterPlace>,
}

impl ObjectRules {
    pub(super) fn new(spec: &ObjectsSpec) -> Result<Self, MatcherError> {
        let globs = |patterns: &Option<Vec<String>>| patterns.as_deref().map(Globs::new).transpose();
        Ok(Self {
            namespaces: globs(&spec.namespaces)?,
            kinds: globs(&spec.kinds)?,
            cluster_scoped: globs(&spec.cluster_scoped)?,
            parameters: spec.parameters.clone(),
        })
    }

    /// The rule that forbids `object`, if one does. An object whose scope nobody knows must pass both scopes' rules.
    pub fn forbids(&self, object: &Object, scope: Scope) -> Option<String> {
        let id = &object.id;
        let kind = if id.group.is_empty() { id.kind.clone() } else { format!("{}.{}", id.kind, id.group) };
        if self.kinds.as_ref().is_some_and(|kinds| !kinds.matches(&kind)) {
            return Some(format!("objects.kinds does not list {kind}"));
        }
        let name = format!("{kind}/{}", id.name);
        let outside = |globs: &Option<Globs>, text: &str| globs.as_ref().is_some_and(|globs| !globs.matches(text));
        let is_namespace = id.group.is_empty() && id.kind == "Namespace";
        if scope != Scope::Namespaced && outside(&self.cluster_scoped, &name) {
            return Some(format!("objects.clusterScoped does not list {name}"));
        }
        let namespace = if is_namespace { Some(id.name.as_str()) } else { id.namespace.as_deref() };
        match (scope, namespace) {
            (Scope::Cluster, None) => None,
            (_, Some(namespace)) if outside(&self.namespaces, namespace) => {
                Some(format!("objects.namespaces does not list {namespace}"))
            }
            (Scope::Namespaced, None) if self.namespaces.is_some() => {
                Some("objects.namespaces is set and the object names no namespace".to_owned())
            }
            _ => None,
        }
    }
}
