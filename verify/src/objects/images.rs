//! The container images that objects run.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, Objects};

/// Every image in the pods and pod templates of built-in workloads: of containers, init and ephemeral containers,
/// and of image volumes. Images that other kinds name, or that a controller adds, cannot be known here.
pub fn images(objects: &Objects) -> BTreeSet<String> {
    objects.iter().filter_map(pod_spec).flat_map(pod_images).map(str::to_owned).collect()
}

/// Where each workload keeps its pod's spec.
fn pod_spec(object: &Object) -> Option<&Value> {
    let path = match (object.id.group.as_str(), object.id.kind.as_str()) {
        ("", "Pod") => "/spec",
        ("", "PodTemplate") => "/template/spec",
        ("", "ReplicationController") => "/spec/template/spec",
        ("apps" | "extensions", "Deployment" | "DaemonSet" | "ReplicaSet") => "/spec/template/spec",
        ("apps", "StatefulSet") | ("batch", "Job") => "/spec/template/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        _ => return None,
    };
    object.value.pointer(path)
}

fn pod_images(spec: &Value) -> impl Iterator<Item = &str> {
    let list = |field: &str| spec.get(field).and_then(Value::as_array).into_iter().flatten();
    let containers = ["containers", "initContainers", "ephemeralContainers"];
    let run = containers.into_iter().flat_map(list).filter_map(|container| container.get("image"));
    let mounted = list("volumes").filter_map(|volume| volume.pointer("/image/reference"));
    run.chain(mounted).filter_map(Value::as_str).filter(|image| !image.is_empty()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::Limits,
        objects::yaml::{Source, read},
    };

    #[test]
    fn finds_images_wherever_a_workload_names_them() {
        let spec = |n: &str| {
            format!(
                "{{containers: [{{name: a, image: a{n}}}, {{name: b}}], initContainers: [{{name: i, image: i{n}}}], \
                 ephemeralContainers: [{{name: e, image: e{n}}}], volumes: [{{name: v, image: {{reference: v{n}}}}}, {{name: w}}]}}"
            )
        };
        let template = |api: &str, kind: &str, n: &str| {
            format!(
                "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{template: {{spec: {}}}}}\n",
                spec(n)
            )
        };
        let documents = [
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec: {}\n", spec("1")),
            format!("apiVersion: v1\nkind: PodTemplate\nmetadata: {{name: x}}\ntemplate: {{spec: {}}}\n", spec("2")),
            template("v1", "ReplicationController", "3"),
            template("apps/v1", "Deployment", "4"),
            template("apps/v1", "StatefulSet", "5"),
            template("apps/v1", "DaemonSet", "6"),
            template("apps/v1", "ReplicaSet", "7"),
            template("batch/v1", "Job", "8"),
            format!(
                "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: x}}\nspec: {{jobTemplate: {{spec: {{template: {{spec: {}}}}}}}}}\n",
                spec("9")
            ),
            template("example.com/v1", "Deployment", "0"),
        ];
        let source = Source { name: "t".into(), bytes: documents.join("---\n").into_bytes() };
        let found = images(&read(&[source], &Limits::default()).unwrap());
        let expected: BTreeSet<String> =
            (1..=9).flat_map(|n| ["a", "e", "i", "v"].map(|prefix| format!("{prefix}{n}"))).collect();
        assert_eq!(found, expected);
    }
}
