//! Workload identity: who a pod or a CI job is in its cloud, turned into credentials for that cloud's registry.
//!
//! The clouds' own libraries are not used: each would bring its HTTP stack, its retries and a hundred crates, for two
//! requests. What is asked, and where, is what their documentation says of these endpoints; the variables that say where
//! are those that the clouds' own tools read, so that a pod which works with them works here.

mod asker;
mod aws;
mod azure;
mod error;
mod gcp;
mod rule;

use std::{env, fmt, time::Duration};

use sealift_verify::digest::Digest;
use serde::Deserialize;

use self::asker::Asker;
pub use self::{
    error::IdentityError,
    rule::{IdentityRule, IdentityRuleError, Provider},
};
use crate::client::{Client, Credentials, Proxies, SetupError};

/// Credentials that last for a while.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) credentials: Credentials,
    pub(crate) lifetime: Duration,
}

/// An identity in a cloud. What proves it is read again each time, since the platform rotates it; no secret is kept.
pub struct Identity {
    kind: Kind,
    asker: Asker,
    /// Differs where the identity differs.
    mark: Digest,
}

#[derive(Debug)]
enum Kind {
    Aws(aws::Aws),
    Gcp(gcp::Gcp),
    Azure(azure::Azure),
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why an identity cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum IdentitySetupError {
    /// The environment does not say who this is.
    #[error(transparent)]
    Environment(#[from] IdentityError),
    /// No HTTP client can be made.
    #[error(transparent)]
    Http(#[from] SetupError),
}

impl Identity {
    /// Who the environment says that this process is. Nothing is asked yet.
    ///
    /// # Errors
    /// [`IdentitySetupError`] if a variable is missing, or the certificates or proxies cannot be used.
    pub fn from_environment(
        provider: Provider,
        extra_ca_pem: Option<&[u8]>,
        proxies: &Proxies,
    ) -> Result<Self, IdentitySetupError> {
        Self::of(provider, |name| env::var(name).ok(), extra_ca_pem, proxies)
    }

    /// As [`Identity::from_environment`], with the variables given.
    ///
    /// # Errors
    /// As of [`Identity::from_environment`].
    pub fn of(
        provider: Provider,
        variable: impl Fn(&str) -> Option<String>,
        extra_ca_pem: Option<&[u8]>,
        proxies: &Proxies,
    ) -> Result<Self, IdentitySetupError> {
        let filled = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let kind = match provider {
            Provider::Aws => Kind::Aws(aws::Aws::of(&filled)?),
            Provider::Gcp => Kind::Gcp(gcp::Gcp::of(&filled)?),
            Provider::Azure => Kind::Azure(azure::Azure::of(&filled)?),
        };
        // None of these holds a secret: they print, and they tell one identity from another.
        let mark = Digest::of(format!("{kind:?}").as_bytes());
        Ok(Self { kind, asker: Asker::new(extra_ca_pem, proxies)?, mark })
    }

    /// Differs where the identity differs, and shows nothing that is secret.
    pub fn mark(&self) -> &Digest {
        &self.mark
    }

    /// Credentials for the registry of `client`.
    pub(crate) async fn credentials(&self, client: &Client) -> Result<Minted, IdentityError> {
        match &self.kind {
            Kind::Aws(aws) => aws.credentials(&self.asker, client.host()).await,
            Kind::Gcp(gcp) => gcp.credentials(&self.asker).await,
            Kind::Azure(azure) => azure.credentials(&self.asker, client).await,
        }
    }
}

/// What reads a variable that is set to something.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

fn needed(provider: Provider, variable: Variable<'_>, name: &'static str) -> Result<String, IdentityError> {
    variable(name).ok_or(IdentityError::Missing { provider, variable: name })
}

/// A token file of the platform, without the line break that some put at its end.
async fn token_file(path: &str) -> Result<secrecy::SecretString, IdentityError> {
    let read = tokio::fs::read_to_string(path).await;
    let text = read.map_err(|source| IdentityError::File { path: path.into(), source })?;
    Ok(text.trim().into())
}

/// A secret in an answer.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Secret(secrecy::SecretString);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// An OAuth 2 answer.
#[derive(Deserialize)]
struct AccessToken {
    access_token: Secret,
    #[serde(default)]
    expires_in: Seconds,
}

/// A number of seconds; some services write it as a text.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(from = "NumberOrText")]
struct Seconds(Option<u64>);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl From<NumberOrText> for Seconds {
    fn from(value: NumberOrText) -> Self {
        match value {
            NumberOrText::Number(seconds) => Self(Some(seconds)),
            NumberOrText::Text(text) => Self(text.parse().ok()),
        }
    }
}

impl Seconds {
    /// How long to keep what lasts so long: a tenth less, and no longer than `most`.
    fn kept(self, most: Duration) -> Duration {
        Duration::from_secs(self.0.unwrap_or(60)).min(most) * 9 / 10
    }
}
