//! How deep an expression is, before a parser sees it: that one calls itself for every bracket and condition, and would
//! overflow the stack long before it counts.
//!
//! So that both agree on where a text ends, only the plain ways of writing one are let through.

use super::CelError;

/// How many brackets may be open at once, and conditions there may be beside them: some 20 KiB of stack each.
const MAX_OPEN: usize = 32;

pub(super) fn scan(source: &str) -> Result<(), CelError> {
    let mut open = 0_usize;
    let mut before = [' ', ' '];
    let mut rest = source.chars();
    while let Some(next) = rest.next() {
        match next {
            '(' | '[' | '{' | '?' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            '/' if before[1] == '/' => return Err(CelError::Unsupported("comments")),
            '\'' | '"' => {
                if rest.as_str().starts_with([next; 2].iter().collect::<String>().as_str()) {
                    return Err(CelError::Unsupported("triple quotes"));
                }
                text(&mut rest, next, is_raw(before)?)?;
            }
            _ => {}
        }
        if open > MAX_OPEN {
            return Err(CelError::TooComplex);
        }
        before = [before[1], next];
    }
    Ok(())
}

/// Whether a text that begins after these two characters is a raw one.
fn is_raw([second, first]: [char; 2]) -> Result<bool, CelError> {
    let in_a_name = |c: char| c.is_alphanumeric() || c == '_';
    match (in_a_name(second), first) {
        (false, 'r' | 'R') => Ok(true),
        (_, first) if in_a_name(first) => Err(CelError::Unsupported("prefixes of a text other than r")),
        _ => Ok(false),
    }
}

/// Reads on to the end of a text.
fn text(rest: &mut std::str::Chars<'_>, quote: char, raw: bool) -> Result<(), CelError> {
    while let Some(next) = rest.next() {
        match next {
            '\n' | '\r' => return Err(CelError::Unsupported("line breaks in a text")),
            '\\' if !raw => match rest.next() {
                Some('\\' | '\'' | '"' | '`' | '?' | 'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v') => {}
                _ => return Err(CelError::Unsupported("numbers of characters after a backslash")),
            },
            end if end == quote => return Ok(()),
            _ => {}
        }
    }
    Err(CelError::Syntax("a text that does not end".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_not_counted_and_cannot_hide_what_is() {
        let deep = "(".repeat(MAX_OPEN + 1);
        for source in
            [format!("'{deep}' == v"), format!("r\"{deep}\" == v"), format!("'\\'{deep}' == v"), "(v)".repeat(99)]
        {
            assert_eq!(scan(&source), Ok(()), "{source}");
        }
        for hidden in [
            deep.clone(),
            format!("'a' + {deep}"),
            format!("r'\\' + {deep}"),
            format!("'\\\\' + {deep}"),
            format!("'\\'' + {deep}"),
            // Where the lexer would see the end of a text elsewhere.
            format!("'''' + {deep} + ''''"),
            format!("foor'\\'' {deep} '"),
            format!("br'\\'' {deep} '"),
            format!("'\\q'' {deep} '"),
            format!("'a\n' {deep} '"),
            format!("// '\n{deep} '"),
            "v?v:".repeat(MAX_OPEN + 1),
        ] {
            assert!(scan(&hidden).is_err(), "{hidden}");
        }
    }
}
