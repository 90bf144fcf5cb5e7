//! The next environment's statement: pure, given what was verified, the time and what was said there before.

use jiff::Timestamp;
use sealift_verify::{
    digest::Digest,
    duration::Duration,
    statement::{Promoted, Statement},
};

use crate::{
    failure::Failure,
    push::{expiry_after, next_sequence, previous},
};

/// What the person and the target's line add to what was verified.
#[derive(Debug)]
pub(super) struct Next<'a> {
    pub(super) environment: &'a str,
    pub(super) epoch: Option<u64>,
    pub(super) lasts: Option<Duration>,
    /// The latest of the target's line.
    pub(super) head: Option<&'a Statement>,
}

impl Next<'_> {
    /// The same about content, source and build; another place and time, and none of the order that belongs to the
    /// environment it comes from.
    pub(super) fn statement(&self, source: &Statement, payload: Digest, now: Timestamp) -> Result<Statement, Failure> {
        let before = self.head.map(|head| head.release.position());
        let mut statement = source.clone();
        let release = &mut statement.release;
        release.expires_at = expiry_after(&source.release, self.lasts, now)?;
        release.promoted_from = Some(Promoted { statement: payload, environment: release.environment.take() });
        release.environment = Some(self.environment.to_owned());
        release.epoch = self.epoch.or(before.map(|before| before.epoch)).unwrap_or_default();
        let same_epoch = before.filter(|before| before.epoch == release.epoch);
        release.sequence = next_sequence(same_epoch.map(|before| before.sequence), now)?;
        release.previous = self.head.filter(|head| head.release.position() < release.position()).map(previous);
        release.rollback_of = None;
        release.not_before = None;
        release.issued_at = now;
        Ok(statement)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use sealift_verify::statement::{Content, Previous, Release, Scope};
    use serde_json::json;

    use super::*;
    use crate::exit::Exit;

    const NOW: &str = "2026-11-10T00:00:00Z";

    pub(in crate::promote) fn stated(environment: &str, sequence: u64, issued_at: &str) -> Statement {
        let digest = Digest::of(b"content");
        let release = Release {
            stream: "acme/shop".into(),
            environment: Some(environment.into()),
            repositories: vec!["registry.example/acme/shop".parse().unwrap()],
            version: Some("1.4.2".into()),
            epoch: 2,
            sequence,
            previous: Some(Previous { statement: digest, sequence: 1 }),
            rollback_of: Some(digest),
            promoted_from: None,
            issued_at: issued_at.parse().unwrap(),
            not_before: Some(issued_at.parse().unwrap()),
            expires_at: None,
            content: Content { layer: digest, uncompressed: digest, files: 1, objects: 1, inventory: digest },
            parameters: vec!["COLOUR=blue".parse().unwrap()],
            scope: Scope { namespaces: vec!["shop".into()], ..Scope::default() },
            images: vec!["i:1".into()],
            unpinned_images: vec!["i:1".into()],
            variants: vec![],
            source: None,
            build: Some(json!({"tool": "sealift/0"})),
            critical: vec!["content".into()],
        };
        Statement { name: "registry.example/acme/shop".into(), artifact: Digest::of(b"artifact"), release }
    }

    fn next<'a>(head: Option<&'a Statement>, epoch: Option<u64>, lasts: Option<&str>) -> Next<'a> {
        Next { environment: "prod", epoch, lasts: lasts.map(|lasts| lasts.parse().unwrap()), head }
    }

    #[test]
    fn what_was_verified_is_kept_and_the_order_is_the_targets() {
        let now: Timestamp = NOW.parse().unwrap();
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap();
        let source = stated("staging", 20, "2026-11-02T00:00:00Z");
        let payload = Digest::of(&source.to_payload());
        let first = next(None, None, None).statement(&source, payload, now).unwrap();
        let mut expected = source.clone();
        expected.release.environment = Some("prod".into());
        expected.release.promoted_from = Some(Promoted { statement: payload, environment: Some("staging".into()) });
        (expected.release.epoch, expected.release.sequence) = (0, milliseconds);
        (expected.release.previous, expected.release.rollback_of, expected.release.not_before) = (None, None, None);
        expected.release.issued_at = now;
        assert_eq!(first, expected);
        assert_eq!(Statement::parse(&first.to_payload()).unwrap(), first, "readers take it");

        let mut head = first.clone();
        (head.release.epoch, head.release.sequence) = (3, milliseconds + 5);
        let second = next(Some(&head), None, None).statement(&source, payload, now).unwrap();
        assert_eq!((second.release.epoch, second.release.sequence), (3, milliseconds + 6));
        assert_eq!(second.release.previous, Some(previous(&head)));
        let raised = next(Some(&head), Some(4), None).statement(&source, payload, now).unwrap();
        assert_eq!((raised.release.epoch, raised.release.sequence), (4, milliseconds));
    }

    #[test]
    fn how_long_it_lasts_is_said_where_the_verified_one_ends() {
        let now: Timestamp = NOW.parse().unwrap();
        let mut source = stated("staging", 20, "2026-11-02T00:00:00Z");
        source.release.expires_at = Some("2026-12-01T00:00:00Z".parse().unwrap());
        let promote = |lasts| next(None, None, lasts).statement(&source, Digest::of(b""), now);
        assert_eq!(promote(None).unwrap_err().exit, Exit::Usage);
        assert_eq!(promote(Some("24h")).unwrap().release.expires_at, Some("2026-11-11T00:00:00Z".parse().unwrap()));
    }
}
