//! `/v2/<name>/tags/list` and `/v2/<name>/referrers/<digest>`, both in pages.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::{
    content_digest::ContentDigest,
    error::RegistryError,
    service::{Answer, Call, Service},
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(super) async fn tags(service: &Service, call: &Call, name: &str) -> Answer {
    let page = Page::of(call, service.options.page_limit)?;
    let catalogue = service.holdings.catalogue().await;
    let repository = catalogue.get(name).ok_or_else(|| RegistryError::NameUnknown(name.to_owned()))?;
    let (tags, next) = page.cut(repository.tags.keys().map(|tag| (tag.clone(), tag)));
    let mut headers = HeaderMap::new();
    if let Some(last) = next {
        link(&mut headers, &format!("/v2/{name}/tags/list?n={}&last={}", page.size, escaped(&last)));
    }
    Ok((headers, Json(json!({"name": name, "tags": tags}))).into_response())
}

/// The manifests whose subject is `subject`, which need not be there itself.
pub(super) async fn referrers(service: &Service, call: &Call, name: &str, subject: &ContentDigest) -> Answer {
    let page = Page::of(call, service.options.page_limit)?;
    let filter = call.parameter("artifactType");
    let catalogue = service.holdings.catalogue().await;
    let all = catalogue.get(name).into_iter().flat_map(|repository| &repository.manifests);
    let wanted = all
        .filter(|(_, manifest)| manifest.subject.as_ref() == Some(subject))
        .filter(|(_, manifest)| filter.is_none_or(|kind| manifest.artifact_type.as_deref() == Some(kind)))
        .map(|(digest, manifest)| (digest.to_string(), manifest.referrer_descriptor(digest)));
    let (manifests, next): (Vec<Value>, _) = page.cut(wanted);

    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(INDEX));
    if filter.is_some() {
        headers.insert(HeaderName::from_static("oci-filters-applied"), HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = next {
        let filter = filter.map(|kind| format!("&artifactType={}", escaped(kind))).unwrap_or_default();
        let (size, last) = (page.size, escaped(&last));
        link(&mut headers, &format!("/v2/{name}/referrers/{subject}?n={size}&last={last}{filter}"));
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    Ok((headers, index.to_string()).into_response())
}

/// Which part of an ordered list is asked for.
struct Page {
    size: usize,
    last: Option<String>,
}

impl Page {
    fn of(call: &Call, limit: usize) -> Result<Self, RegistryError> {
        let size =
            call.parameter("n").map(|n| n.parse::<usize>().map_err(|_| RegistryError::PageInvalid(n.to_owned())));
        let size = size.transpose()?.unwrap_or(limit).min(limit);
        Ok(Self { size, last: call.parameter("last").map(str::to_owned) })
    }

    /// The page's items, and the key of its last one if more follow. `items` are ordered by their keys.
    fn cut<T>(&self, items: impl Iterator<Item = (String, T)>) -> (Vec<T>, Option<String>) {
        let mut rest = items.filter(|(key, _)| self.last.as_ref().is_none_or(|last| key > last)).peekable();
        let (mut page, mut last_key) = (Vec::new(), None);
        while page.len() < self.size
            && let Some((key, item)) = rest.next()
        {
            page.push(item);
            last_key = Some(key);
        }
        // A page of nothing has no last item to go on from.
        (page, last_key.filter(|_| rest.peek().is_some()))
    }
}

fn link(headers: &mut HeaderMap, target: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("<{target}>; rel=\"next\"")) {
        headers.insert(header::LINK, value);
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_up_to_the_whole_list() {
        let keys = ["a", "b", "c", "d", "e"];
        let items = || keys.iter().map(|key| ((*key).to_owned(), *key));
        let (mut all, mut last) = (Vec::new(), None);
        loop {
            let (page, next) = Page { size: 2, last }.cut(items());
            assert!(page.len() <= 2);
            all.extend(page);
            last = next;
            if last.is_none() {
                break;
            }
        }
        assert_eq!(all, keys);
        assert_eq!(Page { size: 0, last: None }.cut(items()), (vec![], None));
        assert_eq!(Page { size: 5, last: None }.cut(items()).1, None);
    }

    #[test]
    fn escapes_what_a_query_would_read_otherwise() {
        assert_eq!(escaped("application/x+json&a=b"), "application%2Fx%2Bjson%26a%3Db");
    }
}
