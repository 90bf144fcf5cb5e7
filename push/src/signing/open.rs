//! The signer that the person named, opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealift_verify::duration::Duration;
use tokio::task::JoinHandle;

use super::{
    Asked, KeyFile, KeyFileError, KeyPair, Signer,
    keyless::Keyless,
    password::{self, password},
    transit::TransitKey,
};
use crate::{
    cli::signer::{KeySource, SignerArgs},
    exit::Exit,
    failure::{Failure, usage},
};

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
    /// `None` if a person may have to be asked, or somebody else; both wait until nothing else can go wrong.
    task: Option<JoinHandle<Result<KeyPair, Failure>>>,
}

impl Opening {
    /// Deriving a key from its password takes about as long as reading and packing many manifests: both at once, where
    /// the password is at hand.
    pub(crate) fn start(args: &SignerArgs) -> Self {
        let task = match &args.key {
            Some(KeySource::File(path)) if password::is_at_hand() => {
                let path = path.clone();
                Some(tokio::task::spawn_blocking(move || read_key(&path)))
            }
            _ => None,
        };
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

/// Opens the signer that is named. A person may be asked for a password, a server for a public key, and Fulcio for a
/// certificate that lasts for minutes.
pub(crate) async fn open(args: &SignerArgs) -> Result<Box<dyn Signer>, Failure> {
    let SignerArgs { key, keyless, signing_timeout } = args;
    match key {
        Some(KeySource::File(path)) => Ok(Box::new(read_key(path)?)),
        Some(KeySource::Transit(name)) => Ok(Box::new(TransitKey::open(name, *signing_timeout).await?)),
        None => Ok(Box::new(Keyless::open(keyless, *signing_timeout).await?)),
    }
}

/// Whoever signs, for what only those may sign again who signed it before.
pub(crate) async fn open_provable(args: &SignerArgs) -> Result<Box<dyn Signer>, Failure> {
    let signer = open(args).await?;
    if !signer.signatory().is_provable() {
        // To sign again what only claims to be one's own would be to sign whatever the registry likes.
        return Err(usage("without a trusted root no statement can be told to be this identity's")
            .hint("name the instance's trusted_root.json with --trusted-root"));
    }
    Ok(signer)
}

/// The public half of a key, as PEM.
pub(crate) async fn public_pem(key: &KeySource, timeout: Duration) -> Result<String, Failure> {
    match key {
        KeySource::File(path) => Ok(read_key(path)?.public_pem().to_owned()),
        KeySource::Transit(name) => Ok(TransitKey::open(name, timeout).await?.public_pem().to_owned()),
    }
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
