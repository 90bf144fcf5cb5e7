//! Answers in pages: a bounded body and the `Link` to the next one.

use bytes::Bytes;
use reqwest::{Url, header};

use super::{
    Client, ClientError, Fault, Refusal,
    send::{Call, bounded},
};

/// One page of an answer.
pub(crate) struct Page {
    pub(crate) body: Bytes,
    pub(crate) media_type: String,
    pub(crate) next: Option<Url>,
}

impl Client {
    /// Fetches one page. The next one is on this registry or nowhere: the request for it carries credentials.
    pub(crate) async fn page(&self, call: &Call) -> Result<Page, ClientError> {
        self.retry(|| async {
            let response = self.send(call).await?;
            let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            let media_type = text(header::CONTENT_TYPE).unwrap_or_default();
            let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let next = match text(header::LINK).and_then(next_link) {
                None => None,
                Some(link) => {
                    let url = call.url.join(link).ok().filter(|url| *url != call.url);
                    Some(url.ok_or_else(|| ClientError::protocol(call.at.clone(), Fault::Link))?)
                }
            };
            if next.as_ref().is_some_and(|next| next.origin() != self.base.origin()) {
                return Err(ClientError::refused(call.at.clone(), Refusal::OtherRegistry));
            }
            Ok(Page { body: bounded(response, self.limits.manifest, &call.at).await?, media_type, next })
        })
        .await
    }
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        let (parameters, following) = after.find('<').map_or((after, ""), |at| after.split_at(at));
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
        };
        if parameters.split(';').any(is_next) {
            return Some(target);
        }
        rest = following;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::next_link;

    #[test]
    fn finds_the_next_page_among_links() {
        for (header, target) in [
            (r#"</v2/a/tags/list?n=1&last=b>; rel="next""#, Some("/v2/a/tags/list?n=1&last=b")),
            (r#"</x,y>; rel=next"#, Some("/x,y")),
            (r#"</first>; rel="first", </second>; title="t"; rel="next""#, Some("/second")),
            (r#"</first>; rel="prev""#, None),
            ("", None),
            ("<broken", None),
        ] {
            assert_eq!(next_link(header), target, "{header}");
        }
    }
}
