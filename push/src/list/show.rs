//! A list as people and programs read it.

use sealift_registry::store::Location;
use serde_json::{Value, json};

use super::{
    Row,
    artifact::{Claimed, Listed, Verdict},
};
use crate::{
    release::statement_json,
    table::{plain, size, table},
};

const NOTHING: &str = "-";

pub(super) fn text(rows: &[Row<'_>], judged: bool) -> String {
    let columns = |Row { tag, listed }: &Row<'_>| {
        let release = listed.release();
        let or_nothing =
            |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| NOTHING.to_owned());
        let environments = listed.environments().into_iter().collect::<Vec<_>>().join(",");
        let kind = listed.kind.as_deref().unwrap_or("unreadable");
        [
            tag.clone(),
            listed.digest.short(),
            or_nothing(release.and_then(|release| release.version.clone())),
            // What is no release says what it is.
            or_nothing(
                release
                    .map(|release| release.stream.clone())
                    .or_else(|| listed.format.is_none().then(|| format!("({kind})"))),
            ),
            or_nothing(Some(environments)),
            or_nothing(release.map(|release| release.position().to_string())),
            or_nothing(Some(listed.signers.iter().cloned().collect::<Vec<_>>().join(","))),
            or_nothing(listed.created.map(|time| time.strftime("%Y-%m-%d %H:%M").to_string())),
            or_nothing(listed.size.map(size)),
        ]
        .map(|cell| plain(&cell))
    };
    let heads = ["TAG", "DIGEST", "VERSION", "STREAM", "ENV", "RELEASE", "CLAIMS TO BE SIGNED BY", "CREATED", "SIZE"];
    if !judged {
        return table(0, heads, &rows.iter().map(columns).collect::<Vec<_>>());
    }
    let judged = |row: &Row<'_>| {
        let [a, b, c, d, e, f, g, h, i] = columns(row);
        [a, b, c, d, e, f, g, h, i, verdict(row.listed)]
    };
    let [a, b, c, d, e, f, g, h, i] = heads;
    table(0, [a, b, c, d, e, f, g, h, i, "VERDICT"], &rows.iter().map(judged).collect::<Vec<_>>())
}

fn verdict(listed: &Listed) -> String {
    match &listed.verdict {
        None => NOTHING.to_owned(),
        Some(Verdict::Admitted) => "admitted".to_owned(),
        Some(Verdict::Refused(refusal)) => refusal.reason().to_string(),
    }
}

pub(super) fn json(location: &Location, rows: &[Row<'_>], found: usize) -> Value {
    let claimed = |Claimed { payload, release, signers }: &Claimed| {
        let mut statement = statement_json(payload, release);
        statement["claimedSigners"] = json!(signers);
        statement
    };
    let row = |Row { tag, listed }: &Row<'_>| {
        let Listed { digest, format, kind, size, created, statements, signers, verdict } = listed;
        let verdict = verdict.as_ref().map(|verdict| match verdict {
            Verdict::Admitted => json!({"admitted": true}),
            Verdict::Refused(refusal) => json!({
                "admitted": false,
                "reason": refusal.reason().to_string(),
                "message": refusal.to_string(),
            }),
        });
        json!({
            "tag": tag,
            "reference": location.at(digest),
            "digest": digest,
            "version": listed.release().and_then(|release| release.version.clone()),
            "created": created,
            "size": size,
            "format": format,
            "artifactType": kind,
            "statements": statements.iter().map(claimed).collect::<Vec<_>>(),
            "claimedSigners": signers,
            "verdict": verdict,
        })
    };
    json!({
        "schema": "sealift.dev/list/v1",
        "repository": location.to_string(),
        "found": found,
        "tags": rows.iter().map(row).collect::<Vec<_>>(),
    })
}
