//! On which line of its source a field of an object stands: for messages, and only read where there is one to write.

use std::collections::HashMap;

use granit_parser::{Event, Parser, StrInput};

use super::{Source, stream};
use crate::{
    artifact::Limits,
    objects::{ObjectId, pointer::within},
};

/// The lines of the fields of one document.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    first: usize,
    fields: HashMap<String, Field>,
}

#[derive(Clone, Debug)]
struct Field {
    line: usize,
    /// The text of a scalar.
    text: Option<String>,
}

impl Lines {
    /// Reads the document of `source` that starts at `line`, as an object's origin has it. Of what cannot be read there
    /// is no field, and [`Lines::of`] says where the document starts.
    pub fn read(source: &Source, line: usize, limits: &Limits) -> Self {
        let mut lines = Self { first: line, fields: HashMap::new() };
        let Ok(text) = std::str::from_utf8(&source.bytes) else { return lines };
        let pieces = stream::split(text);
        let Some(piece) = pieces.iter().rfind(|piece| piece.line <= line) else { return lines };
        let Ok(content) = piece.content else { return lines };
        let skipped = line - piece.line;
        let start = content.split_inclusive('\n').take(skipped).map(str::len).sum();
        let mut options = granit_parser::options! {
            flow_nesting_limit: limits.depth.saturating_add(1),
            block_nesting_limit: limits.depth.saturating_add(1),
        };
        options.set_emit_comments(false);
        let events = Parser::new_from_str_with_options(&content[start..], options);
        let mut walk = Walk { events, before: line - 1, fields: &mut lines.fields };
        // What was read before a fault is right all the same.
        let _ = walk.document();
        lines
    }

    /// The line of the field that `pointer` leads to, or of the nearest one around it: what comes from an alias or a merge
    /// has no line of its own.
    pub fn of(&self, id: &ObjectId, pointer: &str) -> usize {
        let root = self.root(id).unwrap_or_default();
        let mut pointer = format!("{root}{pointer}");
        loop {
            if let Some(field) = self.fields.get(&pointer) {
                return field.line;
            }
            match pointer.rfind('/') {
                Some(at) => pointer.truncate(at),
                None => return self.first,
            }
        }
    }

    /// Where the object stands in the document: at its root, or among the items of a list.
    fn root(&self, id: &ObjectId) -> Option<&str> {
        let text = |pointer: String| self.fields.get(&pointer).and_then(|field| field.text.as_deref());
        let mut roots = self.fields.iter().filter_map(|(pointer, field)| {
            let root = pointer.strip_suffix("/metadata/name")?;
            let listed = root.split("/items/").all(|index| index.bytes().all(|b| b.is_ascii_digit()));
            let same = listed
                && field.text.as_deref() == Some(id.name.as_str())
                && text(format!("{root}/kind")).is_none_or(|kind| kind == id.kind)
                && text(format!("{root}/metadata/namespace")) == id.namespace.as_deref();
            same.then_some(root)
        });
        roots.next()
    }
}

struct Walk<'t, 'f> {
    events: Parser<'t, StrInput<'t>>,
    /// Lines before the text that is read.
    before: usize,
    fields: &'f mut HashMap<String, Field>,
}

impl<'t> Walk<'t, '_> {
    fn next(&mut self) -> Option<(Event<'t>, usize)> {
        let (event, span) = self.events.next()?.ok()?;
        Some((event, self.before + span.start.line()))
    }

    fn document(&mut self) -> Option<()> {
        loop {
            if let (Event::DocumentStart(..), _) = self.next()? {
                let (event, line) = self.next()?;
                return self.node(event, line, &mut String::new());
            }
        }
    }

    fn node(&mut self, event: Event<'t>, line: usize, pointer: &mut String) -> Option<()> {
        let mut field = Field { line, text: None };
        if let Event::Scalar(text, ..) = &event {
            field.text = Some(text.clone().into_owned());
        }
        self.fields.entry(pointer.clone()).and_modify(|known| known.text.clone_from(&field.text)).or_insert(field);
        match event {
            Event::MappingStart(..) => loop {
                match self.next()? {
                    (Event::MappingEnd, _) => return Some(()),
                    (Event::Scalar(key, ..), line) => {
                        within(pointer, &key, |pointer| {
                            // A field begins where its key does.
                            self.fields.insert(pointer.clone(), Field { line, text: None });
                            let (event, line) = self.next()?;
                            self.node(event, line, pointer)
                        })?;
                    }
                    _ => return None,
                }
            },
            Event::SequenceStart(..) => {
                for index in 0.. {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => {
                            within(pointer, &index.to_string(), |pointer| self.node(event, line, pointer))?;
                        }
                    }
                }
                Some(())
            }
            _ => Some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::yaml::read;

    #[test]
    fn a_field_is_found_by_its_pointer_in_any_form_of_document() {
        let yaml = "# head\n---\n\n# more\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels: {a/b: c}\nspec:\n  containers:\n  - name: a\n    image: x\n  -\n    name: b\n\
                    ---\nkind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: q}}\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: r\n    namespace: shop\n";
        let json = "{\"apiVersion\": \"v1\",\n \"kind\": \"Pod\",\n \"metadata\": {\n  \"name\": \"j\"}}\n";
        let sources = [("y", yaml), ("j", json)]
            .map(|(name, text)| Source { name: name.to_owned(), bytes: text.as_bytes().to_vec() });
        let objects = read(&sources, &Limits::default()).unwrap();
        for (name, pointer, line) in [
            ("p", "", 5),
            ("p", "/kind", 6),
            ("p", "/metadata/labels/a~1b", 9),
            ("p", "/spec/containers/0/image", 13),
            ("p", "/spec/containers/1/name", 15),
            ("p", "/spec/containers/1/image/none", 15),
            ("q", "/metadata/name", 20),
            ("r", "/metadata/namespace", 25),
            ("r", "", 21),
            ("j", "/metadata/name", 4),
        ] {
            let object = objects.iter().find(|object| object.id.name == name).unwrap();
            let source = sources.iter().find(|source| source.name == object.origin.file).unwrap();
            let lines = Lines::read(source, object.origin.line, &Limits::default());
            assert_eq!(lines.of(&object.id, pointer), line, "{name} {pointer}");
        }
    }
}
