//! What a renderer may have read: every file under the folders it reads from, by digest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use sealift_verify::digest::{Digest, Hasher};
use serde_json::{Value, json};

/// Most files that are hashed; a folder with more is no input of a release.
const MOST_FILES: usize = 50_000;
/// Most bytes that are hashed.
const MOST_BYTES: u64 = 1 << 30;
/// Deeper folders are not looked into.
const DEEPEST: usize = 64;
/// Files of the rendered folder itself that are named one by one in the statement.
const NAMED: usize = 64;

/// The files that rendering may depend on, by path from the rendered folder.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    files: BTreeMap<String, Digest>,
    bytes: u64,
    /// Folders that were looked into, by where they really are: links may lead in circles.
    folders: BTreeSet<PathBuf>,
}

/// Why inputs could not be hashed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputsError {
    /// Something cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More than a release's inputs would ever have.
    #[error(
        "{} and what it refers to hold more than {MOST_FILES} files or {MOST_BYTES} bytes, or nest too deep, to be \
         inputs of a release",
        .0.display()
    )]
    TooMuch(PathBuf),
}

impl Inputs {
    /// Every file under `roots` but those of version control, with paths from `folder`. All paths are canonical.
    pub(super) fn under(folder: &Path, roots: &BTreeSet<PathBuf>) -> Result<Self, InputsError> {
        let mut inputs = Self::default();
        for root in roots {
            inputs.walk(folder, root, 0)?;
        }
        Ok(inputs)
    }

    fn walk(&mut self, folder: &Path, at: &Path, depth: usize) -> Result<(), InputsError> {
        let unreadable = |source| InputsError::Read { path: at.to_owned(), source };
        if depth > DEEPEST {
            return Err(InputsError::TooMuch(folder.to_owned()));
        }
        if !self.folders.insert(at.canonicalize().map_err(unreadable)?) {
            return Ok(());
        }
        let entries: Result<Vec<_>, _> = fs::read_dir(at).map_err(unreadable)?.collect();
        let mut entries = entries.map_err(unreadable)?;
        // Of two ways to a folder, the same one counts on every machine.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            // Renderers follow links, helm those to folders too.
            let path = entry.path();
            if path.is_file() {
                self.add(folder, &path)?;
            } else if path.is_dir() && entry.file_name() != ".git" {
                self.walk(folder, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, folder: &Path, path: &Path) -> Result<(), InputsError> {
        let (digest, size) = hash(path)?;
        self.bytes += size;
        self.files.insert(relative(folder, path), digest);
        match self.files.len() > MOST_FILES || self.bytes > MOST_BYTES {
            true => Err(InputsError::TooMuch(folder.to_owned())),
            false => Ok(()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// SHA-256 over what `sha256sum` prints of the files, sorted by path: anybody can make it again.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        for (path, digest) in &self.files {
            hasher.update(format!("{}  {path}\n", digest.hex()).as_bytes());
        }
        hasher.finish()
    }

    /// As the statement says it.
    pub(super) fn json(&self) -> Value {
        let top: BTreeMap<_, _> = self.files.iter().filter(|(path, _)| !path.contains('/')).take(NAMED).collect();
        json!({"digest": self.digest(), "files": self.len(), "top": top})
    }
}

/// The digest and size of one file.
pub(super) fn hash(path: &Path) -> Result<(Digest, u64), InputsError> {
    let unreadable = |source| InputsError::Read { path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let (mut hasher, mut size, mut buffer) = (Hasher::new(), 0, vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok((hasher.finish(), size)),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
                if size > MOST_BYTES {
                    return Err(InputsError::TooMuch(path.to_owned()));
                }
            }
        }
    }
}

/// `path` as seen from `folder`, with `/` on every system. Both are canonical.
pub(super) fn relative(folder: &Path, path: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), path.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| "..".to_owned());
    let down = to[common..].iter().map(|part: &Component<'_>| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_the_folder() {
        for (folder, path, expected) in
            [("/a/b", "/a/b/c/d", "c/d"), ("/a/overlays/prod", "/a/base/x.yaml", "../../base/x.yaml"), ("/a", "/a", "")]
        {
            assert_eq!(relative(Path::new(folder), Path::new(path)), expected);
        }
    }

    #[test]
    fn the_digest_is_that_of_what_sha256sum_prints_and_git_is_no_input() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        for (name, text) in [("b/c.yaml", "c"), ("a.yaml", "a"), (".env", "X=1"), (".git/HEAD", "ref")] {
            let path = at.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let inputs = Inputs::under(&at, &BTreeSet::from([at.clone(), at.join("b")])).unwrap();
        assert_eq!(inputs.files.keys().collect::<Vec<_>>(), [".env", "a.yaml", "b/c.yaml"]);
        let lines: String = [("X=1", ".env"), ("a", "a.yaml"), ("c", "b/c.yaml")]
            .map(|(text, path)| format!("{}  {path}\n", Digest::of(text.as_bytes()).hex()))
            .concat();
        assert_eq!(inputs.digest(), Digest::of(lines.as_bytes()));
        assert_eq!(inputs.json()["top"].as_object().unwrap().len(), 2, "only what lies in the folder itself");
    }

    /// helm reads what lies behind a link as if it lay there, and so its statement has to.
    #[test]
    fn folders_behind_links_are_inputs_and_circles_end() {
        use std::os::unix::fs::symlink;
        let around = tempfile::tempdir().unwrap();
        let around = around.path().canonicalize().unwrap();
        let at = around.join("chart");
        for (name, text) in [("chart/Chart.yaml", "name: a"), ("shared/a.yaml", "1"), ("shared/b.yaml", "2")] {
            let path = around.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        symlink("../shared", at.join("templates")).unwrap();
        symlink("../chart", around.join("shared/back")).unwrap();
        symlink("../shared/a.yaml", at.join("one.yaml")).unwrap();
        symlink("nowhere", at.join("dangling")).unwrap();
        let inputs = Inputs::under(&at, &BTreeSet::from([at.clone()])).unwrap();
        let names: Vec<_> = inputs.files.keys().collect();
        assert_eq!(names, ["Chart.yaml", "one.yaml", "templates/a.yaml", "templates/b.yaml"]);
    }
}
