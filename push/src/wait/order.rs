//! Whether what is waited for is older than what a Delivery is at, by what both state. *registry* for the statements, else
//! *pure*
//!
//! Nothing of it is verified: it only ends a wait that could else last until its time is over, and applies nothing.

use std::{collections::BTreeMap, time::Duration};

use sealift_registry::store::Store;
use sealift_verify::{
    digest::Digest,
    reference::Repository,
    statement::{Position, Release},
};

use crate::release::Artifact;

/// Longest wait for the statements of one artifact.
const LIMIT: Duration = Duration::from_secs(30);

/// A release statement about an artifact, as far as order goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    payload: Digest,
    stream: String,
    environment: Option<String>,
    position: Position,
}

impl Stated {
    fn of(payload: Digest, release: &Release) -> Self {
        let Release { stream, environment, .. } = release;
        Self { payload, stream: stream.clone(), environment: environment.clone(), position: release.position() }
    }

    fn line(&self) -> (&str, Option<&str>) {
        (&self.stream, self.environment.as_deref())
    }
}

/// Statements about artifacts of one repository, each artifact asked for once.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) store: Store,
    /// As the store is asked for it.
    pub(super) repository: Repository,
    known: BTreeMap<Digest, Vec<Stated>>,
}

impl Statements {
    pub(super) fn new(store: Store, repository: Repository) -> Self {
        Self { store, repository, known: BTreeMap::new() }
    }

    /// Whether `wanted` is older than `other`; `None` if nobody says. `statement` is the one by which the other runs.
    pub(super) async fn is_older(&mut self, wanted: Digest, other: Digest, statement: Option<Digest>) -> Option<bool> {
        let wanted = self.about(wanted).await;
        let other = self.about(other).await;
        is_older(&wanted, &other, statement)
    }

    async fn about(&mut self, digest: Digest) -> Vec<Stated> {
        if let Some(known) = self.known.get(&digest) {
            return known.clone();
        }
        let fetched = Artifact::fetch(&self.store, self.repository.pin(digest));
        let stated = match tokio::time::timeout(LIMIT, fetched).await {
            Ok(Ok(artifact)) => {
                let releases = artifact.releases();
                releases.iter().map(|(payload, stated)| Stated::of(payload.digest, &stated.release)).collect()
            }
            Ok(Err(error)) => {
                tracing::info!(error = &error as &dyn std::error::Error, %digest, "its statements cannot be read");
                vec![]
            }
            Err(_) => vec![],
        };
        self.known.insert(digest, stated.clone());
        stated
    }
}

/// Decides by every line (stream and environment) that both are released in, or by that of `statement` alone. Where lines
/// disagree nobody says.
fn is_older(wanted: &[Stated], other: &[Stated], statement: Option<Digest>) -> Option<bool> {
    let counts = other.iter().find(|stated| Some(stated.payload) == statement).map(Stated::line);
    let highest = |all: &[Stated], line| all.iter().filter(|it| it.line() == line).map(|it| it.position).max();
    let lines = other.iter().map(Stated::line).filter(|line| counts.is_none_or(|counts| counts == *line));
    let mut verdicts = lines.filter_map(|line| Some(highest(wanted, line)? < highest(other, line)?));
    let first = verdicts.next()?;
    verdicts.all(|verdict| verdict == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `stream/environment/sequence` each; the payload is what it says.
    fn stated(all: &[&str]) -> Vec<Stated> {
        let one = |text: &&str| {
            let [stream, environment, sequence] = text.split('/').collect::<Vec<_>>()[..] else { panic!("{text}") };
            Stated {
                payload: Digest::of(text.as_bytes()),
                stream: stream.to_owned(),
                environment: (!environment.is_empty()).then(|| environment.to_owned()),
                position: Position { epoch: 0, sequence: sequence.parse().unwrap() },
            }
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn of_two_artifacts_the_one_is_older_whose_releases_come_before_those_of_the_other_in_every_line_they_share() {
        for (wanted, other, by, older) in [
            (&["a//1"][..], &["a//2"][..], None, Some(true)),
            (&["a//2"], &["a//1"], None, Some(false)),
            (&["a//2"], &["a//2"], None, Some(false)),
            // A wanted rollback: an old artifact with a new statement.
            (&["a//1", "a//3"], &["a//2"], None, Some(false)),
            (&["a//1", "a//3"], &["a//2", "a//4"], Some("a//2"), Some(true)),
            // Other streams and environments have an order of their own.
            (&["a//1"], &["b//2"], None, None),
            (&["a/stage/1"], &["a/prod/2"], None, None),
            (&["a/stage/1", "a/prod/9"], &["a/stage/2", "a/prod/8"], None, None),
            (&["a/stage/1", "a/prod/9"], &["a/stage/2", "a/prod/8"], Some("a/prod/8"), Some(false)),
            (&["a/stage/1", "a/prod/9"], &["a/stage/2", "a/prod/8"], Some("a/stage/2"), Some(true)),
            (&[], &["a//2"], None, None),
            (&["a//1"], &[], None, None),
        ] {
            let statement = by.map(|text: &str| Digest::of(text.as_bytes()));
            assert_eq!(is_older(&stated(wanted), &stated(other), statement), older, "{wanted:?} {other:?} {by:?}");
        }
    }
}
