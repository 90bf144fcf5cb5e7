//! A plan as people and programs read it.

use std::fmt::Write;

use sealift_apply::{
    change::Action,
    diff::FieldChange,
    explain::{Difference, plan_digest},
};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    failure::Failure,
    output::{ADDED, CHANGED, ERROR, FAINT, REMOVED, STRONG, paint},
    table::plain,
};

/// Longer values are cut in text; JSON holds them whole.
const LONGEST: usize = 160;

/// Some objects would be refused, so nothing of the release would be applied.
#[derive(Debug, thiserror::Error)]
#[error("{refused} of {all} objects would be refused, and then nothing of their stage is applied")]
struct WouldBeRefused {
    refused: usize,
    all: usize,
}

/// One block an object, and a line that counts.
pub(super) fn text(differences: &[Difference], show_unchanged: bool) -> String {
    let mut text = String::new();
    for difference in differences.iter().filter(|difference| is_shown(difference, show_unchanged)) {
        let (sign, style) = match (&difference.refused, difference.action) {
            (Some(_), _) => ('!', ERROR),
            (None, Action::Created) => ('+', ADDED),
            (None, Action::Configured) => ('~', CHANGED),
            (None, Action::Deleted) => ('-', REMOVED),
            (None, Action::Unchanged | Action::Skipped) => ('=', FAINT),
        };
        let word = if difference.refused.is_some() { "refused".to_owned() } else { difference.action.to_string() };
        let note = difference.note.map(|note| format!(" ({note})")).unwrap_or_default();
        let name = paint(STRONG, plain(&difference.id.to_string()));
        let _ = writeln!(text, "{} {name} {word}{note}", paint(style, sign));
        if let Some(why) = &difference.refused {
            let causes = std::iter::successors(std::error::Error::source(why), |cause| cause.source());
            let line = causes.fold(why.to_string(), |line, cause| format!("{line}: {cause}"));
            let _ = writeln!(text, "    {}", plain(&line));
        } else if difference.action == Action::Configured {
            difference.fields.iter().for_each(|field| text += &field_line(&field.pointer, field));
        }
    }
    text += &summary(differences);
    // What changes nothing needs nobody's approval.
    if let Some(digest) = plan_digest(differences).filter(|_| differences.iter().any(Difference::is_change)) {
        let _ = write!(text, "\nplan {digest}");
    }
    text
}

/// A line that says what becomes of a field, by this name.
pub(crate) fn field_line(name: &str, field: &FieldChange) -> String {
    let FieldChange { pointer: _, path: _, before, after } = field;
    let name = plain(name);
    match (before, after) {
        (None, Some(after)) => format!("    {} {name}: {}\n", paint(ADDED, '+'), paint(ADDED, short(after))),
        (Some(before), None) => format!("    {} {name}: {}\n", paint(REMOVED, '-'), paint(REMOVED, short(before))),
        (before, after) => format!(
            "    {} {name}: {} → {}\n",
            paint(CHANGED, '~'),
            paint(REMOVED, before.as_ref().map(short).unwrap_or_default()),
            paint(ADDED, after.as_ref().map(short).unwrap_or_default()),
        ),
    }
}

fn short(value: &Value) -> String {
    let text = plain(&value.to_string());
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}

fn summary(differences: &[Difference]) -> String {
    let refused = differences.iter().filter(|difference| difference.refused.is_some()).count();
    let count = |action| differences.iter().filter(|d| d.refused.is_none() && d.action == action).count();
    let parts = [
        (count(Action::Created), "to create"),
        (count(Action::Configured), "to change"),
        (count(Action::Deleted), "to delete"),
        (refused, "refused"),
        (count(Action::Skipped), "left alone"),
        (count(Action::Unchanged), "unchanged"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "no objects".to_owned() } else { parts.join(", ") }
}

pub(super) fn json(differences: &[Difference], show_unchanged: bool) -> Value {
    let shown = differences.iter().filter(|difference| is_shown(difference, show_unchanged)).map(|difference| {
        let mut value = json!(difference);
        if let Some(why) = &difference.refused {
            value["refused"] = json!(why.to_string());
        }
        value
    });
    json!({
        "schema": "sealift.dev/plan/v1",
        "digest": plan_digest(differences),
        "changes": differences.iter().any(Difference::is_change),
        "objects": shown.collect::<Vec<_>>(),
    })
}

fn is_shown(difference: &Difference, show_unchanged: bool) -> bool {
    show_unchanged || difference.refused.is_some() || difference.is_change() || difference.note.is_some()
}

/// A plan with refusals is one that would not be carried out. Where all of them may go by themselves, ask again.
pub(crate) fn verdict(differences: &[Difference]) -> Result<(), Failure> {
    let refused: Vec<_> = differences.iter().filter_map(|difference| difference.refused.as_ref()).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let exit = if refused.iter().all(|why| why.is_transient()) { Exit::CouldNotCheck } else { Exit::Refused };
    Err(Failure::new(exit, WouldBeRefused { refused: refused.len(), all: differences.len() }))
}

#[cfg(test)]
mod tests {
    use sealift_apply::change::Why;
    use sealift_verify::objects::ObjectId;

    use super::*;

    fn difference(name: &str, action: Action, refused: Option<Why>) -> Difference {
        let id = ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some("shop".into()),
            name: name.into(),
        };
        let fields = vec![FieldChange {
            pointer: "/data/a".into(),
            path: "data.a".into(),
            before: Some("x".into()),
            after: Some("y".into()),
        }];
        Difference { id, action, fields, note: None, content: None, anew: false, refused }
    }

    #[test]
    fn shows_what_changes_field_by_field_and_counts() {
        let all = [difference("a", Action::Configured, None), difference("b", Action::Unchanged, None)];
        let text = anstream::adapter::strip_str(&text(&all, false)).to_string();
        let digest = plan_digest(&all).unwrap();
        assert_eq!(
            text,
            format!(
                "~ ConfigMap shop/a configured\n    ~ /data/a: \"x\" → \"y\"\n1 to change, 1 unchanged\nplan {digest}"
            )
        );
        assert_eq!(super::text(&all[1..], false), "1 unchanged");
        assert!(verdict(&all).is_ok());
    }

    #[test]
    fn a_plan_that_would_be_refused_is_no_success() {
        let lasting = [difference("a", Action::Skipped, Some(Why::NoNamespace))];
        assert_eq!(verdict(&lasting).unwrap_err().exit, Exit::Refused);
        let passing = [difference("a", Action::Skipped, Some(Why::Terminating { held: None }))];
        assert_eq!(verdict(&passing).unwrap_err().exit, Exit::CouldNotCheck);
        assert!(text(&lasting, false).contains("refused"));
    }
}
