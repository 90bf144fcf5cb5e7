//! A file cut into documents as `k8s.io/apimachinery/pkg/util/yaml.YAMLReader` cuts it.

use super::Problem;

/// What stands between two `---` lines.
pub(super) struct Piece<'a> {
    /// The line its text starts at, from 1.
    pub(super) line: usize,
    /// The text, or why there is none.
    pub(super) content: Result<&'a str, Problem>,
}

/// Cuts `text` at the lines that start with `---`.
///
/// kubectl stops at a `---` line followed by text other than a comment; here it is a piece of its own, so that
/// the rest of the file is still checked.
pub(super) fn split(text: &str) -> Vec<Piece<'_>> {
    // A byte-order mark may precede the first document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pieces = Vec::new();
    let (mut start, mut line, mut from) = (0, 1, 0);
    while let Some(at) = next_separator(text, from) {
        let end = text[at..].find('\n').map_or(text.len(), |i| at + i + 1);
        let rest = text[at + 3..end].trim();
        let lines = newlines(&text[start..at]);
        pieces.push(Piece { line, content: Ok(&text[start..at]) });
        line += lines;
        if !rest.is_empty() && !rest.starts_with('#') {
            pieces.push(Piece { line, content: Err(Problem::Separator(rest.to_owned())) });
        }
        line += 1;
        (start, from) = (end, end);
    }
    pieces.push(Piece { line, content: Ok(&text[start..]) });
    pieces
}

fn next_separator(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    if rest.starts_with("---") { Some(from) } else { rest.find("\n---").map(|i| from + i + 1) }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The first character kubectl's reader does not allow, or takes for a line break where others do not, and its line.
pub(super) fn check_characters(text: &str) -> Result<(), super::Fault> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| SUSPECT[usize::from(*byte)]).map(|i| from + i) {
        let Some(character) = text[at..].chars().next() else { break };
        let problem = match character {
            '\u{85}' | '\u{2028}' | '\u{2029}' => Some(Problem::LineBreak(character)),
            '\0'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => Some(Problem::Character(character)),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(super::Fault { line: 1 + newlines(&text[..at]), problem });
        }
        from = at + character.len_utf8();
    }
    Ok(())
}

/// Bytes that may start a character to be refused.
const SUSPECT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = !matches!(byte, 0x09 | 0x0a | 0x0d);
        byte += 1;
    }
    table[0x7f] = true;
    table[0xc2] = true;
    table[0xe2] = true;
    table[0xef] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_lines_that_start_with_three_dashes() {
        let pieces = split("\u{feff}# one\n---\na: 1\n--- # two\nb: 2\n---oops\nc: ---\n---");
        let found: Vec<_> = pieces.iter().map(|p| (p.line, p.content.clone())).collect();
        assert_eq!(
            found,
            [
                (1, Ok("# one\n")),
                (3, Ok("a: 1\n")),
                (5, Ok("b: 2\n")),
                (6, Err(Problem::Separator("oops".into()))),
                (7, Ok("c: ---\n")),
                (9, Ok(""))
            ]
        );
    }

    #[test]
    fn finds_the_characters_yaml_does_not_hold() {
        for (text, line) in
            [("a\u{0}", 1), ("\n\u{7f}", 2), ("é\u{9b}", 1), ("\u{fffe}", 1), ("a\n\nb\u{2028}", 3), ("\u{85}", 1)]
        {
            let fault = check_characters(text).err().map(|fault| fault.line);
            assert_eq!(fault, Some(line), "{text:?}");
        }
        assert!(check_characters("tab\t, é, €, \u{a0}, \u{2027}, \u{fffd}, 😀, \u{feff}\r\n").is_ok());
    }
}
