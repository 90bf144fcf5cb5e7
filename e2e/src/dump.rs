//! The state of the world, for a live test that failed.

use std::fmt::Write as _;

use crate::ControlPlane;

/// Kinds that no dump shows: noise, and Secrets.
const HIDDEN: &[&str] = &["secrets", "endpointslices.discovery.k8s.io", "endpoints", "events.events.k8s.io"];

impl ControlPlane {
    /// Everything in a namespace but Secrets, Sealift's cluster-scoped records, events and the ends of the logs.
    #[must_use]
    pub fn dump(&self, namespace: &str) -> String {
        let mut text = format!("===== namespace {namespace} =====\n");
        let kinds = self.listable("--namespaced=true");
        section(
            &mut text,
            "objects",
            &self.look(&["get", &kinds, "-n", namespace, "--ignore-not-found", "-o", "wide"]),
        );
        section(&mut text, "events", &self.look(&["get", "events", "-n", namespace, "--sort-by=.lastTimestamp"]));
        for (kinds, scope) in [(kinds, ["-n", namespace]), (self.listable("--namespaced=false"), ["-o", "yaml"])] {
            let ours: Vec<&str> = kinds.split(',').filter(|kind| kind.ends_with(".sealift.dev")).collect();
            if !ours.is_empty() {
                let get = ["get", &ours.join(","), "--ignore-not-found", "-o", "yaml"];
                let yaml = self.look(&[&get[..], &scope].concat());
                section(&mut text, &ours.join(", "), &yaml);
            }
        }
        for (name, log) in self.log_tails(15) {
            section(&mut text, &name, &log);
        }
        text
    }

    fn listable(&self, scope: &str) -> String {
        let kinds = self.look(&["api-resources", "--verbs=list", scope, "-o", "name"]);
        let shown: Vec<&str> = kinds.lines().filter(|kind| !HIDDEN.contains(kind)).collect();
        shown.join(",")
    }

    /// A dump says what it could not see rather than failing.
    fn look(&self, arguments: &[&str]) -> String {
        self.kubectl(arguments).unwrap_or_else(|error| error.to_string())
    }
}

fn section(text: &mut String, title: &str, body: &str) {
    let _ = writeln!(text, "--- {title}\n{}", body.trim_end());
}
