//! User and password: from the command line's option and standard input, else from the person at the terminal.

use std::io::{self, IsTerminal, Read};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    exit::Exit,
    failure::{Failure, usage},
    output::Output,
};

/// Longer ones are a mistake, such as the wrong file.
const LONGEST: u64 = 64 << 10;

/// What the person gave.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) username: String,
    pub(super) password: SecretString,
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum GivenError {
    #[error("the user name is empty, or holds a colon or a control character")]
    Username,
    #[error("the password is empty")]
    Empty,
    #[error("the password holds a line break or another control character")]
    Control,
    #[error("standard input is longer than {LONGEST} bytes, or no text")]
    NoPassword,
}

impl From<GivenError> for Failure {
    fn from(error: GivenError) -> Self {
        Self::new(Exit::InvalidInput, error)
    }
}

pub(super) fn given(
    username: Option<&str>,
    password_stdin: bool,
    host: &str,
    output: &mut Output,
) -> Result<Given, Failure> {
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let unreadable = |error: io::Error| Failure::new(Exit::Failed, error);
    if !password_stdin && !terminal {
        return Err(usage("there is no terminal to ask for a password at")
            .hint("give it on standard input: -u USER --password-stdin"));
    }
    let username = match username {
        Some(username) => username.to_owned(),
        None => output.ask(format_args!("User name for {host}: ")).map_err(unreadable)?,
    };
    let password = match password_stdin {
        true => from_input(io::stdin().lock())?,
        false => {
            rpassword::prompt_password("Password or access token: ").map(SecretString::from).map_err(unreadable)?
        }
    };
    Ok(checked(username, password)?)
}

fn from_input(input: impl Read) -> Result<SecretString, Failure> {
    let mut text = String::new();
    let read = input.take(LONGEST + 1).read_to_string(&mut text);
    if read.is_err() || text.len() as u64 > LONGEST {
        return Err(GivenError::NoPassword.into());
    }
    // `echo` and editors end a line that is not part of the password.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).into())
}

/// What HTTP's Basic scheme, and the file, can carry.
fn checked(username: String, password: SecretString) -> Result<Given, GivenError> {
    if username.is_empty() || username.chars().any(|c| c == ':' || c.is_control()) {
        return Err(GivenError::Username);
    }
    match password.expose_secret() {
        "" => Err(GivenError::Empty),
        text if text.chars().any(char::is_control) => Err(GivenError::Control),
        _ => Ok(Given { username, password }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_the_passwords() {
        for (input, expected) in
            [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("s3cret", "s3cret"), (" a b ", " a b ")]
        {
            assert_eq!(from_input(input.as_bytes()).unwrap().expose_secret(), expected);
        }
        assert!(from_input(io::repeat(b'x')).is_err());
        assert!(from_input(&b"\xff"[..]).is_err());
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let error = |username: &str, password: &str| checked(username.into(), password.into()).unwrap_err();
        assert_eq!(error("", "p"), GivenError::Username);
        assert_eq!(error("a:b", "p"), GivenError::Username);
        assert_eq!(error("a", ""), GivenError::Empty);
        assert_eq!(error("a", "p\nq"), GivenError::Control);
        assert_eq!(checked("a".into(), "p:q".into()).unwrap().password.expose_secret(), "p:q");
    }
}
