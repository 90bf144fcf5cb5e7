//! Identity tokens: what can be known of one without its issuer's key. Fulcio is who judges it.

use std::{io, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{exit::Exit, failure::Failure, signing::service::ServiceError};

/// Why there is no identity token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// Nobody hands one over.
    #[error("there is no identity token")]
    None,
    /// GitHub does not give one to this job.
    #[error("GitHub Actions offers this job no identity token")]
    NotPermitted,
    /// GitLab does not give one to this job.
    #[error("GitLab gave this job no SIGSTORE_ID_TOKEN")]
    NotDeclared,
    /// A file or variable cannot be read.
    #[error("the identity token in {place} cannot be read")]
    Unreadable {
        /// Where it was to be.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The CI's own program does not run.
    #[error("{program} cannot be asked for an identity token")]
    Program {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The CI's own program says no.
    #[error("{program} gave no identity token: {said}")]
    ProgramFailed {
        /// Which.
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// The CI's service does not answer as it should.
    #[error("the CI's own identity token is not to be had")]
    Service(#[source] ServiceError),
    /// Not a token.
    #[error("the identity token is no JWT")]
    NotJwt,
    /// A token that does not say what it has to.
    #[error("the identity token's claims cannot be read")]
    Claims(#[source] serde_json::Error),
    /// Its time is over.
    #[error("the identity token of {issuer} expired at {at}")]
    Expired {
        /// Whose it is.
        issuer: String,
        /// When.
        at: Timestamp,
    },
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        let (exit, hint) = match &error {
            TokenError::None => (
                Exit::Credentials,
                Some(
                    "give one with --identity-token or SIGSTORE_ID_TOKEN; GitHub Actions, GitLab, Buildkite and CircleCI have their own",
                ),
            ),
            TokenError::NotPermitted => (Exit::Credentials, Some("the job needs `permissions: {id-token: write}`")),
            TokenError::NotDeclared => {
                (Exit::Credentials, Some("the job needs `id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}`"))
            }
            TokenError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => (Exit::NotFound, None),
            TokenError::Unreadable { .. } | TokenError::NotJwt | TokenError::Claims(_) => (Exit::InvalidInput, None),
            TokenError::Program { .. } | TokenError::ProgramFailed { .. } => (Exit::Credentials, None),
            TokenError::Service(source) => source.meaning(),
            TokenError::Expired { .. } => (Exit::Credentials, Some("get a new one: they last for minutes")),
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(exit, error) }
    }
}

/// A token whose claims are nobody's word yet.
#[derive(Debug)]
pub(super) struct IdentityToken {
    raw: SecretString,
    challenge: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: i64,
    email: Option<String>,
}

impl IdentityToken {
    /// Reads a token that has not expired.
    pub(super) fn parse(raw: SecretString, now: Timestamp) -> Result<Self, TokenError> {
        let parts: Vec<&str> = raw.expose_secret().split('.').collect();
        let [_, claims, _] = parts[..] else { return Err(TokenError::NotJwt) };
        let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).map_err(|_| TokenError::NotJwt)?;
        let Claims { iss, sub, exp, email } = serde_json::from_slice(&claims).map_err(TokenError::Claims)?;
        let at = Timestamp::from_second(exp).unwrap_or(Timestamp::MAX);
        if at <= now {
            return Err(TokenError::Expired { issuer: iss, at });
        }
        Ok(Self { raw, challenge: email.unwrap_or(sub) })
    }

    /// What Fulcio wants signed, to see that the key is in the hands of whoever has the token.
    pub(super) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The token itself, for Fulcio and nobody else.
    pub(super) fn expose(&self) -> &str {
        self.raw.expose_secret()
    }
}

/// Where a token was to be found, for errors.
pub(super) fn unreadable(path: &Path, source: io::Error) -> TokenError {
    TokenError::Unreadable { place: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(claims: &str) -> Result<IdentityToken, TokenError> {
        let token = format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        IdentityToken::parse(token.into(), Timestamp::from_second(1000).unwrap())
    }

    #[test]
    fn the_challenge_is_the_address_or_else_the_subject() {
        let job = parse(r#"{"iss":"https://ci","sub":"repo:a/b","exp":1001,"aud":"sigstore"}"#).unwrap();
        assert_eq!(job.challenge(), "repo:a/b");
        let person = parse(r#"{"iss":"https://ci","sub":"1","exp":1001,"email":"a@b.example"}"#).unwrap();
        assert_eq!(person.challenge(), "a@b.example");
        assert!(!format!("{person:?}").contains("eyJ"));
    }

    #[test]
    fn what_is_no_token_or_no_longer_one_is_refused() {
        assert!(matches!(parse(r#"{"iss":"i","sub":"s","exp":1000}"#), Err(TokenError::Expired { .. })));
        assert!(matches!(parse(r#"{"iss":"i","exp":2000}"#), Err(TokenError::Claims(_))));
        for wrong in ["", "a.b", "a.b.c.d", "a.!.c"] {
            let parsed = IdentityToken::parse(wrong.into(), Timestamp::UNIX_EPOCH);
            assert!(matches!(parsed, Err(TokenError::NotJwt)), "{wrong}");
        }
    }
}
