//! Whether a promotion is a step forward: nothing replaces what is newer in the environment it comes from.

use sealift_verify::{
    digest::Digest,
    statement::{Position, Statement},
};

use crate::{exit::Exit, failure::Failure};

/// What the target's channel names must not be replaced by this release.
#[derive(Debug, thiserror::Error)]
enum Backward {
    #[error("tag {tag} names {named}, release {there} in {environment}, which is newer than {this}")]
    Newer { tag: String, named: Digest, there: Position, environment: String, this: Position },
    #[error("tag {tag} names {named}, which never was in {environment} and was released later than this was there")]
    Straight { tag: String, named: Digest, environment: String },
}

/// Fails where `named`, which the channel names now, is newer than `source`: where it stands in the source's line
/// (`there`), or, if it never was in that line, by when it was released here (`before`). The sequence is no measure,
/// since a promoted release always gets the next one.
pub(super) fn is_forward(
    tag: &str,
    named: Digest,
    source: &Statement,
    there: Option<Position>,
    before: Option<&Statement>,
) -> Result<(), Failure> {
    let release = &source.release;
    let (tag, this) = (tag.to_owned(), release.position());
    let environment = release.environment.clone().unwrap_or_else(|| "its line".to_owned());
    let backward = match (there, before) {
        (Some(there), _) if there > this => Backward::Newer { tag, named, there, environment, this },
        (None, Some(before)) if before.release.issued_at > release.issued_at => {
            Backward::Straight { tag, named, environment }
        }
        _ => return Ok(()),
    };
    Err(Failure::new(Exit::Superseded, backward).hint(
        "`sealift rollback` sends clusters back on purpose; `sealift refresh` in the environment it comes from makes it \
         the newest there",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promote::statement::tests::stated;

    #[test]
    fn what_is_newer_where_the_release_comes_from_is_not_replaced() {
        let source = stated("staging", 20, "2026-11-02T00:00:00Z");
        let at = |sequence| Some(Position { epoch: source.release.epoch, sequence });
        let straight = |issued: &str| Some(stated("prod", 99, issued));
        let cases = [
            ("older in staging", at(19), straight("2026-11-03T00:00:00Z"), true),
            ("newer in staging", at(21), None, false),
            ("a later epoch in staging", Some(Position { epoch: 3, sequence: 1 }), None, false),
            ("unknown altogether", None, None, true),
            ("released here only, earlier", None, straight("2026-11-01T00:00:00Z"), true),
            ("released here only, later", None, straight("2026-11-03T00:00:00Z"), false),
        ];
        for (name, there, before, forward) in cases {
            let result = is_forward("prod", Digest::of(b"other"), &source, there, before.as_ref());
            assert_eq!(result.is_ok(), forward, "{name}");
            assert!(result.is_ok() || result.is_err_and(|failure| failure.exit == Exit::Superseded), "{name}");
        }
    }
}
