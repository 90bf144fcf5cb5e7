//! Asking a token service: by GET with a password or as nobody, by POST with an identity token.

use std::time::Duration;

use oci_distribution::token_cache::RegistryToken;
use reqwest::{Method, Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    super::{
        At, Client, ClientError, Credentials, Fault, authority,
        send::{bounded, failure},
    },
    Scope,
};

/// A token answer beyond this is no token.
const LARGEST_TOKEN: u64 = 1 << 20;
/// What the specification says of a token that names no lifetime.
const DEFAULT_LIFETIME: u64 = 60;
/// No token is kept longer, whatever the service claims.
const LONGEST_LIFETIME: u64 = 12 * 60 * 60;

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(flatten)]
    token: RegistryToken,
    expires_in: Option<u64>,
}

impl Client {
    /// Asks the token service. Its address comes from the registry, so the guard judges it like a redirect, and a
    /// redirect of its own is not followed: credentials are in this request.
    pub(super) async fn fetch_token(
        &self,
        credentials: &Credentials,
        scope: &Scope,
        realm: &str,
        service: Option<&str>,
    ) -> Result<(SecretString, Duration), ClientError> {
        let mut url = Url::parse(realm).map_err(|_| {
            let at = At { host: self.host.clone(), repository: scope.repository.clone(), path: "/v2/".to_owned() };
            ClientError::protocol(at, Fault::Redirect)
        })?;
        let at = At { host: authority(&url), repository: scope.repository.clone(), path: url.path().to_owned() };
        let mut question: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        let scopes = scope.texts();
        let refused = |refusal| ClientError::refused(at.clone(), refusal);
        let request = match credentials {
            Credentials::IdentityToken(token) => {
                // OAuth 2 separates scopes by spaces; the older GET repeats the parameter.
                let scope = scopes.join(" ");
                question.extend([
                    ("scope", scope.as_str()),
                    ("grant_type", "refresh_token"),
                    ("client_id", "sealift"),
                    ("refresh_token", token.expose_secret()),
                ]);
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(question).finish();
                let form_type = "application/x-www-form-urlencoded";
                let request = self.transport.request(Method::POST, &url).await.map_err(refused)?;
                request.header(header::CONTENT_TYPE, form_type).body(form)
            }
            other => {
                question.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
                url.query_pairs_mut().extend_pairs(question);
                let request = self.transport.request(Method::GET, &url).await.map_err(refused)?;
                match other {
                    Credentials::Basic { username, password } => {
                        request.basic_auth(username, Some(password.expose_secret()))
                    }
                    _ => request,
                }
            }
        };
        let sent = request.timeout(self.timeouts.request).send().await;
        let response = sent.map_err(|error| ClientError::network(at.clone(), error))?;
        if !response.status().is_success() {
            return Err(token_failure(failure(at, response).await));
        }
        let body = bounded(response, LARGEST_TOKEN, &at).await?;
        let TokenAnswer { token, expires_in } =
            serde_json::from_slice(&body).map_err(|_| ClientError::protocol(at.clone(), Fault::NoToken))?;
        if token.token().is_empty() || !token.token().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ClientError::protocol(at, Fault::NoToken));
        }
        Ok((token.token().into(), lifetime(expires_in)))
    }
}

/// Token services say 400 or 403 for a wrong password too; to the caller all of these are refused credentials.
fn token_failure(error: ClientError) -> ClientError {
    match (error.status(), error) {
        (Some(400), ClientError::Protocol { at, fault }) => match *fault {
            Fault::Status(reply) => ClientError::Unauthorized { at, reply: Box::new(reply) },
            fault => ClientError::Protocol { at, fault: Box::new(fault) },
        },
        (_, ClientError::Forbidden { at, reply }) => ClientError::Unauthorized { at, reply },
        (_, other) => other,
    }
}

/// How long to keep a token: a tenth less than it lasts, so that it does not run out on the way.
fn lifetime(expires_in: Option<u64>) -> Duration {
    let seconds = expires_in.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME);
    Duration::from_secs(seconds) * 9 / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_no_longer_than_it_lasts() {
        assert_eq!(lifetime(Some(300)), Duration::from_secs(270));
        assert_eq!(lifetime(None), Duration::from_secs(54));
        assert_eq!(lifetime(Some(u64::MAX)), Duration::from_secs(LONGEST_LIFETIME) * 9 / 10);
    }

    #[test]
    fn reads_both_names_of_a_token() {
        for body in
            [r#"{"token":"t","expires_in":300}"#, r#"{"access_token":"t"}"#, r#"{"token":"t","access_token":"u"}"#]
        {
            assert_eq!(serde_json::from_str::<TokenAnswer>(body).unwrap().token.token(), "t", "{body}");
        }
        assert!(serde_json::from_str::<TokenAnswer>("{}").is_err());
    }
}
