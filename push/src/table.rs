//! Columns for people.

/// Lines of `rows` under `heads`, each column as wide as it has to be, indented.
pub(crate) fn table<const N: usize>(indent: usize, heads: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heads.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let mut line = " ".repeat(indent);
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        line.trim_end().to_owned()
    };
    let body = rows.iter().map(|row| line(std::array::from_fn(|i| row[i].as_str())));
    std::iter::once(line(heads)).chain(body).collect::<Vec<_>>().join("\n")
}

/// A number of bytes for people; documents have all of it.
pub(crate) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..=1023 => return format!("{bytes} B"),
        1024..=1_048_575 => (1 << 10, "KiB"),
        _ => (1 << 20, "MiB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

/// A text of the registry's or a stranger's making, without what would move a terminal's cursor.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// [`plain`] for a text of several lines.
pub(crate) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "long".to_owned(), String::new()], ["bcd".into(), "x".into(), "y".into()]];
        assert_eq!(table(2, ["N", "V", "W"], &rows), "  N    V     W\n  a    long\n  bcd  x     y");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(plain_lines("a\r\nb\u{7}"), "a\nb\u{fffd}");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"), (5 << 19, "2.5 MiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
