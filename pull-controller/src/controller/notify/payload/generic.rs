//! CloudEvents 1.0 in structured JSON, signed as receivers of Flux's `generic-hmac` check it. *pure*

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sealift_apply::api::NotificationSpec;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    super::template::text,
    {About, Access, Post, Unfit, address, bearer},
};

/// Where the body's HMAC stands.
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

pub(super) fn cloud_event(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let About { cluster, namespace, name, uid: _, event } = *about;
    let source = event.source.as_ref().map(|source| json!({"uri": source.uri, "commit": source.commit}));
    let value = json!({
        "specversion": "1.0",
        "id": about.id(),
        "source": format!("/clusters/{cluster}/namespaces/{namespace}/deliveries/{name}"),
        "type": format!("dev.sealift.{}.v1", about.topic()),
        "subject": about.delivery(),
        "time": event.at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "cluster": cluster,
            "namespace": namespace,
            "name": name,
            "severity": about.severity(),
            "progressing": event.progressing,
            "reason": event.reason,
            "message": event.message,
            "ends": event.ends,
            "digest": event.digest,
            "version": event.version,
            "source": source,
            "text": text(spec.template.as_deref(), about)?,
        },
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json; charset=utf-8"));
    if let Some(token) = &access.token {
        bearer(&mut headers, token)?;
    }
    let body = value.to_string().into_bytes();
    if let Some(key) = &access.hmac_key {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret()), &body);
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let value = HeaderValue::from_str(&format!("sha256={hex}")).map_err(|_| Unfit::Token)?;
        headers.insert(SIGNATURE, value);
    }
    Ok(Post { url: address(spec, access)?, headers, body })
}
