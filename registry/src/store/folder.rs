//! A layout in a folder. Content comes into place by rename only; what is unfinished lies in the folder that the
//! embedded registry uses too, whose lock keeps any two writers apart.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sealift_verify::digest::{Digest, Hasher};

use super::{INDEX, LayoutFault, MARKER, MARKER_CONTENT, Name};

/// What is unfinished, and the lock.
pub(crate) const WORK: &str = ".sealift-registry";
/// How long another writer may take.
const LOCK_TIME: Duration = Duration::from_secs(30);

/// Why a folder did not do what was asked.
#[derive(Debug)]
pub(super) enum FolderError {
    Io(io::Error),
    Layout(LayoutFault),
    /// Another writer holds the lock.
    InUse,
    /// A file is larger than this.
    TooLarge(u64),
    /// What was written has another digest.
    Mismatch(Digest),
}

impl From<io::Error> for FolderError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<LayoutFault> for FolderError {
    fn from(fault: LayoutFault) -> Self {
        Self::Layout(fault)
    }
}

/// Writing to a folder; dropped, it lets the next writer in.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, not read")] File);

/// A regular file, or nothing: whoever made the layout may have put a pipe there, which would be waited for.
pub(super) fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok(Some((file, size)))
        }
        Ok(_) => Err(io::Error::other("it is not a regular file")),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The whole of a file, unless it is larger than `limit`, and then its size.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Option<Result<Bytes, u64>>> {
    let Some((file, size)) = open(path)? else { return Ok(None) };
    if size > limit {
        return Ok(Some(Err(size)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // It may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(Some(if bytes.len() as u64 > limit { Err(bytes.len() as u64) } else { Ok(bytes.into()) }))
}

/// At most `length` bytes from `from`.
pub(super) fn piece(file: &File, from: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], from + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

/// Makes `root` a layout, if it is none and empty. Blocks.
pub(super) fn prepare(root: &Path) -> Result<(), FolderError> {
    fs::create_dir_all(root)?;
    let is_layout = root.join(MARKER).exists();
    let names: Vec<_> = fs::read_dir(root)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    // One that is being made has everything but the marker.
    let begun = names.iter().any(|name| name == WORK);
    let ours = |name| begun && [WORK, "blobs", INDEX].iter().any(|known| name == *known);
    if !is_layout && !names.iter().all(|name: &std::ffi::OsString| ours(name.as_os_str())) {
        return Err(LayoutFault::Other.into());
    }
    fs::create_dir_all(root.join(WORK))?;
    no_link(&root.join(WORK))?;
    fs::create_dir_all(root.join("blobs").join("sha256"))?;
    Ok(())
}

/// Fails where a link lies. Whoever made the layout may have pointed it at any file of whoever writes.
fn no_link(path: &Path) -> Result<(), LayoutFault> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    if is_link { Err(LayoutFault::NotAFile) } else { Ok(()) }
}

/// Says that `root` is a layout, after its index is there.
pub(super) fn mark(root: &Path) -> Result<(), FolderError> {
    if root.join(MARKER).exists() {
        return Ok(());
    }
    Ok(replace(root, MARKER, MARKER_CONTENT)?)
}

/// Keeps other writers away from a folder.
pub(super) fn lock(root: &Path) -> Result<Lock, FolderError> {
    let path = root.join(WORK).join("lock");
    no_link(&path)?;
    wait(|| lock_file(root))
}

/// The file whose lock keeps writers apart. Nothing is ever written to it.
pub(crate) fn lock_file(root: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(root.join(WORK).join("lock"))
}

/// Waits for whoever holds the lock of a file, for half a minute.
pub(super) fn wait(open: impl Fn() -> io::Result<File>) -> Result<Lock, FolderError> {
    let begun = Instant::now();
    loop {
        let file = open()?;
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() >= LOCK_TIME => return Err(FolderError::InUse),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Writes `root/name` so that a reader, or a crash, sees the old content or the new.
pub(crate) fn replace(root: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    // A name that nobody else has: another task may be writing the same, and so may a process of another machine or
    // container on the same volume, whatever its number.
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let next = root.join(WORK).join(format!("{:016x}.next", u64::from_ne_bytes(random)));
    let written = File::create_new(&next).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&next, root.join(name))
    });
    written.inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&next);
    })
}

/// A blob on its way into a folder. What has arrived outlives the process, so that the next one goes on from there.
#[derive(Debug)]
pub(crate) struct Arriving {
    file: File,
    path: PathBuf,
    root: PathBuf,
    hasher: Hasher,
    pub(super) arrived: u64,
    digest: Digest,
    size: u64,
    _claim: File,
}

impl Arriving {
    /// Goes on with what is there of a blob of `size` bytes, or begins.
    pub(super) fn open(root: &Path, digest: Digest, size: u64) -> Result<Self, FolderError> {
        again(|| Self::open_once(root, digest, size))
    }

    fn open_once(root: &Path, digest: Digest, size: u64) -> Result<Self, FolderError> {
        prepare(root)?;
        let path = root.join(WORK).join(format!("{}.partial", digest.hex()));
        no_link(&path)?;
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        // Two that bring the same blob would write into one another.
        let claim = file.try_clone()?;
        match claim.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
            Err(fs::TryLockError::WouldBlock) => return Err(FolderError::InUse),
        }
        if file.metadata()?.len() > size {
            file.set_len(0)?;
        }
        let mut hasher = Hasher::new();
        let (mut arrived, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => {
                    hasher.update(&buffer[..read]);
                    arrived += read as u64;
                }
            }
        }
        Ok(Self { file, path, root: root.to_owned(), hasher, arrived, digest, size, _claim: claim })
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.arrived += piece.len() as u64;
        Ok(())
    }

    /// Puts the blob into place if it is the right one; what is wrong is thrown away.
    pub(super) fn finish(mut self) -> Result<(), FolderError> {
        let actual = std::mem::take(&mut self.hasher).finish();
        if actual != self.digest || self.arrived != self.size {
            fs::remove_file(&self.path)?;
            return Err(FolderError::Mismatch(actual));
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.sync_data()?;
        again(|| {
            prepare(&self.root)?;
            Ok(fs::rename(&self.path, self.root.join(Name::Blob(&self.digest).path()))?)
        })
    }
}

/// Puts a small blob into place.
pub(super) fn keep(root: &Path, digest: &Digest, bytes: &[u8]) -> Result<(), FolderError> {
    again(|| {
        prepare(root)?;
        let there = open(&root.join(Name::Blob(digest).path()))?;
        // A file that was cut short is replaced.
        if there.is_some_and(|(_, size)| size == bytes.len() as u64) {
            return Ok(());
        }
        Ok(replace(root, &Name::Blob(digest).path(), bytes)?)
    })
}

/// Does it again where the folder that it happens in was taken away, because nothing waited there.
fn again<T>(work: impl Fn() -> Result<T, FolderError>) -> Result<T, FolderError> {
    for _ in 0..20 {
        match work() {
            Err(FolderError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    work()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_in_a_layout_leads_a_writer_out_of_it() {
        let (layout, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, victim) = (layout.path(), outside.path().join("victim"));
        fs::write(&victim, "a victim's own words").unwrap();
        prepare(root).unwrap();
        let digest = Digest::of(b"new");
        for name in ["lock".to_owned(), format!("{}.partial", digest.hex())] {
            symlink(&victim, root.join(WORK).join(name)).unwrap();
        }
        let refused = |result: Result<(), FolderError>| {
            assert!(matches!(result, Err(FolderError::Layout(LayoutFault::NotAFile))), "{result:?}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "a victim's own words");
        };
        refused(lock(root).map(drop));
        refused(Arriving::open(root, digest, 3).map(drop));
        let other = tempfile::tempdir().unwrap();
        symlink(outside.path(), other.path().join(WORK)).unwrap();
        refused(keep(other.path(), &digest, b"new"));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}
