//! The files of a layout in a folder or a tar, read by threads that may block: for the embedded registry.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    LayoutFault,
    archive::{Archive, Contents},
    folder::{self, FolderError},
};

/// An open layout. A tar stays the one that was opened, whatever takes its place.
#[derive(Debug)]
pub(crate) enum Opened {
    Folder(PathBuf),
    Archive(Arc<Contents>),
}

impl Opened {
    /// Opens a folder, or a file as a tar.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let contents = Archive::new(path.to_owned()).contents().map_err(told)?;
        contents.map(Self::Archive).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A file of at most `limit` bytes, by its path in the layout; `None` if it is not there.
    pub(crate) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Bytes>> {
        let found = match self {
            Self::Folder(root) => folder::read(&root.join(name), limit)?,
            Self::Archive(contents) => contents.whole(name, limit)?,
        };
        match found {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(size)) => Err(io::Error::other(format!("{name} has {size} bytes, more than {limit}"))),
        }
    }

    /// How large a file is; `None` if it is not there.
    pub(crate) fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match self {
            Self::Folder(root) => Ok(folder::open(&root.join(name))?.map(|(_, size)| size)),
            Self::Archive(contents) => Ok(contents.size(name)),
        }
    }

    /// At most `length` bytes of a file from `from`.
    pub(crate) fn piece(&self, name: &str, from: u64, length: usize) -> io::Result<Bytes> {
        let found = match self {
            Self::Folder(root) => {
                let open = folder::open(&root.join(name))?;
                open.map(|(file, _)| folder::piece(&file, from, length)).transpose()?
            }
            Self::Archive(contents) => contents.piece(name, from, length)?,
        };
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn told(error: FolderError) -> io::Error {
    match error {
        FolderError::Io(error) => error,
        FolderError::Layout(fault) => io::Error::other(fault),
        FolderError::InUse | FolderError::TooLarge(_) | FolderError::Mismatch(_) => {
            io::Error::other(LayoutFault::Other)
        }
    }
}
