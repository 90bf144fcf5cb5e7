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
    /// Whoever asks may not write any more: its lease has run out, or its Deliveries are another replica's.
    #[error("this replica's lease has run out, so nothing is written")]
    NoPermit,
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
    /// No Delivery can be spoken of under that name.
    #[error("{namespace}/{name} is not a Delivery's name")]
    DeliveryName {
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
    /// 403 about the extra that names the Delivery: the installed ClusterRole is older than this program.
    ExtraForbidden,
    /// 404 about an object.
    NotFound,
    /// 404 about its kind: nothing is served there, whatever discovery has said before.
    NotServed,
    /// 409.
    Conflict,
    /// 400 or 422: the object breaks its schema's or the API's rules.
    Invalid,
    /// 500 by which server-side apply reports a field or type its schema does not have.
    Schema,
    /// 422, 403 or 400: the change is to a field that no update may change.
    Immutable,
    /// An admission webhook or policy said no.
    Denied,
    /// A webhook does not take part in dry runs.
    NoDryRun,
    /// 429, 503, 504 and a failed call of a webhook: may work later.
    Busy,
    /// A webhook did not answer in its time; asked again at once it would only cost that time again.
    WebhookTimeout,
    /// 403: the namespace is being deleted and takes nothing new.
    NamespaceTerminating,
    /// Any other answer.
    Other,
}

impl ClusterError {
    /// True if the same call may succeed soon without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::NoPermit => true,
            Self::Answer { class, .. } => {
                matches!(class, Class::Busy | Class::WebhookTimeout | Class::NamespaceTerminating)
            }
            _ => false,
        }
    }

    /// True if it is worth asking again within the same call.
    pub(super) fn is_momentary(&self) -> bool {
        let later = [Class::WebhookTimeout, Class::NamespaceTerminating];
        let is_later = matches!(self, Self::Answer { class, .. } if later.contains(class));
        self.is_transient() && !is_later && !matches!(self, Self::NoPermit)
    }

    /// True if a field that no update may change would have to change.
    pub fn is_immutable(&self) -> bool {
        matches!(self, Self::Answer { class: Class::Immutable, .. }) && !self.is_other_object()
    }

    /// True if the write was meant for an object that is not there, or for one that is not the one there. A uid that
    /// differs is reported as an immutable field that changed.
    pub fn is_other_object(&self) -> bool {
        match self {
            Self::Answer { class: Class::Conflict, .. } => true,
            Self::Answer { class: Class::Immutable | Class::Invalid, message, .. } => message.contains("metadata.uid:"),
            _ => false,
        }
    }

    /// True if the account may not do this, or the controller may not do it for a Delivery.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Answer { class: Class::Forbidden | Class::ExtraForbidden, .. })
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
            (message, _) if class == Class::ExtraForbidden => format!("{OLD_RIGHTS}: {message}"),
            ("", "") => format!("the API server answered {}", status.code),
            ("404 page not found", _) => "nothing of this kind is served there: 404 page not found".to_owned(),
            ("", reason) => format!("the API server answered {} {reason}", status.code),
            (message, _) => message.to_owned(),
        };
        Self::Answer { class, message, retry_after }
    }
}

/// What is wrong where the right to name the Delivery is missing. The account of the Delivery is not to blame.
const OLD_RIGHTS: &str = "the controller lacks the right to impersonate userextras/sealift.dev/delivery: install the \
                          ClusterRole sealift-controller of this version";

/// How the API says that a field cannot change: each kind has words of its own.
const IMMUTABLE: [&str; 10] = [
    "field is immutable",
    "is immutable after creation",
    "may not change once set",
    "may not be changed",
    "cannot change roleRef",
    "updates to statefulset spec for fields other than",
    "pod updates may not change fields other than",
    "updates to provisioner are forbidden",
    "updates to parameters are forbidden",
    "Value is immutable",
];

impl Class {
    /// Server-side apply reports schema errors as 500, webhooks their verdict under any code: the message decides.
    fn of(code: u16, reason: &str, message: &str) -> Self {
        if message.contains("does not support dry run") {
            return Self::NoDryRun;
        }
        if message.contains("failed calling webhook") {
            let late = ["context deadline exceeded", "Client.Timeout exceeded", "timed out"];
            return if late.iter().any(|words| message.contains(words)) { Self::WebhookTimeout } else { Self::Busy };
        }
        let is_policy = |word: &str| message.contains(word) && message.contains("denied request");
        if message.starts_with("admission webhook") && message.contains("denied the request")
            || is_policy("ValidatingAdmissionPolicy")
        {
            return Self::Denied;
        }
        if message.contains("because it is being terminated") {
            return Self::NamespaceTerminating;
        }
        if matches!(code, 400 | 403 | 422) && IMMUTABLE.iter().any(|words| message.contains(words)) {
            return Self::Immutable;
        }
        match code {
            401 => Self::Unauthorized,
            403 if message.contains("cannot impersonate") && message.contains("sealift.dev/delivery") => {
                Self::ExtraForbidden
            }
            403 => Self::Forbidden,
            404 if message.contains("404 page not found")
                || message.contains("could not find the requested resource") =>
            {
                Self::NotServed
            }
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
            (
                403,
                "Forbidden",
                "userextras.authentication.k8s.io \"apps/shop\" is forbidden: User \"c\" cannot impersonate resource \"userextras/sealift.dev/delivery\" in API group \"authentication.k8s.io\" at the cluster scope",
                Class::ExtraForbidden,
            ),
            (404, "NotFound", "namespaces \"a\" not found", Class::NotFound),
            (404, "NotFound", "the server could not find the requested resource", Class::NotServed),
            (404, "", "404 page not found", Class::NotServed),
            (409, "Conflict", "conflict", Class::Conflict),
            (422, "Invalid", "Service \"a\" is invalid", Class::Invalid),
            (
                422,
                "Invalid",
                "Job.batch \"a\" is invalid: spec.template: Invalid value: {}: field is immutable",
                Class::Immutable,
            ),
            (
                422,
                "Invalid",
                "Service \"a\" is invalid: spec.clusterIPs[0]: Invalid value: []: may not change once set",
                Class::Immutable,
            ),
            (
                422,
                "Invalid",
                "StatefulSet.apps \"a\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden",
                Class::Immutable,
            ),
            (422, "Invalid", "ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no", Class::Denied),
            (
                403,
                "Forbidden",
                "configmaps \"a\" is forbidden: unable to create new content in namespace n because it is being terminated",
                Class::NamespaceTerminating,
            ),
            (
                500,
                "InternalError",
                "Internal error occurred: failed calling webhook \"x\": failed to call webhook: Post \"https://x/\": context deadline exceeded",
                Class::WebhookTimeout,
            ),
            (503, "", "unavailable", Class::Busy),
        ] {
            assert_eq!(Class::of(code, reason, message), class, "{code} {message}");
        }
    }

    #[test]
    fn tells_another_object_from_an_immutable_field_and_what_is_worth_asking_at_once() {
        let answer = |code, message: &str| {
            ClusterError::from(kube::Error::Api(Status::failure(message, "").with_code(code).boxed()))
        };
        let other = answer(422, "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable");
        assert!(other.is_other_object() && !other.is_immutable());
        let gone = answer(
            409,
            "Operation cannot be fulfilled: uid mismatch: the provided object specified uid x, and no existing object was found",
        );
        assert!(gone.is_other_object());
        let selector = answer(422, "spec.selector: Invalid value: {}: field is immutable");
        assert!(selector.is_immutable() && !selector.is_other_object());
        let late = answer(500, "failed calling webhook \"x\": context deadline exceeded");
        assert!(late.is_transient() && !late.is_momentary());
        let refused = answer(500, "failed calling webhook \"x\": connection refused");
        assert!(refused.is_momentary());
    }

    #[test]
    fn says_what_the_server_said_and_no_more() {
        let status = Status::failure("configmaps \"a\" is forbidden", "Forbidden").with_code(403);
        let error = ClusterError::from(kube::Error::Api(status.boxed()));
        assert_eq!(error.to_string(), "configmaps \"a\" is forbidden");
        assert!(error.is_forbidden() && !error.is_transient());
    }
}
