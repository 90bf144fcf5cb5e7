//! Where an identity token comes from: the person, or the CI that runs the job.

use std::{env, fs, io, process::Stdio};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use sealift_verify::duration::Duration;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use super::token::{TokenError, unreadable};
use crate::{
    cli::signer::TokenSource,
    signing::service::{Ask, Service},
};

/// Whom the token is for: the one audience that Fulcio's public instance and its default configuration expect.
const AUDIENCE: &str = "sigstore";
/// Where a token may stand; GitLab puts it there.
const VARIABLE: &str = "SIGSTORE_ID_TOKEN";

/// Who may be asked for a token.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    /// It is there already.
    Variable,
    /// GitHub's service for the job.
    GitHub { url: String, bearer: String },
    /// A program of the CI's.
    Program(&'static str, Vec<String>),
}

/// The token that was named, or the one that the CI hands to this job.
pub(super) async fn token(given: Option<&TokenSource>, limit: Duration) -> Result<SecretString, TokenError> {
    match given {
        Some(TokenSource::Given(token)) => return Ok(token.clone()),
        Some(TokenSource::File(path)) => {
            let token = fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            return Ok(token.trim().into());
        }
        None => {}
    }
    match origin(|name| env::var(name).ok().filter(|value| !value.is_empty()))? {
        Origin::Variable => match env::var(VARIABLE) {
            Ok(token) => Ok(token.trim().into()),
            Err(error) => Err(TokenError::Unreadable { place: VARIABLE.to_owned(), source: io::Error::other(error) }),
        },
        Origin::GitHub { url, bearer } => github(&url, &bearer, limit).await,
        Origin::Program(program, arguments) => run(program, &arguments, limit).await,
    }
}

/// What the environment says about who is to be asked.
fn origin(variable: impl Fn(&str) -> Option<String>) -> Result<Origin, TokenError> {
    let is_true = |name| variable(name).as_deref() == Some("true");
    if variable(VARIABLE).is_some() {
        return Ok(Origin::Variable);
    }
    if is_true("GITHUB_ACTIONS") {
        let (url, bearer) = (variable("ACTIONS_ID_TOKEN_REQUEST_URL"), variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
        let (url, bearer) = url.zip(bearer).ok_or(TokenError::NotPermitted)?;
        return Ok(Origin::GitHub { url, bearer });
    }
    if is_true("GITLAB_CI") {
        return Err(TokenError::NotDeclared);
    }
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    if is_true("BUILDKITE") {
        return Ok(Origin::Program("buildkite-agent", words(&["oidc", "request-token", "--audience", AUDIENCE])));
    }
    if is_true("CIRCLECI") {
        let claims = serde_json::json!({ "aud": AUDIENCE }).to_string();
        return Ok(Origin::Program("circleci", words(&["run", "oidc", "get", "--root-issuer", "--claims", &claims])));
    }
    Err(TokenError::None)
}

/// <https://docs.github.com/en/actions/reference/security/oidc>
async fn github(url: &str, bearer: &str, limit: Duration) -> Result<SecretString, TokenError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    // The address has a query of its own.
    let separator = if url.contains('?') { '&' } else { '?' };
    let address = format!("{url}{separator}audience={AUDIENCE}");
    let service = Service::new("GitHub's token service", &address, None, limit).map_err(TokenError::Service)?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {bearer}")).map_err(|_| TokenError::NotPermitted)?;
    bearer.set_sensitive(true);
    let ask = Ask::get("", HeaderMap::from_iter([(AUTHORIZATION, bearer)]));
    let Answer { value } = service.ask_json(&ask).await.map_err(TokenError::Service)?;
    Ok(value.into())
}

/// Runs a program of the CI's whose product is the token.
async fn run(program: &'static str, arguments: &[String], limit: Duration) -> Result<SecretString, TokenError> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let failed = |source| TokenError::Program { program, source };
    let output = timeout(limit.get(), command.output()).await;
    let output = output.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout).into()),
        false => {
            let said = text(&output.stderr).lines().last().unwrap_or_default().to_owned();
            Err(TokenError::ProgramFailed { program, said: format!("{}, {said}", output.status) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Origin, TokenError> {
        origin(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn every_ci_is_asked_in_its_own_way() {
        let given = [("SIGSTORE_ID_TOKEN", "t"), ("GITHUB_ACTIONS", "true")];
        assert_eq!(of(&given).unwrap(), Origin::Variable, "what is given is used");
        let github = [
            ("GITHUB_ACTIONS", "true"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://t?a=b"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer"),
        ];
        assert_eq!(of(&github).unwrap(), Origin::GitHub { url: "https://t?a=b".into(), bearer: "bearer".into() });
        assert!(matches!(of(&github[..2]), Err(TokenError::NotPermitted)));
        assert!(matches!(of(&[("GITLAB_CI", "true")]), Err(TokenError::NotDeclared)));
        assert!(matches!(of(&[("BUILDKITE", "true")]), Ok(Origin::Program("buildkite-agent", _))));
        let Ok(Origin::Program("circleci", arguments)) = of(&[("CIRCLECI", "true")]) else { panic!("CircleCI") };
        assert_eq!(arguments.last().unwrap(), r#"{"aud":"sigstore"}"#);
        assert!(matches!(of(&[("CI", "true"), ("CIRCLECI", "1")]), Err(TokenError::None)));
    }
}
