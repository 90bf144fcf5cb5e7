//! A layout that other tools wrote for one repository, served as it lies: a folder, or a tar that nobody unpacks.

use std::{io, path::Path, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use serde_json::Value;

use super::{
    MANIFEST_LIMIT,
    catalogue::Catalogue,
    content_digest::ContentDigest,
    layout::{self, Entry, Index},
    manifest::Manifest,
};
use crate::store::{INDEX, MARKER, Opened};

/// How large a marker and an index may be, in bytes.
const MARKER_LIMIT: u64 = 1 << 10;
const INDEX_LIMIT: u64 = 16 << 20;
/// Manifests that are served, those below indexes included.
const MOST_MANIFESTS: usize = 100_000;
const PIECE: usize = 256 << 10;

/// An open layout.
pub(super) struct ReadAs {
    files: Opened,
}

/// Why a layout cannot be served.
#[derive(Debug, thiserror::Error)]
enum ReadAsError {
    #[error("it is no OCI image layout of version 1.0.0")]
    NotALayout,
    #[error("its index.json cannot be read")]
    Index(#[source] serde_json::Error),
}

fn path(digest: &ContentDigest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

impl ReadAs {
    /// Opens the layout at `root`, whose content is in the repository `name`. Blocks: for start-up only.
    pub(super) fn open(root: &Path, name: &str) -> io::Result<(Self, Catalogue)> {
        let this = Self { files: Opened::at(root)? };
        let marker = this.files.read(MARKER, MARKER_LIMIT)?.unwrap_or_default();
        let version: Value = serde_json::from_slice(&marker).unwrap_or_default();
        if version["imageLayoutVersion"] != "1.0.0" {
            return Err(io::Error::other(ReadAsError::NotALayout));
        }
        let index = this.files.read(INDEX, INDEX_LIMIT)?.ok_or_else(|| io::Error::other(ReadAsError::NotALayout))?;
        let index: Index =
            serde_json::from_slice(&index).map_err(|error| io::Error::other(ReadAsError::Index(error)))?;
        let mut catalogue = Catalogue::default();
        let mut left: Vec<(ContentDigest, String, Vec<String>)> = Vec::new();
        for Entry { digest, media_type, name: named } in
            index.manifests.iter().filter_map(|descriptor| layout::entry_of(descriptor, name))
        {
            left.push((digest, media_type, named.and_then(|(_, tag)| tag).into_iter().collect()));
        }
        for _ in 0..MOST_MANIFESTS {
            let Some((digest, media_type, tags)) = left.pop() else { break };
            let known = catalogue.get(name).and_then(|it| it.manifests.get(&digest)).cloned();
            if let Some(manifest) = known {
                catalogue.entry(name).add_manifest(digest, manifest, tags);
                continue;
            }
            let bytes = this.files.read(&path(&digest), MANIFEST_LIMIT)?;
            // Damage is for the reader's digest check to find, not a reason to hide the tag.
            let Some(manifest) = bytes.and_then(|bytes| Manifest::read(&media_type, &bytes).ok()) else {
                tracing::warn!(%digest, "index.json names a manifest that cannot be read; it is left out");
                continue;
            };
            let repository = catalogue.entry(name);
            for blob in &manifest.blobs {
                if this.files.size(&path(blob))?.is_some() {
                    repository.blobs.insert(*blob);
                }
            }
            left.extend(manifest.children.iter().map(|(child, kind)| (*child, kind.clone(), Vec::new())));
            repository.add_manifest(digest, Arc::new(manifest), tags);
        }
        Ok((this, catalogue))
    }

    pub(super) async fn size(self: &Arc<Self>, digest: ContentDigest) -> io::Result<Option<u64>> {
        self.blocking(move |this| this.files.size(&path(&digest))).await
    }

    pub(super) async fn bytes(self: &Arc<Self>, digest: ContentDigest) -> io::Result<Option<Bytes>> {
        self.blocking(move |this| this.files.read(&path(&digest), MANIFEST_LIMIT)).await
    }

    /// `length` bytes from `start`, piece by piece.
    pub(super) fn body(self: &Arc<Self>, digest: ContentDigest, start: u64, length: u64) -> Body {
        let this = Arc::clone(self);
        Body::from_stream(stream::try_unfold((this, start, length), move |(this, at, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let piece = this.blocking(move |this| this.files.piece(&path(&digest), at, wanted)).await?;
            if piece.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let read = piece.len() as u64;
            Ok(Some((piece, (this, at + read, left - read))))
        }))
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&this)).await.map_err(io::Error::other)?
    }
}
