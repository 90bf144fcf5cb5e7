//! Which files a path means.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sealift_verify::{artifact::Limits, objects::yaml::Source};

/// Folders deeper than this are not manifests.
const DEEPEST: usize = 64;

/// What was found, and what was passed over although it looks like a manifest.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) sources: Vec<Source>,
    pub(crate) left_out: Vec<String>,
}

/// Why files could not be collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// A path leads nowhere, or what is there cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file over the limit; it is not read.
    #[error("{} has {size} bytes, more than the {limit} that a file of manifests may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Standard input went on past the limit.
    #[error("standard input is longer than the {limit} bytes that manifests may have")]
    LongInput {
        /// The limit.
        limit: u64,
    },
    /// All files together are over the limit.
    #[error("the manifests together have more than {limit} bytes")]
    TooMuch {
        /// The limit.
        limit: u64,
    },
    /// A folder without manifests.
    #[error("{} holds no .yaml, .yml or .json file", .0.display())]
    NoManifests(PathBuf),
    /// Folders within folders without end.
    #[error("{} is nested deeper than {DEEPEST} folders", .0.display())]
    TooDeep(PathBuf),
    /// Neither file nor folder.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
}

impl CollectError {
    /// True if there is nothing at the path.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { .. } | Self::LongInput { .. } => {
                Some("split it: one file an object is fine, and a release is no place for large data")
            }
            Self::NoManifests(_) => Some("hidden files are not looked at; was the folder rendered?"),
            Self::Read { .. } | Self::TooMuch { .. } | Self::TooDeep(_) | Self::Special(_) => None,
        }
    }
}

struct Walk<'a> {
    limits: &'a Limits,
    total: u64,
    seen: BTreeSet<PathBuf>,
    found: Collected,
}

/// Reads every manifest at `paths`: files as they are named, folders in the order of their names, `-` once.
/// A file that two paths lead to is read once.
pub(crate) fn collect(paths: &[PathBuf], limits: &Limits) -> Result<Collected, CollectError> {
    let mut walk = Walk { limits, total: 0, seen: BTreeSet::new(), found: Collected::default() };
    for path in paths {
        if path.as_os_str() == "-" {
            walk.standard_input()?;
            continue;
        }
        let kind = fs::metadata(path).map_err(|source| CollectError::Read { path: path.clone(), source })?;
        if kind.is_dir() {
            let before = (walk.found.sources.len(), walk.seen.len());
            walk.folder(path, &canonical(path)?, 0)?;
            if before == (walk.found.sources.len(), walk.seen.len()) && paths.len() == 1 {
                return Err(CollectError::NoManifests(path.clone()));
            }
        } else if kind.is_file() {
            walk.file(path)?;
        } else {
            walk.pipe(path)?;
        }
    }
    Ok(walk.found)
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, root: &Path, depth: usize) -> Result<(), CollectError> {
        if depth > DEEPEST {
            return Err(CollectError::TooDeep(folder.to_owned()));
        }
        let unreadable = |source| CollectError::Read { path: folder.to_owned(), source };
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            // Hidden: .git and friends, editors' swap files, the `..data` of mounted ConfigMaps.
            if name.as_encoded_bytes().starts_with(b".") || name == "CVS" {
                continue;
            }
            let path = folder.join(&name);
            let kind =
                fs::symlink_metadata(&path).map_err(|source| CollectError::Read { path: path.clone(), source })?;
            if kind.is_dir() {
                self.folder(&path, root, depth + 1)?;
            } else if kind.is_symlink() {
                self.link(&path, root)?;
            } else if kind.is_file() && is_manifest(&path) {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    /// A link to a file in the same folder tree is that file; whatever else it is, is left out and said so: a link
    /// that leads out would pack files nobody meant, and one to a folder may lead in circles.
    fn link(&mut self, path: &Path, root: &Path) -> Result<(), CollectError> {
        let target = fs::canonicalize(path);
        let inside = target.as_ref().is_ok_and(|target| target.starts_with(root) && target.is_file());
        if inside && is_manifest(path) {
            return self.file(path);
        }
        let leads_to_folder = target.as_ref().is_ok_and(|target| target.is_dir());
        if is_manifest(path) || leads_to_folder {
            let why = match &target {
                Ok(target) if !target.starts_with(root) => "leads out of the folder",
                Ok(_) => "leads to a folder",
                Err(_) => "leads nowhere",
            };
            self.found.left_out.push(format!("{} is left out: the link {why}", path.display()));
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), CollectError> {
        let unreadable = |source| CollectError::Read { path: path.to_owned(), source };
        if !self.seen.insert(canonical(path)?) {
            return Ok(());
        }
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > self.limits.file {
            return Err(CollectError::TooLarge { path: path.to_owned(), size, limit: self.limits.file });
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        self.add(shown(path), bytes)
    }

    fn standard_input(&mut self) -> Result<(), CollectError> {
        if !self.seen.insert(PathBuf::from("-")) {
            return Ok(());
        }
        let limit = self.limits.file;
        let bytes = bounded(io::stdin().lock(), limit)
            .map_err(|source| CollectError::Read { path: "standard input".into(), source })?
            .ok_or(CollectError::LongInput { limit })?;
        self.add("-".to_owned(), bytes)
    }

    /// `<(kustomize build …)`: a pipe with a name.
    fn pipe(&mut self, path: &Path) -> Result<(), CollectError> {
        use std::os::unix::fs::FileTypeExt;
        let unreadable = |source| CollectError::Read { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(unreadable)?.file_type().is_fifo() {
            return Err(CollectError::Special(path.to_owned()));
        }
        let limit = self.limits.file;
        let bytes = fs::File::open(path).and_then(|file| bounded(file, limit)).map_err(unreadable)?;
        self.add(shown(path), bytes.ok_or(CollectError::LongInput { limit })?)
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) -> Result<(), CollectError> {
        self.total += bytes.len() as u64;
        if self.total > self.limits.expanded {
            return Err(CollectError::TooMuch { limit: self.limits.expanded });
        }
        self.found.sources.push(Source { name, bytes });
        Ok(())
    }
}

/// At most `limit` bytes; `None` if there are more.
pub(crate) fn bounded(input: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn canonical(path: &Path) -> Result<PathBuf, CollectError> {
    fs::canonicalize(path).map_err(|source| CollectError::Read { path: path.to_owned(), source })
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let collected = collect(&[folder.to_owned()], &Limits::default()).unwrap();
        let name = |source: Source| source.name.strip_prefix(&format!("{}/", folder.display())).unwrap().to_owned();
        collected.sources.into_iter().map(name).collect()
    }

    #[test]
    fn a_folder_is_read_in_order_without_hidden_and_other_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "sub/c.json", ".hidden.yaml", ".git/config.yaml", "README.md", "..data/x.yaml"]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(names(folder.path()), ["a.yml", "b.yaml", "sub/c.json"]);
    }

    #[test]
    fn a_link_is_followed_within_the_folder_and_not_out_of_it() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("..data")).unwrap();
        fs::write(folder.path().join("..data/in.yaml"), "x").unwrap();
        fs::write(other.path().join("out.yaml"), "x").unwrap();
        symlink("..data/in.yaml", folder.path().join("in.yaml")).unwrap();
        symlink(other.path().join("out.yaml"), folder.path().join("out.yaml")).unwrap();
        symlink(other.path(), folder.path().join("linked")).unwrap();
        symlink("nowhere", folder.path().join("broken.yaml")).unwrap();
        assert_eq!(names(folder.path()), ["in.yaml"]);
        let left_out = collect(&[folder.path().to_owned()], &Limits::default()).unwrap().left_out;
        assert_eq!(left_out.len(), 3, "{left_out:?}");
    }

    #[test]
    fn a_file_named_twice_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "x").unwrap();
        let collected = collect(&[file, folder.path().to_owned()], &Limits::default()).unwrap();
        assert_eq!(collected.sources.len(), 1);
    }

    #[test]
    fn says_what_is_missing_and_what_is_too_large_without_reading_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(collect(&[folder.path().join("no")], &Limits::default()).unwrap_err().is_missing());
        let empty = collect(&[folder.path().to_owned()], &Limits::default());
        assert!(matches!(empty, Err(CollectError::NoManifests(_))));
        let large = fs::File::create(folder.path().join("large.yaml")).unwrap();
        large.set_len(200 << 20).unwrap();
        let error = collect(&[folder.path().to_owned()], &Limits::default());
        assert!(matches!(error, Err(CollectError::TooLarge { size, .. }) if size == 200 << 20));
    }
}
