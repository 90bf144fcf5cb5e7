//! What objects of RBAC grant, in words. *pure*

use std::collections::BTreeSet;

use sealift_verify::objects::Object;
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// One text a rule of a role, and a subject of a binding. Nothing of other kinds.
pub(super) fn grants(object: &Object) -> BTreeSet<String> {
    let value = &object.value;
    match (object.id.group.as_str(), object.id.kind.as_str()) {
        (GROUP, "Role" | "ClusterRole") => {
            let aggregated = items(&value["aggregationRule"]["clusterRoleSelectors"])
                .map(|selector| format!("whatever roles with {selector} grant"));
            items(&value["rules"]).map(rule).chain(aggregated).collect()
        }
        (GROUP, "RoleBinding" | "ClusterRoleBinding") => {
            let role = format!("{} {}", text(&value["roleRef"]["kind"]), text(&value["roleRef"]["name"]));
            items(&value["subjects"]).map(|it| format!("{role} to {}", subject(it))).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Rules are told whole: the product of their lists would be as long as somebody likes.
fn rule(rule: &Value) -> String {
    let (verbs, urls) = (list(&rule["verbs"]), list(&rule["nonResourceURLs"]));
    let groups = items(&rule["apiGroups"]).map(|group| if group == "" { "core" } else { text(group) });
    let groups = groups.collect::<Vec<_>>().join(", ");
    let names = Some(list(&rule["resourceNames"])).filter(|names| !names.is_empty());
    let names = names.map(|names| format!(" named {names}")).unwrap_or_default();
    match urls.is_empty() {
        true => format!("{verbs} on {} of {groups}{names}", list(&rule["resources"])),
        false => format!("{verbs} on {urls}"),
    }
}

fn subject(subject: &Value) -> String {
    let (kind, name) = (text(&subject["kind"]), text(&subject["name"]));
    match subject["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

fn list(value: &Value) -> String {
    items(value).map(text).collect::<Vec<_>>().join(", ")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare::tests::objects;

    fn said(yaml: &str) -> Vec<String> {
        grants(objects(yaml).iter().next().unwrap()).into_iter().collect()
    }

    #[test]
    fn roles_and_bindings_are_told_in_words() {
        let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules:\n\
                    - {apiGroups: ['', apps], resources: [pods, deployments], verbs: [get, list]}\n\
                    - {apiGroups: [''], resources: [secrets], resourceNames: [tls], verbs: ['*']}\n\
                    - {nonResourceURLs: [/metrics], verbs: [get]}\n";
        assert_eq!(
            said(role),
            ["* on secrets of core named tls", "get on /metrics", "get, list on pods, deployments of core, apps"]
        );
        let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b, namespace: shop}\n\
                       roleRef: {kind: ClusterRole, name: admin}\nsubjects:\n\
                       - {kind: ServiceAccount, name: web, namespace: shop}\n- {kind: Group, name: ops}\n";
        assert_eq!(said(binding), ["ClusterRole admin to Group ops", "ClusterRole admin to ServiceAccount shop/web"]);
        let other = "apiVersion: example.com/v1\nkind: Role\nmetadata: {name: r}\nrules: [{verbs: [get]}]\n";
        assert!(said(other).is_empty());
    }
}
