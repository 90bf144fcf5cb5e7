//! What an object's pods may do beyond their own containers: what Pod Security Standards forbid at the level `baseline`, and
//! the two things that `restricted` forbids and that weigh most. *pure*

use std::collections::BTreeSet;

use serde_json::Value;

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// The privileges of everything shaped like a pod's spec in an object, however deep; in words.
pub(super) fn of(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(value, &mut found);
    found
}

fn walk(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if fields.get("containers").is_some_and(Value::is_array) {
                pod(value, found);
            }
            fields.values().for_each(|field| walk(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        _ => {}
    }
}

fn pod(spec: &Value, found: &mut BTreeSet<String>) {
    for (field, words) in
        [("hostNetwork", "the node's network"), ("hostPID", "the node's processes"), ("hostIPC", "the node's IPC")]
    {
        if spec[field] == true {
            found.insert(format!("uses {words} ({field})"));
        }
    }
    for volume in items(&spec["volumes"]) {
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            found.insert(format!("mounts the node's {path} (hostPath)"));
        }
    }
    for sysctl in items(&spec["securityContext"]["sysctls"]) {
        found.insert(format!("sets sysctl {}", text(&sysctl["name"])));
    }
    context("the pod", &spec["securityContext"], found);
    for container in CONTAINERS.iter().flat_map(|list| items(&spec[*list])) {
        let name = format!("container {}", text(&container["name"]));
        context(&name, &container["securityContext"], found);
        for port in items(&container["ports"]).filter_map(|port| port["hostPort"].as_u64()).filter(|port| *port > 0) {
            found.insert(format!("{name} listens on the node's port {port} (hostPort)"));
        }
    }
}

fn context(name: &str, context: &Value, found: &mut BTreeSet<String>) {
    let mut say = |words: String| found.insert(format!("{name} {words}"));
    if context["privileged"] == true {
        say("is privileged".to_owned());
    }
    if context["allowPrivilegeEscalation"] == true {
        say("may escalate privileges".to_owned());
    }
    if context["runAsUser"] == 0 {
        say("runs as root (runAsUser 0)".to_owned());
    }
    if context["windowsOptions"]["hostProcess"] == true {
        say("runs as a process of the node (hostProcess)".to_owned());
    }
    if context["procMount"] == "Unmasked" {
        say("sees an unmasked /proc".to_owned());
    }
    for (field, word) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        if context[field]["type"] == "Unconfined" {
            say(format!("has no {word} profile (Unconfined)"));
        }
    }
    for capability in items(&context["capabilities"]["add"]) {
        say(format!("has capability {}", text(capability)));
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn privileges_are_found_in_whatever_holds_a_pod() {
        let spec = json!({
            "hostNetwork": true, "hostPID": true, "hostIPC": false,
            "securityContext": {"runAsUser": 0, "sysctls": [{"name": "kernel.x", "value": "1"}]},
            "volumes": [{"name": "v", "hostPath": {"path": "/var/run"}}, {"name": "w", "emptyDir": {}}],
            "containers": [{"name": "a", "ports": [{"hostPort": 80}, {"containerPort": 1}], "securityContext": {
                "privileged": true, "capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]},
                "allowPrivilegeEscalation": true, "procMount": "Unmasked",
            }}],
            "initContainers": [{"name": "i", "securityContext": {"seccompProfile": {"type": "Unconfined"}}}],
            "ephemeralContainers": [{"name": "e", "securityContext": {"windowsOptions": {"hostProcess": true}}}],
        });
        let expected = [
            "container a has capability SYS_ADMIN",
            "container a is privileged",
            "container a listens on the node's port 80 (hostPort)",
            "container a may escalate privileges",
            "container a sees an unmasked /proc",
            "container e runs as a process of the node (hostProcess)",
            "container i has no seccomp profile (Unconfined)",
            "mounts the node's /var/run (hostPath)",
            "sets sysctl kernel.x",
            "the pod runs as root (runAsUser 0)",
            "uses the node's network (hostNetwork)",
            "uses the node's processes (hostPID)",
        ];
        for object in [json!({"spec": spec}), json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}})]
        {
            assert_eq!(of(&object).into_iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_is_no_pod_or_asks_for_nothing_has_none() {
        for object in [
            json!({"hostNetwork": true}),
            json!({"containers": {"items": {}}, "hostPID": true}),
            json!({"containers": [{"name": "a", "securityContext": {"privileged": false, "runAsUser": 1000}}]}),
            json!({"containers": [1, "x", null], "volumes": 3}),
        ] {
            assert!(of(&object).is_empty(), "{object}");
        }
    }
}
