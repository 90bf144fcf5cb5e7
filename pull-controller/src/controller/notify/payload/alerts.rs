//! Trouble that begins and ends: alerts of Alertmanager, incidents of PagerDuty. *pure*
//!
//! What begins and what ends it have the same labels, and the same key: those of the Delivery and of what the trouble is
//! about, and no reason.

use http::HeaderMap;
use jiff::SignedDuration;
use sealift_apply::api::{NotificationSpec, Severity};
use secrecy::ExposeSecret as _;
use serde_json::json as value;

use super::{
    super::template::{cut, text},
    {About, Access, Post, Unfit, address, below, json, token},
};

/// An alert that nobody ends is over after so long; one that is told once must not be over after minutes.
const LASTS: SignedDuration = SignedDuration::from_hours(24 * 7);
/// PagerDuty takes no longer summary.
const SUMMARY: usize = 1024;

pub(super) fn alertmanager(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let event = about.event;
    let ends = match event.severity {
        Severity::Error => event.at.checked_add(LASTS).unwrap_or(event.at),
        Severity::Info => event.at,
    };
    let mut alert = value!({
        "labels": {
            "alertname": about.trouble(),
            "severity": "error",
            "cluster": about.cluster,
            "namespace": about.namespace,
            "delivery": about.name,
        },
        "annotations": {
            "summary": text(spec.template.as_deref(), about)?,
            "reason": event.reason,
            "digest": event.digest.map(|digest| digest.to_string()).unwrap_or_default(),
        },
        "endsAt": ends.to_string(),
    });
    // The end of an alert must not seem to be its beginning; without one, that which is known stays.
    if event.severity == Severity::Error {
        alert["startsAt"] = event.at.to_string().into();
    }
    let mut headers = HeaderMap::new();
    if let Some(token) = &access.token {
        super::bearer(&mut headers, token)?;
    }
    Ok(json(below(address(spec, access)?, "/api/v2/alerts"), headers, &value!([alert])))
}

pub(super) fn pagerduty(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let event = about.event;
    let key = format!("{}/{}/{}", about.cluster, about.delivery(), about.trouble());
    let mut incident = value!({
        "routing_key": token(access)?.expose_secret().trim(),
        "event_action": if event.severity == Severity::Error { "trigger" } else { "resolve" },
        "dedup_key": key,
        "client": "Sealift",
    });
    if event.severity == Severity::Error {
        incident["payload"] = value!({
            "summary": cut(&text(spec.template.as_deref(), about)?, SUMMARY),
            "source": about.cluster,
            "severity": "error",
            "timestamp": event.at.to_string(),
            "component": about.delivery(),
            "class": event.reason,
            "custom_details": {"digest": event.digest, "version": event.version, "message": event.message},
        });
    }
    Ok(json(address(spec, access)?, HeaderMap::new(), &incident))
}
