//! Lines of releases: one stream in one environment, in which each statement has its place. Where an artifact stands in
//! one is told by one's own statements about it, or by those that the policies trust.

use sealift_registry::{
    client::ClientError,
    fetch::{self, Legacy},
    store::Store,
};
use sealift_verify::{
    digest::Digest,
    reference::Repository,
    signature::Envelope,
    statement::{Position, Release, Statement},
    verify::{Facts, admit},
};

use crate::{channel::resolve, failure::Failure, policies::Trust, signing::Signatory};

/// A stream in an environment, which has an order of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) stream: &'a str,
    pub(crate) environment: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// The line that a release belongs to.
    pub(crate) fn of(release: &'a Release) -> Self {
        Self { stream: &release.stream, environment: release.environment.as_deref() }
    }
}

/// One's own word: what a signer has said before about artifacts of a repository.
#[derive(Debug)]
pub(crate) struct Own<'a> {
    pub(crate) client: &'a Store,
    pub(crate) repository: &'a Repository,
    pub(crate) signatory: &'a Signatory,
    pub(crate) line: Line<'a>,
}

impl Own<'_> {
    /// The highest statement about what a tag names now; `None` without a tag, or if nothing there is ours.
    pub(crate) async fn head(&self, tag: Option<&str>) -> Result<Option<Statement>, ClientError> {
        let Some(tag) = tag else { return Ok(None) };
        match resolve(self.client, self.repository, tag).await? {
            Some(digest) => self.statement(digest).await,
            None => Ok(None),
        }
    }

    /// Where an artifact stands in the line, if a statement about it is ours, or could be as far as can be told: a tag
    /// is left alone for either.
    pub(crate) async fn position(&self, digest: Digest) -> Result<Option<Position>, ClientError> {
        let highest = self.highest(digest, |envelope| self.signatory.may_have_made(envelope)).await?;
        Ok(highest.map(|statement| statement.release.position()))
    }

    /// The highest statement about an artifact that is ours. What cannot be told to be ours decides no sequence.
    pub(crate) async fn statement(&self, digest: Digest) -> Result<Option<Statement>, ClientError> {
        self.highest(digest, |envelope| self.signatory.made(envelope)).await
    }

    /// Junk and foreign signatures are passed over.
    async fn highest(
        &self,
        digest: Digest,
        is_ours: impl Fn(&Envelope) -> bool,
    ) -> Result<Option<Statement>, ClientError> {
        let limits = self.client.limits();
        let found = fetch::signatures(self.client, &self.repository.pin(digest), limits, Legacy::Ignored).await?;
        let ours = found.candidates.iter().filter_map(|candidate| {
            let envelope = Envelope::parse(candidate, limits.bundle).ok()?;
            let statement = is_ours(&envelope).then(|| Statement::parse(envelope.payload()).ok())??;
            (statement.artifact == digest && Line::of(&statement.release) == self.line).then_some(statement)
        });
        Ok(ours.max_by_key(|statement| statement.release.position()))
    }
}

/// The word of those whom the policies trust.
#[derive(Debug)]
pub(crate) struct Trusted<'a> {
    pub(crate) client: &'a Store,
    /// Where the bytes are.
    pub(crate) repository: &'a Repository,
    /// Which repository they are judged as.
    pub(crate) logical: &'a Repository,
    pub(crate) trust: &'a Trust,
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) line: Line<'a>,
}

impl Trusted<'_> {
    /// Where an artifact stands in the line, by a statement that those whom the policies trust have signed: if that has
    /// expired since, it is newer all the same. Half-approved releases hold nothing up.
    pub(crate) async fn position(&self, digest: Digest) -> Result<Option<Position>, Failure> {
        let (place, logical) = (self.repository.pin(digest), self.logical.pin(digest));
        let unverified = match fetch::unverified(self.client, &place, &logical, Legacy::Ignored).await {
            Ok(unverified) => unverified,
            Err(ClientError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Line { stream, environment } = self.line;
        let facts = Facts { stream: Some(stream), environment, memory: None, ..self.facts.clone() };
        let statement = admit(&unverified, &self.trust.policies, &facts).evidence.statement;
        let same = statement
            .filter(|found| Line { stream: &found.stream, environment: found.environment.as_deref() } == self.line);
        Ok(same.map(|found| found.position))
    }
}
