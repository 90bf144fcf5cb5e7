//! What a cluster answered, sorted by what a person or the controller does about it.

use std::{error::Error, time::Duration};

use kube::core::Status;

type Source = Box<dyn Error + Send + Sync>;

/// Why a call to a cluster did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Discovery does not know the kind.
    #[error("the cluster has no kind {kind} in {api_version}")]
    UnknownKind {
        /// The API version asked for.
        api_version: String,
        /// The kind asked for.
        kind: String,
    },
    /// The API server answered no; the message is its own.
    #[error("{message}")]
    Answer {
        /// What sort of no.
        class: Class,
        /// The server's words.
        message: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// A call did not end in time.
    #[error("the API server did not answer within {seconds} seconds")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// No answer came: refused, reset, no route, TLS.
    #[error("the API server cannot be reached")]
    Unreachable {
        /// What the connection reported.
        #[source]
        source: Source,
    },
    /// An answer came that is not what the API promises.
    #[error("the API server's answer cannot be read")]
    Unreadable {
        /// What the parser reported.
        #[source]
        source: Source,
    },
    /// The request cannot be written as HTTP, such as a name with a line break.
    #[error("the request cannot be written")]
    Request {
        /// What is wrong with it.
        #[source]
        source: Source,
    },
    /// The client's configuration cannot be used.
    #[error("the cluster's configuration cannot be used")]
    Configuration {
        /// What is wrong with it.
        #[source]
        source: Source,
    },
    /// A service account cannot be impersonated under that name.
    #[error("{namespace}/{name} is not a service account's name")]
    ServiceAccountName {
        /// The namespace given.
        namespace: String,
        /// The name given.
        name: String,
    },
}

/// The sorts of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 401.
    Unauthorized,
    /// 403: RBAC, quota or an admission plugin.
    Forbidden,
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// 400 or 422: the object breaks its schema's or the API's rules.
    Invalid,
    /// 500 by which server-side apply reports a field or type its schema does not have.
    Schema,
    /// An admission webhook said no.
    Denied,
    /// A webhook does not take part in dry runs.
    NoDryRun,
    /// 429, 503, 504 and a failed call of a webhook: may work later.
    Busy,
    /// Any other answer.
    Other,
}

impl ClusterError {
    /// True if the same call may succeed soon without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unreachable { .. } | Self::Answer { class: Class::Busy, .. })
    }

    /// True if the account may not do this.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Answer { class: Class::Forbidden, .. })
    }

    /// True if somebody else was faster or the name belongs to another object.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Answer { class: Class::Conflict, .. })
    }

    /// The same without the value that a schema error quotes: `expected string, got …`.
    pub(super) fn without_value(self) -> Self {
        match self {
            Self::Answer { class, mut message, retry_after } => {
                message.truncate(message.find(", got").unwrap_or(message.len()));
                Self::Answer { class, message, retry_after }
            }
            other => other,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn answer(status: Status) -> Self {
        let class = Class::of(status.code, &status.reason, &status.message);
        let seconds = status.details.map_or(0, |details| details.retry_after_seconds);
        let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        let message = match (status.message.trim(), status.reason.as_str()) {
            ("", "") => format!("the API server answered {}", status.code),
            ("", reason) => format!("the API server answered {} {reason}", status.code),
            (message, _) => message.to_owned(),
        };
        Self::Answer { class, message, retry_after }
    }
}

impl Class {
    /// Server-side apply reports schema errors as 500, webhooks their verdict under any code: the message decides.
    fn of(code: u16, reason: &str, message: &str) -> Self {
        if message.contains("does not support dry run") {
            return Self::NoDryRun;
        }
        if message.contains("failed calling webhook") {
            return Self::Busy;
        }
        if message.starts_with("admission webhook") && message.contains("denied the request") {
            return Self::Denied;
        }
        match code {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            500 if message.contains("field not declared in schema")
                || message.contains("failed to create typed patch object")
                || message.contains("failed to create manager for existing fields") =>
            {
                Self::Schema
            }
            // The API server's etcd and its own start-up answer 500 with these reasons.
            500 if matches!(reason, "Timeout" | "ServerTimeout") || message.contains("etcdserver") => Self::Busy,
            400 | 422 => Self::Invalid,
            429 | 502..=504 => Self::Busy,
            _ => Self::Other,
        }
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::answer(*status),
            kube::Error::Service(source) => Self::Unreachable { source },
            kube::Error::HyperError(source) => Self::Unreachable { source: Box::new(source) },
            kube::Error::ReadEvents(source) => Self::Unreachable { source: Box::new(source) },
            kube::Error::SerdeError(source) => Self::Unreadable { source: Box::new(source) },
            kube::Error::FromUtf8(source) => Self::Unreadable { source: Box::new(source) },
            kube::Error::BuildRequest(source) => Self::Request { source: Box::new(source) },
            kube::Error::Discovery(source) => Self::Unreadable { source: Box::new(source) },
            other => Self::Configuration { source: Box::new(other) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_answers_by_what_can_be_done() {
        let schema =
            "failed to create typed patch object (a/b; /v1, Kind=ConfigMap): .dat: field not declared in schema";
        for (code, reason, message, class) in [
            (500, "", schema, Class::Schema),
            (500, "InternalError", "boom", Class::Other),
            (500, "", "etcdserver: request timed out", Class::Busy),
            (500, "InternalError", "Internal error occurred: failed calling webhook \"x\": refused", Class::Busy),
            (403, "", "admission webhook \"x\" denied the request: no", Class::Denied),
            (400, "BadRequest", "admission webhook \"x\" does not support dry run", Class::NoDryRun),
            (403, "Forbidden", "configmaps \"a\" is forbidden: User \"u\" cannot patch", Class::Forbidden),
            (404, "NotFound", "namespaces \"a\" not found", Class::NotFound),
            (409, "Conflict", "conflict", Class::Conflict),
            (422, "Invalid", "Service \"a\" is invalid", Class::Invalid),
            (503, "", "unavailable", Class::Busy),
        ] {
            assert_eq!(Class::of(code, reason, message), class, "{code} {message}");
        }
    }

    #[test]
    fn says_what_the_server_said_and_no_more() {
        let status = Status::failure("configmaps \"a\" is forbidden", "Forbidden").with_code(403);
        let error = ClusterError::from(kube::Error::Api(status.boxed()));
        assert_eq!(error.to_string(), "configmaps \"a\" is forbidden");
        assert!(error.is_forbidden() && !error.is_transient());
    }
}
