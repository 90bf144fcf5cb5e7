//! What can go wrong at a registry, sorted by what the caller can do about it.

use std::{fmt, time::Duration};

use sealift_verify::digest::Digest;

use crate::{identity::IdentityError, store::LayoutFault};

/// Where a request went: never with a query, which may hold a signed URL's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The host, with its port if it is not the scheme's own.
    pub host: String,
    /// The repository asked about; empty for requests about none.
    pub repository: String,
    /// The path of the URL.
    pub path: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// A refusal in the words of the registry, or of other storage, cut to a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{code}{}{message}", Answered(*status), if message.is_empty() || code.is_empty() { "" } else { ": " })]
pub struct Reply {
    /// The HTTP status; 0 from what does not speak HTTP.
    pub status: u16,
    /// The error code of the OCI distribution specification, if the registry sent one.
    pub code: String,
    /// The message that came with it.
    pub message: String,
    /// How long the registry asks to wait.
    pub retry_after: Option<Duration>,
}

/// How the words of a registry begin.
struct Answered(u16);

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, "the registry answered {} ", self.0) }
    }
}

/// Why no answer, or no usable one, came.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// The name could not be resolved, the connection failed or broke off.
    #[error("the connection failed")]
    Network(#[source] reqwest::Error),
    /// Nothing arrived in time.
    #[error("no answer in time")]
    TimedOut,
    /// The registry, or a proxy before it, is out of order.
    #[error(transparent)]
    Status(Reply),
    /// A disk or object storage failed.
    #[error("the storage failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Which rule of the network guard a URL breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Plain HTTP to a host the configuration does not name.
    #[error("plain HTTP to this host is not allowed by the configuration")]
    PlainHttp,
    /// A loopback address the configuration does not name.
    #[error("the host is a loopback address, which the configuration does not allow")]
    Loopback,
    /// A link-local address or a cloud's metadata service.
    #[error("the host is a link-local address, which the configuration does not allow")]
    LinkLocal,
    /// Neither http nor https.
    #[error("the URL is neither http nor https, or holds a user name")]
    Url,
    /// Not a tag by the grammar of the specification.
    #[error("the tag breaks the grammar of the distribution specification")]
    Tag,
    /// More redirects than a registry has reason for.
    #[error("too many redirects")]
    TooManyRedirects,
    /// Another registry than the one this client, and its credentials, are for.
    #[error("this client is for another registry")]
    OtherRegistry,
}

/// How a registry breaks the OCI distribution specification.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A status no rule of the specification leads to.
    #[error(transparent)]
    Status(Reply),
    /// A redirect without a target that can be read.
    #[error("the redirect has no usable target")]
    Redirect,
    /// The body is not the JSON it should be.
    #[error("the body cannot be read")]
    Json(#[source] serde_json::Error),
    /// The tag of the referrers fallback holds something else than an index.
    #[error("the tag holds no image index")]
    NotAnIndex,
    /// Another part of a blob than was asked for, or all of it.
    #[error("a part of the blob was asked for, and something else was sent")]
    NoRange,
    /// Pages that lead nowhere.
    #[error("the link to the next page cannot be followed")]
    Link,
    /// A token answer without a token.
    #[error("the token service sent no token")]
    NoToken,
    /// The upload session cannot be found: no `Location`, and no blob afterwards.
    #[error("the registry accepted an upload but names no place for it")]
    NoLocation,
    /// The upload's `Location` is no URL.
    #[error("the upload was answered with a target that cannot be read")]
    UploadTarget,
}

/// Why a call to a registry failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The repository, tag, manifest or blob does not exist.
    #[error("{at} does not exist")]
    NotFound {
        /// What was asked for.
        at: Box<At>,
        /// The registry's words.
        #[source]
        reply: Box<Reply>,
    },
    /// The credentials, or their absence, were refused.
    #[error("the credentials for {at} were refused")]
    Unauthorized {
        /// What was asked for.
        at: Box<At>,
        /// The registry's words.
        #[source]
        reply: Box<Reply>,
    },
    /// The credentials are known and do not suffice.
    #[error("access to {at} is forbidden")]
    Forbidden {
        /// What was asked for.
        at: Box<At>,
        /// The registry's words.
        #[source]
        reply: Box<Reply>,
    },
    /// Too many requests; `reply.retry_after` says when to come back, if the registry said.
    #[error("{at} is rate limited")]
    RateLimited {
        /// What was asked for.
        at: Box<At>,
        /// The registry's words.
        #[source]
        reply: Box<Reply>,
    },
    /// No usable answer: network, time-out or a server out of order.
    #[error("{at} cannot be reached")]
    Unreachable {
        /// What was asked for.
        at: Box<At>,
        /// Why.
        #[source]
        outage: Box<Outage>,
    },
    /// The cloud does not say who this workload is.
    #[error("there are no credentials for {at} by workload identity")]
    Identity {
        /// What was asked for.
        at: Box<At>,
        /// Why.
        #[source]
        source: Box<IdentityError>,
    },
    /// More bytes than were announced or than the limits allow.
    #[error("{at} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        at: Box<At>,
        /// The limit it passed.
        limit: u64,
    },
    /// Other bytes than the ones asked for.
    #[error("{at} was served with digest {actual}, not {expected}")]
    DigestMismatch {
        /// What was asked for.
        at: Box<At>,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The network guard forbids the request; nothing was sent.
    #[error("a request to {at} is refused")]
    Refused {
        /// What was asked for.
        at: Box<At>,
        /// Which rule it breaks.
        #[source]
        refusal: Refusal,
    },
    /// The registry breaks the specification.
    #[error("{at} was answered against the distribution specification")]
    Protocol {
        /// What was asked for.
        at: Box<At>,
        /// How.
        #[source]
        fault: Box<Fault>,
    },
    /// What lies there is no image layout, or not one that can be used.
    #[error("{at} cannot be used")]
    Unusable {
        /// The layout.
        at: Box<At>,
        /// Why.
        #[source]
        fault: Box<LayoutFault>,
    },
    /// Others kept replacing a list while an entry was added to it.
    #[error("{at} changed under every one of {attempts} updates")]
    Contended {
        /// The fallback tag, or a layout's index.
        at: Box<At>,
        /// How often it was tried.
        attempts: u32,
    },
}

impl ClientError {
    /// Where the failed request went.
    pub fn at(&self) -> &At {
        match self {
            Self::NotFound { at, .. }
            | Self::Unauthorized { at, .. }
            | Self::Forbidden { at, .. }
            | Self::RateLimited { at, .. }
            | Self::Unreachable { at, .. }
            | Self::Identity { at, .. }
            | Self::TooLarge { at, .. }
            | Self::DigestMismatch { at, .. }
            | Self::Refused { at, .. }
            | Self::Protocol { at, .. }
            | Self::Unusable { at, .. }
            | Self::Contended { at, .. } => at,
        }
    }

    /// The registry's own words, if it answered.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::NotFound { reply, .. }
            | Self::Unauthorized { reply, .. }
            | Self::Forbidden { reply, .. }
            | Self::RateLimited { reply, .. } => Some(reply),
            Self::Unreachable { outage, .. } => match outage.as_ref() {
                Outage::Status(reply) => Some(reply),
                Outage::Network(_) | Outage::TimedOut | Outage::Storage(_) => None,
            },
            Self::Protocol { fault, .. } => match fault.as_ref() {
                Fault::Status(reply) => Some(reply),
                _ => None,
            },
            Self::Identity { .. }
            | Self::TooLarge { .. }
            | Self::DigestMismatch { .. }
            | Self::Refused { .. }
            | Self::Unusable { .. }
            | Self::Contended { .. } => None,
        }
    }

    /// The HTTP status the registry answered with, if it answered.
    pub fn status(&self) -> Option<u16> {
        self.reply().map(|reply| reply.status).filter(|status| *status != 0)
    }

    /// How long the registry asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.reply().and_then(|reply| reply.retry_after)
    }

    /// True if the same request may succeed later with nothing changed on this side.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Unreachable { .. } | Self::Contended { .. } => true,
            Self::Identity { source, .. } => source.is_transient(),
            Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::TooLarge { .. }
            | Self::DigestMismatch { .. }
            | Self::Refused { .. }
            | Self::Unusable { .. }
            | Self::Protocol { .. } => false,
        }
    }

    /// The least pause before the same request is worth sending again at once; `None` if it is not.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let wait = self.retry_after().unwrap_or_default();
        match self {
            Self::RateLimited { .. } => Some(wait),
            Self::Unreachable { outage, .. } => match outage.as_ref() {
                Outage::Network(_) | Outage::TimedOut => Some(wait),
                Outage::Storage(_) => None,
                // A plain 500 is as often a bug that comes back as an outage: the caller's own interval is soon enough.
                Outage::Status(reply) => [502, 503, 504].contains(&reply.status).then_some(wait),
            },
            _ => None,
        }
    }

    /// The error that belongs to an unsuccessful status.
    pub(crate) fn of_status(at: At, reply: Reply) -> Self {
        let (at, status) = (Box::new(at), reply.status);
        match status {
            404 => Self::NotFound { at, reply: Box::new(reply) },
            401 => Self::Unauthorized { at, reply: Box::new(reply) },
            403 => Self::Forbidden { at, reply: Box::new(reply) },
            429 => Self::RateLimited { at, reply: Box::new(reply) },
            408 | 500.. => Self::Unreachable { at, outage: Box::new(Outage::Status(reply)) },
            _ => Self::Protocol { at, fault: Box::new(Fault::Status(reply)) },
        }
    }

    /// A broken rule of the specification.
    pub(crate) fn protocol(at: At, fault: Fault) -> Self {
        Self::Protocol { at: Box::new(at), fault: Box::new(fault) }
    }

    /// A broken rule of the network guard.
    pub(crate) fn refused(at: At, refusal: Refusal) -> Self {
        Self::Refused { at: Box::new(at), refusal }
    }

    /// A failure below HTTP: the guard's verdict if it is in the chain, else an outage. The URL is dropped, since
    /// reqwest would print its query.
    pub(crate) fn network(at: At, error: reqwest::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
        while let Some(inner) = cause {
            if let Some(refusal) = inner.downcast_ref::<Refusal>() {
                return Self::refused(at, *refusal);
            }
            cause = inner.source();
        }
        let outage = if error.is_timeout() { Outage::TimedOut } else { Outage::Network(error.without_url()) };
        Self::Unreachable { at: Box::new(at), outage: Box::new(outage) }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The host is not one a URL can be made of.
    #[error("{0:?} is not a registry host")]
    Host(String),
    /// The extra certificates are not PEM, or there are none.
    #[error("the extra CA certificates cannot be read")]
    Certificates(#[source] Option<reqwest::Error>),
    /// The client certificate or its key is not PEM, or one of them is missing.
    #[error("the client certificate and its key cannot be used")]
    Identity(#[source] reqwest::Error),
    /// A proxy's address is no http or https URL. It is not shown, since it may hold a password.
    #[error("the address of the proxy is not an http or https URL")]
    Proxy(#[source] Option<reqwest::Error>),
    /// The HTTP client refused its settings.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}
