//! The channel: a tag that clusters follow. It is moved last, and only forward.
//!
//! A tag is a pointer, and a registry knows no conditional write: two pushes at the same moment can both read the old
//! tag. So each looks again after it has moved the tag, and whoever finds an older release there puts its own back.
//! No cluster depends on this, since it remembers what it accepted.

use sealift_registry::{
    client::{Client, ClientError, PutAs},
    fetch,
};
use sealift_verify::{
    artifact::IMAGE_MANIFEST,
    digest::Digest,
    keys::PublicKey,
    reference::Repository,
    signature::Envelope,
    statement::{Position, Statement},
};

use super::{package::Package, statement::Draft};

/// How often a tag is put back before somebody else is left to win.
const ATTEMPTS: usize = 5;

/// The release a channel names: the highest statement about it that is of this stream and signed with this key.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) statement: Statement,
}

/// What became of the channel's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moved {
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

/// A channel, and who reads it as what.
#[derive(Debug)]
pub(super) struct Channel<'a> {
    pub(super) client: &'a Client,
    pub(super) key: &'a PublicKey,
    pub(super) draft: &'a Draft,
    pub(super) tag: Option<&'a str>,
}

impl Channel<'_> {
    /// What the channel names now; `None` without a tag, or if nothing there is ours.
    pub(super) async fn head(&self) -> Result<Option<Head>, ClientError> {
        let Some(tag) = self.tag else { return Ok(None) };
        match resolve(self.client, self.draft.repository(), tag).await? {
            Some(digest) => self.statement_of(digest).await,
            None => Ok(None),
        }
    }

    /// The highest statement about an artifact that is ours. Junk and foreign signatures are passed over.
    async fn statement_of(&self, digest: Digest) -> Result<Option<Head>, ClientError> {
        let limits = self.client.limits();
        let found = fetch::signatures(self.client, &self.draft.repository().pin(digest), limits).await?;
        let ours = found.candidates.iter().filter_map(|candidate| {
            let envelope = Envelope::parse(candidate, limits.bundle).ok()?;
            let statement = envelope.signed_by(self.key).then(|| Statement::parse(envelope.payload()).ok())??;
            (statement.artifact == digest && self.draft.is_about(&statement)).then_some(statement)
        });
        let highest = ours.max_by_key(|statement| statement.release.position());
        Ok(highest.map(|statement| Head { statement }))
    }

    /// Moves the tag to the new release unless it names a newer one.
    pub(super) async fn advance(&self, package: &Package, statement: &Statement) -> Result<Moved, ClientError> {
        let Some(tag) = self.tag else { return Ok(Moved::AlreadyThere) };
        let repository = self.draft.repository();
        let mut first = None;
        for _ in 0..ATTEMPTS {
            let named = resolve(self.client, repository, tag).await?;
            if let Some(newer) = self.newer(named, statement).await? {
                return Ok(newer);
            }
            let before = *first.get_or_insert(named);
            if named == Some(package.digest) {
                return Ok(if before == named { Moved::AlreadyThere } else { Moved::To { from: before } });
            }
            self::tag(self.client, repository, tag, package).await?;
        }
        // Somebody keeps moving it to something older; what it names in the end is theirs to answer for.
        Ok(Moved::To { from: first.flatten() })
    }

    async fn newer(&self, named: Option<Digest>, statement: &Statement) -> Result<Option<Moved>, ClientError> {
        let Some(digest) = named else { return Ok(None) };
        // Our own artifact needs no look: its newest statement is the one just attached, or a newer one about the same.
        if digest == statement.artifact {
            return Ok(None);
        }
        let head = self.statement_of(digest).await?;
        let position = head.map(|head| head.statement.release.position());
        let newer = position.filter(|position| *position > statement.release.position());
        Ok(newer.map(|by| Moved::Superseded { by, digest }))
    }
}

/// The digest a tag names; `None` if there is no such tag.
pub(super) async fn resolve(
    client: &Client,
    repository: &Repository,
    tag: &str,
) -> Result<Option<Digest>, ClientError> {
    match client.resolve(repository, tag).await {
        Ok(digest) => Ok(Some(digest)),
        Err(ClientError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Points a tag at the package.
pub(super) async fn tag(
    client: &Client,
    repository: &Repository,
    tag: &str,
    package: &Package,
) -> Result<(), ClientError> {
    client.put_manifest(repository, PutAs::Tag(tag), IMAGE_MANIFEST, package.bytes.clone().into()).await.map(|_| ())
}
