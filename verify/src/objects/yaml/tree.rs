//! YAML events to one JSON value, by the rules of `go.yaml.in/yaml/v2`.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, StructureStyle, Tag};
use serde_json::{Map, Value};

use super::{Document, Fault, Problem, quirks, scalar, stream};
use crate::artifact::Limits;

/// Nodes that anchors and aliases of one document may add up to; kubectl's own limit is of this order.
const ALIAS_NODES: usize = 100_000;

/// Reads the one document in `text`; `None` if it is empty or null.
pub(super) fn read(text: &str, limits: &Limits) -> Result<Option<Document>, Fault> {
    stream::check_characters(text)?;
    let mut options = granit_parser::options! {
        // kubectl cuts a file before it reads directives, so they never reach a document of theirs.
        disallow_directives: true,
        flow_nesting_limit: limits.depth.saturating_add(1),
        block_nesting_limit: limits.depth.saturating_add(1),
    };
    options.set_emit_comments(false);
    let mut tree = Tree {
        events: Parser::new_from_str_with_options(text, options),
        text,
        span: 0..0,
        tabs: quirks::Tabs::new(text),
        flow: 0,
        limits,
        line: 1,
        anchors: HashMap::new(),
        aliased: Size::default(),
    };
    tree.document().map_err(|problem| Fault { line: tree.line, problem })
}

struct Tree<'t> {
    events: Parser<'t, StrInput<'t>>,
    text: &'t str,
    /// Where the last event stands in the text.
    span: Range<usize>,
    tabs: quirks::Tabs,
    /// How many flow collections are open.
    flow: usize,
    limits: &'t Limits,
    /// The line of the last event, or of the error.
    line: usize,
    /// What an anchor stands for; `None` while it is being read.
    anchors: HashMap<usize, Option<Value>>,
    /// What anchors and aliases have cost so far.
    aliased: Size,
}

/// How much a value holds.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

impl<'t> Tree<'t> {
    fn document(&mut self) -> Result<Option<Document>, Problem> {
        let mut root = None;
        loop {
            match self.next()? {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => return Err(Problem::SecondDocument),
                Event::DocumentStart(..) => {
                    let event = self.next()?;
                    let line = self.line;
                    root = Some((line, self.node(event, 0)?));
                }
                Event::StreamEnd => {
                    if let Some(line) = self.tabs.outside() {
                        self.line = line;
                        return Err(Problem::Tab);
                    }
                    return Ok(root.filter(|(_, value)| !value.is_null()));
                }
                _ => return Err(Problem::NotYaml("unexpected content".to_owned())),
            }
        }
    }

    fn next(&mut self) -> Result<Event<'t>, Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                self.span = span.byte_range().unwrap_or_default();
                if let Event::Scalar(text, style, ..) = &event {
                    self.tabs.scalar(*style, &span);
                    match style {
                        ScalarStyle::DoubleQuoted => quirks::check_escapes(self.source())?,
                        ScalarStyle::Plain if self.flow > 0 => quirks::check_flow(text, &self.text[self.span.end..])?,
                        _ => {}
                    }
                }
                Ok(event)
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Err(Problem::NotYaml("unexpected end".to_owned())),
        }
    }

    /// The last event as it is written.
    fn source(&self) -> &'t str {
        self.text.get(self.span.clone()).unwrap_or_default()
    }

    fn syntax(&mut self, error: &ScanError) -> Problem {
        self.line = error.marker().line().max(1);
        let text = error.info();
        // The parser has limits on nesting of its own and stops first where they are hit before a node is made.
        if text.contains("nesting") || text.contains("recursion") {
            return Problem::TooDeep { limit: self.limits.depth };
        }
        Problem::NotYaml(text)
    }

    /// The value that starts with `event`.
    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Value, Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar_value(text, style, tag.as_deref())?;
                self.define(anchor, &value)?;
                Ok(value)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(depth, anchor, tag.as_deref(), "seq")?;
                let line = self.enter(style);
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        item => items.push(self.node(item, depth + 1)?),
                    }
                }
                self.leave(style, line);
                let value = Value::Array(items);
                self.define(anchor, &value)?;
                Ok(value)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.open(depth, anchor, tag.as_deref(), "map")?;
                let line = self.enter(style);
                let value = Value::Object(self.mapping(depth + 1)?);
                self.leave(style, line);
                self.define(anchor, &value)?;
                Ok(value)
            }
            Event::Alias(anchor) => self.alias(anchor),
            _ => Err(Problem::NotYaml("a value is missing".to_owned())),
        }
    }

    fn enter(&mut self, style: StructureStyle) -> usize {
        self.flow += usize::from(style == StructureStyle::Flow);
        self.line
    }

    /// Ends a collection that began on `line`.
    fn leave(&mut self, style: StructureStyle, line: usize) {
        if style == StructureStyle::Flow {
            self.flow -= 1;
            self.tabs.flow(line..=self.line);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Map<String, Value>, Problem> {
        let mut entries = Map::new();
        // Keys that came by <<, which later keys of the mapping's own replace.
        let mut merged: Option<HashSet<String>> = None;
        loop {
            match self.next()? {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ScalarStyle::Plain, anchor, None) if text == "<<" => {
                    self.define(anchor, &Value::String(text.into_owned()))?;
                    if merged.is_some() {
                        return Err(Problem::DuplicateKey("<<".to_owned()));
                    }
                    let event = self.next()?;
                    merged = Some(self.merge(event, depth, &mut entries)?);
                }
                // A key of several lines is one for YAML 1.2 only.
                Event::Scalar(text, ..) if self.flow > 0 && self.source().contains('\n') => {
                    return Err(Problem::Flow(text.into_owned()));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let key = key_text(text, style, tag.as_deref())?;
                    self.define(anchor, &Value::String(key.clone().into_owned()))?;
                    let replaces = merged.as_mut().is_some_and(|merged| merged.remove(&*key));
                    if !replaces && entries.contains_key(&*key) {
                        return Err(Problem::DuplicateKey(key.into_owned()));
                    }
                    let event = self.next()?;
                    let value = self.node(event, depth)?;
                    entries.insert(key.into_owned(), value);
                }
                _ => return Err(Problem::KeyNotString),
            }
        }
    }

    /// Puts what stands after `<<` into `entries` and returns the keys it brought.
    fn merge(
        &mut self,
        event: Event<'t>,
        depth: usize,
        entries: &mut Map<String, Value>,
    ) -> Result<HashSet<String>, Problem> {
        // An alias stands for one mapping; a sequence of mappings has to be written out.
        let list = matches!(event, Event::SequenceStart(..));
        let sources = match self.node(event, depth)? {
            Value::Object(source) => vec![Value::Object(source)],
            Value::Array(sources) if list => sources,
            _ => return Err(Problem::Merge),
        };
        let mut brought = HashSet::new();
        // Backwards, because earlier mappings win.
        for source in sources.into_iter().rev() {
            let Value::Object(source) = source else { return Err(Problem::Merge) };
            for (key, value) in source {
                if entries.insert(key.clone(), value).is_some() && !brought.contains(&key) {
                    return Err(Problem::MergeOrder(key));
                }
                brought.insert(key);
            }
        }
        Ok(brought)
    }

    fn open(&mut self, depth: usize, anchor: usize, tag: Option<&Tag>, expected: &str) -> Result<(), Problem> {
        if depth >= self.limits.depth {
            return Err(Problem::TooDeep { limit: self.limits.depth });
        }
        if let Some(tag) = tag.filter(|tag| core(tag) != Some(expected)) {
            return Err(Problem::Tag(shown(tag)));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        Ok(())
    }

    fn define(&mut self, anchor: usize, value: &Value) -> Result<(), Problem> {
        if anchor == 0 {
            return Ok(());
        }
        self.spend(value)?;
        self.anchors.insert(anchor, Some(value.clone()));
        Ok(())
    }

    fn alias(&mut self, anchor: usize) -> Result<Value, Problem> {
        let value = match self.anchors.get(&anchor) {
            Some(Some(value)) => value.clone(),
            Some(None) => return Err(Problem::AliasInItself),
            None => return Err(Problem::NotYaml("an alias stands for nothing".to_owned())),
        };
        self.spend(&value)?;
        Ok(value)
    }

    fn spend(&mut self, value: &Value) -> Result<(), Problem> {
        measure(value, &mut self.aliased);
        if self.aliased.nodes > ALIAS_NODES || self.aliased.bytes as u64 > self.limits.file {
            return Err(Problem::Aliases);
        }
        Ok(())
    }
}

fn measure(value: &Value, size: &mut Size) {
    size.nodes += 1;
    match value {
        Value::String(text) => size.bytes += text.len(),
        Value::Array(items) => items.iter().for_each(|item| measure(item, size)),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            size.bytes += key.len();
            measure(value, size);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn scalar_value(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Problem> {
    match tag {
        Some(tag) => match core(tag) {
            Some(name) => scalar::tagged(name, &text),
            None => Err(Problem::Tag(shown(tag))),
        },
        None if style == ScalarStyle::Plain => scalar::value(text),
        None => Ok(Value::String(text.into_owned())),
    }
}

fn key_text<'t>(text: Cow<'t, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Cow<'t, str>, Problem> {
    match tag {
        Some(tag) if core(tag) == Some("str") => Ok(text),
        Some(tag) => Err(Problem::Tag(shown(tag))),
        None => {
            if style == ScalarStyle::Plain {
                scalar::key(&text)?;
            }
            Ok(text)
        }
    }
}

/// `int` of `!!int`, or of `!<tag:yaml.org,2002:int>`.
fn core(tag: &Tag) -> Option<&str> {
    const PREFIX: &str = "tag:yaml.org,2002:";
    match tag.handle() {
        PREFIX => Some(tag.suffix()),
        "" => tag.suffix().strip_prefix(PREFIX),
        _ => None,
    }
}

fn shown(tag: &Tag) -> String {
    format!("{}{}", tag.original_handle(), tag.suffix())
}
