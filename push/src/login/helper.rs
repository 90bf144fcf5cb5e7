//! Credential helpers: programs `docker-credential-NAME` that keep secrets in a keychain.
//! <https://github.com/docker/docker-credential-helpers>

use std::{process::Stdio, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout,
};

use crate::{exit::Exit, failure::Failure};

/// A keychain may ask the person to unlock it.
const HELPER_TIME: Duration = Duration::from_secs(60);

/// The sentence by which helpers say that they have nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Why a helper did not do what it is for. What it printed is withheld, since it may hold secrets.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("{0:?} cannot be the name of a credential helper")]
    Name(String),
    #[error("{program} cannot be run")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} {action} failed")]
    Failed { program: String, action: &'static str },
    #[error("{program} {action} did not end within {} s", HELPER_TIME.as_secs())]
    TimedOut { program: String, action: &'static str },
}

impl From<HelperError> for Failure {
    fn from(error: HelperError) -> Self {
        let hint = match &error {
            HelperError::Start { .. } | HelperError::Name(_) => {
                "credsStore or credHelpers of the configuration names it: install it, or take the name out"
            }
            _ => "unlock the keychain, or try the program by hand: it is configured by credsStore or credHelpers",
        };
        Self::new(Exit::Credentials, error).hint(hint)
    }
}

/// Hands the credentials to the helper.
pub(super) async fn store(
    name: &str,
    server: &str,
    username: &str,
    password: &SecretString,
) -> Result<(), HelperError> {
    let entry = json!({"ServerURL": server, "Username": username, "Secret": password.expose_secret()});
    match run(name, "store", entry.to_string().as_bytes()).await? {
        Answer::Done => Ok(()),
        Answer::NotFound => Err(HelperError::Failed { program: program(name)?, action: "store" }),
    }
}

/// Has the helper forget the server; true if it knew it.
pub(super) async fn erase(name: &str, server: &str) -> Result<bool, HelperError> {
    // Some helpers succeed at erasing what they do not have.
    if matches!(run(name, "get", server.as_bytes()).await, Ok(Answer::NotFound)) {
        return Ok(false);
    }
    Ok(matches!(run(name, "erase", server.as_bytes()).await?, Answer::Done))
}

enum Answer {
    Done,
    NotFound,
}

async fn run(name: &str, action: &'static str, input: &[u8]) -> Result<Answer, HelperError> {
    let program = program(name)?;
    let child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| HelperError::Start { program: program.clone(), source })?;
    let ended = match timeout(HELPER_TIME, converse(child, input)).await {
        Err(_) => return Err(HelperError::TimedOut { program, action }),
        Ok(ended) => ended.map_err(|source| HelperError::Start { program: program.clone(), source })?,
    };
    match (ended.status.success(), String::from_utf8_lossy(&ended.stdout).contains(NOT_FOUND)) {
        (true, _) => Ok(Answer::Done),
        (false, true) => Ok(Answer::NotFound),
        (false, false) => Err(HelperError::Failed { program, action }),
    }
}

async fn converse(mut child: Child, input: &[u8]) -> std::io::Result<std::process::Output> {
    if let Some(mut pipe) = child.stdin.take() {
        // One that does not read has its reasons, and says so by how it ends.
        let _ = pipe.write_all(input).await;
    }
    child.wait_with_output().await
}

/// Found on `PATH`, never by a path: a configuration names a helper, not any program.
fn program(name: &str) -> Result<String, HelperError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !name.is_empty() && name.chars().all(fits) {
        true => Ok(format!("docker-credential-{name}")),
        false => Err(HelperError::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_is_a_name_and_no_path() {
        assert_eq!(program("osxkeychain").unwrap(), "docker-credential-osxkeychain");
        for name in ["", "../evil", "a/b", "a b"] {
            assert!(program(name).is_err(), "{name}");
        }
    }
}
