//! A command line taken apart as a shell would, without a shell: quotes and backslashes, and nothing else.

/// Why a command line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    /// A quote or backslash without its other half.
    #[error("the command ends within quotes or after a backslash")]
    Open,
    /// Something that only a shell could do.
    #[error("no shell runs the command, so {0:?} would be an argument; say sh -c '…' where you want one")]
    Shell(String),
    /// Nothing.
    #[error("the command is empty")]
    Empty,
}

/// What a shell would act upon if it stood alone.
const SHELL: &[&str] = &["|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1"];

/// The program and its arguments.
pub(super) fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.peek() {
        if letter.is_whitespace() {
            letters.next();
            continue;
        }
        let (mut word, mut quoted) = (String::new(), false);
        while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
            match letter {
                '\'' => {
                    quoted = true;
                    loop {
                        match letters.next().ok_or(WordsError::Open)? {
                            '\'' => break,
                            other => word.push(other),
                        }
                    }
                }
                '"' => {
                    quoted = true;
                    loop {
                        match letters.next().ok_or(WordsError::Open)? {
                            '"' => break,
                            '\\' => match letters.next().ok_or(WordsError::Open)? {
                                special @ ('"' | '\\' | '$' | '`') => word.push(special),
                                other => word.extend(['\\', other]),
                            },
                            other => word.push(other),
                        }
                    }
                }
                '\\' => {
                    quoted = true;
                    word.push(letters.next().ok_or(WordsError::Open)?);
                }
                other => word.push(other),
            }
        }
        if !quoted && SHELL.contains(&word.as_str()) {
            return Err(WordsError::Shell(word));
        }
        words.push(word);
    }
    if words.is_empty() { Err(WordsError::Empty) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_quotes_apart_as_a_shell_does() {
        for (line, words) in [
            ("jsonnet -y main.jsonnet", vec!["jsonnet", "-y", "main.jsonnet"]),
            ("  a\t b  ", vec!["a", "b"]),
            ("sh -c 'ytt -f . | cat'", vec!["sh", "-c", "ytt -f . | cat"]),
            (r#"a "b \" \n" c\ d ''"#, vec!["a", r#"b " \n"#, "c d", ""]),
            ("a'b'\"c\"", vec!["abc"]),
            ("a '|' \\;", vec!["a", "|", ";"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn refuses_what_is_left_open_and_what_only_a_shell_does() {
        for line in ["a 'b", "a \"b", "a \\"] {
            assert_eq!(split(line), Err(WordsError::Open), "{line}");
        }
        for line in ["ytt -f . | cat", "a > b", "a && b"] {
            assert!(matches!(split(line), Err(WordsError::Shell(_))), "{line}");
        }
        assert_eq!(split(" "), Err(WordsError::Empty));
    }
}
