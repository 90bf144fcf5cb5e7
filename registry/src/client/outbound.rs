//! Requests to other services at addresses that tenants name: guarded like those to registries, bounded, without redirects.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Method, Url,
    header::{self, HeaderMap},
};

use super::{
    At, ClientConfig, ClientError, Outage, Refusal, SetupError, authority,
    guard::Guard,
    send::{bounded, wait},
    transport::Transport,
};

/// Makes requests to whatever address the guard lets pass. Nothing of one request is kept for another but the connection.
#[derive(Debug)]
pub struct Outbound {
    transport: Transport,
}

/// One request.
#[derive(Debug)]
pub struct Outgoing {
    /// Where to; its path and query may be secret and are never shown.
    pub url: Url,
    /// Headers, with those marked sensitive that are secret.
    pub headers: HeaderMap,
    /// What is posted; without it, it is a GET.
    pub body: Option<Bytes>,
    /// How long it may take with its whole answer.
    pub timeout: Duration,
    /// How many bytes of an answer are taken.
    pub largest: u64,
}

/// What came back, whatever the status.
#[derive(Debug)]
pub struct Incoming {
    /// The HTTP status.
    pub status: u16,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// The body; empty where it was larger than what is taken and the status is no success.
    pub body: Bytes,
}

/// Why there is no answer. Says the host, and neither path nor query.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The network guard forbids the request; nothing was sent.
    #[error("a request to {host} is refused")]
    Refused {
        /// The host.
        host: String,
        /// Which rule it breaks.
        #[source]
        refusal: Refusal,
    },
    /// No answer, or none to its end.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        outage: Box<Outage>,
    },
    /// More bytes than are taken.
    #[error("{host} answered with more than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit.
        limit: u64,
    },
}

impl OutboundError {
    /// True if the request never left, so that whoever it was for cannot have it.
    pub fn was_never_sent(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Unreachable { outage, .. } => match outage.as_ref() {
                Outage::Network(error) => error.is_connect(),
                Outage::TimedOut | Outage::Status(_) | Outage::Storage(_) => false,
            },
            Self::TooLarge { .. } => false,
        }
    }
}

impl Outbound {
    /// With what `config` says of hosts, certificates and proxies. Its client certificate and credentials are for
    /// registries, and shown to nobody here.
    ///
    /// # Errors
    /// [`SetupError`] if certificates or proxies cannot be used.
    pub fn new(config: ClientConfig) -> Result<Self, SetupError> {
        // A host that no request names: what a registry may do, nobody may here.
        const NOBODY: &str = "invalid";
        let config = ClientConfig { certificate: None, allow_loopback: false, ..config };
        let nowhere = Url::parse("https://invalid/").map_err(|_| SetupError::Host(NOBODY.to_owned()))?;
        let guard = std::sync::Arc::new(Guard::new(NOBODY, &config));
        Ok(Self { transport: Transport::new(nowhere, guard, &config)? })
    }

    /// Sends it once. A redirect is an answer like any other: nothing is sent anywhere but where it was meant for.
    ///
    /// # Errors
    /// [`OutboundError`] if there is no answer.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Incoming, OutboundError> {
        let Outgoing { url, headers, body, timeout, largest } = outgoing;
        let at = At { host: authority(&url), repository: String::new(), path: String::new() };
        let host = || at.host.clone();
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let request = self.transport.request(method, &url).await;
        let request = request.map_err(|refusal| OutboundError::Refused { host: host(), refusal })?;
        let request = request.headers(headers).timeout(timeout).body(body.unwrap_or_default());
        let told = |error: ClientError| match error {
            ClientError::Refused { refusal, .. } => OutboundError::Refused { host: host(), refusal },
            ClientError::Unreachable { outage, .. } => OutboundError::Unreachable { host: host(), outage },
            _ => OutboundError::TooLarge { host: host(), limit: largest },
        };
        let response = request.send().await.map_err(|error| told(ClientError::network(at.clone(), error)))?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| wait(value, jiff::Timestamp::now()));
        let body = match bounded(response, largest, &at).await {
            Ok(body) => body,
            Err(_) if !status.is_success() => Bytes::new(),
            Err(error) => return Err(told(error)),
        };
        Ok(Incoming { status: status.as_u16(), retry_after, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(url: &str) -> Outgoing {
        let (url, timeout) = (Url::parse(url).unwrap(), Duration::from_secs(5));
        Outgoing { url, headers: HeaderMap::new(), body: Some(Bytes::new()), timeout, largest: 100 }
    }

    #[tokio::test]
    async fn what_is_local_or_plain_is_refused_unless_the_platform_names_it_and_paths_are_not_told() {
        let closed = Outbound::new(ClientConfig::in_cluster()).unwrap();
        for (url, wanted) in [
            ("http://hooks.example/secret", Refusal::PlainHttp),
            ("https://127.0.0.1/secret", Refusal::Loopback),
            ("https://invalid.localhost/secret", Refusal::Loopback),
            ("http://169.254.169.254/secret", Refusal::LinkLocal),
            ("https://metadata.google.internal/secret", Refusal::LinkLocal),
            ("https://me:pw@hooks.example/secret", Refusal::Url),
        ] {
            let error = closed.send(outgoing(url)).await.unwrap_err();
            assert!(matches!(&error, OutboundError::Refused { refusal, .. } if *refusal == wanted), "{url}: {error:?}");
            assert!(error.was_never_sent() && !sealift_verify::chain(&error).contains("secret"), "{error:?}");
        }
        // Nobody listens at the discard port: the guard lets it pass, and the connection fails.
        let plain_http = super::super::PlainHttp::Hosts(vec!["127.0.0.1:9".into()]);
        let open = Outbound::new(ClientConfig { plain_http, ..ClientConfig::in_cluster() }).unwrap();
        let error = open.send(outgoing("http://127.0.0.1:9/secret")).await.unwrap_err();
        assert!(error.was_never_sent() && !sealift_verify::chain(&error).contains("secret"), "{error:?}");
        assert!(matches!(error, OutboundError::Unreachable { .. }));
    }
}
