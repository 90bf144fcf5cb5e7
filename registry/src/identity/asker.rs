//! Questions to a cloud's services: small, bounded, without redirects, and asked again where that makes sense.

use std::{future::Future, net::IpAddr, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use reqwest::{ClientBuilder, Method, RequestBuilder, Response, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::IdentityError;
use crate::client::{Detour, Proxies, SetupError, certificates};

/// An answer beyond this holds no credentials.
const LARGEST: usize = 256 << 10;
/// How much of a service's own words is shown.
const LONGEST: usize = 300;
const CONNECT: Duration = Duration::from_secs(5);
const TIME: Duration = Duration::from_secs(20);

/// Asks the services that the platform names.
#[derive(Debug)]
pub(super) struct Asker {
    direct: reqwest::Client,
    detour: Option<(Detour, reqwest::Client)>,
}

impl Asker {
    pub(super) fn new(extra_ca_pem: Option<&[u8]>, proxies: &Proxies) -> Result<Self, SetupError> {
        let certificates = extra_ca_pem.map(certificates).transpose()?;
        let builder = || {
            let builder = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).timeout(TIME);
            let builder = builder.redirect(redirect::Policy::none());
            match certificates.clone() {
                Some(certificates) => builder.tls_certs_merge(certificates),
                None => builder,
            }
        };
        let detour = Detour::new(proxies)?.map(|detour| {
            let client = detour.proxies().fold(builder(), ClientBuilder::proxy).build();
            client.map(|client| (detour, client)).map_err(SetupError::Http)
        });
        Ok(Self { direct: builder().build().map_err(SetupError::Http)?, detour: detour.transpose()? })
    }

    /// A request; what is local, as metadata services are, is asked directly.
    pub(super) fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let client = match &self.detour {
            Some((detour, client)) if !is_local(url) && detour.takes(url) => client,
            _ => &self.direct,
        };
        client.request(method, url.clone())
    }
}

/// True for this machine, this link, and the name of Google's metadata service.
pub(super) fn is_local(url: &Url) -> bool {
    let address: Option<IpAddr> = match url.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        Some(url::Host::Domain(name)) => return ["localhost", "metadata.google.internal"].contains(&name),
        None => None,
    };
    address.is_some_and(|address| match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        // fd00:ec2:: is where EKS and EC2 have theirs.
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.segments()[..2] == [0xfd00, 0x0ec2],
    })
}

/// An endpoint that a variable names. Secrets go there, so it is TLS, or local.
pub(super) fn endpoint(what: &str, text: &str) -> Result<Url, IdentityError> {
    let fine = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_local(url));
    Url::parse(text)
        .ok()
        .filter(|url| fine(url) && url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| IdentityError::Unusable { what: what.to_owned() })
}

/// Asks up to three times.
pub(super) async fn asked<T, F>(ask: impl Fn() -> F) -> Result<T, IdentityError>
where
    F: Future<Output = Result<T, IdentityError>>,
{
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(200)).with_max_times(2).with_jitter();
    ask.retry(pauses).when(IdentityError::is_transient).await
}

/// The body of a success.
pub(super) async fn answer(service: &'static str, request: RequestBuilder) -> Result<Bytes, IdentityError> {
    let sent = request.send().await;
    let response = sent.map_err(|source| IdentityError::Unreachable { service, source: source.without_url() })?;
    let status = response.status();
    let body = bounded(service, response).await?;
    if status.is_success() {
        return Ok(body);
    }
    Err(IdentityError::Refused { service, status: status.as_u16(), said: said(&body) })
}

/// The JSON of a success.
pub(super) async fn json<T: DeserializeOwned>(
    service: &'static str,
    request: RequestBuilder,
) -> Result<T, IdentityError> {
    let body = answer(service, request).await?;
    // The parser's own words may quote what is secret.
    serde_json::from_slice(&body).map_err(|_| IdentityError::Answer { service })
}

async fn bounded(service: &'static str, mut response: Response) -> Result<Bytes, IdentityError> {
    let mut body = Vec::new();
    let unreachable = |source: reqwest::Error| IdentityError::Unreachable { service, source: source.without_url() };
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > LARGEST {
            return Err(IdentityError::Answer { service });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

/// What a refusal says, of which these services have several forms.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let fields =
                ["/error_description", "/error/message", "/errors/0/message", "/message", "/Message", "/error"];
            fields.iter().find_map(|field| value.pointer(field)?.as_str()).unwrap_or_default().to_owned()
        }
        Err(_) => element(&text, "Message").unwrap_or_default().to_owned(),
    };
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

/// The text of the one element of this name. AWS's older services answer in XML of a fixed form; what is read from it is
/// never more than letters, digits and `+/=-:`, so there is nothing to unescape.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, after) = rest.split_once(&format!("</{name}>"))?;
    (!after.contains(&format!("<{name}>"))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_tls_or_nowhere_far() {
        for (text, is_fine) in [
            ("https://sts.eu-west-1.amazonaws.com/", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:8080/", true),
            ("http://metadata.google.internal/", true),
            ("http://sts.example/", false),
            ("http://10.0.0.1/", false),
            ("https://me:pw@sts.example/", false),
            ("sts.example", false),
        ] {
            assert_eq!(endpoint("it", text).is_ok(), is_fine, "{text}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_service() {
        for (body, words) in [
            (r#"{"error":"invalid_grant","error_description":"AADSTS70021: no\nmatch"}"#, "AADSTS70021: no match"),
            (r#"{"error":{"message":"Permission denied"}}"#, "Permission denied"),
            (r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, "no"),
            ("<ErrorResponse><Error><Message>Not authorized</Message></Error></ErrorResponse>", "Not authorized"),
            ("<html>", ""),
        ] {
            assert_eq!(said(body.as_bytes()), words);
        }
        assert_eq!(element("<A>x</A><A>y</A>", "A"), None);
    }
}
