//! Kinds whose controllers always write a status: as long as there is none, nobody has come to the object.

/// True for kinds that are not healthy as long as they are silent.
pub(in crate::health) fn never_stays_silent(group: &str, kind: &str) -> bool {
    if let Some((_, kinds)) = ONLY.iter().find(|(of, _)| *of == group) {
        return kinds.contains(&kind);
    }
    let below = |domain: &&str| group == *domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    DOMAINS.iter().any(below)
        && !SILENT_GROUPS.contains(&group)
        && !SILENT.contains(&(group, kind))
        && (SPEAKING.contains(&kind) || !BY_NAME.iter().any(|end| kind.ends_with(end)))
}

/// Groups with kinds of both sorts.
const ONLY: [(&str, &[&str]); 5] = [
    ("argoproj.io", &["AnalysisRun", "Application", "ApplicationSet", "Experiment", "Rollout", "Workflow"]),
    ("core.gardener.cloud", &["Seed", "Shoot"]),
    ("flagger.app", &["Canary"]),
    ("kyverno.io", &["ClusterPolicy", "Policy"]),
    ("nmstate.io", &["NodeNetworkConfigurationPolicy"]),
];

/// Groups, and what ends in them, with kinds that speak.
#[rustfmt::skip]
const DOMAINS: [&str; 49] = [
    "acid.zalan.do", "apps.kruise.io", "astra.netapp.io", "camel.apache.org", "capabilities.3scale.net", "cdi.kubevirt.io", "cert-manager.io",
    "certmanager.k8s.io", "clickhouse.altinity.com", "cloud.sap.com", "cluster.x-k8s.io", "cnrm.cloud.google.com", "confluent.io", "coralogix.com",
    "crossplane.io", "external-secrets.io", "fluxcd.io", "game.kruise.io", "gateway.networking.k8s.io", "grafana.integreatly.org", "humio.com",
    "iammanager.keikoproj.io", "k8s.elastic.co", "k8s.keycloak.org", "k8s.mariadb.com", "kafka.strimzi.io", "karpenter.k8s.aws", "karpenter.sh",
    "keda.sh", "knative.dev", "kserve.io", "kubernetes-client.io", "kubevirt.io", "mongodbcommunity.mongodb.com", "numaproj.io", "onepassword.com",
    "percona.com", "postgresql.cnpg.io", "projectcontour.io", "promoter.argoproj.io", "rabbitmq.com", "rook.io", "services.k8s.aws",
    "snapshot.storage.k8s.io", "solo.io", "solr.apache.org", "trident.netapp.io", "upbound.io", "zookeeper.pravega.io",
];

/// Groups in them that say nothing.
const SILENT_GROUPS: [&str; 4] =
    ["export.kubevirt.io", "generators.external-secrets.io", "instancetype.kubevirt.io", "pool.kubevirt.io"];

/// Kinds in them that say nothing, or not before their time has come.
const SILENT: [(&str, &str); 11] = [
    ("apiextensions.crossplane.io", "Composition"),
    ("apps.kruise.io", "AdvancedCronJob"),
    ("gateway.networking.k8s.io", "ReferenceGrant"),
    ("ipam.cluster.x-k8s.io", "IPAddress"),
    ("keda.sh", "ClusterTriggerAuthentication"),
    ("keda.sh", "TriggerAuthentication"),
    ("kubevirt.io", "VirtualMachineInstancePreset"),
    ("promoter.argoproj.io", "ClusterScmProvider"),
    ("promoter.argoproj.io", "ScmProvider"),
    ("serving.kserve.io", "ClusterServingRuntime"),
    ("serving.kserve.io", "ServingRuntime"),
];

/// What others read and nobody runs.
const BY_NAME: [&str; 5] = ["Class", "Config", "Configuration", "Template", "Usage"];

/// And yet they speak.
const SPEAKING: [&str; 4] = ["Configuration", "EC2NodeClass", "GatewayClass", "TridentBackendConfig"];
