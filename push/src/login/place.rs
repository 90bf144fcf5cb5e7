//! Where the credentials for a server are kept.

use std::{fmt, path::PathBuf};

use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    auth_file::{AuthFile, AuthFileError, Keeper},
    helper,
};
use crate::failure::Failure;

/// A file, and who keeps the secrets of a server by its word.
#[derive(Debug)]
pub(super) struct Place {
    file: AuthFile,
    keeper: Keeper,
}

/// How credentials are kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In this file.
    File(PathBuf),
    /// By a helper.
    Helper(String),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Helper(name) => write!(f, "by docker-credential-{name}"),
        }
    }
}

impl Way {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::File(path) => json!({"file": path.display().to_string()}),
            Self::Helper(name) => json!({"helper": name}),
        }
    }
}

/// Of the files that are read, in the order in which they count: the first that says something about the server, else
/// the first that is there, else the first that could be. What is written anywhere else would not be found.
pub(super) fn choose(files: Vec<AuthFile>, server: &str) -> Result<Option<Place>, AuthFileError> {
    let places = files.into_iter().map(|file| Place::of(file, server)).collect::<Result<Vec<_>, _>>()?;
    let rank = |place: &Place| match () {
        () if place.keeper != Keeper::File || place.file.knows(server) => 0,
        () if place.file.exists() => 1,
        () => 2,
    };
    // The first of equals.
    Ok(places.into_iter().min_by_key(rank))
}

impl Place {
    pub(super) fn of(file: AuthFile, server: &str) -> Result<Self, AuthFileError> {
        Ok(Self { keeper: file.keeper(server)?, file })
    }

    /// Keeps the credentials. A secret that the file held before is gone from it.
    pub(super) async fn store(self, server: &str, username: &str, password: &SecretString) -> Result<Way, Failure> {
        let Self { mut file, keeper } = self;
        match keeper {
            Keeper::File => {
                file.keep(server, username, password)?;
                file.write()?;
                Ok(Way::File(file.path))
            }
            Keeper::Helper(name) => {
                helper::store(&name, server, username, password).await?;
                if file.remove(server)? {
                    file.write()?;
                }
                Ok(Way::Helper(name))
            }
            Keeper::Store(name) => {
                helper::store(&name, server, username, password).await?;
                file.refer(server)?;
                file.write()?;
                Ok(Way::Helper(name))
            }
        }
    }

    /// Forgets the credentials, and says where they were.
    pub(super) async fn erase(self, server: &str) -> Result<Vec<Way>, Failure> {
        let Self { mut file, keeper } = self;
        let mut removed = Vec::new();
        if let Keeper::Helper(name) | Keeper::Store(name) = &keeper
            && helper::erase(name, server).await?
        {
            removed.push(Way::Helper(name.clone()));
        }
        if file.remove(server)? {
            file.write()?;
            // What a store has is only referred to by the file.
            if keeper == Keeper::File {
                removed.push(Way::File(file.path));
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn credentials_go_where_they_are_looked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = |docker: Option<&str>, podman: Option<&str>| {
            let files = [("docker", docker), ("podman", podman)].map(|(name, content)| {
                let path = folder.path().join(name);
                let _ = fs::remove_file(&path);
                content.iter().for_each(|content| fs::write(&path, content).unwrap());
                AuthFile::read(&path).unwrap()
            });
            let place = choose(files.into(), "registry.example").unwrap().unwrap();
            place.file.path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let (entry, other) =
            (Some(r#"{"auths": {"registry.example": {}}}"#), Some(r#"{"auths": {"other.example": {}}}"#));
        let helper = Some(r#"{"credHelpers": {"registry.example": "x"}}"#);
        for (docker, podman, expected) in [
            (None, None, "docker"),
            (None, other, "podman"),
            (other, other, "docker"),
            (other, entry, "podman"),
            (entry, entry, "docker"),
            (other, helper, "podman"),
            (helper, entry, "docker"),
        ] {
            assert_eq!(chosen(docker, podman), expected, "{docker:?} {podman:?}");
        }
        assert!(choose(vec![], "registry.example").unwrap().is_none());
    }
}
