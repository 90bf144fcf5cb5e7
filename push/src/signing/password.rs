//! Passwords of keys: from the environment, else from the person at the terminal.

use std::{
    env,
    io::{self, IsTerminal},
};

use secrecy::{ExposeSecret, SecretString};

/// Where a password may stand, ours first.
const VARIABLES: [&str; 2] = ["SEALIFT_PASSWORD", "COSIGN_PASSWORD"];

/// What the password is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Opening a key.
    ToOpen,
    /// Protecting a new key: asked twice, and not empty.
    ToProtect,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// No variable is set and nobody can be asked.
    #[error("the key's password is not known, and there is no terminal to ask at")]
    NoTerminal,
    /// The terminal did not answer.
    #[error("the password cannot be read from the terminal")]
    Terminal(#[source] io::Error),
    /// The two did not agree.
    #[error("the two passwords differ")]
    Differ,
    /// An empty one, typed.
    #[error("the password is empty")]
    Empty,
    /// A variable whose bytes are no text.
    #[error("the password in {0} is not UTF-8 text")]
    NotText(&'static str),
}

/// True if nobody has to be asked.
pub(super) fn is_at_hand() -> bool {
    VARIABLES.iter().any(|name| env::var_os(name).is_some())
}

/// The password for a key. An empty one counts where a variable says so explicitly.
pub(crate) fn password(asked: Asked) -> Result<SecretString, PasswordError> {
    for name in VARIABLES {
        match env::var(name) {
            Ok(value) => return Ok(value.into()),
            Err(env::VarError::NotUnicode(_)) => return Err(PasswordError::NotText(name)),
            Err(env::VarError::NotPresent) => {}
        }
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(PasswordError::NoTerminal);
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from).map_err(PasswordError::Terminal);
    match asked {
        Asked::ToOpen => ask("Password for the private key: "),
        Asked::ToProtect => agreed(&ask("New password for the private key: ")?, &ask("The same again: ")?),
    }
}

fn agreed(first: &SecretString, second: &SecretString) -> Result<SecretString, PasswordError> {
    match (first.expose_secret(), second.expose_secret()) {
        (first, second) if first != second => Err(PasswordError::Differ),
        ("", _) => Err(PasswordError::Empty),
        (password, _) => Ok(password.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_typed_twice_and_not_empty() {
        assert!(agreed(&"a".into(), &"a".into()).is_ok());
        assert!(matches!(agreed(&"a".into(), &"b".into()), Err(PasswordError::Differ)));
        assert!(matches!(agreed(&"".into(), &"".into()), Err(PasswordError::Empty)));
    }
}
