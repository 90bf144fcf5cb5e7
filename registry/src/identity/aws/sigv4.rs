//! AWS Signature Version 4, for requests to a service's root.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use reqwest::Url;
use sealift_verify::digest::Digest;
use secrecy::{ExposeSecret, SecretString};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The keys of a role.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) key: SecretString,
    pub(super) session: Option<SecretString>,
}

/// What is signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    /// In lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// The headers to send beside those of the request: the time, the session and the signature.
pub(super) fn sign(
    request: &Request<'_>,
    keys: &Keys,
    region: &str,
    service: &str,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut added = vec![("x-amz-date", time.clone())];
    if let Some(session) = &keys.session {
        added.push(("x-amz-security-token", session.expose_secret().to_owned()));
    }
    let mut headers: Vec<(&str, &str)> = request.headers.to_vec();
    let host = host(request.url);
    headers.push(("host", &host));
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let body = Digest::of(request.body).hex();
    let canonical =
        format!("{}\n{}\n{}\n{lines}\n{names}\n{body}", request.method, request.url.path(), query(request.url));
    let (day, _) = time.split_at(8);
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{}", Digest::of(canonical.as_bytes()).hex());
    let first = format!("AWS4{}", keys.key.expose_secret());
    let key = [day, region, service, "aws4_request"]
        .iter()
        .fold(first.into_bytes(), |key, part| mac(&key, part.as_bytes()).as_ref().to_vec());
    let signature = mac(&key, text.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let authorization =
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id);
    added.push(("authorization", authorization));
    added
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

/// The `Host` header that goes with a URL.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The query in order, each part encoded as RFC 3986 has it.
fn query(url: &Url) -> String {
    let mut parts: Vec<_> = url.query_pairs().map(|(key, value)| (encoded(&key), encoded(&value))).collect();
    parts.sort();
    parts.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test suite of the algorithm, as far as requests to the root go.
    #[test]
    fn signs_as_the_published_test_suite_has_it() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let session = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        for (case, method, url, headers, body, token, signature) in [
            (
                "get-vanilla",
                "GET",
                "/",
                &[][..],
                "",
                None,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                "POST",
                "/",
                &[],
                "",
                None,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/?Param2=value2&Param1=value1",
                &[],
                "",
                None,
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                "/",
                &[form],
                "Param1=value1",
                None,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                "POST",
                "/",
                &[],
                "",
                Some(session),
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let keys = Keys {
                id: "AKIDEXAMPLE".to_owned(),
                key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
                session: token.map(Into::into),
            };
            let url = Url::parse(&format!("https://example.amazonaws.com{url}")).unwrap();
            let request = Request { method, url: &url, headers, body: body.as_bytes() };
            let signed = sign(&request, &keys, "us-east-1", "service", "2015-08-30T12:36:00Z".parse().unwrap());
            let authorization = &signed.last().unwrap().1;
            let start =
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=";
            assert!(authorization.starts_with(start), "{case}: {authorization}");
            assert_eq!(authorization.rsplit('=').next(), Some(signature), "{case}");
            assert!(!format!("{keys:?}").contains("wJalr"), "{case}");
        }
    }
}
