//! Spans as OTLP 1.x has them in JSON: ids in hexadecimal, 64-bit numbers as texts, enumerations as numbers. *pure*

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use crate::span::{Kind, Span, Value};

/// No text is longer: a collector refuses what is too large as a whole.
const LONGEST: usize = 1024;

/// Who sends, as attributes of its resource.
pub type Resource = Vec<(String, String)>;

/// The body of a request to `/v1/traces`.
pub fn request(resource: &Resource, spans: &[Span]) -> Json {
    let resource: Vec<Json> =
        resource.iter().map(|(name, value)| attribute(name, &Value::Text(value.clone()))).collect();
    let scope = json!({"name": "sealift", "version": env!("CARGO_PKG_VERSION")});
    let spans: Vec<Json> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"scope": scope, "spans": spans}]}]})
}

fn span(span: &Span) -> Json {
    let Span { name, context, parent, link, kind, began, ended, attributes, error } = span;
    let attributes: Vec<Json> = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut written = json!({
        "traceId": context.trace_id(),
        "spanId": context.span_id(),
        "flags": u8::from(context.is_sampled()),
        "name": name,
        "kind": match kind {
            Kind::Internal => 1,
            Kind::Producer => 4,
            Kind::Consumer => 5,
        },
        "startTimeUnixNano": nanoseconds(*began),
        "endTimeUnixNano": nanoseconds(*ended),
        "attributes": attributes,
    });
    if let Some(parent) = parent {
        written["parentSpanId"] = json!(parent.span_id());
    }
    if let Some(link) = link {
        written["links"] = json!([{"traceId": link.trace_id(), "spanId": link.span_id()}]);
    }
    if let Some(error) = error {
        written["status"] = json!({"code": 2, "message": cut(error)});
    }
    written
}

fn attribute(name: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": cut(text)}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": name, "value": value})
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_span_is_written_as_collectors_read_it() {
        let parent: crate::TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        let began = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001);
        let whole = Span {
            name: "deliver",
            context: parent.child(),
            parent: Some(parent),
            link: None,
            kind: Kind::Consumer,
            began,
            ended: began + Duration::from_secs(1),
            attributes: vec![("sealift.digest", "sha256:00".into()), ("sealift.objects", 3u64.into())],
            error: Some("é".repeat(2 * LONGEST)),
        };
        let body = request(&vec![("service.name".to_owned(), "test".to_owned())], std::slice::from_ref(&whole));
        let resource = &body["resourceSpans"][0];
        let service = json!([{"key": "service.name", "value": {"stringValue": "test"}}]);
        assert_eq!(resource["resource"]["attributes"], service);
        let span = &resource["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            (&span["parentSpanId"], &span["kind"], &span["flags"]),
            (&json!("00f067aa0ba902b7"), &json!(5), &json!(1))
        );
        assert_eq!(span["startTimeUnixNano"], "1700000000000000001");
        assert_eq!(span["endTimeUnixNano"], "1700000001000000001");
        assert_eq!(span["attributes"][1], json!({"key": "sealift.objects", "value": {"intValue": "3"}}));
        assert_eq!(span["status"]["code"], 2);
        assert_eq!(span["status"]["message"].as_str().unwrap().chars().count(), LONGEST);
        assert!(span.get("links").is_none());
        let linked = Span { parent: None, link: Some(parent), error: None, ..whole };
        let body = request(&Vec::new(), &[linked]);
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["links"], json!([{"traceId": parent.trace_id(), "spanId": parent.span_id()}]));
        assert!(span.get("parentSpanId").is_none() && span.get("status").is_none());
    }
}
