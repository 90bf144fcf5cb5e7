//! A difference as people and programs read it.

use std::fmt::Write as _;

use sealift_apply::diff::{FieldChange, MASK};
use sealift_verify::objects::ObjectId;
use serde_json::{Value, json};

use super::{
    Difference,
    compare::{Change, What},
    statement,
    summary::{ClusterScoped, Sides, Sign, Summary},
};
use crate::{
    output::{ADDED, CHANGED, ERROR, REMOVED, STRONG, paint},
    plan::field_line,
    table::plain,
};

pub(super) fn text(difference: &Difference) -> String {
    let Difference { variant, before, after, compared, summary, .. } = difference;
    let mut text = format!(
        "{}{}\n{}\n",
        variant
            .as_ref()
            .map(|name| format!("{}\n", paint(STRONG, format!("variant {}", plain(name)))))
            .unwrap_or_default(),
        paint(REMOVED, format!("--- {}", plain(&before.name))),
        paint(ADDED, format!("+++ {}", plain(&after.name)))
    );
    statements(difference, &mut text);
    summarize(summary, &mut text);
    if !compared.changes.is_empty() {
        head("objects", &mut text);
    }
    compared.changes.iter().for_each(|change| object(change, &mut text));
    text + &counts(difference)
}

fn head(name: &str, text: &mut String) {
    let _ = writeln!(text, "{}", paint(STRONG, name));
}

fn added(line: &str, text: &mut String) {
    let _ = writeln!(text, "  {} {}", paint(ADDED, '+'), plain(line));
}

fn removed(line: &str, text: &mut String) {
    let _ = writeln!(text, "  {} {}", paint(REMOVED, '-'), plain(line));
}

fn changed(line: &str, text: &mut String) {
    let _ = writeln!(text, "  {} {}", paint(CHANGED, '~'), plain(line));
}

fn statements(Difference { before, after, is_verified, .. }: &Difference, text: &mut String) {
    let (Some(before), Some(after)) = statement::latest(&before.stated, &after.stated) else { return };
    let rows = statement::rows(&before.release, &after.release);
    if !rows.is_empty() {
        head(if *is_verified { "statement" } else { "statement (unverified)" }, text);
    }
    for statement::Row { field, before, after } in rows {
        match (before, after) {
            (Some(before), Some(after)) => changed(&format!("{field}: {before} → {after}"), text),
            (None, Some(after)) => added(&format!("{field}: {after}"), text),
            (Some(before), None) => removed(&format!("{field}: {before}"), text),
            (None, None) => {}
        }
    }
}

fn summarize(summary: &Summary, text: &mut String) {
    let Summary { images, access, privileges, cluster_scoped, namespaces } = summary;
    if !images.is_empty() {
        head("images", text);
    }
    for Sides { before, after } in images.values() {
        match (before.first(), after.first()) {
            (Some(old), Some(new)) if before.len() == 1 && after.len() == 1 => changed(&format!("{old} → {new}"), text),
            _ => {
                before.iter().for_each(|image| removed(image, text));
                after.iter().for_each(|image| added(image, text));
            }
        }
    }
    for (name, all) in [("access (RBAC)", access), ("privileges", privileges)] {
        if !all.is_empty() {
            head(name, text);
        }
        for (id, Sides { before, after }) in all {
            before.iter().for_each(|line| removed(&format!("{id}: {line}"), text));
            after.iter().for_each(|line| added(&format!("{id}: {line}"), text));
        }
    }
    if !cluster_scoped.is_empty() {
        head("in no namespace", text);
    }
    for ClusterScoped { id, sign, is_certain } in cluster_scoped {
        let line = format!(
            "{id}{}",
            if *is_certain { "" } else { " (or in a default namespace: its kind is not known here)" }
        );
        match sign {
            Sign::Added => added(&line, text),
            Sign::Removed => removed(&line, text),
            Sign::Changed => changed(&line, text),
        }
    }
    if !namespaces.is_empty() {
        head("namespaces", text);
        namespaces.before.iter().for_each(|name| removed(name, text));
        namespaces.after.iter().for_each(|name| added(name, text));
    }
}

fn object(Change { id, what, note }: &Change, text: &mut String) {
    let (sign, style) = match what {
        What::Added => ('+', ADDED),
        What::Removed => ('-', REMOVED),
        What::Changed(_) => ('~', CHANGED),
        What::Refused(_) => ('!', ERROR),
    };
    let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
    let _ = writeln!(text, "{} {}{note}", paint(style, sign), plain(&id.to_string()));
    match what {
        What::Added | What::Removed => {}
        What::Changed(fields) => fields.iter().for_each(|field| {
            *text += &match is_masked(field) {
                true => format!("    {} {}: changed, not shown\n", paint(CHANGED, '~'), plain(&field.path)),
                false => field_line(&field.path, field),
            };
        }),
        What::Refused(why) => {
            let _ = writeln!(text, "    {}", plain(why));
        }
    }
}

/// A value of a Secret that is another one.
fn is_masked(field: &FieldChange) -> bool {
    let is_mask = |value: &Option<Value>| value.as_ref().is_some_and(|value| value == MASK);
    is_mask(&field.before) && is_mask(&field.after)
}

fn number(difference: &Difference, of: impl Fn(&What) -> bool) -> usize {
    difference.compared.changes.iter().filter(|change| of(&change.what)).count()
}

fn counts(difference: &Difference) -> String {
    let parts = [
        (number(difference, |what| matches!(what, What::Added)), "added"),
        (number(difference, |what| matches!(what, What::Removed)), "removed"),
        (number(difference, |what| matches!(what, What::Changed(_))), "changed"),
        (number(difference, |what| matches!(what, What::Refused(_))), "refused"),
        (difference.compared.unchanged, "unchanged"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "no objects".to_owned() } else { parts.join(", ") }
}

pub(super) fn json(difference: &Difference) -> Value {
    let Difference { variant, before, after, compared, summary, is_verified } = difference;
    let (old, new) = statement::latest(&before.stated, &after.stated);
    let mut document = json!({
        "schema": "sealift.dev/diff/v1",
        "verified": is_verified,
        "changes": difference.is_change(),
        "before": before.about,
        "after": after.about,
        "statement": statement::json(old, new),
        "summary": summary_json(summary),
        "counts": {
            "added": number(difference, |what| matches!(what, What::Added)),
            "removed": number(difference, |what| matches!(what, What::Removed)),
            "changed": number(difference, |what| matches!(what, What::Changed(_))),
            "refused": number(difference, |what| matches!(what, What::Refused(_))),
            "unchanged": compared.unchanged,
        },
        "objects": compared.changes.iter().map(object_json).collect::<Vec<_>>(),
    });
    if let Some(name) = variant {
        document["variant"] = json!(name);
    }
    document
}

fn summary_json(summary: &Summary) -> Value {
    let Summary { images, access, privileges, cluster_scoped, namespaces } = summary;
    let by_object = |all: &[(ObjectId, Sides<String>)]| -> Vec<Value> {
        let one =
            |(id, sides): &(ObjectId, Sides<String>)| json!({"id": id, "removed": sides.before, "added": sides.after});
        all.iter().map(one).collect()
    };
    let images = images.iter().map(
        |(repository, Sides { before, after })| json!({"repository": repository, "before": before, "after": after}),
    );
    let scoped = cluster_scoped.iter().map(|ClusterScoped { id, sign, is_certain }| {
        let change = match sign {
            Sign::Added => "added",
            Sign::Removed => "removed",
            Sign::Changed => "changed",
        };
        json!({"id": id, "change": change, "certain": is_certain})
    });
    json!({
        "images": images.collect::<Vec<_>>(),
        "access": by_object(access),
        "privileges": by_object(privileges),
        "clusterScoped": scoped.collect::<Vec<_>>(),
        "namespaces": {"removed": namespaces.before, "added": namespaces.after},
    })
}

fn object_json(Change { id, what, note }: &Change) -> Value {
    let (change, fields, refused) = match what {
        What::Added => ("added", None, None),
        What::Removed => ("removed", None, None),
        What::Changed(fields) => ("changed", Some(fields.iter().map(field_json).collect::<Vec<_>>()), None),
        What::Refused(why) => ("refused", None, Some(why)),
    };
    let mut document = json!({"id": id, "change": change});
    let more = [
        ("fields", fields.map(Value::from)),
        ("note", note.map(Value::from)),
        ("refused", refused.map(|why| json!(why))),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            document[name] = value;
        }
    }
    document
}

fn field_json(field: &FieldChange) -> Value {
    let FieldChange { pointer, path, .. } = field;
    match is_masked(field) {
        true => json!({"pointer": pointer, "path": path, "masked": true}),
        false => json!(field),
    }
}
