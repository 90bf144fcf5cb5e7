//! The text of a notification: names in braces, nothing that could run. *pure*

use super::payload::About;

/// No text is longer; what is past it is cut.
const LONGEST: usize = 4096;
/// What is said where the Notification says nothing.
const DEFAULT: &str = "{namespace}/{name} on {cluster}: {reason}: {message}";

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// A name that means nothing.
    #[error("{{{name}}} is not one of {}", NAMES.join(", "))]
    Unknown {
        /// As it is written.
        name: String,
    },
    /// A brace that belongs to none.
    #[error("a brace has no other; write {{{{ or }}}} for a brace")]
    Brace,
}

const NAMES: [&str; 10] =
    ["cluster", "namespace", "name", "severity", "reason", "message", "digest", "version", "commit", "at"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// True of a template that can be filled in.
pub(super) fn check(template: &str) -> Result<(), TemplateError> {
    pieces(template).map(|_| ())
}

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Text(&rest[..at]));
        let (brace, after) = (&rest[at..=at], &rest[at + 1..]);
        if let Some(next) = after.strip_prefix(brace) {
            pieces.push(Piece::Text(brace));
            rest = next;
            continue;
        }
        let (name, next) = after.split_once('}').filter(|_| brace == "{").ok_or(TemplateError::Brace)?;
        if !NAMES.contains(&name) {
            return Err(TemplateError::Unknown { name: name.to_owned() });
        }
        pieces.push(Piece::Name(name));
        rest = next;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// The text about an event.
pub(super) fn text(template: Option<&str>, about: &About<'_>) -> Result<String, TemplateError> {
    let event = about.event;
    let mut text = String::new();
    for piece in pieces(template.unwrap_or(DEFAULT))? {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Name("cluster") => text.push_str(about.cluster),
            Piece::Name("namespace") => text.push_str(about.namespace),
            Piece::Name("name") => text.push_str(about.name),
            Piece::Name("severity") => text.push_str(about.severity()),
            Piece::Name("reason") => text.push_str(&event.reason),
            Piece::Name("message") => text.push_str(&event.message),
            Piece::Name("digest") => text.push_str(&event.digest.map(|digest| digest.to_string()).unwrap_or_default()),
            Piece::Name("version") => text.push_str(event.version.as_deref().unwrap_or_default()),
            Piece::Name("commit") => {
                text.push_str(event.source.as_ref().map(|source| source.commit.as_str()).unwrap_or_default());
            }
            Piece::Name(_) => text.push_str(&event.at.to_string()),
        }
    }
    Ok(cut(&text, LONGEST).to_owned())
}

/// As many whole characters as fit into so many bytes.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=text.len().min(bytes)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use sealift_apply::api::Severity;

    use super::{super::filter::tests::event, *};

    #[test]
    fn names_in_braces_are_filled_in_and_others_refused() {
        let event = event(3, Severity::Error, "Unsigned");
        let about = About { cluster: "eu-1", namespace: "apps", name: "shop", uid: "u", event: &event };
        for (template, wanted) in [
            (None, "apps/shop on eu-1: Unsigned: Unsigned in words"),
            (Some("{reason}{reason} {{{name}}}"), "UnsignedUnsigned {shop}"),
            (Some("no names"), "no names"),
            (Some("{severity} {digest}{version}{commit}|{at}"), "error |1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(text(template, &about).unwrap(), wanted, "{template:?}");
        }
        for (template, error) in [
            ("{nam}", TemplateError::Unknown { name: "nam".into() }),
            ("{}", TemplateError::Unknown { name: String::new() }),
            ("{name", TemplateError::Brace),
            ("name}", TemplateError::Brace),
            ("{{name}", TemplateError::Brace),
            ("{name:>9999}", TemplateError::Unknown { name: "name:>9999".into() }),
        ] {
            assert_eq!(check(template), Err(error), "{template}");
        }
    }

    #[test]
    fn a_text_has_a_bound_whatever_is_filled_in() {
        let long = event(3, Severity::Error, &"é".repeat(1000));
        let about = About { cluster: "c", namespace: "n", name: "d", uid: "u", event: &long };
        let template = "{reason}".repeat(256);
        let text = text(Some(&template), &about).unwrap();
        assert_eq!((text.len(), cut("aé", 2)), (LONGEST, "a"));
    }
}
