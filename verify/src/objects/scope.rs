//! Which kinds live in a namespace: the built-in ones, and those an artifact defines itself.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ObjectId, Objects};

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
    /// Not known offline; discovery in the cluster tells.
    Unknown,
}

/// The scopes of the kinds known offline.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    defined: BTreeMap<(String, String), Scope>,
}

impl Scopes {
    /// Adds what discovery in a cluster told, which counts more than a definition not yet applied.
    pub fn learn(&mut self, discovered: &BTreeMap<(String, String), Scope>) {
        self.defined.extend(discovered.iter().map(|(kind, scope)| (kind.clone(), *scope)));
    }

    /// The scope of the kind of an object.
    pub fn of(&self, id: &ObjectId) -> Scope {
        self.of_kind(&id.group, &id.kind)
    }

    /// The scope of a kind. Neither an artifact nor discovery redefines a built-in one.
    pub fn of_kind(&self, group: &str, kind: &str) -> Scope {
        match built_in(group, kind) {
            Scope::Unknown => {
                let key = (group.to_owned(), kind.to_owned());
                self.defined.get(&key).copied().unwrap_or(Scope::Unknown)
            }
            known => known,
        }
    }
}

/// The scopes of the built-in kinds and of the CustomResourceDefinitions among `objects`.
pub fn scopes(objects: &Objects) -> Scopes {
    let definitions = objects
        .iter()
        .filter(|object| object.id.group == "apiextensions.k8s.io" && object.id.kind == "CustomResourceDefinition");
    Scopes { defined: definitions.filter_map(|object| definition(&object.value)).collect() }
}

fn definition(value: &Value) -> Option<((String, String), Scope)> {
    let spec = value.get("spec")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let scope = match spec.get("scope")?.as_str()? {
        "Namespaced" => Scope::Namespaced,
        "Cluster" => Scope::Cluster,
        _ => return None,
    };
    Some(((text(spec.get("group")?)?, text(spec.get("names")?.get("kind")?)?), scope))
}

fn built_in(group: &str, kind: &str) -> Scope {
    let within = |table: &[(&str, &[&str])]| table.iter().any(|(g, kinds)| *g == group && kinds.contains(&kind));
    if within(NAMESPACED) {
        Scope::Namespaced
    } else if within(CLUSTER) {
        Scope::Cluster
    } else {
        Scope::Unknown
    }
}

// Both tables: the types of k8s.io/api, apiextensions-apiserver and kube-aggregator v0.37.2 by their
// `+genclient:nonNamespaced` marks, with Binding, and PodSecurityPolicy of 1.24 and older.

const NAMESPACED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("authorization.k8s.io", &["LocalSubjectAccessReview"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("batch", &["CronJob", "Job"]),
    ("certificates.k8s.io", &["PodCertificateRequest"]),
    ("coordination.k8s.io", &["Lease", "LeaseCandidate"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("events.k8s.io", &["Event"]),
    ("extensions", &["DaemonSet", "Deployment", "Ingress", "NetworkPolicy", "ReplicaSet"]),
    ("lifecycle.k8s.io", &["Eviction", "EvictionRequest"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("policy", &["Eviction", "PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"]),
    ("resource.k8s.io", &["ResourceClaim", "ResourceClaimTemplate"]),
    ("scheduling.k8s.io", &["CompositePodGroup", "PodGroup", "Workload"]),
    ("storage.k8s.io", &["CSIStorageCapacity"]),
];

const CLUSTER: &[(&str, &[&str])] = &[
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("authentication.k8s.io", &["SelfSubjectReview", "TokenReview"]),
    ("authorization.k8s.io", &["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("imagepolicy.k8s.io", &["ImageReview"]),
    ("internal.apiserver.k8s.io", &["StorageVersion"]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("policy", &["PodSecurityPolicy"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "DeviceTaintRule", "ResourcePoolStatusRequest", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"]),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::Limits,
        objects::yaml::{Source, read},
    };

    fn objects(text: &str) -> Objects {
        let source = Source { name: "test.yaml".into(), bytes: text.as_bytes().to_vec() };
        read(&[source], &Limits::default()).unwrap()
    }

    #[test]
    fn no_kind_is_in_both_tables() {
        for (group, kinds) in NAMESPACED {
            for kind in *kinds {
                assert!(!CLUSTER.iter().any(|(g, k)| g == group && k.contains(kind)), "{group} {kind}");
            }
        }
    }

    #[test]
    fn knows_built_in_kinds_by_group_and_kind() {
        let scopes = Scopes::default();
        for (group, kind, scope) in [
            ("", "Pod", Scope::Namespaced),
            ("", "Namespace", Scope::Cluster),
            ("apps", "Deployment", Scope::Namespaced),
            ("rbac.authorization.k8s.io", "ClusterRole", Scope::Cluster),
            ("rbac.authorization.k8s.io", "Role", Scope::Namespaced),
            ("storage.k8s.io", "CSIStorageCapacity", Scope::Namespaced),
            ("apiextensions.k8s.io", "CustomResourceDefinition", Scope::Cluster),
            ("example.com", "Pod", Scope::Unknown),
            ("apps", "Pod", Scope::Unknown),
        ] {
            assert_eq!(scopes.of_kind(group, kind), scope, "{group} {kind}");
        }
    }

    #[test]
    fn learns_from_definitions_in_the_artifact_and_not_about_built_in_kinds() {
        let crd = |group: &str, kind: &str, scope: &str| {
            format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
                 metadata: {{name: {}s.{group}x}}\nspec: {{group: '{group}', scope: {scope}, names: {{kind: {kind}}}}}\n---\n",
                kind.to_lowercase()
            )
        };
        let all = [
            crd("example.com", "Widget", "Namespaced"),
            crd("example.com", "Plant", "Cluster"),
            crd("", "Pod", "Cluster"),
        ];
        let mut scopes = scopes(&objects(&all.concat()));
        assert_eq!(scopes.of_kind("example.com", "Widget"), Scope::Namespaced);
        assert_eq!(scopes.of_kind("example.com", "Plant"), Scope::Cluster);
        assert_eq!(scopes.of_kind("", "Pod"), Scope::Namespaced);
        assert_eq!(scopes.of_kind("example.com", "Other"), Scope::Unknown);
        let kind = |group: &str, kind: &str| (group.to_owned(), kind.to_owned());
        scopes.learn(&[(kind("example.com", "Other"), Scope::Cluster), (kind("", "Pod"), Scope::Cluster)].into());
        assert_eq!(scopes.of_kind("example.com", "Other"), Scope::Cluster);
        assert_eq!(scopes.of_kind("", "Pod"), Scope::Namespaced);
    }
}
