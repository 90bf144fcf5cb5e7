//! Places where widely used kinds name images though they are not shaped like a pod's spec. What a policy lists is looked at
//! besides. They are those of the kinds' published schemas.

use std::sync::LazyLock;

use super::Place;

/// Kind and group, and the places in it. `{step}` and `{template}` stand for what [`STEPS`] and [`TEMPLATES`] say.
const KNOWN: &[(&str, &[&str])] = &[
    ("Task.tekton.dev", &["spec/{step}"]),
    ("ClusterTask.tekton.dev", &["spec/{step}"]),
    ("TaskRun.tekton.dev", &["spec/taskSpec/{step}"]),
    ("Pipeline.tekton.dev", &["spec/tasks/*/taskSpec/{step}", "spec/finally/*/taskSpec/{step}"]),
    (
        "PipelineRun.tekton.dev",
        &["spec/pipelineSpec/tasks/*/taskSpec/{step}", "spec/pipelineSpec/finally/*/taskSpec/{step}"],
    ),
    ("StepAction.tekton.dev", &["spec/image"]),
    ("Workflow.argoproj.io", &["spec/{template}"]),
    ("WorkflowTemplate.argoproj.io", &["spec/{template}"]),
    ("ClusterWorkflowTemplate.argoproj.io", &["spec/{template}"]),
    ("CronWorkflow.argoproj.io", &["spec/workflowSpec/{template}"]),
    ("Prometheus.monitoring.coreos.com", &["spec/image", "spec/thanos/image"]),
    ("PrometheusAgent.monitoring.coreos.com", &["spec/image"]),
    ("Alertmanager.monitoring.coreos.com", &["spec/image"]),
    ("ThanosRuler.monitoring.coreos.com", &["spec/image"]),
    ("OpenTelemetryCollector.opentelemetry.io", &["spec/image", "spec/targetAllocator/image"]),
    ("Cluster.postgresql.cnpg.io", &["spec/imageName"]),
    ("Elasticsearch.elasticsearch.k8s.elastic.co", &["spec/image"]),
    ("Kibana.kibana.k8s.elastic.co", &["spec/image"]),
    ("Kafka.kafka.strimzi.io", &["spec/kafka/image", "spec/zookeeper/image"]),
    ("KafkaConnect.kafka.strimzi.io", &["spec/image"]),
    ("CatalogSource.operators.coreos.com", &["spec/image"]),
    ("Provider.pkg.crossplane.io", &["spec/package"]),
    ("Configuration.pkg.crossplane.io", &["spec/package"]),
    ("Function.pkg.crossplane.io", &["spec/package"]),
    ("VirtualMachine.kubevirt.io", &["spec/template/spec/volumes/*/containerDisk/image"]),
    ("VirtualMachineInstance.kubevirt.io", &["spec/volumes/*/containerDisk/image"]),
];

/// What runs in a Tekton task.
const STEPS: &[&str] = &["steps/*/image", "sidecars/*/image", "stepTemplate/image"];

/// What runs in a workflow of Argo's, beside lists of containers.
const TEMPLATES: &[&str] = &[
    "templates/*/container/image",
    "templates/*/script/image",
    "templates/*/sidecars/*/image",
    "templates/*/dag/tasks/*/inline/container/image",
    "templates/*/dag/tasks/*/inline/script/image",
    "templates/*/steps/*/*/inline/container/image",
    "templates/*/steps/*/*/inline/script/image",
    "templateDefaults/container/image",
    "templateDefaults/script/image",
    "templateDefaults/sidecars/*/image",
];

static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| written().iter().filter_map(|text| text.parse().ok()).collect());

/// All of them.
pub(super) fn places() -> &'static [Place] {
    &PLACES
}

fn written() -> Vec<String> {
    let spelled = |text: &str| -> Vec<String> {
        for (name, ends) in [("{step}", STEPS), ("{template}", TEMPLATES)] {
            if let Some(start) = text.strip_suffix(name) {
                return ends.iter().map(|end| format!("{start}{end}")).collect();
            }
        }
        vec![text.to_owned()]
    };
    let each = |(kind, places): &(&str, &[&str])| {
        places.iter().flat_map(|place| spelled(place)).map(|place| format!("{kind}/{place}")).collect::<Vec<_>>()
    };
    KNOWN.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_is_written_is_one() {
        assert_eq!(places().len(), written().len());
        assert!(written().iter().all(|place| !place.contains('{')), "{:?}", written());
    }
}
