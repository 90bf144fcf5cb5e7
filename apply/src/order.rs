//! Which objects go before which: a table of stages.

use std::fmt;

use sealift_verify::objects::ObjectId;

/// A step of an apply. A stage begins when everything of the one before was taken by the server; prune goes backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// What others are made of or live in: definitions, namespaces, classes, cluster roles.
    Definitions,
    /// What workloads read and use: accounts, roles, configuration, claims, services.
    Configuration,
    /// Who may do what. After the roles: the server refuses a binding of a role it cannot look up.
    Grants,
    /// Workloads and everything else, custom resources among them.
    Workloads,
    /// What the API server calls into. Last, and created only once the release's workloads are healthy: a webhook
    /// without its backend would refuse the very objects that bring the backend up.
    Admission,
}

impl Stage {
    /// Every stage in order.
    pub const ALL: [Self; 5] = [Self::Definitions, Self::Configuration, Self::Grants, Self::Workloads, Self::Admission];

    /// The stage an object belongs to.
    pub fn of(id: &ObjectId) -> Self {
        let key = (id.group.as_str(), id.kind.as_str());
        TABLE.iter().find(|(group, kind, _)| (*group, *kind) == key).map_or(Self::Workloads, |(_, _, stage)| *stage)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definitions => "definitions",
            Self::Configuration => "configuration",
            Self::Grants => "grants",
            Self::Workloads => "workloads",
            Self::Admission => "admission",
        })
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// Kinds that do not belong to [`Stage::Workloads`].
const TABLE: &[(&str, &str, Stage)] = &[
    ("apiextensions.k8s.io", "CustomResourceDefinition", Stage::Definitions),
    ("", "Namespace", Stage::Definitions),
    (RBAC, "ClusterRole", Stage::Definitions),
    ("scheduling.k8s.io", "PriorityClass", Stage::Definitions),
    ("node.k8s.io", "RuntimeClass", Stage::Definitions),
    ("storage.k8s.io", "StorageClass", Stage::Definitions),
    ("storage.k8s.io", "CSIDriver", Stage::Definitions),
    ("storage.k8s.io", "VolumeAttributesClass", Stage::Definitions),
    ("networking.k8s.io", "IngressClass", Stage::Definitions),
    ("gateway.networking.k8s.io", "GatewayClass", Stage::Definitions),
    ("resource.k8s.io", "DeviceClass", Stage::Definitions),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass", Stage::Definitions),
    ("", "ServiceAccount", Stage::Configuration),
    ("", "ConfigMap", Stage::Configuration),
    ("", "Secret", Stage::Configuration),
    ("", "LimitRange", Stage::Configuration),
    ("", "ResourceQuota", Stage::Configuration),
    ("", "PersistentVolume", Stage::Configuration),
    ("", "PersistentVolumeClaim", Stage::Configuration),
    ("", "Service", Stage::Configuration),
    (RBAC, "Role", Stage::Configuration),
    ("networking.k8s.io", "NetworkPolicy", Stage::Configuration),
    (RBAC, "ClusterRoleBinding", Stage::Grants),
    (RBAC, "RoleBinding", Stage::Grants),
    (ADMISSION, "MutatingWebhookConfiguration", Stage::Admission),
    (ADMISSION, "ValidatingWebhookConfiguration", Stage::Admission),
    (ADMISSION, "MutatingAdmissionPolicy", Stage::Admission),
    (ADMISSION, "MutatingAdmissionPolicyBinding", Stage::Admission),
    (ADMISSION, "ValidatingAdmissionPolicy", Stage::Admission),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", Stage::Admission),
    ("apiregistration.k8s.io", "APIService", Stage::Admission),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(group: &str, kind: &str) -> Stage {
        let (group, kind) = (group.to_owned(), kind.to_owned());
        Stage::of(&ObjectId { group, kind, version: "v1".into(), namespace: None, name: "a".into() })
    }

    #[test]
    fn puts_what_is_needed_before_what_needs_it() {
        let in_order = [
            stage("apiextensions.k8s.io", "CustomResourceDefinition"),
            stage("", "ServiceAccount"),
            stage(RBAC, "RoleBinding"),
            stage("apps", "Deployment"),
            stage(ADMISSION, "ValidatingWebhookConfiguration"),
        ];
        assert_eq!(in_order, Stage::ALL);
        assert_eq!(stage("monitoring.coreos.com", "Prometheus"), Stage::Workloads);
    }

    #[test]
    fn takes_a_kind_of_another_group_for_what_it_is() {
        assert_eq!(stage("serving.knative.dev", "Service"), Stage::Workloads);
    }

    #[test]
    fn names_no_kind_twice() {
        let mut kinds: Vec<_> = TABLE.iter().map(|(group, kind, _)| (group, kind)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), TABLE.len());
    }
}
