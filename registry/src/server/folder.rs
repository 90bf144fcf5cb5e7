//! A store in an OCI image layout folder: `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`.
//!
//! Files come into place by rename only. What is unfinished lies in `.sealift-registry/`, swept at each start; a lock
//! there keeps a second registry off the folder. Content that other tools put into the layout is left as it is.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    MANIFEST_LIMIT,
    catalogue::Catalogue,
    content_digest::ContentDigest,
    layout::{self, Entry, Index},
    manifest::Manifest,
    spool::Temporary,
};
use crate::store::{lock_file, replace};

/// An open layout folder.
pub(super) struct Folder {
    root: PathBuf,
    /// Descriptors in `index.json` that this registry did not write; written back unchanged.
    foreign: Vec<Value>,
    /// Content that only those name; never deleted.
    protected: HashSet<ContentDigest>,
    /// Held as long as this registry may write.
    _lock: Option<fs::File>,
}

/// Why a folder cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
enum FolderError {
    #[error("{path:?} is neither empty nor an OCI image layout")]
    NotALayout { path: PathBuf },
    #[error("{path:?} is an OCI image layout of unknown version {version:?}")]
    Version { path: PathBuf, version: String },
    #[error("another registry is using {path:?}")]
    InUse { path: PathBuf },
    #[error("cannot read {path:?}")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("cannot open {path:?}")]
    Io { path: PathBuf, source: io::Error },
}

impl From<FolderError> for io::Error {
    fn from(error: FolderError) -> Self {
        Self::other(error)
    }
}

impl Folder {
    /// Opens, and unless `read_only` creates, the layout at `root`. Blocks: for start-up only.
    pub(super) fn open(root: &Path, read_only: bool) -> io::Result<(Self, Catalogue)> {
        let _lock = if read_only { None } else { Some(prepare(root)?) };
        check_version(root)?;
        let index_path = root.join("index.json");
        let index: Index = serde_json::from_slice(&read(&index_path)?)
            .map_err(|source| FolderError::Malformed { path: index_path, source })?;
        let mut folder = Self { root: root.to_owned(), foreign: Vec::new(), protected: HashSet::new(), _lock };
        let mut catalogue = Catalogue::default();
        for descriptor in index.manifests {
            match layout::entry(&descriptor) {
                Some(Entry { digest, media_type, name: Some((repository, tag)) }) => {
                    folder.load(&mut catalogue, &repository, digest, &media_type, tag.into_iter().collect());
                }
                Some(Entry { digest, media_type, name: None }) => {
                    let mut aside = Catalogue::default();
                    folder.load(&mut aside, "", digest, &media_type, Vec::new());
                    folder
                        .protected
                        .extend(aside.get("").into_iter().flat_map(|it| it.manifests.keys().chain(&it.blobs)));
                    folder.foreign.push(descriptor);
                }
                None => folder.foreign.push(descriptor),
            }
        }
        Ok((folder, catalogue))
    }

    /// Adds a manifest to a repository, with the blobs it names and, below an index, the manifests it names. A list of
    /// what is left to do and no recursion: whoever may push decides how deep indexes nest.
    fn load(
        &self,
        catalogue: &mut Catalogue,
        repository: &str,
        digest: ContentDigest,
        media_type: &str,
        tags: Vec<String>,
    ) {
        let mut left = vec![(digest, media_type.to_owned(), tags)];
        while let Some((digest, media_type, tags)) = left.pop() {
            let known = catalogue.get(repository).and_then(|it| it.manifests.get(&digest)).cloned();
            if let Some(manifest) = known {
                catalogue.entry(repository).add_manifest(digest, manifest, tags);
                continue;
            }
            let Some(manifest) = self.manifest(&digest, &media_type) else {
                tracing::warn!(%digest, repository, "index.json names a manifest that cannot be read; it is left out");
                continue;
            };
            let present = |blob: &&ContentDigest| self.blob_path(blob).exists();
            catalogue.entry(repository).blobs.extend(manifest.blobs.iter().filter(present));
            let children = manifest.children.iter().filter(|(child, _)| self.blob_path(child).exists());
            left.extend(children.map(|(child, media_type)| (*child, media_type.clone(), Vec::new())));
            catalogue.entry(repository).add_manifest(digest, Arc::new(manifest), tags);
        }
    }

    fn manifest(&self, digest: &ContentDigest, media_type: &str) -> Option<Manifest> {
        let path = self.blob_path(digest);
        let fits = fs::metadata(&path).is_ok_and(|file| file.len() <= MANIFEST_LIMIT);
        let bytes = fs::read(&path).ok().filter(|_| fits)?;
        // Damage on disk is for the reader's digest check to find, not a reason to hide the tag.
        Manifest::read(media_type, &bytes).ok()
    }

    pub(super) fn blob_path(&self, digest: &ContentDigest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    pub(super) fn upload_path(&self, id: &str) -> PathBuf {
        work_folder(&self.root).join(format!("{id}.upload"))
    }

    pub(super) async fn keep(&self, digest: &ContentDigest, file: &Temporary) -> io::Result<()> {
        let path = self.blob_path(digest);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        tokio::fs::rename(file.path(), path).await
    }

    pub(super) async fn record(&self, catalogue: &Catalogue) -> io::Result<()> {
        let (bytes, root) = (layout::render(catalogue, &self.foreign)?, self.root.clone());
        tokio::task::spawn_blocking(move || replace(&root, "index.json", &bytes)).await.map_err(io::Error::other)?
    }

    pub(super) async fn remove(&self, digest: &ContentDigest) -> io::Result<()> {
        if self.protected.contains(digest) {
            return Ok(());
        }
        match tokio::fs::remove_file(self.blob_path(digest)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn work_folder(root: &Path) -> PathBuf {
    root.join(".sealift-registry")
}

/// Makes `root` a layout that this process alone writes to.
fn prepare(root: &Path) -> io::Result<fs::File> {
    let failed = |source| FolderError::Io { path: root.to_owned(), source };
    fs::create_dir_all(root).map_err(failed)?;
    let work = work_folder(root);
    let is_layout = root.join("oci-layout").exists();
    let foreign_files = fs::read_dir(root).map_err(failed)?.flatten().any(|entry| entry.path() != work);
    if !is_layout && foreign_files {
        return Err(FolderError::NotALayout { path: root.to_owned() }.into());
    }
    fs::create_dir_all(&work).map_err(failed)?;
    let lock = lock_file(root).map_err(failed)?;
    lock.try_lock().map_err(|_| FolderError::InUse { path: root.to_owned() })?;
    for left_over in fs::read_dir(&work).map_err(failed)?.flatten() {
        if left_over.path().extension().is_some_and(|extension| extension == "upload") {
            fs::remove_file(left_over.path()).map_err(failed)?;
        }
    }
    fs::create_dir_all(root.join("blobs").join("sha256")).map_err(failed)?;
    if !root.join("index.json").exists() {
        replace(root, "index.json", &layout::render(&Catalogue::default(), &[])?).map_err(failed)?;
    }
    if !is_layout {
        // Last, because its presence says that the rest is there.
        replace(root, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed)?;
    }
    Ok(lock)
}

fn check_version(root: &Path) -> io::Result<()> {
    let path = root.join("oci-layout");
    if !path.exists() {
        return Err(FolderError::NotALayout { path: root.to_owned() }.into());
    }
    let marker: Value = serde_json::from_slice(&read(&path)?)
        .map_err(|source| FolderError::Malformed { path: path.clone(), source })?;
    match marker["imageLayoutVersion"].as_str() {
        Some("1.0.0") => Ok(()),
        version => Err(FolderError::Version { path, version: version.unwrap_or_default().to_owned() }.into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    fs::read(path).map_err(|source| FolderError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_folder_that_holds_something_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let error = Folder::open(folder.path(), false).err().unwrap().to_string();
        assert!(error.contains("neither empty nor an OCI image layout"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
    }

    #[test]
    fn refuses_a_second_registry_on_the_same_folder() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Folder::open(folder.path(), false).unwrap();
        let error = Folder::open(folder.path(), false).err().unwrap().to_string();
        assert!(error.contains("another registry is using"), "{error}");
        Folder::open(folder.path(), true).unwrap();
    }

    #[test]
    fn sweeps_unfinished_uploads_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        drop(Folder::open(folder.path(), false).unwrap());
        let left_over = work_folder(folder.path()).join("x.upload");
        fs::write(&left_over, "half").unwrap();
        Folder::open(folder.path(), false).unwrap();
        assert!(!left_over.exists());
    }
}
