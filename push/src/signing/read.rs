//! The key that the person named, opened.

use std::{fs, io, path::Path};

use super::{Asked, KeyFile, KeyFileError, KeyPair, password};
use crate::{exit::Exit, failure::Failure};

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} is no key to sign with", path.display())]
struct BadKey {
    path: std::path::PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Reads the key file, and asks for its password if it is encrypted.
pub(crate) fn read_key(path: &Path) -> Result<KeyPair, Failure> {
    let bad = |exit, source: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(exit, BadKey { path: path.to_owned(), source })
    };
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => bad(Exit::NotFound, error.into()).hint("make a pair with `sealift keygen`"),
        _ => bad(Exit::InvalidInput, error.into()),
    })?;
    let unusable = |error: KeyFileError| {
        let hint = error.hint();
        bad(Exit::InvalidInput, error.into()).hint(hint)
    };
    match KeyFile::parse(&text).map_err(unusable)? {
        KeyFile::Open(key) => Ok(*key),
        KeyFile::Encrypted(container) => {
            let password = password(Asked::ToOpen).map_err(|error| {
                bad(Exit::InvalidInput, error.into())
                    .hint("set SEALIFT_PASSWORD (or COSIGN_PASSWORD), if need be to nothing")
            })?;
            KeyPair::decrypt(&container, &password).map_err(unusable)
        }
    }
}
