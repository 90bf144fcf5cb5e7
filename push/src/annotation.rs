//! Annotations: where GitHub shows an error beside the line it is about. Pure but for the question whether a file is there.

use std::path::Path;

/// Annotations for one failure at most.
const MOST: usize = 10;

/// The workflow commands for an error with its causes: one for each place in a file of the job, else one without.
pub(crate) fn commands(title: &str, text: &str) -> Vec<String> {
    let places = text.lines().filter_map(|line| {
        let (file, number, message) = place(line.trim())?;
        Path::new(file).is_file().then(|| {
            format!("::error file={},line={number},title={}::{}", property(file), property(title), data(message))
        })
    });
    let mut found: Vec<_> = places.take(MOST).collect();
    if found.is_empty() {
        found.push(format!("::error title={}::{}", property(title), data(text)));
    }
    found
}

/// `FILE:LINE: MESSAGE`, as every message about input begins that knows its place.
fn place(line: &str) -> Option<(&str, usize, &str)> {
    line.match_indices(':').find_map(|(colon, _)| {
        let (file, rest) = (&line[..colon], &line[colon + 1..]);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest[..digits].parse().ok().filter(|number| *number > 0)?;
        let message = rest[digits..].trim_start_matches(':').trim_start();
        (!file.is_empty()).then_some((file, number, message))
    })
}

/// As GitHub unescapes the text of a command: nothing in it ends the line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_and_a_line() {
        assert_eq!(place("a/b.yaml:12: no kind"), Some(("a/b.yaml", 12, "no kind")));
        assert_eq!(place("p.yaml:3 is not a usable policy"), Some(("p.yaml", 3, "is not a usable policy")));
        assert_eq!(place("c:d.yaml:7: x"), Some(("c:d.yaml", 7, "x")));
        for none in ["no place", "a.yaml: x", "a.yaml:0: x", ":3: x"] {
            assert_eq!(place(none), None, "{none}");
        }
    }

    #[test]
    fn a_command_is_one_line_whatever_it_says() {
        let own = file!().rsplit('/').next().unwrap();
        let here = ["src", "push/src"].map(|folder| format!("{folder}/{own}"));
        let here = here.iter().find(|path| Path::new(path).is_file()).unwrap();
        let found = commands("error: 1, 2", &format!("2 problems\n  {here}:3: 100%\r::add-mask::x\n  gone.yaml:4: y"));
        assert_eq!(found, [format!("::error file={here},line=3,title=error%3A 1%2C 2::100%25%0D::add-mask::x")]);
        assert_eq!(commands("t", "a\n::b"), ["::error title=t::a%0A::b"]);
    }
}
