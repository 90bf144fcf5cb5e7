//! A deterministic tar: ustar headers, regular files of mode 0644, owner and time zero, in the order of paths.

use std::collections::BTreeMap;

use tar::{EntryType, Header};

const BLOCK: usize = 512;
/// What ustar's `name` field holds; `prefix` adds 155 before a slash.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// The tar of `files`, by path.
pub(super) fn tar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let content: usize = files.values().map(|bytes| bytes.len() + 2 * BLOCK).sum();
    let mut out = Vec::with_capacity(content + 2 * BLOCK);
    for (path, bytes) in files {
        match split(path) {
            Some((prefix, name)) => entry(prefix, name, EntryType::Regular, bytes, &mut out),
            None => {
                // One PAX record, and a name in the ustar header for readers that know no PAX.
                entry("", "././@PaxHeader", EntryType::XHeader, pax_path(path).as_bytes(), &mut out);
                entry("", short(path), EntryType::Regular, bytes, &mut out);
            }
        }
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

/// The path as ustar's prefix and name, if it fits.
fn split(path: &str) -> Option<(&str, &str)> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= NAME {
        return Some(("", path));
    }
    let fits = |at: &usize| *at <= PREFIX && path.len() - at - 1 <= NAME;
    path.match_indices('/').map(|(at, _)| at).find(fits).map(|at| (&path[..at], &path[at + 1..]))
}

/// `<length> path=<path>\n`, where the length counts its own digits.
fn pax_path(path: &str) -> String {
    let rest = format!(" path={path}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

fn short(path: &str) -> &str {
    path.get(..NAME).unwrap_or("long-path")
}

fn entry(prefix: &str, name: &str, kind: EntryType, bytes: &[u8], out: &mut Vec<u8>) {
    let mut header = Header::new_ustar();
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.name[..name.len()].copy_from_slice(name.as_bytes());
        ustar.prefix[..prefix.len()].copy_from_slice(prefix.as_bytes());
    }
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_long_paths_where_ustar_allows() {
        assert_eq!(split("a/b"), Some(("", "a/b")));
        let long = format!("{}/{}", "p".repeat(155), "n".repeat(100));
        assert_eq!(split(&long), Some((&*"p".repeat(155), &*"n".repeat(100))));
        assert_eq!(split(&format!("{}/{}", "p".repeat(156), "n".repeat(100))), None);
        assert_eq!(split(&"n".repeat(101)), None);
    }

    #[test]
    fn counts_the_digits_of_a_pax_length_into_it() {
        for length in [1, 80, 87, 88, 89, 90, 91, 92, 93, 985, 986, 987, 988, 989, 990, 991] {
            let record = pax_path(&"x".repeat(length));
            let (count, _) = record.split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), record.len());
        }
    }
}
