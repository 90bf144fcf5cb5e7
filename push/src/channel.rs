//! The channel: a tag that clusters follow. It is moved last, and only forward.
//!
//! A tag is a pointer, and a registry knows no conditional write: two pushes at the same moment can both read the old
//! tag. So each looks again after it has moved the tag, and whoever finds an older release there puts its own back.
//! No cluster depends on this, since it remembers what it accepted.

use bytes::Bytes;
use sealift_registry::{
    client::{ClientError, PutAs},
    store::Store,
};
use sealift_verify::{artifact::IMAGE_MANIFEST, digest::Digest, reference::Repository, statement::Position};
use serde_json::{Value, json};

use crate::{exit::Exit, output::Output};

/// How often a tag is put back before somebody else is left to win.
const ATTEMPTS: usize = 5;

/// What became of the channel's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It names the new release.
    To {
        /// What it named before.
        from: Option<Digest>,
    },
    /// It named the artifact already.
    AlreadyThere,
    /// It names a newer release.
    Superseded {
        /// Where that release stands in the stream.
        by: Position,
        /// Its artifact.
        digest: Digest,
    },
}

impl Moved {
    /// What is said about it.
    pub(crate) fn note(&self, tag: &str, output: &mut Output) {
        match self {
            Self::To { from: Some(from) } => output.note(format_args!("moved     {tag} from {}", from.short())),
            Self::To { from: None } => output.note(format_args!("moved     {tag}, which is new")),
            Self::AlreadyThere => output.note(format_args!("unmoved   {tag} already names this artifact")),
            Self::Superseded { .. } => {}
        }
    }

    /// What it means for scripts; a tag that was left where it is is said last.
    pub(crate) fn exit(&self, tag: &str, output: &mut Output) -> Exit {
        match self {
            Self::To { .. } | Self::AlreadyThere => Exit::Done,
            Self::Superseded { by, .. } => {
                output.warn(format_args!("tag {tag} already names newer release {by}, and was left there"));
                Exit::Superseded
            }
        }
    }

    /// The same in a report.
    pub(crate) fn json(&self, tag: &str) -> Value {
        match self {
            Self::To { from } => json!({"tag": tag, "moved": true, "from": from}),
            Self::AlreadyThere => json!({"tag": tag, "moved": false}),
            Self::Superseded { by, digest } => {
                json!({"tag": tag, "moved": false, "supersededBy": by, "digest": digest})
            }
        }
    }
}

/// A tag and where it is.
#[derive(Debug)]
pub(crate) struct Channel<'a> {
    pub(crate) client: &'a Store,
    pub(crate) repository: &'a Repository,
    pub(crate) tag: &'a str,
}

/// Where a channel is moved to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) digest: Digest,
    pub(crate) manifest: Bytes,
    pub(crate) position: Position,
}

impl Channel<'_> {
    /// Moves the tag to a release unless it names a newer one. Where another artifact stands in the stream is for the
    /// caller to say: whom one believes about it differs.
    pub(crate) async fn advance<E: From<ClientError>>(
        &self,
        to: &Target,
        position_of: impl AsyncFn(Digest) -> Result<Option<Position>, E>,
    ) -> Result<Moved, E> {
        let mut first = None;
        for _ in 0..ATTEMPTS {
            let named = resolve(self.client, self.repository, self.tag).await?;
            // The artifact itself needs no look: a newer statement about it names it all the same.
            if let Some(digest) = named.filter(|named| *named != to.digest)
                && let Some(by) = position_of(digest).await?.filter(|position| *position > to.position)
            {
                return Ok(Moved::Superseded { by, digest });
            }
            let before = *first.get_or_insert(named);
            if named == Some(to.digest) {
                return Ok(if before == named { Moved::AlreadyThere } else { Moved::To { from: before } });
            }
            set(self.client, self.repository, self.tag, &to.manifest).await?;
        }
        // Somebody keeps moving it to something older; what it names in the end is theirs to answer for.
        Ok(Moved::To { from: first.flatten() })
    }
}

/// True of a tag that only says what hangs on an artifact, where a registry has no referrers API.
pub(crate) fn is_attachment(tag: &str) -> bool {
    tag.starts_with("sha256-")
}

/// The digest a tag names; `None` if there is no such tag.
pub(crate) async fn resolve(client: &Store, repository: &Repository, tag: &str) -> Result<Option<Digest>, ClientError> {
    match client.resolve(repository, tag).await {
        Ok(digest) => Ok(Some(digest)),
        Err(ClientError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a tag name a manifest.
pub(crate) async fn set(
    client: &Store,
    repository: &Repository,
    tag: &str,
    manifest: &Bytes,
) -> Result<(), ClientError> {
    client.put_manifest(repository, PutAs::Tag(tag), IMAGE_MANIFEST, manifest.clone()).await.map(|_| ())
}
