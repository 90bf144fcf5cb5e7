//! Who wants to be told of what. *pure*

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use sealift_apply::api::{Notification, NotificationSpec, NotificationType, PendingEvent, Severity, Topic};

use super::payload::commit::project;

/// The Delivery that something became of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
}

/// True if the Notification is about this Delivery. Only one in the platform's own namespace is about those of others.
pub(super) fn concerns(notification: &Notification, of: Of<'_>, platform: Option<&str>) -> bool {
    let filter = &notification.spec.filter;
    let home = notification.namespace().unwrap_or_default();
    let is_platforms = platform == Some(home.as_str());
    let named = filter.namespaces.iter().any(|pattern| is_like(pattern, of.namespace));
    let there = match filter.namespaces.is_empty() {
        true => home == of.namespace,
        false => named && (is_platforms || home == of.namespace),
    };
    let is_named = filter.names.is_empty() || filter.names.iter().any(|name| name == of.name);
    there && is_named && filter.labels.iter().all(|(key, value)| of.labels.get(key) == Some(value))
}

/// True if it wants to be told of this.
pub(super) fn wants(spec: &NotificationSpec, event: &PendingEvent) -> bool {
    let filter = &spec.filter;
    let named = |reason: &String| *reason == event.reason || Some(reason) == event.ends.as_ref();
    let by_reason = filter.reasons.is_empty() || filter.reasons.iter().any(named);
    let by_severity = event.severity >= filter.severity || event.ends.is_some();
    by_reason && by_severity && is_fit(spec, event)
}

/// True if this sort of service can be told of it at all.
fn is_fit(spec: &NotificationSpec, event: &PendingEvent) -> bool {
    match spec.kind {
        NotificationType::Generic | NotificationType::Slack | NotificationType::Teams | NotificationType::Grafana => {
            true
        }
        // What neither begins nor ends trouble is no alert.
        NotificationType::Alertmanager | NotificationType::Pagerduty => {
            event.severity == Severity::Error || event.ends.is_some()
        }
        NotificationType::Github | NotificationType::Gitlab => {
            let deleted = event.reason == "Deleted";
            event.topic == Topic::Delivery && !deleted && project(spec, event).is_some()
        }
    }
}

/// True if a namespace is named, by a pattern in which one `*` stands for any characters.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end),
        None => pattern == text,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;
    use sealift_apply::api::SourceRevision;
    use serde_json::{Value, json};

    use super::*;

    pub(in super::super) fn notification(namespace: &str, name: &str, spec: Value) -> Notification {
        let value = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Notification", "spec": spec,
            "metadata": {"namespace": namespace, "name": name, "uid": name, "generation": 1},
        });
        serde_json::from_value(value).unwrap()
    }

    pub(in super::super) fn event(number: u64, severity: Severity, reason: &str) -> PendingEvent {
        PendingEvent {
            number,
            topic: Topic::Delivery,
            severity,
            progressing: false,
            reason: reason.into(),
            message: format!("{reason} in words"),
            at: Timestamp::UNIX_EPOCH,
            ends: None,
            digest: None,
            version: None,
            source: None,
            told: Vec::new(),
        }
    }

    #[test]
    fn tells_of_its_own_namespace_and_the_platform_of_those_it_names() {
        let labels = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
        for (home, filter, there, concerned) in [
            ("team-a", json!({}), ("team-a", "shop"), true),
            ("team-a", json!({}), ("team-b", "shop"), false),
            ("team-a", json!({"namespaces": ["*"]}), ("team-a", "shop"), true),
            ("team-a", json!({"namespaces": ["*"]}), ("team-b", "shop"), false),
            ("team-a", json!({"namespaces": ["team-b"]}), ("team-b", "shop"), false),
            ("platform", json!({}), ("team-b", "shop"), false),
            ("platform", json!({"namespaces": ["*"]}), ("team-b", "shop"), true),
            ("platform", json!({"namespaces": ["team-*"]}), ("team-b", "shop"), true),
            ("platform", json!({"namespaces": ["team-*"]}), ("other", "shop"), false),
            ("platform", json!({"namespaces": ["team-*-x"]}), ("team-x", "shop"), false),
            ("team-a", json!({"names": ["shop"]}), ("team-a", "shop"), true),
            ("team-a", json!({"names": ["other"]}), ("team-a", "shop"), false),
            ("team-a", json!({"labels": {"tier": "front"}}), ("team-a", "shop"), true),
            ("team-a", json!({"labels": {"tier": "back"}}), ("team-a", "shop"), false),
            ("team-a", json!({"labels": {"missing": ""}}), ("team-a", "shop"), false),
        ] {
            let notification =
                notification(home, "n", json!({"type": "generic", "address": "https://a.example", "filter": filter}));
            let of = Of { namespace: there.0, name: there.1, labels: &labels };
            assert_eq!(concerns(&notification, of, Some("platform")), concerned, "{home} {filter} {there:?}");
        }
    }

    #[test]
    fn the_end_of_trouble_passes_where_the_trouble_did() {
        let spec = |kind: &str, filter: Value| {
            notification("a", "n", json!({"type": kind, "address": "https://a.example", "filter": filter})).spec
        };
        let bad = || event(0, Severity::Error, "Unsigned");
        let good = || event(1, Severity::Info, "Applied");
        let end = || PendingEvent { ends: Some("Unsigned".into()), ..good() };
        let source = SourceRevision { uri: "https://git.example/acme/shop".into(), commit: "a".repeat(40) };
        let of_commit = || PendingEvent { source: Some(source.clone()), ..good() };
        for (kind, filter, event, wanted) in [
            ("generic", json!({}), good(), true),
            ("generic", json!({"severity": "error"}), bad(), true),
            ("generic", json!({"severity": "error"}), good(), false),
            ("generic", json!({"severity": "error"}), end(), true),
            ("generic", json!({"reasons": ["Unsigned"]}), bad(), true),
            ("generic", json!({"reasons": ["Unsigned"]}), end(), true),
            ("generic", json!({"reasons": ["Unsigned"]}), good(), false),
            ("generic", json!({"reasons": ["Applied"], "severity": "error"}), bad(), false),
            ("alertmanager", json!({}), bad(), true),
            ("alertmanager", json!({}), good(), false),
            ("alertmanager", json!({}), end(), true),
            ("pagerduty", json!({}), good(), false),
            ("github", json!({}), good(), false),
            ("gitlab", json!({}), of_commit(), false),
        ] {
            assert_eq!(wants(&spec(kind, filter.clone()), &event), wanted, "{kind} {filter} {event:?}");
        }
        let hosted = notification("a", "n", json!({"type": "gitlab", "address": "https://git.example"})).spec;
        assert!(wants(&hosted, &of_commit()), "the commit is at the service's own host");
        let trust = PendingEvent { topic: Topic::Trust, ..of_commit() };
        assert!(!wants(&hosted, &trust), "a commit is not at fault for a policy");
    }
}
