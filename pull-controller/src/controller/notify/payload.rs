//! What each sort of service is sent: one row of a table each, from data to data. *pure*

mod alerts;
mod chat;
pub(super) mod commit;
mod generic;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sealift_apply::api::{NotificationSpec, NotificationType, PendingEvent, Severity, Topic};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde_json::Value;
use url::Url;

use super::template::TemplateError;

/// What is told, and of which Delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) cluster: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    pub(super) event: &'a PendingEvent,
}

/// Where to, and what only those may know who may send there.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) address: Option<SecretString>,
    pub(super) token: Option<SecretString>,
    pub(super) hmac_key: Option<SecretSlice<u8>>,
}

/// A request to be sent.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why a request cannot be made. Never shows an address or a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// There is no address.
    #[error("neither spec.address nor the Secret's key address says where to")]
    NoAddress,
    /// The address is no URL.
    #[error("the address is not an http or https URL")]
    Address,
    /// This service wants to know who asks.
    #[error("the Secret has no key token, and this service asks for one")]
    NoToken,
    /// The token cannot be sent.
    #[error("the token holds characters that no header may hold")]
    Token,
    /// The template cannot be filled in.
    #[error("the template cannot be used")]
    Template(#[from] TemplateError),
    /// The event has nothing that this service could be told.
    #[error("the event names no commit of a repository there")]
    NoCommit,
}

impl About<'_> {
    /// By which a repetition is known.
    pub(super) fn id(&self) -> String {
        format!("{}-{}", self.uid, self.event.number)
    }

    /// `namespace/name`.
    fn delivery(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(super) fn severity(&self) -> &'static str {
        match self.event.severity {
            Severity::Info => "info",
            Severity::Error => "error",
        }
    }

    fn topic(&self) -> &'static str {
        match self.event.topic {
            Topic::Delivery => "delivery",
            Topic::Trust => "trust",
            Topic::Hold => "hold",
            Topic::Drift => "drift",
        }
    }

    /// What begins with trouble and ends with it, the same for all of one topic.
    fn trouble(&self) -> &'static str {
        match self.event.topic {
            Topic::Delivery => "SealiftDeliveryNotReady",
            Topic::Trust => "SealiftWouldRefuseNow",
            Topic::Hold => "SealiftEmergencyHold",
            Topic::Drift => "SealiftDrift",
        }
    }
}

/// Where a service lies that everybody means by its name.
fn usual_address(kind: NotificationType) -> Option<&'static str> {
    match kind {
        NotificationType::Github => Some("https://api.github.com"),
        NotificationType::Gitlab => Some("https://gitlab.com"),
        _ => None,
    }
}

/// The request that tells a service of an event.
pub(super) fn post(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let row = match spec.kind {
        NotificationType::Generic => generic::cloud_event,
        NotificationType::Slack => chat::slack,
        NotificationType::Teams => chat::teams,
        NotificationType::Grafana => chat::grafana,
        NotificationType::Alertmanager => alerts::alertmanager,
        NotificationType::Pagerduty => alerts::pagerduty,
        NotificationType::Github => commit::github,
        NotificationType::Gitlab => commit::gitlab,
    };
    row(spec, access, about)
}

/// The address that counts: that of the Secret, of the spec, or the usual one.
fn address(spec: &NotificationSpec, access: &Access) -> Result<Url, Unfit> {
    let secret = access.address.as_ref().map(|address| address.expose_secret().trim());
    let text = secret.or(spec.address.as_deref()).or(usual_address(spec.kind)).ok_or(Unfit::NoAddress)?;
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or(Unfit::Address)
}

/// The address with a path below its own, which may end with that path already.
fn below(mut url: Url, path: &str) -> Url {
    let own = url.path().trim_end_matches('/').to_owned();
    if !own.ends_with(path) {
        url.set_path(&format!("{own}{path}"));
    }
    url
}

fn token(access: &Access) -> Result<&SecretString, Unfit> {
    access.token.as_ref().ok_or(Unfit::NoToken)
}

fn json(url: Url, headers: HeaderMap, value: &Value) -> Post {
    let mut headers = headers;
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Post { url, headers, body: value.to_string().into_bytes() }
}

/// A header whose value is never printed.
fn secret(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Unfit> {
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| Unfit::Token)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn bearer(headers: &mut HeaderMap, token: &SecretString) -> Result<(), Unfit> {
    secret(headers, header::AUTHORIZATION, &format!("Bearer {}", token.expose_secret().trim()))
}

#[cfg(test)]
mod tests;
