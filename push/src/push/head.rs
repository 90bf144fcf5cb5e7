//! What the channel names now, in the eyes of whoever pushes to it.

use sealift_registry::{
    client::{Client, ClientError},
    fetch::{self, Legacy},
};
use sealift_verify::{
    digest::Digest,
    signature::Envelope,
    statement::{Position, Statement},
};

use super::statement::Draft;
use crate::{channel::resolve, signing::Signatory};

/// The release a channel names: the highest statement about it that is of this stream and by this signer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) statement: Statement,
}

/// Who reads statements, and as what.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) client: &'a Client,
    pub(super) signatory: &'a Signatory,
    pub(super) draft: &'a Draft,
}

impl Reader<'_> {
    /// What a channel names now; `None` without a tag, or if nothing there is ours.
    pub(super) async fn head(&self, tag: Option<&str>) -> Result<Option<Head>, ClientError> {
        let Some(tag) = tag else { return Ok(None) };
        match resolve(self.client, self.draft.repository(), tag).await? {
            Some(digest) => self.statement_of(digest).await,
            None => Ok(None),
        }
    }

    /// Where an artifact stands in the stream, if a statement about it is ours, or could be as far as can be told: a tag
    /// is left alone for either.
    pub(super) async fn position_of(&self, digest: Digest) -> Result<Option<Position>, ClientError> {
        let head = self.highest(digest, |envelope| self.signatory.may_have_made(envelope)).await?;
        Ok(head.map(|head| head.statement.release.position()))
    }

    /// The highest statement about an artifact that is ours. What cannot be told to be ours decides no sequence.
    async fn statement_of(&self, digest: Digest) -> Result<Option<Head>, ClientError> {
        self.highest(digest, |envelope| self.signatory.made(envelope)).await
    }

    /// Junk and foreign signatures are passed over.
    async fn highest(&self, digest: Digest, is_ours: impl Fn(&Envelope) -> bool) -> Result<Option<Head>, ClientError> {
        let limits = self.client.limits();
        let found =
            fetch::signatures(self.client, &self.draft.repository().pin(digest), limits, Legacy::Ignored).await?;
        let ours = found.candidates.iter().filter_map(|candidate| {
            let envelope = Envelope::parse(candidate, limits.bundle).ok()?;
            let statement = is_ours(&envelope).then(|| Statement::parse(envelope.payload()).ok())??;
            (statement.artifact == digest && self.draft.is_about(&statement)).then_some(statement)
        });
        let highest = ours.max_by_key(|statement| statement.release.position());
        Ok(highest.map(|statement| Head { statement }))
    }
}
