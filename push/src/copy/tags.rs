//! Tags at the destination: moved, unless they name a newer release of the same line there.

use sealift_registry::{client::ClientError, copy::Side};
use sealift_verify::{
    digest::Digest,
    statement::{Position, Statement},
};
use serde_json::{Value, json};

use super::roots::Root;
use crate::{channel::resolve, failure::Failure, line::Line, release::Artifact};

/// What becomes of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// It is given to the copy.
    To { tag: String, digest: Digest, from: Option<Digest> },
    /// It names the copy already.
    There { tag: String, digest: Digest },
    /// It names a newer release, and is left there.
    Superseded { tag: String, by: Position, digest: Digest },
}

impl Move {
    /// What is to be written.
    pub(super) fn target(&self) -> Option<(String, Digest)> {
        match self {
            Self::To { tag, digest, .. } => Some((tag.clone(), *digest)),
            Self::There { .. } | Self::Superseded { .. } => None,
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::To { tag, digest, from } => json!({"tag": tag, "digest": digest, "moved": true, "from": from}),
            Self::There { tag, digest } => json!({"tag": tag, "digest": digest, "moved": false}),
            Self::Superseded { tag, by, digest } => {
                json!({"tag": tag, "digest": digest, "moved": false, "supersededBy": by})
            }
        }
    }
}

/// Looks at what the tags name now.
pub(super) async fn moves(to: Side<'_>, roots: &[Root], artifacts: &[Artifact]) -> Result<Vec<Move>, Failure> {
    let mut moves = Vec::new();
    for (root, artifact) in roots.iter().zip(artifacts) {
        let (Some(tag), digest) = (root.tag.clone(), root.digest) else { continue };
        let named = match resolve(to.store, to.repository, &tag).await {
            // A layout that has only just begun has no tags.
            Err(ClientError::NotFound { .. }) => None,
            named => named?,
        };
        moves.push(match named {
            Some(named) if named == digest => Move::There { tag, digest },
            None => Move::To { tag, digest, from: None },
            Some(other) => {
                let there = match Artifact::fetch(to.store, to.repository.pin(other)).await {
                    Ok(there) => there.releases().into_iter().map(|(_, statement)| statement).collect(),
                    Err(ClientError::NotFound { .. }) => Vec::new(),
                    Err(error) => return Err(error.into()),
                };
                let ours: Vec<_> = artifact.releases().into_iter().map(|(_, statement)| statement).collect();
                match newer(&ours, &there) {
                    Some(by) => Move::Superseded { tag, by, digest: other },
                    None => Move::To { tag, digest, from: Some(other) },
                }
            }
        });
    }
    Ok(moves)
}

/// Where the other artifact stands, if that is ahead of ours in a line that both are in. Nobody is believed: whoever can
/// put a statement there can move the tag as well.
fn newer(ours: &[Statement], others: &[Statement]) -> Option<Position> {
    let highest = |line: Line<'_>| {
        let in_line = ours.iter().filter(|statement| Line::of(&statement.release) == line);
        in_line.map(|statement| statement.release.position()).max()
    };
    let ahead = others.iter().filter_map(|statement| {
        let (position, ours) = (statement.release.position(), highest(Line::of(&statement.release))?);
        (position > ours).then_some(position)
    });
    ahead.max()
}
