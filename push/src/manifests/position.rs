//! File and line of a field, for messages.

use std::collections::BTreeMap;

use sealift_verify::{
    artifact::Limits,
    objects::{
        Object, Origin,
        yaml::{Lines, Source},
    },
};

/// Where the fields of objects stand in the files they were read from. Each document is read again once, and only if
/// there is something to say about it.
#[derive(Debug)]
pub(crate) struct Positions<'a> {
    sources: &'a [Source],
    limits: &'a Limits,
    read: BTreeMap<(String, usize), Lines>,
}

impl<'a> Positions<'a> {
    pub(crate) fn new(sources: &'a [Source], limits: &'a Limits) -> Self {
        Self { sources, limits, read: BTreeMap::new() }
    }

    /// The file, and the line of the field that `pointer` leads to or of the nearest around it.
    pub(crate) fn at(&mut self, object: &Object, pointer: &str) -> Origin {
        let Origin { file, line } = object.origin.clone();
        let Some(source) = self.sources.iter().find(|source| source.name == file) else {
            return object.origin.clone();
        };
        let lines = self.read.entry((file.clone(), line));
        let line = lines.or_insert_with(|| Lines::read(source, line, self.limits)).of(&object.id, pointer);
        Origin { file, line }
    }
}
