//! From a registry's challenge to an `Authorization` header: Basic, Bearer by GET, Bearer by POST for identity tokens.
//! <https://distribution.github.io/distribution/spec/auth/token/>

mod challenge;
mod token;

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::Instant};

use self::challenge::Challenge;
use super::{Client, ClientError, Credentials, send::Access};

/// Challenges and tokens of more repositories than this are not kept.
const MOST_REPOSITORIES: usize = 4_096;

/// What a token is asked for; an empty repository stands for none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) repository: String,
    pub(crate) access: Access,
    /// Another repository that is read from, where a blob is mounted.
    pub(crate) source: Option<String>,
}

impl Scope {
    fn texts(&self) -> Vec<String> {
        let Self { repository, access, source } = self;
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let own = (!repository.is_empty()).then(|| format!("repository:{repository}:{actions}"));
        own.into_iter().chain(source.iter().map(|source| format!("repository:{source}:pull"))).collect()
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

#[derive(Debug)]
struct CachedToken {
    token: SecretString,
    until: Instant,
}

/// Holds credentials, the challenges seen last and the tokens obtained.
#[derive(Debug)]
pub(crate) struct Authenticator {
    credentials: Credentials,
    /// By repository: Artifactory has a token service for each of its own repositories.
    challenges: RwLock<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<Scope, CachedToken>>,
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, challenges: RwLock::default(), tokens: Mutex::default() }
    }

    /// Takes in the challenge of a 401 by the registry itself about a repository.
    pub(crate) fn learn(&self, repository: &str, response: &Response) {
        let Some(challenge) = Challenge::of(response) else { return };
        let mut challenges = self.challenges.write().unwrap_or_else(PoisonError::into_inner);
        if challenges.len() >= MOST_REPOSITORIES {
            challenges.clear();
        }
        challenges.insert(repository.to_owned(), challenge);
    }

    /// True once the registry has said how it wants to be convinced about a repository.
    pub(crate) fn is_challenged(&self, repository: &str) -> bool {
        self.challenge(repository).is_some()
    }

    fn challenge(&self, repository: &str) -> Option<Challenge> {
        self.challenges.read().unwrap_or_else(PoisonError::into_inner).get(repository).cloned()
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
        let found = match (credentials, self.auth.challenge(&scope.repository)) {
            (Credentials::RegistryToken(token), _) => Some(Authorization::Bearer(token.clone())),
            (_, None) => None,
            (Credentials::Basic { username, password }, Some(Challenge::Basic)) => {
                Some(Authorization::Basic { username: username.clone(), password: password.clone() })
            }
            (_, Some(Challenge::Basic)) => None,
            (credentials, Some(Challenge::Bearer { realm, service })) => {
                let token = self.token(credentials, scope, &realm, service.as_deref(), refused).await?;
                Some(Authorization::Bearer(token))
            }
        };
        Ok(found.filter(|found| !refused.is_some_and(|refused| refused.is(found))))
    }

    /// The cached token, or a new one. The lock is held while one is fetched, so that many tasks ask once.
    async fn token(
        &self,
        credentials: &Credentials,
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
        let (token, lifetime) = self.fetch_token(credentials, scope, realm, service).await?;
        if tokens.len() >= MOST_REPOSITORIES {
            tokens.clear();
        }
        tokens.insert(scope.clone(), CachedToken { token: token.clone(), until: now + lifetime });
        Ok(token)
    }
}
