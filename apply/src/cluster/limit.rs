//! How long a call may take, here and at the server. *pure*
//!
//! A write under a permit must not take effect after it: the API server is told to give it up before (`timeout`, which it
//! keeps to for every request that is no watch). Otherwise what waits at a webhook could land when another replica has
//! taken over. The server has a tenth less than is waited for, so that what was not answered was given up.

use std::time::Duration;

use http::{Method, Request, Uri};

use super::ClusterError;
use crate::permit::Left;

/// The request as it is to be sent, and how long its answer is waited for.
pub(super) fn of(
    mut request: Request<Vec<u8>>,
    left: Left,
    most: Duration,
) -> Result<(Request<Vec<u8>>, Duration), ClusterError> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok((request, most));
    }
    let limit = match left {
        Left::Unlimited => return Ok((request, most)),
        Left::Nothing => return Err(ClusterError::NoPermit),
        Left::For(left) => left.min(most),
    };
    let uri = with_timeout(request.uri(), limit * 9 / 10);
    *request.uri_mut() = uri.map_err(|source| ClusterError::Request { source: Box::new(source) })?;
    Ok((request, limit))
}

fn with_timeout(uri: &Uri, limit: Duration) -> Result<Uri, http::uri::InvalidUri> {
    let text = uri.to_string();
    let separator = match uri.query() {
        None => "?",
        Some(query) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{text}{separator}timeout={}ms", limit.as_millis()).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_takes_no_longer_than_the_permit_and_a_read_is_not_its_matter() {
        let (most, second) = (Duration::from_secs(40), Duration::from_secs(1));
        let of = |method: Method, uri: &str, left| {
            let request = Request::builder().method(method).uri(uri).body(Vec::new()).unwrap();
            of(request, left, most).map(|(request, limit)| (request.uri().to_string(), limit.as_secs())).ok()
        };
        let written = |uri: &str, limit| Some((uri.to_owned(), limit));
        for (method, uri, left, expected) in [
            (Method::PATCH, "/a", Left::Unlimited, written("/a", 40)),
            (Method::PATCH, "/a?force=true", Left::For(3 * second), written("/a?force=true&timeout=2700ms", 3)),
            (Method::PATCH, "/a?force=true&", Left::For(3 * second), written("/a?force=true&timeout=2700ms", 3)),
            (Method::POST, "/a", Left::For(3 * second), written("/a?timeout=2700ms", 3)),
            (Method::PUT, "/a?", Left::For(90 * second), written("/a?timeout=36000ms", 40)),
            (Method::DELETE, "/a", Left::Nothing, None),
            (Method::GET, "/a", Left::Nothing, written("/a", 40)),
        ] {
            assert_eq!(of(method.clone(), uri, left), expected, "{method} {uri}");
        }
    }
}
