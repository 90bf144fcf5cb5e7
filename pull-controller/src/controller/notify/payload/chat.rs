//! Text for people: Slack, Teams, and the time line of Grafana. *pure*

use http::HeaderMap;
use sealift_apply::api::{NotificationSpec, Severity};
use serde_json::json as value;

use super::{
    super::template::text,
    {About, Access, Post, Unfit, address, bearer, below, json, token},
};

pub(super) fn slack(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    // What a release says must not become a link, or call a whole channel.
    let text = text(spec.template.as_deref(), about)?;
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Ok(json(address(spec, access)?, HeaderMap::new(), &value!({"text": format!("{} {text}", sign(about))})))
}

pub(super) fn teams(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let facts = [
        ("Cluster", about.cluster.to_owned()),
        ("Delivery", about.delivery()),
        ("Reason", about.event.reason.clone()),
        ("Artifact", about.event.digest.map(|digest| digest.to_string()).unwrap_or_default()),
    ];
    let facts: Vec<_> = facts
        .into_iter()
        .filter(|(_, fact)| !fact.is_empty())
        .map(|(title, fact)| value!({"title": title, "value": fact}))
        .collect();
    let colour = if about.event.severity == Severity::Error { "attention" } else { "good" };
    // A text run is shown as it is; a text block would read Markdown, and with it links, in what a release says.
    let run = value!({"type": "TextRun", "text": text(spec.template.as_deref(), about)?, "color": colour});
    let card = value!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "RichTextBlock", "inlines": [run]}, {"type": "FactSet", "facts": facts}],
    });
    let attachment = value!({"contentType": "application/vnd.microsoft.card.adaptive", "content": card});
    let message = value!({"type": "message", "attachments": [attachment]});
    Ok(json(address(spec, access)?, HeaderMap::new(), &message))
}

pub(super) fn grafana(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let mut headers = HeaderMap::new();
    bearer(&mut headers, token(access)?)?;
    let tags = [
        "sealift".to_owned(),
        format!("cluster:{}", about.cluster),
        format!("namespace:{}", about.namespace),
        format!("delivery:{}", about.name),
        format!("reason:{}", about.event.reason),
    ];
    let note = value!({
        "time": about.event.at.as_millisecond(),
        "tags": tags,
        "text": escaped(&text(spec.template.as_deref(), about)?),
    });
    Ok(json(below(address(spec, access)?, "/api/annotations"), headers, &note))
}

/// Annotations are shown as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn sign(about: &About<'_>) -> &'static str {
    match (about.event.severity, &about.event.ends) {
        (Severity::Error, _) => ":red_circle:",
        (Severity::Info, Some(_)) => ":large_green_circle:",
        (Severity::Info, None) if about.event.progressing => ":hourglass_flowing_sand:",
        (Severity::Info, None) => ":white_check_mark:",
    }
}
