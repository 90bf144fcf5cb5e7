//! A folder that files are put into, and nothing beside it.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{exit::Exit, failure::Failure};

/// A folder that may be written into.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Whether what is there may be replaced.
    force: bool,
}

/// Why files cannot be put there.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} cannot be looked into", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0:?} would lead out of the folder")]
    Outside(String),
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        match &error {
            FolderError::NotEmpty(_) => Self::new(Exit::InvalidInput, error)
                .hint("name a new folder, or --force to put the files beside what is there"),
            FolderError::NotAFolder(_) | FolderError::Read { .. } => Self::new(Exit::InvalidInput, error),
            FolderError::Outside(_) => Self::new(Exit::Refused, error),
            FolderError::Write { .. } => Self::new(Exit::Failed, error),
        }
    }
}

impl Folder {
    /// The folder at `path`, which is there or will be made; one with content only by `force`.
    pub(super) fn at(path: &Path, force: bool) -> Result<Self, FolderError> {
        let folder = Self { path: path.to_owned(), force };
        let unreadable = |source| FolderError::Read { path: path.to_owned(), source };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(folder),
            Err(error) => return Err(unreadable(error)),
            Ok(found) if !found.is_dir() => return Err(FolderError::NotAFolder(path.to_owned())),
            Ok(_) => {}
        }
        let is_empty = fs::read_dir(path).map_err(unreadable)?.next().is_none();
        if is_empty || force { Ok(folder) } else { Err(FolderError::NotEmpty(path.to_owned())) }
    }

    /// Writes files by their paths inside the folder.
    pub(super) fn write(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<(), FolderError> {
        // Nothing is begun that cannot be finished.
        if let Some(path) = files.keys().find(|path| !is_inside(path)) {
            return Err(FolderError::Outside(path.clone()));
        }
        fs::create_dir_all(&self.path).map_err(|source| FolderError::Write { path: self.path.clone(), source })?;
        files.iter().try_for_each(|(path, bytes)| self.file(path, bytes))
    }

    fn file(&self, path: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let mut at = self.path.clone();
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
            at.push(parent);
            sub_folder(&at)?;
        }
        let target = at.join(name);
        let failed = |source| FolderError::Write { path: target.clone(), source };
        if !self.force {
            return write_new(&target, bytes).map_err(failed);
        }
        // A rename replaces a link; a write would follow it.
        let new = at.join(format!(".sealift.{}", std::process::id()));
        let written = write_new(&new, bytes).and_then(|()| fs::rename(&new, &target));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map_err(failed)
    }
}

/// The folder there, made if there is none. A link that stands in its place is not followed: it may lead anywhere.
fn sub_folder(path: &Path) -> Result<(), FolderError> {
    let failed = |source| FolderError::Write { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(FolderError::NotAFolder(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}

fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.chars().any(|c| c == '\\' || c.is_control()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn files(path: &str) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([(path.to_owned(), b"new".to_vec())])
    }

    #[test]
    fn a_folder_with_content_takes_force_and_keeps_what_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        Folder::at(&root, false).unwrap().write(&files("a/b.yaml")).unwrap();
        fs::write(root.join("mine"), "kept").unwrap();
        assert!(matches!(Folder::at(&root, false), Err(FolderError::NotEmpty(_))));
        fs::write(root.join("a/b.yaml"), "old").unwrap();
        Folder::at(&root, true).unwrap().write(&files("a/b.yaml")).unwrap();
        assert_eq!(fs::read_to_string(root.join("a/b.yaml")).unwrap(), "new");
        assert_eq!(fs::read_to_string(root.join("mine")).unwrap(), "kept");
        assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 1);
        assert!(matches!(Folder::at(&root.join("mine"), true), Err(FolderError::NotAFolder(_))));
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("out"), folder.path().join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("victim"), "old").unwrap();
        symlink(&outside, root.join("linked")).unwrap();
        symlink(outside.join("victim"), root.join("file.yaml")).unwrap();
        let into = Folder::at(&root, true).unwrap();
        assert!(matches!(into.write(&files("linked/victim")), Err(FolderError::NotAFolder(_))));
        into.write(&files("file.yaml")).unwrap();
        assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "old");
        assert_eq!(fs::read_to_string(root.join("file.yaml")).unwrap(), "new");
        for path in ["../victim", "/etc/victim", "a//b", "a/./b", "a/..", "", "a\\b", "a\nb"] {
            assert!(matches!(into.write(&files(path)), Err(FolderError::Outside(_))), "{path:?}");
        }
    }
}
