//! The catalogue and the bytes, changed together.

use std::{io, sync::Arc};

use tokio::sync::{RwLock, RwLockReadGuard};

use super::{
    Store, blobs::Blobs, catalogue::Catalogue, content_digest::ContentDigest, folder::Folder, manifest::Manifest,
    read_as::ReadAs, spool::Sealed,
};

/// What the registry has.
pub(super) struct Holdings {
    catalogue: RwLock<Catalogue>,
    pub(super) blobs: Blobs,
}

/// What a change needs beside the edit of the catalogue.
#[derive(Default)]
struct Change {
    /// Content to move into place first.
    incoming: Option<(ContentDigest, Sealed)>,
    /// Content to delete afterwards, unless a repository still has it.
    outgoing: Option<ContentDigest>,
    /// Whether the edit touches manifests or tags, which have to be written down.
    listed: bool,
}

impl Holdings {
    pub(super) async fn open(store: Store, read_only: bool, memory_limit: u64) -> io::Result<Self> {
        let (blobs, catalogue) = match store {
            Store::Memory => (Blobs::memory(memory_limit), Catalogue::default()),
            Store::Layout(root) => {
                let open = move || Folder::open(&root, read_only);
                let (folder, catalogue) = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
                (Blobs::Folder(folder), catalogue)
            }
            Store::ReadAs { layout, name } => {
                let open = move || ReadAs::open(&layout, &name);
                let (layout, catalogue) = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
                (Blobs::ReadAs(Arc::new(layout)), catalogue)
            }
        };
        Ok(Self { catalogue: RwLock::new(catalogue), blobs })
    }

    pub(super) async fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().await
    }

    pub(super) async fn add_blob(
        self: &Arc<Self>,
        name: &str,
        digest: ContentDigest,
        sealed: Sealed,
    ) -> io::Result<()> {
        let name = name.to_owned();
        let change = Change { incoming: Some((digest, sealed)), ..Change::default() };
        self.change(change, move |it| it.entry(&name).blobs.insert(digest)).await?;
        Ok(())
    }

    /// Gives repository `name` a blob that `from`, or without it any repository, has; whether one had it.
    pub(super) async fn mount(
        self: &Arc<Self>,
        name: &str,
        from: Option<&str>,
        digest: ContentDigest,
    ) -> io::Result<bool> {
        let (name, from) = (name.to_owned(), from.map(str::to_owned));
        self.change(Change::default(), move |it| {
            let found = from.map_or_else(|| it.any_has_blob(&digest), |from| it.has_blob(&from, &digest));
            if found {
                it.entry(&name).blobs.insert(digest);
            }
            found
        })
        .await
    }

    pub(super) async fn add_manifest(
        self: &Arc<Self>,
        name: &str,
        (digest, sealed): (ContentDigest, Sealed),
        manifest: Manifest,
        tags: Vec<String>,
    ) -> io::Result<()> {
        let name = name.to_owned();
        let change = Change { incoming: Some((digest, sealed)), outgoing: None, listed: true };
        self.change(change, move |it| it.entry(&name).add_manifest(digest, Arc::new(manifest), tags)).await
    }

    pub(super) async fn remove_manifest(self: &Arc<Self>, name: &str, digest: ContentDigest) -> io::Result<bool> {
        let name = name.to_owned();
        let change = Change { incoming: None, outgoing: Some(digest), listed: true };
        self.change(change, move |it| it.remove_manifest(&name, &digest)).await
    }

    pub(super) async fn remove_tag(self: &Arc<Self>, name: &str, tag: &str) -> io::Result<bool> {
        let (name, tag) = (name.to_owned(), tag.to_owned());
        let change = Change { listed: true, ..Change::default() };
        self.change(change, move |it| it.remove_tag(&name, &tag)).await
    }

    pub(super) async fn remove_blob(self: &Arc<Self>, name: &str, digest: ContentDigest) -> io::Result<bool> {
        let name = name.to_owned();
        let change = Change { outgoing: Some(digest), ..Change::default() };
        self.change(change, move |it| it.remove_blob(&name, &digest)).await
    }

    /// Does a change whole or not at all.
    ///
    /// It runs in a task of its own, because a client that hangs up drops the request's future at any await, and under
    /// the write lock, so that no deletion takes a file away between its arrival and its entry in the catalogue.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: Change,
        edit: impl FnOnce(&mut Catalogue) -> T + Send + 'static,
    ) -> io::Result<T> {
        let this = Arc::clone(self);
        let task = async move {
            let Change { incoming, outgoing, listed } = change;
            let mut current = this.catalogue.write().await;
            if let Some((digest, sealed)) = incoming {
                this.blobs.keep(&digest, sealed).await?;
            }
            let answer = if listed && matches!(this.blobs, Blobs::Folder(_)) {
                let mut next = current.clone();
                let answer = edit(&mut next);
                this.blobs.record(&next).await?;
                *current = next;
                answer
            } else {
                edit(&mut current)
            };
            if let Some(digest) = outgoing.filter(|digest| !current.holds(digest)) {
                this.blobs.remove(&digest).await?;
            }
            Ok(answer)
        };
        tokio::spawn(task).await.map_err(io::Error::other)?
    }
}
