//! `sealift trust update`: the trusted root of a Sigstore instance, from its TUF repository into a TrustRoot document.

mod document;
mod repository;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use sealift_verify::{
    digest::Digest,
    sigstore::{TrustRoot, TrustRootError},
};
use serde_json::json;
use sigstore_tuf::{FileStore, Updater};

use self::{
    document::{DocumentError, Outcome},
    repository::Remote,
};
use crate::{
    cli::trust::UpdateArgs,
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    signing::{Service, ServiceError},
};

/// The TUF repository of the public-good instance.
const PUBLIC_GOOD_REPOSITORY: &str = "https://tuf-repo-cdn.sigstore.dev";
/// One of the versions of its root, as sigstore-trust-root 0.15.1 has it: newer ones are found from it on.
const PUBLIC_GOOD_ROOT: &[u8] = include_bytes!("trust/public-good-root.json");

/// Why there is no trusted root.
#[derive(Debug, thiserror::Error)]
enum UpdateError {
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} cannot be written", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the root metadata that trust begins with cannot be used")]
    Root(#[source] sigstore_tuf::Error),
    #[error("the metadata of the TUF repository at {at} does not verify")]
    Metadata {
        at: String,
        #[source]
        source: sigstore_tuf::Error,
    },
    #[error("the TUF repository at {at} has no target {target}")]
    NoTarget { at: String, target: String },
    #[error("{target} is not UTF-8")]
    NotText { target: String },
    #[error("{target} is no trusted root that can be used")]
    Unusable {
        target: String,
        #[source]
        source: TrustRootError,
    },
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Self {
        let (exit, hint) = match &error {
            UpdateError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                (Exit::NotFound, None)
            }
            UpdateError::Unreadable { .. } | UpdateError::Root(_) => (Exit::InvalidInput, None),
            UpdateError::Unwritable { .. } => (Exit::Failed, None),
            UpdateError::Metadata { .. } => (
                Exit::Refused,
                Some("the repository is stale, broken or not the one that the root is of; nothing was written"),
            ),
            UpdateError::NoTarget { .. } => (Exit::NotFound, Some("--target names the file")),
            UpdateError::NotText { .. } | UpdateError::Unusable { .. } => (Exit::Refused, None),
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(exit, error) }
    }
}

pub(crate) async fn update(args: &UpdateArgs, output: &mut Output) -> Result<Exit, Failure> {
    let UpdateArgs { name, tuf, root, target, file, cache, ca_file, timeout } = args;
    let address = tuf.as_deref().unwrap_or(PUBLIC_GOOD_REPOSITORY);
    let root = match root {
        Some(path) => read(path)?,
        None => PUBLIC_GOOD_ROOT.to_vec(),
    };
    let ca = ca_file.as_deref().map(read).transpose()?;
    let before = file.as_deref().map(|path| document::before(path, name)).transpose()?.flatten();
    let service = Service::new("the TUF repository", address, ca.as_deref(), *timeout)?;
    let mut updater = Updater::new(Remote(service), &root).map_err(UpdateError::Root)?;
    if let Some(folder) = cache {
        updater = updater.with_store(FileStore::new(folder));
    }
    output.progress(format_args!("asking {address}"));
    let now = Timestamp::now();
    let fetched = fetch(&mut updater, target, now).await;
    output.clear_status();
    let bytes = fetched.map_err(|error| failure(error, address, target))?;
    let text = String::from_utf8(bytes).map_err(|_| UpdateError::NotText { target: target.clone() })?;
    TrustRoot::from_json(&text).map_err(|source| UpdateError::Unusable { target: target.clone(), source })?;
    let digest = Digest::of(text.as_bytes());
    let outcome = Outcome::of(before.as_deref(), &text);
    let fetched_at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let document = document::write(name, &text, fetched_at)?;
    if let Some(path) = file {
        fs::write(path, &document).map_err(|source| UpdateError::Unwritable { path: path.clone(), source })?;
    }
    let version = updater.trusted().root().version;
    output.note(format_args!("verified  {target} of {address}, root version {version}"));
    output.note(format_args!("{:<9} TrustRoot {name} ({digest})", outcome.as_str()));
    match (output.format, file) {
        (Format::Json, _) => output.json(&json!({
            "schema": "sealift.dev/trust-update/v1",
            "name": name,
            "outcome": outcome.as_str(),
            "digest": digest,
            "repository": address,
            "rootVersion": version,
            "fetchedAt": fetched_at,
            "file": file,
            "document": file.is_none().then_some(&document),
        }))?,
        (Format::Text, Some(path)) => output.product(path.display())?,
        (Format::Text, None) => output.product(document.trim_end())?,
    }
    Ok(Exit::Done)
}

async fn fetch(updater: &mut Updater, target: &str, now: Timestamp) -> Result<Vec<u8>, sigstore_tuf::Error> {
    updater.refresh(now).await?;
    updater.get_target(target, now).await
}

/// What went wrong. A repository that cannot be asked has not been refused.
fn failure(error: sigstore_tuf::Error, at: &str, target: &str) -> Failure {
    let at = at.to_owned();
    match error {
        sigstore_tuf::Error::TargetNotFound(_) => UpdateError::NoTarget { at, target: target.to_owned() }.into(),
        sigstore_tuf::Error::Transport { message, source: Some(source) } => match source.downcast::<ServiceError>() {
            Ok(error) => (*error).into(),
            Err(source) => {
                let source = sigstore_tuf::Error::transport_with_source(message, source);
                UpdateError::Metadata { at, source }.into()
            }
        },
        source => UpdateError::Metadata { at, source }.into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, UpdateError> {
    fs::read(path).map_err(|source| UpdateError::Unreadable { path: path.to_owned(), source })
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self::new(Exit::InvalidInput, error).hint("name another file with -f, or another TrustRoot with --name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_root_is_signed_by_its_own_keys() {
        sigstore_tuf::TrustedMetadataSet::from_root(PUBLIC_GOOD_ROOT).unwrap();
    }
}
