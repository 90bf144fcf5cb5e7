//! Objects as YAML that every reader understands the same way.
//!
//! A string is left bare only if it is a plain word for YAML 1.1 and 1.2 alike, is a literal block where that keeps
//! every character, and is else in double quotes with JSON's escapes. `tests/yaml_as_kubectl.rs` reads the result
//! back by `sigs.k8s.io/yaml`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    canonical,
    yaml::scalar::{Plain, plain},
};

/// Keys longer than this are written with `?`: readers look ahead 1,024 characters for the `:` of a simple key.
const SIMPLE_KEY: usize = 256;

/// `value` as one YAML document without `---`.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::with_capacity(1024);
    match value {
        Value::Object(entries) if !entries.is_empty() => mapping(entries, 0, false, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, false, &mut out),
        other => {
            inline(other, &mut out);
            out.push('\n');
        }
    }
    out
}

/// Writes the entries at `indent`; the first goes on the line already begun if `begun`.
fn mapping(entries: &Map<String, Value>, indent: usize, mut begun: bool, out: &mut String) {
    for (key, value) in entries {
        if !std::mem::take(&mut begun) {
            pad(indent, out);
        }
        if key.len() > SIMPLE_KEY {
            out.push_str("? ");
            string(key, out);
            out.push('\n');
            pad(indent, out);
        } else {
            string(key, out);
        }
        out.push(':');
        match value {
            Value::Object(entries) if !entries.is_empty() => {
                out.push('\n');
                mapping(entries, indent + 2, false, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(items, indent, false, out);
            }
            other => scalar(other, indent + 2, out),
        }
    }
}

/// Writes the items at `indent`; the first goes on the line already begun if `begun`.
fn sequence(items: &[Value], indent: usize, mut begun: bool, out: &mut String) {
    for item in items {
        if !std::mem::take(&mut begun) {
            pad(indent, out);
        }
        out.push('-');
        match item {
            Value::Object(entries) if !entries.is_empty() => {
                out.push(' ');
                mapping(entries, indent + 2, true, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push(' ');
                sequence(items, indent + 2, true, out);
            }
            other => scalar(other, indent + 2, out),
        }
    }
}

/// Writes ` value` and the end of the line, or a literal block.
fn scalar(value: &Value, indent: usize, out: &mut String) {
    out.push(' ');
    match value {
        Value::String(text) if is_block(text) => {
            out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
            out.push('\n');
            for line in text.lines() {
                // An empty line needs no indentation; one of spaces does, or they would be lost.
                if !line.is_empty() {
                    pad(indent, out);
                }
                out.push_str(line);
                out.push('\n');
            }
        }
        other => {
            inline(other, out);
            out.push('\n');
        }
    }
}

fn inline(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&canonical::number(number)),
        Value::String(text) => string(text, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn string(text: &str, out: &mut String) {
    if is_bare(text) {
        return out.push_str(text);
    }
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other if is_printable(other) => out.push(other),
            other => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
        }
    }
    out.push('"');
}

/// True for a word no YAML reader takes for anything else.
fn is_bare(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'))
        && plain(text) == Plain::Text
}

/// True for text of several lines that a literal block keeps as it is: no leading space, which would need an
/// indentation indicator, at most one line break at the end, and nothing that would have to be escaped.
fn is_block(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
}

/// What YAML 1.1 and 1.2 take as it is in quotes and blocks; NEL, LS, PS and the byte-order mark are not.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_plain_words_bare_and_quotes_what_readers_disagree_on() {
        let value = json!({
            "kind": "ConfigMap", "yes": "no", "image": "ghcr.io/a/b:1", "n": 1, "t": true, "none": null,
            "port": "8080", "mode": "0777", "empty": "", "map": {}, "list": [], "date": "2024-01-01"
        });
        assert_eq!(
            to_yaml(&value),
            "date: \"2024-01-01\"\nempty: \"\"\nimage: \"ghcr.io/a/b:1\"\nkind: ConfigMap\nlist: []\nmap: {}\n\
             mode: \"0777\"\n\"n\": 1\nnone: null\nport: \"8080\"\nt: true\n\"yes\": \"no\"\n"
        );
    }

    #[test]
    fn nests_sequences_and_mappings() {
        let value = json!({"a": [{"b": [1, [2, 3]], "c": {"d": "e"}}, [], {}]});
        assert_eq!(to_yaml(&value), "a:\n- b:\n  - 1\n  - - 2\n    - 3\n  c:\n    d: e\n- []\n- {}\n");
    }

    #[test]
    fn writes_text_of_several_lines_as_a_block_only_where_nothing_is_lost() {
        let value =
            json!({"a": "one\n\n  two \n", "b": "one\ntwo", "c": " one\ntwo", "d": "one\r\ntwo", "e": "one\ntwo\n\n"});
        assert_eq!(
            to_yaml(&value),
            "a: |\n  one\n\n    two \nb: |-\n  one\n  two\nc: \" one\\ntwo\"\nd: \"one\\r\\ntwo\"\ne: \"one\\ntwo\\n\\n\"\n"
        );
    }
}
