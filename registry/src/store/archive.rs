//! A layout in a tar file, read where it lies: an index of its entries says at which byte each begins.
//!
//! What is added waits in a folder beside the file, a layout of its own, so that an interrupted copy goes on from there;
//! then file and folder become one new tar, which takes the file's place by rename.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use sealift_verify::digest::Digest;

use super::{
    INDEX, LayoutFault, MARKER, MARKER_CONTENT, Name,
    folder::{self, FolderError, Lock, WORK},
};

/// More entries than this are not looked at.
const MOST_ENTRIES: usize = 100_000;
const BLOCK: u64 = 512;

/// What a tar holds of a layout.
#[derive(Debug)]
pub(crate) struct Contents {
    file: File,
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    size: u64,
}

/// What tells a file from the one that takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// A tar file that may not be there yet.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Contents>)>>,
}

impl Archive {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// What is in the file now; `None` if there is no file. Read once for as long as it is the same file.
    pub(super) fn contents(&self) -> Result<Option<Arc<Contents>>, FolderError> {
        let Some((file, size)) = folder::open(&self.path)? else { return Ok(None) };
        let found = file.metadata()?;
        let (device, inode, changed) = (found.dev(), found.ino(), (found.ctime(), found.ctime_nsec()));
        let stamp = Stamp { device, inode, size, changed };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, contents)) = read.as_ref()
            && *known == stamp
        {
            return Ok(Some(Arc::clone(contents)));
        }
        let contents = Arc::new(Contents::read(file, size)?);
        *read = Some((stamp, Arc::clone(&contents)));
        Ok(Some(contents))
    }

    /// Where what is added waits.
    pub(super) fn waiting(&self) -> PathBuf {
        self.path.with_file_name(format!(".{}.sealift", self.name()))
    }

    fn name(&self) -> std::borrow::Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }

    /// Keeps other writers away until it is dropped.
    pub(super) fn lock(&self) -> Result<Lock, FolderError> {
        // That of the folder around the file: what waits is taken away, and with it any lock in there.
        let around = self.path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(around)?;
        folder::wait(|| File::open(around))
    }

    /// Makes one tar of the file, what waits, and the new index. Under the lock.
    pub(super) fn commit(&self, index: &[u8]) -> Result<(), FolderError> {
        let (waiting, before) = (self.waiting(), self.contents()?);
        let added = blobs(&waiting)?;
        let next = self.path.with_file_name(format!(".{}.next", self.name()));
        // One that was killed left it; or somebody put a link there.
        fs::remove_file(&next).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create_new(&next)?));
        append(&mut tar, MARKER, MARKER_CONTENT.len() as u64, MARKER_CONTENT)?;
        append(&mut tar, INDEX, index.len() as u64, index)?;
        if let Some(before) = &before {
            let mut kept: Vec<_> = before.entries.iter().filter(|(name, _)| name.starts_with("blobs/")).collect();
            kept.sort_by_key(|(name, _)| *name);
            for (name, entry) in kept.into_iter().filter(|(name, _)| !added.contains_key(*name)) {
                append(&mut tar, name, entry.size, Part { file: &before.file, at: entry.at, left: entry.size })?;
            }
        }
        let mut names: Vec<_> = added.into_iter().collect();
        names.sort();
        for (name, path) in &names {
            if let Some((file, size)) = folder::open(path)? {
                append(&mut tar, name, size, file)?;
            }
        }
        let mut written = tar.into_inner()?;
        written.flush()?;
        written.get_ref().sync_data()?;
        fs::rename(&next, &self.path)?;
        // Nothing of it is missed: the tar has it. What is still arriving stays.
        for (_, path) in names {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Takes the folder away if nothing waits in it. Under the lock, which it ends.
    pub(super) fn clear(&self, lock: Lock) {
        let waiting = self.waiting();
        // From within, and only what is empty: others may be putting something there. What is left over does no harm.
        for folder in ["blobs/sha256", "blobs", WORK, ""] {
            let _ = fs::remove_dir(waiting.join(folder));
        }
        drop(lock);
    }
}

/// The blobs of a folder by their names in a layout.
fn blobs(root: &Path) -> io::Result<HashMap<String, PathBuf>> {
    let mut found = HashMap::new();
    let entries = match fs::read_dir(root.join("blobs").join("sha256")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let digest = entry.file_name().to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        if let Some(digest) = digest {
            found.insert(Name::Blob(&digest).path(), entry.path());
        }
    }
    Ok(found)
}

/// Adds one file with nothing in its header but what the name and size say.
fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, size: u64, content: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, content)
}

/// A part of a file as it is copied.
struct Part<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        (self.at, self.left) = (self.at + read as u64, self.left - read as u64);
        Ok(read)
    }
}

impl Contents {
    /// Looks at every header and at nothing between them.
    ///
    /// Only regular files with the names of a layout are kept. Long names and extended headers are passed over: the names
    /// that count are short, and every content is hashed.
    fn read(file: File, length: u64) -> Result<Self, FolderError> {
        let mut entries = HashMap::new();
        let (mut at, mut seen) = (0, 0);
        let mut block = [0; BLOCK as usize];
        while at + BLOCK <= length {
            file.read_exact_at(&mut block, at)?;
            if at == 0 && is_compressed(&block) {
                return Err(LayoutFault::Compressed.into());
            }
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            let header = tar::Header::from_byte_slice(&block);
            let broken = || FolderError::from(LayoutFault::Tar { at });
            if !has_checksum(header, &block) {
                return Err(broken());
            }
            let size = header.entry_size().map_err(|_| broken())?;
            let content = at + BLOCK;
            let after = size.div_ceil(BLOCK).checked_mul(BLOCK).and_then(|size| content.checked_add(size));
            // The padding of the last entry may be missing; its content may not.
            let after = after.filter(|_| content.checked_add(size).is_some_and(|end| end <= length));
            let after = after.ok_or_else(broken)?;
            if header.entry_type().is_file()
                && let Some(name) = layout_name(&header.path_bytes())
            {
                // Two of one name: readers of tar differ in which they take.
                if entries.insert(name, Entry { at: content, size }).is_some_and(|_| true) {
                    return Err(broken());
                }
            }
            seen += 1;
            if seen > MOST_ENTRIES {
                return Err(LayoutFault::Entries(MOST_ENTRIES).into());
            }
            at = after;
        }
        Ok(Self { file, entries })
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.size)
    }

    /// The whole of an entry, unless it is larger than `limit`, and then its size.
    pub(super) fn whole(&self, name: &str, limit: u64) -> io::Result<Option<Result<Bytes, u64>>> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        if entry.size > limit {
            return Ok(Some(Err(entry.size)));
        }
        let length = usize::try_from(entry.size).map_err(io::Error::other)?;
        folder::piece(&self.file, entry.at, length).map(|bytes| Some(Ok(bytes)))
    }

    /// At most `length` bytes of an entry from `from`.
    pub(super) fn piece(&self, name: &str, from: u64, length: usize) -> io::Result<Option<Bytes>> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let left = usize::try_from(entry.size.saturating_sub(from)).unwrap_or(usize::MAX);
        folder::piece(&self.file, entry.at + from.min(entry.size), length.min(left)).map(Some)
    }
}

/// The name of an entry as a layout has it.
fn layout_name(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let name = path.strip_prefix("./").unwrap_or(path);
    let is_blob = || {
        let hex = name.strip_prefix("blobs/sha256/")?;
        format!("sha256:{hex}").parse::<Digest>().ok()
    };
    (name == MARKER || name == INDEX || is_blob().is_some()).then(|| name.to_owned())
}

fn has_checksum(header: &tar::Header, block: &[u8]) -> bool {
    let sum = block.iter().enumerate().map(|(i, byte)| if (148..156).contains(&i) { 32 } else { u32::from(*byte) });
    header.cksum().is_ok_and(|said| said == sum.sum::<u32>())
}

fn is_compressed(block: &[u8]) -> bool {
    [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z']]
        .iter()
        .any(|magic| block.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tar = tar::Builder::new(file.reopen().unwrap());
        for (name, content) in entries {
            append(&mut tar, name, content.len() as u64, *content).unwrap();
        }
        tar.into_inner().unwrap();
        file
    }

    fn contents(path: &Path) -> Result<Contents, FolderError> {
        let (file, size) = folder::open(path).unwrap().unwrap();
        Contents::read(file, size)
    }

    fn blob(content: &[u8]) -> String {
        Name::Blob(&Digest::of(content)).path()
    }

    #[test]
    fn finds_what_belongs_to_a_layout_and_nothing_else() {
        let file = written(&[
            ("./oci-layout", b"m"),
            ("index.json", b"{}"),
            (&blob(b"one"), b"one"),
            ("manifest.json", b"[]"),
            ("blobs/sha256/escape", b"x"),
        ]);
        let contents = contents(file.path()).unwrap();
        assert_eq!(contents.entries.len(), 3);
        assert_eq!(contents.whole(&blob(b"one"), 3).unwrap().unwrap().unwrap(), "one");
        assert_eq!(contents.whole(&blob(b"one"), 2).unwrap().unwrap(), Err(3));
        assert_eq!(contents.piece(&blob(b"one"), 1, 9).unwrap().unwrap(), "ne");
        assert_eq!(contents.piece(&blob(b"one"), 7, 9).unwrap().unwrap(), "");
        assert!(contents.whole("manifest.json", 9).unwrap().is_none());
    }

    #[test]
    fn refuses_tars_that_are_cut_changed_doubled_or_compressed() {
        let good = fs::read(written(&[("index.json", b"{}"), (&blob(b"one"), b"one")]).path()).unwrap();
        let refused = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            contents(file.path()).err()
        };
        assert!(refused(&good).is_none());
        assert!(refused(&good[..513]).is_some(), "cut in a content");
        let mut flipped = good.clone();
        flipped[1030] ^= 1;
        assert!(matches!(refused(&flipped), Some(FolderError::Layout(LayoutFault::Tar { at: 1024 }))));
        let mut gzip = good.clone();
        gzip[..2].copy_from_slice(&[0x1f, 0x8b]);
        assert!(matches!(refused(&gzip), Some(FolderError::Layout(LayoutFault::Compressed))));
        let twice = written(&[("index.json", b"{}"), ("./index.json", b"[]")]);
        assert!(contents(twice.path()).is_err());
        let mut endless = good;
        // A size of eight exbibytes, in base 256, with the checksum that belongs to it.
        endless[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&endless[..512]);
        header.set_cksum();
        endless[..512].copy_from_slice(header.as_bytes());
        assert!(matches!(refused(&endless), Some(FolderError::Layout(LayoutFault::Tar { at: 0 }))));
    }

    #[test]
    fn what_waits_becomes_one_tar_with_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path().join("shop.tar"));
        let victim = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(victim.path(), folder.path().join(".shop.tar.next")).unwrap();
        for (index, content) in [(&b"1"[..], &b"one"[..]), (b"2", b"two")] {
            let lock = archive.lock().unwrap();
            folder::keep(&archive.waiting(), &Digest::of(content), content).unwrap();
            archive.commit(index).unwrap();
            archive.clear(lock);
            let contents = archive.contents().unwrap().unwrap();
            assert_eq!(contents.whole(INDEX, 9).unwrap().unwrap().unwrap(), index);
        }
        let contents = archive.contents().unwrap().unwrap();
        assert_eq!(contents.whole(&blob(b"one"), 9).unwrap().unwrap().unwrap(), "one");
        assert_eq!(contents.whole(&blob(b"two"), 9).unwrap().unwrap().unwrap(), "two");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["shop.tar"], "nothing waits any more");
        assert_eq!(victim.path().metadata().unwrap().len(), 0, "no link is followed");
    }
}
