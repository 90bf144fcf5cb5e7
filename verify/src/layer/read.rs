//! A layer unpacked in memory, within limits.

use std::{
    collections::{HashMap, HashSet},
    io::Read,
};

use tar::{Archive, EntryType};

use super::compression;
use crate::{
    artifact::{Format, Limits},
    digest::Digest,
};

/// A regular file of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path, relative and without `.` and `..`.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The files of a layer, in the order of the tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Every regular file, manifests or not.
    pub files: Vec<File>,
    /// The digest of the tar.
    pub uncompressed: Digest,
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Larger than allowed before it is expanded.
    #[error("the layer has {size} bytes, more than the {limit} allowed")]
    Compressed {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Larger than allowed once it is expanded.
    #[error("the layer expands to more than the {limit} bytes allowed")]
    Expanded {
        /// The limit.
        limit: u64,
    },
    /// Expands more than manifests do.
    #[error("the layer expands to more than {limit} times its size")]
    Ratio {
        /// The limit.
        limit: u64,
    },
    /// Not a compressed stream, cut short, or one that needs too much memory.
    #[error("the layer cannot be expanded")]
    Expand(#[source] std::io::Error),
    /// Bytes after the end of the compressed stream.
    #[error("{bytes} bytes follow the end of the compressed stream")]
    AfterStream {
        /// How many.
        bytes: usize,
    },
    /// Not a tar.
    #[error("the layer cannot be read as a tar")]
    Tar(#[source] std::io::Error),
    /// A tar without its end.
    #[error("the tar is cut short")]
    Truncated,
    /// Content after the end of the tar.
    #[error("there is content after the end of the tar")]
    AfterTar,
    /// Too many files and directories.
    #[error("the layer has more than the {limit} entries allowed")]
    Entries {
        /// The limit.
        limit: usize,
    },
    /// One file is too large.
    #[error("{path:?} is larger than the {limit} bytes allowed")]
    FileSize {
        /// Its path.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// A link, a device, a sparse file or the like.
    #[error("{path:?} is neither a regular file nor a directory (tar type {kind:?})")]
    Kind {
        /// Its path.
        path: String,
        /// The type flag of its header.
        kind: char,
    },
    /// A path that leaves the layer, is not UTF-8, or is read differently by different systems.
    #[error("the path {path:?} is not allowed: {reason}")]
    Path {
        /// The path, with replacement characters where it is not UTF-8.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path given twice, or two that differ only in case.
    #[error("the paths {first:?} and {second:?} are the same")]
    Duplicate {
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
    /// A file that lies where another entry needs a directory.
    #[error("{0:?} is both a file and a directory")]
    FileAndDirectory(String),
}

/// Unpacks a layer in memory.
///
/// # Errors
/// [`LayerError`] at the first thing that is not as a plain archive of files should be.
pub fn unpack(bytes: &[u8], format: Format, limits: &Limits) -> Result<Unpacked, LayerError> {
    let tar = compression::expand(bytes, format, limits)?;
    let files = files(&tar, limits)?;
    Ok(Unpacked { files, uncompressed: Digest::of(&tar) })
}

const BLOCK: usize = 512;

fn files(tar: &[u8], limits: &Limits) -> Result<Vec<File>, LayerError> {
    let mut archive = Archive::new(tar);
    let mut files = Vec::new();
    let mut names = Names::default();
    let mut end = 0;
    for (count, entry) in archive.entries().map_err(LayerError::Tar)?.enumerate() {
        let mut entry = entry.map_err(LayerError::Tar)?;
        if count >= limits.entries {
            return Err(LayerError::Entries { limit: limits.entries });
        }
        let kind = entry.header().entry_type();
        let raw = entry.path_bytes().into_owned();
        if !matches!(kind, EntryType::Regular | EntryType::Directory) {
            let path = String::from_utf8_lossy(&raw).into_owned();
            return Err(LayerError::Kind { path, kind: char::from(kind.as_byte()) });
        }
        let path = clean(&raw, kind)?;
        let size = entry.size();
        if size > limits.file {
            return Err(LayerError::FileSize { path, limit: limits.file });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(tar.len()));
        entry.read_to_end(&mut bytes).map_err(LayerError::Tar)?;
        if bytes.len() as u64 != size {
            return Err(LayerError::Truncated);
        }
        end = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX).saturating_add(bytes.len());
        end = end.next_multiple_of(BLOCK);
        // `.` itself, as `tar -C folder .` writes it.
        if path.is_empty() {
            continue;
        }
        names.add(&path, kind == EntryType::Directory)?;
        if kind == EntryType::Regular {
            files.push(File { path, bytes });
        }
    }
    names.check()?;
    check_end(tar.get(end..).unwrap_or_default())?;
    Ok(files)
}

/// Two zero blocks end a tar, and zeros may fill it up; a reader that skips zeros would go on reading anything else.
fn check_end(rest: &[u8]) -> Result<(), LayerError> {
    match rest.iter().all(|byte| *byte == 0) {
        false => Err(LayerError::AfterTar),
        true if rest.len() < 2 * BLOCK => Err(LayerError::Truncated),
        true => Ok(()),
    }
}

/// The path without a leading `./` and, for a directory, without the trailing slash.
fn clean(raw: &[u8], kind: EntryType) -> Result<String, LayerError> {
    let refuse = |reason| LayerError::Path { path: String::from_utf8_lossy(raw).into_owned(), reason };
    let text = std::str::from_utf8(raw).map_err(|_| refuse("not UTF-8"))?;
    if text.starts_with('/') {
        return Err(refuse("absolute"));
    }
    let relative = text.strip_prefix("./").unwrap_or(text);
    let path = match kind {
        EntryType::Directory if text == "." => "",
        EntryType::Directory => relative.strip_suffix('/').unwrap_or(relative),
        _ => relative,
    };
    if path.is_empty() && kind == EntryType::Directory {
        return Ok(String::new());
    }
    for part in path.split('/') {
        match part {
            "" => return Err(refuse("an empty component")),
            "." => return Err(refuse("a component `.`")),
            ".." => return Err(refuse("a component `..`")),
            _ => {}
        }
    }
    if path.chars().any(|c| c == '\\' || c.is_control()) {
        return Err(refuse("a backslash or a control character"));
    }
    Ok(path.to_owned())
}

/// What names an archive has used.
#[derive(Default)]
struct Names {
    /// Every path by its folded form.
    folded: HashMap<String, String>,
    files: HashSet<String>,
}

impl Names {
    fn add(&mut self, path: &str, directory: bool) -> Result<(), LayerError> {
        let folded = path.to_lowercase();
        if !directory {
            self.files.insert(folded.clone());
        }
        match self.folded.insert(folded, path.to_owned()) {
            Some(first) => Err(LayerError::Duplicate { first, second: path.to_owned() }),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), LayerError> {
        for folded in self.folded.keys() {
            let mut parents = folded.match_indices('/').map(|(at, _)| &folded[..at]);
            if let Some(parent) = parents.find(|parent| self.files.contains(*parent)) {
                return Err(LayerError::FileAndDirectory(parent.to_owned()));
            }
        }
        Ok(())
    }
}
