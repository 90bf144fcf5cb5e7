//! How the statements about two artifacts differ. *pure*

use std::collections::BTreeSet;

use sealift_verify::{digest::Digest, statement::Release};
use serde_json::{Value, json};

use crate::release::{Artifact, statement_json};

/// A statement as it reads, believed in nothing.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) payload: Digest,
    pub(super) release: Release,
}

/// A field that differs, as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) field: &'static str,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// Every release statement about an artifact, the latest first.
pub(super) fn stated(artifact: &Artifact) -> Vec<Stated> {
    let mut all: Vec<_> = artifact
        .releases()
        .into_iter()
        .map(|(payload, statement)| Stated { payload: payload.digest, release: statement.release })
        .collect();
    all.sort_by_key(|stated| std::cmp::Reverse(stated.release.position()));
    all
}

/// The latest on each side, of the same stream and environment where both have one: an artifact that was promoted has a
/// statement in each.
pub(super) fn latest<'a>(before: &'a [Stated], after: &'a [Stated]) -> (Option<&'a Stated>, Option<&'a Stated>) {
    let line = |stated: &'a Stated| (stated.release.stream.as_str(), stated.release.environment.as_deref());
    let there: BTreeSet<_> = before.iter().map(line).collect();
    match after.iter().find(|stated| there.contains(&line(stated))) {
        Some(shared) => (before.iter().find(|stated| line(stated) == line(shared)), Some(shared)),
        None => (before.first(), after.first()),
    }
}

/// The fields that differ, in the order in which a person asks for them.
pub(super) fn rows(before: &Release, after: &Release) -> Vec<Row> {
    let fields = [fields(before), fields(after)];
    let [before, after] = fields;
    let rows = before.into_iter().zip(after).map(|((field, before), (_, after))| Row { field, before, after });
    rows.filter(|row| row.before != row.after).collect()
}

fn fields(release: &Release) -> [(&'static str, Option<String>); 11] {
    let Release {
        stream, environment, version, source, issued_at, not_before, expires_at, parameters, variants, ..
    } = release;
    let of_variants = variants.iter().flat_map(|variant| &variant.parameters);
    let parameters = parameters.iter().chain(of_variants).map(|parameter| match &parameter.default {
        Some(default) => format!("{}={default}", parameter.name),
        None => parameter.name.clone(),
    });
    let parameters: BTreeSet<_> = parameters.collect();
    let parameters: Vec<_> = parameters.into_iter().collect();
    let variants: Vec<_> = variants.iter().map(|variant| variant.name.as_str()).collect();
    let revision = source.as_ref().map(|it| it.digest.values().cloned().collect::<Vec<_>>().join(" "));
    [
        ("version", version.clone()),
        ("release", Some(release.position().to_string())),
        ("commit", revision.filter(|revision| !revision.is_empty())),
        ("ref", source.as_ref().and_then(|source| source.reference.clone())),
        ("source", source.as_ref().map(|source| source.uri.clone())),
        ("stream", Some(stream.clone())),
        ("environment", environment.clone()),
        ("parameters", (!parameters.is_empty()).then(|| parameters.join(", "))),
        ("variants", (!variants.is_empty()).then(|| variants.join(", "))),
        ("issued", Some(issued_at.to_string())),
        ("validity", validity(*not_before, *expires_at)),
    ]
}

fn validity(from: Option<jiff::Timestamp>, until: Option<jiff::Timestamp>) -> Option<String> {
    let from = from.map(|time| format!("from {time}"));
    let until = until.map(|time| format!("until {time}"));
    let both: Vec<_> = from.into_iter().chain(until).collect();
    (!both.is_empty()).then(|| both.join(" "))
}

pub(super) fn json(before: Option<&Stated>, after: Option<&Stated>) -> Value {
    let of = |stated: Option<&Stated>| stated.map(|Stated { payload, release }| statement_json(payload, release));
    let rows = before.zip(after).map(|(before, after)| rows(&before.release, &after.release)).unwrap_or_default();
    let rows =
        rows.into_iter().map(|Row { field, before, after }| json!({"field": field, "before": before, "after": after}));
    json!({"before": of(before), "after": of(after), "changes": rows.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(environment: &str, sequence: u64, commit: Option<&str>) -> Stated {
        let digest = Digest::of(b"x");
        let mut release = json!({
            "stream": "acme/shop", "environment": environment, "repositories": [], "sequence": sequence,
            "issuedAt": "2026-01-01T00:00:00Z",
            "content": {"layer": digest, "uncompressed": digest, "files": 1, "objects": 1, "inventory": digest},
        });
        if let Some(commit) = commit {
            release["source"] = json!({"uri": "https://git.example/acme/shop", "digest": {"gitCommit": commit}});
        }
        let release = serde_json::from_value(release).unwrap();
        Stated { payload: digest, release }
    }

    #[test]
    fn statements_of_one_environment_are_compared_where_there_are_such() {
        let (before, after) = ([stated("prod", 9, None), stated("test", 3, None)], [stated("test", 5, None)]);
        let (one, other) = latest(&before, &after);
        assert_eq!((one.unwrap().release.sequence, other.unwrap().release.sequence), (3, 5));
        let elsewhere = [stated("stage", 1, None)];
        assert_eq!(latest(&before, &elsewhere).0.unwrap().release.sequence, 9);
        assert!(latest(&[], &after).0.is_none());
    }

    #[test]
    fn only_what_differs_is_a_row() {
        let (before, after) = (stated("prod", 1, Some("aaa")), stated("prod", 2, Some("bbb")));
        let rows = rows(&before.release, &after.release);
        let shown: Vec<_> = rows.iter().map(|row| (row.field, row.before.as_deref(), row.after.as_deref())).collect();
        assert_eq!(shown, [("release", Some("0.1"), Some("0.2")), ("commit", Some("aaa"), Some("bbb"))]);
    }
}
