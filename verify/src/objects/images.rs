//! The container images that objects run.

mod found;
mod known;
mod name;

use std::collections::BTreeSet;

use super::Objects;

pub use self::{
    found::{Found, Place, PlaceError, find},
    name::{ImageName, ImageNameError},
};

/// Every image that the objects name in anything shaped like a pod's spec, as [`find`] does.
pub fn images(objects: &Objects) -> BTreeSet<String> {
    objects.iter().flat_map(|object| find(object, &[])).map(|found| found.image.to_owned()).collect()
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
            (0..=9).flat_map(|n| ["a", "e", "i", "v"].map(|prefix| format!("{prefix}{n}"))).collect();
        assert_eq!(found, expected);
    }
}
