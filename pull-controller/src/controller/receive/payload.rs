//! What each sort of sender says, as repositories and tags: one row of a table each. *pure*

use sealift_apply::api::ReceiverType;
use serde_json::Value;

/// More than so many repositories and tags are not heard of at once.
const MOST: usize = 256;

/// Something that moved, as the sender calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// The path of a repository, or its whole name.
    pub(super) repository: String,
    /// The tag, if it is known.
    pub(super) tag: Option<String>,
}

/// It is no JSON, or not as this sort of sender writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not what this type of receiver is sent")]
pub(super) struct Unreadable;

/// What moved; nothing where the sender speaks of something else, such as a deletion. An empty body says that anything may
/// have, where the sender is one that says what it likes.
pub(super) fn moved(kind: ReceiverType, body: &[u8]) -> Result<Heard, Unreadable> {
    let is_generic = matches!(kind, ReceiverType::GenericHmac | ReceiverType::GenericOidc);
    if is_generic && body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Heard::Anything);
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| Unreadable)?;
    let row = match kind {
        ReceiverType::GenericHmac | ReceiverType::GenericOidc => generic,
        ReceiverType::Distribution => distribution,
        ReceiverType::Harbor => harbor,
        ReceiverType::Github => github,
        ReceiverType::Quay => quay,
        ReceiverType::Acr => acr,
    };
    let mut moved = row(&body).ok_or(Unreadable)?;
    moved.retain(|moved| !moved.repository.is_empty());
    moved.truncate(MOST);
    moved.dedup();
    Ok(Heard::These(moved))
}

/// What a sender says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Anything that the receiver is for may have moved.
    Anything,
    /// These have.
    These(Vec<Moved>),
}

impl Heard {
    /// Each repository and tag that is meant; any may be where none is named.
    pub(super) fn each(&self) -> Vec<(Option<&str>, Option<&str>)> {
        match self {
            Self::Anything => vec![(None, None)],
            Self::These(these) => these.iter().map(|moved| (Some(&*moved.repository), moved.tag.as_deref())).collect(),
        }
    }
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

fn one(value: &Value, repository: &str, tag: &str) -> Option<Moved> {
    let tag = text(value, tag).filter(|tag| !tag.is_empty());
    Some(Moved { repository: text(value, repository)?, tag })
}

/// `{"repository": "registry.example/acme/shop", "tag": "prod"}`, or a list of these.
fn generic(body: &Value) -> Option<Vec<Moved>> {
    match body {
        Value::Array(items) => items.iter().map(|item| one(item, "/repository", "/tag")).collect(),
        item => Some(vec![one(item, "/repository", "/tag")?]),
    }
}

/// An envelope of events; what is pushed without a tag is content for a tag that comes.
fn distribution(body: &Value) -> Option<Vec<Moved>> {
    let events = body.get("events")?.as_array()?;
    let pushed = events.iter().filter(|event| event["action"] == "push");
    Some(
        pushed
            .filter_map(|event| one(event, "/target/repository", "/target/tag"))
            .filter(|moved| moved.tag.is_some())
            .collect(),
    )
}

fn harbor(body: &Value) -> Option<Vec<Moved>> {
    let kind = body.get("type")?.as_str()?;
    if !["PUSH_ARTIFACT", "REPLICATION", "TAG_RETENTION"].contains(&kind) {
        return Some(Vec::new());
    }
    let data = body.get("event_data")?;
    let repository = text(data, "/repository/repo_full_name")?;
    let tags = data.get("resources").and_then(Value::as_array).into_iter().flatten();
    let moved = tags.map(|resource| Moved { repository: repository.clone(), tag: text(resource, "/tag") });
    Some(moved.collect())
}

/// The events `registry_package` and `package`; a `ping` and others are of no concern.
fn github(body: &Value) -> Option<Vec<Moved>> {
    let package = body.get("registry_package").or_else(|| body.get("package"));
    let Some(package) = package.filter(|_| body.get("action").is_some()) else { return Some(Vec::new()) };
    let namespace = text(package, "/namespace").or_else(|| text(package, "/owner/login"))?;
    let repository = format!("{namespace}/{}", text(package, "/name")?).to_lowercase();
    let tag = text(package, "/package_version/container_metadata/tag/name").filter(|tag| !tag.is_empty());
    Some(vec![Moved { repository, tag }])
}

fn quay(body: &Value) -> Option<Vec<Moved>> {
    let repository = text(body, "/repository")?;
    let tags = body.get("updated_tags")?;
    // Older versions write an object of tags.
    let tags: Vec<String> = match tags {
        Value::Array(tags) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Object(tags) => tags.keys().cloned().collect(),
        _ => return None,
    };
    Some(tags.into_iter().map(|tag| Moved { repository: repository.clone(), tag: Some(tag) }).collect())
}

/// One event as distribution's, without an envelope.
fn acr(body: &Value) -> Option<Vec<Moved>> {
    let action = body.get("action")?.as_str()?;
    match action {
        "push" => Some(vec![one(body, "/target/repository", "/target/tag")?]),
        _ => Some(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(kind: ReceiverType, body: &Value) -> Result<Vec<String>, Unreadable> {
        match moved(kind, body.to_string().as_bytes())? {
            Heard::Anything => Ok(vec!["anything".into()]),
            Heard::These(moved) => {
                let said = |moved: Moved| format!("{}:{}", moved.repository, moved.tag.unwrap_or("*".into()));
                Ok(moved.into_iter().map(said).collect())
            }
        }
    }

    #[test]
    fn each_sender_is_understood_and_what_is_no_push_passed_over() {
        use ReceiverType::{Acr, Distribution, GenericHmac, Github, Harbor, Quay};
        let pushed = |tag: Value| json!({"action": "push", "target": {"repository": "acme/shop", "tag": tag}});
        let resource =
            |tag: &str| json!({"digest": "sha256:1", "tag": tag, "resource_url": "harbor.example/acme/shop:1"});
        let harbor = |kind: &str| {
            json!({"type": kind, "event_data": {"resources": [resource("1"), resource("2")],
            "repository": {"name": "shop", "namespace": "acme", "repo_full_name": "acme/shop"}}})
        };
        let package = json!({"name": "Shop", "namespace": "Acme", "package_type": "CONTAINER",
            "package_version": {"container_metadata": {"tag": {"name": "prod", "digest": "sha256:1"}}}});
        for (kind, body, wanted) in [
            (GenericHmac, json!({"repository": "a.example/b", "tag": "c"}), Some(&["a.example/b:c"][..])),
            (GenericHmac, json!([{"repository": "b"}, {"repository": "c", "tag": ""}]), Some(&["b:*", "c:*"])),
            (GenericHmac, json!({"tag": "c"}), None),
            (GenericHmac, json!("text"), None),
            (Distribution, json!({"events": [pushed(json!("prod")), pushed(Value::Null)]}), Some(&["acme/shop:prod"])),
            (
                Distribution,
                json!({"events": [{"action": "pull", "target": {"repository": "a", "tag": "b"}}]}),
                Some(&[]),
            ),
            (Distribution, json!({}), None),
            (Harbor, harbor("PUSH_ARTIFACT"), Some(&["acme/shop:1", "acme/shop:2"])),
            (Harbor, harbor("SCANNING_COMPLETED"), Some(&[])),
            (Github, json!({"action": "published", "registry_package": package}), Some(&["acme/shop:prod"])),
            (Github, json!({"zen": "Keep it simple", "hook_id": 1}), Some(&[])),
            (
                Quay,
                json!({"repository": "acme/shop", "updated_tags": ["1", "2"]}),
                Some(&["acme/shop:1", "acme/shop:2"]),
            ),
            (Quay, json!({"repository": "acme/shop", "updated_tags": {"1": "x"}}), Some(&["acme/shop:1"])),
            (Quay, json!({"repository": "acme/shop"}), None),
            (Acr, json!({"action": "push", "target": {"repository": "shop", "tag": "1"}}), Some(&["shop:1"])),
            (Acr, json!({"action": "delete", "target": {"repository": "shop"}}), Some(&[])),
        ] {
            let found = heard(kind, &body);
            assert_eq!(
                found.as_ref().ok().map(|found| found.iter().map(String::as_str).collect()),
                wanted.map(<[_]>::to_vec),
                "{body}"
            );
        }
        assert_eq!(moved(GenericHmac, b" \n"), Ok(Heard::Anything));
        assert_eq!(moved(Distribution, b""), Err(Unreadable));
        let many: Vec<_> = (0..1000).map(|n| json!({"repository": format!("r{n}")})).collect();
        assert_eq!(heard(GenericHmac, &json!(many)).map(|heard| heard.len()), Ok(MOST));
    }
}
