//! Kinds that say nothing while all is well: nobody writes their status, or only somebody who complains.

use serde_json::Value;

use crate::health::{
    Circumstances, Health, Verdict,
    generic::{said, settled},
};

/// True for kinds whose empty status means nothing.
pub(super) fn says_nothing(group: &str, kind: &str) -> bool {
    match group {
        "monitoring.coreos.com" => !["Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler"].contains(&kind),
        "networking.istio.io" | "security.istio.io" | "telemetry.istio.io" | "extensions.istio.io" => true,
        "traefik.io" | "traefik.containo.us" | "crd.projectcalico.org" | "projectcalico.org" => true,
        "argoproj.io" => [
            "AppProject",
            "CronWorkflow",
            "WorkflowTemplate",
            "ClusterWorkflowTemplate",
            "AnalysisTemplate",
            "ClusterAnalysisTemplate",
        ]
        .contains(&kind),
        "source.toolkit.fluxcd.io" => kind == "HelmRepository",
        "notification.toolkit.fluxcd.io" => kind == "Alert" || kind == "Provider",
        "secrets-store.csi.x-k8s.io" => kind == "SecretProviderClass",
        "cilium.io" => kind.ends_with("NetworkPolicy"),
        "flagger.app" => kind == "MetricTemplate" || kind == "AlertProvider",
        "tekton.dev" => ["Task", "Pipeline", "ClusterTask", "StepAction"].contains(&kind),
        "templates.gatekeeper.sh" | "kustomize.toolkit.fluxcd.io" => false,
        _ => false,
    }
}

pub(super) fn unless_it_complains(value: &Value, circumstances: &Circumstances) -> Verdict {
    // Only what is fetched over HTTP has a status; an OCI repository is used as it stands.
    let fetched = value["kind"] == "HelmRepository" && value["spec"]["type"] != "oci";
    if fetched || value["spec"]["suspend"] == true {
        return crate::health::generic::custom(value, circumstances);
    }
    settled(value)?;
    match said(value) {
        None | Some(Health::Healthy) => Ok(()),
        Some(health) => Err(health),
    }
}
