//! From a registry's challenge to an `Authorization` header: Basic, Bearer by GET, Bearer by POST for identity tokens.
//! <https://distribution.github.io/distribution/spec/auth/token/>

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use oci_distribution::token_cache::RegistryToken;
use reqwest::{Method, RequestBuilder, Response, Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use super::{
    Client, ClientError, Credentials, Fault,
    send::{Access, bounded, failure},
};

/// A token answer beyond this is no token.
const LARGEST_TOKEN: u64 = 1 << 20;
/// What the specification says of a token that names no lifetime.
const DEFAULT_LIFETIME: u64 = 60;
/// No token is kept longer, whatever the service claims.
const LONGEST_LIFETIME: u64 = 12 * 60 * 60;

/// What a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) repository: String,
    pub(crate) access: Access,
}

impl Scope {
    fn text(&self) -> String {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        format!("repository:{}:{actions}", self.repository)
    }
}

/// What goes into the `Authorization` header.
#[derive(Clone, Debug)]
pub(crate) enum Authorization {
    Basic { username: String, password: SecretString },
    Bearer(SecretString),
}

impl Authorization {
    pub(crate) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic { username, password } => request.basic_auth(username, Some(password.expose_secret())),
            Self::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Basic { username: a, password: b }, Self::Basic { username: c, password: d }) => {
                a == c && b.expose_secret() == d.expose_secret()
            }
            (Self::Bearer(a), Self::Bearer(b)) => a.expose_secret() == b.expose_secret(),
            _ => false,
        }
    }
}

/// How the registry wants to be convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The challenge of a `WWW-Authenticate` header. Bearer is preferred: its tokens are short-lived and narrow.
    fn parse(header: &str) -> Option<Self> {
        let challenges = http_auth::parse_challenges(header).ok()?;
        let bearer = challenges.iter().filter(|c| c.scheme.eq_ignore_ascii_case("bearer")).find_map(|challenge| {
            let param = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            Some(Self::Bearer { realm: param("realm")?, service: param("service") })
        });
        bearer.or_else(|| challenges.iter().any(|c| c.scheme.eq_ignore_ascii_case("basic")).then_some(Self::Basic))
    }
}

#[derive(Debug)]
struct CachedToken {
    token: SecretString,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(flatten)]
    token: RegistryToken,
    expires_in: Option<u64>,
}

/// Holds credentials, the challenge seen last and the tokens obtained.
#[derive(Debug)]
pub(crate) struct Authenticator {
    credentials: Credentials,
    challenge: RwLock<Option<Challenge>>,
    tokens: Mutex<HashMap<Scope, CachedToken>>,
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, challenge: RwLock::new(None), tokens: Mutex::new(HashMap::new()) }
    }

    /// Takes in the challenge of a 401 by the registry itself.
    pub(crate) fn learn(&self, response: &Response) {
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let found: Vec<_> = headers.iter().filter_map(|h| Challenge::parse(h.to_str().ok()?)).collect();
        let bearer = found.iter().find(|challenge| **challenge != Challenge::Basic);
        if let Some(challenge) = bearer.or(found.first()) {
            *self.challenge.write().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        }
    }

    /// True once the registry has said how it wants to be convinced.
    pub(crate) fn is_challenged(&self) -> bool {
        self.challenge.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Client {
    /// What to present for `scope`, other than what was `refused`; `None` if there is nothing (else) to present.
    pub(crate) async fn authorization(
        &self,
        scope: &Scope,
        refused: Option<&Authorization>,
    ) -> Result<Option<Authorization>, ClientError> {
        let credentials = &self.auth.credentials;
        let challenge = self.auth.challenge.read().unwrap_or_else(PoisonError::into_inner).clone();
        let found = match (credentials, challenge) {
            (Credentials::RegistryToken(token), _) => Some(Authorization::Bearer(token.clone())),
            (_, None) => None,
            (Credentials::Basic { username, password }, Some(Challenge::Basic)) => {
                Some(Authorization::Basic { username: username.clone(), password: password.clone() })
            }
            (_, Some(Challenge::Basic)) => None,
            (_, Some(Challenge::Bearer { realm, service })) => {
                Some(Authorization::Bearer(self.token(scope, &realm, service.as_deref(), refused).await?))
            }
        };
        Ok(found.filter(|found| !refused.is_some_and(|refused| refused.is(found))))
    }

    /// The cached token, or a new one. The lock is held while one is fetched, so that many tasks ask once.
    async fn token(
        &self,
        scope: &Scope,
        realm: &str,
        service: Option<&str>,
        refused: Option<&Authorization>,
    ) -> Result<SecretString, ClientError> {
        let mut tokens = self.auth.tokens.lock().await;
        let now = Instant::now();
        tokens.retain(|_, cached| cached.until > now);
        if let Some(cached) = tokens.get(scope)
            && !refused.is_some_and(|refused| refused.is(&Authorization::Bearer(cached.token.clone())))
        {
            return Ok(cached.token.clone());
        }
        let (token, lifetime) = self.fetch_token(scope, realm, service).await?;
        tokens.insert(scope.clone(), CachedToken { token: token.clone(), until: now + lifetime });
        Ok(token)
    }

    /// Asks the token service. Its address comes from the registry, so the guard judges it like a redirect, and a
    /// redirect of its own is not followed: credentials are in this request.
    async fn fetch_token(
        &self,
        scope: &Scope,
        realm: &str,
        service: Option<&str>,
    ) -> Result<(SecretString, Duration), ClientError> {
        let mut url = Url::parse(realm).map_err(|_| {
            let at =
                super::At { host: self.host.clone(), repository: scope.repository.clone(), path: "/v2/".to_owned() };
            ClientError::protocol(at, Fault::Redirect)
        })?;
        let at = super::At {
            host: super::authority(&url),
            repository: scope.repository.clone(),
            path: url.path().to_owned(),
        };
        self.guard.check(&url).map_err(|refusal| ClientError::refused(at.clone(), refusal))?;
        let scope = scope.text();
        let mut question: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        question.push(("scope", &scope));
        let request = match &self.auth.credentials {
            Credentials::IdentityToken(token) => {
                question.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "sealift"),
                    ("refresh_token", token.expose_secret()),
                ]);
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(question).finish();
                let form_type = "application/x-www-form-urlencoded";
                self.http.request(Method::POST, url).header(header::CONTENT_TYPE, form_type).body(form)
            }
            other => {
                url.query_pairs_mut().extend_pairs(question);
                let request = self.http.get(url);
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
        let body = bounded(response, LARGEST_TOKEN, &at, None).await?;
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
    fn reads_the_challenges_registries_send() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (header, challenge) in [
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                bearer("https://auth.example/token", Some("registry.example")),
            ),
            (r#"bearer realm="https://auth.example/t?a=b,c""#, bearer("https://auth.example/t?a=b,c", None)),
            (r#"Basic realm="registry""#, Some(Challenge::Basic)),
            (r#"Basic realm="x", Bearer realm="https://a.example/t""#, bearer("https://a.example/t", None)),
            (r#"Bearer service="no realm""#, None),
            (r#"Negotiate"#, None),
            ("\"", None),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
    }

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
