//! What `cargo tree` prints, read: packages, and which needs which.

use std::collections::{BTreeMap, BTreeSet};

/// As `--format` takes it: package, licence and repository.
pub(crate) const FORMAT: &str = "{p}|{l}|{r}";

/// A package by name and version. Two of the same name and version from two places are not told apart; the lock has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) licence: String,
    pub(crate) repository: String,
    /// It runs in the compiler, with all that only it needs.
    is_macro: bool,
}

/// The packages of a build, and what each needs.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Id,
    packages: BTreeMap<Id, Package>,
    edges: BTreeMap<Id, BTreeSet<Id>>,
}

/// A line that says something else.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("{0:?} is no line of cargo tree")]
    Line(String),
    #[error("it has no lines")]
    Empty,
}

impl Tree {
    /// Reads lines of `DEPTHNAME vVERSION (…)|LICENCE|REPOSITORY`. A subtree is printed once; later ones end in `(*)`.
    pub(crate) fn parse(text: &str) -> Result<Self, TreeError> {
        let mut path: Vec<Id> = vec![];
        let mut tree: Option<Self> = None;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (depth, id, package) = read(line).ok_or_else(|| TreeError::Line(line.to_owned()))?;
            let root = || Self { root: id.clone(), packages: BTreeMap::new(), edges: BTreeMap::new() };
            let tree = tree.get_or_insert_with(root);
            if depth > path.len() {
                return Err(TreeError::Line(line.to_owned()));
            }
            path.truncate(depth);
            if let Some(needs) = path.last() {
                tree.edges.entry(needs.clone()).or_default().insert(id.clone());
            }
            tree.packages.insert(id.clone(), package);
            path.push(id);
        }
        tree.ok_or(TreeError::Empty)
    }

    /// What is linked: all that is reached without going through a procedural macro, each with what it links itself.
    pub(crate) fn linked(&self) -> BTreeMap<&Id, (&Package, BTreeSet<&Id>)> {
        let mut linked = BTreeMap::new();
        let mut todo = vec![&self.root];
        while let Some(id) = todo.pop() {
            let Some(package) = self.packages.get(id) else { continue };
            if linked.contains_key(id) {
                continue;
            }
            let is_linked = |id: &&Id| self.packages.get(*id).is_some_and(|package| !package.is_macro);
            let needs: BTreeSet<&Id> = self.edges.get(id).into_iter().flatten().filter(is_linked).collect();
            todo.extend(needs.iter().copied());
            linked.insert(id, (package, needs));
        }
        linked
    }
}

fn read(line: &str) -> Option<(usize, Id, Package)> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let (depth, rest) = (line[..digits].parse().ok()?, &line[digits..]);
    let mut fields = rest.splitn(3, '|');
    let (package, licence, repository) = (fields.next()?, fields.next()?, fields.next()?);
    let (name, rest) = package.split_once(" v")?;
    let version = rest.split(' ').next()?;
    let is_macro = rest.contains("(proc-macro)");
    let repository = repository.trim_end_matches("(*)").trim_end().to_owned();
    let id = Id { name: name.to_owned(), version: version.to_owned() };
    Some((depth, id, Package { licence: licence.to_owned(), repository, is_macro }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0app v0.1.0 (/somewhere)|Apache-2.0|https://a
1derive v2.0.0 (proc-macro)|MIT|https://d
2syn v3.0.0|MIT|
3ident v1.0.0|MIT/Apache-2.0|
1data v1.1.0|MIT OR Apache-2.0|https://x
2ident v1.0.0|MIT/Apache-2.0| (*)
2derive v2.0.0 (proc-macro)|MIT|https://d (*)
";

    #[test]
    fn what_only_macros_need_is_not_linked() {
        let tree = Tree::parse(TREE).unwrap();
        let names: Vec<_> = tree.linked().keys().map(|id| id.name.clone()).collect();
        assert_eq!(names, ["app", "data", "ident"]);
        let linked = tree.linked();
        let needs: Vec<_> = linked[&tree.root].1.iter().map(|id| id.name.as_str()).collect();
        assert_eq!(needs, ["data"]);
        let (_, (data, _)) = linked.iter().find(|(id, _)| id.name == "data").unwrap();
        assert_eq!((data.licence.as_str(), data.repository.as_str()), ("MIT OR Apache-2.0", "https://x"));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        assert_eq!(Tree::parse("").unwrap_err(), TreeError::Empty);
        for line in ["app", "0app|MIT|", "0app v1.0.0|MIT", "3app v1.0.0|MIT|"] {
            assert_eq!(Tree::parse(line).unwrap_err(), TreeError::Line(line.to_owned()));
        }
    }
}
