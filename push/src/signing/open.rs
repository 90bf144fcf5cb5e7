//! The signer that the person named, opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::task::JoinHandle;

use super::{
    Asked, KeyFile, KeyFileError, KeyPair, Signer,
    password::{self, password},
};
use crate::{cli::signer::SignerArgs, exit::Exit, failure::Failure};

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} is no key to sign with", path.display())]
struct BadKey {
    path: PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A signer that is being opened while something else goes on.
#[derive(Debug)]
pub(crate) struct Opening {
    args: SignerArgs,
    /// `None` if a person may have to be asked, which waits until nothing else can go wrong.
    task: Option<JoinHandle<Result<KeyPair, Failure>>>,
}

impl Opening {
    /// Deriving a key from its password takes about as long as reading and packing many manifests: both at once, where
    /// the password is at hand.
    pub(crate) fn start(args: &SignerArgs) -> Self {
        let path = args.key.clone();
        let task = password::is_at_hand().then(|| tokio::task::spawn_blocking(move || read_key(&path)));
        Self { args: args.clone(), task }
    }

    /// The signer.
    pub(crate) async fn signer(self) -> Result<Box<dyn Signer>, Failure> {
        match self.task {
            Some(task) => Ok(Box::new(task.await.map_err(|error| Failure::new(Exit::Failed, error))??)),
            None => open(&self.args).await,
        }
    }
}

/// Opens the signer that is named. A person may be asked for a password.
pub(crate) async fn open(args: &SignerArgs) -> Result<Box<dyn Signer>, Failure> {
    Ok(Box::new(read_key(&args.key)?))
}

/// Reads the key file, and asks for its password if it is encrypted.
fn read_key(path: &Path) -> Result<KeyPair, Failure> {
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
