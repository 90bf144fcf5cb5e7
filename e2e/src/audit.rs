//! What the API server was asked, from its audit log: how tests count requests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sealift_apply::api::OWNER_LABEL;
use serde::Deserialize;

/// A point in the log; requests that the server began to answer later come after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditMark(u64);

/// The audit log of a control plane started here.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

/// One request, of whoever is not part of the control plane itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Lower case: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Who asked.
    pub user: String,
    /// As whom, where the request was impersonated.
    pub impersonated: Option<String>,
    /// The groups that came with that, where the request was impersonated.
    pub groups: Vec<String>,
    /// For which Delivery the controller said that it was, as `namespace/name`.
    pub delivery: Option<String>,
    /// The API group; empty for core and for requests that name no resource.
    pub group: String,
    /// The plural, such as `deployments`; empty for requests that name no resource.
    pub resource: String,
    /// Such as `status`, else empty.
    pub subresource: String,
    /// Empty for cluster-scoped resources and lists across namespaces.
    pub namespace: String,
    /// Empty for lists and watches; of a creation that was taken it is the name given.
    pub name: String,
    /// The HTTP status.
    pub code: u16,
}

impl Request {
    /// Whether it would change something (a dry-run is one that would).
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection") && !self.is_review()
    }

    /// Whether the server was only asked to try (`dryRun=All`).
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }

    /// Whether it comes from this one of several controllers ([`crate::Replica`]).
    #[must_use]
    pub fn is_of_replica(&self, id: &str) -> bool {
        self.user_agent.ends_with(&format!("(replica {id})"))
    }

    /// A SubjectAccessReview and its like are created, but change nothing.
    fn is_review(&self) -> bool {
        self.group == "authorization.k8s.io" || self.group == "authentication.k8s.io"
    }
}

impl Audit {
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The end of the log now.
    ///
    /// # Panics
    /// Where the control plane was not started by this harness, hence has no audit log here.
    #[must_use]
    pub fn mark(&self) -> AuditMark {
        AuditMark(self.read().len() as u64)
    }

    /// All requests after `mark`, each once, in the order they were answered.
    ///
    /// # Panics
    /// As [`Audit::mark`].
    #[must_use]
    pub fn since(&self, mark: AuditMark) -> Vec<Request> {
        let bytes = self.read();
        let start = usize::try_from(mark.0).unwrap_or(usize::MAX).min(bytes.len());
        // a line still being written is not a request yet
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(start, |last| last + 1).max(start);
        requests(&String::from_utf8_lossy(&bytes[start..end]))
    }

    fn read(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap_or_else(|error| panic!("no audit log at {}: {error}", self.path.display()))
    }
}

/// A watch stands in the log when it begins and again when it ends, under one id.
fn requests(log: &str) -> Vec<Request> {
    let mut order = Vec::new();
    let mut by_id = BTreeMap::new();
    for event in log.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()) {
        let id = event.audit_id.clone();
        if by_id.insert(id.clone(), event.into()).is_none() {
            order.push(id);
        }
    }
    order.iter().filter_map(|id| by_id.remove(id)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    user_agent: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        let Event { audit_id: _, verb, request_uri, user_agent, user, impersonated_user, object_ref, response_status } =
            event;
        let ObjectRef { api_group, resource, subresource, namespace, name } = object_ref;
        let is_impersonated = impersonated_user.is_some();
        let User { username: impersonated, groups, mut extra } = impersonated_user.unwrap_or_default();
        Self {
            verb,
            uri: request_uri,
            user_agent,
            user: user.username,
            impersonated: is_impersonated.then_some(impersonated),
            groups,
            delivery: extra.remove(OWNER_LABEL).map(|values| values.join(",")),
            group: api_group,
            resource,
            subresource,
            namespace,
            name,
            code: response_status.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_began_and_ended_counts_once() {
        let line = |stage: &str| {
            format!(
                r#"{{"auditID":"1","stage":"{stage}","verb":"watch","requestURI":"/api/v1/pods?watch=1","user":{{"username":"u"}},"userAgent":"a/1","objectRef":{{"resource":"pods"}},"responseStatus":{{"code":200}}}}"#
            )
        };
        let found = requests(&format!("{}\n{}\n", line("ResponseStarted"), line("ResponseComplete")));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].verb.as_str(), found[0].resource.as_str(), found[0].code), ("watch", "pods", 200));
        assert!(!found[0].is_write());
    }

    #[test]
    fn an_access_review_is_not_a_write() {
        let log = r#"{"auditID":"1","verb":"create","requestURI":"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews","user":{"username":"u"},"objectRef":{"apiGroup":"authorization.k8s.io","resource":"selfsubjectaccessreviews"}}"#;
        assert!(!requests(log)[0].is_write());
    }
}
