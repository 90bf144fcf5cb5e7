//! Kinds that the general rules cannot reach, because what their status says needs to be known.

mod fleets;
mod gloo;
mod silent;
mod speaking;

use serde_json::Value;

pub(super) use self::speaking::never_stays_silent;
use super::{Circumstances, Verdict};

type Rule = fn(&Value, &Circumstances) -> Verdict;

/// The rule for a kind, if it needs one of its own.
pub(super) fn rule(group: &str, kind: &str) -> Option<Rule> {
    Some(match (group, kind) {
        ("argoproj.io", "Rollout") => fleets::rollout,
        ("apps.kruise.io", "CloneSet" | "StatefulSet" | "DaemonSet") => fleets::kruise,
        ("apps.kruise.io", "AdvancedCronJob") => fleets::advanced_cron_job,
        ("rollouts.kruise.io", "Rollout") => fleets::kruise_rollout,
        ("kubevirt.io", "VirtualMachine") => fleets::virtual_machine,
        ("elasticsearch.k8s.elastic.co", "Elasticsearch") => fleets::elasticsearch,
        ("grafana.integreatly.org", "Grafana") => fleets::grafana,
        (group, _) if group == "gloo.solo.io" || group == "gateway.solo.io" => gloo::resource,
        (group, kind) if silent::says_nothing(group, kind) => silent::unless_it_complains,
        _ => return None,
    })
}
