//! Which tags are looked at, and in which order they are shown. *pure*

use std::cmp::Reverse;

use semver::Version;

pub(super) use sealift_registry::versions::version;

use super::Row;

/// What a tag is by its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Whatever people follow.
    Channel(String),
    Version(Reverse<Version>),
    /// `seq-<sequence>` or `seq-<epoch>-<sequence>`: epoch and sequence.
    Release(Reverse<(u64, u64)>),
}

fn kind(tag: &str) -> Kind {
    if let Some(version) = version(tag) {
        return Kind::Version(Reverse(version));
    }
    let position = tag.strip_prefix("seq-").and_then(|rest| match rest.split_once('-') {
        Some((epoch, sequence)) => Some((epoch.parse().ok()?, sequence.parse().ok()?)),
        None => Some((0, rest.parse().ok()?)),
    });
    position.map_or_else(|| Kind::Channel(tag.to_owned()), |position| Kind::Release(Reverse(position)))
}

/// The first `limit` tags: channels, then the highest versions and the highest sequences.
pub(super) fn first(mut tags: Vec<String>, limit: usize) -> Vec<String> {
    tags.sort_by_cached_key(|tag| (kind(tag), tag.clone()));
    tags.dedup();
    tags.truncate(limit);
    tags
}

/// By version, the highest first and those without last; then the newest first.
pub(super) fn sorted(mut rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    rows.sort_by_cached_key(|row| {
        let said = row.listed.release().and_then(|release| version(release.version.as_deref()?));
        (Reverse(version(&row.tag).or(said)), Reverse(row.listed.created), row.tag.clone())
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_before_high_versions_before_late_sequences() {
        let all = ["seq-9", "1.10.0", "prod", "seq-1-2", "v1.9.0", "2.0.0-rc.1", "seq-x", "latest", "seq-10", "prod"];
        let first = |limit| first(all.map(str::to_owned).to_vec(), limit);
        let expected = ["latest", "prod", "seq-x", "2.0.0-rc.1", "1.10.0", "v1.9.0", "seq-1-2", "seq-10", "seq-9"];
        assert_eq!(first(100), expected);
        assert_eq!(first(4), expected[..4]);
    }
}
