//! Handing a request to the registry behind, and damaging the answer.

use std::io;

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, Method, Response},
};
use futures::{StreamExt, stream};

use super::{
    Referrers, Seen, Shared, What, complain,
    gate::{Granted, form_of},
    locked, reply,
};

/// Headers that are about one connection.
const HOP: [&str; 5] = ["host", "connection", "authorization", "content-length", "transfer-encoding"];

impl Shared {
    pub(super) async fn forward(
        &self,
        seen: &Seen,
        body: Bytes,
        what: Option<What>,
        granted: &Granted,
    ) -> Response<Body> {
        if let Some(answer) = self.referrers(seen).await {
            return answer;
        }
        if let Some(What::CutUpload(most)) = what {
            // That much gets through, as the beginning of a chunk.
            let part = body.slice(..most.min(body.len()));
            let path = format!("{}?{}", seen.path, seen.query);
            let _ = self.upstream(Method::PATCH, &path, &[], part).await;
            return complain(502, "UNKNOWN", "upstream went away");
        }
        let query = match form_of(seen.query.as_bytes()).into_iter().find(|(key, _)| key == "from") {
            // Whoever may not read there is not told what is there.
            Some((_, from)) if !granted.may(&from, "pull") => String::new(),
            _ => seen.query.clone(),
        };
        let path = if query.is_empty() { seen.path.clone() } else { format!("{}?{query}", seen.path) };
        let headers: Vec<_> = seen
            .headers
            .iter()
            .filter(|(name, _)| !HOP.contains(&name.as_str()))
            .filter(|(name, _)| !(matches!(what, Some(What::Whole)) && name.as_str() == "range"))
            .filter_map(|(name, value)| Some((name.clone(), value.to_str().ok()?.to_owned())))
            .collect();
        let Some(answer) = self.upstream(seen.method.clone(), &path, &headers, body).await else {
            return complain(502, "UNKNOWN", "upstream went away");
        };
        let lacks = match what {
            Some(What::Without(name)) => Some(name),
            _ => None,
        };
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            let is_late = name == "oci-subject" && self.is_late(seen);
            if lacks != Some(name.as_str()) && !is_late && !["connection", "transfer-encoding"].contains(&name.as_str())
            {
                response = response.header(name, value);
            }
        }
        let body = match what {
            Some(What::Cut(most)) => {
                let whole = answer.bytes().await.unwrap_or_default();
                let part = whole.slice(..most.min(whole.len()));
                // The part has to be on its way before the end: an error at once would take it along.
                let late_end = stream::once(async {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    Err(io::Error::other("cut"))
                });
                Body::from_stream(stream::once(async { Ok(part) }).chain(late_end))
            }
            _ if seen.method == Method::HEAD => Body::empty(),
            _ => Body::from_stream(answer.bytes_stream()),
        };
        response.body(body).expect("headers of a registry")
    }

    /// What a registry with another idea of referrers says.
    async fn referrers(&self, seen: &Seen) -> Option<Response<Body>> {
        if !seen.path.contains("/referrers/") {
            return None;
        }
        let nothing = || {
            let kind = "application/vnd.oci.image.index.v1+json";
            let body = format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[]}}"#);
            reply(200, &[("content-type", kind), ("oci-filters-applied", "artifactType")], body)
        };
        match self.behaviour.referrers {
            Referrers::WrongFilter if seen.query.contains("artifactType") => Some(nothing()),
            Referrers::Late(_) => self.late_list(seen).await,
            Referrers::Kept | Referrers::Missing | Referrers::WrongFilter => None,
        }
    }

    /// True for what is pushed before the API is there; it stays hidden from it.
    fn is_late(&self, seen: &Seen) -> bool {
        let Referrers::Late(most) = self.behaviour.referrers else { return false };
        let mut hidden = locked(&self.hidden);
        let is_late = hidden.len() < most;
        if is_late {
            hidden.extend(seen.path.rsplit('/').next().map(str::to_owned));
        }
        is_late
    }

    /// The list of an API that came late.
    async fn late_list(&self, seen: &Seen) -> Option<Response<Body>> {
        let Referrers::Late(most) = self.behaviour.referrers else { return None };
        let hidden = locked(&self.hidden).clone();
        if hidden.len() < most {
            return Some(complain(404, "NOT_FOUND", "page not found"));
        }
        let answer = self.upstream(Method::GET, &seen.path, &[], Bytes::new()).await?;
        let mut index: serde_json::Value = answer.json().await.ok()?;
        index["manifests"]
            .as_array_mut()?
            .retain(|entry| !hidden.iter().any(|digest| entry["digest"] == digest.as_str()));
        Some(reply(200, &[("content-type", "application/vnd.oci.image.index.v1+json")], index.to_string()))
    }

    async fn upstream(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, String)],
        body: Bytes,
    ) -> Option<reqwest::Response> {
        let url = format!("http://{}{path}", self.upstream);
        let request =
            headers.iter().fold(self.http.request(method, url), |request, (name, value)| request.header(name, value));
        request.body(body).send().await.ok()
    }
}
