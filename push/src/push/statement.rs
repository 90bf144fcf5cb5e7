//! The statement to sign: pure, given the time and what the channel names now.

use jiff::{SignedDuration, Timestamp};
use sealift_verify::{
    artifact::Descriptor,
    digest::Digest,
    duration::Duration,
    reference::{Repository, is_tag},
    statement::{Previous, Release, Statement, VARIANTS},
};

use super::package::Package;
use crate::{
    channel::is_attachment,
    cli::push::PushArgs,
    exit::Exit,
    failure::{Failure, usage},
    line::Line,
    origin::Origin,
};

/// A default sequence further ahead than this comes from a clock or a counter gone wrong, and would burn the stream.
const MOST_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// Everything a statement says but its place in the stream.
#[derive(Debug)]
pub(super) struct Draft {
    statement: Statement,
    sequence: Option<u64>,
    epoch: Option<u64>,
}

/// Why no statement is signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatementError {
    #[error("version {0:?} is not a semantic version that can be a tag, such as 1.4.2 or v2.0.0-rc.1")]
    Version(String),
    #[error("--not-before {not_before} is not before the expiry {expires_at}")]
    Window { not_before: Timestamp, expires_at: Timestamp },
    #[error("the expiry lies beyond the end of time")]
    Expiry,
    #[error("the next sequence would be {sequence}, more than a day ahead of this clock ({now})")]
    Ahead { sequence: u64, now: Timestamp },
    #[error("sequence {sequence} of epoch {epoch} is already taken by another release of this stream")]
    SequenceTaken { sequence: u64, epoch: u64 },
    #[error("tag {tag} already names {other}, and a release's own tag never moves")]
    TagTaken { tag: String, other: Digest },
}

impl From<StatementError> for Failure {
    fn from(error: StatementError) -> Self {
        let hint = match &error {
            StatementError::Version(_) | StatementError::Window { .. } | StatementError::Expiry => None,
            StatementError::Ahead { .. } => {
                Some("check this machine's clock; give --sequence, or raise --epoch to begin anew")
            }
            StatementError::SequenceTaken { .. } => Some("leave --sequence out, or give a higher one"),
            StatementError::TagTaken { .. } => Some("give the changed manifests another --version (or --sequence)"),
        };
        let failure = Self::new(Exit::InvalidInput, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl Draft {
    pub(super) fn new(
        args: &PushArgs,
        repository: &Repository,
        package: &Package,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Self, StatementError> {
        let wanted = &args.statement;
        if let Some(version) = wanted.version.as_deref().filter(|version| !is_version(version)) {
            return Err(StatementError::Version(version.to_owned()));
        }
        let stream = wanted.stream.clone().unwrap_or_else(|| repository.path().to_owned());
        let expires_at = wanted.expires_in.map(|length| expiry(length, wanted.not_before, now)).transpose()?;
        let mut repositories = vec![repository.clone()];
        repositories.extend(wanted.repository.iter().filter(|other| *other != repository).cloned());
        let release = Release {
            stream,
            environment: wanted.env.clone(),
            repositories,
            version: wanted.version.clone(),
            epoch: 0,
            sequence: 0,
            previous: None,
            rollback_of: None,
            promoted_from: None,
            issued_at: now,
            not_before: wanted.not_before,
            expires_at,
            content: package.content.clone(),
            parameters: package.parameters.clone(),
            scope: package.scope.clone(),
            images: package.images.clone(),
            unpinned_images: package.unpinned.clone(),
            variants: package.variants.clone(),
            source: origin.source(),
            build: Some(origin.build()),
            critical: if package.variants.is_empty() { Vec::new() } else { vec![VARIANTS.to_owned()] },
        };
        let statement = Statement { name: repository.to_string(), artifact: package.digest, release };
        Ok(Self { statement, sequence: wanted.sequence, epoch: wanted.epoch })
    }

    /// The line it goes on with.
    pub(super) fn line(&self) -> Line<'_> {
        Line::of(&self.statement.release)
    }

    /// The statement that follows what the channel names now.
    pub(super) fn follow(&self, head: Option<&Statement>) -> Result<Statement, StatementError> {
        let mut statement = self.statement.clone();
        let release = &mut statement.release;
        let before = head.map(|head| head.release.position());
        release.epoch = self.epoch.or(before.map(|p| p.epoch)).unwrap_or_default();
        release.sequence = match self.sequence {
            Some(sequence) => sequence,
            None => next_sequence(
                before.filter(|p| p.epoch == release.epoch).map(|p| p.sequence),
                self.statement.release.issued_at,
            )?,
        };
        if before == Some(release.position()) {
            let (sequence, epoch) = (release.sequence, release.epoch);
            return Err(StatementError::SequenceTaken { sequence, epoch });
        }
        // A release that comes too late follows nothing; its number only says where it would have been.
        let earlier = head.filter(|head| head.release.position() < release.position());
        release.previous = earlier.map(previous);
        Ok(statement)
    }
}

/// A statement as the next one names it.
pub(crate) fn previous(statement: &Statement) -> Previous {
    Previous { statement: Digest::of(&statement.to_payload()), sequence: statement.release.sequence }
}

/// The sequence after `before`, and never behind the clock.
pub(crate) fn next_sequence(before: Option<u64>, now: Timestamp) -> Result<u64, StatementError> {
    let millisecond = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or_default();
    let sequence = before.map_or(0, |before| before.saturating_add(1)).max(millisecond(now));
    let latest = now.checked_add(MOST_AHEAD).unwrap_or(Timestamp::MAX);
    if sequence > millisecond(latest) {
        return Err(StatementError::Ahead { sequence, now });
    }
    Ok(sequence)
}

/// When a statement that lasts for `length` expires; never before it begins.
pub(crate) fn expiry(
    length: Duration,
    not_before: Option<Timestamp>,
    now: Timestamp,
) -> Result<Timestamp, StatementError> {
    let length = SignedDuration::try_from(length.get()).map_err(|_| StatementError::Expiry)?;
    let expires_at = now.checked_add(length).map_err(|_| StatementError::Expiry)?;
    match not_before.filter(|not_before| *not_before >= expires_at) {
        Some(not_before) => Err(StatementError::Window { not_before, expires_at }),
        None => Ok(expires_at),
    }
}

/// When a statement expires that is made after another: never, if that did not, and otherwise only as somebody said.
pub(crate) fn expiry_after(
    before: &Release,
    length: Option<Duration>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    match (length, before.expires_at) {
        (Some(length), _) => Ok(Some(expiry(length, None, now)?)),
        (None, None) => Ok(None),
        (None, Some(end)) => {
            let error =
                usage(format!("the statement before lasts until {end}, and how long the new one lasts is not said"));
            Err(error.hint("say it with --expires-in, such as --expires-in 720h"))
        }
    }
}

/// The tag that names this release for ever: its version, or its place in the stream.
pub(super) fn immutable_tag(statement: &Statement) -> String {
    let release = &statement.release;
    match (&release.version, release.epoch) {
        (Some(version), _) => version.clone(),
        (None, 0) => format!("seq-{}", release.sequence),
        (None, epoch) => format!("seq-{epoch}-{}", release.sequence),
    }
}

/// False for tags that belong to signatures or, as [`immutable_tag`] makes them, to single releases.
pub(crate) fn is_channel(tag: &str) -> bool {
    let sequence = tag.strip_prefix("seq-").map(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    !is_attachment(tag) && sequence != Some(true)
}

/// The failure of a release whose own tag is taken by something else.
pub(super) fn taken(tag: &str, other: Digest) -> Failure {
    StatementError::TagTaken { tag: tag.to_owned(), other }.into()
}

/// A tag cannot hold the `+` of build metadata, and a version that is written differently as a tag would be two versions.
fn is_version(version: &str) -> bool {
    is_tag(version) && semver::Version::parse(version.strip_prefix('v').unwrap_or(version)).is_ok()
}

/// What a descriptor of the layer says, for reports.
pub(super) fn layer_line(layer: &Descriptor, files: usize) -> String {
    format!("{} files, {} bytes, {}", files, layer.size, layer.media_type)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;
    use sealift_verify::{
        artifact::{Format, Limits},
        objects::yaml::Source,
    };

    use super::*;
    use crate::{
        cli::{Cli, Command},
        manifests,
        pin::Pinning,
        push::content::Set,
    };

    const NOW: &str = "2026-11-01T00:00:00Z";

    fn draft(arguments: &str) -> Result<Draft, StatementError> {
        let line = format!("sealift push oci://registry.example/acme/shop:prod -f x --key k {arguments}");
        let Command::Push(args) = Cli::parse_from(line.split_whitespace()).command else { panic!("not a push") };
        let source = Source { name: "a".into(), bytes: b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n".to_vec() };
        let objects = manifests::read(&[source], &Limits::default()).unwrap();
        let sets = [Set { variant: None, pinning: Pinning::left(objects, &[]), parameters: Vec::new() }];
        let package = Package::new(&sets, Format::Sealift, BTreeMap::new()).unwrap();
        let logical = "registry.example/acme/shop".parse().unwrap();
        Draft::new(&args, &logical, &package, &Origin::default(), NOW.parse().unwrap())
    }

    fn head(epoch: u64, sequence: u64) -> Statement {
        let mut statement = draft("").unwrap().statement;
        (statement.release.epoch, statement.release.sequence) = (epoch, sequence);
        statement
    }

    #[test]
    fn the_default_sequence_is_the_time_or_one_more_than_before() {
        let now = u64::try_from(NOW.parse::<Timestamp>().unwrap().as_millisecond()).unwrap();
        let sequence = |head: Option<&Statement>| draft("").unwrap().follow(head).map(|s| s.release.sequence);
        assert_eq!(sequence(None).unwrap(), now);
        assert_eq!(sequence(Some(&head(0, 41))).unwrap(), now);
        assert_eq!(sequence(Some(&head(0, now + 5))).unwrap(), now + 6);
        assert!(matches!(sequence(Some(&head(0, now + 86_400_000))), Err(StatementError::Ahead { .. })));
        assert!(matches!(sequence(Some(&head(0, u64::MAX))), Err(StatementError::Ahead { .. })));
    }

    #[test]
    fn a_new_statement_names_the_one_it_follows() {
        let (before, statement) = (head(0, 41), draft("--sequence 42").unwrap());
        let previous = statement.follow(Some(&before)).unwrap().release.previous.unwrap();
        assert_eq!((previous.sequence, previous.statement), (41, Digest::of(&before.to_payload())));
        assert_eq!(statement.follow(Some(&head(0, 43))).unwrap().release.previous, None);
        assert!(matches!(statement.follow(Some(&head(0, 42))), Err(StatementError::SequenceTaken { .. })));
    }

    #[test]
    fn an_epoch_is_kept_until_it_is_raised() {
        assert_eq!(draft("").unwrap().follow(Some(&head(3, 1))).unwrap().release.epoch, 3);
        let raised = draft("--epoch 4 --sequence 1").unwrap().follow(Some(&head(3, 9))).unwrap();
        assert_eq!((raised.release.epoch, immutable_tag(&raised).as_str()), (4, "seq-4-1"));
        // A burned counter does not reach into the next epoch.
        assert!(draft("--epoch 4").unwrap().follow(Some(&head(3, u64::MAX))).is_ok());
    }

    #[test]
    fn versions_are_semantic_and_fit_into_a_tag() {
        for good in ["1.4.2", "v2.0.0-rc.1"] {
            assert!(draft(&format!("--version {good}")).is_ok(), "{good}");
        }
        for bad in ["1.4", "latest", "1.4.2+build", "vv1.0.0"] {
            assert!(matches!(draft(&format!("--version {bad}")), Err(StatementError::Version(_))), "{bad}");
        }
    }

    #[test]
    fn a_statement_that_is_never_valid_is_refused() {
        let never = draft("--not-before 2026-12-01T00:00:00Z --expires-in 24h");
        assert!(matches!(never, Err(StatementError::Window { .. })));
    }
}
