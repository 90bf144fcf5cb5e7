//! The ValidatingAdmissionPolicy that lets nobody but Sealift change what it manages: what `deploy/admission.yaml` holds.
//!
//! Only names are put into the text. It is not built from types, since people read it before they install it.

use serde_json::json;

use crate::{
    FIELD_MANAGER,
    api::{APPLY_ANNOTATION, BREAK_GLASS_UNTIL_ANNOTATION, GROUP, OWNER_LABEL, OWNER_NAME_ANNOTATION},
};

const TEXT: &str = include_str!("admission_policy.yaml");

/// The control plane's own programs, where they do not run under accounts of `kube-system`.
const CLUSTER_USERS: [&str; 4] =
    ["system:apiserver", "system:cloud-controller-manager", "system:kube-controller-manager", "system:kube-scheduler"];
/// Nodes, and whatever runs in `kube-system`: the garbage collector and the namespace controller among them.
const CLUSTER_GROUPS: [&str; 2] = ["system:nodes", "system:serviceaccounts:kube-system"];

/// Whom the policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionPolicy {
    /// The namespace of the controller's service account.
    pub namespace: String,
    /// Groups of people who may change managed objects, and the controller's records, by hand.
    pub break_glass_groups: Vec<String>,
    /// Users and groups of programs that may change managed objects without changing whose they are.
    pub operators: Vec<String>,
}

impl Default for AdmissionPolicy {
    fn default() -> Self {
        Self { namespace: "sealift-system".into(), break_glass_groups: vec![], operators: vec![] }
    }
}

impl AdmissionPolicy {
    /// Policies and bindings as YAML.
    pub fn render(&self) -> String {
        let Self { namespace, break_glass_groups, operators } = self;
        let controller = format!("system:serviceaccount:{namespace}:sealift-controller");
        // Inside of single quotes, which YAML doubles.
        let named = |names: &[String]| json!(names).to_string().replace('\'', "''");
        let literal = |names: &[&str]| json!(names).to_string().replace('"', "'").replace(',', ", ");
        [
            ("@LABEL@", OWNER_LABEL.to_owned()),
            ("@ANNOTATION@", OWNER_NAME_ANNOTATION.to_owned()),
            ("@APPLY@", APPLY_ANNOTATION.to_owned()),
            ("@UNTIL@", BREAK_GLASS_UNTIL_ANNOTATION.to_owned()),
            ("@MANAGER@", FIELD_MANAGER.to_owned()),
            ("@GROUP@", GROUP.to_owned()),
            ("@CLUSTER_USERS@", literal(&CLUSTER_USERS)),
            ("@CLUSTER_GROUPS@", literal(&CLUSTER_GROUPS)),
            ("@CONTROLLER@", controller.replace('\'', "''")),
            // Last: what people write is not looked through for places.
            ("@OPERATORS@", named(operators)),
            ("@BREAK_GLASS@", named(break_glass_groups)),
        ]
        .into_iter()
        .fold(TEXT.to_owned(), |text, (place, name)| text.replace(place, &name))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::Value;

    use super::*;

    fn documents(text: &str) -> Vec<Value> {
        serde_saphyr::from_multiple(text).unwrap()
    }

    fn variable(policy: &Value, name: &str) -> String {
        let variables = policy["spec"]["variables"].as_array().unwrap();
        let found = variables.iter().find(|variable| variable["name"] == name).unwrap();
        found["expression"].as_str().unwrap().to_owned()
    }

    #[test]
    fn deploy_holds_what_is_generated() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/admission.yaml");
        let text = AdmissionPolicy::default().render();
        assert!(!text.contains('@'), "a place is left");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "deploy/admission.yaml is stale: UPDATE_GENERATED=1 cargo test -p sealift-apply admission"
        );
    }

    #[test]
    fn names_reach_the_policy_as_they_are_written() {
        let odd = r#"a'b"c\d @OPERATORS@"#;
        let policy = AdmissionPolicy {
            namespace: "delivery".into(),
            break_glass_groups: vec!["oncall".into(), odd.into()],
            operators: vec!["system:serviceaccount:cert-manager:cert-manager".into()],
        };
        let documents = documents(&policy.render());
        assert_eq!(documents.len(), 4);
        for policy in [&documents[0], &documents[2]] {
            // CEL reads the escapes of JSON.
            let groups: Vec<String> = serde_json::from_str(&variable(policy, "breakGlassGroups")).unwrap();
            assert_eq!(groups, ["oncall", odd]);
        }
        assert_eq!(variable(&documents[0], "operators"), r#"["system:serviceaccount:cert-manager:cert-manager"]"#);
        assert_eq!(variable(&documents[2], "controller"), "'system:serviceaccount:delivery:sealift-controller'");
    }
}
