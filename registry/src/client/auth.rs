//! From a registry's challenge to an `Authorization` header: Basic, Bearer by GET, Bearer by POST for identity tokens.
//! <https://distribution.github.io/distribution/spec/auth/token/>

mod challenge;
mod token;

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::Instant};

use self::challenge::Challenge;
use super::{At, Client, ClientError, Credentials, send::Access};
use crate::identity::Minted;

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

/// Credentials by workload identity younger than this are not the reason of a refusal.
const YOUNG: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Held {
    credentials: Credentials,
    since: Instant,
    until: Instant,
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
    /// What the identity was last turned into.
    held: Mutex<Option<Held>>,
    /// By repository: Artifactory has a token service for each of its own repositories.
    challenges: RwLock<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<Scope, CachedToken>>,
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, held: Mutex::default(), challenges: RwLock::default(), tokens: Mutex::default() }
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
        let found = match (&self.auth.credentials, self.auth.challenge(&scope.repository)) {
            (Credentials::RegistryToken(token), _) => Some(Authorization::Bearer(token.clone())),
            (_, None) => None,
            (_, Some(challenge)) => {
                let credentials = self.credentials(scope, refused.is_some()).await?;
                match (credentials, challenge) {
                    (Credentials::Basic { username, password }, Challenge::Basic) => {
                        Some(Authorization::Basic { username, password })
                    }
                    (_, Challenge::Basic) => None,
                    (credentials, Challenge::Bearer { realm, service }) => {
                        let token = self.token(&credentials, scope, &realm, service.as_deref(), refused).await?;
                        Some(Authorization::Bearer(token))
                    }
                }
            }
        };
        Ok(found.filter(|found| !refused.is_some_and(|refused| refused.is(found))))
    }

    /// The credentials, or what the identity is turned into. The lock is held while the cloud is asked, so that many
    /// tasks ask once.
    async fn credentials(&self, scope: &Scope, is_refused: bool) -> Result<Credentials, ClientError> {
        let Credentials::Workload(identity) = &self.auth.credentials else { return Ok(self.auth.credentials.clone()) };
        let mut held = self.auth.held.lock().await;
        let now = Instant::now();
        if let Some(Held { credentials, since, until }) = held.as_ref()
            && now < *until
            && !(is_refused && *since + YOUNG < now)
        {
            return Ok(credentials.clone());
        }
        let at = At { host: self.host.clone(), repository: scope.repository.clone(), path: "/v2/".to_owned() };
        let minted = identity.credentials(self).await;
        let Minted { credentials, lifetime } =
            minted.map_err(|source| ClientError::Identity { at: Box::new(at), source: Box::new(source) })?;
        *held = Some(Held { credentials: credentials.clone(), since: now, until: now + lifetime });
        Ok(credentials)
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
